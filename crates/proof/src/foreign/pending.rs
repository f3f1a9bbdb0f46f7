//! A proof of another system of which all is in order but one thing: whether it was
//! used before.

use super::verify::refusal;
use crate::guard::{Claim, GuardUnavailable, Once, Outcome};
use crate::pending::settled;
use crate::reason::{Case, Refusal};
use procura_types::{ForeignId, Thumbprint, Timestamp};

/// A proof that verified and is not used up yet. Nobody is let in by it.
#[must_use = "until it is settled nothing is decided"]
pub struct ForeignPending<T> {
    pub(super) agent: ForeignId,
    /// What the nonce belongs to.
    pub(super) key: Thumbprint,
    pub(super) once: Option<Vec<u8>>,
    pub(super) created: Timestamp,
    pub(super) now: Timestamp,
    pub(super) ahead: u64,
    /// What it is good for.
    pub(super) yields: T,
}

impl<T> ForeignPending<T> {
    /// The agent that it names.
    #[must_use]
    pub const fn agent(&self) -> &ForeignId {
        &self.agent
    }

    /// What has to be claimed; nothing for a weak proof that can be used once for no
    /// more than it says.
    #[must_use]
    pub fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim {
            device: &self.key,
            created: self.created,
            now: self.now,
            ahead: self.ahead,
            once: Once::Nonce(self.once.as_ref()?),
            by: None,
        })
    }

    /// What the proof yields, if the guard says that the claim was the first, or there
    /// was nothing to claim.
    ///
    /// # Errors
    /// The cases of the step replay; [`Case::GuardUnavailable`] when there was a claim
    /// and no guard was asked.
    pub fn settle(self, claimed: Option<Result<Outcome, GuardUnavailable>>) -> Result<T, Refusal> {
        let claimed = match (&self.once, claimed) {
            (None, _) => return Ok(self.yields),
            (Some(_), Some(claimed)) => claimed,
            (Some(_), None) => return Err(refusal(Case::GuardUnavailable, Some(self.agent))),
        };
        settled(claimed, Case::NonceUsed)
            .map(|()| self.yields)
            .map_err(|(case, wait)| {
                let refusal = refusal(case, Some(self.agent));
                Refusal {
                    retry_after: wait.or(refusal.retry_after),
                    ..refusal
                }
            })
    }
}
