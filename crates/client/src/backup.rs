//! A backup, as it comes (`spec/backup.md`). Nothing of it is believed before its end is
//! there and its digest is right, which its reader looks at.

use crate::call::Ask;
use crate::{Client, ClientError, Query, SessionClient};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use procura_types::Duration;
use procura_types::wire::BACKUP_STREAM;

/// A server that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(120);

/// The bytes of a backup.
pub struct BackupStream {
    client: Client,
    body: Incoming,
}

impl SessionClient {
    /// Takes a backup of the whole store, or with `ledger_since` a copy of the ledger from
    /// that entry on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn backup(&self, ledger_since: Option<u64>) -> Result<BackupStream, ClientError> {
        let query = Query::new().with_some("ledger_since", ledger_since);
        let ask = Ask::new(Method::GET, "/v1/backup", &query, None::<&()>);
        Ok(BackupStream {
            client: self.client().clone(),
            body: self.open_stream_of(&ask, BACKUP_STREAM).await?,
        })
    }
}

impl BackupStream {
    /// The next piece; none when the server sends no more. Whether that was all, the
    /// backup itself says.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the connection breaks or is silent for two
    /// minutes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let transport = &self.client.inner.transport;
        loop {
            let frame = tokio::time::timeout(SILENCE, self.body.frame())
                .await
                .map_err(|_| transport.unreachable("it has been silent for two minutes"))?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| transport.broken(&error))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}
