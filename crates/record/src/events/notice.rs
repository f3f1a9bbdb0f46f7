//! From an entry of the ledger to what is told of it, and to whom it may be told.

use procura_directory::{ActorRecord, ApiKeyRefusal, Snapshot, TokenRefusal};
use procura_ledger::{Decision, Entry, Phase, SUMMARY};
use procura_policy::Action;
use procura_proof::foreign::Foreign;
use procura_types::wire::{Event, EventKind};
use procura_types::{ActorId, Label, Namespace, Timestamp};

/// In which part of an entry its action and its decision stand: behind version, id, time
/// and salt, which have a fixed length.
const HEAD: std::ops::Range<usize> = 117..256;

/// What a refused proof stands under in the record: one for this server, one that
/// another service asked about, and one that the gate of a service did.
const PROOFS: [&str; 3] = ["authenticate", "verify", Action::ServiceVerify.as_str()];

/// Reasons that no honest device causes, whatever its clock and its network do.
const HOSTILE: [&str; 5] = [
    "bad_signature",
    "digest_mismatch",
    "nonce_replayed",
    "revoked",
    "source_not_allowed",
];

/// Why it is told that the vault was opened: with shares, by whoever brought them.
pub const RECOVERY: &str = "recovery";

/// What a passkey is used for.
const PASSKEYS: [&str; 4] = [
    Action::OperatorPasskeyUse.as_str(),
    Action::RequestApprove.as_str(),
    Action::DeviceGrantApprove.as_str(),
    Action::ProposalSign.as_str(),
];

/// Why a passkey is refused of which there is a copy: it counts less than was seen before.
const COUNTER_BACK: &str = "counter_back";

/// Why a device code lets nobody in that another device shows than the one that asked.
const OTHER_DEVICE: &str = "other_device";

/// Why policies that are in force allow nothing any more.
const UNUSABLE: &str = "policies_unusable";

/// What stands in the record of a touch of a decoy.
const TOUCH: &str = "honey.touch";

/// What the server puts there when a date of a secret is over.
const DUE: &str = "secret.due";

/// What the server puts there when somebody shows an operator's password without a code of
/// theirs: for the third time, and when that password is none any more.
const HALF_RIGHT: [&str; 2] = ["web_login.wrong_codes", "operator.password.void"];

/// What is told of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The entry's index in the ledger.
    pub index: u64,
    /// What kinds of event it is; an approval is two.
    pub kinds: &'static [EventKind],
    /// Where the roles count that let somebody see it; none for the installation.
    pub namespace: Option<Namespace>,
    /// The agents that may see it because it concerns them: the one that it is about
    /// and those above it. Of an operator's device, the operator.
    pub concerned: Vec<ActorId>,
    /// The event as JSON, on one line.
    pub json: String,
}

/// Whether an entry may make a notice, at a glance: most are releases of values, which
/// make none, and come by the ten thousand.
pub(super) fn may_be(entry: &[u8]) -> bool {
    kinds_at_a_glance(entry).is_some()
}

fn kinds_at_a_glance(entry: &[u8]) -> Option<&'static [EventKind]> {
    let head = entry.get(HEAD).or_else(|| entry.get(HEAD.start..))?;
    let (action, rest) = text_after(head, b"\"action\":\"")?;
    let (decision, _) = text_after(rest, b"\"decision\":\"")?;
    match decision {
        "allow"
            if action == Action::InstallationUnseal.as_str()
                || action == TOUCH
                || HALF_RIGHT.contains(&action) =>
        {
            Some(&[EventKind::Alarm])
        }
        "allow" if action == DUE => Some(&[EventKind::Reminder]),
        "allow" => kinds(action),
        // Whether it is one is seen in what stands behind.
        "deny" => Some(&[EventKind::Alarm]),
        _ => None,
    }
}

