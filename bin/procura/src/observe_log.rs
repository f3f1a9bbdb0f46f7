//! Reading observe logs, and counting what they say of one service.
//!
//! Whatever a caller sent stands in such a log as it was claimed, so nothing of it
//! is believed and nothing of it can fill the memory: lines have a longest length,
//! and no more than so many different refusals are told apart.

use procura_types::dial::Dial;
use procura_types::wire::Service;
use procura_types::{
    Counted, ForeignId, MAX_OBSERVED_LINE, ObservedLine, RoutePrefix, Timestamp, WouldReject,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};
use std::net::IpAddr;

/// Most groups that are told apart.
const MOST_GROUPS: usize = 1000;
/// Most addresses of a group, and most names of other services.
const MOST_NAMED: usize = 5;
/// Most damaged lines that are named.
const MOST_DAMAGED: usize = 20;

/// What would be refused alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    agent: Option<ForeignId>,
    reason: String,
    route: Option<RoutePrefix>,
}

/// Refusals of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// The agent that the requests name.
    pub(crate) agent: Option<ForeignId>,
    /// A word.
    pub(crate) reason: String,
    /// The longest route that matches; none is all else.
    pub(crate) route: Option<RoutePrefix>,
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// Method and path of the last.
    pub(crate) example: String,
    /// Some of the addresses that they came from.
    pub(crate) from: BTreeSet<IpAddr>,
}

/// A line that could not be read.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Damaged {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u64,
    pub(crate) problem: String,
}

/// What the logs say of one service.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    service: &'a Service,
    dial: Dial,
    since: Option<Timestamp>,
    now: Timestamp,
    groups: BTreeMap<Kind, Group>,
    /// Refusals of kinds that there was no place for.
    pub(crate) beyond: u64,
    /// Refusals that each exception of the service covers.
    pub(crate) excepted: Vec<u64>,
    /// Requests that would be let through.
    pub(crate) passed: u64,
    /// Lines that count requests.
    pub(crate) counts: u64,
    /// Refusals that were counted where they happened and have no line.
    pub(crate) lost: u64,
    /// Time of the first and the last line.
    pub(crate) period: Option<(Timestamp, Timestamp)>,
    pub(crate) damaged: Vec<Damaged>,
    /// How many lines were damaged, those that are not named too.
    pub(crate) damaged_lines: u64,
    /// Some of the services that other lines are about.
    pub(crate) others: BTreeSet<String>,
}

/// Why a file is not counted.
#[derive(Debug)]
pub(crate) enum NotRead {
    Io(io::Error),
    /// Packed by gzip (RFC 1952 section 2.3.1).
    Compressed,
    /// None of its lines is one of an observe log; the first, and what is wrong with it.
    NoLog(u64, String),
}

impl From<io::Error> for NotRead {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where the reading of one file is.
#[derive(Default)]
struct Place {
    /// Whether a line of before the time asked for was passed over.
    skipped: bool,
    /// Whether a line that counts was met: from there on, all refusals have lines here.
    counting: bool,
    /// Refusals since that line.
    since_count: u64,
    /// Lines that could be read.
    read: u64,
    /// Damaged lines since the last that could be read: when they were written is not
    /// known before the next.
    damaged: Vec<(u64, String)>,
    /// How many there are, those that are not kept too.
    damaged_lines: u64,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(service: &'a Service, since: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            service,
            dial: service.dial(),
            since,
            now,
            groups: BTreeMap::new(),
            beyond: 0,
            excepted: vec![0; service.exceptions.iter().count()],
            passed: 0,
            counts: 0,
            lost: 0,
            period: None,
            damaged: Vec::new(),
            damaged_lines: 0,
            others: BTreeSet::new(),
        }
    }

