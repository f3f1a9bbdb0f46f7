//! Tokens that other services verify by themselves, and the keys that sign them.
//!
//! No I/O and no clock: time, keys and random bytes are passed in.
//!
//! - [`Jws`] is a JWS in compact serialisation (RFC 7515 §7.1) with ES256 (RFC 7518
//!   §3.4) and nothing else; [`sign`] makes one.
//! - [`AgentClaims`] is what the token of an agent says; [`AgentClaims::verify`] is
//!   all that a verifier has to do.
//! - [`ProjectClaims`] is the same of the signed tokens of projects; [`OpaqueToken`] is
//!   one that says nothing.
//! - [`DaemonClaims`] is the same of the tokens of devices that joined by a device grant.
//! - [`KeySet`] is the JWK Set (RFC 7517 §5) that verifiers fetch.
//! - [`KeyRing`] is which key signs, which come next, and which have signed.

mod claims;
mod daemon;
mod error;
mod json;
mod jws;
mod key_set;
mod opaque;
mod project;
mod ring;

pub use claims::{AGENT_AUDIENCE, AGENT_TYPE, AgentClaims, Expected, SKEW, TOKEN_LIFE};
pub use daemon::{DAEMON_AUDIENCE, DAEMON_LIFE, DAEMON_TYPE, DaemonClaims};
pub use error::TokenError;
pub use jws::{Header, Jws, MAX_TOKEN, sign};
pub use key_set::{KEY_SET_LIFE, KeySet, MAX_KEY_SET};
pub use opaque::{OPAQUE_PREFIX, OpaqueToken};
pub use project::{
    Confirmation, PROJECT_AUDIENCE, PROJECT_LIFE, PROJECT_TYPE, ProjectClaims, scope,
};
pub use ring::{KeyRing, KeyState, NotReady, Retirement, RingKey, UnknownKey};
