//! The server ends as by `kill -9` at each named step of a change of sources. Whatever the
//! step, the vault opens with what the table says, and with nothing else.

use super::people::Passphrases;
use super::place::{Bring, Kind, Place, first, owned};
use super::softhsm::Tokens;
use serde_json::Value;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Runs a command with a server that ends at a step of it.
fn ends_at(place: &mut Place, step: &str, args: &[String], lines: &[String]) {
    let file = place.cli.home.join("procura.toml");
    place.stop();
    std::fs::write(&file, format!("danger_stop_at = \"{step}\"\n")).unwrap();
    place.start();
    place.unseal(&first());
    // The answer is lost where the server ends before it.
    let _ = place.run(args, lines);
    let url = place.cli.url.clone().unwrap();
    let address = url.trim_start_matches("http://");
    let end = Instant::now() + Duration::from_secs(180);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "{step}: the server did not end there");
        std::thread::sleep(Duration::from_millis(50));
    }
    place.kill();
    std::fs::write(&file, "").unwrap();
    place.start();
}

/// Opens with one thing, and is sealed again.
fn opens(place: &Place, bring: &Bring) {
    place.unseal(bring);
    place.seal();
}

/// One that was not added opens nothing, one that was does; what opened before opens in
/// any case, and the source can be added then.
fn adding<K: Kind>() {
    let dir = tempfile::tempdir().unwrap();
    let kind = K::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    for (step, name, added) in [
        ("source-made", "one", false),
        ("source-recorded", "two", false),
        ("source-added", "three", true),
    ] {
        let (extra, typed) = kind.add("home", name);
        let (mut args, mut lines) = place.with(&["unseal-source", "add", name], &first());
        args.extend(extra);
        lines.extend(typed);
        ends_at(&mut place, step, &args, &lines);
        opens(&place, &first());
        let bring = kind.bring("home", name);
        if added {
            opens(&place, &bring);
        } else if bring.unseal.is_empty() {
            place.not_unsealed_for(step, &bring, K::REFUSED);
        } else {
            place.not_unsealed_for(step, &bring, &format!("there is no unseal source {name}"));
        }
        place.unseal(&first());
        assert_eq!(place.names().contains(&name.to_owned()), added, "{step}");
        if !added {
            // Its key may have stayed on a token, where it opens nothing.
            let (extra, typed) = kind.add("again", name);
            let (mut args, mut lines) = place.with(&["unseal-source", "add", name], &first());
            args.extend(extra);
            lines.extend(typed);
            place.ok(&args, &lines);
            place.seal();
            place.unseal(&kind.bring("again", name));
        }
    }
    assert_eq!(place.names(), ["passphrase", "one", "two", "three"]);
}

#[test]
fn a_passphrase_that_is_added_is_killed_at_each_step() {
    adding::<Passphrases>();
}

#[test]
fn a_token_that_is_added_is_killed_at_each_step() {
    adding::<Tokens>();
}

/// The steps of a new root, and whether it is in force there.
const TURNS: [(&str, bool); 4] = [
    ("root-prepared", false),
    ("file-replaced", true),
    ("keys-in-use", true),
    ("old-root-gone", true),
];

/// What is removed opens until the new root is in force, and what stays opens always.
fn removing<K: Kind>() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = K::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "one");
    let one = kind.bring("home", "one");
    for ((step, gone), name) in TURNS.into_iter().zip(["two", "three", "four", "late0"]) {
        place.add(&mut kind, name);
        let (args, lines) = place.with(&["unseal-source", "remove", name], &first());
        ends_at(&mut place, step, &args, &lines);
        opens(&place, &first());
        opens(&place, &one);
        let bring = kind.bring("home", name);
        if !gone {
            opens(&place, &bring);
        } else if bring.unseal.is_empty() {
            place.not_unsealed_for(step, &bring, K::REFUSED);
        } else {
            place.not_unsealed_for(step, &bring, &format!("there is no unseal source {name}"));
        }
        place.unseal(&first());
        assert_eq!(place.names().contains(&name.to_owned()), !gone, "{step}");
    }
}

#[test]
fn a_passphrase_that_is_removed_is_killed_at_each_step() {
    removing::<Passphrases>();
}

#[test]
fn a_token_that_is_removed_is_killed_at_each_step() {
    removing::<Tokens>();
}

