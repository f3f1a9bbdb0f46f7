//! A replay guard that several verifiers share: the memory of a Valkey or Redis server
//! (`protocol.md` §3.3, ADR 22).
//!
//! The memory belongs to a *generation*, which has an id, a key and a start. Each claim
//! is one script on the server, which does nothing unless the generation is still the
//! one that the verifier knows. Another process of the server (its run id), a missing
//! record and a clock that jumped all mean that claims may be lost: the next verifier
//! that looks begins a new generation, and proofs that may have been used in the one
//! before are refused by all, as after a machine restart with the journal
//! ([`JournalGuard`](super::JournalGuard)). What cannot be asked within 250 ms is
//! unavailable; the connection is then made anew behind everybody's back.
//!
//! What is stored is 16-byte hashes under the generation's key, so that nobody can
//! choose nonces that look alike, and nothing of one generation or installation is ever
//! taken for something of another. The key lies beside them: all verifiers need the
//! same one, a memory that is gone takes its key along, and nothing else has to be handed
//! out. Against whoever reads the server's memory the hashes hide no id that can be
//! guessed.

mod fault;
mod info;
mod link;
#[cfg(any(test, feature = "fake"))]
mod local;
mod url;

pub use fault::SharedFault;
#[cfg(any(test, feature = "fake"))]
pub use local::LocalRedis;
pub use url::GuardUrl;

