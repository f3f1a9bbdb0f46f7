//! `/v1/namespaces/{ns}/projects`.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::{ProjectListing, ProjectRead, ProjectWrite};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;

pub(super) struct List;

impl Endpoint for List {
    type Op = ProjectListing;
    type Body = ();
    type Answer = wire::ProjectList;
    const SUMMARY: &'static str = "Lists projects";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ProjectListing {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&ProjectListing::run(
            &permit,
            &context.open.directory.snapshot(),
            context.open.vault.store(),
        )?)
    }
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = ProjectRead;
    type Body = ();
    type Answer = wire::Project;
    const SUMMARY: &'static str = "Shows a project";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ProjectRead {
            namespace: input.param("ns")?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&ProjectRead::run(
            &permit,
            &context.open.directory.snapshot(),
            context.open.vault.store(),
        )?)
    }
}

pub(super) struct Write;

impl Endpoint for Write {
    type Op = ProjectWrite;
    type Body = wire::ProjectPut;
    type Answer = wire::Project;
    const SUMMARY: &'static str = "Makes a project or replaces it";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ProjectPut { agents, env } = input.json::<Self::Body>()?;
        Ok(ProjectWrite {
            namespace: input.param("ns")?,
            name: input.param("name")?,
            agents,
            env,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let project = context
            .change(permit, |batch| ProjectWrite::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&project)
    }
}
