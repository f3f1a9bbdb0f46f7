//! One message: of one thing, of many at once, or to see whether a channel works.

use super::digest::Digest;
use super::facts::Facts;
use super::medium::{cut, shown};
use super::rows::{ChannelRow, Place};
use super::template::{Template, Variable, usual};
use procura_types::wire::{ChannelKind, NotifyEvent};
use procura_types::{Namespace, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is sent.
pub(super) struct Message {
    /// By which a receiver knows it again that gets it twice.
    pub(super) id: String,
    /// What it is about, in one line.
    pub(super) subject: String,
    /// The text, for the medium that it goes to.
    pub(super) text: String,
    /// What a program is told.
    pub(super) told: Told,
    /// When it was written.
    pub(super) time: Timestamp,
}

/// What a webhook gets (`spec/notifications.md`).
#[derive(Serialize)]
pub(super) struct Told {
    id: String,
    /// `one`, `digest` or `test`.
    kind: &'static str,
    text: String,
    events: Vec<ToldEvent>,
    #[serde(skip_serializing_if = "is_none")]
    untold: u64,
}

/// Nothing that has to be said.
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// One thing that happened, as a webhook is told.
#[derive(Serialize)]
struct ToldEvent {
    id: String,
    severity: &'static str,
    #[serde(flatten)]
    facts: Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// What messages are made by.
pub(super) struct Writer<'a> {
    pub(super) place: &'a Place,
    pub(super) channel: &'a ChannelRow,
    /// Where the pages are, if there are any.
    pub(super) pages: Option<&'a str>,
    pub(super) now: Timestamp,
}

impl Writer<'_> {
    /// About one thing.
    pub(super) fn one(&self, facts: &Facts) -> Message {
        let own = self.channel.templates.get(&facts.event);
        let own = own.and_then(|text| Template::parse(text).ok());
        let value = |variable| self.value(facts, variable);
        // One that was put was looked at then; the usual ones are by a test.
        let text = match own.or_else(|| Template::parse(usual(facts.event)).ok()) {
            Some(template) => template.render(value),
            None => facts.action.clone(),
        };
        let text = cut(self.channel.kind, text);
        let id = self.id(facts);
        Message {
            subject: subject(
                facts.event.as_str(),
                facts.namespace.as_ref(),
                &facts.action,
            ),
            told: Told {
                id: id.clone(),
                kind: "one",
                text: text.clone(),
                events: vec![self.told(facts)],
                untold: 0,
            },
            id,
            text,
            time: self.now,
        }
    }

    /// About many things at once, since they were too many for a message each.
    pub(super) fn digest(&self, all: &[&Facts], untold: u64) -> Message {
        let mut counts: BTreeMap<NotifyEvent, usize> = BTreeMap::new();
        for facts in all {
            *counts.entry(facts.event).or_default() += 1;
        }
        let counts: Vec<String> = counts
            .iter()
            .map(|(event, count)| format!("{count} {event}"))
            .collect();
        let head = format!(
            "Procura: {} messages in one ({}), since this channel takes {} a minute",
            all.len(),
            counts.join(", "),
            self.channel.per_minute,
        );
        let (scope, _) = self.place;
        let digest = Digest {
            medium: self.channel.kind,
            scope,
            head,
            untold,
        };
        let text = digest.text(all, |facts| self.line(facts));
        let text = cut(self.channel.kind, text);
        let first = all.first().map_or_else(String::new, |facts| self.id(facts));
        let id = format!("{first}.and-{}", all.len());
        Message {
            subject: format!("[procura] {} messages", all.len()),
            told: Told {
                id: id.clone(),
                kind: "digest",
                text: text.clone(),
                events: all.iter().map(|facts| self.told(facts)).collect(),
                untold,
            },
            id,
            text,
            time: self.now,
        }
    }

    /// To see whether the channel works.
    pub(super) fn test(&self, id: &str) -> Message {
        let (scope, channel) = self.place;
        let of = if scope.is_empty() {
            "of the installation".to_owned()
        } else {
            format!("of the namespace {scope}")
        };
        let text = format!(
            "Procura: this is a test of the channel {channel} {of}. Somebody who may change it asked for it."
        );
        Message {
            id: id.to_owned(),
            subject: "[procura] test".to_owned(),
            told: Told {
                id: id.to_owned(),
                kind: "test",
                text: text.clone(),
                events: Vec::new(),
                untold: 0,
            },
            text,
            time: self.now,
        }
    }

    fn id(&self, facts: &Facts) -> String {
        let (scope, channel) = self.place;
        let dot = if scope.is_empty() { "" } else { "." };
        format!("{}.{scope}{dot}{channel}", facts.entry)
    }

    fn told(&self, facts: &Facts) -> ToldEvent {
        ToldEvent {
            id: self.id(facts),
            severity: facts.severity().as_str(),
            facts: facts.clone(),
            link: self.link(facts),
            command: command(facts),
        }
    }

    /// One line of a digest.
    fn line(&self, facts: &Facts) -> String {
        let show = |value: &str| shown(self.channel.kind, value);
        let resource = facts.resource.as_deref().map(|text| {
            let short: String = text.chars().take(120).collect();
            format!(" {}", show(&short))
        });
        let alarm = facts.event == NotifyEvent::Alarm;
        let who = facts.who.as_deref().filter(|_| alarm);
        let who = who.map(|who| format!(", {}", show(who)));
        let command = command(facts).map(|command| format!(" · {command}"));
        format!(
            "{} {}: {}{}{}{}",
            show(&facts.time.to_string()),
            facts.event,
            show(&facts.action),
            resource.unwrap_or_default(),
            who.unwrap_or_default(),
            command.unwrap_or_default(),
        )
    }

    fn link(&self, facts: &Facts) -> Option<String> {
        let (request, namespace) = (facts.request?, facts.namespace.as_ref()?);
        if facts.event != NotifyEvent::Request {
            return None;
        }
        Some(format!("{}/requests/{namespace}/{request}", self.pages?))
    }

    fn value(&self, facts: &Facts, variable: Variable) -> Option<String> {
        // What is made here holds nothing that anybody chose.
        let value = match variable {
            Variable::Link => return self.link(facts),
            Variable::Command => return command(facts),
            Variable::Action => Some(facts.action.clone()),
            Variable::By => facts.by.clone(),
            Variable::Count => facts.count.map(|count| count.to_string()),
            Variable::Entry => Some(facts.entry.to_string()),
            Variable::Event => Some(facts.event.to_string()),
            Variable::Names => names(facts),
            Variable::Namespace => facts.namespace.as_ref().map(ToString::to_string),
            Variable::Project => facts.project.clone(),
            Variable::Reason => facts.reason.clone(),
            Variable::Resource => facts.resource.clone(),
            Variable::Severity => Some(facts.severity().to_string()),
            Variable::Time => Some(facts.time.to_string()),
            Variable::Who => facts.who.clone(),
        };
        value.map(|value| shown(self.channel.kind, &value))
    }
}

