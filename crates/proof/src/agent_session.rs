//! Sessions of agents of other systems (`protocol.md` §3.6): what an agent sends as
//! `X-Session-Id`. Like native sessions ([`crate::session`]) they are kept by no
//! server: the id is sealed under the session root and says all there is to know.
//! Unlike those they prove nothing: each request has its own proof beside the id, and
//! the id says that this agent started a session with a key that it still has.

use crate::reason::{Case, Refusal};
use crate::session::{IssueError, SessionKeys};
use crate::session_id::{self, Head, derived};
use procura_crypto::sha256;
use procura_types::{Entropy, FieldTuple, ForeignId, Thumbprint, Timestamp};

/// Their audience; no gate has its keys.
const AUDIENCE: &str = "procura:agent";
/// What their keys are derived for.
const DOMAIN: &str = "procura.agent.session.v1";
/// Kind of the key, mark, first issue, end.
const CONTENT_BYTES: usize = 1 + 32 + 8 + 8;

/// The key that a session was started with, as it can be found again: a session ends
/// with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKeyMark<'a> {
    /// A device of the agent: enrolled under the id, or one that made a native proof.
    Device(&'a Thumbprint),
    /// A file of the key directory.
    File {
        /// The key in it.
        key: &'a Thumbprint,
        /// What tells this file from any other, also from the same one put back.
        file: &'a [u8],
    },
    /// A secret of the agent.
    Secret {
        /// Counts how often all secrets of before ended at once.
        era: u64,
    },
}

/// Of which kind the key of a session is: where to look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKeyKind {
    /// [`AgentKeyMark::Device`].
    Device,
    /// [`AgentKeyMark::File`].
    File,
    /// [`AgentKeyMark::Secret`].
    Secret,
}

impl AgentKeyKind {
    const ALL: [Self; 3] = [Self::Device, Self::File, Self::Secret];

    const fn byte(self) -> u8 {
        match self {
            Self::Device => 1,
            Self::File => 2,
            Self::Secret => 3,
        }
    }
}

impl AgentKeyMark<'_> {
    const fn kind(&self) -> AgentKeyKind {
        match self {
            Self::Device(_) => AgentKeyKind::Device,
            Self::File { .. } => AgentKeyKind::File,
            Self::Secret { .. } => AgentKeyKind::Secret,
        }
    }

    /// `T("procura.agent.session.key.v1", agent_id, u8 kind, …)` hashed: agent and key
    /// in 32 bytes.
    pub(crate) fn digest(&self, agent: &ForeignId) -> [u8; 32] {
        let tuple = FieldTuple::new("procura.agent.session.key.v1")
            .text(agent.as_str())
            .u8(self.kind().byte());
        let tuple = match self {
            Self::Device(device) => tuple.bytes(device.as_bytes()),
            Self::File { key, file } => tuple.bytes(key.as_bytes()).bytes(file),
            Self::Secret { era } => tuple.u64(*era),
        };
        sha256(tuple.as_bytes())
    }
}

/// A session as the agent gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedAgentSession {
    /// What it sends as `X-Session-Id`.
    pub session_id: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// Starts a session, or goes on with one that was first issued at `first_issue`.
///
/// # Errors
/// [`IssueError`]; twelve hours after the first issue there is no going on.
pub fn issue(
    keys: &dyn SessionKeys,
    agent: &ForeignId,
    key: &AgentKeyMark<'_>,
    now: Timestamp,
    first_issue: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedAgentSession, IssueError> {
    let epoch = keys.current().ok_or(IssueError::Sealed)?;
    let root = keys
        .audience_key(epoch, AUDIENCE)
        .ok_or(IssueError::Sealed)?;
    let expires = session_id::end(now, first_issue)?;
    let head = Head::fresh(epoch, entropy)?;

    let mut content = Vec::with_capacity(CONTENT_BYTES);
    content.push(key.kind().byte());
    content.extend_from_slice(&key.digest(agent));
    content.extend_from_slice(&first_issue.as_millis().to_be_bytes());
    content.extend_from_slice(&expires.as_millis().to_be_bytes());

    let (encryption, nonce) = derived(&root, &head.salt, DOMAIN);
    Ok(IssuedAgentSession {
        session_id: head.seal(&encryption, nonce, &content)?,
        expires,
    })
}

/// A session that somebody sent. Whose it is and whether it is over is still to be
/// asked.
#[derive(Debug)]
pub struct AgentSession {
    kind: u8,
    digest: [u8; 32],
    first_issue: Timestamp,
    expires: Timestamp,
}

impl AgentSession {
    /// Opens an id.
    ///
    /// # Errors
    /// [`Case::SessionForeign`] for what is none of ours.
    pub fn open(keys: &dyn SessionKeys, id: &str) -> Result<Self, Refusal> {
        read(keys, id).ok_or_else(|| Case::SessionForeign.into())
    }

    /// Where the key is that it was started with.
    ///
    /// # Errors
    /// [`Case::SessionForeign`] for a kind that is not known here.
    pub fn key_kind(&self) -> Result<AgentKeyKind, Refusal> {
        AgentKeyKind::ALL
            .into_iter()
            .find(|kind| kind.byte() == self.kind)
            .ok_or_else(|| Case::SessionForeign.into())
    }

    /// Whether `agent` started it with this key.
    #[must_use]
    pub fn is_of(&self, agent: &ForeignId, key: &AgentKeyMark<'_>) -> bool {
        key.kind().byte() == self.kind && key.digest(agent) == self.digest
    }

    /// Whether it lives at `now`.
    ///
    /// # Errors
    /// [`Case::SessionOver`] for one that is over.
    pub fn check_end(&self, now: Timestamp) -> Result<(), Refusal> {
        if now >= self.expires {
            return Err(Case::SessionOver.into());
        }
        Ok(())
    }

    /// When the first of the sessions that it goes on from was issued.
    #[must_use]
    pub const fn first_issue(&self) -> Timestamp {
        self.first_issue
    }
}

fn read(keys: &dyn SessionKeys, id: &str) -> Option<AgentSession> {
    let (head, sealed) = Head::read("session_id", id, CONTENT_BYTES)?;
    let root = keys.audience_key(head.epoch, AUDIENCE)?;
    let (encryption, nonce) = derived(&root, &head.salt, DOMAIN);
    let content = head.open(&encryption, nonce, &sealed)?;
    let (kind, rest) = content.expose().split_first()?;
    let (digest, rest) = rest.split_first_chunk()?;
    let (first_issue, rest) = rest.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    rest.is_empty().then(|| AgentSession {
        kind: *kind,
        digest: *digest,
        first_issue: Timestamp::from_millis(u64::from_be_bytes(*first_issue)),
        expires: Timestamp::from_millis(u64::from_be_bytes(*expires)),
    })
}
