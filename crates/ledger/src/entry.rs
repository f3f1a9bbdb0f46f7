use crate::LedgerError;
use crate::id_text::{Base64Text, UuidText};
use procura_crypto::sha256;
use procura_types::wire::{CallerReport, Receipt};
use procura_types::{
    ActorId, AttestationId, Entropy, EntropyError, EntryId, Grade, GrantId, Namespace, RunId,
    Thumbprint, Timestamp, TokenId, TraceId, encoding,
};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::net::IpAddr;

/// Longest entry in bytes, as its length in a bundle has 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// The reason of an intent whose effect is outside the store: an outcome of
/// the same action and trace has to follow, or it counts as interrupted.
pub const OUTSIDE: &str = "outside";

/// The reason of an entry that stands for many; it has a [`Summary`].
pub const SUMMARY: &str = "summary";

/// Why a summary is refused.
const APART: &str = "count, from and until do not fit together";

/// The version that every entry names first.
const VERSION: u8 = 1;

/// Whether an entry was written before its effect or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Durable before a value leaves or an effect begins, or in one commit with
    /// the change of state that it records.
    Intent,
    /// What came of an outside effect, or that something failed.
    Outcome,
}

/// What was decided, or what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Allowed; of an outcome: done.
    Allow,
    /// Refused, for the entry's reason.
    Deny,
    /// Allowed, but it could not be done.
    Failed,
}

/// Which session, without the session id: the first 16 bytes of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SessionMark([u8; 16]);

impl SessionMark {
    /// The mark of a session id as it stands in `keyid`.
    #[must_use]
    pub fn of(session_id: &str) -> Self {
        let hash = sha256(session_id.as_bytes());
        Self(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The mark from those 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl TryFrom<String> for SessionMark {
    type Error = procura_types::Malformed;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        encoding::from_b64url_fixed("session", &text).map(Self)
    }
}

/// What an entry of reason [`SUMMARY`] stands for: a flood of events alike in
/// action, decision and the ids that the entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many events; 0 in entries that are read only.
    pub count: u64,
    /// Time of the first.
    pub from: Timestamp,
    /// Time of the last.
    pub until: Timestamp,
}

/// One ledger entry: fields and order of `protocol.md` §6. Never a value,
/// never a token. Absent fields are left out of the JSON.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Unique in the log.
    pub id: EntryId,
    /// When, by the server's clock.
    pub time: Timestamp,
    /// Random, so that the leaf hash tells nothing about the content.
    pub salt: [u8; 16],
    /// Before the effect or after it.
    pub phase: Phase,
    /// What, such as `secret.read`.
    pub action: Cow<'static, str>,
    /// Allowed, refused, or failed.
    pub decision: Decision,
    /// Why it was refused or failed, as one word; [`OUTSIDE`]; [`SUMMARY`].
    pub reason: Option<Cow<'static, str>>,
    /// By whom; absent when authentication failed before that was known.
    pub actor: Option<ActorId>,
    /// The owner at the root of the actor's tree.
    pub owner: Option<ActorId>,
    /// The device that signed the request.
    pub device: Option<Thumbprint>,
    /// Within which session.
    pub session: Option<SessionMark>,
    /// By which process of a daemon, in a session that it started, or that attested.
    pub attestation: Option<AttestationId>,
    /// How good that attestation was.
    pub grade: Option<Grade>,
    /// By which project token, or which one was made: its id, never the token.
    pub token: Option<TokenId>,
    /// Where.
    pub namespace: Option<Namespace>,
    /// On what, such as a secret's path.
    pub resource: Option<String>,
    /// Under which grant.
    pub grant: Option<GrantId>,
    /// Of `request.approve`: the approver's signed yes.
    pub approval: Option<Box<Receipt>>,
    /// In which hand-over.
    pub run: Option<RunId>,
    /// The policies that decided, as words with one space between.
    pub policies: Option<Cow<'static, str>>,
    /// How the caller was proven: the name of the profile, or `none`.
    pub profile: Cow<'static, str>,
    /// From which address; absent on the admin socket and for the server's own acts.
    pub ip: Option<IpAddr>,
    /// What the daemon said of the process; advisory.
    pub caller: Option<CallerReport>,
    /// The HTTP request, the same as in its answer.
    pub trace: TraceId,
    /// Of an entry that stands for many; written as `count`, `from`, `until`.
    pub summary: Option<Summary>,
}

