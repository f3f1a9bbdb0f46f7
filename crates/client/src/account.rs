//! What an operator signs in with in a browser, and their web logins.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    Account, PasswordPut, RecoveryCodes, TotpConfirm, TotpSetUp, WebLoginList, WebLoginsEnded,
};
use procura_types::{Label, Secret, WebLoginId};
use serde::Serialize;

/// `{}`.
#[derive(Serialize)]
pub(crate) struct Nothing {}

impl SessionClient {
    /// What an operator signs in with, without any of it.
    pub async fn account(&self, name: &Label) -> Result<Account, ClientError> {
        let path = format!("/v1/operators/{name}/account");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Takes an operator password, app and recovery codes, and ends their web logins.
    pub async fn end_account(&self, name: &Label) -> Result<(), ClientError> {
        let path = format!("/v1/operators/{name}/account");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Sets one's own password, which ends all web logins.
    pub async fn set_password(
        &self,
        name: &Label,
        password: Secret<String>,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/operators/{name}/password");
        self.by_key(Method::PUT, &path, &PasswordPut { password })
            .await
    }

    /// Makes the secret of one's own authenticator app.
    pub async fn begin_totp(&self, name: &Label) -> Result<TotpSetUp, ClientError> {
        let path = format!("/v1/operators/{name}/totp");
        self.by_key(Method::POST, &path, &Nothing {}).await
    }

    /// Takes the app into use by its first code.
    pub async fn confirm_totp(
        &self,
        name: &Label,
        code: Secret<String>,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/operators/{name}/totp/confirm");
        self.by_key(Method::POST, &path, &TotpConfirm { code })
            .await
    }

    /// Makes other recovery codes of one's own.
    pub async fn make_recovery_codes(&self, name: &Label) -> Result<RecoveryCodes, ClientError> {
        let path = format!("/v1/operators/{name}/recovery-codes");
        self.by_key(Method::POST, &path, &Nothing {}).await
    }

    /// The web logins of an operator, the newest first.
    pub async fn web_logins(&self, name: &Label) -> Result<WebLoginList, ClientError> {
        let path = format!("/v1/operators/{name}/logins");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Ends one web login of an operator, or all.
    pub async fn end_web_logins(
        &self,
        name: &Label,
        one: Option<&WebLoginId>,
    ) -> Result<WebLoginsEnded, ClientError> {
        let mut path = format!("/v1/operators/{name}/logins");
        if let Some(id) = one {
            path = format!("{path}/{id}");
        }
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }
}
