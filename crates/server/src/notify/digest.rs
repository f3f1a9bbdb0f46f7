//! The text of a message about many things: of each kind something as far as there is
//! room, and of what is left out how much it is and where to look. Alarms that anybody
//! can cause are one line for all that are alike, so that they hide nothing else.

use super::facts::{Cause, Facts};
use super::medium::{length, longest, shown};
use procura_ledger::SUMMARY;
use procura_types::Timestamp;
use procura_types::wire::{ChannelKind, NotifyEvent};
use std::collections::{BTreeMap, VecDeque};

/// Most lines about what happened.
const LINES: usize = 20;

/// What a line is about; in this order they take turns, and stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// An alarm that nobody causes who was not let in.
    Alarm,
    /// Alarms that name somebody who is known.
    Named,
    /// Somebody has to answer it.
    Request,
    /// Alarms that name nobody.
    Stranger,
    /// All else.
    Other,
}

impl About {
    const fn of(facts: &Facts) -> Self {
        match (facts.event, facts.cause) {
            (NotifyEvent::Alarm, Cause::Inside) => Self::Alarm,
            (NotifyEvent::Alarm, Cause::Named) => Self::Named,
            (NotifyEvent::Alarm, Cause::Stranger) => Self::Stranger,
            (NotifyEvent::Request, _) => Self::Request,
            _ => Self::Other,
        }
    }
}

/// One line, and how many of the things it tells of.
struct Line {
    about: About,
    things: usize,
    text: String,
}

/// Alarms that are alike.
struct Alike {
    things: usize,
    times: u64,
    first: Timestamp,
    last: Timestamp,
}

/// What is written around the lines.
pub(super) struct Digest<'a> {
    pub(super) medium: ChannelKind,
    /// Whose channel it is, as rows have it.
    pub(super) scope: &'a str,
    /// The first line.
    pub(super) head: String,
    /// How many things it does not even count.
    pub(super) untold: u64,
}

impl Digest<'_> {
    /// The text about all of this; `line` writes about one thing.
    pub(super) fn text(&self, all: &[&Facts], line: impl Fn(&Facts) -> String) -> String {
        let lines = in_turns(self.lines(all, line));
        let mut room = lines.len().min(LINES);
        loop {
            let text = self.with(&lines, room);
            if room == 0 || length(&text) <= longest(self.medium) {
                return text;
            }
            room -= 1;
        }
    }

    fn lines(&self, all: &[&Facts], line: impl Fn(&Facts) -> String) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut alike: BTreeMap<(About, &str, &str, Option<&str>), Alike> = BTreeMap::new();
        for facts in all {
            let about = About::of(facts);
            let who = match about {
                About::Named => facts.who.as_deref(),
                About::Stranger => None,
                About::Alarm | About::Request | About::Other => {
                    lines.push(Line {
                        about,
                        things: 1,
                        text: line(facts),
                    });
                    continue;
                }
            };
            let these = alike
                .entry((about, facts.action.as_str(), why(facts), who))
                .or_insert(Alike {
                    things: 0,
                    times: 0,
                    first: facts.time,
                    last: facts.time,
                });
            these.things += 1;
            these.times = these.times.saturating_add(facts.count.unwrap_or(1));
            these.first = these.first.min(facts.time);
            these.last = these.last.max(facts.time);
        }
        let written = alike.into_iter().map(|((about, action, why, who), these)| {
            let show = |value: &str| shown(self.medium, value);
            let whom = who.map_or_else(|| "nobody of here".to_owned(), show);
            let often = match these.times {
                1 => String::new(),
                times => {
                    let first = show(&these.first.to_string());
                    format!(", {times} times since {first}")
                }
            };
            Line {
                about,
                things: these.things,
                text: format!(
                    "{} alarm: {} ({}), naming {whom}{often}",
                    show(&these.last.to_string()),
                    show(action),
                    show(why),
                ),
            }
        });
        lines.extend(written);
        lines
    }

    /// With the first of the lines, so many.
    fn with(&self, lines: &[Line], room: usize) -> String {
        let (told, left) = lines.split_at(room.min(lines.len()));
        let mut told: Vec<&Line> = told.iter().collect();
        told.sort_by_key(|line| line.about);
        let mut text = self.head.clone();
        for line in told {
            text.push('\n');
            text.push_str(&line.text);
        }
        let left_of = |about: &[About]| -> usize {
            let of = left.iter().filter(|line| about.contains(&line.about));
            of.map(|line| line.things).sum()
        };
        let record = match self.scope {
            "" => "procura audit list --everywhere".to_owned(),
            namespace => format!("procura audit list --namespace {namespace}"),
        };
        let requests = match self.scope {
            "" => "procura request list, with --namespace of each".to_owned(),
            namespace => format!("procura request list --namespace {namespace}"),
        };
        for (count, what) in [
            (
                left_of(&[About::Alarm, About::Named]),
                format!("more alarms: {record}"),
            ),
            (
                left_of(&[About::Request]),
                format!("more requests: {requests}"),
            ),
            (
                left_of(&[About::Stranger]),
                "more alarms that name nobody of here, in the record".to_owned(),
            ),
            (left_of(&[About::Other]), "more, in the record".to_owned()),
        ] {
            if count > 0 {
                text.push_str(&format!("\nand {count} {what}"));
            }
        }
        if self.untold > 0 {
            text.push_str(&format!(
                "\n{} before them were not kept one by one; they are in the record",
                self.untold
            ));
        }
        text
    }
}

/// Why it was refused; of a summary, what it is a summary of.
fn why(facts: &Facts) -> &str {
    let reason = facts.reason.as_deref().unwrap_or_default();
    let of = facts.resource.as_deref().unwrap_or_default();
    match of.strip_prefix("reason/") {
        Some(counted) if reason == SUMMARY => counted,
        _ => reason,
    }
}

/// One of each kind, another of each, and so on: none is crowded out by another.
fn in_turns(lines: Vec<Line>) -> Vec<Line> {
    let mut queues: BTreeMap<About, VecDeque<Line>> = BTreeMap::new();
    for line in lines {
        queues.entry(line.about).or_default().push_back(line);
    }
    let mut turns = Vec::new();
    while !queues.is_empty() {
        queues.retain(|_, queue| {
            turns.extend(queue.pop_front());
            !queue.is_empty()
        });
    }
    turns
}