/// The text behind `name`, and what is behind that.
fn text_after<'a>(bytes: &'a [u8], name: &[u8]) -> Option<(&'a str, &'a [u8])> {
    let at = bytes.windows(name.len()).position(|part| part == name)?;
    let value = bytes.get(at + name.len()..)?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    let (text, rest) = value.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// What an action is that was allowed.
fn kinds(action: &str) -> Option<&'static [EventKind]> {
    const KINDS: [(Action, &[EventKind]); 25] = [
        (Action::BreakGlassCreate, &[EventKind::Alarm]),
        (Action::BreakGlassUse, &[EventKind::Alarm]),
        (Action::ApprovalRuleSet, &[EventKind::Alarm]),
        (Action::ApiKeyRevoke, &[EventKind::Revocation]),
        (Action::InstallationRestore, &[EventKind::Alarm]),
        (Action::LedgerRetention, &[EventKind::Alarm]),
        (Action::UnsealSourceAdd, &[EventKind::Alarm]),
        (Action::UnsealSourceRemove, &[EventKind::Alarm]),
        (Action::ProposalCreate, &[EventKind::Alarm]),
        (Action::OperatorDeviceHold, &[EventKind::Alarm]),
        (Action::OperatorRecover, &[EventKind::Alarm]),
        // Whoever has one more can say yes as its operator, who is told.
        (Action::OperatorPasskeyEnrol, &[EventKind::Alarm]),
        (Action::AgentRevoke, &[EventKind::Revocation]),
        (Action::NamespaceDelete, &[EventKind::Revocation]),
        (Action::DeviceRevoke, &[EventKind::Revocation]),
        (Action::OperatorDeviceRevoke, &[EventKind::Revocation]),
        (Action::OperatorRevoke, &[EventKind::Revocation]),
        (Action::OperatorPasskeyRemove, &[EventKind::Revocation]),
        (Action::OperatorOidcUnlink, &[EventKind::Revocation]),
        (Action::RequestCreate, &[EventKind::Request]),
        (
            Action::RequestApprove,
            &[EventKind::Request, EventKind::Grant],
        ),
        (Action::RequestDeny, &[EventKind::Request]),
        (Action::GrantWithdraw, &[EventKind::Grant]),
        (Action::ProjectDelete, &[EventKind::Grant]),
        (Action::ProjectRebind, &[EventKind::Grant]),
    ];
    let found = KINDS.iter().find(|(known, _)| known.as_str() == action);
    found.map(|(_, kinds)| *kinds)
}

impl Notice {
    /// What is told of an entry, if anything. `snapshot` is the directory after it.
    pub(super) fn of(index: u64, bytes: &[u8], snapshot: &Snapshot) -> Option<Self> {
        let kinds = kinds_at_a_glance(bytes)?;
        let entry = Entry::parse(bytes).ok()?;
        if entry.phase != Phase::Intent {
            return None;
        }
        let alarm = kinds == [EventKind::Alarm];
        if alarm && !is_alarm(&entry) {
            return None;
        }
        let subject = if HALF_RIGHT.contains(&entry.action.as_ref()) {
            // Nobody did it who is known; it is told to whose password it is.
            operator(&entry, snapshot)
        } else if alarm {
            entry.actor
        } else {
            subject(&entry, snapshot)
        };
        let mut concerned = subject.map_or_else(Vec::new, |subject| concerned(snapshot, subject));
        // Whoever touched a decoy is not told that it was one.
        if entry.action == TOUCH {
            concerned.clear();
        }
        let namespace = entry.namespace.clone().or_else(|| {
            let subject = snapshot.actor(&subject?)?;
            subject.namespace().cloned()
        });
        let event = Event {
            entry: entry.id,
            time: entry.time,
            action: entry.action.clone().into_owned(),
            namespace: namespace.clone(),
            resource: entry.resource.clone(),
            subject,
            actor: entry.actor.filter(|_| !alarm),
            grant: entry.grant,
            reason: entry.reason.clone().map(|reason| reason.into_owned()),
            count: entry.summary.map(|summary| summary.count),
        };
        Some(Self {
            index,
            kinds,
            namespace,
            concerned,
            json: serde_json::to_string(&event).ok()?,
        })
    }
}

