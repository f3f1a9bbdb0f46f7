//! `/alarms`: what nobody honest causes, the last first, as far as events are kept
//! ([ADR 18](../../../../docs/adr/0018-events.md)).

use super::answer::Answer;
use super::layout::{Frame, Place};
use super::moment::Moment;
use super::page::{Asked, Page, Visit, Way};
use super::shown::Shown;
use crate::api::event_stream::may_see;
use crate::api::events::scope;
use crate::problem::{Code, Failure};
use askama::Template;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::{Notice, Since};
use procura_types::wire::{Event, EventKind};
use procura_types::{Role, Timestamp};
use std::sync::Arc;

/// How many are on one page.
const SHOWN: usize = 50;

/// Looks at the alarms that an operator may see: those of the installation or of
/// namespaces, event by event.
pub(super) struct AlarmListing {
    scope: Resource,
    /// Only those of entries before this one.
    before: Option<u64>,
}

impl Op for AlarmListing {
    const ACTION: Action = Action::EventsRead;
    fn resource(&self) -> Resource {
        self.scope.clone()
    }
}

/// One alarm.
struct Alarm {
    words: &'static str,
    when: Moment,
    namespace: Option<Shown>,
    /// Whom it concerns, or who somebody said they were.
    subject: Option<Shown>,
    resource: Option<Shown>,
    action: Shown,
    reason: Option<Shown>,
    count: Option<u64>,
    entry: String,
}

#[derive(Template)]
#[template(path = "alarms.html")]
struct Alarms {
    frame: Frame,
    alarms: Vec<Alarm>,
    /// Where the ones before are.
    earlier: Option<String>,
    /// Whether this is not the first page.
    turned: bool,
    /// Whether whoever looks has a say in what is proposed to stewards.
    is_steward: bool,
}

/// `GET /alarms`.
pub(super) struct List;

impl Page for List {
    type Op = AlarmListing;
    const WAY: Way = Way::Look;
    const PATH: &'static str = "/alarms";
    const PLACE: Place = Place::Alarms;
    const FIELDS: &'static [&'static str] = &["before"];

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let text = asked.form.text("before");
        let before = text.map(str::parse).transpose().map_err(|_| {
            let mut failure = Failure::new(Code::Malformed, "The place in the list is no number.");
            failure.field = Some("before");
            failure
        })?;
        Ok(AlarmListing {
            scope: scope(asked.open, asked.snapshot, asked.input, asked.caller),
            before,
        })
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let found = seen(&visit, &permit);
        let more = found.len() > SHOWN;
        let shown: Vec<_> = found.into_iter().take(SHOWN).collect();
        let last = shown.last().filter(|_| more).map(|notice| notice.index);
        let now = visit.context.input.now;
        let roles = visit.snapshot.roles(permit.caller().actor());
        let is_steward = roles.is_some_and(|held| held.has(Role::Steward, None));
        let alarms = shown
            .iter()
            .filter_map(|notice| alarm(notice, &visit.snapshot, now))
            .collect();
        Answer::page(&Alarms {
            frame: visit.frame,
            alarms,
            earlier: last.map(|index| format!("/alarms?before={index}")),
            turned: permit.op().before.is_some(),
            is_steward,
        })
    }
}

/// The alarms that the caller may see, the last first, one more than fit on a page.
fn seen(visit: &Visit<'_>, permit: &Permit<AlarmListing>) -> Vec<Arc<Notice>> {
    let open = visit.context.open;
    let (decider, now) = (open.recorder.decider(), visit.context.input.now);
    let before = permit.op().before;
    let mut kept = Vec::new();
    let mut place = open.notices.first();
    loop {
        match open.notices.since(place) {
            // What is kept moved on meanwhile.
            Since::Gone(_) if place < open.notices.first() => place = open.notices.first(),
            Since::Gone(_) => break,
            Since::Notices(notices, next) => {
                let done = notices.is_empty();
                kept.extend(notices);
                place = next;
                if done {
                    break;
                }
            }
        }
    }
    kept.into_iter()
        .rev()
        .filter(|notice| before.is_none_or(|before| notice.index < before))
        .filter(|notice| notice.kinds.contains(&EventKind::Alarm))
        .filter(|notice| may_see(decider, &visit.snapshot, permit.caller(), notice, now))
        .take(SHOWN + 1)
        .collect()
}

