//! Against a real server: what it forgets, refuses, delays, and is told.

mod kept;

use super::{GuardServer, GuardUrl, LocalRedis, SharedFault, SharedMemory, Sharing};
use crate::guard::Of;
use procura_crypto::SystemEntropy;
use procura_proof::{
    By, Claim, Guard, GuardUnavailable, Limits, Once, Outcome, ReplayGuard, conformance,
};
use procura_types::{
    ActorId, Clock, Duration, GuardGeneration, InstallationId, Secret, Thumbprint, Timestamp,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

const DEVICE: Thumbprint = Thumbprint::from_bytes([3; 32]);
const ACTOR: ActorId = ActorId::from_bytes([4; 32]);
/// How long it may take until all is in order again.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine's, whose steady reading a test can move on.
#[derive(Default)]
struct Moved(AtomicU64);

impl Clock for Moved {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the server under test is the machine's"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp::from_millis(since.unwrap().as_millis().try_into().unwrap())
    }

    fn steady(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// A server, and this process's side of it.
struct World {
    redis: LocalRedis,
    clock: Arc<Moved>,
    runtime: Runtime,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(more: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            redis: LocalRedis::start(dir.path(), more),
            clock: Arc::default(),
            runtime: Runtime::new().unwrap(),
            dir,
        }
    }

    fn server(&self) -> GuardServer {
        GuardServer {
            url: self.redis.url().parse().unwrap(),
            password: None,
        }
    }

    fn sharing(&self) -> Sharing {
        Sharing {
            server: self.server(),
            installation: InstallationId::from_bytes([7; 16]),
            first: false,
            retires: Vec::new(),
        }
    }

    fn start(&self, sharing: Sharing) -> Arc<SharedMemory> {
        let _inside = self.runtime.enter();
        let clock: Arc<dyn Clock> = Arc::<Moved>::clone(&self.clock);
        SharedMemory::start(sharing, clock, Arc::new(SystemEntropy)).unwrap()
    }

    /// One that is in order.
    fn memory(&self, first: bool) -> Arc<SharedMemory> {
        let memory = self.start(Sharing {
            first,
            ..self.sharing()
        });
        self.runtime.block_on(memory.settled()).unwrap();
        memory
    }

    fn check(&self) -> Result<(), SharedFault> {
        self.runtime.block_on(SharedMemory::check(&self.server()))
    }

    fn claim(
        &self,
        memory: &Arc<SharedMemory>,
        nonce: &[u8],
        created: u64,
    ) -> Result<Outcome, GuardUnavailable> {
        self.claim_by(memory, nonce, created, None)
    }

    fn claim_by(
        &self,
        memory: &Arc<SharedMemory>,
        nonce: &[u8],
        created: u64,
        by: Option<u64>,
    ) -> Result<Outcome, GuardUnavailable> {
        let guard = memory.guard(Of::Native, Limits::default());
        let claim = Claim {
            device: &DEVICE,
            created: Timestamp::from_secs(created),
            now: self.clock.now(),
            ahead: 15,
            once: Once::Nonce(nonce),
            by: by.map(|directory_seq| By {
                actor: &ACTOR,
                directory_seq,
            }),
        };
        self.runtime.block_on(guard.claim(&claim))
    }

    /// Now, in seconds.
    fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    /// A proof that no earlier generation can have seen: from a little later than the
    /// clock lets in, which is not for the guard to tell.
    fn later(&self) -> u64 {
        self.now() + 120
    }

    fn wait(&self, what: &str, mut until: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !until() {
            assert!(begin.elapsed() < PATIENCE, "waited for: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until claims are made in another generation.
    fn renewed(&self, memory: &SharedMemory, before: GuardGeneration) {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, memory.begun(Some(before))).await })
            .expect("no new generation");
    }
}

/// What the suite asks, which waits.
struct Waiting(Guard, Handle);

impl ReplayGuard for Waiting {
    fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable> {
        self.1.block_on(self.0.claim(claim))
    }
}

#[test]
fn conforms() {
    let world = World::new();
    for of in [Of::Native, Of::Foreign] {
        for first in [true, false] {
            conformance::run(of.windows(), &mut || {
                world.redis.tell(&["FLUSHALL"]);
                let guard = world.memory(first).guard(of, conformance::LIMITS);
                Box::new(Waiting(guard, world.runtime.handle().clone()))
            });
        }
    }
}

#[test]
fn counters_are_numbers_of_64_bits() {
    let world = World::new();
    let guard = world.memory(true).guard(Of::Native, Limits::default());
    let claim = |counter| {
        world.runtime.block_on(guard.claim(&Claim {
            device: &DEVICE,
            created: world.clock.now(),
            now: world.clock.now(),
            ahead: 15,
            once: Once::Counter {
                session: &[1; 16],
                counter,
                expires: world.clock.now().plus(Duration::from_secs(600)),
            },
            by: None,
        }))
    };
    let mut window = procura_proof::Window::default();
    let top = u64::MAX;
    let ahead = [0, 1, 1, 4095, 4096, 0, 1, 2, 8191, 8192, 4096, 4097, 4097];
    let far = [
        20_000,
        15_904,
        15_905,
        12_287,
        1 << 53,
        (1 << 53) + 1,
        1 << 53,
    ];
    let last = [
        top - 4096,
        top - 1,
        top,
        top,
        top - 1,
        top - 4095,
        top - 4096,
    ];
    for counter in ahead.into_iter().chain(far).chain(last) {
        let expected = if window.claim(counter) {
            Outcome::Fresh
        } else {
            Outcome::Replayed
        };
        assert_eq!(claim(counter), Ok(expected), "{counter}");
    }
}

#[test]
fn what_one_claimed_another_cannot() {
    let world = World::new();
    let (one, two) = (world.memory(true), world.memory(false));
    assert_eq!(one.generation(), two.generation());
    let now = world.now();
    assert_eq!(world.claim(&one, b"a", now), Ok(Outcome::Fresh));
    assert_eq!(world.claim(&two, b"a", now), Ok(Outcome::Replayed));
    assert_eq!(world.claim(&two, b"b", now), Ok(Outcome::Fresh));
    // After a restart of ours as well.
    drop((one, two));
    let three = world.memory(false);
    assert_eq!(world.claim(&three, b"b", now), Ok(Outcome::Replayed));
    assert_eq!(world.claim(&three, b"c", now), Ok(Outcome::Fresh));

    // Another installation shares nothing, and the other kind of proofs neither.
    let other = world.start(Sharing {
        installation: InstallationId::from_bytes([8; 16]),
        first: true,
        ..world.sharing()
    });
    world.runtime.block_on(other.settled()).unwrap();
    assert_ne!(other.generation(), three.generation());
    assert_eq!(world.claim(&other, b"b", now), Ok(Outcome::Fresh));
    let foreign = three.guard(Of::Foreign, Limits::default());
    let claim = Claim {
        device: &DEVICE,
        created: Timestamp::from_secs(now),
        now: Timestamp::from_secs(now),
        ahead: 60,
        once: Once::Nonce(b"b"),
        by: None,
    };
    let claimed = world.runtime.block_on(foreign.claim(&claim));
    assert_eq!(claimed, Ok(Outcome::Fresh));
}

#[test]
fn a_first_generation_refuses_nothing_and_any_other_what_may_have_been_used() {
    let world = World::new();
    let first = world.memory(true);
    assert_eq!(first.generation().unwrap().since, 0);
    let made = world.now();
    assert_eq!(world.claim(&first, b"a", made), Ok(Outcome::Fresh));

    // Whoever says that it is the first is not believed once there was another.
    drop(first);
    world.redis.tell(&["FLUSHALL"]);
    drop(world.memory(false));
    let again = world.memory(true);
    let since = again.generation().unwrap().since / 1000;
    assert!(since >= made);
    let until = since + 15 + super::CLOCKS;
    for created in [made, since, until] {
        let refused = world.claim(&again, b"a", created).unwrap_err();
        let wait = refused.retry_after.as_secs();
        assert!((1..=1 + until - since).contains(&wait), "{wait}");
    }
    assert_eq!(world.claim(&again, b"a", until + 1), Ok(Outcome::Fresh));
}

#[test]
fn a_memory_that_was_flushed_counts_as_lost() {
    let world = World::new();
    let memory = world.memory(true);
    let made = world.now();
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Fresh));
    for flush in ["FLUSHALL", "FLUSHDB"] {
        let before = memory.generation().unwrap();
        world.redis.tell(&[flush]);
        // Whether the claim notices or the keeper did: never a second time.
        assert!(world.claim(&memory, b"a", made).is_err());
        world.renewed(&memory, before);
        assert!(world.claim(&memory, b"a", made).is_err());
        let later = world.later();
        let fresh = || world.claim(&memory, flush.as_bytes(), later) == Ok(Outcome::Fresh);
        world.wait("claims in the new generation", fresh);
    }
}

