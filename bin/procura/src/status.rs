//! `status`: what the server says of itself.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use clap::Args;
use procura_types::wire;

/// Show whether the server is up, unsealed and well
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  procura status\n  procura status --deep --json")]
pub(crate) struct Status {
    /// Read and open every row, and list what is wrong with them; for stewards
    #[arg(long)]
    deep: bool,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let status = if self.deep {
            context.operator().await?.deep_status().await?
        } else {
            context.anybody()?.status().await?
        };
        if context.json {
            output::json(&status)?;
        } else {
            output::line(output::plain(&describe(&status)))?;
        }
        match status.deep.as_deref() {
            Some([_, ..]) => {
                Err(Failure::damaged("stored data is damaged").next("restore from a backup"))
            }
            _ => Ok(()),
        }
    }
}

fn describe(status: &wire::Status) -> String {
    let state = match (status.initialized, status.sealed) {
        (false, _) => "no installation yet; next: procura init",
        (true, true) => "sealed; next: procura unseal, on the server's machine",
        (true, false) => "unsealed",
    };
    let mut lines = vec![format!("state         {state}")];
    if let Some(installation) = status.installation {
        lines.push(format!("installation  {installation}"));
    }
    lines.push(format!("version       {}", status.version));
    lines.extend(
        status
            .degraded
            .iter()
            .map(|why| format!("degraded      {why}")),
    );
    if status.rewrapping {
        lines.push("rewrapping    keys of values, after a key turned".to_owned());
    }
    if let Some(checkpoint) = &status.checkpoint {
        let size = checkpoint.lines().nth(1).unwrap_or("?");
        lines.push(format!("record        {size} entries"));
    }
    match status.deep.as_deref() {
        None => {}
        Some([]) => lines.push("rows          every row opens".to_owned()),
        Some(wrong) => lines.extend(wrong.iter().map(|what| format!("damaged       {what}"))),
    }
    lines.join("\n")
}
