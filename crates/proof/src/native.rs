//! The native profile: what a proof has to look like (`protocol.md` §3.1).

use crate::guard::Windows;
use crate::input::{self, SignatureInput};
use crate::message::{Message, RequestView};
use crate::reason::Case;
use crate::{base, digest};
use procura_crypto::SignatureAlgorithm;
use procura_types::{Thumbprint, Timestamp, encoding};
use std::cmp::Ordering;

/// The tag of our signatures.
pub const TAG: &str = "procura-v1";
/// `alg` of sessions.
pub(crate) const HMAC: &str = "hmac-sha256";

/// What every signature covers.
pub(crate) const TARGET: [&str; 4] = ["@method", "@authority", "@path", "@query"];

/// A proof of good form. Nothing of it is verified yet.
pub(crate) struct Proof {
    pub(crate) key: Key,
    pub(crate) created: u64,
    expires: Option<u64>,
    pub(crate) signature: Vec<u8>,
    /// What the signature is over.
    pub(crate) base: String,
    /// The SHA-256 that the covered `Content-Digest` names.
    pub(crate) digest: Option<[u8; 32]>,
}

/// By which key.
pub(crate) enum Key {
    Device {
        thumbprint: Thumbprint,
        algorithm: SignatureAlgorithm,
        /// As sent.
        nonce_text: String,
        nonce: Vec<u8>,
    },
    Session {
        id: String,
        counter: u64,
    },
}

/// Reads the proof out of a request: the step shape. Where there is a body, whether
/// it is here or follows, the proof has to cover it.
pub(crate) fn read(request: &RequestView<'_>, has_body: bool) -> Result<Proof, Case> {
    let message = Message::request(request)?;
    let fields = &message.fields;
    let input = fields.joined("signature-input").ok_or(Case::NoSignature)?;
    let signature = fields.joined("signature").ok_or(Case::NoSignature)?;
    let mut own = input::parse_input(&input)?
        .into_iter()
        .filter(|member| member.text("tag") == Some(TAG));
    let input = own.next().ok_or(Case::NoOwnTag)?;
    if own.next().is_some() {
        return Err(Case::TwoSignatures);
    }
    if fields.any(|name| name.starts_with("x-agent")) {
        return Err(Case::MixedProfiles);
    }
    let signature = input::parse_signature(&signature, input.label.as_str())?;
    let key = read_key(&input)?;
    let created = input.integer("created").ok_or(Case::ParameterMissing)?;
    let expires = match input.parameter("expires") {
        None => None,
        Some(_) => Some(input.integer("expires").ok_or(Case::ParameterMissing)?),
    };
    check_coverage(&message, &input, has_body)?;
    let base = base::build(&message, &input)?;
    let digest = if input.covers("content-digest") {
        let field = message
            .fields
            .joined("content-digest")
            .ok_or(Case::ComponentAbsent)?;
        Some(digest::sha256_of(&field)?)
    } else {
        None
    };
    Ok(Proof {
        key,
        created,
        expires,
        signature,
        base,
        digest,
    })
}

fn read_key(input: &SignatureInput<'_>) -> Result<Key, Case> {
    let parameter = |name| input.text(name).ok_or(Case::ParameterMissing);
    let (alg, keyid, nonce) = (parameter("alg")?, parameter("keyid")?, parameter("nonce")?);
    let algorithm = match alg {
        "ed25519" => SignatureAlgorithm::Ed25519,
        "ecdsa-p256-sha256" => SignatureAlgorithm::EcdsaP256Sha256,
        HMAC => {
            let counter = read_counter(nonce).ok_or(Case::CounterForm)?;
            return Ok(Key::Session {
                id: keyid.to_owned(),
                counter,
            });
        }
        _ => return Err(Case::AlgorithmUnknown),
    };
    let bytes = encoding::from_b64url("nonce", nonce).map_err(|_| Case::NonceForm)?;
    if !(16..=48).contains(&bytes.len()) {
        return Err(Case::NonceForm);
    }
    Ok(Key::Device {
        thumbprint: keyid.parse().map_err(|_| Case::KeyIdForm)?,
        algorithm,
        nonce_text: nonce.to_owned(),
        nonce: bytes,
    })
}

/// Decimal, in its one spelling.
fn read_counter(text: &str) -> Option<u64> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn check_coverage(
    message: &Message<'_>,
    input: &SignatureInput<'_>,
    has_body: bool,
) -> Result<(), Case> {
    let uncovered = |name: &str| !input.covers(name);
    if TARGET.iter().any(|name| uncovered(name)) {
        return Err(Case::TargetNotCovered);
    }
    if has_body && (uncovered("content-digest") || uncovered("content-type")) {
        return Err(Case::BodyNotCovered);
    }
    if message.fields.has("content-encoding") && uncovered("content-encoding") {
        return Err(Case::EncodingNotCovered);
    }
    if message.fields.has("authorization") && uncovered("authorization") {
        return Err(Case::AuthorizationNotCovered);
    }
    Ok(())
}

/// The step clock.
pub(crate) fn check_clock(proof: &Proof, now: Timestamp) -> Result<(), Case> {
    match Windows::NATIVE.place(Timestamp::from_secs(proof.created), now) {
        Ordering::Less => Err(Case::TooOld),
        Ordering::Greater => Err(Case::TooNew),
        Ordering::Equal => match proof.expires {
            Some(expires) if now.as_secs() > expires => Err(Case::SignatureExpired),
            _ => Ok(()),
        },
    }
}
