//! `/v1/operators/{name}/identities`: who an operator is at identity providers, linked with
//! their own device key.

use super::operator::{no_operator, of_name};
use crate::app::Open;
use crate::opening::session_keys;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_identity::IdentityError;
use procura_identity::account::{OidcLink, OidcListing, OidcUnlink};
use procura_identity::oidc::{OidcRefusal, ProvenIdentity};
use procura_policy::{Action, Permit, Resource};
use procura_proof::Caller;
use procura_record::{ChangeError, Refusal};
use procura_types::{ActorId, Label, Thumbprint, wire};

pub(super) struct List;

impl Endpoint for List {
    type Op = OidcListing;
    type Body = ();
    type Answer = wire::OperatorIdentityList;
    const SUMMARY: &'static str = "Lists the identities that sign an operator in in a browser";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/operators/{name}/identities";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, OidcListing::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let store = context.open.vault.store();
        Reply::json::<Self::Answer>(&OidcListing::run(&permit, store)?)
    }
}

pub(super) struct Link;

impl Endpoint for Link {
    type Op = OidcLink;
    type Body = wire::IdentityLink;
    type Answer = wire::OperatorIdentity;
    const SUMMARY: &'static str = "Links an identity that was proven in a browser to the operator who calls, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let wire::IdentityLink { proof } = input.json::<Self::Body>()?;
        let name: Label = input.param("name")?;
        let keys = session_keys(&open.vault);
        let proven = ProvenIdentity::read(keys.as_ref(), &proof, input.now)
            .map_err(|error| Tried::of(caller).refused(open, input, &name, error))?;
        OidcLink::resolve(&open.directory.snapshot(), &name, proven).ok_or_else(no_operator)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let Context { app, open, input } = context;
        let proven = permit.op().proven();
        let name = permit.op().name().clone();
        let provider = app.oidc.get(proven.provider());
        // It was another provider of this name that vouched for it.
        let by = Tried::of(permit.caller());
        if provider.is_none_or(|provider| provider.client().issuer != proven.issuer()) {
            let error = OidcRefusal::ProofUnknown.into();
            return Err(by.refused(open, input, &name, error));
        }
        let now = input.now;
        let linked = context
            .change(permit, |batch| OidcLink::run(batch, now))
            .await
            .map_err(|error| match error {
                ChangeError::Domain(error) => by.refused(open, input, &name, error),
                ChangeError::Record(error) => error.into(),
            })?;
        Reply::with_status(StatusCode::CREATED, &linked)
    }
}

pub(super) struct Unlink;

impl Endpoint for Unlink {
    type Op = OidcUnlink;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str =
        "Unlinks an identity of an operator, and ends the web logins made with it";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/operators/{name}/identities/{id}";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let (name, id) = (input.param("name")?, input.param("id")?);
        OidcUnlink::resolve(&open.directory.snapshot(), &name, id).ok_or_else(no_operator)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.change(permit, OidcUnlink::run).await?;
        Ok(Reply::nothing())
    }
}

/// Who tried to link something.
struct Tried {
    actor: ActorId,
    device: Option<Thumbprint>,
    profile: &'static str,
}

impl Tried {
    fn of(caller: &Caller) -> Self {
        Self {
            actor: *caller.actor(),
            device: caller.device().copied(),
            profile: caller.profile().as_str(),
        }
    }

    /// Records why an identity is not linked, and gives it.
    fn refused(&self, open: &Open, input: &Input, name: &Label, error: IdentityError) -> Failure {
        let IdentityError::Oidc(refusal) = &error else {
            return error.into();
        };
        let action = Action::OperatorOidcLink.as_str();
        let reason = refusal.as_str();
        open.recorder.refuse(Refusal {
            actor: Some(self.actor),
            owner: Some(self.actor),
            device: self.device,
            resource: Some(Resource::Operator(name.clone()).to_string()),
            ip: input.peer,
            ..Refusal::of_nobody(action, reason, input.now, self.profile, input.trace)
        });
        error.into()
    }
}
