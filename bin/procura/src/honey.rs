//! `honey`: decoys beside the secrets, and what touched them.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::secret::read_stdin;
use clap::{Args, Subcommand};
use procura_client::ClientError;
use procura_types::wire::{Honey, HoneyFound, HoneyPlant, HoneyTouch, Quarantined, ValueB64};
use procura_types::{
    EnvName, ForeignId, HoneyMode, HoneyShape, SecretKind, SecretPath, Tags, Thumbprint,
};

/// Plant decoys among the secrets; whoever touches one is put into quarantine
///
/// Lists show a honey secret like any other. Nobody has a reason to read it: what does,
/// device or agent, can do nothing any more until a steward lets it out, and an alarm
/// says so. All of this is for stewards, who touch nothing.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plant a honey secret where no secret is or was
    #[command(
        after_help = "Examples:\n  procura honey plant --shape aws --env AWS_CREDENTIALS prod/aws\n  procura honey plant --mode bait --shape github ci/token\n  procura honey plant --stdin backups/key < decoy.txt"
    )]
    Plant(Plant),
    /// List honey secrets, and who touched them
    #[command(after_help = "Example:\n  procura honey list")]
    List,
    /// Remove a honey secret; its value is still known to `which`
    #[command(after_help = "Example:\n  procura honey remove prod/aws")]
    Remove {
        /// Where it lies
        path: SecretPath,
    },
    /// Read something that was found on stdin, and say which honey secret it is
    ///
    /// It may be the value, a part of it, or a text that it stands in, such as a file.
    #[command(after_help = "Example:\n  procura honey which < pasted.txt")]
    Which,
    /// List what is in quarantine
    #[command(after_help = "Example:\n  procura honey quarantine")]
    Quarantine,
    /// Let a device out of quarantine; sessions and tokens from before stay over
    #[command(
        after_help = "Examples:\n  procura honey reinstate 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4\n  procura honey reinstate --agent-id till.7"
    )]
    Reinstate {
        /// The thumbprint of the device, as listed by `quarantine`
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true, required_unless_present = "agent_id")]
        device: Option<Thumbprint>,
        /// An id of another system that has no device
        #[arg(long, value_name = "ID", conflicts_with = "device")]
        agent_id: Option<ForeignId>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Plant {
    /// Where, in the namespace
    path: SecretPath,
    /// What it looks like: aws, github, openai, stripe or postgresql [default: aws]
    #[arg(long, conflicts_with = "stdin")]
    shape: Option<HoneyShape>,
    /// Take a decoy of your own from stdin, 1 byte to 32 KiB; which knows it again from 12
    /// bytes on
    #[arg(long)]
    stdin: bool,
    /// What whoever asks is answered: deny, that there is no such secret, or bait, the
    /// decoy
    #[arg(long, default_value = "deny")]
    mode: HoneyMode,
    /// The environment name that discovery is asked for
    #[arg(long, value_name = "NAME")]
    env: Option<EnvName>,
    /// What lists say of it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What lists say that it is, as of other secrets
    #[arg(long, default_value = "key-value")]
    kind: SecretKind,
    /// Print the decoy on stdout, to lay copies of it elsewhere
    #[arg(long)]
    show: bool,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Plant(command) => command.run(context).await,
            Self::List => list(context).await,
            Self::Remove { path } => {
                context.confirm(&format!(
                    "Remove the honey secret {path}? Whoever asks for it is not noticed any more."
                ))?;
                let server = context.operator().await?;
                server.remove_honey(&context.namespace, &path).await?;
                let removed =
                    serde_json::Map::from_iter([("removed".to_owned(), path.to_string().into())]);
                output::done(
                    context.json,
                    &removed,
                    format!("removed the honey secret {path}"),
                )
            }
            Self::Which => which(context).await,
            Self::Quarantine => quarantine(context).await,
            Self::Reinstate { device, agent_id } => reinstate(context, device, agent_id).await,
        }
    }
}

impl Plant {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let value = match self.stdin {
            true => Some(ValueB64::encode(read_stdin("The decoy").await?.expose())),
            false => None,
        };
        let made = self.shape.unwrap_or(HoneyShape::Aws);
        let plant = HoneyPlant {
            shape: value.is_none().then_some(made),
            value_b64: value,
            mode: self.mode,
            env: self.env,
            description: self.description,
            kind: self.kind,
            tags: Tags::default(),
        };
        let server = context.operator().await?;
        let planted = server
            .plant_honey(&context.namespace, &self.path, &plant)
            .await
            .map_err(taken)?;
        if self.show && !context.json {
            let value = planted.value_b64.decode()?;
            output::bytes(value.expose())?;
        }
        let mut about = serde_json::Map::from_iter([
            ("canary".to_owned(), planted.canary.to_string().into()),
            ("namespace".to_owned(), planted.namespace.to_string().into()),
            ("path".to_owned(), planted.path.to_string().into()),
        ]);
        if self.show {
            let value = serde_json::to_value(&planted.value_b64).unwrap_or_default();
            about.insert("value_b64".to_owned(), value);
        }
        output::done(
            context.json,
            &about,
            format!(
                "planted {} in {}; the record calls it canary {}",
                planted.path, planted.namespace, planted.canary
            ),
        )
    }
}

