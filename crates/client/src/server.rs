//! Servers of one installation.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::InstanceId;
use procura_types::wire::ServerList;

impl SessionClient {
    /// All servers that are known, those that were removed as well.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn servers(&self) -> Result<ServerList, ClientError> {
        self.call(Method::GET, "/v1/servers", &Query::new(), None::<&()>)
            .await
    }

    /// Removes a server for good.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_server(&self, id: &InstanceId) -> Result<(), ClientError> {
        let path = format!("/v1/servers/{id}");
        self.by_key_with(Method::DELETE, &path, None::<&()>).await
    }
}
