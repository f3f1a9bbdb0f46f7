//! The keys that sign tokens.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::Thumbprint;
use procura_types::wire::{SigningKeyList, TokenType};

impl SessionClient {
    /// The keys that sign tokens, and where each stands.
    pub async fn signing_keys(&self, tokens: TokenType) -> Result<SigningKeyList, ClientError> {
        let query = Query::new().with("tokens", tokens.as_str());
        self.call(Method::GET, "/v1/signing-keys", &query, None::<&()>)
            .await
    }

    /// Has the next key sign from now on.
    pub async fn roll_signing_keys(
        &self,
        tokens: TokenType,
    ) -> Result<SigningKeyList, ClientError> {
        let path = "/v1/signing-keys/roll";
        let query = Query::new().with("tokens", tokens.as_str());
        self.call(Method::POST, path, &query, None::<&()>).await
    }

    /// Takes a key out of the key set at once; never undone.
    pub async fn retire_signing_key(
        &self,
        kid: &Thumbprint,
    ) -> Result<SigningKeyList, ClientError> {
        let path = format!("/v1/signing-keys/{kid}/retire");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }
}
