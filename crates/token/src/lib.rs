//! Tokens that other services verify by themselves, the keys that sign them, and the ID
//! tokens of identity providers, which are verified here.
//!
//! No I/O and no clock: time, keys and random bytes are passed in.
//!
//! - [`Jws`] is a JWS in compact serialisation (RFC 7515 §7.1) with ES256 (RFC 7518
//!   §3.4) and nothing else; [`sign`] makes one.
//! - [`AgentClaims`] is what the token of an agent says; [`AgentClaims::verify`] is
//!   all that a verifier has to do.
//! - [`ProjectClaims`] is the same of the signed tokens of projects; [`OpaqueToken`] is
//!   one that says nothing.
//! - [`new_api_key`] is the same for the automation of operators.
//! - [`DaemonClaims`] is the same of the tokens of devices that joined by a device grant.
//! - [`LegacyClaims`] is what the token of a CortexAuth client's login says;
//!   [`claimed_id`] which token one says that it is.
//! - [`KeySet`] is the JWK Set (RFC 7517 §5) that verifiers fetch.
//! - [`IdToken`] is who signed in at an identity provider, by a token that was checked in
//!   full against [`ProviderKeys`].
//! - [`KeyRing`] is which key signs, which come next, and which have signed.

mod api_key;
mod claims;
mod daemon;
mod error;
mod id_token;
mod json;
mod jws;
mod key_set;
mod legacy;
mod opaque;
mod project;
mod ring;

pub use api_key::{API_KEY_PREFIX, api_key_hash, new_api_key};
pub use claims::{AGENT_AUDIENCE, AGENT_TYPE, AgentClaims, Expected, SKEW, TOKEN_LIFE};
pub use daemon::{DAEMON_AUDIENCE, DAEMON_LIFE, DAEMON_TYPE, DaemonClaims};
pub use error::TokenError;
pub use id_token::{
    ID_TOKEN_AGE, IdToken, IdTokenRefusal, IdTokenTerms, MAX_ID_TOKEN, MAX_PROVIDER_KEYS,
    ProviderKeys,
};
pub use jws::{Header, Jws, MAX_TOKEN, claimed_id, sign};
pub use key_set::{KEY_SET_LIFE, KeySet, MAX_KEY_SET};
pub use legacy::{LEGACY_AUDIENCE, LEGACY_LIFE, LEGACY_TYPE, LegacyClaims};
pub use opaque::{OPAQUE_PREFIX, OpaqueToken};
pub use project::{
    Confirmation, PROJECT_AUDIENCE, PROJECT_LIFE, PROJECT_TYPE, ProjectClaims, scope,
};
pub use ring::{KeyRing, KeyState, NotReady, Retirement, RingKey, UnknownKey};
