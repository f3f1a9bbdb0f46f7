use super::*;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::foreign::{
    Allowed, Foreign, ForeignKey, ForeignKeys, ForeignSigner, ForeignVerifier, KeysUnavailable,
    sign,
};
use procura_proof::{Case, Once, RequestView, conformance};
use procura_types::{ForeignId, Thumbprint};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use tempfile::TempDir;

const T: u64 = 1_800_000_000;
const RETAIN: u64 = Windows::NATIVE.retain();
const EVEN: &str = Of::Native.names().even;
const ODD: &str = Of::Native.names().odd;
const BOOT: &str = "5c2e0d0e-0000-4000-8000-000000000001\n";
const OTHER_BOOT: &str = "5c2e0d0e-0000-4000-8000-000000000002\n";
const DEVICE: Thumbprint = Thumbprint::from_bytes([1; 32]);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn open(home: &TempDir, boot: &str, start: Start, now: u64) -> JournalGuard {
    open_one(home, Of::Native, boot, start, now)
}

fn open_one(home: &TempDir, of: Of, boot: &str, start: Start, now: u64) -> JournalGuard {
    JournalGuard::open(
        home.path(),
        of,
        boot,
        start,
        Limits::default(),
        at(now),
        &SystemEntropy,
    )
    .unwrap()
}

fn nonce(guard: &JournalGuard, nonce: &[u8], now: u64) -> Result<Outcome, GuardUnavailable> {
    made(guard, nonce, now, now)
}

fn made(
    guard: &JournalGuard,
    nonce: &[u8],
    created: u64,
    now: u64,
) -> Result<Outcome, GuardUnavailable> {
    let once = Once::Nonce(nonce);
    guard.claim(&Claim {
        device: &DEVICE,
        created: at(created),
        now: at(now),
        ahead: 15,
        once,
        by: None,
    })
}

fn counter(guard: &JournalGuard, counter: u64, now: u64) -> Result<Outcome, GuardUnavailable> {
    let once = Once::Counter {
        session: &[9; 16],
        counter,
        expires: at(T + 600),
    };
    guard.claim(&Claim {
        device: &DEVICE,
        created: at(now),
        now: at(now),
        ahead: 15,
        once,
        by: None,
    })
}

/// A journal with two nonces and two counters, its process gone without a word.
fn left_behind() -> TempDir {
    let home = TempDir::new().unwrap();
    let guard = open(&home, BOOT, Start::FirstEver, T);
    assert_eq!((guard.lost(), guard.refuse_until()), (None, None));
    assert_eq!(nonce(&guard, b"one", T), Ok(Outcome::Fresh));
    assert_eq!(nonce(&guard, b"two", T), Ok(Outcome::Fresh));
    assert_eq!(counter(&guard, 7, T), Ok(Outcome::Fresh));
    assert_eq!(counter(&guard, 5000, T), Ok(Outcome::Fresh));
    // No destructor runs when a process is killed.
    std::mem::forget(guard);
    home
}

fn remembers_all(guard: &JournalGuard) {
    assert_eq!((guard.lost(), guard.refuse_until()), (None, None));
    assert_eq!(nonce(guard, b"one", T + 1), Ok(Outcome::Replayed));
    assert_eq!(nonce(guard, b"two", T + 1), Ok(Outcome::Replayed));
    assert_eq!(
        counter(guard, 7, T + 1),
        Ok(Outcome::Replayed),
        "behind the window"
    );
    assert_eq!(counter(guard, 5000, T + 1), Ok(Outcome::Replayed));
    assert_eq!(counter(guard, 4999, T + 1), Ok(Outcome::Fresh));
}

/// The segment that claims are written to in a journal that did not turn yet.
fn segment(home: &TempDir) -> PathBuf {
    home.path().join(EVEN)
}

#[test]
fn conforms() {
    let mut homes = Vec::new();
    for of in [Of::Native, Of::Foreign] {
        conformance::run(of.windows(), &mut || {
            let home = TempDir::new().unwrap();
            let guard = JournalGuard::open(
                home.path(),
                of,
                BOOT,
                Start::FirstEver,
                conformance::LIMITS,
                conformance::START,
                &SystemEntropy,
            )
            .unwrap();
            homes.push(home);
            Box::new(guard)
        });
    }
}

