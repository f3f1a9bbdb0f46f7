//! Secrets.

use crate::{ClientError, Page, Query, SessionClient};
use http::Method;
use procura_types::wire::{SecretHistory, SecretList, SecretPut, SecretValue, SecretWritten};
use procura_types::{Namespace, SecretPath};

impl SessionClient {
    /// Writes a new version of a secret.
    pub async fn put_secret(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        put: &SecretPut,
    ) -> Result<SecretWritten, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/secrets/{path}");
        self.call(Method::PUT, &path, &Query::new(), Some(put))
            .await
    }

    /// Reads a version of a secret, the latest unless one is named.
    pub async fn get_secret(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        version: Option<u64>,
    ) -> Result<SecretValue, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/secrets/{path}");
        let query = Query::new().with_some("version", version);
        self.call(Method::GET, &path, &query, None::<&()>).await
    }

    /// One page of the secrets below a prefix: names and versions, no values.
    pub async fn secrets(
        &self,
        namespace: &Namespace,
        prefix: Option<&str>,
        page: &Page<SecretPath>,
    ) -> Result<SecretList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/secrets");
        let query = page.query().with_some("prefix", prefix);
        self.call(Method::GET, &path, &query, None::<&()>).await
    }

    /// One page of the versions of a secret, newest first.
    pub async fn secret_history(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        before: Option<u64>,
    ) -> Result<SecretHistory, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/history/{path}");
        let query = Query::new().with_some("before", before);
        self.call(Method::GET, &path, &query, None::<&()>).await
    }

    /// Deletes a version, or all; with `destroy`, its bytes and key are gone
    /// and nothing brings them back.
    pub async fn delete_secret(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        version: Option<u64>,
        destroy: bool,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/secrets/{path}");
        let query = Query::new()
            .with_some("version", version)
            .with_some("destroy", destroy.then_some("true"));
        self.call(Method::DELETE, &path, &query, None::<&()>).await
    }
}
