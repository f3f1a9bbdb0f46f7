//! Sessions of daemons of CortexAuth (`protocol.md` §3.8): what such a daemon gets when it
//! attests, and names in each request. Like those of agents of other systems they are kept
//! by no server: the id is sealed under the session root, and says whose it is, by which
//! binding of the agent's id, and which key has to sign. It proves nothing by itself.

use super::LegacyMark;
use crate::session::{IssueError, SessionKeys};
use crate::session_id::{Head, derived};
use procura_crypto::PublicKey;
use procura_directory::ForeignRecord;
use procura_types::{ActorId, Duration, Entropy, ForeignId, Timestamp};

/// How long a session lasts.
pub const LEGACY_SESSION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Their audience; no gate has its keys.
const AUDIENCE: &str = "procura:legacy";
/// What their keys are derived for.
const DOMAIN: &str = "procura.legacy.session.v1";

/// The longest id of an agent, in bytes; shorter ones are filled up.
const ID_BYTES: usize = 64;
/// Length of the id, the id, the agent it is bound to, since when, key of the process, mark
/// of the agent's key, sequence of the directory, end.
const CONTENT_BYTES: usize = 1 + ID_BYTES + 32 + 8 + 32 + 32 + 8 + 8;

/// Whose session it is to be.
#[derive(Debug, Clone, Copy)]
pub struct LegacySubject<'a> {
    /// The agent's id as it is bound now: the session ends with this binding, and no other
    /// one, of another agent or of the same, takes it over.
    pub binding: &'a ForeignRecord,
    /// The agent's key as it is now: the session ends with it.
    pub mark: &'a LegacyMark,
    /// The key of the process, which signs each request: Ed25519.
    pub process: &'a PublicKey,
    /// The state of the directory: what was given before an id was let out of quarantine
    /// does not count any more.
    pub directory_seq: u64,
}

/// A session as its daemon gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedLegacySession {
    /// What it names first in `X-Daemon-Attestation`.
    pub session_id: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// Gives a session out.
///
/// # Errors
/// [`IssueError::Sealed`], and when there are no random bytes or the library refuses.
pub fn issue_legacy(
    keys: &dyn SessionKeys,
    subject: &LegacySubject<'_>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedLegacySession, IssueError> {
    let epoch = keys.current().ok_or(IssueError::Sealed)?;
    let root = keys
        .audience_key(epoch, AUDIENCE)
        .ok_or(IssueError::Sealed)?;
    let expires = now.plus(LEGACY_SESSION_LIFE);
    let head = Head::fresh(epoch, entropy)?;

    let id = subject.binding.id.as_str().as_bytes();
    let mut content = Vec::with_capacity(CONTENT_BYTES);
    content.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
    content.extend_from_slice(id);
    content.resize(1 + ID_BYTES, 0);
    content.extend_from_slice(subject.binding.actor.as_bytes());
    content.extend_from_slice(&subject.binding.created.as_millis().to_be_bytes());
    content.extend_from_slice(subject.process.as_bytes());
    content.extend_from_slice(&subject.mark.0);
    content.extend_from_slice(&subject.directory_seq.to_be_bytes());
    content.extend_from_slice(&expires.as_millis().to_be_bytes());

    let (encryption, nonce) = derived(&root, &head.salt, DOMAIN);
    Ok(IssuedLegacySession {
        session_id: head.seal(&encryption, nonce, &content)?,
        expires,
    })
}

/// The binding of an id that a session was given under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LegacyBinding {
    actor: ActorId,
    since: Timestamp,
}

impl LegacyBinding {
    /// Of an id as it is bound.
    pub(super) const fn of(bound: &ForeignRecord) -> Self {
        Self {
            actor: bound.actor,
            since: bound.created,
        }
    }
}

/// A session that somebody named. Whether it is over, and whether the agent still has its
/// key and its id, is still to be asked.
#[derive(Debug)]
pub(super) struct LegacySession {
    pub(super) agent: ForeignId,
    pub(super) binding: LegacyBinding,
    pub(super) mark: LegacyMark,
    pub(super) process: PublicKey,
    pub(super) directory_seq: u64,
    pub(super) expires: Timestamp,
}

impl LegacySession {
    /// Opens an id; nothing for what is none of ours.
    pub(super) fn open(keys: &dyn SessionKeys, id: &str) -> Option<Self> {
        let (head, sealed) = Head::read("session_id", id, CONTENT_BYTES)?;
        let root = keys.audience_key(head.epoch, AUDIENCE)?;
        let (encryption, nonce) = derived(&root, &head.salt, DOMAIN);
        let content = head.open(&encryption, nonce, &sealed)?;
        let (length, rest) = content.expose().split_first()?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let (actor, rest) = rest.split_first_chunk::<32>()?;
        let (since, rest) = rest.split_first_chunk::<8>()?;
        let (process, rest) = rest.split_first_chunk::<32>()?;
        let (mark, rest) = rest.split_first_chunk::<32>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let id = id.get(..usize::from(*length))?;
        rest.is_empty().then_some(())?;
        Some(Self {
            agent: std::str::from_utf8(id).ok()?.parse().ok()?,
            binding: LegacyBinding {
                actor: ActorId::from_bytes(*actor),
                since: Timestamp::from_millis(u64::from_be_bytes(*since)),
            },
            mark: LegacyMark(*mark),
            process: PublicKey::from_ed25519(process).ok()?,
            directory_seq: u64::from_be_bytes(*seq),
            expires: Timestamp::from_millis(u64::from_be_bytes(*expires)),
        })
    }
}