impl Entry {
    /// An intent that allows `action`, with a fresh id and salt, profile `none`
    /// and nothing else; set the rest with struct update syntax.
    pub fn new(
        now: Timestamp,
        entropy: &dyn Entropy,
        action: impl Into<Cow<'static, str>>,
        trace: TraceId,
    ) -> Result<Self, EntropyError> {
        let mut salt = [0u8; 16];
        entropy.fill(&mut salt)?;
        Ok(Self {
            id: EntryId::generate(now, entropy)?,
            time: now,
            salt,
            phase: Phase::Intent,
            action: action.into(),
            decision: Decision::Allow,
            reason: None,
            actor: None,
            owner: None,
            device: None,
            session: None,
            attestation: None,
            grade: None,
            token: None,
            namespace: None,
            resource: None,
            grant: None,
            approval: None,
            run: None,
            policies: None,
            profile: Cow::Borrowed("none"),
            ip: None,
            caller: None,
            trace,
            summary: None,
        })
    }

    /// What holds of every entry and what its types do not say: of what is written as of
    /// what is read, so that nothing is ever written that does not read back.
    fn check(&self) -> Result<(), &'static str> {
        if self.action.is_empty() {
            return Err("action is empty");
        }
        if self
            .summary
            .is_some_and(|summary| summary.from > summary.until)
        {
            return Err(APART);
        }
        if self.summary.is_some() != (self.reason.as_deref() == Some(SUMMARY)) {
            return Err("a summary has the reason summary and a count, others have neither");
        }
        Ok(())
    }

    /// The entry's bytes: compact JSON. Refused beyond 65,535 bytes, and when
    /// [`Self::parse`] would refuse them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        self.check()
            .map_err(|problem| LedgerError::Entry(problem.to_owned()))?;
        let mut bytes = Vec::with_capacity(1024);
        serde_json::to_writer(&mut bytes, self)
            .map_err(|error| LedgerError::Entry(error.to_string()))?;
        if bytes.len() > MAX_ENTRY {
            return Err(LedgerError::EntryTooLong { len: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads an entry of version 1. Unknown, doubled and missing fields are
    /// refused, and so is a summary without its reason or the other way round.
    pub fn parse(bytes: &[u8]) -> Result<Self, LedgerError> {
        if bytes.len() > MAX_ENTRY {
            return Err(LedgerError::EntryTooLong { len: bytes.len() });
        }
        let fields: Fields =
            serde_json::from_slice(bytes).map_err(|error| LedgerError::Entry(error.to_string()))?;
        fields
            .into_entry()
            .map_err(|problem| LedgerError::Entry(problem.to_owned()))
    }

    /// Whether an outcome of the same action and trace has to follow.
    #[must_use]
    pub fn awaits_outcome(&self) -> bool {
        self.phase == Phase::Intent && self.reason.as_deref() == Some(OUTSIDE)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("Entry", 29)?;
        to.serialize_field("v", &VERSION)?;
        to.serialize_field("id", &UuidText(self.id.as_bytes()))?;
        to.serialize_field("time", &self.time)?;
        to.serialize_field("salt", &Base64Text(&self.salt))?;
        to.serialize_field("phase", &self.phase)?;
        to.serialize_field("action", &self.action)?;
        to.serialize_field("decision", &self.decision)?;
        if let Some(reason) = &self.reason {
            to.serialize_field("reason", reason)?;
        }
        if let Some(actor) = &self.actor {
            to.serialize_field("actor", &Base64Text(actor.as_bytes()))?;
        }
        if let Some(owner) = &self.owner {
            to.serialize_field("owner", &Base64Text(owner.as_bytes()))?;
        }
        if let Some(device) = &self.device {
            to.serialize_field("device", &Base64Text(device.as_bytes()))?;
        }
        if let Some(session) = &self.session {
            to.serialize_field("session", &Base64Text(&session.0))?;
        }
        if let Some(attestation) = &self.attestation {
            to.serialize_field("attestation", &UuidText(attestation.as_bytes()))?;
        }
        if let Some(grade) = &self.grade {
            to.serialize_field("grade", grade)?;
        }
        if let Some(token) = &self.token {
            to.serialize_field("token", &UuidText(token.as_bytes()))?;
        }
        if let Some(namespace) = &self.namespace {
            to.serialize_field("namespace", namespace.as_str())?;
        }
        if let Some(resource) = &self.resource {
            to.serialize_field("resource", resource)?;
        }
        if let Some(grant) = &self.grant {
            to.serialize_field("grant", &UuidText(grant.as_bytes()))?;
        }
        if let Some(approval) = &self.approval {
            to.serialize_field("approval", approval)?;
        }
        if let Some(run) = &self.run {
            to.serialize_field("run", &UuidText(run.as_bytes()))?;
        }
        if let Some(policies) = &self.policies {
            to.serialize_field("policies", policies)?;
        }
        to.serialize_field("profile", &self.profile)?;
        if let Some(ip) = &self.ip {
            to.serialize_field("ip", ip)?;
        }
        if let Some(caller) = &self.caller {
            to.serialize_field("caller", caller)?;
        }
        to.serialize_field("trace", &UuidText(self.trace.as_bytes()))?;
        if let Some(summary) = &self.summary {
            to.serialize_field("count", &summary.count)?;
            to.serialize_field("from", &summary.from)?;
            to.serialize_field("until", &summary.until)?;
        }
        to.end()
    }
}

/// The JSON as it is read, before what serde cannot say is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    v: u8,
    id: EntryId,
    time: Timestamp,
    salt: String,
    phase: Phase,
    action: String,
    decision: Decision,
    reason: Option<String>,
    actor: Option<ActorId>,
    owner: Option<ActorId>,
    device: Option<Thumbprint>,
    session: Option<SessionMark>,
    attestation: Option<AttestationId>,
    grade: Option<Grade>,
    token: Option<TokenId>,
    namespace: Option<Namespace>,
    resource: Option<String>,
    grant: Option<GrantId>,
    approval: Option<Box<Receipt>>,
    run: Option<RunId>,
    policies: Option<String>,
    profile: String,
    ip: Option<IpAddr>,
    caller: Option<CallerReport>,
    trace: TraceId,
    count: Option<u64>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Fields {
    fn into_entry(self) -> Result<Entry, &'static str> {
        if self.v != VERSION {
            return Err("v is not 1");
        }
        let summary = match (self.count, self.from, self.until) {
            (None, None, None) => None,
            (Some(count), Some(from), Some(until)) => Some(Summary { count, from, until }),
            _ => return Err(APART),
        };
        let entry = Entry {
            id: self.id,
            time: self.time,
            salt: encoding::from_b64url_fixed("salt", &self.salt)
                .map_err(|_| "salt is not 16 bytes in base64url")?,
            phase: self.phase,
            action: self.action.into(),
            decision: self.decision,
            reason: self.reason.map(Cow::Owned),
            actor: self.actor,
            owner: self.owner,
            device: self.device,
            session: self.session,
            attestation: self.attestation,
            grade: self.grade,
            token: self.token,
            namespace: self.namespace,
            resource: self.resource,
            grant: self.grant,
            approval: self.approval,
            run: self.run,
            policies: self.policies.map(Cow::Owned),
            profile: self.profile.into(),
            ip: self.ip,
            caller: self.caller,
            trace: self.trace,
            summary,
        };
        entry.check()?;
        Ok(entry)
    }
}
