//! Request proofs of other systems (`protocol.md` §3.2), beside the native one.
//!
//! A profile is a fixed set of header fields and of bytes that are signed. Which
//! one a request shows is told by the shape of its fields alone
//! ([`recognise`]), never by trying signatures; fields of two make it malformed.
//! [`ForeignVerifier`] makes the same checks as for native proofs, in the same
//! order and with the same words. [`sign`] is the client's side.
//!
//! By themselves these proofs authenticate agents to services and open nothing of
//! ours. [`crate::Caller::foreign`] leads from one to the agent that its id is bound
//! to, and policy lets that caller do a few things only.

mod caller;
mod guide_v1;
mod hmac_v1;
mod hmac_v2;
mod key_server_v1;
mod keys;
pub mod legacy;
mod parsed;
mod pending;
mod shape;
mod sign;
mod timestamp;
mod verify;

pub use caller::ForeignCaller;
pub use hmac_v1::HmacV1;
pub use keys::{AgentSecret, ForeignKey, ForeignKeys, KeysUnavailable};
pub use parsed::FIELDS;
pub use pending::ForeignPending;
pub use shape::{Shown, is_by_browser, named, recognise};
pub use sign::{ForeignSigner, sign};
pub use verify::{Allowed, ForeignVerifier, Presented};

use crate::guard::Windows;
use procura_types::Malformed;
use std::fmt;
use std::str::FromStr;

/// A profile of another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Foreign {
    /// Ed25519 over method, path, time, nonce and the hash of the body.
    KeyServerV1,
    /// Ed25519 over method, path, time, nonce and the body.
    GuideV1,
    /// HMAC over the body and nothing else: [`Foreign::is_weak`].
    HmacV1,
    /// HMAC over all of the request but its header fields.
    HmacV2,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::KeyServerV1, Self::GuideV1, Self::HmacV1, Self::HmacV2];

    /// The word for it, in the record and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyServerV1 => "key-server-v1",
            Self::GuideV1 => "guide-v1",
            Self::HmacV1 => "hmac-v1",
            Self::HmacV2 => "hmac-v2",
        }
    }

    /// Whether whoever has seen one request can make others with its signature:
    /// to another path, by another method, at another time. Nothing that matters
    /// may rest on such a proof, and the record says so where one was used.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::HmacV1)
    }

    /// Whether the SHA-256 of the body is all that is signed of it, so that
    /// [`ForeignVerifier::prepare_hashed`] can verify it.
    #[must_use]
    pub const fn signs_digest(self) -> bool {
        matches!(self, Self::KeyServerV1 | Self::HmacV2)
    }

    /// How far clocks may differ, where no service says otherwise.
    #[must_use]
    pub const fn windows(self) -> Windows {
        match self {
            Self::KeyServerV1 => Windows {
                back: 300,
                forward: 60,
            },
            Self::GuideV1 | Self::HmacV1 | Self::HmacV2 => Windows {
                back: 60,
                forward: 60,
            },
        }
    }
}

impl FromStr for Foreign {
    type Err = Malformed;

    fn from_str(word: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == word)
            .ok_or(Malformed::new(
                "profile",
                "must be key-server-v1, guide-v1, hmac-v1 or hmac-v2",
            ))
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
