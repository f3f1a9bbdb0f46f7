use crate::{ActorId, EntryId, GrantId, Namespace, Timestamp};
use serde::{Deserialize, Serialize};

/// The media type of `GET /v1/events` (HTML Living Standard §9.2).
pub const EVENT_STREAM: &str = "text/event-stream";

/// The name of the message that says that the events since the last one known are not
/// to be had any more.
pub const RESET: &str = "reset";

/// What kind of thing happened: the `event` field of a message of `GET /v1/events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// An agent, a device or an operator was revoked.
    Revocation,
    /// Authority was asked for, given, or denied.
    Request,
    /// A grant was made or withdrawn.
    Grant,
    /// A proof was refused in a way that no honest device's is, a wrong passphrase was
    /// tried, or there were so many refusals that they were counted.
    Alarm,
    /// A date of a secret is over: it is not handed over any more, or was to be replaced.
    Reminder,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Revocation,
        Self::Request,
        Self::Grant,
        Self::Alarm,
        Self::Reminder,
    ];

    /// The word of the `event` field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Request => "request",
            Self::Grant => "grant",
            Self::Alarm => "alarm",
            Self::Reminder => "reminder",
        }
    }
}

/// What happened: the `data` of a message of `GET /v1/events`. All of it stands in the
/// entry of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The entry of the record.
    pub entry: EntryId,
    /// When, by the server's clock.
    pub time: Timestamp,
    /// What, as in the record: `agent.revoke`.
    pub action: String,
    /// Where, unless it is about the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// On what, as in the record: `agent/scribe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The actor whom it concerns, if there is one; of an alarm, the one that somebody
    /// said they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ActorId>,
    /// Who did it; nobody of an alarm, since nobody was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// The grant, which is also the request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Of an alarm: the reason of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many, if the entry stands for many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}
