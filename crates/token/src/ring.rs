//! Which key signs, which will, and which have signed.
//!
//! | state | in the key set | signs |
//! |---|---|---|
//! | next | yes | not yet |
//! | active | yes | yes |
//! | retiring | yes, until the last token that it signed is over | no more |
//! | retired | no | no more |
//!
//! A key is in the set before it signs for longer than anybody goes by an old set, and
//! stays in it for as long as a token of its counts. So a roll makes no verifier fail,
//! and at each moment at least two keys are in the set.

use crate::claims::SKEW;
use crate::key_set::KEY_SET_LIFE;
use crate::{KeySet, TokenError};
use procura_crypto::PublicKey;
pub use procura_types::wire::SigningKeyState as KeyState;
use procura_types::{Duration, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// How many keys that are over are remembered; the ledger remembers all.
const REMEMBERED: usize = 32;

/// A key that will sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Next {
    key: PublicKey,
    made: Timestamp,
    /// From when on every set that anybody goes by has it.
    ready: Timestamp,
}

/// The key that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Active {
    key: PublicKey,
    made: Timestamp,
    since: Timestamp,
}

/// A key that was next or active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Former {
    key: PublicKey,
    made: Timestamp,
    /// From when on it signed; never, when there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// When it signed last, or was withdrawn.
    ended: Timestamp,
    /// Whether nothing that it signed counts from `ended` on.
    withdrawn: bool,
}

impl Former {
    /// Where it stands; what it signed counts for `life` at most.
    fn state(&self, life: Duration, now: Timestamp) -> KeyState {
        if self.withdrawn || now >= self.ended.plus(life).plus(SKEW) {
            KeyState::Retired
        } else {
            KeyState::Retiring
        }
    }
}

/// The keys of one type of token: one that signs, one that comes next, and those
/// before. Pure data; the private keys are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRing {
    next: Next,
    active: Active,
    /// The newest last.
    former: Vec<Former>,
    /// For how many seconds a token counts at most. Not said in the first rings, which
    /// were for the tokens of agents.
    #[serde(default = "an_hour", skip_serializing_if = "is_an_hour")]
    life: u64,
}

const fn an_hour() -> u64 {
    crate::claims::TOKEN_LIFE.as_secs()
}

/// Takes a reference because serde passes one.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_an_hour(seconds: &u64) -> bool {
    *seconds == an_hour()
}

/// A key and where it stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingKey<'a> {
    /// The key; its id is its thumbprint.
    pub key: &'a PublicKey,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made.
    pub made: Timestamp,
    /// From when on it signed.
    pub since: Option<Timestamp>,
    /// When it signed last, or was withdrawn.
    pub ended: Option<Timestamp>,
}

/// The next key is not in every set that a verifier may go by: it can sign from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the next key can sign from {0} on; verifiers may go by a key set without it until then")]
pub struct NotReady(pub Timestamp);

/// No key of the ring has this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no signing key of this id")]
pub struct UnknownKey;

/// What became of a key that was to be retired at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// It was retired already; nothing changed.
    Already,
    /// It had signed and is out of the set now.
    Former,
    /// It was next or active: the fresh key is next now.
    Replaced,
}

impl KeyRing {
    /// The first two keys, for tokens that count for `life` at most. They are in the first
    /// set together, so a roll is possible at once.
    #[must_use]
    pub const fn found(active: PublicKey, next: PublicKey, life: Duration, now: Timestamp) -> Self {
        Self {
            next: Next {
                key: next,
                made: now,
                ready: now,
            },
            active: Active {
                key: active,
                made: now,
                since: now,
            },
            former: Vec::new(),
            life: life.as_secs(),
        }
    }

    const fn life(&self) -> Duration {
        Duration::from_secs(self.life)
    }

    /// The key that signs.
    #[must_use]
    pub const fn active(&self) -> &PublicKey {
        &self.active.key
    }

    /// The key that signs after the next roll.
    #[must_use]
    pub const fn next(&self) -> &PublicKey {
        &self.next.key
    }

