//! Signing in by a password: what it costs, who waits, what the record says, and when a
//! web login is over.

use crate::actors::Actors;
use crate::pages::{Browser, PASSWORD, Person};
use crate::sessions::started;
use crate::world::{Answer, Sent, World};
use procura_server::Web;
use procura_types::Duration;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// The form of the sign-in, ready to be sent from anywhere.
pub(crate) struct Door {
    browser: Browser<'static>,
    token: String,
}

impl Door {
    pub(crate) async fn of(world: &'static World) -> Self {
        let mut browser = Browser::new(world);
        let token = browser.token("/sign-in").await;
        Self { browser, token }
    }

    pub(crate) fn form(&self, name: &str, password: &str, code: &str) -> Sent {
        let fields = [
            ("csrf", self.token.as_str()),
            ("next", ""),
            ("name", name),
            ("password", password),
            ("code", code),
        ];
        self.browser.form("/sign-in", &fields)
    }
}

/// Everybody, for as long as the test runs, where no time passes but what the test turns.
pub(crate) async fn everybody() -> &'static Actors {
    let world = World::standing(|config| {
        config.web = Web {
            enabled: true,
            origin: None,
        };
    });
    Box::leak(Box::new(Actors::within(world).await))
}

/// The entries of the record about sign-ins, as they came.
async fn sign_ins(actors: &Actors) -> Vec<Value> {
    let mut entries = actors.recorded("web_login.start").await;
    entries.reverse();
    entries
}

/// Why those of them were refused that were.
fn reasons(entries: &[Value]) -> Vec<&str> {
    let found = entries.iter();
    found.filter_map(|entry| entry["reason"].as_str()).collect()
}

pub(crate) fn counted(world: &World, line: &str) -> u64 {
    let text = world.app.metrics.render(&world.app);
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    found
        .unwrap_or_else(|| panic!("{line} is not shown"))
        .trim()
        .parse()
        .unwrap()
}

pub(crate) fn hashes(world: &World) -> u64 {
    counted(world, "procura_password_hashes_total ")
}

pub(crate) async fn from(world: &World, sent: &Sent, peer: IpAddr) -> Answer {
    world.send_from(sent, peer).await
}

#[tokio::test]
async fn whatever_is_wrong_costs_the_same_and_says_the_same() {
    let actors = everybody().await;
    let world = &actors.world;
    let mut anna = Person::new(actors, "anna").await;
    let code = anna.code();
    let password = json!({"password": PASSWORD});
    actors
        .ok("otto", "PUT", "/v1/operators/otto/password", password)
        .await;
    let door = Door::of(world).await;
    let tries = [
        ("nobody", PASSWORD, code.as_str(), "unknown_name"),
        ("my password by mistake", PASSWORD, "", "unknown_name"),
        ("otto", PASSWORD, code.as_str(), "no_account"),
        ("anna", "another password", code.as_str(), "wrong_password"),
        ("anna", PASSWORD, "000000x", "wrong_code"),
    ];
    for (place, (name, password, code, _)) in (1u8..).zip(tries) {
        let before = hashes(world);
        let peer = IpAddr::from([10, 0, 0, place]);
        let answer = from(world, &door.form(name, password, code), peer).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("The name, the password or the code is wrong."));
        assert_eq!(hashes(world), before + 1, "{name}");
        assert!(!answer.headers.contains_key("retry-after"), "{name}");
    }
    let right = from(world, &door.form("anna", PASSWORD, &code), HOME).await;
    assert_eq!(right.status, 303, "{}", right.text());
    let used = from(world, &door.form("anna", PASSWORD, &code), HOME).await;
    assert_eq!(used.status, 401);
    // Why it was, the record says, and nobody else.
    let entries = sign_ins(actors).await;
    let expected: Vec<&str> = tries.iter().map(|(.., reason)| *reason).collect();
    assert_eq!(
        reasons(&entries),
        [expected.as_slice(), &["code_used"]].concat()
    );
    for entry in &entries {
        let text = entry.to_string();
        assert!(!text.contains("by mistake") && !text.contains(PASSWORD));
        assert!(!text.contains(&code) && !text.contains("another password"));
        let allowed = entry["decision"] == "allow";
        assert_eq!(entry["profile"], "signing_in_password");
        let resource = entry["resource"].as_str();
        match entry["reason"].as_str() {
            Some("unknown_name") => {
                assert!(resource.is_none() && entry.get("actor").is_none(), "{text}");
            }
            Some("no_account") => assert_eq!(resource, Some("operator/otto")),
            Some(_) => assert_eq!(resource, Some("operator/anna")),
            None => assert!(allowed && resource.unwrap().starts_with("operator/anna web_login/")),
        }
    }
    assert_eq!(
        counted(
            world,
            "procura_password_sign_ins_total{outcome=\"accepted\"} "
        ),
        1
    );
    assert_eq!(
        counted(
            world,
            "procura_password_sign_ins_total{outcome=\"refused\"} "
        ),
        6
    );
}

