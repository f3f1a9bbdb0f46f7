//! One holder's part of the private half of a source, as it is brought: text of ours, or
//! words of SLIP-0039.

use crate::error::SealError;
use procura_crypto::shamir;
use procura_crypto::slip39::{self, Mnemonic, Slip39Error};
use procura_types::Secret;

/// What SLIP-0039 would encrypt a secret with besides. Every passphrase of it gives some
/// secret and nothing says which is right, so that one which is forgotten or mistyped
/// would pass for forged words: there is none.
const NO_PASSPHRASE: &str = "";

/// A share of one scheme or the other.
pub enum Share {
    /// Text of ours.
    Text(shamir::Share),
    /// Words.
    Words(Mnemonic),
}

impl Share {
    /// Reads a share: words where there are several and nothing but letters, and else
    /// text of ours.
    ///
    /// # Errors
    /// [`SealError::Shares`], [`SealError::Mnemonics`]: what is wrong with its form.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if text.split_whitespace().count() > 1 && text.split_whitespace().all(is_word) {
            return Ok(Self::Words(Mnemonic::parse(text)?));
        }
        Ok(Self::Text(shamir::Share::parse(text)?))
    }

    /// Reads several, as [`Self::parse`] each.
    ///
    /// # Errors
    /// Those of the first that has any.
    pub fn parse_all(texts: &[Secret<String>]) -> Result<Vec<Self>, SealError> {
        texts
            .iter()
            .map(|text| Self::parse(text.expose()))
            .collect()
    }

    /// Which of its set it is, from 1; public.
    #[must_use]
    pub const fn index(&self) -> u8 {
        match self {
            Self::Text(share) => share.index(),
            Self::Words(words) => words.member().saturating_add(1),
        }
    }

    /// How many of its set open the vault; public.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        match self {
            Self::Text(share) => share.threshold(),
            Self::Words(words) => words.member_threshold(),
        }
    }

    /// By which it is known again without keeping it ([`shamir::Share::digest`],
    /// [`Mnemonic::digest`]).
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::Text(share) => share.digest(),
            Self::Words(words) => words.digest(),
        }
    }
}

/// Gives the private half back that was split. Each share was held against its digest
/// before ([`super::Keeper::check_share`]).
pub(super) fn combine(shares: &[Share]) -> Result<Secret<[u8; 32]>, SealError> {
    let (mut texts, mut words) = (Vec::new(), Vec::new());
    for share in shares {
        match share {
            Share::Text(share) => texts.push(share),
            Share::Words(mnemonic) => words.push(mnemonic),
        }
    }
    match (texts.is_empty(), words.is_empty()) {
        (false, false) => Err(SealError::OtherShare),
        (_, true) => Ok(shamir::combine(&texts)?),
        (true, false) => combine_words(&words),
    }
}

/// The standard takes exactly as many as are needed. What is there besides has been held
/// against its digest, as those have, and is not looked at again.
fn combine_words(words: &[&Mnemonic]) -> Result<Secret<[u8; 32]>, SealError> {
    for (at, one) in words.iter().enumerate() {
        let mut before = words.iter().take(at);
        if before.any(|other| other.member() == one.member()) {
            let (group, member) = (one.group(), one.member());
            return Err(Slip39Error::Repeated { group, member }.into());
        }
    }
    let need = words
        .first()
        .map_or(0, |first| usize::from(first.member_threshold()));
    let needed = words.get(..need).unwrap_or(words);
    let secret = slip39::combine(needed, NO_PASSPHRASE)?;
    <[u8; 32]>::try_from(secret.expose().as_slice())
        .map(Secret::new)
        .map_err(|_| SealError::OtherShare)
}

/// Splits a private half into words.
pub(super) fn split_into_words(
    secret: &Secret<[u8; 32]>,
    threshold: u8,
    count: u8,
    entropy: &dyn procura_types::Entropy,
) -> Result<Vec<Mnemonic>, SealError> {
    Ok(slip39::split(
        secret,
        threshold,
        count,
        NO_PASSPHRASE,
        entropy,
    )?)
}
