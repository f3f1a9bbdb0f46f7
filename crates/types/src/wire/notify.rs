use super::ValueB64;
use crate::{EntryId, Label, Malformed, Namespace, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

macro_rules! words {
    ($($(#[$doc:meta])* $type:ident, $field:literal, $rule:literal {
        $($(#[$of:meta])* $name:ident = $text:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $type { $($(#[$of])* $name,)* }

        impl $type {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let found = Self::ALL.iter().copied().find(|word| word.as_str() == text);
                found.ok_or(Malformed::new($field, $rule))
            }
        }
    )*};
}

words! {
    /// What takes the messages of a channel.
    ChannelKind, "kind", "must be slack, discord, telegram, mail or webhook" {
        /// An incoming webhook of Slack, or of what takes the same.
        Slack = "slack",
        /// A webhook of Discord.
        Discord = "discord",
        /// A bot of Telegram.
        Telegram = "telegram",
        /// A mail server that takes messages for delivery (RFC 6409).
        Mail = "mail",
        /// A service of one's own, by signed requests (RFC 9421).
        Webhook = "webhook",
    }

    /// What people are told of.
    NotifyEvent, "events", "must be request, answer, grant, revocation, alarm or reminder" {
        /// An agent asks for authority: somebody has to answer.
        Request = "request",
        /// A request was approved or denied.
        Answer = "answer",
        /// A grant ended before its time.
        Grant = "grant",
        /// An agent, a device, an operator or a namespace is no more.
        Revocation = "revocation",
        /// What no honest device causes, or what takes a steward.
        Alarm = "alarm",
        /// A date of a secret is over.
        Reminder = "reminder",
    }

    /// How much a message matters, the least first.
    Severity, "least", "must be info, notice, warning or critical" {
        /// Good to know.
        Info = "info",
        /// Somebody should look.
        Notice = "notice",
        /// Something was taken away.
        Warning = "warning",
        /// Somebody has to look now.
        Critical = "critical",
    }

    /// How a mail server is reached; never without TLS.
    MailTls, "tls", "must be starttls or tls" {
        /// The connection begins in clear and is encrypted before anything is said
        /// (RFC 3207); one that cannot be is given up.
        Starttls = "starttls",
        /// TLS from the first byte (RFC 8314).
        Tls = "tls",
    }
}

impl NotifyEvent {
    /// How much it matters.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Answer | Self::Grant => Severity::Info,
            Self::Request | Self::Reminder => Severity::Notice,
            Self::Revocation => Severity::Warning,
            Self::Alarm => Severity::Critical,
        }
    }
}

/// A mail server, and what a message to it says.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailServer {
    /// Its name, which its certificate has to be for.
    pub host: String,
    /// 587 for `starttls` and 465 for `tls`, unless it listens elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How it is encrypted.
    pub tls: MailTls,
    /// The address that messages are from.
    pub from: String,
    /// The addresses that they go to, 1 to 20.
    pub to: Vec<String>,
    /// The name to log in with; the password is the channel's credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// `PUT /v1/notify/channels/{name}`: makes a channel or replaces all of it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPut {
    /// What takes its messages.
    pub kind: ChannelKind,
    /// What the receiver lets messages in by, as base64url of UTF-8: the URL of a
    /// webhook, the token of a bot, the password at a mail server. It is never shown
    /// again; without it a channel of the same kind and the same receiver keeps the one
    /// that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_b64: Option<ValueB64>,
    /// Of Telegram: the chat, by its number or as `@name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// Of mail: the server and the addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailServer>,
    /// Certificates of the authorities, PEM, one of which signed that of the receiver;
    /// without it those that the server's machine trusts. At most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Most messages a minute, 1 to 6000; 20 unless it is said. What is more goes into
    /// one message that lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Texts in place of the usual ones, by event, of at most 2,000 characters. Variables
    /// are written `{who}`; a line in which one stands that has no value is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<NotifyEvent, String>,
}

/// A channel as stored, without what its receiver lets messages in by.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: Label,
    /// What takes its messages.
    pub kind: ChannelKind,
    /// Where that is: scheme, host and port, nothing of what follows.
    pub receiver: String,
    /// Of Telegram: the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// Of mail: the server and the addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailServer>,
    /// Whether authorities of its own are trusted.
    pub own_ca: bool,
    /// Most messages a minute.
    pub per_minute: u32,
    /// Texts in place of the usual ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<NotifyEvent, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// `GET /v1/notify/channels`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelList {
    /// By name.
    pub channels: Vec<Channel>,
}

/// `PUT /v1/notify/routes/{name}`: makes a route or replaces it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyRoutePut {
    /// The channel that is told, of the same namespace, or of the installation.
    pub channel: Label,
    /// Of what; of everything when there are none.
    #[serde(default)]
    pub events: Vec<NotifyEvent>,
    /// Nothing that matters less; `info` unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<Severity>,
    /// Of a route of the installation: of this namespace alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Namespace>,
}

/// A route.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyRoute {
    /// Its name.
    pub name: Label,
    /// The channel that is told.
    pub channel: Label,
    /// Of what; of everything when there are none.
    pub events: Vec<NotifyEvent>,
    /// Nothing that matters less.
    pub least: Severity,
    /// Of this namespace alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Namespace>,
    /// The first entry of the record that it is about.
    pub from: u64,
}

/// `GET /v1/notify/routes`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotifyRouteList {
    /// By name.
    pub routes: Vec<NotifyRoute>,
}

/// A message that waits, or that was given up.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyDelivery {
    /// The channel and the entry of the record: `ops/4711`.
    pub id: String,
    /// What it tells of.
    pub event: NotifyEvent,
    /// How much it matters.
    pub severity: Severity,
    /// What was done, as in the record.
    pub action: String,
    /// The entry of the record.
    pub entry: EntryId,
    /// When that happened.
    pub time: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// `GET /v1/notify/dead`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotifyDeadList {
    /// By channel and entry.
    pub deliveries: Vec<NotifyDelivery>,
    /// Give this as `after` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /v1/notify/dead/retry` and `…/drop`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyDeadPick {
    /// Those of this channel.
    pub channel: Label,
    /// The entries that they are about; all, 200 at a time, when there are none.
    #[serde(default)]
    pub entries: Vec<u64>,
}

/// What became of them.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyDeadDone {
    /// How many it were.
    pub count: u64,
    /// Whether there are more.
    pub more: bool,
}

/// What waits in one channel.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelQueue {
    /// The channel.
    pub channel: Label,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// When that happened which the oldest of those that wait is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Why the newest failure was one, of those that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Things that people were not told of one by one, since too many waited.
    pub untold: u64,
}

/// `GET /v1/notify/queue`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyQueue {
    /// By name.
    pub channels: Vec<ChannelQueue>,
}
