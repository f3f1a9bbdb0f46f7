//! `join --device`: this machine asks by itself, and an operator says whose it is.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::shares::qr;
use procura_daemon::DeviceSummary;
use procura_daemon::socket::WaitingDevice;
use procura_daemon::socket::client::{DaemonClient, JoinDeviceOptions};
use procura_types::DisplayName;
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::Path;

/// One line of `join --device --json`.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Line<'a> {
    /// What to show to an operator.
    Pending(&'a WaitingDevice),
    /// What this machine is now.
    Joined(&'a DeviceSummary),
}

/// Asks the server, shows what an operator needs, and waits for their answer. Ctrl-C ends
/// it: the daemon sees that nobody waits any more, and forgets the key.
pub(crate) fn join(
    context: &Context,
    socket: &Path,
    uid: Option<u32>,
    host: Option<DisplayName>,
) -> Result<(), Failure> {
    let ca_pem = context
        .ca_pem()?
        .map(String::from_utf8)
        .transpose()
        .map_err(|error| Failure::usage("--ca is not PEM").because(error))?;
    let options = JoinDeviceOptions {
        url: context.url(None),
        ca_pem,
        uid,
        host,
    };
    let (waiting, wait) = DaemonClient::connect(socket)?.join_device(options)?;
    if context.json {
        output::json(&Line::Pending(&waiting))?;
    } else {
        show(&waiting)?;
    }
    let device = wait.answered()?;
    if context.json {
        return output::json(&Line::Joined(&device));
    }
    output::say(output::plain(&format!(
        "this machine is {} now",
        device.lineage
    )));
    Ok(())
}

/// What an operator needs, for the person who sits here to tell or show them.
fn show(waiting: &WaitingDevice) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() {
        output::line(qr(&waiting.verification_uri_complete)?)?;
    }
    let plain = |text: &str| output::plain(text).replace('\n', " ");
    output::say(format!(
        "An operator lets this machine in.\n  open         {}\n  code         {}\n  or type      procura device approve {} --agent NAME\n  fingerprint  {}\nThey have to see the same fingerprint. Waiting for {} minutes; Ctrl-C stops.",
        plain(&waiting.verification_uri),
        plain(&waiting.user_code),
        plain(&waiting.user_code),
        plain(&waiting.fingerprint),
        waiting.expires_in.div_ceil(60),
    ));
    Ok(())
}
