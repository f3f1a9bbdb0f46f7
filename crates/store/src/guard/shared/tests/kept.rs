//! For how long a real server keeps what was claimed.

use super::{ACTOR, DEVICE, World};
use crate::guard::Of;
use procura_proof::{Claim, Limits, Once, Outcome};
use procura_types::{Clock as _, Duration};
use std::time::Instant;

/// Of the keys of one kind (`n` nonces, `c` their numbers, `s` sessions, `m` their
/// lists, `d` and `a` tombstones): how many there are, and for how many milliseconds each
/// is kept from `begin` on, the shortest and, from now on, the longest.
fn kept(world: &World, begin: Instant, kind: char) -> (u64, u64, u64) {
    const SCRIPT: &str = "local count, least, most = 0, math.huge, 0
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local left = redis.call('PTTL', key)
  assert(left >= 0, 'a key that is kept for ever')
  count, least, most = count + 1, math.min(least, left), math.max(most, left)
end
return {count, least, most}";
    let pattern = format!("procura:{kind}?*");
    let said = world.redis.tell(&["EVAL", SCRIPT, "0", &pattern]);
    let mut numbers = said.lines().map(|line| line.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    let (count, least, most) = (next(), next(), next());
    let gone = u64::try_from(begin.elapsed().as_millis()).unwrap();
    // Both are rounded down.
    (count, least + gone + 1, most)
}

/// Whatever the clocks of verifier and server say, and if the latter jumps by as much as
/// is not noticed, a claim is remembered for as long as its proof would be taken.
#[test]
fn claims_are_kept_for_their_whole_window_and_what_clocks_are_apart() {
    const CLOCKS: u64 = 15_000;
    let world = World::new();
    let memory = world.memory(true);
    let begin = Instant::now();
    let claim = |of, once| {
        let guard = memory.guard(of, Limits::default());
        world.runtime.block_on(guard.claim(&Claim {
            device: &DEVICE,
            created: world.clock.now(),
            now: world.clock.now(),
            ahead: 15,
            once,
            by: None,
        }))
    };
    // What is taken 60 s back and 15 s ahead, and 300 s each way.
    let kinds = [(Of::Native, 60 + 15 + 1), (Of::Foreign, 300 + 300 + 1)];
    for (number, (of, window)) in kinds.into_iter().enumerate() {
        world.redis.tell(&["EVAL", FORGET, "0"]);
        for nonce in [&b"a"[..], b"b"] {
            assert_eq!(claim(of, Once::Nonce(nonce)), Ok(Outcome::Fresh));
        }
        let wanted = window * 1000 + CLOCKS;
        let (count, least, most) = kept(&world, begin, 'n');
        assert_eq!(count, 2, "{number}");
        assert!(least >= wanted && most <= wanted, "{number}: {least}");
        // They are counted for as long as the last of them is kept.
        let (count, least, _) = kept(&world, begin, 'c');
        assert_eq!(count, 1, "{number}");
        assert!(least >= wanted, "{number}: {least}");
        // A replay takes nothing from that.
        let replayed = claim(of, Once::Nonce(b"a"));
        assert_eq!(replayed, Ok(Outcome::Replayed));
        assert!(kept(&world, begin, 'n').1 >= wanted, "{number}");
    }
    let counter = |counter, seconds| {
        let expires = world.clock.now().plus(Duration::from_secs(seconds));
        let session = &[1; 16];
        claim(
            Of::Native,
            Once::Counter {
                session,
                counter,
                expires,
            },
        )
    };
    assert_eq!(counter(7, 600), Ok(Outcome::Fresh));
    // The end is told in whole seconds, rounded down at both ends.
    let wanted = 599_000 + CLOCKS;
    for kind in ['s', 'm'] {
        let (count, least, most) = kept(&world, begin, kind);
        assert_eq!(count, 1, "{kind}");
        assert!(least >= wanted, "{kind}: {least}");
        assert!(most <= 600_000 + CLOCKS, "{kind}: {most}");
    }
    for (number, expected) in [(8, Outcome::Fresh), (7, Outcome::Replayed)] {
        assert_eq!(counter(number, 600), Ok(expected));
        assert!(kept(&world, begin, 's').1 >= wanted, "{number}");
    }
    let hours = Duration::from_secs(2 * 60 * 60);
    let buried = memory.bury(&[DEVICE], &[ACTOR], 9, hours);
    world.runtime.block_on(buried).unwrap();
    // An earlier state of the directory does not shorten it.
    let again = memory.bury(&[DEVICE], &[ACTOR], 7, Duration::from_secs(1));
    world.runtime.block_on(again).unwrap();
    for kind in ['d', 'a'] {
        let (count, least, _) = kept(&world, begin, kind);
        assert_eq!(count, 1, "{kind}");
        assert!(least >= 7_200_000, "{kind}: {least}");
    }
}

/// Takes the claims away, not the generation.
const FORGET: &str = "for _, key in ipairs(redis.call('KEYS', 'procura:[nc]?*')) do
  if #key == 25 then redis.call('DEL', key) end
end";
