//! Sessions: keys that no server keeps (`protocol.md` §3.4).

use crate::session_id::{self, Head};
use procura_crypto::{LockedKey, MacKey, hkdf_sha256, sha256};
use procura_types::{
    ActorId, AttestationId, Duration, Entropy, EntropyError, FieldTuple, Grade, Secret, Thumbprint,
    Timestamp,
};

/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_secs(600);
/// How long it can be renewed, from its first issue.
pub const RENEWAL_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Actor, device, first issue, end, directory sequence.
const CONTENT_BYTES: usize = 32 + 32 + 8 + 8 + 8;
/// Behind that, of a session that was started under an attestation: which, and its grade.
const ATTESTED_BYTES: usize = 16 + 1;

/// Where the keys of sessions are; implemented by whoever holds them. The server
/// has the root of each epoch, any other verifier the keys of its own audience.
pub trait SessionKeys: Send + Sync {
    /// Whether sessions of this epoch are still accepted. Asked for each request.
    fn accepts(&self, epoch: u32) -> bool;

    /// The key of `audience` in an epoch that is still accepted: [`audience_key`] of
    /// its root. None for an audience whose keys are not held.
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>>;

    /// The epoch that new sessions are of; none while sealed, and none for whoever
    /// issues no sessions.
    fn current(&self) -> Option<u32>;
}

/// A session as its holder gets it.
pub struct Issued {
    /// The `keyid` of its requests.
    pub session_id: String,
    /// The key of their MACs. It leaves the server over TLS or loopback only.
    pub mac_key: Secret<[u8; 32]>,
    /// When it ends.
    pub expires: Timestamp,
}

/// No session was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// There is no session root, because the server is sealed.
    #[error("the server is sealed")]
    Sealed,
    /// Twelve hours have passed since the first issue.
    #[error("the session can no longer be renewed")]
    RenewalOver,
    /// No salt to be had.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The cryptographic library refused.
    #[error("the session could not be sealed")]
    Library(#[from] procura_crypto::SealError),
}

/// For whom a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The actor.
    pub actor: ActorId,
    /// The device that proved itself.
    pub device: Thumbprint,
}

/// Under which attestation a session was started, and how good that was (ADR 39).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested {
    /// Which.
    pub id: AttestationId,
    /// Its grade at that time.
    pub grade: Grade,
}

/// Issues a session for verifiers of `audience`. `first_issue` is that of the
/// session which this one renews, or `now`; `directory_seq` is the state of the
/// directory that the subject was proven with.
pub fn issue(
    keys: &dyn SessionKeys,
    subject: &Subject,
    audience: &str,
    now: Timestamp,
    first_issue: Timestamp,
    directory_seq: u64,
    entropy: &dyn Entropy,
) -> Result<Issued, IssueError> {
    let whose = (subject, None);
    issue_attested(
        keys,
        whose,
        audience,
        now,
        first_issue,
        directory_seq,
        entropy,
    )
}

/// As [`issue`], for a daemon whose process proved that it is the one of an attestation:
/// its requests count as that process's, at no more cost, for as long as the attestation
/// stands.
pub fn issue_attested(
    keys: &dyn SessionKeys,
    (subject, attested): (&Subject, Option<&Attested>),
    audience: &str,
    now: Timestamp,
    first_issue: Timestamp,
    directory_seq: u64,
    entropy: &dyn Entropy,
) -> Result<Issued, IssueError> {
    let epoch = keys.current().ok_or(IssueError::Sealed)?;
    let key = keys
        .audience_key(epoch, audience)
        .ok_or(IssueError::Sealed)?;
    let expires = session_id::end(now, first_issue)?;
    let head = Head::fresh(epoch, entropy)?;

    let mut content = Vec::with_capacity(CONTENT_BYTES + ATTESTED_BYTES);
    content.extend_from_slice(subject.actor.as_bytes());
    content.extend_from_slice(subject.device.as_bytes());
    content.extend_from_slice(&first_issue.as_millis().to_be_bytes());
    content.extend_from_slice(&expires.as_millis().to_be_bytes());
    content.extend_from_slice(&directory_seq.to_be_bytes());
    if let Some(Attested { id, grade }) = attested {
        content.extend_from_slice(id.as_bytes());
        content.push(grade.byte());
    }

    let derived = Derived::new(&key, audience, &head.salt);
    Ok(Issued {
        session_id: head.seal(&derived.encryption, derived.nonce, &content)?,
        mac_key: derived.mac,
        expires,
    })
}

/// The session id did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionFault {
    /// Garbled, of another audience, or of an epoch that is not accepted.
    #[error("not a session of this server")]
    Unknown,
    /// No locked memory for its key.
    #[error("no locked memory for the key of a session")]
    Memory,
}

/// An opened session. Whether it is over, and whether its device is still
/// active, is for the caller to check each time.
pub struct Session {
    pub(crate) mac_key: MacKey,
    pub(crate) epoch: u32,
    subject: Subject,
    first_issue: Timestamp,
    expires: Timestamp,
    directory_seq: u64,
    attested: Option<Attested>,
    hash: [u8; 16],
}

