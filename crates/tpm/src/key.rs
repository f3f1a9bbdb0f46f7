//! The public areas of the two keys of the endorsement hierarchy (part 2, 12.2.4): the
//! endorsement key, by which a chip is known, and the attestation key, which signs quotes.

use crate::TpmError;
use crate::bytes::{Reader, Writer};
use crate::chip::{AES, CFB, ECC, ECDSA, NONE, P256, SHA256, padded};
use procura_crypto::{PublicKey, TpmPoint, sha256};

/// TCG EK credential profile, template L-2: fixedTPM, fixedParent, sensitiveDataOrigin,
/// adminWithPolicy, restricted, decrypt.
const ENDORSEMENT: u32 = 0x0003_00B2;
/// `PolicySecret(TPM_RH_ENDORSEMENT)`, of the same profile.
const ENDORSEMENT_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
    0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA,
];
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign: a key
/// that signs what the chip says, and nothing that is brought to it.
const ATTESTATION: u32 = 0x0005_0472;

/// An endorsement key, by which a chip is known for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementKey {
    public: Vec<u8>,
    pub(crate) point: TpmPoint,
}

impl EndorsementKey {
    /// What the chip is asked to make: the same key each time.
    pub(crate) fn template() -> Result<Writer, TpmError> {
        let mut out = Writer::default();
        out.u16(ECC);
        out.u16(SHA256);
        out.u32(ENDORSEMENT);
        out.sized(&ENDORSEMENT_POLICY)?;
        for part in [AES, 128, CFB, NONE, P256, NONE] {
            out.u16(part);
        }
        out.sized(&[0; 32])?;
        out.sized(&[0; 32])?;
        Ok(out)
    }

    /// Reads a public area; nothing when it is of another kind of key.
    #[must_use]
    pub fn read(public: &[u8]) -> Option<Self> {
        let mut from = Reader::new(public);
        let head = (from.u16()?, from.u16()?, from.u32()?);
        let policy = from.sized()?;
        let symmetric = (from.u16()?, from.u16()?, from.u16()?);
        let rest = (from.u16()?, from.u16()?, from.u16()?);
        let (x, y) = (padded(from.sized()?)?, padded(from.sized()?)?);
        let known = head == (ECC, SHA256, ENDORSEMENT)
            && policy == ENDORSEMENT_POLICY
            && symmetric == (AES, 128, CFB)
            && rest == (NONE, P256, NONE)
            && from.is_empty();
        known.then(|| Self {
            public: public.to_vec(),
            point: TpmPoint { x, y },
        })
    }

    /// The SHA-256 of the public area, by which people compare chips.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.public)
    }
}

/// A key that signs quotes, and what else the chip says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    public: Vec<u8>,
    key: PublicKey,
}

impl AttestationKey {
    /// What the chip is asked to make: the same key each time.
    pub(crate) fn template() -> Result<Writer, TpmError> {
        let mut out = Writer::default();
        out.u16(ECC);
        out.u16(SHA256);
        out.u32(ATTESTATION);
        out.sized(&[])?;
        for part in [NONE, ECDSA, SHA256, P256, NONE] {
            out.u16(part);
        }
        out.sized(&[])?;
        out.sized(&[])?;
        Ok(out)
    }

    /// Reads a public area; nothing when it is of another kind of key, above all one that
    /// would sign what is brought to it.
    #[must_use]
    pub fn read(public: &[u8]) -> Option<Self> {
        let mut from = Reader::new(public);
        let head = (from.u16()?, from.u16()?, from.u32()?);
        let policy = from.sized()?;
        let (symmetric, scheme) = (from.u16()?, (from.u16()?, from.u16()?));
        let rest = (from.u16()?, from.u16()?);
        let (x, y) = (padded(from.sized()?)?, padded(from.sized()?)?);
        let known = head == (ECC, SHA256, ATTESTATION)
            && policy.is_empty()
            && symmetric == NONE
            && scheme == (ECDSA, SHA256)
            && rest == (P256, NONE)
            && from.is_empty();
        let key = PublicKey::from_p256(&[&[4], &x[..], &y[..]].concat()).ok()?;
        known.then(|| Self {
            public: public.to_vec(),
            key,
        })
    }

    /// The SHA-256 of the public area.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.public)
    }

    /// Its name (part 1, clause 16).
    pub(crate) fn name(&self) -> Vec<u8> {
        [SHA256.to_be_bytes().as_slice(), &self.sha256()].concat()
    }

    /// Whether a `TPMT_SIGNATURE` is this key's over what was quoted.
    #[must_use]
    pub fn has_signed(&self, quoted: &[u8], signature: &[u8]) -> bool {
        let read = || {
            let mut from = Reader::new(signature);
            let scheme = (from.u16()?, from.u16()?);
            let (r, s) = (padded(from.sized()?)?, padded(from.sized()?)?);
            (scheme == (ECDSA, SHA256) && from.is_empty()).then(|| [r, s].concat())
        };
        read().is_some_and(|signature| self.key.verify(quoted, &signature))
    }
}
