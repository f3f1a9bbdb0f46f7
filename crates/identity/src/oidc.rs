//! Identity providers: what proves that somebody signed in there, and that it is an
//! operator ([ADR 44](../../../docs/adr/0044-identity-providers.md), `protocol.md` §12).
//!
//! A [`Flow`] is the way of one browser to a provider and back; with an ID token that was
//! checked it becomes an [`Answered`]. Whom that signs in, a link says ([`OidcUse`]), which
//! only the operator's own device key makes ([`crate::account::OidcLink`]), of a
//! [`ProvenIdentity`]. What talks to providers is the server.

mod flow;
mod proven;
mod refusal;
mod using;

pub use flow::{Again, Answer, Answered, FLOW_LIFE, Flow, OidcClient};
pub use proven::{LINK_PROOF_LIFE, ProvenIdentity};
pub use refusal::OidcRefusal;
pub use using::OidcUse;

use crate::error::IdentityError;
use procura_crypto::MacKey;
use procura_proof::SessionKeys;

/// Whose key flows and link proofs are made under; no gate has keys of it.
const AUDIENCE: &str = "procura:oidc";

/// The key of an epoch, if that is still accepted.
fn mac_key(keys: &dyn SessionKeys, epoch: u32) -> Result<Option<MacKey>, IdentityError> {
    let key = keys.audience_key(epoch, AUDIENCE);
    Ok(key
        .map(|key| MacKey::from_bytes(key.expose()))
        .transpose()?)
}

/// The epoch that something is made in now, and its key.
fn current(keys: &dyn SessionKeys) -> Result<(u32, MacKey), IdentityError> {
    let sealed = procura_store::StoreError::Sealed;
    let epoch = keys.current();
    let key = match epoch {
        Some(epoch) => mac_key(keys, epoch)?,
        None => None,
    };
    epoch.zip(key).ok_or_else(|| sealed.into())
}