    /// Every key: the next, the active, then those before, the newest first.
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = RingKey<'_>> {
        let next = RingKey {
            key: &self.next.key,
            state: KeyState::Next,
            made: self.next.made,
            since: None,
            ended: None,
        };
        let active = RingKey {
            key: &self.active.key,
            state: KeyState::Active,
            made: self.active.made,
            since: Some(self.active.since),
            ended: None,
        };
        let former = self.former.iter().rev().map(move |former| RingKey {
            key: &former.key,
            state: former.state(self.life(), now),
            made: former.made,
            since: former.since,
            ended: Some(former.ended),
        });
        [next, active].into_iter().chain(former)
    }

    /// The set that verifiers are to go by now: all but the retired ones.
    ///
    /// # Errors
    /// [`TokenError::KeySet`], which no ring that was made here leads to.
    pub fn key_set(&self, now: Timestamp) -> Result<KeySet, TokenError> {
        KeySet::new(
            self.keys(now)
                .filter(|key| key.state != KeyState::Retired)
                .map(|key| key.key.clone()),
        )
    }

    /// The next key signs from now on, the one that did is retiring, and `fresh` is
    /// next.
    ///
    /// # Errors
    /// [`NotReady`] when verifiers may still go by a set without the next key; then
    /// nothing changed.
    pub fn roll(&mut self, fresh: PublicKey, now: Timestamp) -> Result<(), NotReady> {
        if now < self.next.ready {
            return Err(NotReady(self.next.ready));
        }
        self.advance(fresh, now, false);
        Ok(())
    }

    /// Takes a key out of the set at once, because it may be in other hands: what it
    /// signed counts no more for whoever fetches the set. Where it was next or active,
    /// others move up, the next key even before all verifiers know it, and `fresh` is
    /// next.
    ///
    /// # Errors
    /// [`UnknownKey`].
    pub fn retire(
        &mut self,
        kid: &Thumbprint,
        fresh: PublicKey,
        now: Timestamp,
    ) -> Result<Retirement, UnknownKey> {
        if self.active.key.thumbprint() == *kid {
            self.advance(fresh, now, true);
            return Ok(Retirement::Replaced);
        }
        if self.next.key.thumbprint() == *kid {
            let Next { key, made, .. } = self.replace_next(fresh, now);
            self.end(Former {
                key,
                made,
                since: None,
                ended: now,
                withdrawn: true,
            });
            return Ok(Retirement::Replaced);
        }
        let life = self.life();
        let former = self
            .former
            .iter_mut()
            .find(|former| former.key.thumbprint() == *kid)
            .ok_or(UnknownKey)?;
        if former.state(life, now) == KeyState::Retired {
            return Ok(Retirement::Already);
        }
        former.withdrawn = true;
        former.ended = now;
        Ok(Retirement::Former)
    }

    fn advance(&mut self, fresh: PublicKey, now: Timestamp, withdrawn: bool) {
        let Next { key, made, .. } = self.replace_next(fresh, now);
        let before = std::mem::replace(
            &mut self.active,
            Active {
                key,
                made,
                since: now,
            },
        );
        self.end(Former {
            key: before.key,
            made: before.made,
            since: Some(before.since),
            ended: now,
            withdrawn,
        });
    }

    fn replace_next(&mut self, fresh: PublicKey, now: Timestamp) -> Next {
        let fresh = Next {
            key: fresh,
            made: now,
            ready: now.plus(KEY_SET_LIFE).plus(SKEW),
        };
        std::mem::replace(&mut self.next, fresh)
    }

    fn end(&mut self, former: Former) {
        let (life, now) = (self.life(), former.ended);
        self.former.push(former);
        // Those that the set still has are kept, however many there are.
        let mut surplus = self.former.len().saturating_sub(REMEMBERED);
        self.former.retain(|former| {
            let goes = surplus > 0 && former.state(life, now) == KeyState::Retired;
            surplus -= usize::from(goes);
            !goes
        });
    }
}
