//! The keys that foreign profiles are verified with.

use super::hmac_v2;
use procura_crypto::{LockError, MacKey, PublicKey};
use procura_types::ForeignId;
use std::fmt;
use std::sync::Arc;

/// The secret that an agent shares with the server, ready for both profiles with
/// a MAC. It lies in locked memory and is never printed.
pub struct AgentSecret {
    pub(super) v1: MacKey,
    pub(super) v2: MacKey,
}

impl AgentSecret {
    /// Takes the secret as the agent has it: its text, which is the key itself in
    /// `hmac-v1`, and what the key is derived from in `hmac-v2`.
    ///
    /// # Errors
    /// [`LockError`] when there is no locked memory for it.
    pub fn new(text: &str) -> Result<Self, LockError> {
        Ok(Self {
            v1: MacKey::from_bytes(text.as_bytes())?,
            v2: hmac_v2::derive(text)?,
        })
    }
}

impl fmt::Debug for AgentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentSecret")
    }
}

/// What is on record for an agent.
#[derive(Debug, Clone, Default)]
pub struct ForeignKey {
    /// For `key-server-v1` and `guide-v1`: an Ed25519 key; another kind verifies
    /// nothing.
    pub public: Option<PublicKey>,
    /// For `hmac-v1` and `hmac-v2`: each is as good as the others, so that an old
    /// one can go on for a while beside the new one.
    pub secrets: Vec<Arc<AgentSecret>>,
    /// Whether the agent was revoked: its proofs are refused as that.
    pub revoked: bool,
}

/// It cannot be told which keys an agent has. Nothing is known of the proof then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys of agents cannot be looked up")]
pub struct KeysUnavailable;

/// Finds the keys of agents.
pub trait ForeignKeys: Send + Sync {
    /// What is on record now; `None` for an agent that is not known, or not any
    /// more. Asked once for each request.
    ///
    /// # Errors
    /// [`KeysUnavailable`], when the record cannot be read.
    fn find(&self, agent: &ForeignId) -> Result<Option<ForeignKey>, KeysUnavailable>;
}
