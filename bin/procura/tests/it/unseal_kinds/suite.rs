//! What holds for every kind of unseal source.

use super::place::{Bring, Kind, Place, first, owned};
use super::restored::restores;
use serde_json::Value;
use std::time::Duration;

/// A number, or text of base64url, as another one.
fn changed(value: &Value) -> Value {
    let Some(text) = value.as_str() else {
        return (value.as_u64().unwrap() ^ 1).into();
    };
    let (head, tail) = text.split_at(text.len() / 2);
    let (one, rest) = tail.split_at(1);
    let other = if one == "A" { "B" } else { "A" };
    format!("{head}{other}{rest}").into()
}

fn read(place: &Place) -> Value {
    serde_json::from_slice(&std::fs::read(place.file()).unwrap()).unwrap()
}

fn source<'a>(file: &'a mut Value, name: &str) -> &'a mut Value {
    file["sources"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|source| source["name"] == name)
        .unwrap()
}

/// A kind goes through all of it.
pub(super) fn conforms<K: Kind>() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = K::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "one");
    place.add(&mut kind, "two");
    assert_eq!(place.names(), ["passphrase", "one", "two"]);
    let list = place.ok(&owned(&["unseal-source", "list"]), &[]);
    for source in &list["sources"].as_array().unwrap()[1..] {
        let name = source["name"].as_str().unwrap();
        assert_eq!(source["kind"], kind.word(name));
        assert!(!source["needs"].as_str().unwrap().is_empty());
    }
    let (one, two) = (kind.bring("home", "one"), kind.bring("home", "two"));
    for (name, bring) in [("one", &one), ("two", &two)] {
        assert_eq!(place.test(bring)["name"], name);
        place.seal();
        place.unseal(bring);
    }
    restores(&place, &kind, dir.path());
    name_is_taken(&place, &kind);
    wrong_ones(&place, &kind, &one);
    keeper_is_away(&place, &mut kind, &one);
    file_is_changed(&mut place, &mut kind, dir.path());
    root_turns(&mut place, &kind, &one, &two);
    killed(&mut place, &mut kind, &one);
    last_one(&place, kind.word("one"), &one);
}

fn name_is_taken<K: Kind>(place: &Place, kind: &K) {
    let (args, lines) = kind.add("again", "one");
    let (mut all, mut typed) = place.with(&["unseal-source", "add", "one"], &first());
    all.extend(args);
    typed.extend(lines);
    place.refused(&all, &typed, "already_exists");
    assert_eq!(place.names(), ["passphrase", "one", "two"]);
}

/// What is wrong is refused for its reason, open and sealed, and what is right goes on.
fn wrong_ones<K: Kind>(place: &Place, kind: &K, one: &Bring) {
    let Some((wrong, code)) = kind.wrong("one") else {
        return;
    };
    place.not_tested(&wrong, code);
    place.test(one);
    place.seal();
    place.not_unsealed(&wrong, code);
    place.unseal(one);
}

/// A keeper that is not there says so, and stands in nobody's way.
fn keeper_is_away<K: Kind>(place: &Place, kind: &mut K, one: &Bring) {
    if !kind.away() {
        return;
    }
    place.not_tested(one, "source_unavailable");
    place.seal();
    place.not_unsealed(one, "source_unavailable");
    place.unseal(&first());
    kind.back();
    place.test(one);
    place.seal();
    place.unseal(one);
}

/// What is stored of a source opens in no other place, nor when it was changed; put back
/// it opens as before.
fn file_is_changed<K: Kind>(place: &mut Place, kind: &mut K, dir: &std::path::Path) {
    let mut other = Place::new(dir, "other", kind.environment());
    other.add(kind, "one");
    let mut theirs = read(&other);
    other.stop();
    let one = kind.bring("home", "one");
    let good = std::fs::read(place.file()).unwrap();
    let edits: [(&str, Value); 3] = {
        let file = &mut read(place);
        let mut bytes = source(file, "one")["keeper"].clone();
        let at = bytes.pointer_mut(K::CHANGE).unwrap();
        *at = changed(at);
        [
            ("changed", bytes),
            ("of another source", source(file, "two")["keeper"].clone()),
            (
                "of another installation",
                source(&mut theirs, "one")["keeper"].clone(),
            ),
        ]
    };
    for (what, keeper) in edits {
        place.stop();
        let mut file = read(place);
        source(&mut file, "one")["keeper"] = keeper;
        std::fs::write(place.file(), serde_json::to_vec(&file).unwrap()).unwrap();
        place.start();
        place.not_unsealed_for(what, &one, K::REFUSED);
        // Whoever changes the list is found out whatever is brought.
        place.not_unsealed(&first(), "damaged");
        place.stop();
        std::fs::write(place.file(), &good).unwrap();
        place.start();
        place.unseal(&one);
    }
}

