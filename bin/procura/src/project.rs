//! `project`: named consumers of secrets.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::project_token;
use crate::{named, project_end};
use clap::{Args, Subcommand};
use procura_types::wire::{Project, ProjectPut};
use procura_types::{DisplayName, EnvName, Grade, Label, ProjectName, SecretPath};
use std::collections::BTreeSet;
use std::str::FromStr;

/// Say which agents may ask for which secrets, under which names
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a project, or change one
    Set(Set),
    /// Show a project
    #[command(after_help = "Example:\n  procura project show shop")]
    Show {
        /// The project
        name: ProjectName,
    },
    /// Give a project to other agents
    ///
    /// The grants of all others end at once, and so do requests that do not fit any more;
    /// what is running is listed. With --env the mapping is replaced by what is named.
    #[command(
        after_help = "Examples:\n  procura project rebind shop --agent clerk\n  procura project rebind shop --agent clerk --env API_KEY=stripe/new"
    )]
    Rebind(project_end::Rebind),
    /// Say what people call a project
    ///
    /// Its name never changes, and nothing is decided by this one.
    #[command(
        after_help = "Examples:\n  procura project display-name shop \"The web shop\"\n  procura project display-name shop --clear"
    )]
    DisplayName {
        /// The project
        name: ProjectName,
        /// What people call it: a line of at most 64 characters
        #[arg(required_unless_present = "clear", conflicts_with = "clear")]
        display_name: Option<DisplayName>,
        /// It is called by its name alone
        #[arg(long)]
        clear: bool,
    },
    /// Delete a project: its grants and requests end at once
    #[command(after_help = "Example:\n  procura project delete shop")]
    Delete {
        /// The project
        name: ProjectName,
    },
    /// List the projects of the namespace
    #[command(after_help = "Example:\n  procura project list")]
    List,
    /// List and revoke the tokens that agents have for projects
    ///
    /// A token opens what a grant covered when it was issued, for one device and at most
    /// 14 days.
    #[command(subcommand, after_help = project_token::ISSUED)]
    Token(project_token::Command),
}

/// Make a project, or change one
///
/// What is not named stays as it is. Asking is not having: each agent still
/// needs a grant.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura project set shop --agent scribe --env API_KEY=stripe/key\n  procura project set shop --remove-agent scribe --remove-env API_KEY\n  procura project set shop --require-grade signed-release"
)]
pub(crate) struct Set {
    /// The project
    name: ProjectName,
    /// An agent that may ask for the project's secrets
    #[arg(long = "agent", value_name = "LABEL")]
    agents: Vec<Label>,
    /// A name in the environment, and the secret behind it
    #[arg(long = "env", value_name = "NAME=PATH")]
    env: Vec<Mapping>,
    /// An agent that may not ask any more
    #[arg(long, value_name = "LABEL")]
    remove_agent: Vec<Label>,
    /// A name that is not mapped any more
    #[arg(long, value_name = "NAME")]
    remove_env: Vec<EnvName>,
    /// Hand values only to daemons that attest so or better: self-reported, signed-release,
    /// quoted, or none to ask for nothing
    #[arg(long, value_name = "GRADE")]
    require_grade: Option<Required>,
}

/// A grade, or `none`.
#[derive(Debug, Clone, Copy)]
struct Required(Option<Grade>);

impl FromStr for Required {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let grade: Result<Grade, procura_types::Malformed> = text.parse();
        grade
            .map(|grade| Self(Some(grade)))
            .map_err(|_| "is not self-reported, signed-release, quoted or none".to_owned())
    }
}

/// `NAME=path`.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) name: EnvName,
    pub(crate) path: SecretPath,
}

