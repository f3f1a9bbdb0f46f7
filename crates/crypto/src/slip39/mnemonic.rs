//! One mnemonic: `15 identifier ‖ 1 extendable ‖ 4 iteration exponent ‖ 4 group ‖ 4
//! group threshold − 1 ‖ 4 group count − 1 ‖ 4 member ‖ 4 member threshold − 1 ‖
//! padding ‖ value ‖ 30 checksum` in bits, of which ten are a word (SLIP-0039,
//! "Format of the share mnemonic").

use super::encryption::Encryption;
use super::{Slip39Error, rs1024, words};
use crate::sha256;
use procura_types::{FieldTuple, Secret, SecretBytes};

/// The highest identifier.
pub(super) const MOST_IDENTIFIER: u16 = 0x7fff;
/// Words before the value.
const HEAD: usize = 4;
/// Bits of a word.
const BITS: usize = 10;
/// 128 bits, below which no value is.
const LEAST_WORDS: usize = HEAD + 13 + rs1024::WORDS;
/// The code of the checksum is not made for more.
const MOST_WORDS: usize = 1000;

/// One holder's part of a secret, as words.
pub struct Mnemonic {
    pub(super) encryption: Encryption,
    pub(super) group: u8,
    pub(super) group_threshold: u8,
    pub(super) group_count: u8,
    pub(super) member: u8,
    pub(super) member_threshold: u8,
    pub(super) value: SecretBytes,
}

impl Mnemonic {
    /// Reads a mnemonic: words of either case with white space between them.
    ///
    /// # Errors
    ///
    /// In this order: [`Slip39Error::UnknownWord`], [`Slip39Error::Length`],
    /// [`Slip39Error::Checksum`], [`Slip39Error::Padding`],
    /// [`Slip39Error::GroupThreshold`], [`Slip39Error::GroupIndex`].
    pub fn parse(text: &str) -> Result<Self, Slip39Error> {
        let mut words = Secret::new(Vec::with_capacity(MOST_WORDS + 1));
        for (at, word) in text.split_whitespace().take(MOST_WORDS + 1).enumerate() {
            let position = at + 1;
            let index = words::index(word).ok_or(Slip39Error::UnknownWord { position })?;
            words.expose_mut().push(index);
        }
        let words = words.expose().as_slice();
        let length = Slip39Error::Length { words: words.len() };
        if !(LEAST_WORDS..=MOST_WORDS).contains(&words.len()) {
            return Err(length);
        }
        let (data, checksum) = words.split_last_chunk().ok_or(length)?;
        let (head, padded) = data.split_first_chunk::<HEAD>().ok_or(length)?;
        // Values have an even number of bytes, which leaves eight bits at the most.
        let padding = padded.len() * BITS % 16;
        if padding > 8 {
            return Err(length);
        }
        let head = head
            .iter()
            .fold(0u64, |head, word| (head << BITS) | u64::from(*word));
        let encryption = Encryption {
            identifier: low_u16(head >> 25) & MOST_IDENTIFIER,
            extendable: (head >> 24) & 1 == 1,
            exponent: nibble(head >> 20),
        };
        if !rs1024::verify(data, checksum, encryption.extendable) {
            return Err(Slip39Error::Checksum);
        }
        let mnemonic = Self {
            encryption,
            group: nibble(head >> 16),
            group_threshold: nibble(head >> 12) + 1,
            group_count: nibble(head >> 8) + 1,
            member: nibble(head >> 4),
            member_threshold: nibble(head) + 1,
            value: value(padded, padding)?,
        };
        if mnemonic.group_threshold > mnemonic.group_count {
            return Err(Slip39Error::GroupThreshold);
        }
        if mnemonic.group >= mnemonic.group_count {
            return Err(Slip39Error::GroupIndex);
        }
        Ok(mnemonic)
    }

    /// The mnemonic as text, for its holder: words in lower case with one space
    /// between them.
    #[must_use]
    pub fn encode(&self) -> Secret<String> {
        words::text(self.words().expose())
    }