/// Each kind of code is good once, and the app's only around its time: one step of 30
/// seconds early or late, and never a step that is not after the last one that was used.
#[tokio::test]
async fn a_code_of_the_app_is_good_once_and_for_its_time_and_a_recovery_code_once() {
    let actors = everybody().await;
    let world = &actors.world;
    let mut anna = Person::new(actors, "anna").await;
    let door = Door::of(world).await;
    let recovery = anna.code();
    let signs_in = async |code: String| {
        let form = door.form("anna", PASSWORD, &code);
        from(world, &form, HOME).await.status
    };
    // It showed that the app is there, and is used by that.
    assert_eq!(signs_in(anna.app_code(world, 0)).await, 401);
    world.clock.turn(Duration::from_secs(90));
    let tries: [(i64, u16); 7] = [
        (0, 303),
        (0, 401),
        (-1, 401),
        (-2, 401),
        (2, 401),
        // Of a clock that goes fast.
        (1, 303),
        // What comes before what was used is used as well.
        (0, 401),
    ];
    for (steps, status) in tries {
        let said = signs_in(anna.app_code(world, steps)).await;
        assert_eq!(said, status, "{steps} steps from now");
    }
    for status in [303_u16, 401] {
        assert_eq!(signs_in(recovery.clone()).await, status);
    }
    let entries = sign_ins(actors).await;
    let expected = [
        "code_used",
        "code_used",
        "code_used",
        "wrong_code",
        "wrong_code",
        "code_used",
        "code_used",
    ];
    assert_eq!(reasons(&entries), expected);
    // By which of the two it was, the record says of those who were let in.
    let by: Vec<&str> = entries
        .iter()
        .filter(|entry| entry["decision"] == "allow")
        .filter_map(|entry| entry["resource"].as_str()?.rsplit(' ').next())
        .collect();
    assert_eq!(by, ["totp", "totp", "recovery_code"]);
}

