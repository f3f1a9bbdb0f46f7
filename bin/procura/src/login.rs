//! `login` and `logout`: the passphrase once, for a while.

use crate::context::{Context, Span};
use crate::failure::Failure;
use crate::key_agent::{self, AgentSigner};
use crate::output;
use clap::Args;
use procura_types::Duration;
use serde::Serialize;

/// Unlock the operator's key for a while, so that commands stop asking
///
/// A key agent of this user holds the key in locked memory and gives out
/// signatures only. It ends by itself.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura login --for 8h")]
pub(crate) struct Login {
    /// For how long: 90s, 15m, 12h, 1d
    #[arg(long = "for", value_name = "TIME", default_value = "12h")]
    life: Span,
}

/// Lock the operator's key again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura logout")]
pub(crate) struct Logout {}

#[derive(Serialize)]
struct LoggedIn {
    until: procura_types::Timestamp,
}

/// What `logout --json` prints.
#[derive(Serialize)]
struct LoggedOut {
    was_unlocked: bool,
}

/// An unlocked key is not left for longer than a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

impl Login {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.life.0 > LONGEST {
            return Err(Failure::usage("--for is at most 7d"));
        }
        let key = context.unlock().await?;
        key_agent::start(&context.home, &key, self.life.0)?;
        let until = context.now().plus(self.life.0);
        if context.json {
            return output::json(&LoggedIn { until });
        }
        output::say(format!("unlocked until {until}; procura logout ends it"));
        Ok(())
    }
}

impl Logout {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match AgentSigner::find(&context.home) {
            Some(agent) => {
                agent.stop()?;
                output::done(context.json, &LoggedOut { was_unlocked: true }, "locked")
            }
            None => output::done(
                context.json,
                &LoggedOut {
                    was_unlocked: false,
                },
                "the key was not unlocked",
            ),
        }
    }
}
