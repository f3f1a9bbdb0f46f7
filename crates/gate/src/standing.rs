//! How long an answer may last: until whoever asked for it would not be let in any
//! more. Requests are judged once, and tunnels and answers that stream outlive that.

use arc_swap::ArcSwap;
use hyper::body::Body;
use procura_directory::Snapshot;
use procura_types::{ActorId, ForeignId, Thumbprint};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Answers of known length up to so many bytes are not watched.
const SHORT: u64 = 64 * 1024;

/// Resolves when whoever asked is not let in any more; never, if nobody says so.
pub type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// An actor's, by itself.
    Actor {
        actor: ActorId,
        /// The device, where there is one that can be revoked by itself.
        device: Option<Thumbprint>,
    },
    /// That of an id of another system which stands for an agent.
    Bound {
        id: ForeignId,
        actor: ActorId,
        /// The device that was enrolled under the id.
        device: Option<Thumbprint>,
    },
    /// That of an id of another system which stands for nobody in the namespace.
    Unbound(ForeignId),
}

impl Subject {
    /// Whether all of it is known, belongs together and is active; of an id that stands
    /// for nobody, whether that is still so.
    fn is_active(&self, directory: &Snapshot) -> bool {
        match self {
            Self::Actor { actor, device } => {
                is_active(directory, actor, device.as_ref())
                    && !directory.is_quarantined(device.as_ref(), None)
            }
            Self::Bound { id, actor, device } => {
                let stands = directory
                    .foreign(id)
                    .is_some_and(|bound| bound.actor == *actor && bound.device == *device);
                stands
                    && is_active(directory, actor, device.as_ref())
                    && !directory.is_quarantined(device.as_ref(), Some(id))
            }
            Self::Unbound(id) => directory.foreign(id).is_none(),
        }
    }
}

fn is_active(directory: &Snapshot, actor: &ActorId, device: Option<&Thumbprint>) -> bool {
    directory.is_active(actor)
        && device.is_none_or(|device| {
            directory
                .device(device)
                .is_some_and(|device| device.revoked.is_none() && device.actor == *actor)
        })
}

/// The standing of whoever made a request, with which its answer lasts or ends.
#[derive(Clone)]
pub struct Standing(Option<(Subject, Arc<Standings>)>);

impl Standing {
    /// Of somebody who needs none.
    #[must_use]
    pub const fn lasting() -> Self {
        Self(None)
    }

    /// The same for the body of an answer; none for one that is over before anybody
    /// could be revoked.
    #[must_use]
    pub fn ending_of(&self, body: &impl Body) -> Option<Ending> {
        let is_short = body.size_hint().exact().is_some_and(|size| size <= SHORT);
        if is_short { None } else { self.ending() }
    }

    /// What ends with it, if anything ever does.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        let (subject, standings) = self.0.as_ref()?;
        Some(standings.watch(subject))
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.0.as_ref().map(|(subject, _)| subject);
        f.debug_tuple("Standing").field(&subject).finish()
    }
}

/// What is known of the directory, and whose answers are under way.
#[derive(Default)]
pub(crate) struct Standings {
    directory: ArcSwap<Snapshot>,
    /// By subject and not by answer, so that to look at all of them takes as long as
    /// there are callers.
    under_way: Mutex<HashMap<Subject, watch::Sender<bool>>>,
}

impl Standings {
    /// What is known now.
    pub(crate) fn directory(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.directory.load()
    }

    /// Takes in what is known from now on, and ends what may not last by it.
    pub(crate) fn take(&self, directory: Snapshot) {
        let directory = Arc::new(directory);
        self.directory.store(Arc::clone(&directory));
        self.under_way().retain(|subject, answers| {
            // Nobody waits for those any more.
            if answers.is_closed() {
                return false;
            }
            let lasts = subject.is_active(&directory);
            if !lasts {
                answers.send_replace(true);
            }
            lasts
        });
    }

    /// Ends everything: nothing is known any more of who may go on.
    pub(crate) fn end(&self) {
        for (_, answers) in self.under_way().drain() {
            answers.send_replace(true);
        }
    }

