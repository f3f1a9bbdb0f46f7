//! Verifying without asking the server: native proofs and sessions, with what the
//! feed said of the directory (`protocol.md` §3.4).

use crate::authenticate::{Authenticate, BodyView, Head, Identity, Judging, Refusal, Verdict};
use arc_swap::ArcSwap;
use procura_crypto::{KeyError, LockError, LockedKey, PublicKey};
use procura_directory::{ActorKind, ActorRecord, Change, DeviceRecord, Snapshot};
use procura_proof::foreign::{Shown, recognise};
use procura_proof::{Awaited, Caller, Profile, Reason, ReplayGuard, SessionKeys, Verifier};
use procura_types::wire::{Feed, FeedActor, FeedActorKind, FeedDevice, FeedKey};
use procura_types::{Audience, Clock, Duration, Label, Namespace, Secret};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A feed that is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum FeedFault {
    /// It leads to an older state than one that was known.
    #[error(
        "the server's directory is at {offered} and was at {known}: it was put back to an older state"
    )]
    RolledBack {
        /// The highest that was known.
        known: u64,
        /// Of this feed.
        offered: u64,
    },
    /// It says what changed, and nothing is known that could have changed.
    #[error("it only says what changed")]
    NoBase,
    /// A key in it is none, or not the one that it is named by.
    #[error("the key of {0} cannot be used")]
    Key(String),
    /// No locked memory for the keys of sessions.
    #[error(transparent)]
    Memory(#[from] LockError),
}

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
    verifier: Verifier,
    keys: Arc<HeldKeys>,
    directory: ArcSwap<Snapshot>,
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
        guard: Arc<dyn ReplayGuard>,
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
            verifier: Verifier::new(&audience, guard, held)?,
            keys,
            directory: ArcSwap::default(),
            heard: Mutex::new(Heard {
                highest,
                fresh: None,
            }),
            max_stale,
            clock,
        })
    }

    /// How old what is known may be.
    #[must_use]
    pub const fn max_stale(&self) -> Duration {
        self.max_stale
    }

    /// Takes in what the server said to a question of the moment `asked`: it knew at
    /// least what was so then. The next request is judged by it.
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
        let actors = feed.actors.iter().map(|actor| self.actor(actor));
        let devices = feed.devices.iter().map(device);
        let changes = actors.chain(devices).collect::<Result<Vec<_>, _>>()?;
        let keys = feed.keys.iter().map(key).collect::<Result<_, _>>()?;
        let base = if feed.full {
            Snapshot::default()
        } else {
            self.directory.load().as_ref().clone()
        };
        self.directory
            .store(Arc::new(base.apply(feed.seq, changes)));
        self.keys.keys.store(Arc::new(keys));
        heard.highest = feed.seq;
        heard.fresh = Some(asked);
        Ok(())
    }

    /// Lets nobody in any more until a whole feed is taken in: the server does not let
    /// this gate follow. The keys of sessions are wiped.
    pub fn lose(&self) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.fresh = None;
        self.keys.keys.store(Arc::default());
        self.verifier.forget_sessions();
    }

    /// Whether what is known is not too old.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let fresh = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.fresh
        };
        fresh.is_some_and(|fresh| {
            self.clock.steady().saturating_duration_since(fresh) <= self.max_stale
        })
    }

    fn actor(&self, actor: &FeedActor) -> Result<Change, FeedFault> {
        let kind = match &actor.kind {
            FeedActorKind::Owner { alg, root_key } => ActorKind::Owner {
                name: actor.label.clone(),
                alg: *alg,
                root_key: PublicKey::from_jwk(root_key)
                    .map_err(|_| FeedFault::Key(actor.label.to_string()))?,
            },
            FeedActorKind::Agent {
                parent,
                incarnation,
            } => ActorKind::Agent {
                parent: *parent,
                namespace: self.namespace.clone(),
                label: actor.label.clone(),
                incarnation: *incarnation,
            },
        };
        Ok(Change::Actor(ActorRecord {
            id: actor.id,
            kind,
            owner: actor.owner,
            created: actor.created,
            revoked: actor.revoked,
        }))
    }

    fn judge(&self, head: &Head<'_>, body: BodyView<'_>, peer: IpAddr) -> Verdict {
        let profile = match recognise(head) {
            Ok(Shown::Native) => None,
            Ok(Shown::Foreign(profile)) => Some(profile.as_str()),
            Err(case) => return Verdict::Refuse(procura_proof::Refusal::from(case).into()),
        };
        let profile = match profile {
            // A session is told from a device's own key by the verifier.
            None => Profile::Native.as_str(),
            // The server knows those keys, and a gate does not ask it.
            Some(foreign) => return unavailable(foreign),
        };
        if !self.is_fresh() {
            return unavailable(profile);
        }
        let now = self.clock.now();
        let directory = self.directory.load();
        let proven = match body {
            BodyView::Whole(body) => self
                .verifier
                .verify(&directory, &head.view(body), now, peer)
                .map(|caller| (caller, None)),
            BodyView::Streamed => {
                self.verifier
                    .verify_head(&directory, &head.view(&[]), Awaited::Signed, now, peer)
            }
            BodyView::Unsigned => {
                self.verifier
                    .verify_head(&directory, &head.view(&[]), Awaited::Unsigned, now, peer)
            }
        };
        match proven {
            Ok((caller, digest)) => match identity(&directory, &caller) {
                Some(identity) => Verdict::Pass { identity, digest },
                None => unavailable(profile),
            },
            Err(refusal) => Verdict::Refuse(Refusal {
                profile: Some(profile),
                ..refusal.into()
            }),
        }
    }
}

impl Authenticate for Verifying {
    fn check<'a>(&'a self, head: &'a Head<'a>, body: BodyView<'a>, peer: IpAddr) -> Judging<'a> {
        Box::pin(std::future::ready(self.judge(head, body, peer)))
    }
}

fn unavailable(profile: &'static str) -> Verdict {
    Verdict::Refuse(Refusal {
        profile: Some(profile),
        ..Refusal::new(Reason::VerifierUnavailable)
    })
}

/// Who the caller is, as the upstream is told. Names in the tree are labels, so that
/// there is always an identity, if not one of any length.
fn identity(directory: &Snapshot, caller: &Caller) -> Option<Identity> {
    let name = directory.lineage(caller.actor());
    Identity::new(&name, caller.profile().as_str())
        .and_then(|identity| identity.in_tree(caller.actor(), caller.owner()))
        .ok()
}

fn device(device: &FeedDevice) -> Result<Change, FeedFault> {
    let wrong = || FeedFault::Key(device.thumbprint.to_string());
    let key = PublicKey::from_jwk(&device.key).map_err(|_| wrong())?;
    if key.thumbprint() != device.thumbprint {
        return Err(wrong());
    }
    Ok(Change::Device(DeviceRecord {
        thumbprint: device.thumbprint,
        actor: device.actor,
        key,
        created: device.created,
        revoked: device.revoked,
    }))
}

fn key(key: &FeedKey) -> Result<(u32, LockedKey), FeedFault> {
    let wrong = || FeedFault::Key(format!("epoch {}", key.epoch));
    let bytes = key.key.decode().map_err(|_| wrong())?;
    let mut held = Secret::new([0; 32]);
    if bytes.expose().len() != held.expose().len() {
        return Err(wrong());
    }
    held.expose_mut().copy_from_slice(bytes.expose());
    Ok((key.epoch, LockedKey::new(held)?))
}
