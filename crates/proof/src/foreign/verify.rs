//! The checks in their order (`protocol.md` §3.3) for the profiles of others.

use super::parsed::{self, AGENT, AGENT_ID, Parsed};
use super::pending::ForeignPending;
use super::shape::{self, Shown};
use super::{
    AgentSecret, Foreign, ForeignCaller, ForeignKey, ForeignKeys, HmacV1, guide_v1, hmac_v1,
    hmac_v2, key_server_v1, timestamp,
};
use crate::guard::{Guard, Windows};
use crate::message::{Message, RequestView, is_token};
use crate::reason::{Case, Refusal};
use procura_crypto::{KeyError, PublicKey, SignatureAlgorithm, sha256};
use procura_types::{FieldTuple, ForeignId, Thumbprint, Timestamp, encoding};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::hint::black_box;
use std::net::IpAddr;

/// The base point of edwards25519 (RFC 8032 §5.1), encoded.
const BASE_POINT: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

/// What is verified in place of a signature that cannot be decoded: of good form,
/// so that it takes as long, and of nobody. R is the base point, S is 1.
pub(super) const STAND_IN_SIGNATURE: &[u8] = [BASE_POINT, SCALAR_ONE].as_flattened();
const SCALAR_ONE: [u8; 32] = {
    let mut one = [0; 32];
    one[0] = 1;
    one
};

/// What a service lets in beyond what every service does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `hmac-v1`, and how; off by default, since it protects next to nothing.
    pub hmac_v1: Option<HmacV1>,
}

/// A `key-server-v1` proof in its parts, as a service hands it on.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The agent that it names.
    pub agent: &'a ForeignId,
    /// `X-Timestamp` as sent.
    pub timestamp: &'a str,
    /// `X-Nonce` as sent.
    pub nonce: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The path of the request without its query.
    pub path: &'a str,
    /// The SHA-256 of the body.
    pub body_sha256: &'a [u8; 32],
    /// `X-Signature` as sent.
    pub signature: &'a str,
}

/// Verifies the proofs of other systems. Its guard has to be one for
/// [`Windows::FOREIGN`] and shared by all verifiers of one set of keys.
pub struct ForeignVerifier {
    guard: Guard,
    pub(super) stand_in_public: PublicKey,
    stand_in_secret: AgentSecret,
}

impl ForeignVerifier {
    /// A verifier that uses proofs up in this guard.
    ///
    /// # Errors
    /// When there is no locked memory, or the cryptographic library does not take
    /// the keys that stand in for unknown ones.
    pub fn new(guard: impl Into<Guard>) -> Result<Self, KeyError> {
        Ok(Self {
            guard: guard.into(),
            stand_in_public: PublicKey::from_ed25519(&BASE_POINT)?,
            stand_in_secret: AgentSecret::new("nobody has this secret, and it opens nothing")?,
        })
    }