#[tokio::test]
async fn whoever_hangs_up_in_the_queue_takes_no_try_of_a_name() {
    let actors = everybody().await;
    let world = &actors.world;
    let _anna = Person::new(actors, "anna").await;
    let door = Door::of(world).await;
    let form = door.form("anna", "another password", "000000");
    let before = hashes(world);
    // As many as may wait, each from a place of its own, who go before it is their turn.
    let mut waiting: Vec<_> = (1u8..=16)
        .map(|place| Box::pin(from(world, &form, IpAddr::from([10, 1, 0, place]))))
        .collect();
    for _ in 0..1000 {
        let mut left = Vec::new();
        for mut sent in waiting {
            let answered =
                poll_fn(|context| Poll::Ready(sent.as_mut().poll(context).is_ready())).await;
            if !answered {
                left.push(sent);
            }
        }
        waiting = left;
        if hashes(world) > before {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(waiting);
    let hashed = hashes(world) - before;
    assert!((1..16).contains(&hashed), "{hashed}");
    // Twenty are free, and the next is the last; whose password was hashed has tried.
    let mut wrong = hashed;
    for place in 1u8..=30 {
        let answer = from(world, &form, IpAddr::from([10, 2, 0, place])).await;
        if answer.status == 429 {
            assert_eq!(answer.headers["retry-after"], "1");
            break;
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
        wrong += 1;
    }
    assert_eq!(wrong, 21);
}

#[tokio::test]
async fn whoever_guesses_from_afar_waits_and_the_operator_at_home_does_not() {
    let actors = everybody().await;
    let world = &actors.world;
    let mut anna = Person::new(actors, "anna").await;
    let door = Door::of(world).await;
    let first = door.form("anna", PASSWORD, &anna.code());
    assert_eq!(from(world, &first, HOME).await.status, 303);
    let mut waited = 0;
    for place in 0..30u8 {
        let guess = door.form("anna", "a guess of a password", "000000");
        let answer = from(world, &guess, [10, 7, 0, place].into()).await;
        match answer.status.as_u16() {
            401 => {}
            429 => {
                waited += 1;
                let after = answer.headers["retry-after"].to_str().unwrap();
                let after: u64 = after.parse().unwrap();
                assert!((1..=60).contains(&after), "{after}");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(waited >= 8, "{waited} of 30 waited");
    // From home she signs in at once, and again.
    for _ in 0..2 {
        let right = door.form("anna", PASSWORD, &anna.code());
        assert_eq!(from(world, &right, HOME).await.status, 303);
    }
    // On the way she waits with the others, and not for long.
    let code = anna.code();
    let away: IpAddr = [192, 0, 2, 9].into();
    let waits = from(world, &door.form("anna", PASSWORD, &code), away).await;
    assert_eq!(waits.status, 429);
    world.clock.turn(Duration::from_secs(60));
    let right = from(world, &door.form("anna", PASSWORD, &code), away).await;
    assert_eq!(right.status, 303, "{}", right.text());
    let slowed = |entry: &&Value| entry["reason"] == "slowed_down";
    let entries = actors.recorded("web_login.start").await;
    assert!(entries.iter().filter(slowed).count() >= 8);
}

#[tokio::test]
async fn who_mistypes_waits_a_little_and_others_at_other_places_do_not() {
    let actors = everybody().await;
    let world = &actors.world;
    let mut anna = Person::new(actors, "anna").await;
    let door = Door::of(world).await;
    let before = hashes(world);
    let mut waits = None;
    for _ in 0..7 {
        let wrong = door.form("anna", "a typing mistake", "000000");
        let answer = from(world, &wrong, HOME).await;
        if answer.status == 429 {
            waits = answer.headers["retry-after"]
                .to_str()
                .ok()
                .map(str::to_owned);
        }
    }
    assert_eq!(waits.as_deref(), Some("1"));
    assert_eq!(hashes(world), before + 6, "who has to wait costs nothing");
    let code = anna.code();
    // The password is right, and it is too early all the same.
    let early = from(world, &door.form("anna", PASSWORD, &code), HOME).await;
    assert_eq!(early.status, 429);
    world.clock.turn(Duration::from_secs(2));
    let right = from(world, &door.form("anna", PASSWORD, &code), HOME).await;
    assert_eq!(right.status, 303, "{}", right.text());
}

#[tokio::test]
async fn an_operator_hears_of_a_right_password_with_wrong_codes_and_of_no_guesses() {
    let actors = everybody().await;
    let world = &actors.world;
    let _anna = Person::new(actors, "anna").await;
    let _otto = Person::new(actors, "otto").await;
    let door = Door::of(world).await;
    // From everywhere together.
    for place in 1..=3u8 {
        let peer = IpAddr::from([10, 0, 1, place]);
        let guessed = from(
            world,
            &door.form("otto", "another password", "000000x"),
            peer,
        )
        .await;
        let wrong = from(world, &door.form("anna", PASSWORD, "000000x"), peer).await;
        for answer in [guessed, wrong] {
            assert_eq!(answer.status, 401, "{}", answer.text());
        }
    }
    // It is counted behind the answer.
    let mut entries = Vec::new();
    for _ in 0..500 {
        entries = actors.recorded("web_login.wrong_codes").await;
        if !entries.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["resource"], "operator/anna wrong:3");
    assert_eq!(entries[0].get("actor"), None);
    for (by, told) in [("anna", 1), ("alice", 1), ("otto", 0)] {
        let target = "/v1/events?follow=false";
        let mut found = 0;
        for _ in 0..500 {
            let answer = world.call(actors.key(by), "GET", target, None).await;
            assert_eq!(answer.status, 200, "{by}: {}", answer.text());
            found = answer.text().matches("\"web_login.wrong_codes\"").count();
            if found == told {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(found, told, "{by}");
    }
}

#[tokio::test]
async fn a_web_login_is_over_as_configured() {
    let world = World::configured(|config| {
        config.web = Web {
            enabled: true,
            origin: None,
        };
        config.web_login_idle_minutes = 30;
        config.web_login_hours = 1;
    });
    let actors: &'static Actors = Box::leak(Box::new(Actors::within(world).await));
    let mut anna = Person::new(actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let minutes = |minutes: u64| actors.world.clock.turn(Duration::from_secs(minutes * 60));
    minutes(29);
    assert_eq!(browser.get("/requests").await.status, 200);
    minutes(30);
    let mut idle = browser.clone();
    assert_eq!(idle.get("/requests").await.status, 303);
    assert!(idle.cookies.is_empty(), "the dead cookie is cleared");
    minutes(60);
    let mut browser = anna.browser(&actors.world).await;
    for _ in 0..3 {
        minutes(19);
        assert_eq!(browser.get("/requests").await.status, 200);
    }
    minutes(3);
    assert_eq!(browser.get("/requests").await.status, 303);
    let refusals = actors.recorded("authenticate").await;
    let is_over = |entry: &Value| entry["reason"] == "web_login_over";
    assert!(refusals.iter().any(is_over), "{refusals:?}");
}

#[tokio::test]
async fn a_cookie_that_is_none_of_ours_is_refused_and_cleared() {
    let actors = everybody().await;
    let mut anna = Person::new(actors, "anna").await;
    let browser = anna.browser(&actors.world).await;
    let own = browser.cookies["procura-login"].clone();
    let with = |cookie: String| {
        let mut sent = Sent::new("GET", "/requests", None);
        sent.headers.push(("cookie".to_owned(), cookie));
        sent
    };
    let good = with(format!("theme=dark; procura-login={own}; x=y"));
    assert_eq!(actors.world.send(&good).await.status, 200);
    for (cookie, reason) in [
        (
            format!("procura-login={own}; procura-login={own}"),
            "malformed",
        ),
        (format!("procura-login={own}="), "malformed"),
        (format!("procura-login=\"{own}\""), "malformed"),
        ("procura-login=".to_owned(), "malformed"),
        (
            format!("procura-login={}", "A".repeat(43)),
            "web_login_unknown",
        ),
    ] {
        let answer = actors.world.send(&with(cookie.clone())).await;
        assert_eq!(answer.status, 303, "{cookie}");
        let set = answer.headers["set-cookie"].to_str().unwrap();
        assert!(
            set.starts_with("procura-login=; Max-Age=0; Path=/"),
            "{set}"
        );
        let refusals = actors.recorded("authenticate").await;
        assert_eq!(refusals[0]["reason"], reason, "{cookie}");
    }
}

#[tokio::test]
async fn what_somebody_signs_in_with_is_set_by_the_device_itself() {
    let actors = everybody().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("anna"), None).await;
    let at = "/v1/operators/anna";
    let password = json!({"password": PASSWORD});
    let code = json!({"code": "000000"});
    let calls = [
        ("PUT", format!("{at}/password"), Some(&password)),
        ("POST", format!("{at}/totp"), None),
        ("POST", format!("{at}/totp/confirm"), Some(&code)),
        ("POST", format!("{at}/recovery-codes"), None),
    ];
    for (counter, (method, target, body)) in (1u64..).zip(calls) {
        let answer = world
            .in_session(&session, counter, method, &target, body)
            .await;
        answer.expect("reauthenticate", Some("own_key"), None, &target);
    }
    // By the device it is another matter.
    actors
        .ok("anna", "PUT", &format!("{at}/password"), password)
        .await;
}

#[tokio::test]
async fn another_password_and_the_end_of_an_operator_end_their_web_logins_at_once() {
    let actors = everybody().await;
    let world = &actors.world;
    let mut anna = Person::new(actors, "anna").await;
    let mut browser = anna.browser(world).await;
    assert_eq!(browser.get("/requests").await.status, 200);
    let password = json!({"password": PASSWORD});
    actors
        .ok("anna", "PUT", "/v1/operators/anna/password", password)
        .await;
    assert_eq!(browser.get("/requests").await.status, 303);
    let mut browser = anna.browser(world).await;
    let list = "/v1/operators/anna/logins";
    let listed = actors.ok("anna", "GET", list, Value::Null).await;
    let id = listed["logins"][0]["id"].as_str().unwrap().to_owned();
    let by_steward = actors.ok("alice", "GET", list, Value::Null).await;
    assert_eq!(by_steward["logins"], listed["logins"]);
    let one = format!("{list}/{id}");
    let ended = actors.ok("alice", "DELETE", &one, Value::Null).await;
    assert_eq!(ended["ended"], 1);
    assert_eq!(browser.get("/requests").await.status, 303);
    let mut browser = anna.browser(world).await;
    actors
        .ok("alice", "DELETE", "/v1/operators/anna", Value::Null)
        .await;
    assert_eq!(browser.get("/requests").await.status, 303);
}
