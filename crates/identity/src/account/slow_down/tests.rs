//! Who waits for whom.

use super::*;

const HOME: Block = Block::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn away(number: u16) -> Block {
    Block::V6([0x2001, 0xdb8, 0, number])
}

impl SlowDown {
    /// A try whose password is hashed, and wrong.
    fn wrong(&self, name: &str, place: Block, known: bool, now: Instant) -> Result<(), Duration> {
        self.admit(name, place, known, now)
            .map(|charge| drop(charge.hashing()))
    }
}

/// Tries until one has to wait: how many were admitted, and for how long that one waits.
fn until_slowed(
    slow: &SlowDown,
    name: &str,
    place: Block,
    known: bool,
    now: Instant,
) -> (u32, u64) {
    for count in 0..1000 {
        if let Err(wait) = slow.wrong(name, place, known, now) {
            return (count, wait.as_secs());
        }
    }
    panic!("nobody was slowed down");
}

fn later(now: Instant, seconds: u64) -> Instant {
    now + std::time::Duration::from_secs(seconds)
}

#[test]
fn each_wrong_one_at_a_place_doubles_the_wait_up_to_a_quarter_of_an_hour() {
    let (slow, mut now) = (SlowDown::default(), Instant::now());
    assert_eq!(until_slowed(&slow, "bea", HOME, true, now), (6, 1));
    let mut waits = Vec::new();
    for _ in 0..13 {
        let wait = slow.wrong("bea", HOME, true, now).unwrap_err();
        waits.push(wait.as_secs());
        now = later(now, wait.as_secs());
        slow.wrong("bea", HOME, true, now).unwrap();
    }
    assert_eq!(
        waits,
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    );
}

#[test]
fn a_try_that_has_to_wait_counts_for_nothing() {
    let (slow, now) = (SlowDown::default(), Instant::now());
    until_slowed(&slow, "bea", HOME, true, now);
    for _ in 0..100 {
        assert_eq!(slow.wrong("bea", HOME, true, now).unwrap_err().as_secs(), 1);
    }
    assert!(slow.wrong("bea", HOME, true, later(now, 1)).is_ok());
}

#[test]
fn of_two_at_once_neither_waits_for_the_other() {
    let (slow, before) = (SlowDown::default(), Instant::now());
    let now = before + std::time::Duration::from_micros(1);
    slow.wrong("bea", HOME, false, now).unwrap();
    // It read the clock first and came second.
    for name in ["bea", "ada"] {
        slow.wrong(name, HOME, false, before).unwrap();
    }
}

#[test]
fn whoever_guesses_from_afar_keeps_nobody_out_who_was_here_before() {
    let (slow, now) = (SlowDown::default(), Instant::now());
    let mut refused = 0;
    for number in 0..5000 {
        refused += u32::from(slow.wrong("bea", away(number), false, now).is_err());
    }
    assert!(refused > 4900, "strangers are slowed down together");
    let (admitted, _) = until_slowed(&slow, "bea", HOME, true, now);
    assert_eq!(admitted, 6, "at home all is as if nobody had guessed");
}

#[test]
fn strangers_are_slowed_down_and_never_refused_for_good() {
    let (slow, mut now) = (SlowDown::default(), Instant::now());
    let mut admitted = 0;
    // For an hour, each second another place.
    for number in 0..3600 {
        admitted += u32::from(slow.wrong("bea", away(number), false, now).is_ok());
        now = later(now, 1);
    }
    assert!((60..120).contains(&admitted), "{admitted}");
    let wait = slow.wrong("bea", away(9999), false, now).err();
    assert!(wait.is_none_or(|wait| wait.as_secs() <= 60));
}

#[test]
fn one_place_does_not_try_name_after_name() {
    let (slow, now) = (SlowDown::default(), Instant::now());
    let mut admitted = 0;
    for number in 0..1000 {
        let name = format!("name-{number}");
        admitted += u32::from(slow.wrong(&name, HOME, false, now).is_ok());
    }
    assert_eq!(admitted, 31);
}

#[test]
fn what_was_right_costs_nothing_and_forgives_the_place() {
    let (slow, now) = (SlowDown::default(), Instant::now());
    for _ in 0..1000 {
        let charge = slow.admit("bea", HOME, false, now);
        charge.ok().unwrap().hashing().right();
    }
    until_slowed(&slow, "bea", HOME, true, now);
    let soon = later(now, 1);
    let charge = slow.admit("bea", HOME, true, soon);
    charge.ok().unwrap().hashing().right();
    assert!(slow.wrong("bea", HOME, true, soon).is_ok());
    // One of which nothing could be found out is taken back and forgives nothing.
    let other = SlowDown::default();
    for _ in 0..100 {
        let charge = other.admit("bea", HOME, true, now);
        charge.ok().unwrap().hashing().not_made();
    }
    assert!(other.0.lock().unwrap().here.kept.is_empty());
    until_slowed(&other, "bea", HOME, true, now);
    let charge = other.admit("bea", HOME, true, soon);
    charge.ok().unwrap().hashing().not_made();
    other.wrong("bea", HOME, true, soon).unwrap();
    let wait = other.wrong("bea", HOME, true, soon).unwrap_err();
    assert_eq!(wait.as_secs(), 2, "the seventh");
}