use super::Of;
use link::{DEADLINE, Link, Live, State};
use procura_proof::{Claim, Claiming, Guard, GuardUnavailable, Limits, Once, Outcome};
use procura_types::{
    ActorId, Clock, Duration, Entropy, GuardGeneration, InstallationId, Secret, Thumbprint,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How far, in seconds, the clocks of a verifier and of the server may be apart, and how
/// far the server's may jump unnoticed. Claims are kept longer by as much for each.
const CLOCKS: u64 = 5;

/// What is worth another try soon.
const SOON: GuardUnavailable = GuardUnavailable {
    retry_after: Duration::from_secs(1),
};

/// Tombstones go to the server in commands of this many.
const BURIED_AT_ONCE: usize = 256;

/// What the scripts answer with.
const FRESH: i64 = 0;
const USED: i64 = 1;
const TOO_MANY: i64 = 2;
const OTHER_GENERATION: i64 = 3;
const OTHER_TIME: i64 = 4;
const REVOKED: i64 = 5;

/// The server whose memory is shared.
pub struct GuardServer {
    /// Where it is.
    pub url: GuardUrl,
    /// Its password, if it has one.
    pub password: Option<Secret<String>>,
}

/// Which server is shared, and for what.
pub struct Sharing {
    /// The server.
    pub server: GuardServer,
    /// The installation whose proofs are claimed. Several can share a server and
    /// nothing of each other.
    pub installation: InstallationId,
    /// The installation was made just now: nothing can have been used before, so that
    /// the first generation need not refuse anything.
    pub first: bool,
    /// Files of journals that were used until now, which the server's memory stands in
    /// for: while one is there, the server's memory does not know all. They are removed
    /// once a new generation was begun.
    pub retires: Vec<PathBuf>,
}

/// The memory that this process shares with other verifiers. It keeps itself connected
/// until it is dropped.
pub struct SharedMemory {
    link: Arc<Link>,
    keeper: AbortHandle,
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl SharedMemory {
    /// Looks once whether the server is fit to be shared; nothing is changed there.
    ///
    /// # Errors
    /// Why it is not, or cannot be asked.
    pub async fn check(server: &GuardServer) -> Result<(), SharedFault> {
        link::check(server).await
    }

    /// Connects, and keeps connected. Must be called inside a Tokio runtime; does not
    /// wait ([`Self::settled`] does).
    ///
    /// # Errors
    /// [`SharedFault::Own`], when the address cannot be used at all.
    pub fn start(
        sharing: Sharing,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, SharedFault> {
        let link = Arc::new(Link::new(sharing, clock, entropy)?);
        let keeper = tokio::spawn(Arc::clone(&link).keep()).abort_handle();
        Ok(Arc::new(Self { link, keeper }))
    }

    /// Waits until the first try to connect is over.
    ///
    /// # Errors
    /// Why the server cannot be used now; it is tried on.
    pub async fn settled(&self) -> Result<(), SharedFault> {
        let mut state = self.link.state();
        // The sender is in `self`.
        match state
            .wait_for(|now| *now != State::Beginning)
            .await
            .as_deref()
        {
            Ok(State::Away(fault)) => Err(fault.clone()),
            Ok(State::Up(_) | State::Beginning) | Err(_) => Ok(()),
        }
    }

    /// Why nobody can be let in just now.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match &*self.link.state().borrow() {
            State::Away(fault) => Some(fault.to_string()),
            State::Beginning => Some("the shared guard is not connected yet".to_owned()),
            State::Up(_) => None,
        }
    }

    /// The generation that claims are made in, or were when it was last in order.
    #[must_use]
    pub fn generation(&self) -> Option<GuardGeneration> {
        self.link.last()
    }

    /// Waits until claims are made in another generation than `known`.
    pub async fn begun(&self, known: Option<GuardGeneration>) {
        let mut state = self.link.state();
        let other = |now: &State| matches!(now, State::Up(found) if Some(*found) != known);
        // The sender is in `self`.
        let _ = state.wait_for(other).await;
    }

    /// The guard of one kind of proofs.
    #[must_use]
    pub fn guard(self: &Arc<Self>, of: Of, limits: Limits) -> Guard {
        Guard::Shared(Arc::new(OfShared {
            memory: Arc::clone(self),
            of,
            limits,
        }))
    }

    /// Puts tombstones up for `kept`: from now on claims of these devices and actors are
    /// refused that go by an earlier state of the directory than `directory_seq`. Gives
    /// the generation that has them; another one has to be told again.
    ///
    /// # Errors
    /// When not all are up.
    pub async fn bury(
        &self,
        devices: &[Thumbprint],
        actors: &[ActorId],
        directory_seq: u64,
        kept: Duration,
    ) -> Result<GuardGeneration, GuardUnavailable> {
        let live = self.link.live().ok_or(SOON)?;
        let devices = devices.iter().map(|device| live.device_tombstone(device));
        let actors = actors.iter().map(|actor| live.actor_tombstone(actor));
        let keys: Vec<_> = devices.chain(actors).collect();
        for some in keys.chunks(BURIED_AT_ONCE) {
            let mut command = redis::cmd("EVALSHA");
            command
                .arg(&live.scripts.bury)
                .arg(some.len().saturating_add(1))
                .arg(self.link.generation_key());
            for key in some {
                command.arg(&key[..]);
            }
            command
                .arg(&live.id)
                .arg(directory_seq)
                .arg(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX));
            match self.run(&live, &command).await? {
                FRESH => {}
                other => return Err(self.refused(&live, other)),
            }
        }
        Ok(live.generation)
    }

    /// Runs a script; what does not answer in time is connected anew.
    async fn run(&self, live: &Arc<Live>, command: &redis::Cmd) -> Result<i64, GuardUnavailable> {
        let mut connection = live.connection.clone();
        let cause = match timeout(DEADLINE, command.query_async(&mut connection)).await {
            Ok(Ok(code)) => return Ok(code),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it does not answer within {} ms", DEADLINE.as_millis()),
        };
        self.link.failed(live, cause);
        Err(SOON)
    }

    /// What follows from an answer by which nothing was done.
    fn refused(&self, live: &Arc<Live>, code: i64) -> GuardUnavailable {
        let cause = match code {
            OTHER_GENERATION => "it lost its memory",
            OTHER_TIME => {
                live.jumped.store(true, Ordering::Relaxed);
                "its clock jumped"
            }
            _ => "what it says is not understood",
        };
        self.link.failed(live, cause.to_owned());
        SOON
    }
}

/// The guard of one kind of proofs.
struct OfShared {
    memory: Arc<SharedMemory>,
    of: Of,
    limits: Limits,
}

impl procura_proof::SharedGuard for OfShared {
    fn claim<'a>(&'a self, claim: &'a Claim<'a>) -> Claiming<'a> {
        Box::pin(self.ask(claim))
    }

    fn is_available(&self) -> bool {
        self.memory.link.live().is_some()
    }

    fn generation(&self) -> Option<GuardGeneration> {
        self.memory.generation()
    }
}

