//! `/v1/operators`.

use super::{agreed, link_code};
use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_directory::Snapshot;
use procura_identity::{
    OperatorInvite, OperatorLink, OperatorListing, OperatorRevoke, OperatorRoles,
};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::{Label, ProposalId, wire};
use serde::Deserialize;

pub(super) struct List;

impl Endpoint for List {
    type Op = OperatorListing;
    type Body = ();
    type Answer = wire::OperatorList;
    const SUMMARY: &'static str = "Lists operators";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/operators";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(OperatorListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&OperatorListing::run(
            &permit,
            &context.open.directory.snapshot(),
        ))
    }
}

pub(super) struct Invite;

impl Endpoint for Invite {
    type Op = OperatorInvite;
    type Body = wire::OperatorInvite;
    type Answer = wire::LinkCode;
    const SUMMARY: &'static str = "Invites an operator; the code is shown once";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::OperatorInvite { name, roles } = input.json::<Self::Body>()?;
        Ok(OperatorInvite { name, roles })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let issued = context
            .change(permit, |batch| OperatorInvite::run(batch, now, entropy))
            .await?;
        link_code(&context, issued)
    }
}

pub(super) struct SetRoles;

impl Endpoint for SetRoles {
    type Op = OperatorRoles;
    type Body = wire::RolesPut;
    type Answer = wire::Operator;
    const SUMMARY: &'static str =
        "Replaces all roles of an operator; who is a steward as a quorum agreed";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/operators/{name}/roles";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::RolesPut { roles, proposal } = input.json::<Self::Body>()?;
        Ok(OperatorRoles {
            name: input.param("name")?,
            roles,
            by: agreed(open, proposal),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let operator = context
            .change(permit, |batch| OperatorRoles::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&operator)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeQuery {
    #[serde(default)]
    proposal: Option<ProposalId>,
}

pub(super) struct Revoke;

impl Endpoint for Revoke {
    type Op = OperatorRevoke;
    type Body = ();
    type Answer = wire::RevokedActors;
    const SUMMARY: &'static str =
        "Revokes an operator and everything below; another steward as a quorum agreed";
    const QUERY: &'static [&'static str] = &["proposal"];
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/operators/{name}";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let RevokeQuery { proposal } = input.query()?;
        Ok(OperatorRevoke {
            name: input.param("name")?,
            by: agreed(open, proposal),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let ended = context
            .change(permit, |batch| OperatorRevoke::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&ended)
    }
}

pub(super) struct Link;

impl Endpoint for Link {
    type Op = OperatorLink;
    type Body = ();
    type Answer = wire::LinkCode;
    const SUMMARY: &'static str =
        "Makes a link code for another device of an operator, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/operators/{name}/link-code";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(no_operator);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        of_name(open, input, OperatorLink::resolve)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let issued = context
            .change(permit, |batch| OperatorLink::run(batch, now, entropy))
            .await?;
        link_code(&context, issued)
    }
}

/// The operation on the operator of the path, who has to be there and not revoked.
pub(super) fn of_name<O>(
    open: &Open,
    input: &Input,
    resolve: fn(&Snapshot, &Label) -> Option<O>,
) -> Result<O, Failure> {
    resolve(&open.directory.snapshot(), &input.param("name")?).ok_or_else(no_operator)
}

/// What is told of an operator whom there is not, and of one who is hidden.
pub(super) fn no_operator() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such operator, or it is not for you to know.",
    )
}