fn names(facts: &Facts) -> Option<String> {
    let listed = facts.names.join(", ");
    match (listed.is_empty(), facts.more_names) {
        (true, 0) => None,
        (true, more) => Some(format!("{more} names")),
        (false, 0) => Some(listed),
        (false, more) => Some(format!("{listed} and {more} more")),
    }
}

/// What an approver types.
fn command(facts: &Facts) -> Option<String> {
    let (request, namespace) = (facts.request?, facts.namespace.as_ref()?);
    (facts.event == NotifyEvent::Request)
        .then(|| format!("procura request approve {request} --namespace {namespace}"))
}

fn subject(event: &str, namespace: Option<&Namespace>, action: &str) -> String {
    let of = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
    let line = format!("[procura] {event}{of}: {action}");
    shown(ChannelKind::Mail, &line)
}

#[cfg(test)]
mod tests {
    use super::super::facts::Cause;
    use super::super::medium::{length, longest};
    use super::*;
    use procura_ledger::SUMMARY;
    use procura_types::{EntryId, RequestId};

    fn facts(event: NotifyEvent, number: u8) -> Facts {
        Facts {
            event,
            time: Timestamp::from_millis(1_795_000_000_000),
            entry: EntryId::from_bytes([number; 16]),
            action: format!("{event}.x"),
            namespace: Some("shop".parse().unwrap()),
            resource: Some(format!("secret/{}", "<b>".repeat(200))),
            who: None,
            by: None,
            project: None,
            names: Vec::new(),
            more_names: 0,
            request: (event == NotifyEvent::Request).then(|| RequestId::from_bytes([number; 16])),
            reason: None,
            count: None,
            cause: Cause::Inside,
        }
    }