fn alarm(notice: &Notice, snapshot: &Snapshot, now: Timestamp) -> Option<Alarm> {
    let event: Event = serde_json::from_str(&notice.json).ok()?;
    let subject = event.subject.as_ref();
    Some(Alarm {
        words: words(&event.action, event.reason.as_deref()),
        when: Moment::of(event.time, now),
        namespace: event.namespace.map(Shown::of),
        subject: subject.map(|subject| {
            let lineage = snapshot.lineage(subject);
            if lineage.is_empty() {
                Shown::of(subject)
            } else {
                Shown::of(lineage)
            }
        }),
        resource: event.resource.map(Shown::of),
        action: Shown::of(&event.action),
        reason: event.reason.map(Shown::of),
        count: event.count,
        entry: event.entry.to_string(),
    })
}

/// What happened, for people. The action and the reason stand beside it as they are in
/// the record.
fn words(action: &str, reason: Option<&str>) -> &'static str {
    let by_action = match action {
        "honey.touch" => "A decoy was touched; what touched it is in quarantine",
        "project_token.use" => "A project token was shown by another device than its own",
        "unseal_source.add" => "Another way to open the vault was added",
        "unseal_source.remove" => "A way to open the vault was removed",
        "proposal.create" => "Something was proposed that takes a quorum of stewards",
        "operator.device.hold" => "A steward put an operator's device on hold",
        "break_glass.create" => "A break-glass account was made",
        "break_glass.use" => "A break-glass account was used: somebody acts by it",
        "approval_rule.set" => "It was changed how many stewards an act takes",
        "operator.recover" => {
            "An operator gets another key by the word of whoever is at the server"
        }
        "operator.passkey.enrol" => "An operator has one more passkey, which can say yes for them",
        "web_login.wrong_codes" => {
            "Somebody has an operator's password, and typed codes that were wrong"
        }
        "operator.password.void" => {
            "An operator's password is none any more: too many codes behind it were wrong"
        }
        "ledger.retention" => "It was changed how long the record is kept",
        "installation.restore" => "A restored copy became the installation",
        "installation.unseal" if reason == Some("recovery") => "The vault was opened with shares",
        "installation.unseal" => "A try to open the vault was refused",
        _ => "",
    };
    if !by_action.is_empty() {
        return by_action;
    }
    match reason {
        Some("summary") => "Many requests were refused",
        Some("bad_signature") => "A proof was not signed by the key that it names",
        Some("digest_mismatch") => "A proof came with another body than the one that was signed",
        Some("nonce_replayed") => "A proof was used a second time",
        Some("revoked") => "Something that is revoked was used",
        Some("source_not_allowed") => "An agent's proof came from where the agent may not be",
        Some("api_key_device") => "An API key was shown by another device than its own",
        Some("counter_back") => "A passkey was used whose copy was used before",
        Some("other_device") => {
            "The code of a device that asks to join was shown by another device"
        }
        Some("policies_unusable") => "Policies that are in force cannot be used, and allow nothing",
        _ => "Something happened that is to be looked at",
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn what_is_told_of_as_an_alarm_has_words_of_its_own() {
        for (action, reason) in [
            ("authenticate", Some("bad_signature")),
            ("device.join", Some("other_device")),
            ("policy.state", Some("policies_unusable")),
            ("operator.passkey.use", Some("counter_back")),
            ("secret.list", Some("api_key_device")),
            ("project_token.use", Some("token_device")),
            ("break_glass.use", None),
        ] {
            let said = words(action, reason);
            assert!(!said.starts_with("Something happened"), "{action}: {said}");
        }
    }
}
