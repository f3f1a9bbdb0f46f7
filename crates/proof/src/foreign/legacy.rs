//! `legacy`: what clients of CortexAuth prove themselves by while they are moved here
//! (`protocol.md` §3.8, ADR 43).
//!
//! A daemon names its session in `X-Daemon-Attestation`, and signs there by the key of its
//! process: time, a number that is good once, method, path, the hash of the body, and the
//! token that its request shows. To discover it shows a signature by the agent's own key
//! besides ([`AuthProof`]). Neither protects the authority or the query.
//!
//! Whoever saw such a request can make no other with it, so this is no weak profile; but it
//! opens what [`Caller::legacy`] leads to and nothing else.

mod session;

pub use session::{IssuedLegacySession, LEGACY_SESSION_LIFE, LegacySubject, issue_legacy};

use super::ForeignVerifier;
use super::caller::bound;
use super::keys::KeysUnavailable;
use super::parsed::{self, AGENT, AGENT_ID};
use super::pending::ForeignPending;
use super::timestamp;
use super::verify::{STAND_IN_SIGNATURE, check_clock, refusal};
use crate::agent_session::AgentKeyMark;
use crate::caller::{Caller, Profile};
use crate::guard::Windows;
use crate::message::{Fields, Headers};
use crate::reason::{Case, Refusal};
use crate::session::SessionKeys;
use procura_crypto::{PublicKey, sha256};
use procura_directory::{Snapshot, Suspect};
use procura_types::{ActorId, FieldTuple, ForeignId, Thumbprint, Timestamp, encoding};
use session::{LegacyBinding, LegacySession};
use std::hint::black_box;
use std::net::IpAddr;

/// The field by which a daemon proves a request, in lower case.
pub const ATTESTATION: &str = "x-daemon-attestation";

/// Where agents discover; a part of what their own key signs.
pub const DISCOVER: &str = "/agent/discover";

/// How far clocks may differ.
const WINDOWS: Windows = Windows {
    back: 300,
    forward: 300,
};

/// What tells the key of an agent from any other that it had or will have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyMark([u8; 32]);

impl LegacyMark {
    /// Of a key that the agent has now.
    #[must_use]
    pub fn of(agent: &ForeignId, key: &AgentKeyMark<'_>) -> Self {
        Self(key.digest(agent))
    }
}

/// What is on record for an agent.
#[derive(Debug, Clone)]
pub struct LegacyKey {
    /// Its own key: Ed25519; another kind verifies nothing.
    pub public: PublicKey,
    /// Which one that is.
    pub mark: LegacyMark,
    /// Whether the agent was revoked: its proofs are refused as that.
    pub revoked: bool,
}

/// Finds the keys of agents.
pub trait LegacyKeys: Send + Sync {
    /// What is on record now; `None` for an agent that is not known, or not any more.
    ///
    /// # Errors
    /// [`KeysUnavailable`], when the record cannot be read.
    fn find(&self, agent: &ForeignId) -> Result<Option<LegacyKey>, KeysUnavailable>;
}

/// A request of a daemon.
#[derive(Clone, Copy)]
pub struct LegacyRequest<'a> {
    /// All header fields.
    pub headers: &'a dyn Headers,
    /// The method.
    pub method: &'a str,
    /// The path, decoded, without a query.
    pub path: &'a str,
    /// The whole body.
    pub body: &'a [u8],
    /// The `auth_token_id` that it has to be signed for.
    pub token: &'a str,
}

/// A signature by the agent's own key, as it stands in the body of a discovery.
#[derive(Debug, Clone, Copy)]
pub struct AuthProof<'a> {
    /// The agent.
    pub agent: &'a ForeignId,
    /// When it says that it was made, in seconds since 1970.
    pub ts: u64,
    /// What is good once.
    pub nonce: &'a str,
    /// As sent.
    pub signature: &'a str,
}

/// The process of a daemon, proven. Only [`ForeignVerifier`] makes one, each is for one
/// request, and it cannot be copied.
#[derive(Debug)]
pub struct LegacyCaller {
    agent: ForeignId,
    binding: LegacyBinding,
    process: Thumbprint,
    session: [u8; 16],
    directory_seq: u64,
    jti: String,
    created: Timestamp,
    peer: IpAddr,
}

impl LegacyCaller {
    /// The agent that the session was given to.
    #[must_use]
    pub const fn agent(&self) -> &ForeignId {
        &self.agent
    }
}