    /// A proof that was refused, whoever it named.
    fn refused(number: u8, reason: &str, who: Option<&str>) -> Facts {
        Facts {
            action: "authenticate".to_owned(),
            resource: None,
            who: who.map(str::to_owned),
            reason: Some(reason.to_owned()),
            cause: who.map_or(Cause::Stranger, |_| Cause::Named),
            ..facts(NotifyEvent::Alarm, number)
        }
    }

    fn digest(kind: ChannelKind, scope: &str, all: &[Facts], untold: u64) -> Message {
        let all: Vec<&Facts> = all.iter().collect();
        let place = (scope.to_owned(), "ops".parse().unwrap());
        let channel = channel(kind);
        let writer = Writer {
            place: &place,
            channel: &channel,
            pages: None,
            now: Timestamp::from_millis(0),
        };
        writer.digest(&all, untold)
    }

    fn channel(kind: ChannelKind) -> ChannelRow {
        let time = Timestamp::from_millis(0);
        ChannelRow {
            kind,
            receiver: String::new(),
            chat: None,
            mail: None,
            ca_pem: None,
            per_minute: 3,
            templates: BTreeMap::new(),
            created: time,
            updated: time,
        }
    }

    #[test]
    fn no_flood_hides_a_request() {
        let mut all: Vec<Facts> = (0..100).map(|at| facts(NotifyEvent::Alarm, at)).collect();
        all.push(facts(NotifyEvent::Request, 200));
        for kind in ChannelKind::ALL {
            let message = digest(*kind, "", &all, 7);
            let id = RequestId::from_bytes([200; 16]);
            let command = format!("procura request approve {id} --namespace shop");
            assert!(message.text.contains(&command), "{kind}: {}", message.text);
            assert!(message.text.contains("(1 request, 100 alarm)"), "{kind}");
            assert_eq!(message.told.events.len(), 101);
            assert_eq!(message.told.untold, 7);
            let shown = message.text.matches(" alarm: ").count();
            let rest = format!(
                "and {} more alarms: procura audit list --everywhere",
                100 - shown
            );
            assert!(message.text.contains(&rest), "{kind}: {}", message.text);
            let untold = "7 before them were not kept one by one";
            assert!(message.text.contains(untold), "{kind}: {}", message.text);
        }
    }

