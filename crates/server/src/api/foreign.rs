//! `/v1/namespaces/{ns}/foreign-ids`: ids of other systems, the agents that they stand
//! for, and their secrets.

use crate::app::Open;
use crate::key_server::has_key_file;
use crate::problem::{Code, Failure, Needs};
use crate::serve::{Context, Endpoint, Input, Reply, refuse};
use http::StatusCode;
use procura_identity::{
    AgentSecretRevoke, AgentSecretRotate, ForeignBind, ForeignListing, ForeignRelease,
};
use procura_policy::{Denied, DenyReason, Op as _, Permit};
use procura_proof::Caller;
use procura_types::{ForeignId, Namespace, Role, wire};

/// The ids that a listing finds.
fn found(
    context: &Context<'_>,
    permit: &Permit<ForeignListing>,
) -> Result<wire::ForeignIdList, Failure> {
    let terms = context.app.config.agent_secret_terms();
    Ok(ForeignListing::run(
        permit,
        &context.open.directory.snapshot(),
        context.open.vault.store(),
        &terms,
        context.input.now,
    )?)
}

pub(super) struct List;

impl Endpoint for List {
    type Op = ForeignListing;
    type Body = ();
    type Answer = wire::ForeignIdList;
    const SUMMARY: &'static str =
        "Lists ids of other systems, their agents, and how old their secrets are";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/foreign-ids";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ForeignListing {
            namespace: input.param("ns")?,
            id: None,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&found(&context, &permit)?)
    }
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = ForeignListing;
    type Body = ();
    type Answer = wire::ForeignIdentity;
    const SUMMARY: &'static str =
        "Shows an id of another system, its agent, and how old its secrets are";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/foreign-ids/{agent_id}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ForeignListing {
            namespace: input.param("ns")?,
            id: Some(input.param("agent_id")?),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        match found(&context, &permit)?.ids.pop() {
            Some(id) => Reply::json::<Self::Answer>(&id),
            None => Err(no_such_id()),
        }
    }
}

pub(super) struct Bind;

impl Endpoint for Bind {
    type Op = ForeignBind;
    type Body = wire::ForeignBind;
    type Answer = wire::ForeignIdentity;
    const SUMMARY: &'static str = "Binds an id of another system to an agent";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ForeignBind { agent } = input.json::<Self::Body>()?;
        Ok(ForeignBind {
            namespace: input.param("ns")?,
            id: input.param("agent_id")?,
            agent,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        if has_key_file(context.app, &permit.op().id)? {
            takes_steward(&context, &permit)?;
        }
        let (now, terms) = (context.input.now, context.app.config.agent_secret_terms());
        let bound = context
            .change(permit, |batch| ForeignBind::run(batch, &terms, now))
            .await?;
        Reply::json::<Self::Answer>(&bound)
    }
}

/// Refuses whoever is no steward. An id with a key file is an agent's already, perhaps
/// one of another namespace: with the binding come secrets, which prove the id too.
fn takes_steward(context: &Context<'_>, permit: &Permit<ForeignBind>) -> Result<(), Failure> {
    let (caller, op) = (permit.caller(), permit.op());
    let snapshot = context.open.directory.snapshot();
    let roles = snapshot.roles(caller.actor());
    if roles.is_some_and(|held| held.has(Role::Steward, None)) {
        return Ok(());
    }
    let denied = Denied::new(DenyReason::NoRole, true);
    refuse(context, caller, op, &denied);
    let detail = format!(
        "The id {} has a key file in keys/agents of the server's home; to bind such an id takes the role steward, beside admin of the namespace.",
        op.id
    );
    let needs = Needs {
        action: ForeignBind::ACTION,
        namespace: Some(op.namespace.clone()),
        roles: &[Role::Steward],
    };
    Err(Failure {
        needs: Some(Box::new(needs)),
        ..Failure::new(Code::Forbidden, detail).because(denied)
    })
}

pub(super) struct Release;

impl Endpoint for Release {
    type Op = ForeignRelease;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Makes an id of another system stand for nobody; its secrets and the key that it was enrolled with end";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ForeignRelease {
            namespace: input.param("ns")?,
            id: input.param("agent_id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| ForeignRelease::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct RotateSecret;

impl Endpoint for RotateSecret {
    type Op = AgentSecretRotate;
    type Body = wire::AgentSecretRotate;
    type Answer = wire::AgentSecretIssued;
    const SUMMARY: &'static str = "Makes a secret of an id for the profiles with a MAC, shown once; the ones from before go on for some days, or end at once";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/foreign-ids/{agent_id}/secret";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::AgentSecretRotate { invalidate } = input.json::<Self::Body>()?;
        let (namespace, id): (Namespace, ForeignId) =
            (input.param("ns")?, input.param("agent_id")?);
        AgentSecretRotate::resolve(&open.directory.snapshot(), &id, invalidate)
            .filter(|op| *op.namespace() == namespace)
            .ok_or_else(no_such_id)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let terms = context.app.config.agent_secret_terms();
        let agent_id = permit.op().id().clone();
        let made = context
            .change(permit, |batch| {
                AgentSecretRotate::run(batch, &terms, now, entropy)
            })
            .await?;
        let answer = wire::AgentSecretIssued {
            agent_id,
            secret: made.text.expose().clone(),
            secrets: made.ages,
        };
        Reply::secret_with_status(StatusCode::CREATED, &answer, answer.secret.len())
    }
}

pub(super) struct RevokeSecrets;

impl Endpoint for RevokeSecrets {
    type Op = AgentSecretRevoke;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Ends all secrets of an id at once";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = RotateSecret::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(AgentSecretRevoke {
            namespace: input.param("ns")?,
            id: input.param("agent_id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.change(permit, AgentSecretRevoke::run).await?;
        Ok(Reply::nothing())
    }
}

fn no_such_id() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such id here, or it is not for you to know.",
    )
}
