//! Wrappers (`protocol.md` §5): tokens, chips and services that keep the private half of
//! an unseal source by wrapping it with a key that never leaves them.
//!
//! [`Wraps`] is the seam, with one implementation for each kind. What is wrapped is the
//! private half and the digest of the place that it is for, so that what was wrapped for
//! one source or installation is of no use for another, whether or not the wrapper binds
//! what it wraps by itself.

use crate::unseal_source::{Brought, Keeper, Source};
use procura_crypto::{KeyError, LockError, sha256};
use procura_types::wire::Wrapper;
use procura_types::{EntropyError, FieldTuple, InstallationId, Label, Secret, SecretBytes};
use std::sync::Arc;

/// Bytes that are wrapped: the key, and the digest of its place.
pub const WRAPPED_BYTES: usize = 64;

/// What is wrapped.
pub type Payload = Secret<[u8; WRAPPED_BYTES]>;

/// The place that a key is wrapped for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The installation.
    pub installation: &'a InstallationId,
    /// The unseal source.
    pub source: &'a Label,
    /// The word for the wrapper's kind.
    pub kind: &'a str,
}

impl Place<'_> {
    /// What a wrapper binds to what it wraps, where it can: associated data of 100 bytes
    /// at the most. It names no epoch, since a source outlives roots.
    #[must_use]
    pub fn associated(&self) -> Vec<u8> {
        FieldTuple::new("procura.unseal-wrap.v1")
            .bytes(self.installation.as_bytes())
            .text(self.source.as_str())
            .text(self.kind)
            .into_bytes()
    }

    /// The digest of the same.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.associated())
    }
}

/// What somebody brings for a wrapper.
#[derive(Default)]
pub struct Credentials {
    /// The PIN of a token, the credentials of a service; nothing for a chip.
    pub secret: Option<Secret<String>>,
    /// What keeps account of tries that nobody sits at; nothing where somebody does, who
    /// would know that one try is left before a token locks itself.
    pub tries: Option<Arc<dyn PinTries>>,
}

/// Keeps account of PINs that are tried while nobody sits there. Tokens lock themselves
/// after a few wrong ones, and a process that is started again has forgotten: so a try
/// counts as refused until it is known to be none, also when whoever waited for it has
/// gone meanwhile.
pub trait PinTries: Send + Sync {
    /// A PIN is about to be tried. Durable when this returns.
    ///
    /// # Errors
    /// [`WrapError::Own`] when that cannot be written down: then the PIN is not tried.
    fn begin(&self) -> Result<(), WrapError>;

    /// What came of it: nothing where the token took the PIN, else what it said.
    fn end(&self, refused: Option<&WrapError>);
}

impl Credentials {
    /// What was brought, or that it is missing.
    ///
    /// # Errors
    /// [`WrapError::NeedsCredentials`].
    pub fn need(&self, what: &'static str) -> Result<&Secret<String>, WrapError> {
        self.secret
            .as_ref()
            .filter(|secret| !secret.expose().is_empty())
            .ok_or(WrapError::NeedsCredentials(what))
    }
}

/// What a wrapper made.
pub struct Wrapped {
    /// Where it is, with what was learned of it.
    pub by: Wrapper,
    /// The key, wrapped; nothing secret.
    pub bytes: Vec<u8>,
}

/// Why a wrapper did not do it. The texts have what it said, and never a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// It is not there, or does not answer; later it may.
    #[error("{0}")]
    Unavailable(String),
    /// It asks for something that was not brought.
    #[error(
        "it takes {0}: bring it with --credentials FILE, or name the file in unseal_credentials of procura.toml"
    )]
    NeedsCredentials(&'static str),
    /// What was brought has not the form that it needs to have.
    #[error("the credentials are not usable: {0}")]
    BadCredentials(String),
    /// The token says so.
    #[error("the PIN is wrong; a token locks itself after a few wrong ones")]
    WrongPin,
    /// The token says so.
    #[error("the PIN is locked; its security officer can set another")]
    PinLocked,
    /// One wrong PIN more locks it, and nobody sits there.
    #[error(
        "after wrong PINs the token has few tries left: the next is for a person, with procura unseal --source"
    )]
    FewTriesLeft,
    /// Whoever brought the credentials may not use the key.
    #[error("it refuses these credentials: {0}")]
    Denied(String),
    /// The machine did not start as it did when the source was added.
    #[error(
        "the platform configuration registers {} are not as they were when it was added: other firmware, boot loader or kernel was started; open the vault with another source, and add this one anew if the change is yours",
        listed(.0)
    )]
    PcrsChanged(Vec<u8>),
    /// It is not the one that wrapped the key.
    #[error("{0}")]
    Another(String),
    /// What it was given was not wrapped by it, or not for this place.
    #[error("what is stored was changed, or was wrapped for another source or installation")]
    Refused,
    /// The configuration does not say where it is, and the list of sources is not
    /// believed about that.
    #[error("{0}")]
    NotConfigured(String),
    /// It cannot do what is needed of it.
    #[error("{0}")]
    Unfit(String),
    /// Ourselves.
    #[error("{0}")]
    Own(String),
}

fn listed(numbers: &[u8]) -> String {
    let words: Vec<String> = numbers.iter().map(u8::to_string).collect();
    words.join(", ")
}

