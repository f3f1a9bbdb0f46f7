//! Notifications whose receiver is down, whose mail server says no, and whose sender is
//! killed: what waits is told in the end, once.

use super::notify::{Mail, PASSWORD, revocation, route, server};
use crate::scene::PATIENCE;
use procura_acceptance::{Installation, Receiver, Search, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The rows of what waits, channel by channel.
fn queues(server: &Installation) -> Vec<Value> {
    let queue = ["-n", "shop", "--json", "notify", "queue"];
    let queue = server.cli(&queue).ok().json();
    queue["channels"].as_array().unwrap().clone()
}

/// Waits until so many messages of the only channel wait and so many were given up; the
/// last failure of those that wait.
fn stand(server: &Installation, waiting: u64, dead: u64) -> Value {
    until("they wait or were given up", PATIENCE, || {
        let queue = queues(server).remove(0);
        let is_so = queue["waiting"] == waiting && queue["dead"] == dead;
        // One that was not tried yet has no failure.
        let is_so = is_so && (waiting == 0 || queue["failure"].is_string());
        is_so.then(|| queue["failure"].clone())
    })
}

#[test]
fn what_happens_while_the_mail_server_is_down_is_told_once_when_it_is_back() {
    let server = server();
    let mail = Mail::start(&server, "starttls", "localhost");
    mail.channel(&server, "starttls", PASSWORD);
    route(&server, &["revocation"]);
    let mail = mail.down(|| {
        revocation(&server, "scribe");
        let why = stand(&server, 1, 0);
        assert_eq!(why, "the mail server takes no connection");
    });
    let first = mail.hears_of("scribe");
    stand(&server, 0, 0);
    // What comes next is the next, and not the same again.
    revocation(&server, "baker");
    let second = mail.hears_of("baker");
    assert_ne!(first["id"], second["id"]);
    stand(&server, 0, 0);
    assert_eq!(mail.program.unheard(), Vec::<Value>::new());
}

#[test]
fn what_waits_for_a_mail_server_outlives_a_kill_of_this_one() {
    let mut server = server();
    let mail = Mail::start(&server, "tls", "localhost");
    mail.channel(&server, "tls", PASSWORD);
    route(&server, &["revocation"]);
    let mail = mail.down(|| {
        revocation(&server, "scribe");
        stand(&server, 1, 0);
        server.kill();
        server.start_again();
        server.unseal().ok();
        assert_eq!(stand(&server, 1, 0), "the mail server takes no connection");
    });
    mail.hears_of("scribe");
    stand(&server, 0, 0);
    revocation(&server, "baker");
    mail.hears_of("baker");
    stand(&server, 0, 0);
    assert_eq!(mail.program.unheard(), Vec::<Value>::new());
}

/// Said by the mail server; nobody else is to repeat it.
const REMARK: &str = "remark-canary-of-the-mail-server-5e21";

#[test]
fn a_mail_server_that_says_later_is_tried_again_and_one_that_says_no_is_not() {
    let server = server();
    let mut mail = Mail::start(&server, "starttls", "localhost");
    mail.channel(&server, "starttls", PASSWORD);
    route(&server, &["revocation"]);
    let later = format!("DATA 451 4.3.0 {REMARK}");
    mail.answers(&later);
    revocation(&server, "scribe");
    let turned_away = |code: u16, at: &str| json!({"turned_away": code, "at": at});
    assert_eq!(mail.program.hear(), turned_away(451, "DATA"));
    let why = "the mail server cannot take the message now (451)";
    assert_eq!(stand(&server, 1, 0), why);
    mail.answers("take");
    mail.hears_of("scribe");
    stand(&server, 0, 0);

    let notify = |words: &[&str]| {
        let all = [&["-n", "shop", "--json", "notify"][..], words].concat();
        server.cli(&all).ok().json()
    };
    for (step, agent) in [("RCPT", "baker"), ("DATA", "smith")] {
        mail.answers(&format!("{step} 550 5.7.1 {REMARK}"));
        revocation(&server, agent);
        assert_eq!(mail.program.hear(), turned_away(550, step));
        stand(&server, 0, 1);
        let dead = notify(&["dead", "list"]);
        let given_up = &dead["deliveries"][0];
        assert_eq!(given_up["action"], "agent.revoke", "{dead}");
        assert_eq!(given_up["tries"], 1, "{dead}");
        let why = "the mail server refused the message (550)";
        assert_eq!(given_up["failure"], why, "{dead}");
        assert_eq!(dead["deliveries"].as_array().unwrap().len(), 1, "{dead}");
        mail.answers("take");
        let id = given_up["id"].as_str().unwrap();
        assert_eq!(notify(&["dead", "retry", id]), json!({"retried": 1}));
        mail.hears_of(agent);
        stand(&server, 0, 0);
    }
    assert_eq!(mail.program.unheard(), Vec::<Value>::new());
    let mut search = Search::new(REMARK);
    search.bytes("the log", server.server_said().as_bytes());
    search.folder(&server.home());
    search.assert_nowhere();
}

/// So many channels of a namespace, and so many things that each of them is told of.
const CHANNELS: usize = 32;
const EVENTS: usize = 32;

#[test]
fn a_thousand_that_wait_outlive_a_kill() {
    let mut server = server();
    let receiver = Receiver::start();
    for number in 0..CHANNELS {
        let name = format!("ops-{number}");
        let hook = format!("{}\n", receiver.url(&format!("/{name}")));
        let add = ["-n", "shop", "notify", "channel", "add", &name];
        let of = ["--kind", "webhook", "--per-minute", "6000"];
        let words = [&add[..], &of[..]].concat();
        server.cli_with(&words, hook.as_bytes()).ok();
        let add = ["-n", "shop", "notify", "route", "add", &name];
        let of = ["--channel", &name, "--event", "revocation"];
        server.cli(&[&add[..], &of[..]].concat()).ok();
    }
    let waiting = |server: &Installation| -> u64 {
        let all = queues(server);
        assert_eq!(all.len(), CHANNELS);
        let nothing_lost = |queue: &Value| queue["dead"] == 0 && queue["untold"] == 0;
        assert!(all.iter().all(nothing_lost), "{all:?}");
        let counts = all.iter().map(|queue| queue["waiting"].as_u64().unwrap());
        counts.sum()
    };
    let all = u64::try_from(CHANNELS * EVENTS).unwrap();
    assert!(all >= 1000);
    let receiver = receiver.down(|| {
        for number in 0..EVENTS {
            revocation(&server, &format!("agent-{number}"));
        }
        until("all of them wait", PATIENCE, || {
            (waiting(&server) == all).then_some(())
        });
        server.kill();
        server.start_again();
        server.unseal().ok();
        assert_eq!(waiting(&server), all);
    });
    let mut told = BTreeMap::new();
    for _ in 0..all {
        let (path, said) = receiver.hear();
        assert_eq!(said["kind"], "one", "{said}");
        let entry = said["events"][0]["entry"].as_str().unwrap().to_owned();
        *told.entry((path, entry)).or_insert(0) += 1;
    }
    assert_eq!(told.len(), CHANNELS * EVENTS);
    assert!(told.values().all(|count| *count == 1), "{told:?}");
    until("nothing waits", PATIENCE, || {
        (waiting(&server) == 0).then_some(())
    });
    assert_eq!(receiver.unheard(), Vec::new());
}