#[test]
fn claims_outlive_the_process() {
    let home = left_behind();
    remembers_all(&open(&home, BOOT, Start::Again, T + 1));
    // And the next one.
    let third = open(&home, BOOT, Start::Again, T + 2);
    assert_eq!(nonce(&third, b"one", T + 2), Ok(Outcome::Replayed));
    assert_eq!(counter(&third, 4999, T + 2), Ok(Outcome::Replayed));
}

#[test]
fn segments_are_for_their_owner_only() {
    let home = left_behind();
    let mode = std::fs::metadata(segment(&home))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_record_torn_at_the_end_is_no_damage() {
    for torn in [&[1u8; 30][..], &[1; 64], &[0; 64]] {
        let home = left_behind();
        let mut bytes = std::fs::read(segment(&home)).unwrap();
        bytes.extend_from_slice(torn);
        std::fs::write(segment(&home), bytes).unwrap();
        let guard = open(&home, BOOT, Start::Again, T + 1);
        remembers_all(&guard);
        assert_eq!(nonce(&guard, b"three", T + 1), Ok(Outcome::Fresh));
        drop(guard);
        let guard = open(&home, BOOT, Start::Again, T + 2);
        assert_eq!(guard.lost(), None);
        assert_eq!(nonce(&guard, b"three", T + 2), Ok(Outcome::Replayed));
    }
}

/// Refuses what may have been claimed, and nothing that is made later; also when
/// the process is started again meanwhile.
fn refuses_for_a_while(home: &TempDir, boot: &str, lost: Lost) {
    let guard = open(home, boot, Start::Again, T + 1);
    assert_eq!(guard.lost(), Some(lost));
    assert_eq!(guard.refuse_until(), Some(at(T + 16)));
    let refused = |wait| {
        Err(GuardUnavailable {
            retry_after: Duration::from_secs(wait),
        })
    };
    assert_eq!(made(&guard, b"one", T, T + 2), refused(15));
    assert_eq!(made(&guard, b"new", T + 16, T + 2), refused(15));
    assert_eq!(made(&guard, b"new", T + 17, T + 2), Ok(Outcome::Fresh));
    drop(guard);
    let guard = open(home, boot, Start::Again, T + 3);
    assert_eq!(
        (guard.lost(), guard.refuse_until()),
        (None, Some(at(T + 16)))
    );
    assert_eq!(made(&guard, b"one", T, T + 3), refused(14));
    assert_eq!(made(&guard, b"new", T + 17, T + 3), Ok(Outcome::Replayed));
}

#[test]
fn after_a_restart_of_the_machine_nothing_is_believed() {
    refuses_for_a_while(&left_behind(), OTHER_BOOT, Lost::Restarted);
}

#[test]
fn without_a_name_of_the_boot_nothing_is_believed() {
    let home = TempDir::new().unwrap();
    assert_eq!(
        nonce(&open(&home, "", Start::FirstEver, T), b"one", T),
        Ok(Outcome::Fresh)
    );
    let guard = open(&home, "\n", Start::Again, T + 1);
    assert_eq!(guard.lost(), Some(Lost::Restarted));
    assert!(made(&guard, b"one", T, T + 1).is_err());
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let whole = std::fs::read(segment(&left_behind())).unwrap();
    assert_eq!(whole.len(), 128 + 4 * 64);
    for position in (0..128 + 3 * 64).step_by(7) {
        let home = left_behind();
        let mut bytes = std::fs::read(segment(&home)).unwrap();
        bytes[position] ^= 1;
        std::fs::write(segment(&home), bytes).unwrap();
        let guard = open(&home, BOOT, Start::Again, T + 1);
        assert_eq!(guard.lost(), Some(Lost::Damaged), "byte {position}");
    }
    let home = left_behind();
    std::fs::write(segment(&home), &whole[..100]).unwrap();
    refuses_for_a_while(&home, BOOT, Lost::Damaged);
}

#[test]
fn a_journal_that_is_gone_is_damage_unless_there_was_none() {
    let home = left_behind();
    for name in [EVEN, ODD] {
        std::fs::remove_file(home.path().join(name)).unwrap();
    }
    refuses_for_a_while(&home, BOOT, Lost::Damaged);
}

#[test]
fn a_segment_that_is_gone_is_damage() {
    for gone in [EVEN, ODD] {
        let home = left_behind();
        let guard = open(&home, BOOT, Start::Again, T + 1);
        for later in [78u8, 156] {
            assert_eq!(
                nonce(&guard, &[later], T + u64::from(later)),
                Ok(Outcome::Fresh)
            );
        }
        drop(guard);
        std::fs::remove_file(home.path().join(gone)).unwrap();
        let lost = open(&home, BOOT, Start::Again, T + 157).lost();
        assert_eq!(lost, Some(Lost::Damaged), "{gone}");
    }
}

#[test]
fn space_is_bounded_and_the_last_window_is_kept() {
    let home = left_behind();
    let guard = open(&home, BOOT, Start::Again, T);
    let mut most = 0;
    for second in 0..10 * RETAIN {
        assert_eq!(
            nonce(&guard, &second.to_be_bytes(), T + second),
            Ok(Outcome::Fresh)
        );
        let sizes = std::fs::read_dir(home.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len());
        let sizes: Vec<_> = sizes.collect();
        assert!(sizes.len() <= 2);
        most = most.max(sizes.iter().sum());
    }
    assert!(most <= 2 * (128 + 80 * 64), "{most}");
    drop(guard);
    let end = T + 10 * RETAIN;
    let guard = open(&home, BOOT, Start::Again, end);
    for second in 9 * RETAIN + 1..10 * RETAIN {
        assert_eq!(
            nonce(&guard, &second.to_be_bytes(), end),
            Ok(Outcome::Replayed),
            "{second}"
        );
    }
}

#[test]
fn a_claim_that_cannot_be_written_is_not_acknowledged() {
    let home = left_behind();
    let guard = open(&home, BOOT, Start::Again, T + 1);
    guard.journal.lock().unwrap().file = File::open(segment(&home)).unwrap();
    let refused = GuardUnavailable {
        retry_after: Duration::from_secs(RETAIN),
    };
    assert_eq!(nonce(&guard, b"three", T + 1), Err(refused));
    assert_eq!(
        nonce(&guard, b"three", T + 1),
        Ok(Outcome::Replayed),
        "nor is it good again"
    );
}

#[test]
fn without_room_claims_go_on_and_the_next_start_does_not_believe_the_journal() {
    let home = left_behind();
    let guard = open(&home, BOOT, Start::Again, T + 1);
    // A place beyond what a file can have stands for a disk that is full.
    guard.journal.lock().unwrap().end = u64::try_from(i64::MAX).unwrap() - 8;
    assert_eq!(nonce(&guard, b"three", T + 1), Ok(Outcome::Fresh));
    assert_eq!(nonce(&guard, b"four", T + 1), Ok(Outcome::Fresh));
    assert_eq!(nonce(&guard, b"four", T + 1), Ok(Outcome::Replayed));
    drop(guard);
    refuses_for_a_while(&home, BOOT, Lost::Damaged);
}

#[test]
fn a_clock_set_back_does_not_bring_back_what_a_turned_segment_held() {
    let home = left_behind();
    let guard = open(&home, BOOT, Start::Again, T + 1);
    // Two turns later the first claims are in no segment.
    for later in [100u16, 200, 300] {
        let fresh = nonce(&guard, &later.to_be_bytes(), T + u64::from(later));
        assert_eq!(fresh, Ok(Outcome::Fresh));
    }
    drop(guard);
    let guard = open(&home, BOOT, Start::Again, T + 2);
    assert!(made(&guard, b"one", T, T + 2).is_err());
    assert_eq!(made(&guard, b"fresh", T + 301, T + 302), Ok(Outcome::Fresh));
}

/// What a journal holds, how far proofs of its kind may be ahead, and what it is
/// called, is its own affair.
#[test]
fn the_journals_of_a_home_do_not_touch_each_other() {
    let home = TempDir::new().unwrap();
    let native = open(&home, BOOT, Start::FirstEver, T);
    let foreign = open_one(&home, Of::Foreign, BOOT, Start::FirstEver, T);
    assert_eq!(nonce(&native, b"one", T), Ok(Outcome::Fresh));
    assert_eq!(nonce(&foreign, b"one", T), Ok(Outcome::Fresh));
    assert_eq!(nonce(&foreign, b"two", T), Ok(Outcome::Fresh));
    drop((native, foreign));
    let native = open(&home, BOOT, Start::Again, T + 1);
    let foreign = open_one(&home, Of::Foreign, BOOT, Start::Again, T + 1);
    assert_eq!((native.lost(), foreign.lost()), (None, None));
    assert_eq!(nonce(&native, b"one", T + 1), Ok(Outcome::Replayed));
    assert_eq!(nonce(&native, b"two", T + 1), Ok(Outcome::Fresh));
    for used in [b"one", b"two"] {
        assert_eq!(nonce(&foreign, used, T + 1), Ok(Outcome::Replayed));
    }
    drop((native, foreign));
    let mut names: Vec<_> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "replay-foreign.journal.0",
            "replay-foreign.journal.1",
            EVEN,
            ODD
        ]
    );
    let lost = open_one(&home, Of::Foreign, OTHER_BOOT, Start::Again, T + 2);
    assert_eq!(lost.refuse_until(), Some(at(T + 302)));
    assert!(made(&lost, b"one", T + 302, T + 3).is_err());
    let native = open(&home, OTHER_BOOT, Start::Again, T + 2);
    assert_eq!(native.refuse_until(), Some(at(T + 17)));
}

