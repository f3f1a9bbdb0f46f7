//! The checks in their order (`protocol.md` §3.3): shape, clock, key, signature,
//! body digest, replay claim.

use crate::answer::Answering;
use crate::caller::{Caller, Profile};
use crate::guard::Guard;
use crate::message::RequestView;
use crate::native::{self, Key, Proof};
use crate::pending::Pending;
use crate::reason::{Case, Refusal};
use crate::session::{Attested, SessionFault, SessionKeys};
use crate::session_cache::SessionCache;
use procura_crypto::{KeyError, PublicKey, SignatureAlgorithm, sha256};
use procura_directory::Snapshot;
use procura_types::wire::PublicJwk;
use procura_types::{ActorId, GuardGeneration, Thumbprint, Timestamp};
use std::net::IpAddr;
use std::sync::Arc;

/// A body that follows its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The proof has to cover it.
    Signed,
    /// The proof need not cover it: whoever is in between can change it.
    Unsigned,
}

/// Verifies requests for one audience. One per process: it remembers sessions
/// that it opened.
pub struct Verifier {
    audience: String,
    guard: Guard,
    keys: Arc<dyn SessionKeys>,
    sessions: SessionCache,
    stand_in_ed25519: PublicKey,
    stand_in_p256: PublicKey,
}

impl Verifier {
    /// A verifier for sessions of `audience` (`procura` for the server itself).
    ///
    /// # Errors
    /// When the cryptographic library does not take the keys that stand in for
    /// unknown ones; it works for nothing else then either.
    pub fn new(
        audience: &str,
        guard: impl Into<Guard>,
        keys: Arc<dyn SessionKeys>,
    ) -> Result<Self, KeyError> {
        // The base points of the two curves: points like any other, known to
        // everybody, and of keys that are never let in.
        let jwk = |kty: &str, crv: &str, x: &str, y: Option<&str>| PublicJwk {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x: x.to_owned(),
            y: y.map(ToOwned::to_owned),
        };
        Ok(Self {
            audience: audience.to_owned(),
            guard: guard.into(),
            keys,
            sessions: SessionCache::new(),
            stand_in_ed25519: PublicKey::from_jwk(&jwk(
                "OKP",
                "Ed25519",
                "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY",
                None,
            ))?,
            stand_in_p256: PublicKey::from_jwk(&jwk(
                "EC",
                "P-256",
                "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
                Some("T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"),
            ))?,
        })
    }

    /// All checks but the last, whether the proof was used before: what is left of
    /// them goes to [`Self::finish`]. It costs no more to drop it, and nothing is
    /// used up then.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies.
    pub fn prepare(
        &self,
        directory: &Snapshot,
        request: &RequestView<'_>,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Pending, Refusal> {
        let proof = native::read(request, !request.body.is_empty())?;
        self.check(directory, proof, Some(request.body), now, peer)
    }

