//! Keys that turn, and where they stand.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::Namespace;
use procura_types::wire::{NamespaceRotated, Rotation};

impl SessionClient {
    /// Where the keys stand that the root leads to.
    pub async fn rotation(&self) -> Result<Rotation, ClientError> {
        self.call(Method::GET, "/v1/rotation", &Query::new(), None::<&()>)
            .await
    }

    /// Gives a namespace another key.
    pub async fn rotate_namespace(
        &self,
        name: &Namespace,
    ) -> Result<NamespaceRotated, ClientError> {
        let path = format!("/v1/namespaces/{name}/rotate");
        self.call(Method::POST, &path, &Query::new(), None::<&()>)
            .await
    }
}
