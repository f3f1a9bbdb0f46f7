//! `device`: machines' keys.

use crate::attestation;
use crate::context::Context;
use crate::device_grant;
use crate::failure::Failure;
use crate::operator::show_code;
use crate::output::{self, Table};
use crate::run::Socket;
use clap::Subcommand;
use procura_daemon::socket::client::DaemonClient;
use procura_types::wire::{Device, Quarantined};
use procura_types::{Label, Thumbprint};
use serde::Serialize;

/// List and revoke devices, the keys of single machines
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the devices of the agents in the namespace, and of operators
    ///
    /// To stewards it says as well which are quarantined or on hold; for the others these
    /// are not revoked.
    #[command(after_help = "Examples:\n  procura device list\n  procura device list --here")]
    List {
        /// The devices that this machine's daemon holds for you
        #[arg(long)]
        here: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Print a code with which another machine of yours joins, with a key of its own
    #[command(after_help = "Example:\n  procura device code")]
    Code,
    /// Make this machine's daemon accept a server that is older than it was
    ///
    /// For after an operator restored a backup and says so. The daemon forgets
    /// the newest record that it saw.
    #[command(after_help = "Example:\n  procura device trust-rollback --agent scribe")]
    TrustRollback {
        /// Which agent, when this machine is several
        #[arg(long, value_name = "LABEL")]
        agent: Option<String>,
        #[command(flatten)]
        socket: Socket,
    },
    /// Remove a device from this machine's daemon
    ///
    /// The server is not told: a key that may be in other hands is to be
    /// revoked as well.
    #[command(
        after_help = "Example:\n  procura device forget 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4"
    )]
    Forget {
        /// Its thumbprint, as listed with --here
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        thumbprint: Thumbprint,
        #[command(flatten)]
        socket: Socket,
    },
    /// List the machines that ask to be let in: procura join --device
    ///
    /// The code that a machine shows is on its screen and nowhere else.
    #[command(after_help = "Example:\n  procura device pending")]
    Pending,
    /// Let a machine that asks in, as one of an agent's
    ///
    /// What the machine says of itself is shown first, with a fingerprint: it has to be the
    /// one that the machine shows.
    #[command(after_help = "Example:\n  procura device approve WDJB-MJHT --agent scribe")]
    Approve {
        /// The code that the machine shows
        code: String,
        /// The agent that it becomes one of
        #[arg(long, value_name = "LABEL")]
        agent: Label,
    },
    /// Say no to a machine that asks
    #[command(after_help = "Example:\n  procura device deny WDJB-MJHT")]
    Deny {
        /// The code that the machine shows
        code: String,
    },
    /// Stop an operator's device at once, until a steward lets it out: procura honey reinstate
    ///
    /// It may still say yes or no to what is proposed to stewards; its yes counts against
    /// whoever put it on hold, and for nothing else.
    #[command(
        after_help = "Example:\n  procura device hold 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4"
    )]
    Hold {
        /// Its thumbprint, as listed
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        thumbprint: Thumbprint,
    },
    Attestations(attestation::Attestations),
    Baseline(attestation::Of),
    /// Revoke one machine's key, for good
    #[command(
        after_help = "Example:\n  procura device revoke 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4"
    )]
    Revoke {
        /// Its thumbprint, as listed
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        thumbprint: Thumbprint,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { here: false, .. } => list(context).await,
            Self::Attestations(command) => command.run(context).await,
            Self::Baseline(command) => command.run(context).await,
            Self::List { here: true, socket } => here(context, &socket),
            Self::TrustRollback { agent, socket } => {
                context.confirm("Accept a server that may have been rolled back?")?;
                DaemonClient::connect(&socket.path(context)?)?.danger_accept_rollback(agent)?;
                let trusted = serde_json::Map::from_iter([("trusted".to_owned(), true.into())]);
                output::done(
                    context.json,
                    &trusted,
                    "the daemon accepts the record as the server has it now",
                )
            }
            Self::Forget { thumbprint, socket } => {
                context.confirm(&format!(
                    "Remove the key of the device {thumbprint} from this machine? This cannot be undone."
                ))?;
                DaemonClient::connect(&socket.path(context)?)?.forget(thumbprint)?;
                output::say(format!("the device {thumbprint} is not here any more"));
                Ok(())
            }
            Self::Code => {
                let name = context.known()?.name;
                let code = context.operator().await?.operator_code(&name).await?;
                show_code(context, &code, "procura operator join CODE")
            }
            Self::Pending => device_grant::pending(context).await,
            Self::Approve { code, agent } => device_grant::approve(context, &code, agent).await,
            Self::Deny { code } => device_grant::deny(context, &code).await,
            Self::Hold { thumbprint } => {
                context.operator().await?.hold_device(&thumbprint).await?;
                let held = serde_json::json!({ "held": thumbprint });
                let words = format!(
                    "on hold: the device {thumbprint}; procura honey reinstate lets it out"
                );
                output::done(context.json, &held, words)
            }
            Self::Revoke { thumbprint } => {
                context.confirm(&format!(
                    "Revoke the device {thumbprint}? This cannot be undone."
                ))?;
                context.operator().await?.revoke_device(&thumbprint).await?;
                let revoked = serde_json::Map::from_iter([(
                    "revoked".to_owned(),
                    thumbprint.to_string().into(),
                )]);
                output::done(
                    context.json,
                    &revoked,
                    format!("revoked the device {thumbprint}"),
                )
            }
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let server = context.operator().await?;
    let agents = server.agents(&context.namespace).await?;
    // Only stewards may list people; for everyone else the agents are the list.
    let operators = match server.operators().await {
        Ok(list) => list.operators,
        Err(error) if error.is_refusal("forbidden") || error.is_refusal("not_found") => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    // Only stewards may know what is in quarantine.
    let held = match server.quarantine().await {
        Ok(list) => Some(list.quarantined),
        Err(error) if error.is_refusal("forbidden") || error.is_refusal("not_found") => None,
        Err(error) => return Err(error.into()),
    };
    let named = agents
        .agents
        .iter()
        .map(|agent| (agent.lineage.clone(), &agent.devices))
        .chain(
            operators
                .iter()
                .map(|operator| (operator.name.to_string(), &operator.devices)),
        );
    if context.json {
        let devices: Vec<Listed<'_>> = named
            .flat_map(|(_, devices)| devices)
            .map(|device| Listed {
                device,
                state: state(device, held.as_deref()),
            })
            .collect();
        return output::json(&devices);
    }
    let mut table = Table::new(["DEVICE", "ACTOR", "JOINED", "STATE"]);
    for (name, devices) in named {
        for device in devices {
            table.row([
                device.thumbprint.to_string(),
                name.clone(),
                device.created.to_string(),
                match device.revoked {
                    Some(when) => format!("revoked {when}"),
                    None => state(device, held.as_deref()).to_owned(),
                },
            ]);
        }
    }
    table.print("no devices")
}

/// A device as `device list --json` prints it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    device: &'a Device,
    state: &'static str,
}

