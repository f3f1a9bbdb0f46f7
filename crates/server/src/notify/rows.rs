//! What is stored of notifications.

use super::facts::Facts;
use super::lane::Waits;
use procura_store::{Batch, Blob, Kind, Row, Store, StoreError, Table};
use procura_types::wire::{ChannelKind, MailServer, NotifyEvent, Severity};
use procura_types::{Label, Namespace, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A channel: whose it is, and its name.
pub(super) type Place = (String, Label);
/// A message: its channel, and the entry of the record that it tells of.
pub(super) type MessageKey = (String, Label, u64);

/// Whose → which channels and routes there are. One row, so that what is true of all of
/// them together is decided on what is so.
pub(super) const SCOPES: Table<String, ScopeRow> = Table::new("notify-scope", Kind::Ordinary);
/// Channels.
pub(super) const CHANNELS: Table<Place, ChannelRow> = Table::new("notify-channel", Kind::Ordinary);
/// What their receivers let messages in by. Apart, so that nothing that lists channels
/// ever has one in its memory.
pub(super) const CREDENTIALS: Table<Place, Blob> = Table::new("notify-credential", Kind::Ordinary);
/// Messages that wait.
pub(super) const WAITING: Table<MessageKey, MessageRow> =
    Table::new("notify-waiting", Kind::Ordinary);
/// Messages that were given up.
pub(super) const DEAD: Table<MessageKey, MessageRow> = Table::new("notify-dead", Kind::Ordinary);
/// How many things people are not told of one by one, since too many waited.
pub(super) const UNTOLD: Table<Place, u64> = Table::new("notify-untold", Kind::Ordinary);
/// The next entry of the record to look at: everything before it is in rows.
pub(super) const POSITION: Table<(), u64> = Table::new("notify-position", Kind::Ordinary);
/// Written anew whenever somebody changed any of the rows above: the server that sends
/// reads them again then, whichever of several was asked.
const CHANGED: Table<(), ()> = Table::new("notify-changed", Kind::Ordinary);
/// The private key that signs webhooks.
pub(super) const SIGNING_KEY: Table<(), Blob> = Table::new("notify-key", Kind::Ordinary);

/// Most channels of one namespace, and of the installation.
pub(super) const MOST_CHANNELS: usize = 32;
/// Most routes of one namespace, and of the installation.
pub(super) const MOST_ROUTES: usize = 64;
/// Rows read at once.
pub(super) const CHUNK: usize = 512;

/// Which channels and routes there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScopeRow {
    pub(super) channels: BTreeSet<Label>,
    pub(super) routes: BTreeMap<Label, RouteRow>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RouteRow {
    pub(super) channel: Label,
    pub(super) events: BTreeSet<NotifyEvent>,
    pub(super) least: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) only: Option<Namespace>,
    /// The first entry that it is about: nobody is told what was before it.
    pub(super) from: u64,
}

impl RouteRow {
    /// Whether it leads somewhere for what happened in this namespace.
    pub(super) fn takes(
        &self,
        index: u64,
        event: NotifyEvent,
        namespace: Option<&Namespace>,
    ) -> bool {
        index >= self.from
            && event.severity() >= self.least
            && (self.events.is_empty() || self.events.contains(&event))
            && self
                .only
                .as_ref()
                .is_none_or(|only| namespace == Some(only))
    }
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChannelRow {
    pub(super) kind: ChannelKind,
    /// Scheme, host and port.
    pub(super) receiver: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) chat: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mail: Option<MailServer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_pem: Option<String>,
    pub(super) per_minute: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) templates: BTreeMap<NotifyEvent, String>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

/// A message that waits or was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MessageRow {
    pub(super) facts: Facts,
    /// How often it was tried.
    pub(super) tries: u32,
    /// Not before.
    pub(super) next: Timestamp,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl MessageRow {
    /// What of it decides whose turn it is.
    pub(super) const fn waits(&self) -> Waits {
        Waits {
            next: self.next,
            severity: self.facts.severity(),
            cause: self.facts.cause,
        }
    }
}

/// Tells the server that sends to read the rows again.
pub(super) fn changed(rows: &mut Batch) {
    CHANGED.put(rows, &(), &());
}

/// What of it stands now.
pub(super) fn change(store: &Store) -> Result<Option<Row<()>>, StoreError> {
    CHANGED.get(store, &())
}
