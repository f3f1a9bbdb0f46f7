//! `notify channel`: receivers of messages.

use super::Of;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::secret::read_stdin;
use clap::{Args, Subcommand};
use procura_client::ClientError;
use procura_types::wire::{ChannelKind, ChannelPut, MailServer, MailTls, NotifyEvent, ValueB64};
use procura_types::{Label, SecretBytes};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Say where people are told
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Box<Add>),
    /// List the channels
    #[command(after_help = "Example:\n  procura notify channel list")]
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Send a message through a channel, and see what comes of it
    #[command(after_help = "Example:\n  procura notify channel test ops")]
    Test {
        /// Its name
        name: Label,
        #[command(flatten)]
        of: Of,
    },
    /// Remove a channel, and all that waits in it
    #[command(after_help = "Example:\n  procura notify channel remove ops")]
    Remove {
        /// Its name
        name: Label,
        #[command(flatten)]
        of: Of,
    },
}

/// Add a channel, or replace all of it
///
/// What its receiver lets messages in by (the URL of a webhook, the token of a bot, the
/// password at a mail server) is read from stdin, or asked for, and never shown again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura notify channel add ops --kind slack < url.txt\n  procura notify channel add phone --kind telegram --chat -1001234 < token.txt\n  procura notify channel add mail --kind mail --host mail.example.com --tls starttls --from procura@example.com --to ops@example.com --user procura < password.txt"
)]
pub(crate) struct Add {
    /// Its name
    name: Label,
    /// slack, discord, telegram, mail or webhook
    #[arg(long)]
    kind: ChannelKind,
    /// Keep the credential that the channel of this name has
    #[arg(long)]
    keep_credential: bool,
    /// Of telegram: the chat, by its number or as @name
    #[arg(long, allow_hyphen_values = true, required_if_eq("kind", "telegram"))]
    chat: Option<String>,
    /// Of mail: the name of the server
    #[arg(long, required_if_eq("kind", "mail"))]
    host: Option<String>,
    /// Of mail: its port [default: 587 with starttls, 465 with tls]
    #[arg(long, requires = "host")]
    port: Option<u16>,
    /// Of mail: starttls or tls
    #[arg(long, requires = "host", required_if_eq("kind", "mail"))]
    tls: Option<MailTls>,
    /// Of mail: the address that messages are from
    #[arg(long, requires = "host", required_if_eq("kind", "mail"))]
    from: Option<String>,
    /// Of mail: an address that they go to; as often as there are
    #[arg(long, requires = "host", required_if_eq("kind", "mail"))]
    to: Vec<String>,
    /// Of mail: the name to log in with
    #[arg(long, requires = "host")]
    user: Option<String>,
    /// Authorities to trust for the receiver's certificate, a PEM file [default: the server machine's]
    #[arg(long, value_name = "FILE")]
    receiver_ca: Option<PathBuf>,
    /// Most messages a minute; what is more goes into one [default: 20]
    #[arg(long, value_name = "N")]
    per_minute: Option<u32>,
    /// A text in place of the usual one; as often as there are
    #[arg(long = "template", value_name = "EVENT=FILE")]
    templates: Vec<OwnText>,
    #[command(flatten)]
    of: Of,
}

/// `request=request.txt`.
#[derive(Debug, Clone)]
struct OwnText {
    event: NotifyEvent,
    file: PathBuf,
}

impl FromStr for OwnText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (event, file) = text
            .split_once('=')
            .ok_or("is not EVENT=FILE, such as request=request.txt")?;
        Ok(Self {
            event: event
                .parse()
                .map_err(|error: procura_types::Malformed| error.to_string())?,
            file: file.into(),
        })
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::List { of } => list(context, of).await,
            Self::Test { name, of } => {
                let server = context.operator().await?;
                let namespace = of.namespace(context);
                server
                    .test_notify_channel(namespace.as_ref(), &name)
                    .await?;
                output::done(
                    context.json,
                    &json!({ "sent": name }),
                    format!("the receiver of {name} took the message"),
                )
            }
            Self::Remove { name, of } => {
                context.confirm(&format!(
                    "Remove the channel {name}? What waits in it is sent to nobody."
                ))?;
                let server = context.operator().await?;
                let namespace = of.namespace(context);
                server
                    .remove_notify_channel(namespace.as_ref(), &name)
                    .await?;
                output::done(
                    context.json,
                    &json!({ "removed": name }),
                    format!("removed the channel {name}"),
                )
            }
        }
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let mail = match (self.host, self.tls, self.from) {
            (Some(host), Some(tls), Some(from)) => Some(MailServer {
                host,
                port: self.port,
                tls,
                from,
                to: self.to,
                user: self.user,
            }),
            _ => None,
        };
        let what = match self.kind {
            ChannelKind::Slack | ChannelKind::Discord | ChannelKind::Webhook => Some("URL"),
            ChannelKind::Telegram => Some("Token of the bot"),
            ChannelKind::Mail => mail
                .as_ref()
                .and_then(|mail| mail.user.as_ref())
                .map(|_| "Password"),
        };
        let credential = match what.filter(|_| !self.keep_credential) {
            Some(what) => Some(one_line(&read_stdin(what).await?)),
            None => None,
        };
        let mut templates = BTreeMap::new();
        for own in self.templates {
            templates.insert(own.event, text_of(&own.file)?);
        }
        let put = ChannelPut {
            kind: self.kind,
            credential_b64: credential,
            chat: self.chat,
            mail,
            ca_pem: self.receiver_ca.as_deref().map(text_of).transpose()?,
            per_minute: self.per_minute,
            templates,
        };
        let server = context.operator().await?;
        let namespace = self.of.namespace(context);
        let channel = server
            .put_notify_channel(namespace.as_ref(), &self.name, &put)
            .await
            .map_err(|error| unfit(error, what))?;
        let words = format!(
            "{0} goes to {1}; procura notify channel test {0} tries it",
            channel.name,
            output::plain(&channel.receiver)
        );
        output::done(context.json, &channel, words)
    }
}

/// What came on stdin has another name in the API than where it was typed.
fn unfit(error: ClientError, what: Option<&str>) -> Failure {
    let is_credential = matches!(
        &error,
        ClientError::Refused(problem, _) if problem.field.as_deref() == Some("credential_b64")
    );
    let failure = Failure::from(error);
    match what {
        Some(what) if is_credential => failure.next(format!(
            "the command again, and on stdin what is called credential_b64 here: {what}"
        )),
        _ => failure,
    }
}

/// Without the end of line that editors put.
fn one_line(read: &SecretBytes) -> ValueB64 {
    let bytes = read.expose().as_slice();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    ValueB64::encode(bytes.strip_suffix(b"\r").unwrap_or(bytes))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}", path.display())).because(error))
}

async fn list(context: &Context, of: Of) -> Result<(), Failure> {
    let server = context.operator().await?;
    let list = server
        .notify_channels(of.namespace(context).as_ref())
        .await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["CHANNEL", "KIND", "RECEIVER", "TO", "A MINUTE", "CHANGED"]);
    for channel in list.channels {
        let to = match (channel.chat, channel.mail) {
            (Some(chat), _) => chat,
            (None, Some(mail)) => mail.to.join(", "),
            (None, None) => String::new(),
        };
        table.row([
            channel.name.to_string(),
            channel.kind.to_string(),
            output::plain(&channel.receiver),
            output::plain(&to),
            channel.per_minute.to_string(),
            channel.updated.to_string(),
        ]);
    }
    table.print("no channels")
}
