//! Many secrets at once, and what was there at a time.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    InstallationImport, InstallationImported, SecretExport, SecretExported, SecretImport,
    SecretImported, SecretRollback, SecretRolledBack, SecretValue,
};
use procura_types::{Namespace, SecretPath, Timestamp};

impl SessionClient {
    /// Reads the version of a secret that was there at a time.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_secret_at(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        at: Timestamp,
    ) -> Result<SecretValue, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/secrets/{path}");
        let query = Query::new().with_some("at", Some(at));
        self.call(Method::GET, &path, &query, None::<&()>).await
    }

    /// Writes many secrets, all of them or none, or says what would become of each.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn import_secrets(
        &self,
        namespace: &Namespace,
        import: &SecretImport,
    ) -> Result<SecretImported, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/import");
        self.call(Method::POST, &path, &Query::new(), Some(import))
            .await
    }

    /// Writes what goes into several namespaces, all of it or nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn import(
        &self,
        import: &InstallationImport,
    ) -> Result<InstallationImported, ClientError> {
        self.call(Method::POST, "/v1/import", &Query::new(), Some(import))
            .await
    }

    /// Takes the newest versions out, encrypted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_secrets(
        &self,
        namespace: &Namespace,
        export: &SecretExport,
    ) -> Result<SecretExported, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/export");
        self.call(Method::POST, &path, &Query::new(), Some(export))
            .await
    }

    /// Takes one secret, or all whose paths begin as the rollback says, back to what was
    /// there at a time.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roll_back(
        &self,
        namespace: &Namespace,
        one: Option<&SecretPath>,
        rollback: &SecretRollback,
    ) -> Result<SecretRolledBack, ClientError> {
        let path = match one {
            Some(path) => format!("/v1/namespaces/{namespace}/rollback/{path}"),
            None => format!("/v1/namespaces/{namespace}/rollback"),
        };
        self.call(Method::POST, &path, &Query::new(), Some(rollback))
            .await
    }
}