/// Whether an entry is told as an alarm: an unseal with shares, any change of what opens the
/// vault, one more passkey of an operator, a password of theirs that somebody has without a
/// code; a refused proof that no honest device makes, a project token that another device
/// shows, an API key, or a device code, a passkey of which there is a copy, policies in force
/// that cannot be used, a refused try to open the vault, or refusals of any kind that were too
/// many to be written one by one.
/// What was shown by `hmac-v1` is evidence of nothing: whoever saw one such request
/// makes any other of it (`protocol.md` §3.2), refused ones in its agent's name too.
fn is_alarm(entry: &Entry) -> bool {
    if entry.profile == Foreign::HmacV1.as_str() {
        return false;
    }
    let reason = entry.reason.as_deref().unwrap_or_default();
    // Further touches are in the count of the one that was told.
    if entry.action == TOUCH {
        return reason != SUMMARY;
    }
    // Of an activation, that a key became a steward's by the word of whoever opened the vault.
    if entry.action == Action::InstallationRestore.as_str() {
        return entry.decision == Decision::Allow && entry.device.is_some();
    }
    if entry.decision == Decision::Allow {
        return reason == RECOVERY || entry.action != Action::InstallationUnseal.as_str();
    }
    reason == SUMMARY
        || entry.action == Action::InstallationUnseal.as_str()
        || (PROOFS.contains(&entry.action.as_ref()) && HOSTILE.contains(&reason))
        || (entry.action == Action::ProjectTokenUse.as_str()
            && reason == TokenRefusal::Device.as_str())
        || reason == ApiKeyRefusal::Device.as_str()
        || (entry.action == Action::DeviceJoin.as_str() && reason == OTHER_DEVICE)
        || (entry.action == Action::PolicyState.as_str() && reason == UNUSABLE)
        || (PASSKEYS.contains(&entry.action.as_ref()) && reason == COUNTER_BACK)
}

/// The actor that the event is about.
fn subject(entry: &Entry, snapshot: &Snapshot) -> Option<ActorId> {
    let resource = entry.resource.as_deref().unwrap_or_default();
    let mut words = resource.split(' ');
    let (kind, name) = words.next()?.split_once('/').unwrap_or_default();
    match kind {
        "device" => Some(snapshot.device(&name.parse().ok()?)?.actor),
        "passkey" => Some(snapshot.passkey(&name.parse().ok()?)?.actor),
        "agent" => revoked_agent(snapshot, entry.namespace.as_ref()?, name, entry.time),
        "grant" => grantee(entry, snapshot),
        // Of a denied request the entry names the agent, as there is no grant to ask.
        "request" => grantee(entry, snapshot)
            .or_else(|| words.find_map(|word| word.strip_prefix("agent:")?.parse().ok())),
        // Who asks for a project's values asks for itself.
        "project" if entry.action == Action::RequestCreate.as_str() => entry.actor,
        _ => None,
    }
}

/// The operator whom an entry names.
fn operator(entry: &Entry, snapshot: &Snapshot) -> Option<ActorId> {
    let named = entry.resource.as_deref()?.split(' ').next()?;
    let name: Label = named.strip_prefix("operator/")?.parse().ok()?;
    snapshot.owner_named(&name).map(|operator| operator.id)
}

fn grantee(entry: &Entry, snapshot: &Snapshot) -> Option<ActorId> {
    Some(snapshot.grant(&entry.grant?)?.agent)
}

/// Of the agents that had this label, the one that was revoked last at that time: a
/// label comes back only after it was revoked.
fn revoked_agent(
    snapshot: &Snapshot,
    namespace: &Namespace,
    label: &str,
    time: Timestamp,
) -> Option<ActorId> {
    let label: Label = label.parse().ok()?;
    snapshot
        .agents_named(namespace, &label)
        .filter(|agent| agent.revoked.is_some_and(|revoked| revoked <= time))
        .max_by_key(|agent| agent.revoked)
        .map(|agent| agent.id)
}

/// An agent and the agents above it; an owner alone.
fn concerned(snapshot: &Snapshot, subject: ActorId) -> Vec<ActorId> {
    let is_agent = |actor: &&std::sync::Arc<ActorRecord>| actor.parent().is_some();
    let Some(actor) = snapshot.actor(&subject) else {
        return Vec::new();
    };
    let above = std::iter::successors(actor.parent(), |parent| {
        snapshot.actor(parent).and_then(|parent| parent.parent())
    });
    let above = above.filter_map(|id| snapshot.actor(id)).filter(is_agent);
    std::iter::once(subject)
        .chain(above.map(|agent| agent.id))
        .collect()
}
