//! Who can act: the ids of actors and devices (`protocol.md` §2).

use crate::{Malformed, encoding};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the 32 bytes as computed elsewhere.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::openapi::text("32 bytes, base64url without padding")
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encoding::b64url(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                encoding::from_b64url_fixed($field, text).map(Self)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Malformed;
            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

bytes32!(
    /// An owner or an agent: a node of the actor tree. Derived by hashing, see
    /// `protocol.md` §2; shown as base64url.
    ActorId,
    "actor_id"
);
bytes32!(
    /// The id of a device: the RFC 7638 thumbprint of its public key.
    Thumbprint,
    "device"
);
bytes32!(
    /// A subject of an identity provider: the SHA-256 of issuer and subject
    /// (`protocol.md` §12). It says who that is to nobody who does not know already.
    IdentityId,
    "identity"
);

/// The algorithm of an owner's root key: one byte of the owner's id
/// (`protocol.md` §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alg {
    /// P-256, SEC1 uncompressed, 65 bytes: a passkey or a key file.
    P256,
    /// An EVM address, 20 bytes.
    EvmAddress,
    /// Ed25519, 32 bytes; in the local registry only.
    Ed25519,
}

impl Alg {
    /// The byte that stands for the algorithm in an owner's id.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::P256 => 1,
            Self::EvmAddress => 2,
            Self::Ed25519 => 3,
        }
    }
}
