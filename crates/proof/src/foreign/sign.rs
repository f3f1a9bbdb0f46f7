//! The client's side: the header fields of a foreign profile.

use super::parsed::{AGENT, AGENT_ID, NONCE, SIGNATURE, TIMESTAMP, VERSION};
use super::{AgentSecret, Foreign, guide_v1, hmac_v2, key_server_v1, timestamp};
use crate::message::{Message, RequestView};
use crate::reason::Case;
use crate::sign::SignError;
use procura_crypto::{SignatureAlgorithm, SigningKey, sha256};
use procura_types::{Entropy, ForeignId, Timestamp, encoding};

/// Bytes of a nonce.
const NONCE_BYTES: usize = 16;

/// With what to sign, and so by which profile.
#[derive(Clone, Copy)]
pub enum ForeignSigner<'a> {
    /// `key-server-v1`, with an Ed25519 key.
    KeyServerV1(&'a SigningKey),
    /// `guide-v1`, with an Ed25519 key.
    GuideV1(&'a SigningKey),
    /// `hmac-v1`, with the agent's secret.
    HmacV1(&'a AgentSecret),
    /// `hmac-v2`, with the agent's secret.
    HmacV2(&'a AgentSecret),
}

impl ForeignSigner<'_> {
    /// The profile.
    #[must_use]
    pub const fn profile(&self) -> Foreign {
        match self {
            Self::KeyServerV1(_) => Foreign::KeyServerV1,
            Self::GuideV1(_) => Foreign::GuideV1,
            Self::HmacV1(_) => Foreign::HmacV1,
            Self::HmacV2(_) => Foreign::HmacV2,
        }
    }
}

/// Proves `request` as `agent`: the fields to be added, names in lower case. The
/// request's own header fields are not looked at, no profile protects them.
///
/// # Errors
/// [`SignError`]; a key of another kind than Ed25519 is none that can sign.
pub fn sign(
    request: &RequestView<'_>,
    agent: &ForeignId,
    signer: ForeignSigner<'_>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Vec<(&'static str, String)>, SignError> {
    let refused = |case: Case| SignError::Request(case.detail());
    let message = Message::request(request).map_err(refused)?;
    let target = message.target.ok_or_else(|| refused(Case::TargetForm))?;
    let mut random = [0; NONCE_BYTES];
    entropy.fill(&mut random)?;
    let id = agent.as_str().to_owned();
    let millis = || now.as_millis().to_string();
    Ok(match signer {
        ForeignSigner::KeyServerV1(key) => {
            let (moment, nonce) = (timestamp::to_iso(now), encoding::hex(&random));
            let hash = sha256(request.body);
            let signed = key_server_v1::message(target.method, target.path, &moment, &nonce, &hash);
            let signature = encoding::b64_standard(&ed25519(key, &signed)?);
            vec![
                (AGENT_ID, id),
                (TIMESTAMP, moment),
                (NONCE, nonce),
                (SIGNATURE, signature),
            ]
        }
        ForeignSigner::GuideV1(key) => {
            let (moment, nonce) = (now.as_secs().to_string(), encoding::b64url_padded(&random));
            let signed =
                guide_v1::message(target.method, target.path, &moment, &nonce, request.body);
            let signature = encoding::b64url_padded(&ed25519(key, &signed)?);
            vec![
                (AGENT, id),
                (TIMESTAMP, moment),
                (NONCE, nonce),
                (SIGNATURE, signature),
            ]
        }
        ForeignSigner::HmacV1(secret) => vec![
            (AGENT_ID, id),
            (TIMESTAMP, millis()),
            (NONCE, encoding::hex(&random)),
            (SIGNATURE, encoding::hex(&secret.v1.sign(&[request.body]))),
        ],
        ForeignSigner::HmacV2(secret) => {
            let (moment, nonce) = (millis(), encoding::hex(&random));
            let hash = sha256(request.body);
            let signed = hmac_v2::message(&target, &moment, Some(&nonce), None, &hash);
            vec![
                (AGENT_ID, id),
                (TIMESTAMP, moment),
                (NONCE, nonce),
                (VERSION, "2".to_owned()),
                (SIGNATURE, encoding::hex(&secret.v2.sign(&[&signed]))),
            ]
        }
    })
}

fn ed25519(key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
    if key.public().algorithm() == SignatureAlgorithm::Ed25519 {
        Ok(key.sign(message)?)
    } else {
        Err(SignError::WrongKey)
    }
}
