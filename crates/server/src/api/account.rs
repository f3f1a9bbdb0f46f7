//! `/v1/operators/{name}/password`, `/totp`, `/recovery-codes`, `/account` and `/logins`:
//! what an operator signs in with in a browser, set with their own device key.

use super::operator::{no_operator, of_name};
use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use crate::web_login::NotSet;
use http::StatusCode;
use procura_identity::account::{
    OperatorAccount, OperatorAccountEnd, OperatorPassword, OperatorRecoveryCodes, OperatorTotp,
    OperatorTotpConfirm, new_password,
};
use procura_identity::web_login::{WebLoginEnd, WebLoginListing, WhichLogins};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;
use std::sync::Arc;

pub(super) struct Show;

impl Endpoint for Show {
    type Op = OperatorAccount;
    type Body = ();
    type Answer = wire::Account;
    const SUMMARY: &'static str = "Says what an operator signs in with in a browser";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/operators/{name}/account";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, OperatorAccount::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let store = context.open.vault.store();
        Reply::json::<Self::Answer>(&OperatorAccount::run(&permit, store)?)
    }
}

pub(super) struct End;

impl Endpoint for End {
    type Op = OperatorAccountEnd;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Takes an operator password and codes, and ends their web logins";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Show::PATH;
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, OperatorAccountEnd::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.change(permit, OperatorAccountEnd::run).await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct Password;

impl Endpoint for Password {
    type Op = OperatorPassword;
    type Body = wire::PasswordPut;
    type Answer = ();
    const SUMMARY: &'static str =
        "Sets one's own password, with a proof by the device's own key; all web logins end";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/operators/{name}/password";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        input.json::<Self::Body>()?;
        of_name(open, input, OperatorPassword::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let wire::PasswordPut { password } = context.input.json::<Self::Body>()?;
        let (app, now) = (context.app, context.input.now);
        let entropy = Arc::clone(&app.entropy);
        let work = move || new_password(password.expose(), entropy.as_ref());
        let actor = *permit.caller().actor();
        let hashed = app.sign_ins.hashing.set(actor, work).await;
        let hash = hashed.map_err(|not_set| Failure {
            retry_after: Some(2),
            ..Failure::new(
                Code::RateLimited,
                match not_set {
                    NotSet::Busy => "Too many passwords are set now.",
                    NotSet::Own => "Another password of yours is being set now.",
                },
            )
        })??;
        context
            .change(permit, |batch| OperatorPassword::run(batch, &hash, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct Totp;

impl Endpoint for Totp {
    type Op = OperatorTotp;
    type Body = ();
    type Answer = wire::TotpSetUp;
    const SUMMARY: &'static str = "Makes the secret of one's own authenticator app, shown once, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/operators/{name}/totp";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, OperatorTotp::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let made = context
            .change(permit, |batch| OperatorTotp::run(batch, now, entropy))
            .await?;
        let length = made.secret.expose().len() + made.uri.expose().len();
        Reply::secret_with_status(StatusCode::CREATED, &made, length)
    }
}

pub(super) struct TotpConfirm;

impl Endpoint for TotpConfirm {
    type Op = OperatorTotpConfirm;
    type Body = wire::TotpConfirm;
    type Answer = ();
    const SUMMARY: &'static str = "Takes one's own authenticator app into use by its first code, with a proof by the device's own key";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/operators/{name}/totp/confirm";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        input.json::<Self::Body>()?;
        of_name(open, input, OperatorTotpConfirm::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let wire::TotpConfirm { code } = context.input.json::<Self::Body>()?;
        let now = context.input.now;
        context
            .change(permit, |batch| {
                OperatorTotpConfirm::run(batch, code.expose(), now)
            })
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct RecoveryCodes;

impl Endpoint for RecoveryCodes {
    type Op = OperatorRecoveryCodes;
    type Body = ();
    type Answer = wire::RecoveryCodes;
    const SUMMARY: &'static str =
        "Makes other recovery codes of one's own, shown once, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/operators/{name}/recovery-codes";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, OperatorRecoveryCodes::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let entropy = context.app.entropy.as_ref();
        let made = context
            .change(permit, |batch| OperatorRecoveryCodes::run(batch, entropy))
            .await?;
        let length = made.codes.iter().map(|code| code.expose().len()).sum();
        Reply::secret_with_status(StatusCode::CREATED, &made, length)
    }
}

pub(super) struct Logins;

impl Endpoint for Logins {
    type Op = WebLoginListing;
    type Body = ();
    type Answer = wire::WebLoginList;
    const SUMMARY: &'static str = "Lists the web logins of an operator";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/operators/{name}/logins";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, WebLoginListing::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (store, now) = (context.open.vault.store(), context.input.now);
        Reply::json::<Self::Answer>(&WebLoginListing::run(&permit, store, now)?)
    }
}

pub(super) struct EndLogins;

impl Endpoint for EndLogins {
    type Op = WebLoginEnd;
    type Body = ();
    type Answer = wire::WebLoginsEnded;
    const SUMMARY: &'static str = "Ends all web logins of an operator";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Logins::PATH;
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, |snapshot, name| {
            WebLoginEnd::resolve(snapshot, name, WhichLogins::All)
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let ended = context.change(permit, WebLoginEnd::run).await?;
        Reply::json::<Self::Answer>(&ended)
    }
}

pub(super) struct EndLogin;

impl Endpoint for EndLogin {
    type Op = WebLoginEnd;
    type Body = ();
    type Answer = wire::WebLoginsEnded;
    const SUMMARY: &'static str = "Ends one web login of an operator";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/operators/{name}/logins/{id}";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let (name, id) = (input.param("name")?, input.param("id")?);
        let snapshot = open.directory.snapshot();
        WebLoginEnd::resolve(&snapshot, &name, WhichLogins::One(id)).ok_or_else(no_operator)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let ended = context.change(permit, WebLoginEnd::run).await?;
        Reply::json::<Self::Answer>(&ended)
    }
}