/// Removing one makes another root, which reaches those that stay, and leaves nothing to
/// the one that goes, nor to a file of before.
fn root_turns<K: Kind>(place: &mut Place, kind: &K, one: &Bring, two: &Bring) {
    let before = std::fs::read(place.file()).unwrap();
    let epoch = read(place)["root_epoch"].as_u64().unwrap();
    let (args, lines) = place.with(&["unseal-source", "remove", "two"], one);
    place.ok(&args, &lines);
    assert_eq!(place.names(), ["passphrase", "one"]);
    assert_eq!(read(place)["root_epoch"], epoch + 1);
    place.seal();
    place.not_unsealed(two, K::GONE);
    place.unseal(one);
    place.seal();
    place.unseal(&first());
    let after = std::fs::read(place.file()).unwrap();
    for bring in [one, two] {
        place.stop();
        std::fs::write(place.file(), &before).unwrap();
        place.start();
        place.not_unsealed(bring, "damaged");
        place.stop();
        std::fs::write(place.file(), &after).unwrap();
        place.start();
        place.unseal(&kind.bring("home", "one"));
    }
}

/// Whenever the server dies, what is listed opens.
fn killed<K: Kind>(place: &mut Place, kind: &mut K, one: &Bring) {
    for (round, delay) in [40u64, 400, 900].into_iter().enumerate() {
        let name = format!("late{round}");
        let (args, lines) = kind.add("home", &name);
        let (mut all, mut typed) = place.with(&["unseal-source", "add", &name], one);
        all.extend(args);
        typed.extend(lines);
        place.killed_during(kind, &all, &typed, Duration::from_millis(delay));
        place.start();
        place.unseal(one);
        if place.names().contains(&name) {
            let (args, lines) = place.with(&["unseal-source", "remove", &name], one);
            place.killed_during(kind, &args, &lines, Duration::from_millis(delay));
            place.start();
            place.unseal(one);
        }
        place.seal();
        place.unseal(&first());
    }
    for name in place.names() {
        if name.starts_with("late") {
            let (args, lines) = place.with(&["unseal-source", "remove", &name], one);
            place.ok(&args, &lines);
        }
    }
}

/// The last one stays; and where that would be a token, a chip or a service, the last one
/// that people keep stays too, unless they say that they mean it.
fn last_one(place: &Place, word: &str, one: &Bring) {
    let (mut args, lines) = place.with(&["unseal-source", "remove", "passphrase"], one);
    if ["pkcs11", "tpm", "kms", "transit"].contains(&word) {
        let refused = place.run(&args, &lines);
        let failure: Value = serde_json::from_str(refused.err.lines().last().unwrap()).unwrap();
        let problem = &failure["problem"];
        assert_eq!(problem["code"], "conflict", "{}", refused.err);
        assert_eq!(problem["reason"], "wrappers_alone", "{}", refused.err);
        assert_eq!(place.names(), ["passphrase", "one"]);
        args.push("--danger-wrappers-alone".to_owned());
    }
    place.ok(&args, &lines);
    let (args, lines) = place.with(&["unseal-source", "remove", "one"], one);
    place.refused(&args, &lines, "conflict");
    assert_eq!(place.names(), ["one"]);
    place.test(one);
}

impl Place {
    /// Runs a command, and kills the server after a while.
    fn killed_during<K: Kind>(
        &mut self,
        kind: &K,
        args: &[String],
        lines: &[String],
        after: Duration,
    ) {
        use std::io::Write as _;
        kind.before_kill();
        let mut all = owned(&["--json", "--yes", "--passphrase-fd", "0"]);
        all.extend_from_slice(args);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut child = self
            .cli
            .command(&all)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // It may have been told no before it reads all.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(format!("{}\n", lines.join("\n")).as_bytes());
        std::thread::sleep(after);
        self.kill();
        child.wait().unwrap();
        kind.after_kill();
    }
}
