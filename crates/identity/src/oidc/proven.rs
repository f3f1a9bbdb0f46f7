//! Who signed in at a provider, and how they show that elsewhere to be linked.

use super::{OidcRefusal, current, mac_key};
use crate::error::IdentityError;
use procura_crypto::sha256;
use procura_proof::SessionKeys;
use procura_token::IdToken;
use procura_types::{Duration, FieldTuple, IdentityId, Label, Timestamp, encoding, plain};
use serde::{Deserialize, Serialize};

/// How long a link proof can be used.
pub const LINK_PROOF_LIFE: Duration = Duration::from_secs(600);

/// The longest link proof that is looked at.
const LONGEST: usize = 4096;
/// Epoch, end, tag.
const SEAL_BYTES: usize = 4 + 8 + 32;

/// A subject of a provider that was just proven to be there, or was a few minutes ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenIdentity {
    provider: Label,
    issuer: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    called: Option<String>,
}

impl ProvenIdentity {
    /// Of an ID token that was checked.
    pub(super) fn vouched(provider: &Label, issuer: &str, token: &IdToken) -> Self {
        let called = token
            .called
            .as_deref()
            .map(|text| plain(text).replace('\n', " "));
        Self {
            provider: provider.clone(),
            issuer: issuer.to_owned(),
            subject: token.subject.clone(),
            called,
        }
    }

    /// Its id: the SHA-256 of issuer and subject, and of nothing that changes.
    #[must_use]
    pub fn id(&self) -> IdentityId {
        let tuple = FieldTuple::new("procura.identity.oidc.v1")
            .text(&self.issuer)
            .text(&self.subject);
        IdentityId::from_bytes(sha256(tuple.as_bytes()))
    }

    /// The provider, by its name in the configuration.
    #[must_use]
    pub const fn provider(&self) -> &Label {
        &self.provider
    }

    /// The provider, by its own.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who, at that provider.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the provider calls them, for people.
    #[must_use]
    pub fn called(&self) -> Option<&str> {
        self.called.as_deref()
    }

    fn message(body: &[u8], expires: Timestamp) -> Vec<u8> {
        FieldTuple::new("procura.oidc.link-proof.v1")
            .u64(expires.as_millis())
            .bytes(body)
            .into_bytes()
    }

    /// What shows for ten minutes that it was proven: the identity as JSON and a MAC of
    /// ours, each as base64url. It is no secret, and links nothing by itself.
    ///
    /// # Errors
    /// [`IdentityError::Locked`]; a store that is sealed.
    pub fn link_proof(
        &self,
        keys: &dyn SessionKeys,
        now: Timestamp,
    ) -> Result<String, IdentityError> {
        let (epoch, key) = current(keys)?;
        let expires = now.plus(LINK_PROOF_LIFE);
        // A struct of texts is always written.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let tag = key.sign(&[&Self::message(&body, expires)]);
        let seal = [
            &epoch.to_be_bytes()[..],
            &expires.as_millis().to_be_bytes(),
            &tag,
        ]
        .concat();
        Ok(format!(
            "{}.{}",
            encoding::b64url(&body),
            encoding::b64url(&seal)
        ))
    }

    /// The identity that a link proof shows.
    ///
    /// # Errors
    /// [`OidcRefusal::ProofUnknown`], [`OidcRefusal::ProofExpired`].
    pub fn read(
        keys: &dyn SessionKeys,
        proof: &str,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let unknown = OidcRefusal::ProofUnknown;
        if proof.len() > LONGEST {
            return Err(unknown.into());
        }
        let (body, seal) = proof.split_once('.').ok_or(unknown)?;
        let body = encoding::from_b64url("proof", body).map_err(|_| unknown)?;
        let seal: [u8; SEAL_BYTES] =
            encoding::from_b64url_fixed("proof", seal).map_err(|_| unknown)?;
        let (epoch, rest) = seal.split_first_chunk::<4>().ok_or(unknown)?;
        let (expires, tag) = rest.split_first_chunk::<8>().ok_or(unknown)?;
        let expires = Timestamp::from_millis(u64::from_be_bytes(*expires));
        let key = mac_key(keys, u32::from_be_bytes(*epoch))?.ok_or(unknown)?;
        if !key.verify(&[&Self::message(&body, expires)], tag) {
            return Err(unknown.into());
        }
        if expires <= now {
            return Err(OidcRefusal::ProofExpired.into());
        }
        Ok(serde_json::from_slice(&body).map_err(|_| unknown)?)
    }
}
