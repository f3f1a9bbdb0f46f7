//! The lines of an observe log (`protocol.md` §3.5): JSON, one object a line.
//! Whoever stands in front of a service writes them, `procura auth report` reads them.

use crate::{Duration, ForeignId, Label, Malformed, Timestamp};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use std::net::IpAddr;

/// The file, in the folder of logs of whoever writes it.
pub const OBSERVE_LOG: &str = "observe.jsonl";

/// How often requests are counted, while some come.
pub const OBSERVED_EVERY: Duration = Duration::from_secs(5);

/// The longest line that is read, in bytes, without its end.
pub const MAX_OBSERVED_LINE: usize = 64 * 1024;

/// So many characters of a method and of a path are kept: they are a stranger's, and a
/// line with both is shorter than the longest that is read.
const LONGEST_METHOD: usize = 32;
const LONGEST_PATH: usize = 1024;

/// One line. What the caller sent is in it as it was claimed, proven or not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub enum ObservedLine {
    /// A request that enforcement would refuse.
    WouldReject(WouldReject),
    /// How many requests there were since the last such line, or since the start: a
    /// log without refusals says nothing as long as nobody came.
    Observed(Counted),
    /// Lines that could not be written.
    LinesLost(LinesLost),
}

/// A request that enforcement would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WouldReject {
    /// When it came.
    pub ts: Timestamp,
    /// To which service.
    pub service: Label,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Why: a word of `spec/reasons.md`, or one of whoever writes the log.
    pub reason: String,
    /// The agent that it names, if it names one.
    pub agent_id: Option<ForeignId>,
    /// The profile that it has the shape of, if any.
    pub profile: Option<String>,
    /// Who connected.
    pub ip: IpAddr,
}

impl WouldReject {
    /// A request of this method and path, both cut to what is kept of them. `reason` is
    /// why, and the last but one whom the request names and by which profile.
    #[must_use]
    pub fn cut(
        ts: Timestamp,
        service: Label,
        (method, path): (&str, &str),
        reason: &str,
        (agent_id, profile): (Option<ForeignId>, Option<&str>),
        ip: IpAddr,
    ) -> Self {
        Self {
            ts,
            service,
            method: method.chars().take(LONGEST_METHOD).collect(),
            path: path.chars().take(LONGEST_PATH).collect(),
            reason: reason.to_owned(),
            agent_id,
            profile: profile.map(str::to_owned),
            ip,
        }
    }
}

/// How many requests there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// When they were counted.
    pub ts: Timestamp,
    /// To which service.
    pub service: Label,
    /// Requests that enforcement would let through.
    pub passed: u64,
    /// Requests that it would refuse, each of which has a line of its own before.
    pub would_reject: u64,
}

/// Lines that could not be written, because more came than can be or the disk failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinesLost {
    /// When the log could be written again.
    pub ts: Timestamp,
    /// How many.
    pub count: u64,
}

impl ObservedLine {
    /// When it was written.
    #[must_use]
    pub const fn ts(&self) -> Timestamp {
        match self {
            Self::WouldReject(line) => line.ts,
            Self::Observed(line) => line.ts,
            Self::LinesLost(line) => line.ts,
        }
    }

    /// About which service; lines that were lost may have been about any.
    #[must_use]
    pub const fn service(&self) -> Option<&Label> {
        match self {
            Self::WouldReject(line) => Some(&line.service),
            Self::Observed(line) => Some(&line.service),
            Self::LinesLost(_) => None,
        }
    }
}

impl Serialize for ObservedLine {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("ObservedLine", 9)?;
        to.serialize_field("ts", &self.ts())?;
        match self {
            Self::WouldReject(line) => {
                to.serialize_field("event", WOULD_REJECT)?;
                to.serialize_field("service", &line.service)?;
                to.serialize_field("method", &line.method)?;
                to.serialize_field("path", &line.path)?;
                to.serialize_field("reason", &line.reason)?;
                to.serialize_field("agent_id", &line.agent_id)?;
                to.serialize_field("profile", &line.profile)?;
                to.serialize_field("ip", &line.ip)?;
            }
            Self::Observed(line) => {
                to.serialize_field("event", OBSERVED)?;
                to.serialize_field("service", &line.service)?;
                to.serialize_field("passed", &line.passed)?;
                to.serialize_field("would_reject", &line.would_reject)?;
            }
            Self::LinesLost(line) => {
                to.serialize_field("event", LINES_LOST)?;
                to.serialize_field("count", &line.count)?;
            }
        }
        to.end()
    }
}

const WOULD_REJECT: &str = "would_reject";
const OBSERVED: &str = "observed";
const LINES_LOST: &str = "lines_lost";