impl OfShared {
    async fn ask(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable> {
        let live = self.memory.link.live().ok_or(SOON)?;
        self.check_start(&live, claim)?;
        let command = self.command(&live, claim);
        match self.memory.run(&live, &command).await? {
            FRESH => Ok(Outcome::Fresh),
            USED => Ok(Outcome::Replayed),
            TOO_MANY => Ok(Outcome::OverCap),
            REVOKED => Ok(Outcome::Revoked),
            other => Err(self.memory.refused(&live, other)),
        }
    }

    /// Proofs that may have been used in an earlier generation are refused.
    fn check_start(&self, live: &Live, claim: &Claim<'_>) -> Result<(), GuardUnavailable> {
        let since = live.generation.since;
        if since == 0 {
            return Ok(());
        }
        let until = (since / 1000)
            .saturating_add(claim.ahead)
            .saturating_add(CLOCKS);
        if claim.created.as_secs() > until {
            return Ok(());
        }
        let wait = until
            .saturating_sub(claim.now.as_secs())
            .saturating_add(1)
            .min(self.of.windows().retain());
        Err(GuardUnavailable {
            retry_after: Duration::from_secs(wait),
        })
    }

    fn command(&self, live: &Live, claim: &Claim<'_>) -> redis::Cmd {
        let (windows, now) = (self.of.windows(), claim.now.as_secs());
        let kind: &[u8] = match self.of {
            Of::Native => b"n",
            Of::Foreign => b"f",
        };
        // Of the verifier's clock, the server's, and a jump of that.
        let slack = CLOCKS.saturating_mul(3);
        let kept = |secs: u64| secs.saturating_add(slack).saturating_mul(1000);
        let tombstones = claim.by.map(|by| {
            [
                live.device_tombstone(claim.device),
                live.actor_tombstone(by.actor),
            ]
        });
        let (script, what, of_key) = match claim.once {
            Once::Nonce(nonce) => (
                &live.scripts.nonce,
                live.hash(b'n', &[kind, claim.device.as_bytes(), nonce]),
                live.hash(b'c', &[kind, claim.device.as_bytes()]),
            ),
            Once::Counter { session, .. } => (
                &live.scripts.counter,
                live.hash(b's', &[kind, session]),
                live.hash(b'm', &[kind, claim.device.as_bytes()]),
            ),
        };
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(script)
            .arg(if tombstones.is_some() { 5 } else { 3 })
            .arg(self.memory.link.generation_key())
            .arg(&what[..])
            .arg(&of_key[..]);
        for tombstone in tombstones.iter().flatten() {
            command.arg(&tombstone[..]);
        }
        command
            .arg(&live.id)
            .arg(live.expected(self.memory.link.steady()));
        let directory_seq = claim.by.map_or(0, |by| by.directory_seq);
        match claim.once {
            Once::Nonce(_) => {
                // As the guards of one process count: in spans, of which five are at
                // least as long as a nonce is kept.
                let span = windows.retain().div_ceil(4).max(1);
                command
                    .arg(kept(windows.retain()))
                    .arg(self.limits.nonces)
                    .arg(now / span)
                    .arg(kept(windows.retain().saturating_add(span)))
                    .arg(directory_seq);
            }
            Once::Counter {
                counter, expires, ..
            } => {
                let left = expires.as_secs().saturating_sub(now);
                command
                    .arg(kept(left))
                    .arg(self.limits.sessions)
                    .arg(expires.as_secs())
                    .arg(now)
                    .arg(directory_seq)
                    .arg(counter / procura_proof::WINDOW)
                    .arg(counter % procura_proof::WINDOW);
            }
        }
        command
    }
}

/// `procura:`, what it is, and the hash.
type Key = [u8; 25];

impl Live {
    fn hash(&self, what: u8, parts: &[&[u8]]) -> Key {
        // Only the last part may vary in length.
        let mut all: [&[u8]; 4] = [&[]; 4];
        let what = [what];
        let (first, rest) = all.split_at_mut(1);
        first.copy_from_slice(&[&what]);
        for (to, from) in rest.iter_mut().zip(parts) {
            *to = from;
        }
        let tag = self.key.sign(&all);
        let mut key = *b"procura:-----------------";
        let (_, place) = key.split_at_mut(8);
        for (to, from) in place.iter_mut().zip(what.iter().chain(&tag)) {
            *to = *from;
        }
        key
    }

    fn device_tombstone(&self, device: &Thumbprint) -> Key {
        self.hash(b'd', &[device.as_bytes()])
    }

    fn actor_tombstone(&self, actor: &ActorId) -> Key {
        self.hash(b'a', &[actor.as_bytes()])
    }
}

#[cfg(test)]
mod tests;
