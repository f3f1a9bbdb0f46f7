//! Passkeys of operators: the codes for them, and what there is.

use crate::account::Nothing;
use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{Passkey, PasskeyCode, PasskeyList, PasskeyRename};
use procura_types::{DisplayName, Label, Thumbprint};

impl SessionClient {
    /// A code with which a browser enrols one more passkey of the operator who asks.
    pub async fn passkey_code(&self, name: &Label) -> Result<PasskeyCode, ClientError> {
        let path = format!("/v1/operators/{name}/passkey-code");
        self.by_key(Method::POST, &path, &Nothing {}).await
    }

    /// The passkeys of an operator, removed ones too.
    pub async fn passkeys(&self, name: &Label) -> Result<PasskeyList, ClientError> {
        let path = format!("/v1/operators/{name}/passkeys");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Calls a passkey of the operator who asks something else.
    pub async fn rename_passkey(
        &self,
        id: &Thumbprint,
        name: DisplayName,
    ) -> Result<Passkey, ClientError> {
        let path = format!("/v1/passkeys/{id}/name");
        let body = PasskeyRename { name };
        self.call(Method::PUT, &path, &Query::new(), Some(&body))
            .await
    }

    /// Removes a passkey, for good; web logins made with it end. By the device's own key.
    pub async fn remove_passkey(&self, id: &Thumbprint) -> Result<(), ClientError> {
        let path = format!("/v1/passkeys/{id}");
        self.by_key_with(Method::DELETE, &path, None::<&()>).await
    }
}
