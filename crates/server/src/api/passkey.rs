//! `/v1/operators/{name}/passkeys`, `/v1/passkeys`.

use super::operator::{no_operator, of_name};
use crate::app::Open;
use crate::passkeys::{issued, relying_party};
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_identity::passkey::{PasskeyInvite, PasskeyListing, PasskeyRemove, PasskeyRename};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;

pub(super) struct List;

impl Endpoint for List {
    type Op = PasskeyListing;
    type Body = ();
    type Answer = wire::PasskeyList;
    const SUMMARY: &'static str = "Lists the passkeys of an operator";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/operators/{name}/passkeys";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, PasskeyListing::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let snapshot = open.directory.snapshot();
        Reply::json::<Self::Answer>(&PasskeyListing::run(
            &permit,
            &snapshot,
            open.vault.store(),
        )?)
    }
}

pub(super) struct Invite;

impl Endpoint for Invite {
    type Op = PasskeyInvite;
    type Body = ();
    type Answer = wire::PasskeyCode;
    const SUMMARY: &'static str = "Makes a code with which a browser enrols one more passkey of the operator who calls, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/operators/{name}/passkey-code";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, PasskeyInvite::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        relying_party(context.app)?;
        let code = context
            .change(permit, |batch| PasskeyInvite::run(batch, now, entropy))
            .await?;
        let answer = issued(context.app, &code);
        Reply::secret_with_status(StatusCode::CREATED, &answer, answer.code.len())
    }
}

pub(super) struct Rename;

impl Endpoint for Rename {
    type Op = PasskeyRename;
    type Body = wire::PasskeyRename;
    type Answer = wire::Passkey;
    const SUMMARY: &'static str = "Says what its owner calls a passkey";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/passkeys/{id}/name";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_passkey);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::PasskeyRename { name } = input.json::<Self::Body>()?;
        PasskeyRename::resolve(&open.directory.snapshot(), &input.param("id")?, name)
            .ok_or_else(no_passkey)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let passkey = context.change(permit, PasskeyRename::run).await?;
        Reply::json::<Self::Answer>(&passkey)
    }
}

pub(super) struct Remove;

impl Endpoint for Remove {
    type Op = PasskeyRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes a passkey, and ends the web logins made with it, with a proof by the device's own key";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/passkeys/{id}";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_passkey);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        PasskeyRemove::resolve(&open.directory.snapshot(), &input.param("id")?)
            .ok_or_else(no_passkey)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| PasskeyRemove::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

fn no_passkey() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such passkey that was not removed, or it is not for you to know.",
    )
}
