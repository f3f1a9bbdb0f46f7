//! `/v1/namespaces/{ns}/projects`.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::{
    ProjectDelete, ProjectDisplayName, ProjectListing, ProjectRead, ProjectRebind,
    ProjectRequireGrade, ProjectWrite,
};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, DisplayNamePut};

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

pub(super) struct Rebind;

impl Endpoint for Rebind {
    type Op = ProjectRebind;
    type Body = wire::ProjectRebind;
    type Answer = wire::ProjectRebound;
    const SUMMARY: &'static str =
        "Gives a project to other agents: the grants of those who leave end";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/rebind";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ProjectRebind { agents, env } = input.json::<Self::Body>()?;
        Ok(ProjectRebind {
            namespace: input.param("ns")?,
            name: input.param("name")?,
            agents,
            env,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let namespace = permit.op().namespace.clone();
        let (project, ended) = context
            .change(permit, |batch| ProjectRebind::run(batch, now))
            .await?;
        let ended = ended.with_running(context.open.vault.store(), &namespace)?;
        Reply::json::<Self::Answer>(&wire::ProjectRebound { project, ended })
    }
}

pub(super) struct DisplayName;

impl Endpoint for DisplayName {
    type Op = ProjectDisplayName;
    type Body = DisplayNamePut;
    type Answer = wire::Project;
    const SUMMARY: &'static str = "Says what people call a project";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/display-name";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let DisplayNamePut { display_name } = input.json::<Self::Body>()?;
        Ok(ProjectDisplayName {
            namespace: input.param("ns")?,
            name: input.param("name")?,
            display_name,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let project = context.change(permit, ProjectDisplayName::run).await?;
        Reply::json::<Self::Answer>(&project)
    }
}

pub(super) struct RequireGrade;

impl Endpoint for RequireGrade {
    type Op = ProjectRequireGrade;
    type Body = wire::ProjectRequireGrade;
    type Answer = wire::Project;
    const SUMMARY: &'static str = "Says what a daemon has to have attested to be handed anything";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/require-grade";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ProjectRequireGrade { grade } = input.json::<Self::Body>()?;
        Ok(ProjectRequireGrade {
            namespace: input.param("ns")?,
            name: input.param("name")?,
            grade,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let project = context
            .change(permit, |batch| ProjectRequireGrade::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&project)
    }
}

pub(super) struct Delete;

impl Endpoint for Delete {
    type Op = ProjectDelete;
    type Body = ();
    type Answer = wire::ProjectDeleted;
    const SUMMARY: &'static str = "Deletes a project, withdraws its grants and ends its requests";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ProjectDelete {
            namespace: input.param("ns")?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let ProjectDelete { namespace, name } = permit.op();
        let (namespace, name) = (namespace.clone(), name.clone());
        let ended = context
            .change(permit, |batch| ProjectDelete::run(batch, now))
            .await?;
        let ended = ended.with_running(context.open.vault.store(), &namespace)?;
        Reply::json::<Self::Answer>(&wire::ProjectDeleted { name, ended })
    }
}