/// `X-Daemon-Attestation` in its parts. Nothing of it is verified.
struct Shown<'a> {
    session: &'a str,
    /// As sent.
    moment: &'a str,
    created: Timestamp,
    jti: &'a str,
    body_sha256: &'a str,
    token: &'a str,
    signature: &'a str,
}

impl<'a> Shown<'a> {
    fn read(fields: &Fields<'a>) -> Result<Self, Case> {
        let others = [AGENT_ID, AGENT, "signature-input", "signature"];
        if others.iter().any(|name| fields.has(name)) {
            return Err(Case::MixedProfiles);
        }
        let line = parsed::line(fields, ATTESTATION, Case::LegacyForm)?;
        Self::parse(line.ok_or(Case::LegacyMissing)?).ok_or(Case::LegacyForm)
    }

    /// `session.ts.jti.body_sha256.auth_token_id.signature`; of these the token's id alone
    /// may have dots, as ids of agents have.
    fn parse(line: &'a str) -> Option<Self> {
        let (rest, signature) = line.rsplit_once('.')?;
        let mut parts = rest.splitn(5, '.');
        let shown = Self {
            session: parts.next()?,
            moment: parts.next()?,
            created: Timestamp::from_secs(0),
            jti: parts.next()?,
            body_sha256: parts.next()?,
            token: parts.next()?,
            signature,
        };
        let is_hash = shown.body_sha256.len() == 64
            && shown
                .body_sha256
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let sound = (1..=512).contains(&shown.session.len())
            && is_once(shown.jti)
            && is_hash
            && (1..=256).contains(&shown.token.len())
            && parsed::check_signature(shown.signature).is_ok();
        let created = timestamp::seconds(shown.moment)?;
        sound.then_some(Self { created, ..shown })
    }

    /// What the signature is over.
    fn message(&self, method: &str, path: &str) -> String {
        let parts = [
            self.moment,
            self.jti,
            method,
            path,
            self.body_sha256,
            self.token,
        ];
        parts.join("|")
    }
}

