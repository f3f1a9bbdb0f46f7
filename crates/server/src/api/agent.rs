//! `/v1/namespaces/{ns}/agents`.

use super::link_code;
use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_identity::{
    AgentCreate, AgentDisplayName, AgentLink, AgentListing, AgentRevoke, AgentSources,
};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, DisplayNamePut};

pub(super) struct List;

impl Endpoint for List {
    type Op = AgentListing;
    type Body = ();
    type Answer = wire::AgentList;
    const SUMMARY: &'static str = "Lists agents and their devices";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/agents";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(AgentListing {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&AgentListing::run(
            &permit,
            &context.open.directory.snapshot(),
        ))
    }
}

pub(super) struct Create;

impl Endpoint for Create {
    type Op = AgentCreate;
    type Body = wire::AgentCreate;
    type Answer = wire::Agent;
    const SUMMARY: &'static str = "Makes an agent";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::AgentCreate { label, parent } = input.json::<Self::Body>()?;
        Ok(AgentCreate {
            namespace: input.param("ns")?,
            label,
            parent,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let made = context
            .change(permit, |batch| AgentCreate::run(batch, now))
            .await?;
        Reply::with_status::<Self::Answer>(StatusCode::CREATED, &made)
    }
}

pub(super) struct Link;

impl Endpoint for Link {
    type Op = AgentLink;
    type Body = ();
    type Answer = wire::LinkCode;
    const SUMMARY: &'static str = "Makes a link code for a device of an agent";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/agents/{label}/link-code";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(AgentLink {
            namespace: input.param("ns")?,
            label: input.param("label")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let issued = context
            .change(permit, |batch| AgentLink::run(batch, now, entropy))
            .await?;
        link_code(&context, issued)
    }
}

pub(super) struct Revoke;

impl Endpoint for Revoke {
    type Op = AgentRevoke;
    type Body = ();
    type Answer = wire::RevokedActors;
    const SUMMARY: &'static str = "Revokes an agent and everything below";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/namespaces/{ns}/agents/{label}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(AgentRevoke {
            namespace: input.param("ns")?,
            label: input.param("label")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let ended = context
            .change(permit, |batch| AgentRevoke::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&ended)
    }
}

pub(super) struct Sources;

impl Endpoint for Sources {
    type Op = AgentSources;
    type Body = wire::AgentSources;
    type Answer = wire::Agent;
    const SUMMARY: &'static str = "Says where an agent's requests may come from";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/agents/{label}/sources";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::AgentSources { sources } = input.json::<Self::Body>()?;
        Ok(AgentSources {
            namespace: input.param("ns")?,
            label: input.param("label")?,
            sources,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let agent = context.change(permit, AgentSources::run).await?;
        Reply::json::<Self::Answer>(&agent)
    }
}

pub(super) struct DisplayName;

impl Endpoint for DisplayName {
    type Op = AgentDisplayName;
    type Body = DisplayNamePut;
    type Answer = wire::Agent;
    const SUMMARY: &'static str = "Says what people call an agent";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/agents/{label}/display-name";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let DisplayNamePut { display_name } = input.json::<Self::Body>()?;
        Ok(AgentDisplayName {
            namespace: input.param("ns")?,
            label: input.param("label")?,
            display_name,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let agent = context.change(permit, AgentDisplayName::run).await?;
        Reply::json::<Self::Answer>(&agent)
    }
}
