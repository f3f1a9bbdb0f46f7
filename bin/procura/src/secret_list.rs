//! `secret list`.

use crate::context::{Context, Span};
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Args;
use procura_client::{Listed, Page};
use procura_types::wire::{SecretList, SecretRow};
use procura_types::{Duration, Timestamp};

/// List secrets: paths and versions, no values
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret list stripe/\n  procura secret list --due --within 30d\n  procura secret list --deleted\n  procura secret list shop/ --at 2026-11-20T08:00:00Z"
)]
pub(crate) struct List {
    /// Only paths that begin so
    prefix: Option<String>,
    /// Only those that have expired or should have been replaced
    #[arg(long)]
    due: bool,
    /// With --due, those too that will be due within this time: 12h, 30d
    #[arg(long, value_name = "TIME", requires = "due")]
    within: Option<Span>,
    /// Only those that were deleted and can be undeleted
    #[arg(long, conflicts_with = "due")]
    deleted: bool,
    /// What was there at this time, such as 2026-11-20T08:00:00Z, with the versions of
    /// then: what was deleted since is shown, what was made since is not
    #[arg(long, value_name = "TIME", conflicts_with_all = ["due", "deleted"])]
    at: Option<Timestamp>,
}

impl List {
    fn listed(&self) -> Listed {
        if let Some(at) = self.at {
            return Listed::At(at);
        }
        if self.deleted {
            return Listed::Deleted;
        }
        if self.due {
            return Listed::Due(self.within.map_or(Duration::ZERO, |span| span.0));
        }
        Listed::Readable
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let mut all = SecretList {
            secrets: Vec::new(),
            next: None,
        };
        let mut page = Page::first();
        loop {
            let prefix = self.prefix.as_deref();
            let part = server
                .secrets(&context.namespace, prefix, self.listed(), &page)
                .await?;
            all.secrets.extend(part.secrets);
            match part.next {
                Some(next) => page = Page::after(next),
                None => break,
            }
        }
        if context.json {
            return output::json(&all);
        }
        match self.listed() {
            Listed::Due(_) => due(all),
            Listed::Readable => rows(all, "no secrets"),
            Listed::Deleted => rows(all, "no deleted secrets"),
            Listed::At(_) => rows(all, "there were no secrets"),
        }
    }
}

fn rows(all: SecretList, none: &str) -> Result<(), Failure> {
    let mut table = Table::new(["SECRET", "VERSION", "KIND", "ENV", "TAGS", "DESCRIPTION"]);
    for secret in all.secrets {
        table.row([
            secret.path.to_string(),
            secret.version.to_string(),
            secret.kind.to_string(),
            secret.env.map_or_else(String::new, |env| env.to_string()),
            tags(&secret.tags),
            secret.description.unwrap_or_default(),
        ]);
    }
    table.print(none)
}

fn due(all: SecretList) -> Result<(), Failure> {
    let date = |date: Option<Timestamp>| date.map_or_else(String::new, |date| date.to_string());
    let mut table = Table::new(["SECRET", "EXPIRES", "ROTATE BY", "OWNER"]);
    for secret in all.secrets {
        let SecretRow {
            path,
            expires,
            rotate_by,
            owner,
            ..
        } = secret;
        let owner = owner.map_or_else(String::new, |owner| owner.to_string());
        table.row([path.to_string(), date(expires), date(rotate_by), owner]);
    }
    table.print("no secret is due")
}

/// Tags as they are shown.
fn tags(tags: &procura_types::Tags) -> String {
    let tags: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
    tags.join(",")
}
