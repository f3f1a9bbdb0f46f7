//! Verifying native proofs and sessions with what the feed said of the directory, and
//! the proofs of other systems by the server's word (`protocol.md` §3.4).

use crate::asking::Asking;
use crate::authenticate::{Authenticate, BodyView, Head, Identity, Judging, Refusal, Verdict};
use crate::feed::{self, FeedFault};
use crate::standing::{Standing, Standings, Subject};
use arc_swap::ArcSwap;
use procura_client::SessionClient;
use procura_crypto::{KeyError, LockedKey};
use procura_directory::Snapshot;
use procura_proof::foreign::{Foreign, Shown, named, recognise};
use procura_proof::{Awaited, Caller, Case, Guard, Profile, Reason, SessionKeys, Verifier};
use procura_types::wire::{Feed, ProvenAgent};
use procura_types::{Audience, Clock, Duration, GuardGeneration, Label, Namespace, Secret};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The keys of one audience's sessions, in locked memory.
struct HeldKeys {
    audience: String,
    keys: ArcSwap<BTreeMap<u32, LockedKey>>,
}

impl SessionKeys for HeldKeys {
    fn accepts(&self, epoch: u32) -> bool {
        self.keys.load().contains_key(&epoch)
    }

    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        let keys = self.keys.load();
        let key = keys.get(&epoch).filter(|_| audience == self.audience)?;
        Some(Secret::new(*key.expose()))
    }

    /// A gate issues none.
    fn current(&self) -> Option<u32> {
        None
    }
}

/// Lets in who proves to be known, for as long as what is known is fresh.
pub struct Verifying {
    namespace: Namespace,
    service: Label,
    verifier: Verifier,
    keys: Arc<HeldKeys>,
    standings: Arc<Standings>,
    asking: Option<Asking>,
    heard: Mutex<Heard>,
    max_stale: Duration,
    clock: Arc<dyn Clock>,
}

/// How much the server was heard of.
struct Heard {
    /// The highest state of the directory that was ever known.
    highest: u64,
    /// Since when nothing later is known; none while nothing is known at all.
    fresh: Option<Instant>,
}

impl Verifying {
    /// Knows nobody yet. `highest` is the state of the directory that an earlier
    /// process of this gate has seen, and `max_stale` how old what is known may be.
    ///
    /// # Errors
    /// When the cryptographic library does not work.
    pub fn new(
        namespace: &Namespace,
        service: &Label,
        guard: impl Into<Guard>,
        highest: u64,
        max_stale: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyError> {
        let audience = Audience::Gate(namespace.clone(), service.clone()).to_string();
        let keys = Arc::new(HeldKeys {
            audience: audience.clone(),
            keys: ArcSwap::default(),
        });
        let held: Arc<dyn SessionKeys> = Arc::<HeldKeys>::clone(&keys);
        Ok(Self {
            namespace: namespace.clone(),
            service: service.clone(),
            verifier: Verifier::new(&audience, guard, held)?,
            keys,
            standings: Arc::default(),
            asking: None,
            heard: Mutex::new(Heard {
                highest,
                fresh: None,
            }),
            max_stale,
            clock,
        })
    }

    /// As it is, and asks this server about proofs that it cannot verify itself. Without
    /// one they are refused with `verifier_unavailable`.
    #[must_use]
    pub fn asking(self, server: SessionClient) -> Self {
        let asking = Asking::new(
            server,
            self.namespace.clone(),
            self.service.clone(),
            Arc::clone(&self.clock),
        );
        Self {
            asking: Some(asking),
            ..self
        }
    }

    /// Whether proofs can be used up just now: a shared guard may be away.
    #[must_use]
    pub fn can_claim(&self) -> bool {
        self.verifier.can_claim()
    }

    /// The memory of used proofs that is shared with other gates; none when none is.
    #[must_use]
    pub fn guard_generation(&self) -> Option<GuardGeneration> {
        self.verifier.guard_generation()
    }

    /// How old what is known may be.
    #[must_use]
    pub const fn max_stale(&self) -> Duration {
        self.max_stale
    }

    /// Takes in what the server said to a question of the moment `asked`: it knew at
    /// least what was so then. The next request is judged by it, and answers that are
    /// under way end with whoever may not have them any more.
    ///
    /// # Errors
    /// [`FeedFault`]; what was known stays as it was, and grows old.
    pub fn take(&self, feed: &Feed, asked: Instant) -> Result<(), FeedFault> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if feed.seq < heard.highest {
            return Err(FeedFault::RolledBack {
                known: heard.highest,
                offered: feed.seq,
            });
        }
        if !feed.full && heard.fresh.is_none() {
            return Err(FeedFault::NoBase);
        }
        let changes = feed::changes(feed, &self.namespace)?;
        let keys = feed::keys(feed)?;
        let base = if feed.full {
            Snapshot::default()
        } else {
            self.standings.directory().as_ref().clone()
        };
        self.standings.take(base.apply(feed.seq, changes));
        self.keys.keys.store(Arc::new(keys));
        heard.highest = feed.seq;
        heard.fresh = Some(asked);
        Ok(())
    }

