//! A proof of which all is in order but one thing: whether it was used before. In
//! between somebody asks the guard, which may take a while.

use crate::caller::Caller;
use crate::guard::{By, Claim, GuardUnavailable, Once, Outcome, Windows};
use crate::reason::{Case, Refusal};
use crate::verify::about;
use procura_types::{Duration, Thumbprint, Timestamp};

/// How long a device that is over its cap should wait.
const OVER_CAP_WAIT: Duration = Duration::from_secs(20);

/// A request whose proof verified and is not used up yet. Nobody is let in by it.
#[must_use = "until it is settled nothing is decided"]
pub struct Pending {
    pub(crate) caller: Caller,
    pub(crate) device: Thumbprint,
    /// Decoded; empty for a session.
    pub(crate) nonce: Vec<u8>,
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) now: Timestamp,
}

impl Pending {
    /// What has to be claimed.
    #[must_use]
    pub fn claim(&self) -> Claim<'_> {
        let (once, directory_seq) = match &self.caller.answering {
            Some(answering) => (
                Once::Counter {
                    session: answering.session.hash(),
                    counter: answering.counter,
                    expires: answering.session.expires(),
                },
                answering.session.directory_seq(),
            ),
            None => (Once::Nonce(&self.nonce), self.caller.directory_seq),
        };
        Claim {
            device: &self.device,
            created: self.caller.created,
            now: self.now,
            ahead: Windows::NATIVE.forward,
            once,
            by: Some(By {
                actor: &self.caller.actor,
                directory_seq,
            }),
        }
    }

    /// The SHA-256 of the body that the proof covers.
    #[must_use]
    pub const fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// The caller, if the guard says that the claim was the first.
    ///
    /// # Errors
    /// The cases of the step replay.
    pub fn settle(self, claimed: Result<Outcome, GuardUnavailable>) -> Result<Caller, Refusal> {
        let used = match self.caller.answering {
            Some(_) => Case::CounterUsed,
            None => Case::NonceUsed,
        };
        match settled(claimed, used) {
            Ok(()) => Ok(self.caller),
            Err((case, wait)) => {
                let refusal = about(case, &self.device, Some(&self.caller.actor));
                Err(Refusal {
                    retry_after: wait.or(refusal.retry_after),
                    ..refusal
                })
            }
        }
    }
}

/// What follows from the guard's answer; `used` is the case of a proof that was used.
pub(crate) const fn settled(
    claimed: Result<Outcome, GuardUnavailable>,
    used: Case,
) -> Result<(), (Case, Option<Duration>)> {
    match claimed {
        Ok(Outcome::Fresh) => Ok(()),
        Ok(Outcome::Replayed) => Err((used, None)),
        Ok(Outcome::OverCap) => Err((Case::OverCap, Some(OVER_CAP_WAIT))),
        Ok(Outcome::Revoked) => Err((Case::Tombstoned, None)),
        Err(unavailable) => Err((Case::GuardUnavailable, Some(unavailable.retry_after))),
    }
}