    /// Counts the lines of one file.
    pub(crate) fn read(&mut self, file: &str, mut from: impl BufRead) -> Result<(), NotRead> {
        let mut place = Place::default();
        let mut number = 0u64;
        let mut line = Vec::new();
        if from.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            return Err(NotRead::Compressed);
        }
        while let Some(whole) = next_line(&mut from, &mut line)? {
            number += 1;
            match parse(&line, whole) {
                Ok(line) => {
                    place.read += 1;
                    self.count(file, line, &mut place);
                }
                Err(problem) => {
                    place.damaged_lines += 1;
                    if place.damaged.len() < MOST_DAMAGED {
                        place.damaged.push((number, problem));
                    }
                }
            }
        }
        match place.damaged.first() {
            Some((line, problem)) if place.read == 0 => Err(NotRead::NoLog(*line, problem.clone())),
            _ => {
                self.take_damaged(file, &mut place);
                Ok(())
            }
        }
    }

    fn count(&mut self, file: &str, line: ObservedLine, place: &mut Place) {
        if self.since.is_some_and(|since| line.ts() < since) {
            place.skipped = true;
            place.damaged.clear();
            place.damaged_lines = 0;
            return;
        }
        self.take_damaged(file, place);
        if let Some(other) = line.service()
            && *other != self.service.name
        {
            if self.others.len() < MOST_NAMED {
                self.others.insert(other.to_string());
            }
            return;
        }
        let (from, until) = self.period.unwrap_or((line.ts(), line.ts()));
        self.period = Some((from.min(line.ts()), until.max(line.ts())));
        match line {
            ObservedLine::Observed(counted) => self.counted(&counted, place),
            ObservedLine::WouldReject(line) => {
                place.since_count += 1;
                self.refused(line);
            }
            ObservedLine::LinesLost(lines) => {
                self.lost = self.lost.saturating_add(lines.count);
                // The next count counts them, and they are not missed twice.
                place.since_count = place.since_count.saturating_add(lines.count);
            }
        }
    }

    fn counted(&mut self, counted: &Counted, place: &mut Place) {
        // The first after lines that were passed over counts those as well.
        let all_of_it = !std::mem::take(&mut place.skipped);
        if all_of_it {
            self.counts += 1;
            self.passed = self.passed.saturating_add(counted.passed);
        }
        if place.counting {
            let lost = counted.would_reject.saturating_sub(place.since_count);
            self.lost = self.lost.saturating_add(lost);
        }
        place.counting = true;
        place.since_count = 0;
    }

    fn refused(&mut self, line: WouldReject) {
        let agent = line.agent_id.as_ref();
        let covering =
            self.service.exceptions.iter().position(|exception| {
                exception.holds(self.now) && exception.covers(agent, &line.path)
            });
        if let Some(count) = covering.and_then(|at| self.excepted.get_mut(at)) {
            *count += 1;
            return;
        }
        let route = self.dial.at(&line.path).route.cloned();
        let kind = Kind {
            agent: line.agent_id.clone(),
            reason: line.reason.clone(),
            route: route.clone(),
        };
        let example = format!("{} {}", line.method, line.path);
        let full = self.groups.len() >= MOST_GROUPS;
        let group = match self.groups.get_mut(&kind) {
            Some(group) => group,
            None if full => {
                self.beyond += 1;
                return;
            }
            None => self.groups.entry(kind).or_insert(Group {
                agent: line.agent_id,
                reason: line.reason,
                route,
                count: 0,
                first: line.ts,
                last: line.ts,
                example: example.clone(),
                from: BTreeSet::new(),
            }),
        };
        group.count += 1;
        group.first = group.first.min(line.ts);
        if group.last <= line.ts {
            group.last = line.ts;
            group.example = example;
        }
        if group.from.len() < MOST_NAMED {
            group.from.insert(line.ip);
        }
    }

    fn take_damaged(&mut self, file: &str, place: &mut Place) {
        self.damaged_lines += std::mem::take(&mut place.damaged_lines);
        for (line, problem) in place.damaged.drain(..) {
            if self.damaged.len() < MOST_DAMAGED {
                self.damaged.push(Damaged {
                    file: file.to_owned(),
                    line,
                    problem,
                });
            }
        }
    }

    /// The kinds of refusals that no exception covers, the most frequent first.
    pub(crate) fn take_groups(&mut self) -> Vec<Group> {
        let mut groups: Vec<Group> = std::mem::take(&mut self.groups).into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// The next line without its end; `None` at the end of the file. Of a line that is
/// too long only the beginning is kept, and it is said not to be whole.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let most = u64::try_from(MAX_OBSERVED_LINE + 1).unwrap_or(u64::MAX);
    if from.take(most).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Some(true));
    }
    let whole = line.len() <= MAX_OBSERVED_LINE;
    if !whole {
        from.skip_until(b'\n')?;
    }
    Ok(Some(whole))
}

/// A line; or what is wrong with it, without any of it.
fn parse(line: &[u8], whole: bool) -> Result<ObservedLine, String> {
    if !whole {
        return Err("it is longer than 64 KiB".to_owned());
    }
    let line: ObservedLine = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // Ours name the field and the rule; those of the parser may quote what is there.
        match error.classify() {
            serde_json::error::Category::Data if is_ours(&text) => text
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned(),
            serde_json::error::Category::Data => {
                "it is JSON and lacks what a line of an observe log has".to_owned()
            }
            _ => format!("it is not JSON from column {} on", error.column()),
        }
    })?;
    match &line {
        ObservedLine::WouldReject(refused) if !is_word(&refused.reason) => {
            Err("reason: is no word".to_owned())
        }
        _ => Ok(line),
    }
}

/// Whether a reason has the form of one: those of gates are not all those of proofs.
fn is_word(reason: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (1..=40).contains(&reason.len()) && reason.bytes().all(letter)
}

/// Whether an error is one of our types: a field of a line, and its rule.
fn is_ours(text: &str) -> bool {
    const FIELDS: [&str; 12] = [
        "time",
        "event",
        "service",
        "count",
        "label",
        "method",
        "path",
        "reason",
        "agent_id",
        "ip",
        "passed",
        "would_reject",
    ];
    text.split_once(": ")
        .is_some_and(|(field, _)| FIELDS.contains(&field))
}

#[cfg(test)]
mod tests;
