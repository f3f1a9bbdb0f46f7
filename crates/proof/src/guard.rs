//! What makes each proof good for one request only (`protocol.md` §3.3).

use procura_types::{ActorId, Duration, GuardGeneration, Thumbprint, Timestamp};
use std::cmp::Ordering;
use std::pin::Pin;
use std::sync::Arc;

/// How far the clock of whoever made a proof may be from ours, and how long a
/// proof lives: in seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// How long ago a request may have been made.
    pub back: u64,
    /// How far ahead of our clock.
    pub forward: u64,
}

impl Windows {
    /// Of native proofs (`protocol.md` §3.1).
    pub const NATIVE: Self = Self {
        back: 60,
        forward: 15,
    };
    /// What the guard of all foreign profiles together has to be made for: the
    /// widest of their windows (§3.2), each way.
    pub const FOREIGN: Self = Self {
        back: 300,
        forward: 300,
    };

    /// How long a claim is remembered, in seconds: both windows and one more.
    #[must_use]
    pub const fn retain(self) -> u64 {
        self.back.saturating_add(self.forward).saturating_add(1)
    }

    /// Where a moment lies: `Less` when it is too long ago, `Greater` when it is
    /// too far ahead. Seconds are compared with seconds, both rounded down.
    #[must_use]
    pub const fn place(self, created: Timestamp, now: Timestamp) -> Ordering {
        let (created, now) = (created.as_secs(), now.as_secs());
        if created < now.saturating_sub(self.back) {
            Ordering::Less
        } else if created > now.saturating_add(self.forward) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

/// A proof that verified, about to be used up.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The key that made it; for keys without a thumbprint, what stands for one.
    pub device: &'a Thumbprint,
    /// When it says it was made.
    pub created: Timestamp,
    /// The time of the server.
    pub now: Timestamp,
    /// How far ahead of a verifier's clock a proof of its kind may be made, in seconds.
    pub ahead: u64,
    /// What may be used once.
    pub once: Once<'a>,
    /// Of whom the directory says that it is; nothing for the proofs of others.
    pub by: Option<By<'a>>,
}

/// Whose proof it is by the directory, and by which state of it. A guard that is
/// shared may have heard since that the device or the actor was revoked.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The actor of the device.
    pub actor: &'a ActorId,
    /// The directory's sequence when that was known: for a session, when it was
    /// issued.
    pub directory_seq: u64,
}

/// What may be used once.
#[derive(Debug, Clone, Copy)]
pub enum Once<'a> {
    /// The nonce of a proof by a device's own key, decoded.
    Nonce(&'a [u8]),
    /// A counter of a session.
    Counter {
        /// The first half of the SHA-256 of the session id.
        session: &'a [u8; 16],
        /// The counter.
        counter: u64,
        /// When the session ends.
        expires: Timestamp,
    },
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was never claimed before, and is now.
    Fresh,
    /// It was claimed before, or its counter is behind the window.
    Replayed,
    /// The device has claimed as much as is remembered for one; others are not
    /// touched by that.
    OverCap,
    /// The guard has a tombstone of the device or the actor, later than the state of
    /// the directory that the claim goes by ([`By`]). Nothing was claimed.
    Revoked,
}

/// The guard cannot tell whether the proof was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be told whether the proof was used before")]
pub struct GuardUnavailable {
    /// When a proof that is made anew is worth trying.
    pub retry_after: Duration,
}

/// Remembers which proofs were used. Claims are atomic per device; one that was
/// answered `Fresh` is remembered for [`Windows::retain`], whatever happens to the
/// process where the implementation says so, and is never evicted early.
pub trait ReplayGuard: Send + Sync {
    /// Uses a proof up. Called after its signature verified and never before,
    /// so that strangers cannot fill a guard.
    fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable>;
}

/// A claim that has to be waited for.
pub type Claiming<'a> =
    Pin<Box<dyn Future<Output = Result<Outcome, GuardUnavailable>> + Send + 'a>>;

/// As [`ReplayGuard`], where several verifiers share one memory that is not of their
/// process. What cannot be asked in good time is [`GuardUnavailable`].
pub trait SharedGuard: Send + Sync {
    /// Uses a proof up.
    fn claim<'a>(&'a self, claim: &'a Claim<'a>) -> Claiming<'a>;

    /// Whether claims can be made just now.
    fn is_available(&self) -> bool;

    /// The memory that claims are made in, or were when it was last there; none before
    /// it ever was.
    fn generation(&self) -> Option<GuardGeneration>;
}

/// The guard of a verifier.
#[derive(Clone)]
pub enum Guard {
    /// Of this process alone; it answers at once.
    Own(Arc<dyn ReplayGuard>),
    /// Of several verifiers.
    Shared(Arc<dyn SharedGuard>),
}

impl Guard {
    /// Uses a proof up; with a guard of this process without waiting.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable> {
        match self {
            Self::Own(guard) => guard.claim(claim),
            Self::Shared(guard) => guard.claim(claim).await,
        }
    }

    /// Whether claims can be made just now; one of this process says so itself to whoever
    /// makes one.
    #[must_use]
    pub fn is_available(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Shared(guard) => guard.is_available(),
        }
    }

    /// Which memory is shared; none when none is.
    #[must_use]
    pub fn generation(&self) -> Option<GuardGeneration> {
        match self {
            Self::Own(_) => None,
            Self::Shared(guard) => guard.generation(),
        }
    }

    /// Uses a proof up where nobody can wait. A shared guard is not asked, so that it
    /// is unavailable here.
    pub fn claim_now(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable> {
        match self {
            Self::Own(guard) => guard.claim(claim),
            Self::Shared(_) => Err(GuardUnavailable {
                retry_after: Duration::from_secs(1),
            }),
        }
    }
}

impl From<Arc<dyn ReplayGuard>> for Guard {
    fn from(guard: Arc<dyn ReplayGuard>) -> Self {
        Self::Own(guard)
    }
}

impl<G: ReplayGuard + 'static> From<Arc<G>> for Guard {
    fn from(guard: Arc<G>) -> Self {
        Self::Own(guard)
    }
}
