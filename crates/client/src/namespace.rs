//! Namespaces.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::Namespace;
use procura_types::wire::{NamespaceCreate, NamespaceInfo, NamespaceList};

impl SessionClient {
    /// The namespaces that the caller has a part in.
    pub async fn namespaces(&self) -> Result<NamespaceList, ClientError> {
        self.call(Method::GET, "/v1/namespaces", &Query::new(), None::<&()>)
            .await
    }

    /// Makes a namespace.
    pub async fn create_namespace(&self, name: &Namespace) -> Result<NamespaceInfo, ClientError> {
        let body = NamespaceCreate { name: name.clone() };
        self.call(Method::POST, "/v1/namespaces", &Query::new(), Some(&body))
            .await
    }
}