    /// All checks but the last, whether the proof was used before: what is left of
    /// them goes to [`Self::finish`].
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies.
    pub fn prepare(
        &self,
        keys: &dyn ForeignKeys,
        request: &RequestView<'_>,
        allowed: &Allowed,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<ForeignPending<ForeignCaller>, Refusal> {
        self.check(keys, request, Sent::Whole(request.body), allowed, now, peer)
    }

    /// As [`Self::prepare`], of a body of which only the SHA-256 is known; that of
    /// `request` is not looked at.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies; [`Case::BodyChanged`] for a
    /// profile that signs the body itself ([`Foreign::signs_digest`]).
    pub fn prepare_hashed(
        &self,
        keys: &dyn ForeignKeys,
        request: &RequestView<'_>,
        body_sha256: [u8; 32],
        allowed: &Allowed,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<ForeignPending<ForeignCaller>, Refusal> {
        let sent = Sent::Hashed(body_sha256);
        self.check(keys, request, sent, allowed, now, peer)
    }

    /// As [`Self::prepare`], of a `key-server-v1` proof that somebody hands on.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies. Cases of the step shape
    /// say that a part has no acceptable form.
    pub fn prepare_presented(
        &self,
        keys: &dyn ForeignKeys,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<ForeignPending<()>, Refusal> {
        let refuse = |case| refusal(case, Some(presented.agent.clone()));
        let parsed = read_presented(presented).map_err(refuse)?;
        check_clock(Foreign::KeyServerV1.windows(), parsed.created, now).map_err(refuse)?;
        let proven = self.check_key(Foreign::KeyServerV1, keys, &parsed)?;
        Ok(ForeignPending {
            agent: presented.agent.clone(),
            key: proven.key,
            once: proven.once.map(Cow::into_owned),
            created: parsed.created,
            now,
            ahead: ahead(Foreign::KeyServerV1),
            yields: (),
        })
    }

    /// Uses the proof up: what it yields, or why it is refused. With a guard of this
    /// process it does not wait.
    ///
    /// # Errors
    /// The cases of the step replay.
    pub async fn finish<T>(&self, pending: ForeignPending<T>) -> Result<T, Refusal> {
        let claimed = match pending.claim() {
            Some(claim) => Some(self.guard.claim(&claim).await),
            None => None,
        };
        pending.settle(claimed)
    }

    /// Who made the request, or why it is refused. Each proof is good for one
    /// call; an `hmac-v1` proof without a nonce, which is known as a weak one,
    /// for as many as its window takes. Only with a guard of this process; a shared
    /// one is for [`Self::finish`], and `verifier_unavailable` here.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies.
    pub fn verify(
        &self,
        keys: &dyn ForeignKeys,
        request: &RequestView<'_>,
        allowed: &Allowed,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<ForeignCaller, Refusal> {
        self.finish_now(self.prepare(keys, request, allowed, now, peer)?)
    }

    /// As [`Self::verify`], of what [`Self::prepare_presented`] prepares.
    ///
    /// # Errors
    /// As both.
    pub fn verify_presented(
        &self,
        keys: &dyn ForeignKeys,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.finish_now(self.prepare_presented(keys, presented, now)?)
    }

    fn finish_now<T>(&self, pending: ForeignPending<T>) -> Result<T, Refusal> {
        let claimed = pending.claim().map(|claim| self.guard.claim_now(&claim));
        pending.settle(claimed)
    }

    fn check(
        &self,
        keys: &dyn ForeignKeys,
        request: &RequestView<'_>,
        sent: Sent<'_>,
        allowed: &Allowed,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<ForeignPending<ForeignCaller>, Refusal> {
        let message = Message::request(request)?;
        let Shown::Foreign(profile) = shape::shown(&message.fields)? else {
            return Err(Case::NoProof.into());
        };
        let refuse = |case| {
            let field = match profile {
                Foreign::GuideV1 => AGENT,
                Foreign::KeyServerV1 | Foreign::HmacV1 | Foreign::HmacV2 => AGENT_ID,
            };
            refusal(case, parsed::agent(&message.fields, field).ok())
        };
        let parsed = read(profile, &message, sent).map_err(refuse)?;
        let windows = admit(profile, &parsed, allowed).map_err(refuse)?;
        check_clock(windows, parsed.created, now).map_err(refuse)?;
        let proven = self.check_key(profile, keys, &parsed)?;
        let (key, once) = (proven.key, proven.once.map(Cow::into_owned));
        Ok(ForeignPending {
            agent: parsed.agent.clone(),
            key,
            once,
            created: parsed.created,
            now,
            ahead: ahead(profile),
            yields: ForeignCaller {
                agent: parsed.agent,
                profile,
                nonce: parsed.nonce.map(str::to_owned),
                session: parsed.session.map(str::to_owned),
                created: parsed.created,
                peer,
            },
        })
    }

    /// The steps key and signature.
    fn check_key<'p>(
        &self,
        profile: Foreign,
        keys: &dyn ForeignKeys,
        parsed: &'p Parsed<'_>,
    ) -> Result<Proven<'p>, Refusal> {
        let refuse = |case| refusal(case, Some(parsed.agent.clone()));
        let key = keys
            .find(&parsed.agent)
            .map_err(|_| refuse(Case::KeysUnavailable))?
            .unwrap_or_default();
        let proven = match profile {
            Foreign::KeyServerV1 | Foreign::GuideV1 => self.check_signature(&key, parsed),
            Foreign::HmacV1 | Foreign::HmacV2 => self.check_mac(profile, &key, parsed),
        };
        // Known and not active comes before the signature, which was verified for
        // the time that it takes.
        if key.revoked {
            return Err(refuse(Case::ActorRevoked));
        }
        proven.map_err(refuse)
    }

    /// A signature is verified whatever is known: the time tells neither whether
    /// there is such an agent nor whether the signature could be decoded.
    fn check_signature<'p>(
        &self,
        key: &ForeignKey,
        parsed: &'p Parsed<'_>,
    ) -> Result<Proven<'p>, Case> {
        let known = key
            .public
            .as_ref()
            .filter(|key| key.algorithm() == SignatureAlgorithm::Ed25519);
        let decoded: Option<[u8; 64]> = encoding::from_b64_any(parsed.signature)
            .and_then(|bytes| bytes.as_slice().try_into().ok());
        let signature = decoded.as_ref().map_or(STAND_IN_SIGNATURE, |bytes| bytes);
        let good = black_box(
            known
                .unwrap_or(&self.stand_in_public)
                .verify(&parsed.message, signature),
        );
        let key = known.ok_or(Case::AgentUnknown)?;
        if !good || decoded.is_none() {
            return Err(Case::AgentSignatureRefused);
        }
        Ok(Proven {
            // Not the agent: what is signed does not name it, so that under one
            // key of two agents it could be used once for each.
            key: key.thumbprint(),
            once: parsed.nonce.map(|nonce| Cow::Borrowed(nonce.as_bytes())),
        })
    }

    /// Tags of all secrets are computed, and one of a stand-in where there are
    /// none. (The time may tell that a known agent has two secrets just now.)
    fn check_mac<'p>(
        &self,
        profile: Foreign,
        key: &ForeignKey,
        parsed: &'p Parsed<'_>,
    ) -> Result<Proven<'p>, Case> {
        let key_of = |secret: &'_ AgentSecret, tag: &[u8; 32]| {
            let mac = match profile {
                Foreign::HmacV2 => &secret.v2,
                Foreign::KeyServerV1 | Foreign::GuideV1 | Foreign::HmacV1 => &secret.v1,
            };
            mac.verify(&[&parsed.message], tag)
        };
        // Lower case only: the format has one spelling.
        let decoded = encoding::from_hex_fixed::<32>(parsed.signature)
            .filter(|tag| encoding::hex(tag) == parsed.signature);
        let tag = decoded.unwrap_or_default();
        if key.secrets.is_empty() {
            black_box(key_of(&self.stand_in_secret, &tag));
            return Err(Case::AgentUnknown);
        }
        let mut good = false;
        for secret in &key.secrets {
            good |= key_of(secret, &tag);
        }
        if !good || decoded.is_none() {
            return Err(Case::AgentMacRefused);
        }
        let once = match parsed.nonce {
            Some(nonce) => Some(Cow::Borrowed(nonce.as_bytes())),
            // The tag is over all that makes a request, its millisecond too.
            None if profile == Foreign::HmacV2 => Some(Cow::Owned(tag.to_vec())),
            None => None,
        };
        Ok(Proven {
            key: replay_key(profile, &parsed.agent),
            once,
        })
    }
}

