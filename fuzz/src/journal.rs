//! The replay journal: whatever its segments hold, no claim is answered `Fresh`
//! twice, and none that an intact journal remembers even once.
//!
//! An input is `u8 flags ‖ u16be length ‖ even segment ‖ odd segment`. With the
//! first flag the checks of headers are made good, with the second those of
//! records, so that what lies behind them is reached (the layout is in
//! `crates/store/src/guard/journal/segment.rs`).

use crate::Verdict;
use crate::fields::{Fields, push};
use crate::world::{Counting, NOW, WORLD, scratch};
use procura_crypto::sha256;
use procura_proof::{Claim, GuardUnavailable, Limits, Once, Outcome, ReplayGuard as _, Windows};
use procura_store::guard::{JournalGuard, Of, Start};
use procura_types::{Duration, Thumbprint, Timestamp};
use std::path::Path;

const SEGMENTS: [&str; 2] = ["replay.journal.0", "replay.journal.1"];
const BOOT: &str = "5c2e0d0e-0000-4000-8000-000000000001\n";
const FIX_HEADERS: u8 = 1;
const FIX_RECORDS: u8 = 2;
const HEADER: usize = 128;
const RECORD: usize = 64;
const NONCE: &[u8] = b"claimed in the corpus";
const SESSION: [u8; 16] = [9; 16];

fn open(home: &Path, start: Start) -> JournalGuard {
    JournalGuard::open(
        home,
        Of::Native,
        BOOT,
        start,
        Limits::default(),
        NOW,
        &Counting::new(),
    )
    .unwrap()
}

fn device() -> Thumbprint {
    WORLD.agent.public().thumbprint()
}

fn claim(guard: &JournalGuard, once: Once<'_>, at: Timestamp) -> Result<Outcome, GuardUnavailable> {
    guard.claim(&Claim {
        device: &device(),
        created: at,
        now: at,
        ahead: 15,
        once,
        by: None,
    })
}

const fn counter(counter: u64) -> Once<'static> {
    Once::Counter {
        session: &SESSION,
        counter,
        expires: Timestamp::from_secs(NOW.as_secs() + 600),
    }
}

/// A journal with a nonce and two counters.
pub(crate) fn good(flags: u8) -> Vec<u8> {
    let home = scratch();
    let guard = open(home.path(), Start::FirstEver);
    for once in [Once::Nonce(NONCE), counter(3), counter(5000)] {
        assert_eq!(claim(&guard, once, NOW), Ok(Outcome::Fresh));
    }
    let [even, odd] = SEGMENTS.map(|name| std::fs::read(home.path().join(name)).unwrap());
    let mut out = vec![flags];
    push(&mut out, &even);
    out.extend_from_slice(&odd);
    out
}

fn header_check(checked: &[u8]) -> [u8; 8] {
    sha256(checked)[..8].try_into().unwrap()
}

fn record_check(generation: &[u8], checked: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(generation);
    hasher.update(checked);
    hasher.finalize().to_be_bytes()
}

fn mended(segment: &[u8], flags: u8) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    if bytes.len() < HEADER {
        return bytes;
    }
    let (header, records) = bytes.split_at_mut(HEADER);
    if flags & FIX_HEADERS != 0 {
        let good = header_check(&header[..89]);
        header[89..97].copy_from_slice(&good);
    }
    if flags & FIX_RECORDS != 0 {
        for record in records.chunks_exact_mut(RECORD) {
            let good = record_check(&header[16..24], &record[..60]);
            record[60..].copy_from_slice(&good);
        }
    }
    bytes
}

/// Counters of our session and device that intact records of a segment name,
/// recent enough for the clock.
fn counters(segment: &[u8]) -> Vec<u64> {
    let Some((header, records)) = segment.split_at_checked(HEADER) else {
        return Vec::new();
    };
    records
        .chunks_exact(RECORD)
        .filter(|record| record_check(&header[16..24], &record[..60]) == record[60..])
        .filter(|record| record[0] == 2 && record[16..32] == device().as_bytes()[..16])
        .filter(|record| record[32..48] == SESSION)
        .filter(|record| {
            let number =
                |from: usize| u64::from_be_bytes(record[from..from + 8].try_into().unwrap());
            let left = u32::from_be_bytes(record[56..60].try_into().unwrap());
            let now = NOW.as_secs();
            // The session goes on, and it is not of a clock that was ahead.
            number(8) <= now && number(8) + 60 >= now && number(8) + u64::from(left) > now
        })
        .map(|record| u64::from_be_bytes(record[48..56].try_into().unwrap()))
        .collect()
}

pub(crate) fn replay_journal(data: &[u8]) -> Verdict {
    let mut fields = Fields::new(data);
    let flags = fields.byte();
    let segments = [mended(fields.field(), flags), mended(fields.rest(), flags)];
    let home = scratch();
    for (name, bytes) in SEGMENTS.iter().zip(&segments) {
        if !bytes.is_empty() {
            std::fs::write(home.path().join(name), bytes).unwrap();
        }
    }
    let guard = open(home.path(), Start::Again);
    let believed = guard.lost().is_none();
    if believed {
        for used in segments.iter().flat_map(|segment| counters(segment)) {
            assert_ne!(
                claim(&guard, counter(used), NOW),
                Ok(Outcome::Fresh),
                "{used}"
            );
        }
    } else {
        let until = NOW.plus(Duration::from_secs(Windows::NATIVE.forward));
        assert_eq!(guard.refuse_until(), Some(until));
        for once in [Once::Nonce(NONCE), Once::Nonce(b"never seen"), counter(7)] {
            assert!(claim(&guard, once, NOW).is_err());
        }
    }
    let whole = good(0);
    if data[1.min(data.len())..] == whole[1..] {
        assert!(believed);
        assert_eq!(
            claim(&guard, Once::Nonce(NONCE), NOW),
            Ok(Outcome::Replayed)
        );
    }
    // From here on it works as any guard, and the next process knows of it.
    let later = NOW.plus(Duration::from_secs(Windows::NATIVE.forward + 1));
    for once in [Once::Nonce(b"another nonce"), counter(1 << 40)] {
        let first = claim(&guard, once, later);
        assert!(first.is_err() || claim(&guard, once, later) != Ok(Outcome::Fresh));
    }
    drop(guard);
    let next = open(home.path(), Start::Again);
    for once in [Once::Nonce(b"another nonce"), counter(1 << 40)] {
        assert_ne!(claim(&next, once, later), Ok(Outcome::Fresh));
    }
    Verdict::of(believed)
}
