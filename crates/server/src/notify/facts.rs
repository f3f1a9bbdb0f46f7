//! What people are told of an entry of the record: who, where, what for, and by which
//! names. Nothing here is a value, and nothing is text that an agent was free to write.

use procura_authority::asked;
use procura_directory::Snapshot;
use procura_ledger::SUMMARY;
use procura_policy::Action;
use procura_record::Notice;
use procura_store::Store;
use procura_types::wire::{Event, EventKind, NotifyEvent, Severity};
use procura_types::{ActorId, EntryId, Namespace, RequestId, Timestamp};
use serde::{Deserialize, Serialize};

/// Characters of a resource that are kept: some name all that they are about, and many
/// messages have to fit into one commit.
const RESOURCE: usize = 700;
/// Characters of names that a message lists; the rest is counted.
const NAMES: usize = 600;

/// Alarms that anybody can cause who reaches the server, or a service behind a gate: a
/// proof that is refused names whomever it likes.
const BY_ANYBODY: [&str; 5] = [
    "authenticate",
    "verify",
    Action::ServiceVerify.as_str(),
    Action::ProjectTokenUse.as_str(),
    Action::DeviceJoin.as_str(),
];

/// Who can have caused it, those who cannot be strangers first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cause {
    /// Somebody who was let in, or the server.
    #[default]
    Inside,
    /// Anybody; it names an actor that is known where it is told.
    Named,
    /// Anybody; it names nobody who is known there.
    Stranger,
}

impl Cause {
    /// Not anybody.
    pub(super) const fn is_inside(&self) -> bool {
        matches!(self, Self::Inside)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) event: NotifyEvent,
    pub(super) time: Timestamp,
    pub(super) entry: EntryId,
    pub(super) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<Namespace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<String>,
    /// Whom it is about, by the way from their owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) who: Option<String>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<String>,
    /// Names that are not among those.
    #[serde(default)]
    pub(super) more_names: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    /// Not there where it is the usual one, as in what was kept before there was another.
    #[serde(default, skip_serializing_if = "Cause::is_inside")]
    pub(super) cause: Cause,
}

impl Facts {
    /// What is told of a notice; nothing of one that cannot be read.
    pub(super) fn of(notice: &Notice, snapshot: &Snapshot, store: &Store) -> Option<Self> {
        let told: Event = serde_json::from_str(&notice.json).ok()?;
        let event = event_of(notice.kinds, &told.action);
        let lineage = |actor| {
            let known = snapshot.actor(actor)?;
            Some(snapshot.lineage(&known.id))
        };
        let request = told
            .grant
            .filter(|_| matches!(event, NotifyEvent::Request | NotifyEvent::Answer))
            .map(|grant| RequestId::from_bytes(*grant.as_bytes()));
        let reason = told.reason.as_deref().unwrap_or_default();
        let cause = match event {
            NotifyEvent::Alarm if is_by_anybody(&told.action, reason) => {
                let subject = told.subject.as_ref();
                named(snapshot, subject, notice.namespace.as_ref())
            }
            _ => Cause::Inside,
        };
        let mut facts = Self {
            event,
            cause,
            time: told.time,
            entry: told.entry,
            who: told.subject.as_ref().and_then(lineage),
            by: told.actor.as_ref().and_then(lineage),
            action: told.action,
            namespace: told.namespace,
            resource: told
                .resource
                .filter(|text| is_vouched_for(text))
                .map(|text| text.chars().take(RESOURCE).collect()),
            project: None,
            names: Vec::new(),
            more_names: 0,
            request,
            reason: told.reason,
            count: told.count,
        };
        facts.ask(store, snapshot);
        Some(facts)
    }

    /// As it is told to the installation, where every actor is known.
    pub(super) fn everywhere(self) -> Self {
        let cause = match self.cause {
            Cause::Stranger if self.who.is_some() => Cause::Named,
            cause => cause,
        };
        Self { cause, ..self }
    }

    /// What of a request its own row says.
    fn ask(&mut self, store: &Store, snapshot: &Snapshot) {
        let (Some(namespace), Some(request)) = (&self.namespace, self.request) else {
            return;
        };
        // Without it people are told that somebody asks, and look for what.
        let Ok(Some(asked)) = asked(store, namespace, request) else {
            return;
        };
        self.who = Some(snapshot.lineage(&asked.agent));
        self.project = Some(asked.project.to_string());
        let mut room = NAMES;
        for name in &asked.names {
            let name = name.as_str();
            if name.len() > room {
                break;
            }
            room -= name.len();
            self.names.push(name.to_owned());
        }
        let left = asked.names.len().saturating_sub(self.names.len());
        self.more_names = u64::try_from(left).unwrap_or(u64::MAX);
    }

    /// How much it matters.
    pub(super) const fn severity(&self) -> Severity {
        self.event.severity()
    }
}

/// Whether an alarm is of a kind that anybody can cause. Summaries of refusals are, but
/// for those of tries to open the vault, which nobody makes from outside.
fn is_by_anybody(action: &str, reason: &str) -> bool {
    BY_ANYBODY.contains(&action)
        || (reason == SUMMARY && action != Action::InstallationUnseal.as_str())
}

/// Whether an alarm that anybody can cause names somebody of where it happened: an agent
/// of another namespace is a stranger there.
fn named(snapshot: &Snapshot, subject: Option<&ActorId>, here: Option<&Namespace>) -> Cause {
    let known = subject.and_then(|subject| snapshot.actor(subject));
    let is_of_here = known.is_some_and(|actor| {
        let of = actor.namespace();
        of.is_none() || here.is_none() || of == here
    });
    if is_of_here {
        Cause::Named
    } else {
        Cause::Stranger
    }
}

/// Whether somebody who was let in made the name. What a stranger asked for, or said that
/// they were, is in the record; in a message it would be words of theirs in our mouth.
fn is_vouched_for(resource: &str) -> bool {
    !["http/", "foreign/"]
        .iter()
        .any(|kind| resource.starts_with(kind))
}

/// What kind of news an entry is.
pub(super) fn event_of(kinds: &[EventKind], action: &str) -> NotifyEvent {
    let answers = [Action::RequestApprove, Action::RequestDeny];
    if action == Action::RequestCreate.as_str() {
        return NotifyEvent::Request;
    }
    if answers.iter().any(|answer| answer.as_str() == action) {
        return NotifyEvent::Answer;
    }
    let known = [
        (EventKind::Alarm, NotifyEvent::Alarm),
        (EventKind::Revocation, NotifyEvent::Revocation),
        (EventKind::Request, NotifyEvent::Request),
        (EventKind::Grant, NotifyEvent::Grant),
    ];
    known
        .into_iter()
        .find(|(kind, _)| kinds.contains(kind))
        .map_or(NotifyEvent::Reminder, |(_, event)| event)
}