/// What may be a number that is good once: nothing in it parts one word that is signed from
/// the next.
fn is_once(text: &str) -> bool {
    (8..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The bytes of a signature; one that cannot be decoded is a bad one.
fn decoded(signature: &str) -> Option<[u8; 64]> {
    let bytes = encoding::from_b64_any(signature)?;
    bytes.as_slice().try_into().ok()
}

impl ForeignVerifier {
    /// All checks of a daemon's request but the last, whether it was used before: what is
    /// left goes to [`Self::finish`].
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies.
    pub fn prepare_legacy(
        &self,
        sessions: &dyn SessionKeys,
        keys: &dyn LegacyKeys,
        request: &LegacyRequest<'_>,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<ForeignPending<LegacyCaller>, Refusal> {
        let fields = Fields::of(request.headers);
        let shown = Shown::read(&fields)?;
        check_clock(WINDOWS, shown.created, now)?;
        let session = LegacySession::open(sessions, shown.session).ok_or(Case::SessionForeign)?;
        let refuse = |case| refusal(case, Some(session.agent.clone()));
        if now >= session.expires {
            return Err(refuse(Case::SessionOver));
        }
        let found = keys
            .find(&session.agent)
            .map_err(|_| refuse(Case::KeysUnavailable))?;
        let key = found.ok_or_else(|| refuse(Case::AgentUnknown))?;
        if key.revoked {
            return Err(refuse(Case::ActorRevoked));
        }
        if key.mark != session.mark {
            return Err(refuse(Case::SessionForeign));
        }
        let message = shown.message(request.method, request.path);
        let good = decoded(shown.signature)
            .is_some_and(|signature| session.process.verify(message.as_bytes(), &signature));
        if !good {
            return Err(refuse(Case::AgentSignatureRefused));
        }
        if shown.body_sha256 != encoding::hex(&sha256(request.body)) {
            return Err(refuse(Case::BodyChanged));
        }
        if shown.token != request.token {
            return Err(refuse(Case::LegacyTokenOther));
        }
        let process = session.process.thumbprint();
        let hash = sha256(shown.session.as_bytes());
        Ok(ForeignPending {
            agent: session.agent.clone(),
            key: process,
            once: Some(shown.jti.as_bytes().to_vec()),
            created: shown.created,
            now,
            ahead: WINDOWS.forward,
            yields: LegacyCaller {
                agent: session.agent,
                binding: session.binding,
                process,
                session: hash.first_chunk().copied().unwrap_or_default(),
                directory_seq: session.directory_seq,
                jti: shown.jti.to_owned(),
                created: shown.created,
                peer,
            },
        })
    }

    /// As [`Self::prepare_legacy`], of the signature by the agent's own key that a
    /// discovery has in its body.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies.
    pub fn prepare_auth_proof(
        &self,
        keys: &dyn LegacyKeys,
        proof: &AuthProof<'_>,
        now: Timestamp,
    ) -> Result<ForeignPending<()>, Refusal> {
        let refuse = |case| refusal(case, Some(proof.agent.clone()));
        if !is_once(proof.nonce) || parsed::check_signature(proof.signature).is_err() {
            return Err(refuse(Case::LegacyForm));
        }
        let created = Timestamp::from_secs(proof.ts);
        check_clock(WINDOWS, created, now).map_err(refuse)?;
        let found = keys
            .find(proof.agent)
            .map_err(|_| refuse(Case::KeysUnavailable))?;
        // Verified whatever is known, so that the time tells nothing of it.
        let message = auth_proof_message(proof.ts, proof.nonce, proof.agent);
        let decoded = decoded(proof.signature);
        let signature = decoded.as_ref().map_or(STAND_IN_SIGNATURE, |bytes| bytes);
        let public = found
            .as_ref()
            .map_or(&self.stand_in_public, |key| &key.public);
        let good = black_box(public.verify(message.as_bytes(), signature));
        let key = found.ok_or_else(|| refuse(Case::AgentUnknown))?;
        if key.revoked {
            return Err(refuse(Case::ActorRevoked));
        }
        if !good || decoded.is_none() {
            return Err(refuse(Case::AgentSignatureRefused));
        }
        Ok(ForeignPending {
            agent: proof.agent.clone(),
            // Not the agent: under one key of two agents it could be used once for each.
            key: key.public.thumbprint(),
            once: Some(proof.nonce.as_bytes().to_vec()),
            created,
            now,
            ahead: WINDOWS.forward,
            yields: (),
        })
    }
}

/// What the agent's own key signs to discover: `ts|nonce|agent_id|/agent/discover`.
fn auth_proof_message(ts: u64, nonce: &str, agent: &ForeignId) -> String {
    format!("{ts}|{nonce}|{agent}|{DISCOVER}")
}

impl Caller {
    /// The agent of ours on whose behalf a daemon of CortexAuth asks. Policy lets it do a
    /// few things only.
    ///
    /// # Errors
    /// As [`Self::foreign`]; [`Case::SessionForeign`] for a session from another binding of
    /// the id, or from before it was let out of quarantine.
    pub fn legacy(proven: LegacyCaller, directory: &Snapshot) -> Result<Self, Refusal> {
        let caller = Self::logged_in(&proven.agent, directory, proven.created, proven.peer)?;
        let bound = directory.foreign(&proven.agent);
        let is_bound = bound.is_some_and(|bound| LegacyBinding::of(bound) == proven.binding);
        let suspect = Suspect::of(caller.device(), Some(&proven.agent));
        let since = |one: Suspect| directory.was_let_out_since(&one, proven.directory_seq);
        if !is_bound || suspect.is_some_and(since) {
            return Err(refusal(Case::SessionForeign, Some(proven.agent)));
        }
        Ok(Self {
            process: Some(Box::new(proven.process)),
            session: Some(proven.session),
            nonce: Some(proven.jti),
            ..caller
        })
    }

    /// Whoever shows that a person approved the login of a client of CortexAuth as this
    /// agent: by a device code, or by the token that it led to. The caller of this has
    /// verified that. Policy lets it log in and attest, and nothing else.
    ///
    /// # Errors
    /// As [`Self::foreign`].
    pub fn logged_in(
        agent: &ForeignId,
        directory: &Snapshot,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Self, Refusal> {
        let (actor, device) = bound(agent, peer, directory)?;
        Ok(Self {
            actor: actor.id,
            owner: actor.owner,
            device,
            foreign: Some(agent.clone()),
            ..Self::logging_in(directory, now, peer)
        })
    }

    /// A client of CortexAuth that asks to log in. It is nobody yet: an id of its own that
    /// no owner or agent can have, `SHA-256(T("procura.actor.legacy-login.v1"))`.
    #[must_use]
    pub fn logging_in(directory: &Snapshot, now: Timestamp, peer: IpAddr) -> Self {
        let id = FieldTuple::new("procura.actor.legacy-login.v1");
        let id = ActorId::from_bytes(sha256(id.as_bytes()));
        Self {
            peer: Some(peer),
            ..Self::bare((id, id), Profile::Legacy, directory.seq(), now)
        }
    }
}
