//! Keys of an operator's automation.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{ApiKeyCreate, ApiKeyCreated, ApiKeyList};
use procura_types::{Label, Thumbprint};

impl SessionClient {
    /// The API keys of an operator, those that are over too.
    pub async fn api_keys(&self, name: &Label) -> Result<ApiKeyList, ClientError> {
        let path = format!("/v1/operators/{name}/api-keys");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Makes one of one's own; its token is in the answer and nowhere else.
    pub async fn create_api_key(
        &self,
        name: &Label,
        wanted: &ApiKeyCreate,
    ) -> Result<ApiKeyCreated, ClientError> {
        let path = format!("/v1/operators/{name}/api-keys");
        self.by_key(Method::POST, &path, wanted).await
    }

    /// Revokes one, and its device.
    pub async fn revoke_api_key(
        &self,
        name: &Label,
        device: &Thumbprint,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/operators/{name}/api-keys/{device}");
        self.by_key_with(Method::DELETE, &path, None::<&()>).await
    }
}
