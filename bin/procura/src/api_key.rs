//! `api-key`: keys of your automation, which do a part of what you may do.

use crate::context::{Context, Span};
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Table};
use crate::proving::ssh_key;
use clap::{Args, Subcommand};
use procura_types::wire::{ApiKey, ApiKeyCreate};
use procura_types::{Label, Malformed, Namespace, Thumbprint};
use serde_json::json;
use std::path::PathBuf;

/// How one is used, for the help.
const USED: &str = "Examples:\n  ssh-keygen -t ed25519 -N '' -f deploy\n  procura api-key create deploy --key deploy --action secret.list --action secret.write --in shop --header deploy.header\n\nThen, on the machine of the automation, with both files:\n  procura request GET https://procura.example/v1/namespaces/shop/secrets -H @deploy.header --key deploy\n\nWhich actions there are, and which of them a key can be made for, is in schema/permission-matrix.md.";

/// Make, list and revoke keys of your automation, bound to a device key of its own
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key for some actions in some namespaces, and print its token once
    ///
    /// It does no more than what it lists, as long as you may do that yourself, and nothing
    /// without a proof by the key in --key, which is not sent.
    Create(Create),
    /// List your API keys
    #[command(after_help = "Examples:\n  procura api-key list\n  procura api-key list --of bob")]
    List {
        /// Those of another operator, for a steward
        #[arg(long, value_name = "NAME")]
        of: Option<Label>,
    },
    /// Revoke an API key and its device, for good
    #[command(
        after_help = "Example:\n  procura api-key revoke PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo"
    )]
    Revoke {
        /// Its device, as listed
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true, value_parser = listed)]
        device: Thumbprint,
        /// One of another operator, for a steward
        #[arg(long, value_name = "NAME")]
        of: Option<Label>,
    },
}

/// Makes one.
#[derive(Debug, Args)]
#[command(after_help = USED)]
pub(crate) struct Create {
    /// What you call it
    name: Label,
    /// The automation's own private key, of OpenSSH: ssh-keygen -t ed25519
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What it may do; several times
    #[arg(long = "action", value_name = "ACTION", required = true)]
    actions: Vec<String>,
    /// Where; several times
    #[arg(
        long = "in",
        value_name = "NS",
        required_unless_present = "installation"
    )]
    namespaces: Vec<Namespace>,
    /// Also what is about the installation and no namespace
    #[arg(long)]
    installation: bool,
    /// For how long: 60s to 365d
    #[arg(long = "for", value_name = "TIME", default_value = "90d")]
    life: Span,
    /// Write the token into this new file, as the line of a header, instead of printing it
    #[arg(long, value_name = "FILE")]
    header: Option<PathBuf>,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List { of } => list(context, of).await,
            Self::Revoke { device, of } => {
                context.confirm(&format!(
                    "Revoke the API key of device {device}? Its key never counts again."
                ))?;
                let server = context.operator().await?;
                let name = whose(context, of)?;
                server.revoke_api_key(&name, &device).await?;
                let words = format!("revoked the API key of device {device}");
                output::done(context.json, &json!({ "device": device }), words)
            }
        }
    }
}

/// What is typed there is often the name.
fn listed(typed: &str) -> Result<Thumbprint, String> {
    typed.parse().map_err(|error: Malformed| {
        format!("{error}; procura api-key list shows the device of each, which is what ends it")
    })
}

fn whose(context: &Context, of: Option<Label>) -> Result<Label, Failure> {
    match of {
        Some(name) => Ok(name),
        None => Ok(context.known()?.name),
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        // Before there is a token that is shown nowhere else.
        if let Some(file) = self.header.as_ref().filter(|file| file.exists()) {
            return Err(
                Failure::usage(format!("{} is there already", file.display()))
                    .next("another file with --header"),
            );
        }
        let key = ssh_key(context, &self.key).await?;
        let known = context.known()?;
        let thumbprint = key.public().thumbprint();
        let message =
            ApiKeyCreate::message(&known.installation, &known.actor, &self.name, &thumbprint);
        let signature = key
            .sign(&message)
            .map_err(|error| Failure::storage("the key does not sign", &error))?;
        let wanted = ApiKeyCreate {
            name: self.name,
            key: key.public().to_jwk(),
            signature,
            actions: self.actions,
            namespaces: self.namespaces,
            installation: self.installation,
            life: self.life.0.as_secs(),
        };
        let server = context.operator().await?;
        let made = server.create_api_key(&known.name, &wanted).await?;
        if let Some(file) = &self.header {
            let line = format!("Authorization: Bearer {}\n", made.token);
            files::create(file, line.as_bytes())?;
        }
        if context.json {
            return match &self.header {
                Some(_) => output::json(&made.about),
                None => output::json(&made),
            };
        }
        let about = &made.about;
        output::say(format!(
            "made the API key {} of device {}, until {}: {}",
            about.name,
            about.device,
            about.expires,
            scope(about)
        ));
        match &self.header {
            Some(file) => {
                output::say(format!("its token is in {}", file.display()));
                Ok(())
            }
            None => {
                output::say("its token, shown this once:");
                output::line(&made.token)
            }
        }
    }
}

fn scope(key: &ApiKey) -> String {
    let namespaces = key.namespaces.iter().map(ToString::to_string);
    let installation = key.installation.then(|| "the installation".to_owned());
    let places: Vec<String> = namespaces.chain(installation).collect();
    format!("{} in {}", key.actions.join(", "), places.join(", "))
}

async fn list(context: &Context, of: Option<Label>) -> Result<(), Failure> {
    let server = context.operator().await?;
    let list = server.api_keys(&whose(context, of)?).await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["NAME", "STATE", "DEVICE", "MADE", "UNTIL", "FOR"]);
    for key in &list.keys {
        table.row([
            key.name.to_string(),
            key.state.as_str().to_owned(),
            key.device.to_string(),
            key.created.to_string(),
            key.expires.to_string(),
            scope(key),
        ]);
    }
    table.print("no API keys")
}
