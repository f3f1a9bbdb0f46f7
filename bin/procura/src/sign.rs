//! `sign`: the headers that prove a request which another program sends.

use crate::context::Context;
use crate::failure::Failure;
use crate::outgoing::Asked;
use crate::output;
use clap::Args;
use std::collections::BTreeMap;

/// Print the headers that prove a request, for another program to send
///
/// One a line, as `curl -H @-` reads them; with --json, an object. They are good
/// for this one request, once, and for the minutes that the profile gives it. The
/// host that is signed is the URL's.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura sign GET https://svc.example/items?page=2 | curl -H @- 'https://svc.example/items?page=2'\n  procura sign POST https://svc.example/items @item.json --profile key-server-v1 --key ~/.ssh/scribe --agent-id scribe"
)]
pub(crate) struct Sign {
    #[command(flatten)]
    asked: Asked,
}

impl Sign {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let target = self.asked.target(context)?;
        let headers = self.asked.prove(context, target).await?.headers;
        if context.json {
            return output::json(&headers.into_iter().collect::<BTreeMap<_, _>>());
        }
        let lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        output::line(lines.join("\n"))
    }
}
