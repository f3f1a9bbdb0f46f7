//! Unseal sources (`protocol.md` §5): what opens the root.
//!
//! Each source has an X25519 key, and the root is sealed to its public half. What
//! keeps the private half is the source's kind. So a new root reaches every source
//! that stays, though its keeper is away; and an old root, or a keeper that was
//! removed, leads to no later one.

mod change;
mod pkcs11;
mod share;
mod tpm;
mod wrapper;

pub use change::{NextSources, UnsealSourceAdd, UnsealSourceRemove, UnsealSourceTest};
pub use pkcs11::Pkcs11Tokens;
pub use share::Share;
pub use tpm::Tpms;
pub use wrapper::{
    Credentials, Payload, PinTries, Place, WRAPPED_BYTES, WrapError, Wrapped, Wraps,
};

use crate::error::SealError;
use crate::root::Root;
use procura_crypto::shamir;
use procura_crypto::slip39::Mnemonic;
use procura_crypto::{Argon2Params, OpeningKey, SealingKey, derive_passphrase_key};
use procura_types::wire::{ShareScheme, ShareSet, Wrapper};
use procura_types::{Entropy, InstallationId, Label, Secret, Timestamp, encoding};
use serde::{Deserialize, Serialize};

/// The most sources of an installation: each passphrase among them is tried, which
/// takes as long as Argon2id takes.
pub const MAX_SOURCES: usize = 8;

const MIN_PASSPHRASE: usize = 12;

/// The words for the kinds that are shares.
pub(crate) const SHARES: &str = "shares";
pub(crate) const SLIP39: &str = "slip39";

/// What keeps the private half of a source's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Keeper {
    /// A passphrase: the private half is derived from it.
    Passphrase {
        /// Parameters of Argon2id.
        argon2: Argon2Params,
    },
    /// Shares of the private half, of which some open it (`spec/protocol.md` §5,
    /// shares).
    Shares {
        /// The set that they are of.
        #[serde(with = "encoding::serde_b64url")]
        set: Vec<u8>,
        /// How many open it.
        threshold: u8,
        /// The digest of each, by index, so that a forged one is named before any is
        /// combined.
        shares: Vec<Digest>,
    },
    /// Words of SLIP-0039, of which some give the private half (`spec/protocol.md` §5,
    /// shares).
    Slip39 {
        /// What all words of the set begin with, 15 bits. Few other sets have the same.
        identifier: u16,
        /// How many open it.
        threshold: u8,
        /// The digest of each, by member.
        shares: Vec<Digest>,
    },
    /// A wrapper outside of the vault, which wraps it (`spec/protocol.md` §5, wrappers).
    Wrapped {
        /// Where the wrapper is.
        by: Wrapper,
        /// The private half, wrapped.
        #[serde(with = "encoding::serde_b64url")]
        wrapped: Vec<u8>,
    },
    /// A passphrase whose derived key sealed the root itself; in files of format 1,
    /// and in memory until they are unsealed.
    #[serde(skip)]
    FirstFormat {
        /// Parameters of Argon2id.
        argon2: Argon2Params,
    },
}

/// A SHA-256 digest, base64url in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "encoding::serde_b64url")] Vec<u8>);

