//! `auth report`: what of an observe log stands in the way of enforcing.

use crate::context::Context;
use crate::failure::Failure;
use crate::observe_log::{Damaged, Group, NotRead, Tally};
use crate::output::{self, Table};
use crate::service::read;
use clap::Args;
use procura_proof::Reason;
use procura_types::dial::{Exception, Mode};
use procura_types::wire::Service;
use procura_types::{Duration, Label, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Whoever comes by once a day was not seen in less.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Tell whether a service can be enforced, by the log of what would be refused
///
/// Counts by agent, reason and route, leaves out whom the service refuses on
/// purpose, and ends with 0 only when nothing else would be refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura auth report web --log logs/observe.jsonl*\n  procura auth report web --log logs/observe.jsonl --since 2026-11-20T00:00:00Z\n  zcat observe.jsonl.2.gz | procura auth report web --log - observe.jsonl.1 observe.jsonl"
)]
pub(crate) struct Report {
    /// The service
    service: Label,
    /// The log, and the files that it was rotated to; - is stdin
    #[arg(long = "log", value_name = "FILE", required = true, num_args = 1..)]
    logs: Vec<PathBuf>,
    /// Only what was written at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
}

/// What `auth report --json` prints.
#[derive(Serialize)]
struct Found<'a> {
    service: &'a Label,
    /// Where its dial stands, as stored.
    mode: Mode,
    /// Times of the first and the last line that counted.
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    requests: u64,
    passed: u64,
    would_reject: u64,
    /// What would be refused that no exception covers, the most frequent first.
    left: Vec<Left>,
    /// Refusals of more kinds than are told apart.
    left_beyond: u64,
    excepted: Vec<Excepted<'a>>,
    damaged: Vec<Damaged>,
    damaged_lines: u64,
    /// Lines that are missing.
    lost: u64,
    /// Other services that lines are about.
    others: BTreeSet<String>,
    notes: Vec<String>,
    safe: bool,
    conclusion: String,
}

#[derive(Serialize)]
struct Left {
    #[serde(flatten)]
    group: Group,
    /// What helps.
    todo: &'static str,
}

#[derive(Serialize)]
struct Excepted<'a> {
    #[serde(flatten)]
    exception: &'a Exception,
    count: u64,
    holds: bool,
}

impl Report {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let service = read(&server, context, &self.service).await?;
        let now = context.now();
        let mut tally = Tally::new(&service, self.since, now);
        self.count(&mut tally)?;
        let found = conclude(&service, tally, now);
        if context.json {
            output::json(&found)?;
        } else {
            found.print(context)?;
        }
        if found.safe {
            return Ok(());
        }
        Err(Failure::refused(found.conclusion.clone()).next(found.next()))
    }

    fn count(&self, tally: &mut Tally<'_>) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        for path in &self.logs {
            let name = path.display().to_string();
            let counted = if name == "-" {
                tally.read("-", std::io::stdin().lock())
            } else {
                let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
                let (metadata, file) = opened.map_err(|error| cannot_read(&name, &error))?;
                // A shell's pattern and a name may mean the same file.
                if !seen.insert((metadata.dev(), metadata.ino())) {
                    continue;
                }
                tally.read(&name, BufReader::new(file))
            };
            counted.map_err(|problem| match problem {
                NotRead::Io(error) => cannot_read(&name, &error),
                NotRead::Compressed => Failure::usage(format!("{name} is compressed")).next(
                    format!("zcat {name} | procura auth report {} --log -", self.service),
                ),
                NotRead::NoLog(line, problem) => {
                    Failure::usage(format!("{name} is not an observe log"))
                        .because(format_args!("line {line}: {problem}"))
                        .next("--log FILE, with the log that the gate of the service writes")
                }
            })?;
        }
        Ok(())
    }
}

fn cannot_read(name: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::usage(format!("cannot read {name}"))
            .because(error)
            .next("logs/observe.jsonl of the gate's --home"),
        ErrorKind::IsADirectory | ErrorKind::PermissionDenied => {
            Failure::usage(format!("cannot read {name}")).because(error)
        }
        _ => Failure::storage(format!("cannot read {name}"), error),
    }
}

/// What helps against a refusal, by its word.
fn todo(word: &str) -> &'static str {
    match (word.parse(), word) {
        (Ok(reason), _) => todo_of(reason),
        (Err(_), "host_unknown") => {
            "it calls the service by a name that the gate does not know: start the gate with --host and that name, or find out who it is"
        }
        (Err(_), "body_too_large") => {
            "its body is larger than a gate holds: let the route stream, with procura service route"
        }
        (Err(_), "body_too_slow" | "too_many_bodies") => {
            "its body did not arrive in time, or too many did at once: let the route stream, with procura service route"
        }
        (Err(_), "forwarded_unclear") => {
            "a trusted proxy names no address that it stands for, or two: let it write X-Forwarded-For or Forwarded, and one of them only"
        }
        (Err(_), _) => "see the log of the gate",
    }
}

