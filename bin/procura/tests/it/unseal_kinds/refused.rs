//! What keepers refused while nobody could be told is told when the vault is open; and a
//! token with few tries left is left to a person.

use super::place::{Kind, Place, first, private, wrapped};
use super::softhsm::Tokens;
use super::swtpm::Chips;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn says(health: &Value, words: &str) -> bool {
    let degraded = health["degraded"].as_array().unwrap();
    degraded
        .iter()
        .any(|why| why.as_str().unwrap().contains(words))
}

/// A server that a token opens by itself, and the file with its PIN.
fn opened_by_token(dir: &Path) -> (Tokens, Place, PathBuf) {
    let mut kind = Tokens::new(dir);
    let place = Place::new(dir, "home", kind.environment());
    place.add(&mut kind, "hsm");
    let pin = kind.credentials().unwrap();
    let configured = format!(
        "auto_unseal = [\"hsm\"]\n[unseal_credentials]\nhsm = {}\n",
        json!(pin)
    );
    std::fs::write(place.cli.home.join("procura.toml"), configured).unwrap();
    (kind, place, pin)
}

/// The alarms about an unseal source, oldest first: its resource, reason and count.
fn alarms(place: &Place) -> Vec<(String, String, Value)> {
    place.cli.ok(
        &["login", "--passphrase-fd", "0"],
        crate::installed::PASSPHRASE,
    );
    let told = place.cli.ok(&["--json", "events"], b"");
    told.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "alarm")
        .map(|event| event["data"].clone())
        .filter(|data| data["action"] == "installation.unseal")
        .map(|data| {
            let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
            (text("resource"), text("reason"), data["count"].clone())
        })
        .collect()
}

/// What was refused, of which source, how often and since when: as alarms and in the
/// record at the next opening, and at once as a metric.
#[test]
fn what_was_refused_while_sealed_is_told_with_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Tokens::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "hsm");
    let (wrong, _) = kind.wrong("hsm").unwrap();
    place.seal();
    let file = place.cli.home.join("unseal-refusals.json");
    place.not_unsealed(&wrong, "wrong_pin");
    place.not_unsealed(&wrong, "wrong_pin");
    assert_eq!(
        place.metric("procura_unseal_source_failures_total{reason=\"wrong_pin\"}"),
        "2"
    );
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["refused"][0]["count"], 2);
    let since = kept["refused"][0]["from"].clone();
    // A restart forgets nothing of it.
    place.stop();
    place.start();
    place.not_unsealed(&wrong, "wrong_pin");
    place.unseal(&first());
    assert!(!file.exists(), "it is in the record");
    assert_eq!(
        alarms(&place),
        [(
            "unseal_source/hsm reason/wrong_pin".to_owned(),
            "summary".to_owned(),
            json!(3)
        )]
    );
    let entries = place.cli.json(&["audit", "list", "--everywhere"]);
    let text = entries.to_string();
    assert!(
        text.contains("unseal_source/hsm reason/wrong_pin"),
        "{text}"
    );
    assert!(text.contains(since.as_str().unwrap()), "{since}: {text}");
    // Told once.
    place.seal();
    place.unseal(&first());
    assert_eq!(alarms(&place).len(), 1);
}

/// One refusal stands for itself, whatever its kind; what was put back in place of the
/// file is not told twice.
#[test]
fn a_chip_that_refuses_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Chips::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "machine");
    let file = place.cli.home.join("unseal-refusals.json");
    place.seal();
    kind.extend(7);
    place.not_unsealed(&wrapped("machine", None), "pcrs_changed");
    let copy = std::fs::read(&file).unwrap();
    place.unseal(&first());
    let one = (
        "unseal_source/machine".to_owned(),
        "pcrs_changed".to_owned(),
        Value::Null,
    );
    assert_eq!(alarms(&place), std::slice::from_ref(&one));
    place.stop();
    // As when the server ended between the record and the file.
    private(&file, std::str::from_utf8(&copy).unwrap());
    place.start();
    place.unseal(&first());
    assert!(!file.exists());
    assert_eq!(alarms(&place), [one]);
}

/// The token itself says that a wrong PIN was tried, here or elsewhere: then the right one
/// of the configuration is not tried either, until a person has opened with it.
#[test]
fn a_token_with_few_tries_left_is_left_to_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let (kind, mut place, pin) = opened_by_token(dir.path());
    let (wrong, _) = kind.wrong("hsm").unwrap();
    place.not_tested(&wrong, "wrong_pin");
    place.stop();
    place.start();
    place.wait("gives up", |health| {
        says(health, "no source opens the vault")
    });
    assert_eq!(
        place.metric("procura_unseal_source_failures_total{reason=\"few_tries_left\"}"),
        "1"
    );
    assert_eq!(
        place.metric("procura_unseal_source_failures_total{reason=\"wrong_pin\"}"),
        "0"
    );
    // A person knows how many are left.
    place.unseal(&wrapped("hsm", Some(&pin)));
    let told = alarms(&place);
    let few = (
        "unseal_source/hsm".to_owned(),
        "few_tries_left".to_owned(),
        Value::Null,
    );
    assert!(told.contains(&few), "{told:?}");
    place.stop();
    place.start();
    place.wait("opens by itself", |health| health["sealed"] == json!(false));
}

/// A server that ended in the midst of a try does not know what became of it, and does
/// not try again by itself.
#[test]
fn a_try_that_was_not_heard_of_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (_kind, mut place, pin) = opened_by_token(dir.path());
    place.stop();
    place.start();
    place.wait("opens by itself", |health| health["sealed"] == json!(false));
    let kept = place.cli.home.join("auto-unseal.json");
    // What is there while a PIN is tried.
    place.stop();
    private(&kept, "{\"sealed\":false,\"refused\":[\"hsm\"]}");
    place.start();
    place.wait("gives up", |health| {
        says(health, "no source opens the vault")
    });
    for reason in WORDS {
        let metric = format!("procura_unseal_source_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(place.metric(&metric), "0", "the token was asked");
    }
    place.unseal(&wrapped("hsm", Some(&pin)));
    place.stop();
    place.start();
    place.wait("opens by itself", |health| health["sealed"] == json!(false));
}

const WORDS: [&str; 3] = ["wrong_pin", "few_tries_left", "source_unavailable"];
