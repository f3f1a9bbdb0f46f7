use super::*;
use procura_crypto::SystemEntropy;
use procura_proof::{Once, conformance};
use procura_types::Thumbprint;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

const T: u64 = 1_800_000_000;
const BOOT: &str = "5c2e0d0e-0000-4000-8000-000000000001\n";
const OTHER_BOOT: &str = "5c2e0d0e-0000-4000-8000-000000000002\n";
const DEVICE: Thumbprint = Thumbprint::from_bytes([1; 32]);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn open(home: &TempDir, boot: &str, start: Start, now: u64) -> JournalGuard {
    JournalGuard::open(
        home.path(),
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
        once,
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
        once,
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
    conformance::run(&mut || {
        let home = TempDir::new().unwrap();
        let guard = JournalGuard::open(
            home.path(),
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
    for second in 0..10 * RETAIN_SECS {
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
    let end = T + 10 * RETAIN_SECS;
    let guard = open(&home, BOOT, Start::Again, end);
    for second in 9 * RETAIN_SECS + 1..10 * RETAIN_SECS {
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
        retry_after: Duration::from_secs(RETAIN_SECS),
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
