//! What the authenticator says (WebAuthn §6.1): bytes of fixed places, and behind them,
//! of a new passkey, its id and its COSE key (RFC 9052 §7).

use super::Flaw;
use super::cbor::{Head, Reader};
use crate::PublicKey;

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// ES256 (RFC 9053 §2.1).
const ES256: i64 = -7;
/// The key type EC2 and the curve P-256 (RFC 9053 §7.1).
const EC2: i64 = 2;
const P256: i64 = 1;

/// The part that both ceremonies have.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8; 32],
    flags: u8,
    pub(super) counter: u32,
}

/// What a new passkey says of itself.
#[derive(Debug)]
pub(super) struct Attested<'a> {
    pub(super) credential_id: &'a [u8],
    pub(super) key: CoseKey<'a>,
}

impl<'a> AuthenticatorData<'a> {
    /// That of an assertion, which has no key in it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (data, rest) = Self::head(bytes)?;
        if data.flags & ATTESTED != 0 {
            return Err(Flaw::Malformed);
        }
        data.end(rest)?;
        Ok(data)
    }

    fn head(bytes: &'a [u8]) -> Result<(Self, Reader<'a>), Flaw> {
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(Flaw::Malformed)?;
        let mut rest = Reader::new(rest);
        let [flags] = rest.array::<1>()?;
        let counter = u32::from_be_bytes(rest.array()?);
        let data = Self {
            rp_id_hash,
            flags,
            counter,
        };
        Ok((data, rest))
    }

    /// Extensions, where it says that there are any, and nothing behind.
    fn end(&self, mut rest: Reader<'_>) -> Result<(), Flaw> {
        if self.flags & EXTENSIONS != 0 {
            let mut inner = rest;
            inner.map()?;
            rest.skip()?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(Flaw::Malformed)
        }
    }

    pub(super) const fn is_present(&self) -> bool {
        self.flags & PRESENT != 0
    }

    pub(super) const fn is_verified(&self) -> bool {
        self.flags & VERIFIED != 0
    }

    pub(super) const fn is_backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }

    pub(super) const fn is_backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }
}

/// That of a registration, with what the new passkey says of itself.
pub(super) fn attested_in(bytes: &[u8]) -> Result<(AuthenticatorData<'_>, Attested<'_>), Flaw> {
    let (data, mut rest) = AuthenticatorData::head(bytes)?;
    if data.flags & ATTESTED == 0 {
        return Err(Flaw::Malformed);
    }
    // Which model it is of: not asked for, and not believed without an attestation.
    let _aaguid = rest.array::<16>()?;
    let len = u16::from_be_bytes(rest.array()?);
    let credential_id = rest.take(u64::from(len))?;
    let key = CoseKey::read(&mut rest)?;
    data.end(rest)?;
    Ok((data, Attested { credential_id, key }))
}

/// The members of a COSE key, of whatever kind.
#[derive(Debug, Default)]
pub(super) struct CoseKey<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    curve: Option<i64>,
    x: Option<&'a [u8]>,
    y: Option<&'a [u8]>,
    has_more: bool,
}

impl<'a> CoseKey<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut key = Self::default();
        for _ in 0..reader.map()? {
            let label = integer(reader.head()?).ok_or(Flaw::Malformed)?;
            let mut value = *reader;
            reader.skip()?;
            match label {
                1 => once(&mut key.kind, integer(value.head()?))?,
                3 => once(&mut key.algorithm, integer(value.head()?))?,
                // Of other kinds of key these labels mean something else.
                -1 => once_if_any(&mut key.curve, integer(value.head()?))?,
                -2 => once_if_any(&mut key.x, bytes(&mut value)?)?,
                -3 => once_if_any(&mut key.y, bytes(&mut value)?)?,
                _ => key.has_more = true,
            }
        }
        Ok(key)
    }

    /// The key, if it is one of ES256 in its one form.
    pub(super) fn p256(&self) -> Result<PublicKey, Flaw> {
        if self.algorithm != Some(ES256) {
            return Err(Flaw::Algorithm);
        }
        match (self.kind, self.curve, self.x, self.y) {
            (Some(EC2), Some(P256), Some(x), Some(y))
                if x.len() == 32 && y.len() == 32 && !self.has_more =>
            {
                PublicKey::from_p256(&[&[4], x, y].concat()).map_err(|_| Flaw::BadKey)
            }
            _ => Err(Flaw::BadKey),
        }
    }
}

/// An integer, if it is one that fits.
fn integer(head: Head) -> Option<i64> {
    match head {
        Head::Unsigned(value) => i64::try_from(value).ok(),
        Head::Negative(value) => i64::try_from(value).ok().map(|value| -1 - value),
        _ => None,
    }
}

/// A string of bytes, if the next item is one.
fn bytes<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Flaw> {
    match reader.head()? {
        Head::Bytes(len) => reader.take(len).map(Some),
        _ => Ok(None),
    }
}

fn once<T>(to: &mut Option<T>, value: Option<T>) -> Result<(), Flaw> {
    let value = value.ok_or(Flaw::Malformed)?;
    once_if_any(to, Some(value))
}

fn once_if_any<T>(to: &mut Option<T>, value: Option<T>) -> Result<(), Flaw> {
    if to.is_some() {
        return Err(Flaw::Malformed);
    }
    *to = value;
    Ok(())
}