impl Keeper {
    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Passphrase { .. } | Self::FirstFormat { .. } => "passphrase",
            Self::Shares { .. } => SHARES,
            Self::Slip39 { .. } => SLIP39,
            Self::Wrapped { by, .. } => by.kind(),
        }
    }

    /// How many shares there are and how many of them open it, of whichever scheme; none
    /// of what is no shares.
    #[must_use]
    pub fn shares(&self) -> Option<(ShareScheme, ShareSet)> {
        let (scheme, threshold, shares) = match self {
            Self::Shares {
                threshold, shares, ..
            } => (ShareScheme::Shamir, threshold, shares),
            Self::Slip39 {
                threshold, shares, ..
            } => (ShareScheme::Slip39, threshold, shares),
            Self::Passphrase { .. } | Self::Wrapped { .. } | Self::FirstFormat { .. } => {
                return None;
            }
        };
        let set = ShareSet {
            threshold: *threshold,
            count: u8::try_from(shares.len()).unwrap_or(u8::MAX),
        };
        Some((scheme, set))
    }

    /// Holds one share against the digests of the set.
    ///
    /// # Errors
    /// [`SealError::OtherShare`] for one of another set, [`SealError::ForgedShare`]
    /// for one that names this set and is none of it.
    pub fn check_share(&self, share: &Share) -> Result<(), SealError> {
        let (of_this_set, threshold, shares) = match (self, share) {
            (
                Self::Shares {
                    set,
                    threshold,
                    shares,
                },
                Share::Text(share),
            ) => (share.set().as_slice() == set.as_slice(), threshold, shares),
            (
                Self::Slip39 {
                    identifier,
                    threshold,
                    shares,
                },
                Share::Words(words),
            ) => (words.identifier() == *identifier, threshold, shares),
            _ => return Err(SealError::OtherShare),
        };
        if !of_this_set {
            return Err(SealError::OtherShare);
        }
        let place = usize::from(share.index()).checked_sub(1);
        let known = place.and_then(|place| shares.get(place));
        if share.threshold() != *threshold
            || known.is_none_or(|known| known.0.as_slice() != share.digest().as_slice())
        {
            return Err(SealError::ForgedShare {
                index: share.index(),
            });
        }
        Ok(())
    }
}

/// An unseal source, as `installation.json` holds it: nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What people call it.
    pub name: Label,
    /// When it was added, or changed last.
    pub added: Timestamp,
    /// What keeps the private half of its key.
    pub keeper: Keeper,
    /// The public half.
    pub key: SealingKey,
    /// The root, sealed to it.
    #[serde(with = "encoding::serde_b64url")]
    pub root: Vec<u8>,
}

/// What somebody brings to open the vault.
pub enum Brought {
    /// A passphrase, tried on each source of this kind.
    Passphrase(Secret<String>),
    /// Shares of one set.
    Shares(Vec<Share>),
    /// The private half of a source, as its wrapper gave it back.
    Unwrapped {
        /// The source.
        source: Label,
        /// The private half.
        key: Secret<[u8; 32]>,
    },
}

impl Source {
    /// Opens the root with what was brought; `None` when it is not for this source,
    /// or not the right one.
    pub(crate) fn open(
        &self,
        id: &InstallationId,
        epoch: u32,
        brought: &Brought,
    ) -> Result<Option<Root>, SealError> {
        let key = match (&self.keeper, brought) {
            (Keeper::FirstFormat { argon2 }, Brought::Passphrase(passphrase)) => {
                let key = derive_passphrase_key(passphrase.expose(), argon2)?;
                return Root::open_first_format(id, epoch, &self.root, key);
            }
            (Keeper::Passphrase { argon2 }, Brought::Passphrase(passphrase)) => {
                derive_passphrase_key(passphrase.expose(), argon2)?
            }
            (keeper @ (Keeper::Shares { .. } | Keeper::Slip39 { .. }), Brought::Shares(shares)) => {
                let [first, ..] = shares.as_slice() else {
                    return Ok(None);
                };
                if matches!(keeper.check_share(first), Err(SealError::OtherShare)) {
                    return Ok(None);
                }
                for share in shares {
                    keeper.check_share(share)?;
                }
                share::combine(shares)?
            }
            (Keeper::Wrapped { .. }, Brought::Unwrapped { source, key })
                if *source == self.name =>
            {
                Secret::new(*key.expose())
            }
            _ => return Ok(None),
        };
        Root::open_with(id, epoch, self, &OpeningKey::new(key)?)
    }
}

/// A source that is to be: its private half is at hand just long enough to give it to
/// its keeper.
pub struct NewSource {
    pub(crate) name: Label,
    keeper: Keeper,
    key: SealingKey,
}