#[test]
fn a_server_that_was_restarted_lost_its_memory() {
    let mut world = World::new();
    let memory = world.memory(true);
    let before = memory.generation().unwrap();
    let made = world.now();
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Fresh));
    world.redis.stop();
    assert!(world.claim(&memory, b"a", made).is_err());
    assert!(world.claim(&memory, b"b", made).is_err());
    let problem = memory.problem().unwrap();
    assert!(problem.contains("cannot be used now"), "{problem}");
    world.redis.start_again();
    let back = Instant::now();
    world.renewed(&memory, before);
    // Ten times that as it is built for tests, on a machine that does other things too.
    let most = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 3 });
    let took = back.elapsed();
    assert!(took < most, "{took:?}");
    assert_eq!(memory.problem(), None);
    assert!(world.claim(&memory, b"a", made).is_err());
    let later = world.later();
    assert_eq!(world.claim(&memory, b"c", later), Ok(Outcome::Fresh));
}

/// What was stored on disk is not believed: what came after it is not there.
#[test]
fn a_server_that_read_its_memory_back_is_another() {
    let dir = TempDir::new().unwrap();
    let mut world = World::with(&["--dir", dir.path().to_str().unwrap()]);
    let memory = world.memory(true);
    let before = memory.generation().unwrap();
    let made = world.now();
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Fresh));
    world.redis.tell(&["SAVE"]);
    assert_eq!(world.claim(&memory, b"b", made), Ok(Outcome::Fresh));
    world.redis.stop();
    world.redis.start_again();
    let key = format!("procura:generation:{}", world.sharing().installation);
    assert_eq!(world.redis.tell(&["EXISTS", &key]), "1");
    world.renewed(&memory, before);
    for nonce in [&b"a"[..], b"b"] {
        assert!(world.claim(&memory, nonce, made).is_err());
    }
}