    /// Lets nobody in any more until a whole feed is taken in: the server does not let
    /// this gate follow. The keys of sessions are wiped, and answers that are under way
    /// end.
    pub fn lose(&self) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.fresh = None;
        self.keys.keys.store(Arc::default());
        self.verifier.forget_sessions();
        self.standings.end();
    }

    /// Ends answers that are under way if what is known is too old to say who may have
    /// them.
    pub fn end_stale(&self) {
        if !self.is_fresh() {
            self.standings.end();
        }
    }

    /// Whether what is known is not too old.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= self.max_stale)
    }

    /// How old what is known is; none while nothing is known.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let fresh = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.fresh
        };
        fresh.map(|fresh| self.clock.steady().saturating_duration_since(fresh))
    }

    /// A native proof, or one under a session of this gate.
    async fn native(&self, head: &Head<'_>, body: BodyView<'_>, source: IpAddr) -> Verdict {
        // A session is told from a device's own key by the verifier.
        let profile = Profile::Native.as_str();
        if !self.is_fresh() {
            return unavailable(profile);
        }
        let now = self.clock.now();
        let directory = self.standings.directory();
        let pending = match body {
            BodyView::Whole(body) => {
                let view = head.view(body);
                self.verifier.prepare(&directory, &view, now, source)
            }
            BodyView::Streamed => self.verifier.prepare_head(
                &directory,
                &head.view(&[]),
                Awaited::Signed,
                now,
                source,
            ),
            BodyView::Unsigned => self.verifier.prepare_head(
                &directory,
                &head.view(&[]),
                Awaited::Unsigned,
                now,
                source,
            ),
        };
        drop(directory);
        let refused =
            |refusal: procura_proof::Refusal| Verdict::Refuse(Refusal::from(refusal).by(profile));
        let pending = match pending {
            Ok(pending) => pending,
            Err(refusal) => return refused(refusal),
        };
        let digest = match body {
            BodyView::Whole(_) => None,
            BodyView::Streamed | BodyView::Unsigned => pending.digest(),
        };
        let caller = match self.verifier.finish(pending).await {
            Ok(caller) => caller,
            Err(refusal) => return refused(refusal),
        };
        let subject = Subject::Actor {
            actor: *caller.actor(),
            device: caller.device().copied(),
        };
        let Some(standing) = self.standings.of(subject) else {
            // In the moment since it was looked at.
            return Verdict::Refuse(Refusal {
                agent_id: Some(caller.actor().to_string()),
                ..Refusal::new(Reason::Revoked).by(profile)
            });
        };
        self.identity(&caller).map_or_else(
            || unavailable(profile),
            |identity| Verdict::Pass {
                identity,
                digest,
                standing,
            },
        )
    }

    /// A proof by the profile of another system, by the server's word.
    async fn foreign(
        &self,
        profile: Foreign,
        head: &Head<'_>,
        body: BodyView<'_>,
        source: IpAddr,
    ) -> Verdict {
        let word = profile.as_str();
        let agent_id = || named(head).map(|agent| agent.to_string());
        let refuse = |refusal: Refusal| {
            Verdict::Refuse(Refusal {
                agent_id: agent_id(),
                ..refusal.by(word)
            })
        };
        let body = match body {
            BodyView::Whole(body) => body,
            // What is signed leaves no body out, so it is signed as an empty one.
            BodyView::Unsigned => &[],
            // Each of them signs the body, and none says so before it is here.
            BodyView::Streamed => return refuse(Refusal::new(Reason::Malformed)),
        };
        let asking = self.asking.as_ref().filter(|_| self.is_fresh());
        let Some(asking) = asking else {
            return refuse(Refusal::new(Reason::VerifierUnavailable));
        };
        match asking.ask(profile, head, body, source).await {
            Ok(agent) => self
                .standing_of(&agent)
                .and_then(|standing| Some((foreign_identity(&agent, profile)?, standing)))
                .map_or_else(
                    || refuse(Refusal::new(Reason::VerifierUnavailable)),
                    |(identity, standing)| Verdict::Pass {
                        identity,
                        digest: None,
                        standing,
                    },
                ),
            Err(refusal) => refuse(refusal),
        }
    }

    /// How long the answer to an agent of another system may last: as long as its id is
    /// bound to the agent that the server named, or to nobody, and this gate knows enough
    /// to say so. Where it knows of another binding than the server, there is none. Nobody
    /// tells it when a secret or the file with a key goes.
    fn standing_of(&self, agent: &ProvenAgent) -> Option<Standing> {
        // The question may have taken a while.
        if !self.is_fresh() {
            return None;
        }
        let id = agent.agent_id.clone();
        self.standings.of(match agent.actor {
            Some(actor) => Subject::Bound {
                id,
                actor,
                device: agent.device,
            },
            None => Subject::Unbound(id),
        })
    }

    /// Who the caller is, as the upstream is told. Names in the tree are labels, so that
    /// there is always an identity, if not one of any length.
    fn identity(&self, caller: &Caller) -> Option<Identity> {
        let name = self.standings.directory().lineage(caller.actor());
        Identity::new(&name, caller.profile().as_str())
            .and_then(|identity| identity.in_tree(caller.actor(), caller.owner()))
            .ok()
    }
}