/// A line as it is read: which fields there have to be, its event says. Unknown
/// ones are passed over, so that older readers read newer logs.
#[derive(Deserialize)]
struct Fields {
    ts: Timestamp,
    event: String,
    service: Option<Label>,
    method: Option<String>,
    path: Option<String>,
    reason: Option<String>,
    agent_id: Option<ForeignId>,
    profile: Option<String>,
    ip: Option<IpAddr>,
    passed: Option<u64>,
    would_reject: Option<u64>,
    count: Option<u64>,
}

impl TryFrom<Fields> for ObservedLine {
    type Error = Malformed;
    fn try_from(fields: Fields) -> Result<Self, Malformed> {
        let missing = |field| Malformed::new(field, "is missing");
        match fields.event.as_str() {
            WOULD_REJECT => Ok(Self::WouldReject(WouldReject {
                ts: fields.ts,
                service: fields.service.ok_or(missing("service"))?,
                method: fields.method.ok_or(missing("method"))?,
                path: fields.path.ok_or(missing("path"))?,
                reason: fields.reason.ok_or(missing("reason"))?,
                agent_id: fields.agent_id,
                profile: fields.profile,
                ip: fields.ip.ok_or(missing("ip"))?,
            })),
            OBSERVED => Ok(Self::Observed(Counted {
                ts: fields.ts,
                service: fields.service.ok_or(missing("service"))?,
                passed: fields.passed.ok_or(missing("passed"))?,
                would_reject: fields.would_reject.ok_or(missing("would_reject"))?,
            })),
            LINES_LOST => Ok(Self::LinesLost(LinesLost {
                ts: fields.ts,
                count: fields.count.ok_or(missing("count"))?,
            })),
            _ => Err(Malformed::new(
                "event",
                "must be would_reject, observed or lines_lost",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = r#"{"ts":"2026-11-21T09:12:37.000Z","event":"would_reject","service":"web","method":"POST","path":"/api/x","reason":"bad_signature","agent_id":"scribe","profile":null,"ip":"::1"}"#;
    const COUNTED: &str = r#"{"ts":"2026-11-21T09:13:00.000Z","event":"observed","service":"web","passed":41,"would_reject":1}"#;

    const LOST: &str = r#"{"ts":"2026-11-21T09:13:00.000Z","event":"lines_lost","count":7}"#;

    #[test]
    fn no_caller_makes_a_line_that_is_not_read() {
        // The longest in JSON: six bytes of text for one of theirs.
        let long = "\u{1}".repeat(100_000);
        let line = WouldReject::cut(
            Timestamp::from_millis(0),
            "x".repeat(32).parse().unwrap(),
            (&long, &long),
            "timestamp_out_of_window",
            ("x".repeat(64).parse().ok(), Some("key-server-v1")),
            IpAddr::from([0xffff; 8]),
        );
        assert_eq!((line.method.len(), line.path.len()), (32, 1024));
        assert!(line.agent_id.is_some());
        let text = serde_json::to_vec(&ObservedLine::WouldReject(line)).unwrap();
        assert!(text.len() < MAX_OBSERVED_LINE, "{}", text.len());
    }

    #[test]
    fn lines_are_written_as_they_are_read() {
        for text in [REFUSED, COUNTED, LOST] {
            let line: ObservedLine = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
        }
        let newer = COUNTED.replacen('{', r#"{"from":"somewhere","#, 1);
        let line: ObservedLine = serde_json::from_str(&newer).unwrap();
        assert_eq!(serde_json::to_string(&line).unwrap(), COUNTED);
    }

    #[test]
    fn a_line_that_lacks_something_says_what() {
        for (text, without, problem) in [
            (
                REFUSED,
                r#","reason":"bad_signature""#,
                "reason: is missing",
            ),
            (REFUSED, r#","ip":"::1""#, "ip: is missing"),
            (COUNTED, r#","service":"web""#, "service: is missing"),
            (LOST, r#","count":7"#, "count: is missing"),
            (
                REFUSED,
                r#""ts":"2026-11-21T09:12:37.000Z","#,
                "missing field `ts`",
            ),
            (COUNTED, r#","passed":41"#, "passed: is missing"),
            (COUNTED, r#","would_reject":1"#, "would_reject: is missing"),
        ] {
            let less = text.replacen(without, "", 1);
            assert_ne!(less, text);
            let error = serde_json::from_str::<ObservedLine>(&less).unwrap_err();
            assert!(error.to_string().starts_with(problem), "{error}");
        }
        let other = COUNTED.replacen("observed", "verify", 1);
        let error = serde_json::from_str::<ObservedLine>(&other).unwrap_err();
        assert!(error.to_string().starts_with("event: must be"), "{error}");
    }
}
