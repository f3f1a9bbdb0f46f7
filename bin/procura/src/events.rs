//! `events`: what happens, one line each.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use clap::Args;
use procura_client::{EventStream, Told};
use procura_types::wire::{Event, EventKind, RESET};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long a stream has to last before it is opened anew without a pause.
const PAUSE: Duration = Duration::from_secs(1);

/// Show what happened last, or what happens from now on: revocations, requests, grants, alarms,
/// reminders
///
/// What you see of it are all namespaces that you have a role in, whatever --namespace
/// says. A line begins with its id, which is its entry's place in the record.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura events\n  procura events --follow\n  procura events --follow --after 4711 --json"
)]
pub(crate) struct Events {
    /// Wait for more, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only what happened after the event of this id
    #[arg(long, value_name = "ID", value_parser = crate::cli::whole::<u64>)]
    after: Option<u64>,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Event>,
}

impl Events {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let mut after = self.after;
        let mut asked = self.after;
        loop {
            let opened = Instant::now();
            let mut stream = server.events(after, self.follow).await?;
            let mut lines = Vec::new();
            while let Some(told) = stream.next().await? {
                // What was typed is answered by what is told first.
                let asked = asked.take();
                if context.json {
                    json(&stream, &told)?;
                } else {
                    show(&stream, &told, asked, &mut lines)?;
                }
            }
            if !self.follow {
                return Ok(());
            }
            // Its session has ended, or it may not follow any more; that is what the
            // server says when it is asked again.
            after = stream.last();
            tokio::time::sleep(PAUSE.saturating_sub(opened.elapsed())).await;
        }
    }
}

fn json(stream: &EventStream, told: &Told) -> Result<(), Failure> {
    let (event, data) = match told {
        Told::Event(kind, event) => (kind.as_str(), Some(event.as_ref())),
        Told::Reset => (RESET, None),
    };
    output::json(&Line {
        event,
        id: stream.last(),
        data,
    })
}

/// Shows it with its id. Of the messages about one entry the last one has it, so that
/// the `lines` of those before wait for that.
fn show(
    stream: &EventStream,
    told: &Told,
    asked: Option<u64>,
    lines: &mut Vec<String>,
) -> Result<(), Failure> {
    match told {
        Told::Event(kind, event) => {
            lines.push(words(*kind, event));
            let Some(id) = stream.entry() else {
                return Ok(());
            };
            for line in lines.drain(..) {
                output::line(output::plain(&format!("{id}  {line}")))?;
            }
        }
        Told::Reset => output::say(match asked {
            Some(_) => {
                "that id is not kept any more, or is none of this record; procura audit list has all of it"
            }
            None => "what happened before is not kept any more; procura audit list has all of it",
        }),
    }
    Ok(())
}

fn words(kind: EventKind, event: &Event) -> String {
    let mut words = vec![
        event.time.to_string(),
        kind.as_str().to_owned(),
        event.action.clone(),
    ];
    let more = [
        event.namespace.as_ref().map(|name| format!("in {name}")),
        event.resource.clone(),
        event.reason.clone(),
        event.count.map(|count| format!("{count} times")),
        event.grant.map(|grant| format!("grant {grant}")),
    ];
    words.extend(more.into_iter().flatten());
    words.join("  ").replace('\n', " ")
}