impl Authenticate for Verifying {
    fn check<'a>(&'a self, head: &'a Head<'a>, body: BodyView<'a>, source: IpAddr) -> Judging<'a> {
        match recognise(head) {
            Ok(Shown::Native) => Box::pin(self.native(head, body, source)),
            Ok(Shown::Foreign(profile)) => Box::pin(self.foreign(profile, head, body, source)),
            Err(case) => Box::pin(std::future::ready(unshown(case))),
        }
    }

    /// All of a native proof but the body and whether it was used before. Others sign
    /// the body and say its digest nowhere.
    fn foresee(&self, head: &Head<'_>, follows: bool, source: IpAddr) -> Option<Refusal> {
        match recognise(head) {
            Ok(Shown::Foreign(_)) => return None,
            Ok(Shown::Native) => {}
            Err(case) => return Some(procura_proof::Refusal::from(case).into()),
        }
        let profile = Profile::Native.as_str();
        if !self.is_fresh() {
            return Some(Refusal::new(Reason::VerifierUnavailable).by(profile));
        }
        let awaited = if follows {
            Awaited::Signed
        } else {
            Awaited::Unsigned
        };
        let (now, directory) = (self.clock.now(), self.standings.directory());
        let pending = self
            .verifier
            .prepare_head(&directory, &head.view(&[]), awaited, now, source);
        let refusal = pending.err()?;
        Some(Refusal::from(refusal).by(profile))
    }
}

/// A request that shows no profile, or two.
fn unshown(case: Case) -> Verdict {
    Verdict::Refuse(procura_proof::Refusal::from(case).into())
}

fn unavailable(profile: &'static str) -> Verdict {
    Verdict::Refuse(Refusal::new(Reason::VerifierUnavailable).by(profile))
}

/// An agent of another system, as the upstream is told: by its id there, and where that
/// is bound to an agent of ours, by that one's ids.
fn foreign_identity(agent: &ProvenAgent, profile: Foreign) -> Option<Identity> {
    let identity = Identity::new(agent.agent_id.as_str(), profile.as_str()).ok()?;
    match (&agent.actor, &agent.owner) {
        (Some(actor), Some(owner)) => identity.in_tree(actor, owner).ok(),
        (None, None) => Some(identity),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