impl WrapError {
    /// Whether it may be different in a moment, by itself.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The word under which a refusal stands in the record; nothing for what says
    /// nothing of who asked.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::WrongPin => Some("wrong_pin"),
            Self::PinLocked => Some("pin_locked"),
            Self::Denied(_) => Some("credentials_refused"),
            Self::PcrsChanged(_) => Some("pcrs_changed"),
            Self::Another(_) => Some("another_wrapper"),
            Self::Refused => Some("wrapped_key_refused"),
            Self::Unavailable(_)
            | Self::NeedsCredentials(_)
            | Self::BadCredentials(_)
            | Self::FewTriesLeft
            | Self::NotConfigured(_)
            | Self::Unfit(_)
            | Self::Own(_) => None,
        }
    }

    /// All that [`Self::word`] says.
    pub const WORDS: [&str; 12] = [
        "source_unavailable",
        "credentials_needed",
        "wrong_pin",
        "pin_locked",
        "few_tries_left",
        "credentials_refused",
        "pcrs_changed",
        "another_wrapper",
        "wrapped_key_refused",
        "source_not_configured",
        "wrapper_unfit",
        "internal",
    ];

    /// The word for what happened, in counts and in the record.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "source_unavailable",
            Self::NeedsCredentials(_) | Self::BadCredentials(_) => "credentials_needed",
            Self::WrongPin => "wrong_pin",
            Self::PinLocked => "pin_locked",
            Self::FewTriesLeft => "few_tries_left",
            Self::Denied(_) => "credentials_refused",
            Self::PcrsChanged(_) => "pcrs_changed",
            Self::Another(_) => "another_wrapper",
            Self::Refused => "wrapped_key_refused",
            Self::NotConfigured(_) => "source_not_configured",
            Self::Unfit(_) => "wrapper_unfit",
            Self::Own(_) => "internal",
        }
    }

    /// That a wrapper was asked about one of another kind.
    #[must_use]
    pub fn other_kind() -> Self {
        Self::Own("a wrapper was asked about one of another kind".to_owned())
    }
}

impl From<LockError> for WrapError {
    fn from(error: LockError) -> Self {
        Self::Own(error.to_string())
    }
}

impl From<KeyError> for WrapError {
    fn from(error: KeyError) -> Self {
        Self::Own(error.to_string())
    }
}

impl From<EntropyError> for WrapError {
    fn from(error: EntropyError) -> Self {
        Self::Own(error.to_string())
    }
}

/// One kind of wrapper. Calls block for as long as the wrapper takes.
pub trait Wraps: Send + Sync {
    /// Wraps a key for a place; makes the wrapper's own key where there is none.
    ///
    /// # Errors
    /// [`WrapError`]; nothing of what was made on the way is left then.
    fn wrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        key: &Payload,
    ) -> Result<Wrapped, WrapError>;

    /// Gives back what was wrapped for a place.
    ///
    /// # Errors
    /// [`WrapError`].
    fn unwrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        wrapped: &[u8],
    ) -> Result<SecretBytes, WrapError>;

    /// Takes away what [`Self::wrap`] made, since the source was not added after all.
    /// Where it cannot, it stays, and opens nothing.
    fn forget(&self, by: &Wrapper, credentials: &Credentials) {
        let _ = (by, credentials);
    }
}

/// Key and digest in one.
pub(super) fn payload(place: &Place<'_>, key: &[u8; 32]) -> Payload {
    let mut payload = Secret::new([0; WRAPPED_BYTES]);
    let (first, second) = payload.expose_mut().split_at_mut(32);
    first.copy_from_slice(key);
    second.copy_from_slice(&place.digest());
    payload
}

impl Source {
    /// Has the wrapper of this source give its key back, to be brought. `by` is the
    /// wrapper, at the place where it is to be looked for: what the source itself says of
    /// that is vouched for by a root that is not open yet.
    ///
    /// # Errors
    /// [`WrapError`]; [`WrapError::Own`] for a source that has no wrapper, or one of
    /// another kind.
    pub fn unwrapped(
        &self,
        installation: &InstallationId,
        by: &Wrapper,
        wraps: &dyn Wraps,
        credentials: &Credentials,
    ) -> Result<Brought, WrapError> {
        let Keeper::Wrapped { by: own, wrapped } = &self.keeper else {
            return Err(WrapError::Own(format!("{} has no wrapper", self.name)));
        };
        if own.kind() != by.kind() {
            return Err(WrapError::other_kind());
        }
        let place = Place {
            installation,
            source: &self.name,
            kind: by.kind(),
        };
        let bytes = wraps.unwrap(by, &place, credentials, wrapped)?;
        let (key, digest) = bytes
            .expose()
            .split_first_chunk::<32>()
            .ok_or(WrapError::Refused)?;
        if digest != place.digest() {
            return Err(WrapError::Refused);
        }
        Ok(Brought::Unwrapped {
            source: self.name.clone(),
            key: Secret::new(*key),
        })
    }

    /// Its wrapper, if it has one.
    #[must_use]
    pub const fn wrapper(&self) -> Option<&Wrapper> {
        match &self.keeper {
            Keeper::Wrapped { by, .. } => Some(by),
            _ => None,
        }
    }
}