impl FromStr for Mapping {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .ok_or("is not NAME=PATH, such as API_KEY=stripe/key")?;
        let name = name
            .parse()
            .map_err(|error: procura_types::Malformed| error.to_string())?;
        let path = path
            .parse()
            .map_err(|error: procura_types::Malformed| error.to_string())?;
        Ok(Self { name, path })
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Token(command) => command.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::Rebind(rebind) => rebind.run(context).await,
            Self::Delete { name } => project_end::delete(context, &name).await,
            Self::DisplayName {
                name, display_name, ..
            } => {
                let project = context
                    .operator()
                    .await?
                    .name_project(&context.namespace, &name, display_name)
                    .await?;
                let words = named::words("project", name.as_str(), project.display_name.as_ref());
                output::done(context.json, &project, words)
            }
            Self::Show { name } => {
                let project = context
                    .operator()
                    .await?
                    .project(&context.namespace, &name)
                    .await?;
                show(context, &project)
            }
            Self::List => {
                let list = context
                    .operator()
                    .await?
                    .projects(&context.namespace)
                    .await?;
                if context.json {
                    return output::json(&list);
                }
                let mut table = Table::new(["PROJECT", "CALLED", "AGENTS", "NAMES", "CHANGED"]);
                for project in list.projects {
                    table.row([
                        project.name.to_string(),
                        named::cell(project.display_name.as_ref()),
                        labels(&project),
                        project.env.len().to_string(),
                        project.updated.to_string(),
                    ]);
                }
                table.print("no projects")
            }
        }
    }
}

impl Set {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let before = match server.project(&context.namespace, &self.name).await {
            Ok(project) => Some(project),
            Err(error) if error.is_refusal("not_found") => None,
            Err(error) => return Err(error.into()),
        };
        self.removes_what_is_there(before.as_ref())?;
        let put = self.apply(before);
        let mut project = server
            .put_project(&context.namespace, &self.name, &put)
            .await?;
        if let Some(Required(grade)) = self.require_grade {
            project = server
                .require_grade(&context.namespace, &self.name, grade)
                .await?;
        }
        show(context, &project)
    }

    /// A permission that somebody meant to take away must not stay for a typing
    /// error that nobody sees.
    fn removes_what_is_there(&self, before: Option<&Project>) -> Result<(), Failure> {
        let agent = self
            .remove_agent
            .iter()
            .find(|label| !before.is_some_and(|project| project.agents.contains(label)));
        let name = self
            .remove_env
            .iter()
            .find(|name| !before.is_some_and(|project| project.env.contains_key(*name)));
        let (what, which) = match (agent, name) {
            (Some(label), _) => ("agent", label.as_str()),
            (None, Some(name)) => ("name", name.as_str()),
            (None, None) => return Ok(()),
        };
        Err(Failure::usage(format!(
            "nothing was changed: the project {} has no {what} {which}",
            self.name
        ))
        .next(format!("procura project show {}", self.name)))
    }

    /// The project after the change.
    fn apply(&self, before: Option<Project>) -> ProjectPut {
        let (agents, mut env) =
            before.map_or_else(Default::default, |project| (project.agents, project.env));
        let mut agents: BTreeSet<Label> = agents.into_iter().collect();
        agents.extend(self.agents.iter().cloned());
        agents.retain(|label| !self.remove_agent.contains(label));
        env.extend(
            self.env
                .iter()
                .map(|mapping| (mapping.name.clone(), mapping.path.clone())),
        );
        env.retain(|name, _| !self.remove_env.contains(name));
        ProjectPut {
            agents: agents.into_iter().collect(),
            env,
        }
    }
}

fn labels(project: &Project) -> String {
    let labels: Vec<_> = project.agents.iter().map(Label::as_str).collect();
    if labels.is_empty() {
        "none".to_owned()
    } else {
        labels.join(", ")
    }
}

pub(crate) fn show(context: &Context, project: &Project) -> Result<(), Failure> {
    if context.json {
        return output::json(project);
    }
    output::say(format!(
        "project {} in {}, agents: {}",
        named::beside(project.name.as_str(), project.display_name.as_ref()),
        context.namespace,
        labels(project)
    ));
    if let Some(grade) = project.require_grade {
        output::say(format!(
            "hands values to daemons whose attestation is {grade} or better"
        ));
    }
    let mut table = Table::new(["NAME", "SECRET"]);
    for (name, path) in &project.env {
        table.row([name.to_string(), path.to_string()]);
    }
    table.print("no names are mapped")
}
