//! The checks in their order (`protocol.md` §3.3): shape, clock, key, signature,
//! body digest, replay claim.

use crate::answer::Answering;
use crate::caller::{Caller, Profile};
use crate::guard::{Claim, Once, Outcome, ReplayGuard};
use crate::message::RequestView;
use crate::native::{self, Key, Proof};
use crate::reason::{Case, Refusal};
use crate::session::{SessionFault, SessionKeys};
use crate::session_cache::SessionCache;
use procura_crypto::{KeyError, PublicKey, SignatureAlgorithm, sha256};
use procura_directory::Snapshot;
use procura_types::wire::PublicJwk;
use procura_types::{ActorId, Duration, Thumbprint, Timestamp};
use std::net::IpAddr;
use std::sync::Arc;

/// How long a device that is over its cap should wait.
pub(crate) const OVER_CAP_WAIT: Duration = Duration::from_secs(20);

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
    guard: Arc<dyn ReplayGuard>,
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
        guard: Arc<dyn ReplayGuard>,
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
            guard,
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

    /// Who made the request, or why it is refused. Each proof is good for one
    /// call: the nonce or counter is used up when all else is in order.
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
        let proof = native::read(request, !request.body.is_empty())?;
        self.check(directory, &proof, Some(request.body), now, peer)
    }

    /// As [`Self::verify`], before the body is here, which is not looked at in
    /// `request`. With the caller comes the SHA-256 that the proof covers: whoever
    /// takes the body has to hold it against that, since the proof is used up.
    ///
    /// # Errors
    /// The first case of `spec/reasons.md` that applies; a proof that covers no
    /// digest, unless `body` is [`Awaited::Unsigned`], is among them.
    pub fn verify_head(
        &self,
        directory: &Snapshot,
        request: &RequestView<'_>,
        body: Awaited,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<(Caller, Option<[u8; 32]>), Refusal> {
        let proof = native::read(request, body == Awaited::Signed)?;
        let caller = self.check(directory, &proof, None, now, peer)?;
        Ok((caller, proof.digest))
    }

    /// The steps after shape; that of the digest for a body that is here.
    fn check(
        &self,
        directory: &Snapshot,
        proof: &Proof,
        body: Option<&[u8]>,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Caller, Refusal> {
        let (device, who) = match &proof.key {
            Key::Device {
                thumbprint,
                algorithm,
                ..
            } => {
                native::check_clock(proof, now).map_err(|case| about(case, thumbprint, None))?;
                let who = self.check_device(directory, proof, thumbprint, *algorithm)?;
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
                native::check_clock(proof, now)?;
                self.check_session(directory, proof, id, now)?
            }
        };
        let refuse = |case| about(case, &device, Some(&who.actor));
        if let (Some(digest), Some(body)) = (proof.digest, body)
            && sha256(body) != digest
        {
            return Err(refuse(Case::BodyChanged));
        }
        self.claim(proof, &device, who.session.as_deref(), now)
            .map_err(|(case, wait)| {
                let refusal = refuse(case);
                Refusal {
                    retry_after: wait.or(refusal.retry_after),
                    ..refusal
                }
            })?;
        let answering = match (&proof.key, &who.session) {
            (Key::Session { counter, .. }, Some(session)) => Some(Answering {
                session: Arc::clone(session),
                counter: *counter,
            }),
            _ => None,
        };
        Ok(Caller {
            actor: who.actor,
            owner: who.owner,
            device: Some(device),
            session: who.session.as_deref().map(crate::session::Session::name),
            answering,
            profile: if who.session.is_some() {
                Profile::Session
            } else {
                Profile::Native
            },
            peer: Some(peer),
            directory_seq: directory.seq(),
            nonce: match &proof.key {
                Key::Device { nonce_text, .. } => Some(nonce_text.clone()),
                Key::Session { .. } => None,
            },
            created: Timestamp::from_secs(proof.created),
        })
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

    fn claim(
        &self,
        proof: &Proof,
        device: &Thumbprint,
        session: Option<&crate::session::Session>,
        now: Timestamp,
    ) -> Result<(), (Case, Option<Duration>)> {
        let (once, used) = match (&proof.key, session) {
            (Key::Session { counter, .. }, Some(session)) => (
                Once::Counter {
                    session: session.hash(),
                    counter: *counter,
                    expires: session.expires(),
                },
                Case::CounterUsed,
            ),
            (Key::Device { nonce, .. }, _) => (Once::Nonce(nonce), Case::NonceUsed),
            (Key::Session { .. }, None) => return Err((Case::SessionForeign, None)),
        };
        let claim = Claim {
            device,
            created: Timestamp::from_secs(proof.created),
            now,
            once,
        };
        match self.guard.claim(&claim) {
            Ok(Outcome::Fresh) => Ok(()),
            Ok(Outcome::Replayed) => Err((used, None)),
            Ok(Outcome::OverCap) => Err((Case::OverCap, Some(OVER_CAP_WAIT))),
            Err(unavailable) => Err((Case::GuardUnavailable, Some(unavailable.retry_after))),
        }
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

fn about(case: Case, device: &Thumbprint, actor: Option<&ActorId>) -> Refusal {
    Refusal {
        device: Some(*device),
        actor: actor.copied(),
        ..case.into()
    }
}
