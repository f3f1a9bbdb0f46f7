//! `audit retention`: how long entries of the record are kept.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use clap::{Args, Subcommand};
use procura_types::wire::{Retention, RetentionSet};
use std::str::FromStr;

/// See or say how long entries of the record are kept
///
/// They are kept for ever unless a steward says otherwise. Entries that are older go, whole
/// bundles from the beginning at a time; their hashes stay, so that everything that is kept
/// verifies as before, and an entry of the record says what went. Exports and copies of the
/// ledger that were made before keep what they have.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura audit retention\n  procura audit retention set 400d\n  procura audit retention set forever"
)]
pub(crate) struct Command {
    #[command(subcommand)]
    command: Option<Change>,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Say how long they are kept; a shorter time counts after a day
    #[command(
        after_help = "Examples:\n  procura audit retention set 400d\n  procura audit retention set forever"
    )]
    Set {
        /// Days, at least 7, such as 400d; or forever
        keep: Keep,
    },
}

/// How long entries are kept: whole days, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keep(Option<u64>);

impl FromStr for Keep {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "forever" {
            return Ok(Self(None));
        }
        let days = text
            .strip_suffix('d')
            .filter(|days| days.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|days| days.parse().ok())
            .ok_or("is a number of days such as 400d, or forever")?;
        if !RetentionSet::DAYS.contains(&days) {
            return Err("is 7d to 36500d, or forever");
        }
        Ok(Self(Some(days)))
    }
}

fn said(days: Option<u64>) -> String {
    match days {
        Some(days) => format!("for {days} days"),
        None => "for ever".to_owned(),
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let before = server.retention().await?;
        let Some(Change::Set { keep }) = self.command else {
            return show(context, &before);
        };
        let shorter = match (keep.0, before.keep_days) {
            (Some(keep), Some(days)) => keep < days,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if shorter {
            context.confirm(&format!(
                "Forget entries of the record that are older than {} days, from tomorrow on?",
                keep.0.unwrap_or_default()
            ))?;
        }
        let set = RetentionSet { keep_days: keep.0 };
        show(context, &server.set_retention(&set).await?)
    }
}

fn show(context: &Context, now: &Retention) -> Result<(), Failure> {
    if context.json {
        return output::json(now);
    }
    output::line(format!("entries are kept {}", said(now.keep_days)))?;
    if let Some(until) = now.waits_until {
        output::say(format!(
            "until {until} they are kept {} still; procura audit retention set forever takes the change back",
            said(now.until_then_days)
        ));
    }
    match now.first {
        0 => output::say(format!("all {} entries are there", now.entries)),
        first => output::say(format!(
            "of {} entries those from {first} on are there; what was before is forgotten, and its hashes are kept",
            now.entries
        )),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_within_bounds() {
        for (text, days) in [("7d", 7), ("400d", 400), ("36500d", 36_500)] {
            assert_eq!(text.parse(), Ok(Keep(Some(days))), "{text}");
        }
        assert_eq!("forever".parse(), Ok(Keep(None)));
        for text in [
            "",
            "d",
            "400",
            "+9d",
            "-9d",
            "9.5d",
            "1y",
            "Forever",
            "99999999999999999999d",
        ] {
            assert_eq!(
                text.parse::<Keep>(),
                Err("is a number of days such as 400d, or forever"),
                "{text}"
            );
        }
        for text in ["0d", "6d", "36501d"] {
            assert_eq!(
                text.parse::<Keep>(),
                Err("is 7d to 36500d, or forever"),
                "{text}"
            );
        }
    }
}