    /// As [`Self::prepare`], before the body is here, which is not looked at in
    /// `request`. [`Pending::digest`] is the SHA-256 that the proof covers: whoever
    /// takes the body has to hold it against that, since the proof is used up.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies; a proof that covers no
    /// digest, unless `body` is [`Awaited::Unsigned`], is among them.
    pub fn prepare_head(
        &self,
        directory: &Snapshot,
        request: &RequestView<'_>,
        body: Awaited,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Pending, Refusal> {
        let proof = native::read(request, body == Awaited::Signed)?;
        self.check(directory, proof, None, now, peer)
    }

    /// Uses the proof up: who made the request, or why it is refused. With a guard of
    /// this process it does not wait.
    ///
    /// # Errors
    /// The cases of the step replay.
    pub async fn finish(&self, pending: Pending) -> Result<Caller, Refusal> {
        let claimed = self.guard.claim(&pending.claim()).await;
        pending.settle(claimed)
    }

    /// Who made the request, or why it is refused. Each proof is good for one
    /// call: the nonce or counter is used up when all else is in order. Only with a
    /// guard of this process; a shared one is for [`Self::finish`], and
    /// `verifier_unavailable` here.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies.
    pub fn verify(
        &self,
        directory: &Snapshot,
        request: &RequestView<'_>,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Caller, Refusal> {
        self.finish_now(self.prepare(directory, request, now, peer)?)
    }

    /// As [`Self::verify`], before the body is here: [`Self::prepare_head`] and the
    /// digest that comes of it.
    ///
    /// # Errors
    /// As both.
    pub fn verify_head(
        &self,
        directory: &Snapshot,
        request: &RequestView<'_>,
        body: Awaited,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<(Caller, Option<[u8; 32]>), Refusal> {
        let pending = self.prepare_head(directory, request, body, now, peer)?;
        let digest = pending.digest();
        Ok((self.finish_now(pending)?, digest))
    }

    fn finish_now(&self, pending: Pending) -> Result<Caller, Refusal> {
        let claimed = self.guard.claim_now(&pending.claim());
        pending.settle(claimed)
    }

    /// The steps between shape and replay; that of the digest for a body that is here.
    fn check(
        &self,
        directory: &Snapshot,
        proof: Proof,
        body: Option<&[u8]>,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Pending, Refusal> {
        let (device, who) = match &proof.key {
            Key::Device {
                thumbprint,
                algorithm,
                ..
            } => {
                native::check_clock(&proof, now).map_err(|case| about(case, thumbprint, None))?;
                let who = self.check_device(directory, &proof, thumbprint, *algorithm)?;
                (
                    *thumbprint,
                    Who {
                        actor: who.0,
                        owner: who.1,
                        session: None,
                    },
                )
            }
            Key::Session { id, .. } => {
                native::check_clock(&proof, now)?;
                self.check_session(directory, &proof, id, now)?
            }
        };
        if let (Some(digest), Some(body)) = (proof.digest, body)
            && sha256(body) != digest
        {
            return Err(about(Case::BodyChanged, &device, Some(&who.actor)));
        }
        if !directory.admits(&who.actor, peer) {
            return Err(about(Case::AddressRefused, &device, Some(&who.actor)));
        }
        // One on hold still has a say in what is proposed to stewards, and the decision
        // refuses it all else. Gates know no holds, and refuse it here.
        if directory.is_quarantined(Some(&device), None) && directory.on_hold(&device).is_none() {
            return Err(about(Case::DeviceQuarantined, &device, Some(&who.actor)));
        }
        let profile = if who.session.is_some() {
            Profile::Session
        } else {
            Profile::Native
        };
        let session = who.session.as_deref().map(crate::session::Session::name);
        let (nonce, nonce_text, answering) = match (proof.key, who.session) {
            (
                Key::Device {
                    nonce, nonce_text, ..
                },
                _,
            ) => (nonce, Some(nonce_text), None),
            (Key::Session { counter, .. }, Some(session)) => {
                (Vec::new(), None, Some(Answering { session, counter }))
            }
            // A session's key without a session is never the outcome above.
            (Key::Session { .. }, None) => return Err(Case::SessionForeign.into()),
        };
        let caller = Caller {
            actor: who.actor,
            owner: who.owner,
            device: Some(device),
            session,
            answering,
            profile,
            peer: Some(peer),
            directory_seq: directory.seq(),
            nonce: nonce_text,
            created: Timestamp::from_secs(proof.created),
            foreign: None,
            authenticated: None,
            passkey: None,
            lent: None,
            api_key: None,
            process: None,
        };
        Ok(Pending {
            caller,
            device,
            nonce,
            digest: proof.digest,
            now,
        })
    }

    /// Sessions that were open already when a request came under one, and those that
    /// had to be opened.
    #[must_use]
    pub fn session_cache_use(&self) -> (u64, u64) {
        self.sessions.hits_and_misses()
    }

    /// Whether proofs can be used up just now: a shared guard may be away.
    #[must_use]
    pub fn can_claim(&self) -> bool {
        self.guard.is_available()
    }

    /// The memory of used proofs that is shared with other verifiers; none when none is.
    #[must_use]
    pub fn guard_generation(&self) -> Option<GuardGeneration> {
        self.guard.generation()
    }

    /// Forgets the keys of all opened sessions; for sealing.
    pub fn forget_sessions(&self) {
        self.sessions.clear();
    }

    /// Key and signature of a proof with a device's own key.
    fn check_device(
        &self,
        directory: &Snapshot,
        proof: &Proof,
        thumbprint: &Thumbprint,
        algorithm: SignatureAlgorithm,
    ) -> Result<(ActorId, ActorId), Refusal> {
        let Some(device) = directory.device(thumbprint) else {
            // As much work as for a device that we know, so that the time does
            // not tell which devices exist.
            let stand_in = match algorithm {
                SignatureAlgorithm::Ed25519 => &self.stand_in_ed25519,
                SignatureAlgorithm::EcdsaP256Sha256 => &self.stand_in_p256,
            };
            let _ = std::hint::black_box(stand_in.verify(proof.base.as_bytes(), &proof.signature));
            return Err(about(Case::DeviceUnknown, thumbprint, None));
        };
        let refuse = |case| about(case, thumbprint, Some(&device.actor));
        let owner = active(directory, thumbprint, &device.actor).map_err(refuse)?;
        let good = device.key.verify(proof.base.as_bytes(), &proof.signature);
        if device.key.algorithm() != algorithm {
            return Err(refuse(Case::AlgorithmMismatch));
        }
        if !good {
            return Err(refuse(Case::SignatureRefused));
        }
        Ok((device.actor, owner))
    }

    /// Key and signature of a proof under a session.
    fn check_session(
        &self,
        directory: &Snapshot,
        proof: &Proof,
        id: &str,
        now: Timestamp,
    ) -> Result<(Thumbprint, Who), Refusal> {
        let session = self
            .sessions
            .open(self.keys.as_ref(), id, &self.audience, now)
            .map_err(|fault| match fault {
                SessionFault::Unknown => Case::SessionForeign,
                SessionFault::Memory => Case::GuardUnavailable,
            })?;
        let subject = *session.subject();
        let refuse = |case| about(case, &subject.device, Some(&subject.actor));
        if now >= session.expires() {
            return Err(refuse(Case::SessionOver));
        }
        if directory.seq() < session.directory_seq() {
            return Err(refuse(Case::DirectoryBehind));
        }
        let owner = active(directory, &subject.device, &subject.actor).map_err(refuse)?;
        // Not one of a device that is in quarantine: that is told once it is proven.
        if directory.is_outlived(&subject.device, session.directory_seq())
            && !directory.is_quarantined(Some(&subject.device), None)
        {
            return Err(refuse(Case::SessionOver));
        }
        // What it was attested by is looked at each time: revoked, it stops with the very
        // next request.
        let stands = |attested: &Attested| {
            let grade = directory.attested(&attested.id, now);
            grade.is_ok_and(|grade| grade >= attested.grade)
        };
        if session.attested().is_some_and(|attested| !stands(attested)) {
            return Err(refuse(Case::SessionOver));
        }
        if !session
            .mac_key
            .verify(&[proof.base.as_bytes()], &proof.signature)
        {
            return Err(refuse(Case::MacRefused));
        }
        Ok((
            subject.device,
            Who {
                actor: subject.actor,
                owner,
                session: Some(session),
            },
        ))
    }
}

struct Who {
    actor: ActorId,
    owner: ActorId,
    session: Option<Arc<crate::session::Session>>,
}

/// The owner, if device and actor are known, belong together and are active.
fn active(directory: &Snapshot, device: &Thumbprint, actor: &ActorId) -> Result<ActorId, Case> {
    let device = directory.device(device).ok_or(Case::DeviceUnknown)?;
    if device.actor != *actor {
        return Err(Case::SessionForeign);
    }
    // An actor's end takes its devices along; the caller learns the cause.
    if !directory.is_active(actor) {
        return Err(Case::ActorRevoked);
    }
    if device.revoked.is_some() {
        return Err(Case::DeviceRevoked);
    }
    let actor = directory.actor(actor).ok_or(Case::ActorRevoked)?;
    Ok(actor.owner)
}

pub(crate) fn about(case: Case, device: &Thumbprint, actor: Option<&ActorId>) -> Refusal {
    Refusal {
        device: Some(*device),
        actor: actor.copied(),
        ..case.into()
    }
}
