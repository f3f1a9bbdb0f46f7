//! Project tokens: what the server knows of each, and whether it opens anything.
//!
//! A token counts because its record says so: one without a record, a removed one for
//! example, opens nothing, whatever it says of itself.

use crate::quarantine::Suspect;
use crate::record::GrantRecord;
use crate::snapshot::Snapshot;
use procura_types::wire::{GrantItem, ProjectTokenKind};
use procura_types::{
    ActorId, Delivery, ForeignId, GrantId, Malformed, Namespace, ProjectName, Thumbprint,
    Timestamp, TokenId, encoding,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is kept of an opaque token: the hash of its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for TokenHash {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        encoding::from_b64url_fixed("token", &text).map(Self)
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        encoding::b64url(&hash.0)
    }
}

/// A project token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id, and the `jti` of a signed one.
    pub id: TokenId,
    /// What it is.
    pub kind: ProjectTokenKind,
    /// Where it opens something.
    pub namespace: Namespace,
    /// For which project.
    pub project: ProjectName,
    /// The agent that it was issued to.
    pub agent: ActorId,
    /// The one device that can use it; of a daemon of CortexAuth the key of its process,
    /// which is no device.
    pub device: Thumbprint,
    /// The id by which such a daemon was given it: it ends with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignId>,
    /// How values are delivered.
    pub delivery: Delivery,
    /// What it opens, fixed when it was issued; sorted by name, without duplicates.
    pub items: Vec<GrantItem>,
    /// The grant that it rests on, and no other: when that ends, so does this.
    pub grant: GrantId,
    /// Which of the project's tokens it is one of: those of an earlier number were
    /// revoked together.
    pub generation: u64,
    /// The state of the directory that it was issued at: what a device had before it was
    /// in quarantine does not count any more when it is let out.
    pub seq: u64,
    /// Of an opaque one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<TokenHash>,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when on it opens nothing; a whole second.
    pub until: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// That all tokens of a project were revoked together. A number says which they were,
/// since clocks go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensEndedRecord {
    /// Where.
    pub namespace: Namespace,
    /// Of which project.
    pub project: ProjectName,
    /// Those that are issued from now on have this number; never goes back.
    pub generation: u64,
    /// When that was last done.
    pub time: Timestamp,
}

/// Why a project token opens nothing, as the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// There is no such token.
    #[error("token_unknown")]
    Unknown,
    /// Another device shows it than the one that it was issued to.
    #[error("token_device")]
    Device,
    /// It was revoked, or exchanged for another.
    #[error("token_revoked")]
    Revoked,
    /// It is over.
    #[error("token_expired")]
    Expired,
    /// The grant that it rests on was withdrawn, is over, or does not cover it.
    #[error("token_grant")]
    Grant,
}

impl TokenRefusal {
    /// The word in answers and in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "token_unknown",
            Self::Device => "token_device",
            Self::Revoked => "token_revoked",
            Self::Expired => "token_expired",
            Self::Grant => "token_grant",
        }
    }
}

impl Snapshot {
    /// Whether a token opens `items` at `now` for the device that shows it, and by which
    /// grant. Device and actor themselves are looked at by whoever decides.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`TokenRefusal`].
    pub fn token_opens(
        &self,
        token: &TokenRecord,
        agent: &ActorId,
        device: Option<&Thumbprint>,
        items: &[GrantItem],
        now: Timestamp,
    ) -> Result<&Arc<GrantRecord>, TokenRefusal> {
        if token.agent != *agent || Some(&token.device) != device {
            return Err(TokenRefusal::Device);
        }
        if token.revoked.is_some()
            || self.has_outlived(token)
            || token.generation != self.token_generation(&token.namespace, &token.project)
        {
            return Err(TokenRefusal::Revoked);
        }
        if now >= token.until {
            return Err(TokenRefusal::Expired);
        }
        let covers = |items: &[GrantItem]| {
            items
                .iter()
                .all(|item| token.items.binary_search(item).is_ok())
        };
        self.grant(&token.grant)
            .filter(|grant| {
                grant.agent == token.agent
                    && grant.namespace == token.namespace
                    && grant.project == token.project
                    && grant.delivery == token.delivery
                    && grant.holds(now)
                    && grant.covers(items)
                    && covers(items)
            })
            .ok_or(TokenRefusal::Grant)
    }

    /// Whether a token is from before its holder was let out of quarantine; or, of a daemon
    /// of CortexAuth, its id stands for its agent no more.
    fn has_outlived(&self, token: &TokenRecord) -> bool {
        let Some(id) = &token.foreign else {
            return self.is_outlived(&token.device, token.seq);
        };
        self.foreign(id).is_none_or(|bound| {
            bound.actor != token.agent
                || Suspect::of(bound.device.as_ref(), Some(id))
                    .is_some_and(|one| self.was_let_out_since(&one, token.seq))
        })
    }

    /// Whether whoever holds a token may act now.
    #[must_use]
    pub fn holder_may_act(&self, token: &TokenRecord) -> bool {
        let Some(id) = &token.foreign else {
            return self.may_act(&token.device);
        };
        let device = self.foreign(id).and_then(|bound| bound.device);
        self.is_active(&token.agent) && !self.is_quarantined(device.as_ref(), Some(id))
    }
}