/// Opens a session id for a verifier of `audience`.
pub fn open(keys: &dyn SessionKeys, id: &str, audience: &str) -> Result<Session, SessionFault> {
    let longest = CONTENT_BYTES + ATTESTED_BYTES;
    let (head, sealed) = Head::read("keyid", id, longest).ok_or(SessionFault::Unknown)?;
    let key = keys
        .audience_key(head.epoch, audience)
        .ok_or(SessionFault::Unknown)?;
    let derived = Derived::new(&key, audience, &head.salt);
    let content = head
        .open(&derived.encryption, derived.nonce, &sealed)
        .ok_or(SessionFault::Unknown)?;
    let mut content = Content(content.expose());
    let (actor, device) = (content.take()?, content.take()?);
    let (first_issue, expires) = (content.number()?, content.number()?);
    let directory_seq = content.number()?;
    let attested = content.attested()?;
    content.end()?;
    let mut hash = [0; 16];
    hash.copy_from_slice(sha256(id.as_bytes()).split_at(16).0);
    let mac_key = LockedKey::new(derived.mac).map_err(|_| SessionFault::Memory)?;
    Ok(Session {
        mac_key: MacKey::from_locked(mac_key),
        epoch: head.epoch,
        subject: Subject {
            actor: ActorId::from_bytes(actor),
            device: Thumbprint::from_bytes(device),
        },
        first_issue: Timestamp::from_millis(first_issue),
        expires: Timestamp::from_millis(expires),
        directory_seq,
        attested,
        hash,
    })
}

impl Session {
    /// For whom it is.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// When the first of the sessions that it renews was issued.
    #[must_use]
    pub const fn first_issue(&self) -> Timestamp {
        self.first_issue
    }

    /// When it ends.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The state of the directory that its subject was proven with.
    #[must_use]
    pub const fn directory_seq(&self) -> u64 {
        self.directory_seq
    }

    /// Under which attestation it was started, if under one.
    #[must_use]
    pub const fn attested(&self) -> Option<&Attested> {
        self.attested.as_ref()
    }

    /// A session that nobody can prove, for callers out of nothing.
    #[cfg(feature = "fake")]
    pub(crate) fn fake(subject: Subject, attested: Attested) -> Option<Self> {
        Some(Self {
            mac_key: MacKey::from_bytes(&[0; 32]).ok()?,
            epoch: 0,
            subject,
            first_issue: Timestamp::from_millis(0),
            expires: Timestamp::from_millis(u64::MAX),
            directory_seq: 0,
            attested: Some(attested),
            hash: [0; 16],
        })
    }

    /// The first half of the SHA-256 of its id.
    pub(crate) const fn hash(&self) -> &[u8; 16] {
        &self.hash
    }

    pub(crate) const fn name(&self) -> [u8; 16] {
        self.hash
    }
}

/// What a verifier that is not the server holds: good for its audience only, and
/// nothing of the root can be learned from it.
#[must_use]
pub fn audience_key(root: &LockedKey, audience: &str) -> Secret<[u8; 32]> {
    let info = FieldTuple::new("procura.session.audience.v1").text(audience);
    hkdf_sha256(root.expose(), b"", info.as_bytes())
}

/// The keys of one session.
struct Derived {
    encryption: Secret<[u8; 32]>,
    nonce: [u8; 12],
    mac: Secret<[u8; 32]>,
}

impl Derived {
    fn new(audience_key: &Secret<[u8; 32]>, audience: &str, salt: &[u8]) -> Self {
        let info = FieldTuple::new("procura.session.v1").text(audience);
        let all: Secret<[u8; 76]> = hkdf_sha256(audience_key.expose(), salt, info.as_bytes());
        let (encryption, rest) = all.expose().split_at(32);
        let (nonce, mac) = rest.split_at(12);
        let mut out = Self {
            encryption: Secret::new([0; 32]),
            nonce: [0; 12],
            mac: Secret::new([0; 32]),
        };
        out.encryption.expose_mut().copy_from_slice(encryption);
        out.nonce.copy_from_slice(nonce);
        out.mac.expose_mut().copy_from_slice(mac);
        out
    }
}

/// Reads the content from front to end.
struct Content<'a>(&'a [u8]);

impl Content<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SessionFault> {
        let (field, rest) = self.0.split_first_chunk().ok_or(SessionFault::Unknown)?;
        self.0 = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u64, SessionFault> {
        self.take().map(u64::from_be_bytes)
    }

    /// Nothing where nothing is left.
    fn attested(&mut self) -> Result<Option<Attested>, SessionFault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let id = AttestationId::from_bytes(self.take()?);
        let [grade] = self.take()?;
        let grade = Grade::from_byte(grade).ok_or(SessionFault::Unknown)?;
        Ok(Some(Attested { id, grade }))
    }

    fn end(&self) -> Result<(), SessionFault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(SessionFault::Unknown)
        }
    }
}
