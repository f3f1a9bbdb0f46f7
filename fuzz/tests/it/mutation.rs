//! Bounded fuzzing without any tool: changes of the corpora, the same in every
//! run. `FUZZ_SEED` and `FUZZ_ROUNDS` choose others and more.

use crate::corpus;
use procura_fuzz::{TARGETS, Verdict};
use std::path::Path;
use std::time::{Duration, Instant};

/// Changed inputs of each target, if its time allows.
const ROUNDS: u64 = 2000;
const SEED: u64 = 20_261_121;
/// What one target may take when nobody asks for more.
const TIME: Duration = Duration::from_millis(400);
/// Longer inputs say nothing new.
const LONGEST: usize = 4096;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; 0 when that is 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        from..from + self.below((length - from).min(64) + 1)
    }
}

/// Bytes at which parsers turn.
const TURNS: &[u8] = b"\0\x01\x7f\x80\xff\n\r\t \"'\\{}[](),:;=&%+-./0199aAzZ";

fn change(bytes: &mut Vec<u8>, others: &[corpus::Input], random: &mut Random) {
    let at = random.below(bytes.len());
    let turn = TURNS[random.below(TURNS.len())];
    match random.below(9) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = turn,
        2 if !bytes.is_empty() => bytes[at] = bytes[at].wrapping_add(random.next() as u8),
        3 => bytes.insert(at, turn),
        4 => drop(bytes.drain(random.range(bytes.len()))),
        5 => {
            let part = bytes[random.range(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        6 => {
            let other = &others[random.below(others.len())].bytes;
            let part = other[random.range(other.len())].to_vec();
            let over = random.range(bytes.len());
            bytes.splice(over, part);
        }
        7 => bytes.truncate(at),
        _ => {
            let (one, two) = (random.range(bytes.len()), at);
            let part = bytes[one.clone()].to_vec();
            bytes.drain(one);
            let two = two.min(bytes.len());
            bytes.splice(two..two, part);
        }
    }
    bytes.truncate(LONGEST);
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn changes_of_the_corpora_break_nothing() {
    let seed = number("FUZZ_SEED").unwrap_or(SEED);
    let asked = number("FUZZ_ROUNDS");
    println!("FUZZ_SEED={seed}");
    let mut wrong = Vec::new();
    for target in TARGETS {
        let inputs = corpus::of(target.name);
        // Half begins near what is accepted, however many others there are.
        let good = inputs
            .iter()
            .filter(|input| input.path.to_string_lossy().contains("/good-"))
            .collect::<Vec<_>>();
        let mut random = Random(seed);
        for letter in target.name.bytes() {
            random.0 = random.next() ^ u64::from(letter);
        }
        let began = Instant::now();
        let (mut round, mut accepted) = (0, 0);
        while round < asked.unwrap_or(ROUNDS) && (asked.is_some() || began.elapsed() < TIME) {
            round += 1;
            let begin = match random.next() & 1 {
                0 => good[random.below(good.len())],
                _ => &inputs[random.below(inputs.len())],
            };
            let mut bytes = begin.bytes.clone();
            for _ in 0..=random.below(4) {
                change(&mut bytes, &inputs, &mut random);
            }
            let ran = std::panic::catch_unwind(|| (target.run)(&bytes));
            accepted += u64::from(ran.as_ref().is_ok_and(|ran| *ran == Verdict::Accepted));
            if ran.is_err() {
                let name = format!("{}-{seed}-{round}", target.name);
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
                std::fs::write(&path, &bytes).unwrap();
                wrong.push(format!(
                    "{}, round {round}: {}; its input is in {}",
                    target.name,
                    bytes.escape_ascii(),
                    path.display()
                ));
                break;
            }
        }
        println!(
            "{}: {round} inputs, {accepted} accepted, {:?}",
            target.name,
            began.elapsed()
        );
    }
    assert!(wrong.is_empty(), "FUZZ_SEED={seed}\n{}", wrong.join("\n"));
}