/// What is left to do once a proof is verified.
struct Proven<'a> {
    /// What the nonce belongs to.
    key: Thumbprint,
    /// What may be used once; `None` when there is nothing of the kind.
    once: Option<Cow<'a, [u8]>>,
}

/// What stands for the key of an agent's secrets in the guard: the agent, so that
/// a nonce stays used while secrets change, and the profile, since whoever has
/// seen one `hmac-v1` request can use up any number of nonces there.
fn replay_key(profile: Foreign, agent: &ForeignId) -> Thumbprint {
    let tuple = FieldTuple::new("procura.foreign.replay.v1")
        .text(profile.as_str())
        .text(agent.as_str());
    Thumbprint::from_bytes(sha256(tuple.as_bytes()))
}

/// What is known of a body.
#[derive(Clone, Copy)]
enum Sent<'a> {
    Whole(&'a [u8]),
    Hashed([u8; 32]),
}

impl<'a> Sent<'a> {
    fn hash(self) -> [u8; 32] {
        match self {
            Self::Whole(body) => sha256(body),
            Self::Hashed(hash) => hash,
        }
    }

    fn body(self) -> Result<&'a [u8], Case> {
        match self {
            Self::Whole(body) => Ok(body),
            // Nothing tells whether a body that is not here is the one that was signed.
            Self::Hashed(_) => Err(Case::BodyChanged),
        }
    }
}

