//! Secrets.

use crate::{ClientError, Page, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    SecretHistory, SecretList, SecretPut, SecretRow, SecretSet, SecretUndeleted, SecretValue,
    SecretWritten,
};
use procura_types::{Duration, Namespace, SecretPath, Timestamp};

/// Which secrets a list is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listed {
    /// Those that can be read.
    #[default]
    Readable,
    /// Of those, what expires or should be replaced within so long.
    Due(Duration),
    /// Those that can be undeleted.
    Deleted,
    /// What was there at a time, with the versions of then.
    At(Timestamp),
}

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

    /// One page of the secrets below a prefix that `listed` says: names and versions,
    /// no values.
    pub async fn secrets(
        &self,
        namespace: &Namespace,
        prefix: Option<&str>,
        listed: Listed,
        page: &Page<SecretPath>,
    ) -> Result<SecretList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/secrets");
        let query = page.query().with_some("prefix", prefix);
        let query = match listed {
            Listed::Readable => query,
            Listed::Due(within) => query.with_some("due_within", Some(within.as_secs())),
            Listed::Deleted => query.with_some("deleted", Some(true)),
            Listed::At(at) => query.with_some("at", Some(at)),
        };
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
        let nothing = None::<&()>;
        match destroy {
            true => {
                self.by_key_asking(Method::DELETE, &path, &query, nothing)
                    .await
            }
            false => self.call(Method::DELETE, &path, &query, nothing).await,
        }
    }

    /// Makes a deleted version readable again, or all of them.
    pub async fn undelete_secret(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        version: Option<u64>,
    ) -> Result<SecretUndeleted, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/undelete/{path}");
        let query = Query::new().with_some("version", version);
        self.call(Method::POST, &path, &query, None::<&()>).await
    }

    /// Changes what is said of a secret, without a new version.
    pub async fn set_secret(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        set: &SecretSet,
    ) -> Result<SecretRow, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/metadata/{path}");
        self.call(Method::POST, &path, &Query::new(), Some(set))
            .await
    }
}