    /// SHA-256 of `T("procura.slip39.digest.v1", words)`, each word as its index in
    /// two bytes, by which a mnemonic is known again without keeping it. It helps
    /// nobody to guess the mnemonic, whose value has at least 128 random bits.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let words = self.words();
        let mut bytes = Secret::new(Vec::with_capacity(words.expose().len() * 2));
        for word in words.expose() {
            bytes.expose_mut().extend_from_slice(&word.to_be_bytes());
        }
        let tuple = FieldTuple::new("procura.slip39.digest.v1").bytes(bytes.expose());
        let tuple = Secret::new(tuple.into_bytes());
        sha256(tuple.expose())
    }

    /// What all mnemonics of a set have and few other sets, 15 random bits; public.
    #[must_use]
    pub const fn identifier(&self) -> u16 {
        self.encryption.identifier
    }

    /// How many iterations of PBKDF2 it takes to combine the set: 10,000 to
    /// 327,680,000.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        10_000 << self.encryption.exponent
    }

    /// The group that it is of, from 0.
    #[must_use]
    pub const fn group(&self) -> u8 {
        self.group
    }

    /// How many groups give the secret.
    #[must_use]
    pub const fn group_threshold(&self) -> u8 {
        self.group_threshold
    }

    /// How many groups there are.
    #[must_use]
    pub const fn group_count(&self) -> u8 {
        self.group_count
    }

    /// Which one of its group it is, from 0.
    #[must_use]
    pub const fn member(&self) -> u8 {
        self.member
    }

    /// How many of its group give what the group has.
    #[must_use]
    pub const fn member_threshold(&self) -> u8 {
        self.member_threshold
    }

    /// Whether `other` can be of the same set.
    pub(super) fn check_same_set(&self, other: &Self) -> Result<(), Slip39Error> {
        let (ours, theirs) = (self.encryption, other.encryption);
        if ours.identifier != theirs.identifier {
            Err(Slip39Error::OtherIdentifier)
        } else if ours.extendable != theirs.extendable {
            Err(Slip39Error::FlagsDisagree)
        } else if ours.exponent != theirs.exponent {
            Err(Slip39Error::ExponentsDisagree)
        } else if self.group_threshold != other.group_threshold {
            Err(Slip39Error::GroupThresholdsDisagree)
        } else if self.group_count != other.group_count {
            Err(Slip39Error::GroupCountsDisagree)
        } else if self.value.expose().len() != other.value.expose().len() {
            Err(Slip39Error::LengthsDisagree)
        } else {
            Ok(())
        }
    }

    /// The words as their indices.
    fn words(&self) -> Secret<Vec<u16>> {
        let value = self.value.expose();
        let value_words = (value.len() * 8).div_ceil(BITS);
        let mut words = Secret::new(Vec::with_capacity(HEAD + value_words + rs1024::WORDS));
        let to = words.expose_mut();
        let head = [
            (u64::from(self.encryption.identifier), 15),
            (u64::from(self.encryption.extendable), 1),
            (u64::from(self.encryption.exponent), 4),
            (u64::from(self.group), 4),
            (u64::from(self.group_threshold.saturating_sub(1)), 4),
            (u64::from(self.group_count.saturating_sub(1)), 4),
            (u64::from(self.member), 4),
            (u64::from(self.member_threshold.saturating_sub(1)), 4),
        ]
        .into_iter()
        .fold(0u64, |head, (field, bits)| (head << bits) | field);
        to.extend([30, 20, 10, 0].map(|shift| low_word(head >> shift)));
        // The padding stands before the value, as bits that are zero.
        let (mut bits, mut pending) = (0u64, value_words * BITS - value.len() * 8);
        for byte in value {
            bits = (bits << 8) | u64::from(*byte);
            pending += 8;
            if pending >= BITS {
                pending -= BITS;
                to.push(low_word(bits >> pending));
            }
        }
        let checksum = rs1024::checksum(to, self.encryption.extendable);
        to.extend(checksum);
        words
    }
}

/// The bytes of the words of a value, `padding` bits of which stand before it.
fn value(words: &[u16], padding: usize) -> Result<SecretBytes, Slip39Error> {
    let mut value = Secret::new(Vec::with_capacity(words.len() * BITS / 8));
    let mut bits = 0u64;
    let mut pending = 0;
    for (at, word) in words.iter().enumerate() {
        bits = (bits << BITS) | u64::from(*word);
        pending += BITS;
        if at == 0 {
            pending -= padding;
            if bits >> pending != 0 {
                return Err(Slip39Error::Padding);
            }
        }
        while pending >= 8 {
            pending -= 8;
            let [.., byte] = (bits >> pending).to_be_bytes();
            value.expose_mut().push(byte);
        }
    }
    Ok(value)
}

const fn nibble(bits: u64) -> u8 {
    let [.., low] = bits.to_be_bytes();
    low & 0xf
}

const fn low_u16(bits: u64) -> u16 {
    let [.., high, low] = bits.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// The ten low bits.
const fn low_word(bits: u64) -> u16 {
    low_u16(bits) & 0x3ff
}