#[test]
fn whoever_hangs_up_before_their_turn_leaves_nothing_behind() {
    let (slow, now) = (SlowDown::default(), Instant::now());
    for number in 0..1000 {
        // At once as many as are free, and all go before a hash is made.
        let place = away(number);
        let waiting: Vec<_> = (0..6)
            .map(|_| slow.admit("bea", place, true, now).ok().unwrap())
            .collect();
        assert!(slow.admit("bea", place, true, now).is_err(), "{number}");
        drop(waiting);
        drop(slow.admit("bea", place, false, now).ok().unwrap());
    }
    {
        let state = slow.0.lock().unwrap();
        assert!(state.here.kept.is_empty() && state.strangers.kept.is_empty());
        assert!(state.any_name.kept.is_empty());
    }
    // Whoever hangs up while the hash is made has tried.
    for _ in 0..6 {
        drop(slow.admit("bea", HOME, true, now).ok().unwrap().hashing());
    }
    let wait = slow.wrong("bea", HOME, true, now).unwrap_err();
    assert_eq!(wait.as_secs(), 1);
}

#[test]
fn wrong_ones_are_forgotten_one_by_one() {
    let (slow, now) = (SlowDown::default(), Instant::now());
    until_slowed(&slow, "bea", HOME, true, now);
    let day = later(now, 24 * 3600);
    assert_eq!(until_slowed(&slow, "bea", HOME, true, day), (6, 1));
}

/// Counts one wrong try of each name, if there is room for it.
fn crowd(tries: &mut Tries<String>, names: std::ops::Range<usize>, now: Instant) -> usize {
    let mut counted = 0;
    for number in names {
        let name = format!("name-{number}");
        if tries.wait(&name, now).is_none() {
            tries.charge(&name, now);
            counted += 1;
        }
    }
    counted
}

#[test]
fn a_crowd_of_single_tries_washes_nobody_out_who_is_guessed_at() {
    let (slow, mut now) = (SlowDown::default(), Instant::now());
    for number in 0..21 {
        slow.wrong("bea", away(number), false, now).unwrap();
    }
    // What was guessed at is the next that may be tried again, and counts for most.
    now = later(now, 2);
    {
        let mut state = slow.0.lock().unwrap();
        let strangers = &mut state.strangers;
        for round in 0..20 {
            let first = round * 2 * ROOM + MOST;
            crowd(strangers, 0..MOST, now);
            crowd(strangers, first..first + 2 * ROOM, now);
            assert!(strangers.kept.len() <= MOST);
            assert!(strangers.kept.contains_key("bea"), "{round}");
            now = later(now, 1);
        }
        assert_eq!(strangers.kept["bea"].count, 21);
    }
    slow.wrong("bea", away(30), false, now).unwrap();
    let wait = slow.wrong("bea", away(31), false, now).unwrap_err();
    assert_eq!(wait.as_secs(), 2, "it is not free again");
}

#[test]
fn a_full_map_is_looked_through_once_a_second() {
    let mut tries: Tries<String> = Tries::new(STRANGERS);
    let now = Instant::now();
    assert_eq!(crowd(&mut tries, 0..MOST, now), MOST);
    assert_eq!(tries.swept, None, "there was room");
    // Room for so many is made, and the next waits until it may be made again.
    assert_eq!(crowd(&mut tries, MOST..2 * MOST, now), ROOM);
    assert_eq!((tries.swept, tries.kept.len()), (Some(now), MOST));
    let soon = now + std::time::Duration::from_millis(400);
    let another = "another".to_owned();
    let wait = tries.wait(&another, soon).unwrap();
    assert_eq!(wait.as_millis(), 600);
    assert_eq!((tries.swept, tries.kept.len()), (Some(now), MOST));
    // Who is counted already does not wait for room.
    let counted = tries.kept.keys().next().unwrap().clone();
    assert_eq!(tries.wait(&counted, soon), None);
    let then = later(now, 1);
    assert_eq!(tries.wait(&another, then), None);
    assert_eq!((tries.swept, tries.kept.len()), (Some(then), MOST - ROOM));
    // What is forgotten goes first, all of it.
    assert_eq!(crowd(&mut tries, 3 * MOST..4 * MOST, then), ROOM);
    let day = later(now, 24 * 3600);
    assert_eq!(tries.wait(&another, day), None);
    assert!(tries.kept.is_empty());
}

#[test]
fn a_place_is_what_one_customer_has() {
    let of = |text: &str| Block::of(Some(text.parse().unwrap())).to_string();
    assert_eq!(of("192.0.2.7"), "192.0.2.7");
    assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    assert_eq!(of("2001:db8:1:2::9"), "2001:db8:1:2::/64");
    assert_eq!(Block::of(None).to_string(), "local");
}