/// Something lies at the path.
fn taken(error: ClientError) -> Failure {
    let is_taken = error.is_refusal("already_exists");
    let failure = Failure::from(error);
    if is_taken {
        failure.next("procura honey plant with a path where nothing is: procura secret list")
    } else {
        failure
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let list = context.operator().await?.honey().await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new([
        "NAMESPACE",
        "PATH",
        "MODE",
        "ENV",
        "PLANTED",
        "CANARY",
        "TOUCHED BY",
    ]);
    for honey in list.honey {
        let Honey {
            canary,
            namespace,
            path,
            mode,
            env,
            planted,
            touches,
            ..
        } = honey;
        let touches: Vec<String> = touches.iter().map(touched).collect();
        table.row([
            namespace.to_string(),
            path.to_string(),
            mode.to_string(),
            env.map_or_else(String::new, |env| env.to_string()),
            planted.to_string(),
            canary.to_string(),
            touches.join(", "),
        ]);
    }
    table.print("no honey secrets")
}

fn touched(touch: &HoneyTouch) -> String {
    let what = touch.device.map_or_else(
        || {
            touch
                .agent_id
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        },
        |device| device.to_string(),
    );
    let state = if touch.quarantined {
        ", in quarantine"
    } else {
        ""
    };
    format!(
        "{} ({what}) {} times by {}, last {}{state}",
        touch.name, touch.count, touch.how, touch.last
    )
}

async fn which(context: &Context) -> Result<(), Failure> {
    let found = HoneyFound {
        value_b64: ValueB64::encode(read_stdin("What was found").await?.expose()),
    };
    let found = context.operator().await?.which_honey(&found).await?;
    if context.json {
        return output::json(&found);
    }
    let mut table = Table::new(["CANARY", "NAMESPACE", "PATH", "PLANTED", "REMOVED"]);
    for honey in found.matches {
        table.row([
            honey.canary.to_string(),
            honey.namespace.to_string(),
            honey.path.to_string(),
            honey.planted.to_string(),
            honey
                .removed
                .map_or_else(String::new, |when| when.to_string()),
        ]);
    }
    table.print("no honey secret of this installation")
}

async fn quarantine(context: &Context) -> Result<(), Failure> {
    let list = context.operator().await?.quarantine().await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["DEVICE OR ID", "ACTOR", "SINCE", "CANARY"]);
    for held in list.quarantined {
        let Quarantined {
            device,
            agent_id,
            name,
            since,
            canary,
            by,
            ..
        } = held;
        let what = device.map(|device| device.to_string());
        let what = what.or_else(|| agent_id.map(|id| id.to_string()));
        table.row([
            what.unwrap_or_default(),
            name,
            since.to_string(),
            canary
                .map(|canary| canary.to_string())
                .or_else(|| by.map(|_| "on hold".to_owned()))
                .unwrap_or_default(),
        ]);
    }
    table.print("nothing is in quarantine")
}

/// What to find out before something is let out, by why it is in.
fn caution(held: Option<&Quarantined>) -> &'static str {
    match held {
        Some(Quarantined {
            canary: Some(_), ..
        }) => " It touched a honey secret: find out first who had it.",
        Some(Quarantined { by: Some(_), .. }) => {
            " A steward put it on hold: find out first what for."
        }
        Some(_) => {
            " It is held since the installation was restored: find out first whether it was revoked after the backup."
        }
        // It is refused then.
        None => "",
    }
}

async fn reinstate(
    context: &Context,
    device: Option<Thumbprint>,
    agent_id: Option<ForeignId>,
) -> Result<(), Failure> {
    let what = device
        .map(|device| device.to_string())
        .or_else(|| agent_id.as_ref().map(ToString::to_string))
        .unwrap_or_default();
    let server = context.operator().await?;
    let list = server.quarantine().await?.quarantined;
    let held = list
        .iter()
        .find(|held| held.device == device && held.agent_id == agent_id);
    context.confirm(&format!("Let {what} act again?{}", caution(held)))?;
    match (&device, &agent_id) {
        (Some(device), _) => server.reinstate_device(device).await?,
        (None, Some(id)) => server.reinstate_id(id).await?,
        (None, None) => return Err(Failure::usage("a device, or --agent-id ID")),
    }
    let reinstated = serde_json::Map::from_iter([("reinstated".to_owned(), what.clone().into())]);
    output::done(context.json, &reinstated, format!("{what} may act again"))
}
