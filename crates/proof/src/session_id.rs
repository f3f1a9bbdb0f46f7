//! The form that ids of sessions have, native ones and those of agents of other
//! systems: `u8 version ‖ u32be epoch ‖ 16 bytes of salt ‖ sealed content`, base64url,
//! with the rest bound to what stands in clear (`protocol.md` §3.4).

use crate::session::{IssueError, RENEWAL_LIFE, SESSION_LIFE};
use procura_crypto::{SealError, hkdf_sha256, open_once, seal_once};
use procura_types::{Entropy, EntropyError, FieldTuple, Secret, SecretBytes, Timestamp, encoding};

const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + 4 + SALT_BYTES;
const TAG_BYTES: usize = 16;

/// When a session ends that is issued now; none is, twelve hours after its first issue.
pub(crate) fn end(now: Timestamp, first_issue: Timestamp) -> Result<Timestamp, IssueError> {
    let last = first_issue.plus(RENEWAL_LIFE);
    if now >= last {
        return Err(IssueError::RenewalOver);
    }
    Ok(now.plus(SESSION_LIFE).min(last))
}

/// Key and nonce of one id under the key of its audience: its salt is random, so they are
/// for this one. `domain` is for one kind of ids.
pub(crate) fn derived(
    root: &Secret<[u8; 32]>,
    salt: &[u8],
    domain: &'static str,
) -> (Secret<[u8; 32]>, [u8; 12]) {
    let info = FieldTuple::new(domain);
    let all: Secret<[u8; 44]> = hkdf_sha256(root.expose(), salt, info.as_bytes());
    let (key, nonce) = all.expose().split_at(32);
    let (mut encryption, mut once) = (Secret::new([0; 32]), [0; 12]);
    encryption.expose_mut().copy_from_slice(key);
    once.copy_from_slice(nonce);
    (encryption, once)
}

/// What stands in clear.
pub(crate) struct Head {
    pub(crate) epoch: u32,
    pub(crate) salt: [u8; SALT_BYTES],
}

impl Head {
    /// Of a new id.
    pub(crate) fn fresh(epoch: u32, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt)?;
        Ok(Self { epoch, salt })
    }

    /// Of an id with so many bytes of content, and what is sealed behind it.
    pub(crate) fn read(field: &'static str, id: &str, content: usize) -> Option<(Self, Vec<u8>)> {
        let bytes = HEAD_BYTES.saturating_add(content).saturating_add(TAG_BYTES);
        if id.len() > bytes.div_ceil(3).saturating_mul(4) {
            return None;
        }
        let mut raw = encoding::from_b64url(field, id).ok()?;
        let (version, rest) = raw.split_first()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (salt, _) = rest.split_first_chunk()?;
        let head = Self {
            epoch: u32::from_be_bytes(*epoch),
            salt: *salt,
        };
        (*version == VERSION).then(|| (head, raw.split_off(HEAD_BYTES)))
    }

    /// The id. Key and nonce come of the salt, and so are for this one alone.
    pub(crate) fn seal(
        &self,
        key: &Secret<[u8; 32]>,
        nonce: [u8; 12],
        content: &[u8],
    ) -> Result<String, SealError> {
        let mut id = self.bytes();
        let sealed = seal_once(key, nonce, &id, content)?;
        id.extend_from_slice(&sealed);
        Ok(encoding::b64url(&id))
    }

    /// What was sealed; nothing for what was not sealed so.
    pub(crate) fn open(
        &self,
        key: &Secret<[u8; 32]>,
        nonce: [u8; 12],
        sealed: &[u8],
    ) -> Option<SecretBytes> {
        open_once(key, nonce, &self.bytes(), sealed).ok()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes
    }
}