/// The step shape of a profile.
fn read<'a>(profile: Foreign, message: &Message<'a>, sent: Sent<'a>) -> Result<Parsed<'a>, Case> {
    let fields = &message.fields;
    let target = message.target.as_ref().ok_or(Case::TargetForm)?;
    match profile {
        Foreign::KeyServerV1 => key_server_v1::read(fields, target, &sent.hash()),
        Foreign::GuideV1 => guide_v1::read(fields, target, sent.body()?),
        Foreign::HmacV1 => hmac_v1::read(fields, sent.body()?),
        Foreign::HmacV2 => hmac_v2::read(fields, target, &sent.hash()),
    }
}

fn read_presented<'a>(presented: &Presented<'a>) -> Result<Parsed<'a>, Case> {
    // Anything but a line feed would do for what is signed to have one meaning.
    let sound = !presented.method.is_empty()
        && presented.method.bytes().all(is_token)
        && presented.path.starts_with('/')
        && !presented.path.chars().any(char::is_control);
    if !sound {
        return Err(Case::TargetForm);
    }
    key_server_v1::check_nonce(presented.nonce)?;
    parsed::check_signature(presented.signature)?;
    Ok(Parsed {
        agent: presented.agent.clone(),
        created: timestamp::iso(presented.timestamp).ok_or(Case::TimestampForm)?,
        nonce: Some(presented.nonce),
        session: None,
        signature: presented.signature,
        message: Cow::Owned(key_server_v1::message(
            presented.method,
            presented.path,
            presented.timestamp,
            presented.nonce,
            presented.body_sha256,
        )),
    })
}

/// How far ahead any service lets proofs of a profile be made.
const fn ahead(profile: Foreign) -> u64 {
    match profile {
        // The window of one service may be changed, and the proof stays the same.
        Foreign::HmacV1 => HmacV1::WIDEST,
        Foreign::KeyServerV1 | Foreign::GuideV1 | Foreign::HmacV2 => profile.windows().forward,
    }
}

/// Whether the service lets the profile in, and with which windows.
fn admit(profile: Foreign, parsed: &Parsed<'_>, allowed: &Allowed) -> Result<Windows, Case> {
    if profile != Foreign::HmacV1 {
        return Ok(profile.windows());
    }
    let rules = allowed.hmac_v1.ok_or(Case::ProfileOff)?;
    if rules.nonce_required() && parsed.nonce.is_none() {
        return Err(Case::ForeignMissing);
    }
    Ok(rules.windows())
}

pub(super) fn check_clock(
    windows: Windows,
    created: Timestamp,
    now: Timestamp,
) -> Result<(), Case> {
    match windows.place(created, now) {
        Ordering::Less => Err(Case::ForeignTooOld),
        Ordering::Greater => Err(Case::ForeignTooNew),
        Ordering::Equal => Ok(()),
    }
}

pub(super) fn refusal(case: Case, agent: Option<ForeignId>) -> Refusal {
    Refusal {
        agent,
        ..case.into()
    }
}
