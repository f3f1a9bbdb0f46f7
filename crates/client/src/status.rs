//! What a server says of itself, and sealing it.

use crate::call::Ask;
use crate::proving::Proof;
use crate::{Client, ClientError, Query, SessionClient};
use http::Method;
use procura_types::Timestamp;
use procura_types::wire::Status;

impl Client {
    /// What the server says of itself to anybody.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let query = Query::new();
        self.open(Ask::new(Method::GET, "/v1/status", &query, None::<&()>))
            .await
    }

    /// The server's clock, to the second, as its answers show it; nothing when
    /// they do not.
    pub async fn server_time(&self) -> Result<Option<Timestamp>, ClientError> {
        let query = Query::new();
        let ask = Ask::new(Method::GET, "/v1/status", &query, None::<&()>);
        let (answer, _) = self.exchange(&ask, Proof::None).await?;
        Ok(answer.date.as_deref().and_then(imf_fixdate))
    }
}

impl Client {
    /// Makes a request without a proof, which the server refuses and puts into its
    /// record: after this the record has to move.
    ///
    /// # Errors
    /// When the server is not reached, or does anything but refuse.
    pub async fn knock(&self) -> Result<(), ClientError> {
        let query = Query::new();
        let ask = Ask::new(Method::GET, "/v1/namespaces", &query, None::<&()>);
        match self.exchange(&ask, Proof::None).await {
            Err(error) if error.is_refusal("missing_headers") => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(ClientError::NotUnderstood {
                address: self.url(),
                cause: "it takes a request that nobody proved".to_owned(),
            }),
        }
    }
}

impl SessionClient {
    /// Has the server read and open every row, and says what it found wrong.
    pub async fn deep_status(&self) -> Result<Status, ClientError> {
        let query = Query::new().with("deep", true);
        self.call(Method::GET, "/v1/status", &query, None::<&()>)
            .await
    }

    /// Seals the vault: nothing can be read or changed until an unseal.
    pub async fn seal(&self) -> Result<(), ClientError> {
        self.by_key_with(Method::POST, "/v1/seal", None::<&()>)
            .await
    }
}

/// Reads a date of HTTP (RFC 9110 §5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split(' ');
    let (_, day, month) = (words.next()?, words.next()?, words.next()?);
    let (year, time, zone) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    (zone == "GMT" && words.next().is_none())
        .then(|| format!("{year}-{month:02}-{day}T{time}Z").parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::imf_fixdate;

    #[test]
    fn dates_of_http() {
        let read = imf_fixdate("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(read.to_string(), "1994-11-06T08:49:37.000Z");
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "a b c d e GMT",
        ] {
            assert!(imf_fixdate(text).is_none(), "{text}");
        }
    }
}