/// The old passphrase opens until the new root is in force, and then the new one alone.
#[test]
fn a_passphrase_that_is_changed_is_killed_at_each_step() {
    let dir = tempfile::tempdir().unwrap();
    for (step, changed) in TURNS {
        let at = dir.path().join(step);
        std::fs::create_dir(&at).unwrap();
        let mut place = Place::new(&at, "home", Vec::new());
        let new = Bring {
            lines: owned(&["canary passphrase of tomorrow"]),
            ..Bring::default()
        };
        let lines = [first().lines, new.lines.clone()].concat();
        ends_at(&mut place, step, &owned(&["passphrase"]), &lines);
        let (right, wrong) = if changed {
            (&new, &first())
        } else {
            (&first(), &new)
        };
        place.not_unsealed_for(step, wrong, "wrong_passphrase");
        place.unseal(right);
        assert_eq!(place.names(), ["passphrase"]);
    }
}

fn shares(printed: &Value) -> Bring {
    let shares = printed["shares"].as_array().unwrap().iter().skip(1);
    Bring {
        unseal: owned(&["--shares"]),
        with: owned(&["--with", "shares"]),
        lines: shares
            .map(|share| share.as_str().unwrap().to_owned())
            .collect(),
    }
}

/// The shares of before open until the new root is in force. Those that were made then
/// were shown to nobody: what opens beside them does, and makes others.
#[test]
fn shares_that_take_the_place_of_others_are_killed_at_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut place = Place::new(dir.path(), "home", Vec::new());
    let add = |place: &Place, name: &str| {
        let (mut args, lines) = place.with(&["unseal-source", "add", name], &first());
        args.extend(owned(&["--shares", "2/3"]));
        (args, lines)
    };
    for (round, (step, replaced)) in TURNS.into_iter().enumerate() {
        let (args, lines) = add(&place, &format!("before{round}"));
        let before = shares(&place.ok(&args, &lines));
        let (args, lines) = add(&place, &format!("after{round}"));
        ends_at(&mut place, step, &args, &lines);
        if replaced {
            place.not_unsealed_for(step, &before, "share_other_set");
        } else {
            opens(&place, &before);
        }
        place.unseal(&first());
        let stands = if replaced { "after" } else { "before" };
        assert_eq!(
            place.names(),
            ["passphrase".to_owned(), format!("{stands}{round}")],
            "{step}"
        );
    }
    let (args, lines) = add(&place, "last");
    let last = shares(&place.ok(&args, &lines));
    place.seal();
    place.unseal(&last);
}

/// Where shares are all that opens the vault, an answer that is lost would be the end of
/// it: they are not replaced.
#[test]
fn shares_that_are_all_there_is_are_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Tokens::new(dir.path());
    let place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "one");
    let (mut args, lines) = place.with(&["unseal-source", "add", "recovery"], &first());
    args.extend(owned(&["--shares", "2/3"]));
    let set = shares(&place.ok(&args, &lines));
    let (args, lines) = place.with(&["unseal-source", "remove", "passphrase"], &set);
    place.ok(&args, &lines);
    for kind in ["--shares", "--slip39"] {
        let (mut args, lines) = place.with(&["unseal-source", "add", "others"], &set);
        args.extend(owned(&[kind, "2/3"]));
        place.refused(&args, &lines, "conflict");
    }
    // A token beside them may be lost.
    assert_eq!(place.names(), ["one", "recovery"]);
    place.test(&set);
    let token = kind.bring("home", "one");
    let (args, lines) = place.with(&["unseal-source", "remove", "one"], &token);
    place.refused(&args, &lines, "conflict");
    let (args, lines) = place.with(&["unseal-source", "remove", "one"], &set);
    place.ok(&args, &lines);
    for kind in ["--shares", "--slip39"] {
        let (mut args, lines) = place.with(&["unseal-source", "add", "others"], &set);
        args.extend(owned(&[kind, "2/3"]));
        place.refused(&args, &lines, "conflict");
    }
    assert_eq!(place.names(), ["recovery"]);
    place.test(&set);
    // With a passphrase beside them they are.
    let (mut args, mut lines) = place.with(&["unseal-source", "add", "second"], &set);
    args.push("--passphrase".to_owned());
    lines.push("canary passphrase beside".to_owned());
    place.ok(&args, &lines);
    let (mut args, lines) = place.with(&["unseal-source", "add", "others"], &set);
    args.extend(owned(&["--shares", "2/3"]));
    let others = shares(&place.ok(&args, &lines));
    assert_eq!(place.names(), ["second", "others"]);
    place.test(&others);
}