    /// The standing of a subject; none if it is not active by what is known.
    pub(crate) fn of(self: &Arc<Self>, subject: Subject) -> Option<Standing> {
        subject
            .is_active(&self.directory.load())
            .then(|| Standing(Some((subject, Arc::clone(self)))))
    }

    fn watch(&self, subject: &Subject) -> Ending {
        let mut answers = {
            let mut under_way = self.under_way();
            // Looked at under the lock, after which the next state looks at it: what
            // was taken in since the verdict is not missed.
            if !subject.is_active(&self.directory.load()) {
                return Box::pin(std::future::ready(()));
            }
            under_way
                .entry(subject.clone())
                .or_insert_with(|| watch::Sender::new(false))
                .subscribe()
        };
        Box::pin(async move {
            // A sender that is gone has ended as well.
            let _ = answers.wait_for(|ended| *ended).await;
        })
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Subject, watch::Sender<bool>>> {
        // The map is whole between any two lines.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::{SigningKey, SystemEntropy};
    use procura_directory::{ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord};
    use procura_types::{Alg, Timestamp};
    use std::time::{Duration, Instant};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn numbered(number: u32) -> ActorId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        ActorId::from_bytes(bytes)
    }

    fn owner(number: u32, revoked: Option<Timestamp>, key: &SigningKey) -> Change {
        let id = numbered(number);
        Change::Actor(ActorRecord {
            id,
            kind: ActorKind::Owner {
                name: format!("o{number}").parse().unwrap(),
                alg: Alg::P256,
                root_key: key.public().clone(),
            },
            owner: id,
            created: NOW,
            revoked,
            sources: Vec::new(),
            display_name: None,
        })
    }

    fn device(key: &SigningKey, number: u32, revoked: Option<Timestamp>) -> Change {
        Change::Device(DeviceRecord {
            thumbprint: key.public().thumbprint(),
            actor: numbered(number),
            key: key.public().clone(),
            created: NOW,
            revoked,
        })
    }

    /// The id `name`, which stands for this actor, or did.
    fn bound(name: &str, number: u32, device: Option<&SigningKey>, is_released: bool) -> Change {
        Change::Foreign(ForeignRecord {
            id: name.parse().unwrap(),
            actor: numbered(number),
            device: device.map(|key| key.public().thumbprint()),
            created: NOW,
            released: is_released.then_some(NOW),
        })
    }

    fn has_ended(ending: &mut Ending) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        ending.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn answers_end_with_the_device_or_the_actor_and_not_with_others() {
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let standings = Arc::new(Standings::default());
        let known = Snapshot::default().apply(
            1,
            vec![
                owner(1, None, &key),
                owner(2, None, &key),
                device(&key, 1, None),
            ],
        );
        standings.take(known.clone());
        let subject = |number, device| Subject::Actor {
            actor: numbered(number),
            device,
        };
        let thumbprint = Some(key.public().thumbprint());
        let by_device = subject(1, thumbprint);
        let by_actor = subject(1, None);
        let other = subject(2, None);
        let open = |subject| standings.of(subject).unwrap().ending().unwrap();
        let [mut first, mut second, mut third] = [by_device.clone(), by_actor, other].map(open);
        assert!(!has_ended(&mut first) && !has_ended(&mut second) && !has_ended(&mut third));
        // Somebody else's device is not theirs.
        assert!(standings.of(subject(2, thumbprint)).is_none());

        let known = known.apply(2, vec![device(&key, 1, Some(NOW))]);
        let late = standings.of(by_device.clone()).unwrap();
        standings.take(known.clone());
        assert!(has_ended(&mut first) && !has_ended(&mut second) && !has_ended(&mut third));
        // The verdict was before, the answer came after.
        assert!(has_ended(&mut late.ending().unwrap()));
        assert!(standings.of(by_device).is_none());

        standings.take(known.apply(3, vec![owner(1, Some(NOW), &key)]));
        assert!(has_ended(&mut second) && !has_ended(&mut third));
        standings.end();
        assert!(has_ended(&mut third));
        assert!(standings.under_way().is_empty());
        assert!(Standing::lasting().ending().is_none());
    }

    #[test]
    fn answers_to_ids_of_other_systems_end_with_the_binding_that_they_had() {
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let standings = Arc::new(Standings::default());
        let mut known = Snapshot::default().apply(
            1,
            vec![
                owner(1, None, &key),
                owner(2, None, &key),
                bound("legacy", 1, None, false),
                bound("other", 1, None, false),
            ],
        );
        standings.take(known.clone());
        let of = |name: &str, number| Subject::Bound {
            id: name.parse().unwrap(),
            actor: numbered(number),
            device: None,
        };
        let nobodys = |name: &str| Subject::Unbound(name.parse().unwrap());
        let open = |subject| standings.of(subject).unwrap().ending().unwrap();
        let mut other = open(of("other", 1));
        // Nobody else's, and nobody's only if it is so.
        for wrong in [of("legacy", 2), of("legacies", 1), nobodys("legacy")] {
            assert!(standings.of(wrong.clone()).is_none(), "{wrong:?}");
        }
        // Released, bound to another, and to the same under a key of its own.
        let changes: [&[Change]; 3] = [
            &[bound("legacy", 1, None, true)],
            &[
                bound("legacy", 1, None, true),
                bound("legacy", 2, None, false),
            ],
            &[device(&key, 1, None), bound("legacy", 1, Some(&key), false)],
        ];
        for (seq, changes) in (2..).step_by(2).zip(changes) {
            let mut legacy = open(of("legacy", 1));
            let late = standings.of(of("legacy", 1)).unwrap();
            known = known.apply(seq, changes.to_vec());
            standings.take(known.clone());
            assert!(has_ended(&mut legacy), "{changes:?}");
            assert!(has_ended(&mut late.ending().unwrap()), "{changes:?}");
            assert!(standings.of(of("legacy", 1)).is_none(), "{changes:?}");
            known = known.apply(seq + 1, vec![bound("legacy", 1, None, false)]);
            standings.take(known.clone());
        }
        // All there is may leave it out.
        let mut legacy = open(of("legacy", 1));
        standings.take(Snapshot::default().apply(
            8,
            vec![owner(1, None, &key), bound("other", 1, None, false)],
        ));
        assert!(has_ended(&mut legacy) && !has_ended(&mut other));
    }

    #[test]
    fn answers_to_who_is_nobody_end_when_it_becomes_somebody_or_nothing_is_known() {
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let standings = Arc::new(Standings::default());
        let known = Snapshot::default().apply(1, vec![owner(1, None, &key)]);
        standings.take(known.clone());
        let open = |name: &str| {
            let subject = Subject::Unbound(name.parse().unwrap());
            standings.of(subject).unwrap().ending().unwrap()
        };
        let [mut first, mut second] = ["first", "second"].map(open);
        standings.take(known.apply(2, vec![bound("first", 1, None, false)]));
        assert!(has_ended(&mut first) && !has_ended(&mut second));
        standings.end();
        assert!(has_ended(&mut second));
    }

    #[test]
    fn five_thousand_answers_are_looked_at_quickly_and_forgotten_when_they_are_over() {
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let all: Vec<Change> = (0..5000).map(|number| owner(number, None, &key)).collect();
        let known = Snapshot::default().apply(1, all);
        let standings = Arc::new(Standings::default());
        standings.take(known.clone());
        let mut endings: Vec<Ending> = (0..5000)
            .map(|number| {
                let subject = Subject::Actor {
                    actor: numbered(number),
                    device: None,
                };
                standings.of(subject).unwrap().ending().unwrap()
            })
            .collect();
        let revoked = known.apply(2, vec![owner(77, Some(NOW), &key)]);
        let began = Instant::now();
        standings.take(revoked.clone());
        assert!(began.elapsed() < Duration::from_millis(250));
        let ended: Vec<usize> = endings
            .iter_mut()
            .enumerate()
            .filter_map(|(number, ending)| has_ended(ending).then_some(number))
            .collect();
        assert_eq!(ended, [77]);
        drop(endings);
        standings.take(revoked);
        assert!(standings.under_way().is_empty());
    }
}