const fn todo_of(reason: Reason) -> &'static str {
    match reason {
        Reason::MissingHeaders => {
            "it sends no proof: give it a key and let it sign, or except it on purpose"
        }
        Reason::Malformed => {
            "its proof has the form of no profile: compare what it sends with spec/protocol.md §3"
        }
        Reason::TimestampOutOfWindow => {
            "its clock is off, or it keeps proofs: set the clock by a time server, and sign each request anew"
        }
        Reason::UnknownAgent => "its key is not known here: register it, or find out who it is",
        Reason::Revoked => "it was revoked: stop it, or let it join again with a new key",
        Reason::BadSignature => {
            "it signs other bytes or with another key: compare method, path and body with what it sends, and with what a proxy makes of them"
        }
        Reason::DigestMismatch => {
            "the body that arrives is not the one that it signed: find what changes it on the way"
        }
        Reason::NonceReplayed => {
            "it uses a proof twice: whoever repeats a request has to sign it anew"
        }
        Reason::SessionUnknown => {
            "it goes on with a session of somewhere else: let it start one for this service"
        }
        Reason::SessionExpired => {
            "it goes on with a session that is over: let it renew before the end"
        }
        Reason::WebLoginUnknown | Reason::WebLoginOver => {
            "it sends what a browser holds after a sign-in: let it prove itself with a key of its own"
        }
        Reason::SourceNotAllowed => {
            "it connects from an address that is not allowed: allow the address, or find out who it is"
        }
        Reason::Quarantined => {
            "it touched a honey secret: a steward looks at what happened, and lets it out with procura honey reinstate"
        }
        Reason::RateLimited => "it sends more than it may: raise its limit, or let it send less",
        Reason::VerifierUnavailable => {
            "nothing is known of it, since proofs could not be checked then: see the gate's log and procura status"
        }
    }
}

fn conclude<'a>(service: &'a Service, mut tally: Tally<'a>, now: Timestamp) -> Found<'a> {
    let left: Vec<Left> = tally
        .take_groups()
        .into_iter()
        .map(|group| Left {
            todo: todo(&group.reason),
            group,
        })
        .collect();
    let left_count = left.iter().map(|left| left.group.count).sum::<u64>() + tally.beyond;
    let would_reject = left_count + tally.excepted.iter().sum::<u64>();
    let requests = tally.passed.saturating_add(would_reject);
    let rests_on = tally.period.map(|(from, until)| {
        format!(
            "{requests} requests between {from} and {until}, {}",
            span(until.since(from))
        )
    });
    let incomplete = tally.damaged_lines > 0 || tally.lost > 0;
    let safe = left_count == 0 && !incomplete && tally.counts > 0 && requests > 0;
    let conclusion = match &rests_on {
        _ if left_count > 0 => {
            format!(
                "not safe to enforce: {left_count} of {requests} requests would be refused that are no exceptions"
            )
        }
        _ if incomplete => "not safe to enforce: the log is not complete".to_owned(),
        Some(rests_on) if safe => format!("safe to enforce, as far as {rests_on}, can tell"),
        _ => "not safe to enforce: nothing was observed".to_owned(),
    };
    let mut found = Found {
        service: &service.name,
        mode: service.mode.unwrap_or_default(),
        from: tally.period.map(|(from, _)| from),
        until: tally.period.map(|(_, until)| until),
        requests,
        passed: tally.passed,
        would_reject,
        left,
        left_beyond: tally.beyond,
        excepted: service
            .exceptions
            .iter()
            .zip(&tally.excepted)
            .map(|(exception, count)| Excepted {
                exception,
                count: *count,
                holds: exception.holds(now),
            })
            .collect(),
        damaged: tally.damaged,
        damaged_lines: tally.damaged_lines,
        lost: tally.lost,
        others: tally.others,
        notes: Vec::new(),
        safe,
        conclusion,
    };
    found.note(tally.period, tally.counts, now);
    found
}

