//! `secret rollback`: what was there at a time becomes the newest again.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Args;
use procura_types::wire::{RollbackChange, SecretRollback, SecretRolledBack};
use procura_types::{SecretPath, Timestamp};

/// Take a secret, or a namespace, back to what was there at a time
///
/// What was there becomes a new version of each secret whose value is another now; what was not
/// there is deleted, and can be undeleted. Nothing of the past is rewritten, and what is
/// said of secrets (tags, dates, delivery) stays as it is. It shows what it will do, asks,
/// and does all of it or, when something was changed meanwhile, nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret rollback stripe/key --to 2026-11-20T08:00:00Z\n  procura secret rollback --all --to 2026-11-20T08:00:00Z --dry-run\n  procura secret rollback --prefix shop/ --to 2026-11-20T08:00:00Z"
)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct Rollback {
    /// One secret
    #[arg(group = "which")]
    path: Option<SecretPath>,
    /// All secrets whose paths begin so
    #[arg(long, value_name = "PREFIX", group = "which")]
    prefix: Option<String>,
    /// All secrets of the namespace
    #[arg(long, group = "which")]
    all: bool,
    /// The time, such as 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME")]
    to: Timestamp,
    /// Leave those as they are whose value of then was destroyed
    #[arg(long)]
    leave_destroyed: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Rollback {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let namespace = &context.namespace;
        let mut rollback = SecretRollback {
            at: self.to,
            prefix: self.prefix.unwrap_or_default(),
            dry_run: true,
            leave_destroyed: self.leave_destroyed,
            expect_state: None,
        };
        let preview = server
            .roll_back(namespace, self.path.as_ref(), &rollback)
            .await?;
        if self.dry_run && context.json {
            return output::json(&preview);
        }
        if !context.json {
            show(&preview)?;
        }
        let gone: Vec<&str> = preview
            .changes
            .iter()
            .filter(|row| row.change == RollbackChange::Destroyed)
            .map(|row| row.path.as_str())
            .collect();
        if !gone.is_empty() && !self.leave_destroyed {
            let words = format!("what was there then was destroyed: {}", gone.join(", "));
            if self.dry_run {
                output::say(format!("nothing would be done, for {words}"));
                return Ok(());
            }
            return Err(Failure::refused(format!("nothing was done, for {words}"))
                .next("--leave-destroyed leaves these as they are"));
        }
        let count = preview.changes.len() - gone.len();
        if self.dry_run {
            return Ok(());
        }
        if count == 0 {
            if context.json {
                return output::json(&preview);
            }
            output::say("all of it is as it was then");
            return Ok(());
        }
        context.confirm(&format!(
            "Change these {count} secrets in {namespace}? Versions of now can be read by their numbers."
        ))?;
        rollback.dry_run = false;
        rollback.expect_state = Some(preview.state);
        let done = server
            .roll_back(namespace, self.path.as_ref(), &rollback)
            .await?;
        let words = format!(
            "{count} secrets in {namespace} are as they were at {}",
            done.at
        );
        output::done(context.json, &done, words)
    }
}

fn show(preview: &SecretRolledBack) -> Result<(), Failure> {
    let mut table = Table::new(["SECRET", "NOW", "THEN", ""]);
    for row in &preview.changes {
        let what = match (row.change, row.version) {
            (RollbackChange::Restore, Some(version)) => format!("becomes version {version}"),
            (RollbackChange::Destroyed, _) => "was destroyed".to_owned(),
            _ => "is deleted".to_owned(),
        };
        table.row([
            row.path.to_string(),
            row.latest.to_string(),
            row.from
                .map_or_else(|| "none".to_owned(), |from| from.to_string()),
            what,
        ]);
    }
    table.print("all of it is as it was then")
}