    #[test]
    fn alarms_that_anybody_can_cause_hide_no_others() {
        let mut all: Vec<Facts> = (0..90)
            .map(|at| refused(at, "bad_signature", None))
            .chain((90..150).map(|at| refused(at, "bad_signature", Some("alice//scribe"))))
            .collect();
        // Those that were too many are counted in one.
        all.push(Facts {
            resource: Some("reason/bad_signature".to_owned()),
            count: Some(5000),
            ..refused(150, SUMMARY, None)
        });
        all.push(refused(151, "revoked", None));
        all.push(refused(152, "nonce_replayed", Some("alice//baker")));
        all.push(Facts {
            action: "unseal_source.add".to_owned(),
            resource: Some("unseal_source/spare".to_owned()),
            who: Some("alice".to_owned()),
            ..facts(NotifyEvent::Alarm, 153)
        });
        all.push(facts(NotifyEvent::Request, 154));
        let message = digest(ChannelKind::Mail, "shop", &all, 0);
        let time = all[0].time;
        let request = RequestId::from_bytes([154; 16]);
        let lines: Vec<&str> = message.text.lines().collect();
        let expected = [
            format!("{time} alarm: unseal_source.add unseal_source/spare, alice"),
            format!(
                "{time} alarm: authenticate (bad_signature), naming alice//scribe, 60 times since {time}"
            ),
            format!("{time} alarm: authenticate (nonce_replayed), naming alice//baker"),
        ];
        assert_eq!(lines[1..4], expected);
        let approve = format!("· procura request approve {request} --namespace shop");
        assert!(lines[4].ends_with(&approve), "{}", lines[4]);
        let expected = [
            format!(
                "{time} alarm: authenticate (bad_signature), naming nobody of here, 5090 times since {time}"
            ),
            format!("{time} alarm: authenticate (revoked), naming nobody of here"),
        ];
        assert_eq!(lines[5..], expected);
        // A program is told of each.
        assert_eq!(message.told.events.len(), all.len());
    }

    #[test]
    fn of_what_is_left_out_it_is_said_how_much_and_where_it_is() {
        let mut all: Vec<Facts> = (0..100)
            .map(|at| refused(at, &format!("reason_{at}"), Some("alice//scribe")))
            .chain((0..30).map(|at| refused(at, &format!("reason_{at}"), None)))
            .collect();
        for event in [NotifyEvent::Alarm, NotifyEvent::Request, NotifyEvent::Grant] {
            all.extend((0..40).map(|at| facts(event, at)));
        }
        for kind in ChannelKind::ALL {
            let message = digest(*kind, "shop", &all, 0);
            let text = &message.text;
            assert!(length(text) <= longest(*kind), "{kind}");
            assert!(!text.contains("(shortened)"), "{kind}: {text}");
            let lines = |words: &str| text.lines().filter(|line| line.contains(words)).count();
            let strangers = lines("naming nobody of here");
            let alarms = lines(" alarm: ") - strangers;
            for (shown, all, rest) in [
                (alarms, 140, "alarms: procura audit list --namespace shop"),
                (
                    lines(" request: "),
                    40,
                    "requests: procura request list --namespace shop",
                ),
                (
                    strangers,
                    30,
                    "alarms that name nobody of here, in the record",
                ),
            ] {
                assert!(shown > 0, "{kind}: {rest}");
                let rest = format!("and {} more {rest}", all - shown);
                assert!(text.contains(&rest), "{kind}: {text}");
            }
            let rest = format!("and {} more, in the record", 40 - lines(" grant: "));
            assert!(text.contains(&rest), "{kind}: {text}");
            // The first is one that nobody causes from outside.
            let first = text.lines().nth(1).unwrap();
            assert!(first.contains("alarm.x"), "{kind}: {first}");
        }
    }

    #[test]
    fn ids_are_the_same_when_it_is_sent_again_and_apart_by_channel() {
        let (one, two) = (facts(NotifyEvent::Alarm, 1), facts(NotifyEvent::Alarm, 2));
        let channel = channel(ChannelKind::Webhook);
        let id = |scope: &str, facts: &Facts| {
            let place = (scope.to_owned(), "ops".parse().unwrap());
            let writer = Writer {
                place: &place,
                channel: &channel,
                pages: None,
                now: Timestamp::from_millis(0),
            };
            writer.one(facts).id
        };
        assert_eq!(id("shop", &one), id("shop", &one));
        assert_ne!(id("shop", &one), id("shop", &two));
        assert_ne!(id("shop", &one), id("", &one));
        let fits = |id: String| {
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        };
        assert!(fits(id("shop", &one)) && fits(id("", &one)));
    }
}
