//! `project token`: the tokens by which agents have a project's values without asking
//! again, and their end.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_client::{ClientError, Page, SessionClient};
use procura_types::wire::{ProjectToken, ProjectTokenList, ProjectTokenState};
use procura_types::{Label, Namespace, ProjectName, TokenId};

/// What shows the ids.
const LISTED: &str = "procura project token list";

/// How tokens come to be, for the help.
pub(crate) const ISSUED: &str = "No command issues tokens by itself: the daemon asks for each run, and its agents need none. They are\nfor programs that keep a key of their own and joined with it by a link code, over the API. Where that\nkey is in a FILE of OpenSSH, a token is issued, and then used from a file with the line\n'Authorization: Bearer TOKEN', by:\n  procura request POST /v1/namespaces/NS/projects/NAME/tokens '{\"kind\":\"opaque\"}' --key FILE\n  procura request POST /v1/namespaces/NS/projects/NAME/values '{}' -H @HEADER --key FILE";

/// List and revoke the tokens that agents have for projects
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List tokens; those that open something, unless told otherwise
    List(List),
    /// Revoke a token: the next use is refused
    #[command(
        after_help = "Example:\n  procura project token revoke 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11"
    )]
    Revoke {
        /// The token's id, as listed
        id: TokenId,
    },
    /// Revoke all tokens of a project that were issued so far; it may have ended
    #[command(after_help = "Example:\n  procura project token revoke-all shop")]
    RevokeAll {
        /// The project
        project: ProjectName,
    },
}

/// List tokens; those that open something, unless told otherwise
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura project token list\n  procura project token list --project shop --agent scribe --all"
)]
pub(crate) struct List {
    /// Those of this project only
    #[arg(long, value_name = "NAME")]
    project: Option<ProjectName>,
    /// Those of this agent only
    #[arg(long, value_name = "LABEL")]
    agent: Option<Label>,
    /// Those that are over, revoked or without their grant too
    #[arg(long)]
    all: bool,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::List(list) => list.run(context).await,
            Self::Revoke { id } => {
                let server = context.operator().await?;
                server
                    .revoke_project_token(namespace, id)
                    .await
                    .map_err(|error| unknown(error, LISTED))?;
                output::say(format!("revoked {id}: it opens nothing from now on"));
                Ok(())
            }
            Self::RevokeAll { project } => {
                context.confirm(&format!(
                    "Revoke all tokens of the project {project} in {namespace}? Its agents have to issue others."
                ))?;
                let server = context.operator().await?;
                let revoked = server
                    .revoke_project_tokens(namespace, &project)
                    .await
                    .map_err(|error| unknown(error, "procura project list"))?;
                if context.json {
                    return output::json(&revoked);
                }
                output::say(format!(
                    "revoked {} that opened something; none that was issued so far does",
                    revoked.revoked
                ));
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let mut tokens = every(&server, &context.namespace, &self).await?;
        if !self.all {
            tokens.retain(|token| token.state == ProjectTokenState::Live);
        }
        if context.json {
            return output::json(&ProjectTokenList { tokens, next: None });
        }
        let mut table = Table::new(["ID", "PROJECT", "AGENT", "KIND", "NAMES", "STATE", "UNTIL"]);
        for token in tokens {
            table.row([
                token.id.to_string(),
                token.project.to_string(),
                output::plain(&token.lineage),
                token.kind.as_str().to_owned(),
                names(&token),
                token.state.as_str().to_owned(),
                token.expires.to_string(),
            ]);
        }
        table.print("no project tokens")
    }
}

/// All tokens that are asked for.
async fn every(
    server: &SessionClient,
    namespace: &Namespace,
    list: &List,
) -> Result<Vec<ProjectToken>, ClientError> {
    let (project, agent) = (list.project.as_ref(), list.agent.as_ref());
    let mut tokens = Vec::new();
    let mut page = Page::first();
    loop {
        let part = server
            .project_tokens(namespace, project, agent, &page)
            .await?;
        tokens.extend(part.tokens);
        match part.next {
            Some(next) => page = Page::after(next),
            None => return Ok(tokens),
        }
    }
}

fn names(token: &ProjectToken) -> String {
    let names: Vec<_> = token.items.iter().map(|item| item.name.as_str()).collect();
    names.join(",")
}

/// There is no token of this id, or no such project; `listed` shows them.
fn unknown(error: ClientError, listed: &str) -> Failure {
    let is_unknown = error.is_refusal("not_found");
    let failure = Failure::from(error);
    if is_unknown {
        failure.next(listed)
    } else {
        failure
    }
}