/// How a device stands, by what is in quarantine; whoever may not know what is reads that
/// it is not revoked, and no more.
fn state(device: &Device, held: Option<&[Quarantined]>) -> &'static str {
    if device.revoked.is_some() {
        return "revoked";
    }
    let Some(held) = held else {
        return "not revoked";
    };
    match held
        .iter()
        .find(|held| held.device.as_ref() == Some(&device.thumbprint))
    {
        None => "active",
        Some(Quarantined {
            canary: None,
            by: Some(_),
            ..
        }) => "on hold",
        Some(_) => "quarantined",
    }
}

/// What this machine's daemon holds for this user.
fn here(context: &Context, socket: &Socket) -> Result<(), Failure> {
    let status = DaemonClient::connect(&socket.path(context)?)?.status()?;
    if context.json {
        return output::json(&status);
    }
    if status.danger_same_uid {
        output::say("danger: the daemon runs as this user, who can read its keys");
    }
    let mut table = Table::new(["DEVICE", "ACTOR", "SERVER", "STATE"]);
    for device in status.devices {
        let agent = format!("{} in {}", device.lineage, device.namespace);
        table.row([
            device.device.to_string(),
            agent,
            device.url,
            // When it was heard of; the server knows since when, and what is in quarantine.
            device
                .revoked
                .map_or("not revoked", |_| "revoked")
                .to_owned(),
        ]);
    }
    table.print("no devices on this machine")
}
