//! What was wrong at the sign-in, by the clock: whatever it was, the answer takes as long.
//! Each round has one try of every kind, in orders in which each kind follows each other one
//! as often, and the kinds are compared by the rank test of `honey_timing`. Few rounds by
//! default, or as many as `SIGN_IN_ROUNDS` says.
//!
//! What the test can find is looked at beside it: tries of one kind alone, half of them with
//! a delay that is planted where the answer is awaited. That delay is what this many rounds
//! can tell at all from how much the answers of this run differ by themselves, twice.

use crate::actors::Actors;
use crate::honey_http::say;
use crate::honey_timing::{difference, findable};
use crate::pages::{PASSWORD, Person};
use crate::signing_in::{Door, everybody, from};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// From how many standard deviations on two samples are not of one distribution.
const APART: f64 = 5.0;
/// As long as the right one.
const ANOTHER: &str = "correct horse battery 8";
/// Whose name, with which password, and what the record says of it; the code is wrong each
/// time. The names are as long as each other: nobody is `erna`, and `bert` has no password.
const KINDS: [(&str, &str, &str); 4] = [
    ("anna", ANOTHER, "wrong_password"),
    ("erna", PASSWORD, "unknown_name"),
    ("bert", PASSWORD, "no_account"),
    ("anna", PASSWORD, "wrong_code"),
];
/// Each kind follows each other one once.
const ORDERS: [[usize; 4]; 4] = [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]];
/// As often the operator signs in, so that her password does not become none for all the
/// wrong codes behind it.
const EVERY: usize = 20;

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no configuration"
)]
fn rounds() -> usize {
    let wanted = std::env::var("SIGN_IN_ROUNDS").ok();
    wanted.map_or(30, |text| text.parse().unwrap())
}

/// Whoever tries, each time from another place.
struct Stranger {
    actors: &'static Actors,
    door: Door,
    anna: Person,
    tries: u32,
}

impl Stranger {
    async fn new() -> Self {
        let actors = everybody().await;
        Self {
            actors,
            door: Door::of(&actors.world).await,
            anna: Person::new(actors, "anna").await,
            tries: 0,
        }
    }

    /// Six digits that the app shows neither now nor a step before or after.
    fn wrong_code(&self) -> &'static str {
        let world = &self.actors.world;
        let good = [-1, 0, 1].map(|steps| self.anna.app_code(world, steps));
        ["000000", "111111", "222222", "333333"]
            .into_iter()
            .find(|code| good.iter().all(|good| good != code))
            .unwrap()
    }

    /// How long the answer to a try of this kind takes.
    async fn timed(&mut self, kind: usize, delay: Duration) -> Duration {
        let (name, password, _) = KINDS[kind];
        self.tries += 1;
        let place = Ipv4Addr::from_bits(Ipv4Addr::new(10, 8, 0, 0).to_bits() + self.tries);
        let form = self.door.form(name, password, self.wrong_code());
        let begin = Instant::now();
        let answer = from(&self.actors.world, &form, place.into()).await;
        let until = Instant::now() + delay;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let time = begin.elapsed();
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        time
    }

    /// Lets so much time go by that no name has to wait for its wrong tries.
    async fn rest(&self, round: usize) {
        let world = &self.actors.world;
        world.clock.turn(Duration::from_secs(15 * 60));
        if round.is_multiple_of(EVERY) {
            let code = self.anna.app_code(world, 0);
            let right = from(world, &self.door.form("anna", PASSWORD, &code), HOME).await;
            assert_eq!(right.status, 303, "{}", right.text());
        }
    }

    /// That the kinds are what they are said to be.
    async fn assert_kinds(&mut self) {
        for kind in 0..KINDS.len() {
            self.timed(kind, Duration::ZERO).await;
        }
        let mut entries = self.actors.recorded("web_login.start").await;
        entries.reverse();
        let reasons: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry["reason"].as_str())
            .collect();
        assert_eq!(reasons, KINDS.map(|(.., reason)| reason));
    }

    /// By how many standard deviations tries of one kind that are delayed differ from those
    /// that are not.
    async fn planted(&mut self, planted: Duration, rounds: usize) -> f64 {
        let (mut delayed, mut others) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            self.rest(round).await;
            if round % 2 == 1 {
                others.push(self.timed(0, Duration::ZERO).await);
            }
            delayed.push(self.timed(0, planted).await);
            if round % 2 == 0 {
                others.push(self.timed(0, Duration::ZERO).await);
            }
        }
        difference(&delayed, &others)
    }
}

#[tokio::test]
async fn whatever_was_wrong_takes_as_long() {
    let rounds = rounds();
    let mut stranger = Stranger::new().await;
    stranger.assert_kinds().await;
    let mut times = KINDS.map(|_| Vec::with_capacity(rounds));
    for (round, order) in (1..=rounds).zip(ORDERS.into_iter().cycle()) {
        stranger.rest(round).await;
        for kind in order {
            let time = stranger.timed(kind, Duration::ZERO).await;
            times[kind].push(time);
        }
    }
    let (spread, least) = findable(&times[0], rounds, APART);
    let planted = least * 2;
    let mut found = 0.0;
    // How much the machine does beside it may change within a try.
    for _ in 0..5 {
        found = stranger.planted(planted, rounds).await;
        if found > APART {
            break;
        }
    }
    say(&format!(
        "{rounds} rounds, answers differ by {spread:?} themselves: {least:?} can be found, {planted:?} was at {found:.1} deviations"
    ));
    assert!(found > APART, "{planted:?} was at {found} deviations");
    let kinds: Vec<_> = times.iter().zip(KINDS).collect();
    for (place, (one, first)) in kinds.iter().enumerate() {
        for (other, second) in kinds.iter().skip(place + 1) {
            let found = difference(one, other);
            let what = format!("{} and {}", first.2, second.2);
            say(&format!("{what}: {found:.2} deviations"));
            assert!(found.abs() < APART, "{what}: {found} standard deviations");
        }
    }
}
