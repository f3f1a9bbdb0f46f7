//! The directory of keys: what lies in it counts from the next request on.

use super::agent::{Agent, ask, enrol, file, line, serving};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::symlink;

#[tokio::test]
async fn a_file_that_comes_changes_or_goes_counts_at_the_next_request() {
    let world = serving(&[]).await;
    let home = world.home.path();
    let (first, second) = (Agent::new("scribe"), Agent::new("scribe"));
    let path = file(home, "scribe");
    let good = async |agent: &Agent, what: &str| {
        ask(&world, &agent.asks_now(&world))
            .await
            .valid("scribe", what);
    };
    let bad = async |agent: &Agent, reason: &str, what: &str| {
        ask(&world, &agent.asks_now(&world))
            .await
            .invalid(reason, what);
    };
    // Without a directory nobody is known.
    bad(&first, "unknown_agent", "no directory").await;
    enrol(home, "scribe", &first.line());
    good(&first, "added").await;
    // Many times within one tick of the clock of files, in place and at one length.
    for round in 0..50 {
        fs::write(&path, second.line()).unwrap();
        good(&second, &format!("rewritten {round}")).await;
        bad(&first, "bad_signature", &format!("rewritten {round}")).await;
        fs::write(&path, first.line()).unwrap();
        good(&first, &format!("written back {round}")).await;
    }
    // Another file in its place, as a careful program does it.
    let new = home.join("keys/agents/new");
    fs::write(&new, second.line()).unwrap();
    fs::rename(&new, &path).unwrap();
    good(&second, "replaced").await;
    bad(&first, "bad_signature", "replaced").await;
    fs::remove_file(&path).unwrap();
    bad(&second, "unknown_agent", "removed").await;
    // To put it back enrols anew.
    fs::write(&path, second.line()).unwrap();
    good(&second, "put back").await;
    fs::remove_dir_all(home.join("keys")).unwrap();
    bad(&second, "unknown_agent", "no directory any more").await;
}

#[tokio::test]
async fn a_key_that_has_been_there_for_long_is_replaced_at_once_too() {
    let (first, second) = (Agent::new("scribe"), Agent::new("scribe"));
    let world = serving(&[&first]).await;
    let path = file(world.home.path(), "scribe");
    for round in 0..4 {
        let (now, before) = if round % 2 == 0 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        fs::write(&path, now.line()).unwrap();
        // By now it is only looked at, and not read for each request.
        for _ in 0..3 {
            ask(&world, &now.asks_now(&world))
                .await
                .valid("scribe", "now");
            world.clock.turn(std::time::Duration::from_secs(10));
        }
        ask(&world, &before.asks_now(&world))
            .await
            .invalid("bad_signature", "before");
    }
    fs::remove_file(&path).unwrap();
    ask(&world, &second.asks_now(&world))
        .await
        .invalid("unknown_agent", "removed");
}

#[tokio::test]
async fn what_is_no_key_is_no_agent_until_it_is_one() {
    let scribe = Agent::new("scribe");
    let world = serving(&[]).await;
    let home = world.home.path();
    let path = file(home, "scribe");
    let right = scribe.line();
    let key = right.split(' ').nth(1).unwrap();
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 agent@host\n";
    let unknown = async |what: &str| {
        ask(&world, &scribe.asks_now(&world))
            .await
            .invalid("unknown_agent", what);
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for text in [
        "",
        "\n",
        "hello\n",
        key,
        rsa,
        &right[..40],
        &format!("no-pty {right}"),
        &format!("{right}{right}"),
        &format!("# a comment\n{right}"),
        &format!(
            "ssh-ed25519 {}",
            key.trim_end_matches('=').replace('A', "B")
        ),
        &format!("{} {}", right.trim_end(), "x".repeat(4096)),
    ] {
        fs::write(&path, text).unwrap();
        unknown(text).await;
        fs::write(&path, &right).unwrap();
        ask(&world, &scribe.asks_now(&world))
            .await
            .valid("scribe", text);
    }
    // Four kibibytes with the comment are the most.
    let comment = 4096 - right.trim_end().len() - 1;
    fs::write(
        &path,
        format!("{} {}", right.trim_end(), "x".repeat(comment)),
    )
    .unwrap();
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "4096");
    fs::write(
        &path,
        format!("{} {}", right.trim_end(), "x".repeat(comment + 1)),
    )
    .unwrap();
    unknown("4097").await;
    fs::write(&path, b"ssh-ed25519 \xff\xfe\n").unwrap();
    unknown("no UTF-8").await;
    // Windows ends lines in its way, and some leave the end out.
    for end in ["\r\n", ""] {
        fs::write(&path, format!("{}{end}", right.trim_end())).unwrap();
        ask(&world, &scribe.asks_now(&world))
            .await
            .valid("scribe", "an end");
    }
}

#[tokio::test]
async fn nothing_but_a_file_is_a_key() {
    let scribe = Agent::new("scribe");
    let world = serving(&[]).await;
    let home = world.home.path();
    let path = file(home, "scribe");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let elsewhere = home.join("elsewhere.pub");
    fs::write(&elsewhere, scribe.line()).unwrap();
    let unknown = async |what: &str| {
        ask(&world, &scribe.asks_now(&world))
            .await
            .invalid("unknown_agent", what);
    };
    symlink(&elsewhere, &path).unwrap();
    unknown("a link").await;
    fs::remove_file(&path).unwrap();
    symlink("scribe.pub", &path).unwrap();
    unknown("a link to itself").await;
    fs::remove_file(&path).unwrap();
    // Nobody writes to it: a server that opened it would wait for ever.
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    unknown("a pipe").await;
    fs::remove_file(&path).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    unknown("a socket").await;
    drop(socket);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    unknown("a directory").await;
    fs::remove_dir(&path).unwrap();
    fs::hard_link(&elsewhere, &path).unwrap();
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "another name of the file");
}

#[tokio::test]
async fn a_directory_that_cannot_be_looked_at_says_nothing_about_agents() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let keys = world.home.path().join("keys");
    let aside = world.home.path().join("aside");
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "before");
    fs::rename(&keys, &aside).unwrap();
    fs::write(&keys, "not a directory").unwrap();
    for _ in 0..2 {
        ask(&world, &scribe.asks_now(&world))
            .await
            .unavailable("verifier_unavailable", "not a directory");
    }
    fs::remove_file(&keys).unwrap();
    fs::rename(&aside, &keys).unwrap();
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "after");
}

#[tokio::test]
async fn one_key_of_two_agents_uses_a_nonce_up_for_both() {
    // What is signed does not name the agent, so a proof could be shown twice.
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    enrol(
        world.home.path(),
        "twin",
        &line(scribe.key.public().as_bytes()),
    );
    let mut asked = scribe.asks_now(&world);
    ask(&world, &asked).await.valid("scribe", "one");
    asked["agent_id"] = "twin".into();
    ask(&world, &asked)
        .await
        .invalid("nonce_replayed", "as the twin");
    let twin = Agent {
        id: "twin",
        key: scribe.key,
    };
    ask(&world, &twin.asks_now(&world))
        .await
        .valid("twin", "its own");
}
