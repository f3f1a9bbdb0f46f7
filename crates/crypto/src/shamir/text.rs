//! A share as text: what a holder keeps, on paper or as a QR code.
//!
//! `PROCURA-SHARE-1-` and the base32 form of `16 set ‖ u8 threshold ‖ u8 index ‖
//! 32 value ‖ 4 checksum` in groups of five symbols with `-` between them, 120
//! characters in all, each of which a QR code has in its alphanumeric mode (ISO/IEC
//! 18004 §7.4.4).

use super::{BYTES, LEAST_THRESHOLD, Share, ShareError};
use crate::base32;
use procura_types::Secret;
use subtle::ConstantTimeEq as _;

const PREFIX: &[u8] = b"PROCURA-SHARE-1-";
/// Symbols between two `-`.
const GROUP: usize = 5;
const CHECKSUM_BYTES: usize = 4;
/// Set, threshold, index, value and checksum.
const SHARE_BYTES: usize = 16 + 1 + 1 + BYTES + CHECKSUM_BYTES;
const SYMBOLS: usize = base32::symbols(SHARE_BYTES);
const TEXT_BYTES: usize = PREFIX.len() + SYMBOLS + (SYMBOLS - 1) / GROUP;

impl Share {
    /// The share as text, for its holder.
    #[must_use]
    pub fn encode(&self) -> Secret<String> {
        let mut bytes = Secret::new(Vec::with_capacity(SHARE_BYTES));
        let to = bytes.expose_mut();
        to.extend_from_slice(&self.set);
        to.push(self.threshold);
        to.push(self.index);
        to.extend_from_slice(self.value.expose());
        to.extend_from_slice(&self.checksum());
        let symbols = base32::encode(bytes.expose());
        // Room for all of it at once: growing would leave the share behind.
        let mut text = Secret::new(String::with_capacity(TEXT_BYTES));
        let to = text.expose_mut();
        to.extend(PREFIX.iter().copied().map(char::from));
        for (at, group) in symbols.expose().chunks(GROUP).enumerate() {
            if at > 0 {
                to.push('-');
            }
            to.extend(group.iter().copied().map(char::from));
        }
        text
    }

    /// Reads a share as it was typed, pasted or scanned. Letters may be of either
    /// case, and white space (of ASCII) may stand anywhere; all else is exact.
    ///
    /// # Errors
    ///
    /// [`ShareError::Malformed`] when it has not the form, [`ShareError::Checksum`]
    /// when it was mistyped, [`ShareError::Threshold`] and [`ShareError::Index`]
    /// when somebody made it with numbers that no share has.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let mut plain = Secret::new(Vec::with_capacity(TEXT_BYTES + 1));
        plain.expose_mut().extend(
            text.bytes()
                .filter(|byte| !byte.is_ascii_whitespace())
                .map(|byte| byte.to_ascii_uppercase())
                // One more than there may be, so that a longer text is refused.
                .take(TEXT_BYTES + 1),
        );
        if plain.expose().len() != TEXT_BYTES {
            return Err(ShareError::Malformed);
        }
        let groups = plain
            .expose()
            .strip_prefix(PREFIX)
            .ok_or(ShareError::Malformed)?;
        let mut symbols = Secret::new(Vec::with_capacity(SYMBOLS));
        for group in groups.chunks(GROUP + 1) {
            let (group, dash) = group.split_at(GROUP.min(group.len()));
            if !matches!(dash, b"-" | b"") {
                return Err(ShareError::Malformed);
            }
            symbols.expose_mut().extend_from_slice(group);
        }
        let bytes = base32::decode::<SHARE_BYTES>(symbols.expose()).ok_or(ShareError::Malformed)?;
        let mut rest = bytes.expose().as_slice();
        let share = Self {
            set: take(&mut rest)?,
            threshold: u8::from_be_bytes(take(&mut rest)?),
            index: u8::from_be_bytes(take(&mut rest)?),
            value: Secret::new(take(&mut rest)?),
        };
        let checksum: [u8; CHECKSUM_BYTES] = take(&mut rest)?;
        if !bool::from(share.checksum().ct_eq(&checksum)) {
            return Err(ShareError::Checksum);
        }
        if share.threshold < LEAST_THRESHOLD {
            return Err(ShareError::Threshold);
        }
        if share.index == 0 {
            return Err(ShareError::Index);
        }
        Ok(share)
    }

    /// The first four bytes of SHA-256 of `T("procura.share.v1", set, threshold,
    /// index, value)`. It finds mistakes, and keeps nobody from making a share.
    fn checksum(&self) -> [u8; CHECKSUM_BYTES] {
        let [a, b, c, d, ..] = self.hash("procura.share.v1");
        [a, b, c, d]
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], ShareError> {
    let (taken, rest) = from.split_first_chunk().ok_or(ShareError::Malformed)?;
    *from = rest;
    Ok(*taken)
}