impl Found<'_> {
    /// What whoever relies on the conclusion should know.
    fn note(&mut self, period: Option<(Timestamp, Timestamp)>, counts: u64, now: Timestamp) {
        let mut notes = Vec::new();
        if self.mode == Mode::Off {
            notes.push("the service is at off: nothing of it is observed now".to_owned());
        }
        if counts == 0 && self.would_reject > 0 {
            notes.push(
                "no line counts the requests that passed: how many there were is not known"
                    .to_owned(),
            );
        }
        if let Some((from, until)) = period {
            if until.since(from) < DAY {
                notes.push(
                    "this is less than a day: whoever comes by once a day may not have been seen"
                        .to_owned(),
                );
            }
            if now.since(until) > DAY {
                notes.push(format!("the newest line is {} old", span(now.since(until))));
            }
        }
        if self.lost > 0 {
            notes.push(format!(
                "{} lines are missing: refusals were counted that have none, or the gate could not write them",
                self.lost
            ));
        }
        if !self.others.is_empty() {
            let names: Vec<&str> = self.others.iter().map(String::as_str).collect();
            notes.push(format!(
                "lines about other services were passed over: {}",
                names.join(", ")
            ));
        }
        self.notes = notes;
    }

    /// What to type next, when it is not safe.
    fn next(&self) -> String {
        let service = self.service;
        if !self.left.is_empty() {
            return format!(
                "mend what is listed, or procura auth except {service} for what is refused on purpose; then procura auth report {service} with --since and the time of the last change"
            );
        }
        if self.damaged_lines > 0 || self.lost > 0 {
            return format!(
                "procura auth report {service} with --since and a time from which on the log is whole"
            );
        }
        format!(
            "procura auth mode {service} observe, and this command once its callers have come by"
        )
    }

    fn print(&self, context: &Context) -> Result<(), Failure> {
        output::say(format!(
            "{} in {}, at {}: {} requests, {} would pass, {} would be refused",
            self.service,
            context.namespace,
            self.mode,
            self.requests,
            self.passed,
            self.would_reject
        ));
        let mut table = Table::new([
            "AGENT", "REASON", "ROUTE", "COUNT", "LAST", "FROM", "EXAMPLE",
        ]);
        for Left { group, .. } in &self.left {
            let from: Vec<String> = group.from.iter().map(ToString::to_string).collect();
            table.row([
                group
                    .agent
                    .as_ref()
                    .map_or_else(|| "not named".to_owned(), ToString::to_string),
                group.reason.to_string(),
                group
                    .route
                    .as_ref()
                    .map_or_else(|| "all else".to_owned(), ToString::to_string),
                group.count.to_string(),
                group.last.to_string(),
                from.join(" "),
                group.example.chars().take(60).collect(),
            ]);
        }
        table.print("nothing would be refused that is no exception")?;
        if self.left_beyond > 0 {
            output::line(format!("and {} of other kinds", self.left_beyond))?;
        }
        let mut told = Vec::new();
        for Left { group, todo } in &self.left {
            if !told.contains(todo) {
                told.push(*todo);
                output::line(format!("{}: {todo}", group.reason))?;
            }
        }
        for excepted in &self.excepted {
            output::line(output::plain(&excepted.words()))?;
        }
        for damaged in &self.damaged {
            let Damaged {
                file,
                line,
                problem,
            } = damaged;
            output::line(output::plain(&format!(
                "{file}, line {line}, is damaged: {problem}"
            )))?;
        }
        if let Some(more) = self
            .damaged_lines
            .checked_sub(u64::try_from(self.damaged.len()).unwrap_or(u64::MAX))
            .filter(|more| *more > 0)
        {
            output::line(format!("and {more} more damaged lines"))?;
        }
        for note in &self.notes {
            output::line(format!("note: {note}"))?;
        }
        if self.safe {
            output::line(&self.conclusion)?;
        }
        Ok(())
    }
}

impl Excepted<'_> {
    fn words(&self) -> String {
        let Exception {
            agent,
            route,
            reason,
            until,
        } = self.exception;
        let who = match (agent, route) {
            (Some(agent), Some(route)) => format!("{agent} on {route}"),
            (Some(agent), None) => agent.to_string(),
            (None, Some(route)) => format!("anybody on {route}"),
            (None, None) => "anybody".to_owned(),
        };
        match until {
            Some(until) if !self.holds => {
                format!("no exception any more since {until}: {who} ({reason})")
            }
            Some(until) => {
                format!(
                    "refused on purpose until {until}: {who}, {} times ({reason})",
                    self.count
                )
            }
            None => format!("refused on purpose: {who}, {} times ({reason})", self.count),
        }
    }
}

/// A span of time in the two largest units that it has.
fn span(time: Duration) -> String {
    let secs = time.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => format!("{minutes}m {}s", secs % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_gate_has_what_helps() {
        for word in [
            "host_unknown",
            "body_too_large",
            "body_too_slow",
            "too_many_bodies",
            "forwarded_unclear",
        ] {
            assert_ne!(todo(word), todo("a_word_of_tomorrow"), "{word}");
        }
        assert_eq!(todo("a_word_of_tomorrow"), "see the log of the gate");
        assert_eq!(todo("revoked"), todo_of(Reason::Revoked));
    }
}
