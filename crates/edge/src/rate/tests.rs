use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn takes(limiter: &Limiter, of: &impl Hash, rate: &Rate, now: Instant) -> bool {
    limiter.take(limiter.key(of), rate, now).is_ok()
}

#[test]
fn what_one_takes_is_not_taken_from_another() {
    let now = Instant::now();
    let limiter = Limiter::new("address", 1024, now);
    let rate = rate("10/s burst 5");
    let flood = (0..1000).filter(|_| takes(&limiter, &"mallory", &rate, now));
    assert_eq!(flood.count(), 5);
    assert!(takes(&limiter, &"alice", &rate, now));
}

#[test]
fn answers_say_how_a_bucket_stands() {
    let now = Instant::now();
    let limiter = Limiter::new("agent", 8, now);
    let rate = rate("100/s burst 200");
    let key = limiter.key(&"scribe");
    let mut left = limiter.take(key, &rate, now).unwrap();
    assert_eq!(left.policy(), "\"agent\";q=200;w=2");
    assert_eq!(left.limit(), "\"agent\";r=199;t=1");
    assert!(!left.is_low());
    for _ in 0..199 {
        left = limiter.take(key, &rate, now).unwrap();
    }
    assert_eq!(left.limit(), "\"agent\";r=0;t=2");
    assert!(left.is_low());
    let over = limiter.take(key, &rate, now).unwrap_err();
    assert_eq!(over.retry_after, Duration::from_millis(10));
    assert_eq!(over.left.limit(), "\"agent\";r=0;t=3");
    let mut headers = http::HeaderMap::new();
    headers.insert("ratelimit", http::HeaderValue::from_static("\"other\";r=1"));
    over.left.tell(&mut headers);
    let told: Vec<_> = headers.get_all("ratelimit").iter().collect();
    assert_eq!(told, ["\"other\";r=1", "\"agent\";r=0;t=3"]);
    assert_eq!(headers["ratelimit-policy"], "\"agent\";q=200;w=2");
    assert!(limiter.take(key, &rate, now + over.retry_after).is_ok());
}

#[test]
fn a_million_addresses_take_no_more_memory() {
    let now = Instant::now();
    let limiter = Limiter::new("address", 65_536, now);
    let bytes = limiter.table.bytes();
    assert!(bytes < 3 * 1024 * 1024, "{bytes}");
    let rate = rate("1/h burst 2");
    let takes = |number: u32| takes(&limiter, &Ipv4Addr::from_bits(number), &rate, now);
    let mut firsts = Vec::new();
    let mut passed = 0_u32;
    for number in 0..1_000_000 {
        if takes(number) {
            passed += 1;
            if firsts.len() < 1000 {
                firsts.push(number);
            }
        }
    }
    assert_eq!(limiter.table.bytes(), bytes);
    assert_eq!(limiter.table.taken(0), 65_536);
    // Who has a place, and for each set two of all the others.
    assert_eq!(passed, 65_536 + 2 * 65_536 / 8);
    // The crowd has washed off nobody's debt: one more each, and no third.
    assert_eq!(firsts.iter().filter(|number| takes(**number)).count(), 1000);
    assert_eq!(firsts.iter().filter(|number| takes(**number)).count(), 0);
}

proptest! {
    /// Whoever comes, in whatever order, and however few places there are: nobody gets
    /// more than the rate and one burst, also not by being forgotten, by being part of
    /// the crowd, and by getting a place afterwards.
    #[test]
    fn nobody_gets_more_by_what_others_do(
        steps in prop::collection::vec((0..40_u8, prop_oneof![Just(0_u64), 0..60_u64]), 1..600),
    ) {
        let begin = Instant::now();
        let limiter = Limiter::new("address", 8, begin);
        let rate = rate("20/s burst 3");
        let mut passed: Vec<Vec<u64>> = vec![Vec::new(); 40];
        let mut now = 0;
        for (who, step) in steps {
            now += step;
            let at = begin + Duration::from_millis(now);
            if takes(&limiter, &who, &rate, at) {
                passed[usize::from(who)].push(now);
            }
        }
        for one in &passed {
            for (first, from) in one.iter().enumerate() {
                for (last, to) in one.iter().enumerate().skip(first) {
                    prop_assert!(u64::try_from(last - first + 1).unwrap() <= (to - from) / 50 + 3);
                }
            }
        }
        prop_assert!(limiter.table.taken(nanoseconds(begin, begin)) <= 8);
    }

    /// With room for all each is as if alone.
    #[test]
    fn with_room_for_all_each_is_as_if_alone(
        steps in prop::collection::vec((0..6_u8, 0..100_u64), 1..300),
    ) {
        let begin = Instant::now();
        let limiter = Limiter::new("address", 8 * 64, begin);
        let rate = rate("20/s burst 3");
        let mut alone = [Bucket::default(); 6];
        let mut now = 0;
        for (who, step) in steps {
            now += step;
            let at = begin + Duration::from_millis(now);
            let expected = alone[usize::from(who)].take(&rate, now * 1_000_000).is_ok();
            prop_assert_eq!(takes(&limiter, &who, &rate, at), expected);
        }
    }
}

/// What one decision costs, for those who ask; a machine that is busy with other
/// things takes longer, so that nothing depends on it.
#[test]
fn what_a_decision_costs() {
    const DECISIONS: u32 = 200_000;
    let begin = Instant::now();
    let limiter = Limiter::new("address", 65_536, begin);
    let backoff = Backoff::new(16_384, begin);
    let rate = rate("1000/s burst 2000");
    let mut passed = 0_u32;
    for number in 0..DECISIONS {
        let address = Ipv4Addr::from_bits(number % 1000);
        let now = begin + Duration::from_micros(u64::from(number));
        if backoff.wait(&address, now).is_none() && takes(&limiter, &address, &rate, now) {
            passed += 1;
        }
    }
    let each = begin.elapsed() / DECISIONS;
    println!("back-off and bucket: {each:?} each");
    assert_eq!(passed, DECISIONS);
}