impl NewSource {
    /// A passphrase. Takes as long as Argon2id takes.
    ///
    /// # Errors
    /// [`SealError::WeakPassphrase`] below 12 characters.
    pub fn passphrase(
        name: Label,
        passphrase: &Secret<String>,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        if passphrase.expose().chars().count() < MIN_PASSPHRASE {
            return Err(SealError::WeakPassphrase);
        }
        let argon2 = Argon2Params::generate(entropy)?;
        let key = OpeningKey::new(derive_passphrase_key(passphrase.expose(), &argon2)?)?;
        Ok(Self {
            name,
            keeper: Keeper::Passphrase { argon2 },
            key: key.sealing_key()?,
        })
    }

    /// `count` shares, of which `threshold` open the vault; they exist nowhere else.
    ///
    /// # Errors
    /// [`SealError::Shares`] unless 2 ≤ `threshold` ≤ `count`.
    pub fn shares(
        name: Label,
        threshold: u8,
        count: u8,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Vec<shamir::Share>), SealError> {
        let key = OpeningKey::generate(entropy)?;
        let mut set = [0; 16];
        entropy.fill(&mut set)?;
        let secret = Secret::new(*key.expose());
        let shares = shamir::split(&secret, threshold, count, set, entropy)?;
        let new = Self {
            name,
            keeper: Keeper::Shares {
                set: set.to_vec(),
                threshold,
                shares: shares
                    .iter()
                    .map(|share| Digest(share.digest().to_vec()))
                    .collect(),
            },
            key: key.sealing_key()?,
        };
        Ok((new, shares))
    }

    /// The same as words of SLIP-0039, which any other implementation of it combines to
    /// the private half.
    ///
    /// # Errors
    /// [`SealError::Mnemonics`] unless 2 ≤ `threshold` ≤ `count` ≤ 16.
    pub fn slip39(
        name: Label,
        threshold: u8,
        count: u8,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Vec<Mnemonic>), SealError> {
        let key = OpeningKey::generate(entropy)?;
        let secret = Secret::new(*key.expose());
        let words = share::split_into_words(&secret, threshold, count, entropy)?;
        let new = Self {
            name,
            keeper: Keeper::Slip39 {
                identifier: words.first().map_or(0, Mnemonic::identifier),
                threshold,
                shares: words
                    .iter()
                    .map(|words| Digest(words.digest().to_vec()))
                    .collect(),
            },
            key: key.sealing_key()?,
        };
        Ok((new, words))
    }

    /// A source whose private half a wrapper wraps. Takes as long as the wrapper takes.
    ///
    /// # Errors
    /// [`WrapError`].
    pub fn wrapped(
        name: Label,
        installation: &InstallationId,
        by: &Wrapper,
        wraps: &dyn Wraps,
        credentials: &Credentials,
        entropy: &dyn Entropy,
    ) -> Result<Self, WrapError> {
        let key = OpeningKey::generate(entropy)?;
        let place = Place {
            installation,
            source: &name,
            kind: by.kind(),
        };
        let payload = wrapper::payload(&place, key.expose());
        let Wrapped { by, bytes } = wraps.wrap(by, &place, credentials, &payload)?;
        Ok(Self {
            keeper: Keeper::Wrapped { by, wrapped: bytes },
            key: key.sealing_key()?,
            name,
        })
    }

    /// Where its wrapper is, if it has one.
    #[must_use]
    pub const fn wrapper(&self) -> Option<&Wrapper> {
        match &self.keeper {
            Keeper::Wrapped { by, .. } => Some(by),
            _ => None,
        }
    }

    pub(crate) fn seal(
        self,
        id: &InstallationId,
        root: &Root,
        now: Timestamp,
    ) -> Result<Source, SealError> {
        Ok(Source {
            root: root.seal_to(id, &self.name, &self.key)?,
            name: self.name,
            added: now,
            keeper: self.keeper,
            key: self.key,
        })
    }
}
