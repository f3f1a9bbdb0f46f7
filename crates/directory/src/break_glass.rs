//! Break-glass accounts: owners with the role of a steward that do nothing until they are
//! used, once and for a limited time (ADR 45).

use crate::snapshot::Snapshot;
use procura_types::{ActorId, Duration, Role, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// That an owner is a break-glass account, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlassRecord {
    /// The owner.
    pub actor: ActorId,
    /// The steward who made it: it ends with them.
    pub made_by: ActorId,
    /// For how many minutes it opens.
    pub minutes: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it was used; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}

/// Why a break-glass account does nothing; the word stands in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BreakGlassClosed {
    /// Nobody has used it.
    #[error("break_glass_sealed")]
    Sealed,
    /// It was used, and its time is over.
    #[error("break_glass_over")]
    Over,
    /// It is open, and whoever made it is no steward any more.
    #[error("maker_gone")]
    Maker,
}

impl BreakGlassClosed {
    /// The word in answers and in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "break_glass_sealed",
            Self::Over => "break_glass_over",
            Self::Maker => "maker_gone",
        }
    }
}

impl BreakGlassRecord {
    /// Until when it acts, or acted.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        let span = Duration::from_secs(u64::from(self.minutes).saturating_mul(60));
        self.used.map(|used| used.plus(span))
    }

    /// Whether it is open now, whoever made it. A clock that goes back behind its use opens
    /// it no longer.
    ///
    /// # Errors
    /// Why not.
    pub fn acts(&self, now: Timestamp) -> Result<(), BreakGlassClosed> {
        match (self.used, self.until()) {
            (Some(used), Some(until)) if used <= now && now < until => Ok(()),
            (Some(_), _) => Err(BreakGlassClosed::Over),
            (None, _) => Err(BreakGlassClosed::Sealed),
        }
    }
}

/// The records of a snapshot.
#[derive(Clone, Default)]
pub(crate) struct BreakGlassAccounts(HashMap<ActorId, Arc<BreakGlassRecord>>);

impl BreakGlassAccounts {
    pub(crate) fn put(&mut self, record: BreakGlassRecord) {
        self.0.insert(record.actor, Arc::new(record));
    }
}

impl Snapshot {
    /// What is known of a break-glass account, if the actor is one.
    #[must_use]
    pub fn break_glass(&self, actor: &ActorId) -> Option<&Arc<BreakGlassRecord>> {
        self.break_glass_accounts().0.get(actor)
    }

    /// All break-glass accounts, in no order.
    pub fn all_break_glass(&self) -> impl Iterator<Item = &Arc<BreakGlassRecord>> {
        self.break_glass_accounts().0.values()
    }

    /// Whether the actor acts now as far as it is a break-glass account: it is open, and
    /// whoever made it is a steward. Who is removed goes on by no envelope.
    ///
    /// # Errors
    /// Why not.
    pub fn break_glass_acts(
        &self,
        actor: &ActorId,
        now: Timestamp,
    ) -> Result<(), BreakGlassClosed> {
        let Some(account) = self.break_glass(actor) else {
            return Ok(());
        };
        account.acts(now)?;
        let maker = &account.made_by;
        let stands = self.is_active(maker)
            && self.break_glass(maker).is_none()
            && self
                .roles(maker)
                .is_some_and(|held| held.has(Role::Steward, None));
        if stands {
            Ok(())
        } else {
            Err(BreakGlassClosed::Maker)
        }
    }

    /// Whether the actor is a break-glass account that does not act now.
    #[must_use]
    pub fn is_closed(&self, actor: &ActorId, now: Timestamp) -> bool {
        self.break_glass_acts(actor, now).is_err()
    }
}