#[test]
fn a_slow_server_is_not_waited_for() {
    let world = World::new();
    let memory = world.memory(true);
    let generation = memory.generation();
    let made = world.now();
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Fresh));
    // As it is built for tests, on a machine that does other things too, it may take longer.
    let most = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });
    let pause = (most * 2).as_millis().to_string();
    world.redis.tell(&["CLIENT", "PAUSE", &pause, "ALL"]);
    let begin = Instant::now();
    assert_eq!(world.claim(&memory, b"b", made), Err(super::SOON));
    let first = begin.elapsed();
    assert!(first < most, "{first:?}");
    // Of a hundred more nobody waits as long: together they would for 25 s.
    let together = if cfg!(debug_assertions) {
        most
    } else {
        most / 4
    };
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(world.claim(&memory, b"b", made), Err(super::SOON));
    }
    let others = begin.elapsed();
    assert!(others < together, "{others:?}, and {first:?} for the first");
    world.wait("the pause is over", || memory.problem().is_none());
    assert_eq!(memory.generation(), generation);
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Replayed));
    assert_eq!(world.claim(&memory, b"c", made), Ok(Outcome::Fresh));
}

#[test]
fn a_server_that_evicts_is_refused() {
    let world = World::with(&["--maxmemory-policy", "allkeys-lru"]);
    let fault = world.check().unwrap_err();
    let text = fault.to_string();
    let what = format!(
        "redis-cli -u {} config set maxmemory-policy noeviction",
        world.redis.url()
    );
    assert!(text.contains("(maxmemory-policy allkeys-lru)"), "{text}");
    assert!(text.contains(&what) && !fault.is_passing(), "{text}");
    world
        .redis
        .tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    world.check().unwrap();

    // Also when it begins to while it is used.
    let memory = world.memory(true);
    world
        .redis
        .tell(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    world.wait("the policy is noticed", || memory.problem().is_some());
    assert!(world.claim(&memory, b"a", world.now()).is_err());
    world
        .redis
        .tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    world.wait("the policy is right again", || memory.problem().is_none());
    assert_eq!(world.claim(&memory, b"a", world.now()), Ok(Outcome::Fresh));
}

#[test]
fn a_full_server_takes_no_claims() {
    let world = World::new();
    let memory = world.memory(true);
    world.redis.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(world.claim(&memory, b"a", world.now()).is_err());
    world.redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    let fresh = || world.claim(&memory, b"a", world.now()) == Ok(Outcome::Fresh);
    world.wait("there is room again", fresh);
}

#[test]
fn a_password_is_needed_and_never_told() {
    let world = World::with(&["--requirepass", "sesame-7"]);
    for password in [None, Some("sesame-8")] {
        let server = GuardServer {
            password: password.map(|text| Secret::new(text.to_owned())),
            ..world.server()
        };
        let checked = world.runtime.block_on(SharedMemory::check(&server));
        let fault = checked.unwrap_err();
        let text = format!("{fault} {fault:?}");
        assert!(matches!(fault, SharedFault::NotLetIn { .. }), "{text}");
        assert!(text.contains("guard_password_file"), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
    let server = GuardServer {
        password: Some(Secret::new("sesame-7".to_owned())),
        ..world.server()
    };
    world
        .runtime
        .block_on(SharedMemory::check(&server))
        .unwrap();
    let memory = world.start(Sharing {
        server,
        first: true,
        ..world.sharing()
    });
    world.runtime.block_on(memory.settled()).unwrap();
    assert_eq!(world.claim(&memory, b"a", world.now()), Ok(Outcome::Fresh));
}

/// What `docs/shared-guard.md` says that a user of the server needs.
#[test]
fn few_rights_are_enough() {
    let page = include_str!("../../../../../docs/shared-guard.md");
    let rule = page.lines().find(|line| line.starts_with("user procura "));
    let rule = rule.unwrap().strip_prefix("user procura ").unwrap();
    let world = World::new();
    let words: Vec<_> = rule.split(' ').collect();
    world
        .redis
        .tell(&[&["ACL", "SETUSER", "procura"], &words[..]].concat());
    let server = GuardServer {
        url: format!("redis://procura@127.0.0.1:{}", world.redis.port())
            .parse()
            .unwrap(),
        password: Some(Secret::new("PASSWORD".to_owned())),
    };
    let memory = world.start(Sharing {
        server,
        ..world.sharing()
    });
    world.runtime.block_on(memory.settled()).unwrap();
    let later = world.later();
    let claim = |nonce: &[u8]| world.claim_by(&memory, nonce, later, Some(5));
    assert_eq!(claim(b"a"), Ok(Outcome::Fresh));
    assert_eq!(claim(b"a"), Ok(Outcome::Replayed));
    let guard = memory.guard(Of::Native, Limits::default());
    for (counter, expected) in [
        (4096, Outcome::Fresh),
        (9000, Outcome::Fresh),
        (0, Outcome::Replayed),
    ] {
        let claimed = world.runtime.block_on(guard.claim(&Claim {
            device: &DEVICE,
            created: Timestamp::from_secs(later),
            now: world.clock.now(),
            ahead: 15,
            once: Once::Counter {
                session: &[1; 16],
                counter,
                expires: Timestamp::from_secs(later),
            },
            by: None,
        }));
        assert_eq!(claimed, Ok(expected), "{counter}");
    }
    let kept = Duration::from_secs(60);
    let buried = world
        .runtime
        .block_on(memory.bury(&[DEVICE], &[ACTOR], 9, kept));
    assert_eq!(buried, Ok(memory.generation().unwrap()));
    assert_eq!(claim(b"b"), Ok(Outcome::Revoked));
}

#[test]
fn a_replica_is_refused() {
    let world = World::new();
    let memory = world.memory(true);
    world.redis.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    let fault = world.check().unwrap_err();
    assert!(matches!(fault, SharedFault::Replica { .. }), "{fault}");
    assert!(world.claim(&memory, b"a", world.now()).is_err());
    world.redis.tell(&["REPLICAOF", "NO", "ONE"]);
    let fresh = || world.claim(&memory, b"a", world.now()) == Ok(Outcome::Fresh);
    world.wait("it is the master again", fresh);
}

/// A replica that took over is another process, which may not know the last claims.
#[test]
fn a_failover_counts_as_lost_memory() {
    let world = World::new();
    let dir = TempDir::new().unwrap();
    let memory = world.memory(true);
    let made = world.now();
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Fresh));
    let port = world.redis.port().to_string();
    let replica = LocalRedis::start(dir.path(), &["--replicaof", "127.0.0.1", &port]);
    let key = format!("procura:generation:{}", world.sharing().installation);
    world.wait("the replica has it all", || {
        replica.tell(&["EXISTS", &key]) == "1"
    });
    replica.tell(&["REPLICAOF", "NO", "ONE"]);
    let after = world.start(Sharing {
        server: GuardServer {
            url: replica.url().parse().unwrap(),
            password: None,
        },
        ..world.sharing()
    });
    world.runtime.block_on(after.settled()).unwrap();
    let (before, after_id) = (memory.generation().unwrap(), after.generation().unwrap());
    assert_ne!(before.id, after_id.id);
    assert!(after_id.since > before.since);
    assert!(world.claim(&after, b"a", made).is_err());
    assert!(world.claim(&after, b"b", made).is_err());
    assert_eq!(world.claim(&after, b"b", world.later()), Ok(Outcome::Fresh));
}

#[test]
fn a_server_that_comes_later_is_found() {
    let mut world = World::new();
    world.redis.stop();
    let fault = world.check().unwrap_err();
    assert!(fault.is_passing(), "{fault}");
    let memory = world.start(Sharing {
        first: true,
        ..world.sharing()
    });
    assert!(world.runtime.block_on(memory.settled()).is_err());
    assert!(world.claim(&memory, b"a", world.now()).is_err());
    world.redis.start_again();
    world.wait("it is found", || memory.problem().is_none());
    assert_eq!(world.claim(&memory, b"a", world.now()), Ok(Outcome::Fresh));
}

/// Claims are kept for a time by the server's clock: when that jumps, they are gone.
#[test]
fn a_clock_that_jumped_counts_as_lost_memory() {
    let world = World::new();
    let memory = world.memory(true);
    let before = memory.generation().unwrap();
    let made = world.now();
    assert_eq!(world.claim(&memory, b"a", made), Ok(Outcome::Fresh));
    world.clock.0.store(30, Ordering::Relaxed);
    let claimed = world.claim(&memory, b"b", made);
    assert!(claimed.is_err(), "{claimed:?}");
    world.renewed(&memory, before);
    assert!(world.claim(&memory, b"a", made).is_err());
    assert_eq!(
        world.claim(&memory, b"c", world.later()),
        Ok(Outcome::Fresh)
    );
}

#[test]
fn a_record_that_is_none_is_begun_anew() {
    let world = World::new();
    let memory = world.memory(true);
    let before = memory.generation().unwrap();
    drop(memory);
    let record = format!("procura:generation-of:{}", world.sharing().installation);
    for (field, garbage) in [("key", "short"), ("start", "soon"), ("run", "another")] {
        world.redis.tell(&["HSET", &record, field, garbage]);
        let memory = world.memory(false);
        assert_ne!(memory.generation().unwrap(), before, "{field}");
    }
}

#[test]
fn a_journal_that_is_stood_in_for_ends_the_generation_and_goes() {
    let world = World::new();
    let before = world.memory(true).generation().unwrap();
    let journal = world.dir.path().join("replay.journal.0");
    let settled = || {
        let memory = world.start(Sharing {
            retires: vec![journal.clone(), world.dir.path().join("none")],
            ..world.sharing()
        });
        world.runtime.block_on(memory.settled()).unwrap();
        memory.generation().unwrap()
    };
    assert_eq!(settled(), before);
    std::fs::write(&journal, "claims").unwrap();
    let after = settled();
    assert_ne!(after, before);
    assert!(!journal.exists());
    assert_eq!(settled(), after);
}

#[test]
fn tombstones_refuse_what_goes_by_an_earlier_state() {
    let world = World::new();
    let memory = world.memory(true);
    let made = world.now();
    let bury = |devices: &[Thumbprint], actors: &[ActorId], seq| {
        let kept = Duration::from_secs(60);
        world
            .runtime
            .block_on(memory.bury(devices, actors, seq, kept))
    };
    let claim = |nonce: &[u8], seq| world.claim_by(&memory, nonce, made, Some(seq));
    assert_eq!(claim(b"a", 5), Ok(Outcome::Fresh));
    let many: Vec<_> = (0..=255)
        .flat_map(|n| [[n; 32], [n ^ 1; 32]])
        .map(ActorId::from_bytes)
        .filter(|actor| *actor != ACTOR)
        .collect();
    assert_eq!(
        bury(&[Thumbprint::from_bytes([9; 32])], &many, 9),
        Ok(memory.generation().unwrap())
    );
    assert_eq!(claim(b"b", 5), Ok(Outcome::Fresh), "others are not touched");
    for (devices, actors) in [(&[DEVICE][..], &[][..]), (&[], &[ACTOR])] {
        let before = memory.generation().unwrap();
        world.redis.tell(&["FLUSHALL"]);
        world.renewed(&memory, before);
        bury(devices, actors, 9).unwrap();
        bury(devices, actors, 7).unwrap();
        let later = |nonce: &[u8], seq| world.claim_by(&memory, nonce, world.later(), Some(seq));
        assert_eq!(later(b"e", 8), Ok(Outcome::Revoked));
        assert_eq!(
            later(b"e", 9),
            Ok(Outcome::Fresh),
            "the nonce was not used up"
        );
        assert_eq!(later(b"e", 9), Ok(Outcome::Replayed));
        // What no directory says anything of is not asked about.
        assert_eq!(
            world.claim(&memory, b"f", world.later()),
            Ok(Outcome::Fresh)
        );
    }
}

/// Four at once, while the server dies, comes back and is flushed: each proof is taken
/// once at most, and in the end they are taken again.
#[test]
fn no_proof_is_taken_twice_whatever_becomes_of_the_server() {
    let mut world = World::new();
    let memories = [world.memory(true), world.memory(false)];
    let taken: Mutex<Vec<(u64, u64)>> = Mutex::default();
    let (next, twice) = (AtomicU64::new(0), AtomicU64::new(0));
    let (handle, clock) = (world.runtime.handle().clone(), Arc::clone(&world.clock));
    let claim = |memory: &Arc<SharedMemory>, nonce: u64, created: u64| {
        let guard = memory.guard(Of::Native, Limits::default());
        handle.block_on(guard.claim(&Claim {
            device: &DEVICE,
            created: Timestamp::from_secs(created),
            now: clock.now(),
            ahead: 15,
            once: Once::Nonce(&nonce.to_be_bytes()),
            by: None,
        }))
    };
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (claim, taken, next, twice, stop, memories, clock) =
                (&claim, &taken, &next, &twice, &stop, &memories, &clock);
            scope.spawn(move || {
                while stop.load(Ordering::Relaxed) == 0 {
                    let nonce = next.fetch_add(1, Ordering::Relaxed);
                    // As far ahead as clocks let in at most.
                    let created = clock.now().as_secs() + nonce % 16;
                    if claim(&memories[worker % 2], nonce, created) == Ok(Outcome::Fresh) {
                        taken.lock().unwrap().push((nonce, created));
                    }
                    let old = {
                        let taken = taken.lock().unwrap();
                        let place = usize::try_from(nonce).unwrap() % taken.len().max(1);
                        taken.get(place).copied()
                    };
                    if let Some((nonce, created)) = old
                        && claim(&memories[(worker + 1) % 2], nonce, created) == Ok(Outcome::Fresh)
                    {
                        twice.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let pause = || std::thread::sleep(Duration::from_millis(300));
        for _ in 0..2 {
            pause();
            world.redis.tell(&["FLUSHALL"]);
            pause();
            world.redis.stop();
            pause();
            world.redis.start_again();
            pause();
            world.redis.tell(&["CLIENT", "PAUSE", "600", "ALL"]);
            pause();
        }
        stop.store(1, Ordering::Relaxed);
    });
    assert_eq!(twice.into_inner(), 0);
    assert!(taken.into_inner().unwrap().len() > 10);
    // What a server that pauses answers too late it has taken all the same, so each try
    // is with another nonce.
    let mut tries = 0_u64;
    for memory in &memories {
        let later = world.later();
        world.wait("claims again", || {
            tries += 1;
            let nonce = [&b"again"[..], &tries.to_be_bytes()].concat();
            world.claim(memory, &nonce, later) == Ok(Outcome::Fresh)
        });
    }
}

#[test]
fn an_address_is_shown_as_it_was_given() {
    let url: GuardUrl = "redis://127.0.0.1:7".parse().unwrap();
    assert_eq!(
        format!("{url} {url:?}"),
        "redis://127.0.0.1:7 redis://127.0.0.1:7"
    );
}