/// A foreign proof made ahead lives for minutes; a restart at any moment of its
/// life does not make it good again, nor do the turns that a journal takes.
#[test]
fn a_claim_ahead_of_time_outlives_restarts_for_its_whole_life() {
    let home = TempDir::new().unwrap();
    let windows = Of::Foreign.windows();
    let created = T + windows.forward;
    let guard = open_one(&home, Of::Foreign, BOOT, Start::FirstEver, T);
    assert_eq!(made(&guard, b"ahead", created, T), Ok(Outcome::Fresh));
    drop(guard);
    let end = windows.forward + windows.back;
    for later in [1, 61, 301, 361, end] {
        let guard = open_one(&home, Of::Foreign, BOOT, Start::Again, T + later);
        assert_eq!(guard.lost(), None);
        assert_eq!(
            made(&guard, b"ahead", created, T + later),
            Ok(Outcome::Replayed),
            "{later} s later"
        );
        assert_eq!(
            nonce(&guard, &later.to_be_bytes(), T + later),
            Ok(Outcome::Fresh)
        );
    }
}

/// One agent with one key.
struct OneKey(procura_crypto::PublicKey);

impl ForeignKeys for OneKey {
    fn find(&self, _: &ForeignId) -> Result<Option<ForeignKey>, KeysUnavailable> {
        Ok(Some(ForeignKey {
            public: Some(self.0.clone()),
            secrets: Vec::new(),
            revoked: false,
        }))
    }
}

/// The proof of another system, made as far ahead as its profile allows, cannot
/// be sent again after any restart in its life.
#[test]
fn a_foreign_proof_is_used_after_a_restart_too() {
    let home = TempDir::new().unwrap();
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let keys = OneKey(key.public().clone());
    let agent: ForeignId = "scribe".parse().unwrap();
    let none: [(&str, &[u8]); 0] = [];
    let request = RequestView {
        method: "GET",
        authority: "127.0.0.1:7310",
        scheme: None,
        path: "/api/notes",
        query: None,
        headers: &none,
        body: b"",
    };
    let verify = |headers: &Vec<(&'static str, String)>, start, later: u64| {
        let guard = open_one(&home, Of::Foreign, BOOT, start, T + later);
        let verifier = ForeignVerifier::new(Arc::new(guard)).unwrap();
        let request = RequestView { headers, ..request };
        let (allowed, now) = (Allowed::default(), at(T + later));
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        let result = verifier.verify(&keys, &request, &allowed, now, peer);
        result.map(|_| ()).map_err(|refusal| refusal.case)
    };
    for signer in [
        ForeignSigner::KeyServerV1(&key),
        ForeignSigner::GuideV1(&key),
    ] {
        let windows = signer.profile().windows();
        let ahead = at(T + windows.forward);
        let headers = sign(&request, &agent, signer, ahead, &SystemEntropy).unwrap();
        let start = if signer.profile() == Foreign::KeyServerV1 {
            Start::FirstEver
        } else {
            Start::Again
        };
        assert_eq!(verify(&headers, start, 0), Ok(()));
        let end = windows.forward + windows.back;
        for later in [0, 1, 61, 301.min(end), end] {
            let again = verify(&headers, Start::Again, later);
            assert_eq!(again, Err(Case::NonceUsed), "{later} s later");
        }
        let over = verify(&headers, Start::Again, end + 1);
        assert_eq!(over, Err(Case::ForeignTooOld));
    }
    std::fs::remove_file(home.path().join("replay-foreign.journal.0")).unwrap();
    let fresh = sign(
        &request,
        &agent,
        ForeignSigner::KeyServerV1(&key),
        at(T + 400),
        &SystemEntropy,
    )
    .unwrap();
    assert_eq!(
        verify(&fresh, Start::Again, 400),
        Err(Case::GuardUnavailable)
    );
}
