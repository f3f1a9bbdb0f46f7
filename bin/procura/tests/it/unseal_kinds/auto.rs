//! Opening by itself at start, and sealing by a signal.

use super::kms::Service;
use super::people::Passphrases;
use super::place::{Kind, Place, first, private, wrapped};
use super::softhsm::Tokens;
use super::swtpm::Chips;
use super::transit::Other;
use serde_json::{Value, json};
use std::path::Path;

fn configure(place: &Place, kind: &impl Kind, names: &[&str]) {
    let mut text = format!("auto_unseal = {}\n", json!(names));
    if let Some(path) = kind.credentials() {
        text.push_str("[unseal_credentials]\n");
        for name in names {
            text.push_str(&format!("{name} = {}\n", json!(path)));
        }
    }
    std::fs::write(place.cli.home.join("procura.toml"), text).unwrap();
}

fn is_open(health: &Value) -> bool {
    health["sealed"] == json!(false)
}

fn says(health: &Value, words: &str) -> bool {
    let degraded = health["degraded"].as_array().unwrap();
    degraded
        .iter()
        .any(|why| why.as_str().unwrap().contains(words))
}

/// It opens by itself; what is sealed on purpose does not, across restarts, until somebody
/// unseals; and a keeper that is away is waited for, in nobody's way.
fn opens_by_itself<K: Kind>(at: &Path) {
    let mut kind = K::new(at);
    let mut place = Place::new(at, "home", kind.environment());
    place.add(&mut kind, "one");
    configure(&place, &kind, &["one"]);
    place.stop();
    place.start();
    place.wait("opens by itself", is_open);

    place.seal();
    place.stop();
    place.start();
    assert!(says(&place.health(), "sealed the vault on purpose"));
    place.unseal(&first());
    place.stop();
    place.start();
    place.wait("opens by itself again", is_open);

    place.stop();
    if !kind.away() {
        return;
    }
    place.start();
    let waiting = place.wait("says what is missing", |health| {
        says(health, "what one needs is not there")
    });
    assert_eq!(waiting["status"], "sealed");
    kind.back();
    place.wait("opens when it is there", is_open);

    place.stop();
    kind.away();
    place.start();
    place.unseal(&first());
    kind.back();
}

#[test]
fn a_passphrase_in_a_file_opens_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passphrase");
    let kind = Passphrases;
    let mut place = Place::new(dir.path(), "home", Vec::new());
    private(&file, &format!("{}\n", first().lines[0]));
    let configured = format!(
        "auto_unseal = [\"nobody\", \"passphrase\"]\n[unseal_credentials]\npassphrase = {}\n",
        json!(file)
    );
    configure(&place, &kind, &[]);
    std::fs::write(place.cli.home.join("procura.toml"), configured).unwrap();
    place.stop();
    place.start();
    place.wait("opens by itself", is_open);
    place.stop();
    private(&file, "not the passphrase\n");
    place.start();
    place.wait("gives up", |health| {
        says(health, "no source opens the vault")
    });
    assert!(place.is_sealed());
    place.unseal(&first());
}

#[test]
fn a_token_opens_by_itself() {
    opens_by_itself::<Tokens>(tempfile::tempdir().unwrap().path());
}

#[test]
fn a_chip_opens_by_itself() {
    opens_by_itself::<Chips>(tempfile::tempdir().unwrap().path());
}

#[test]
fn a_service_opens_by_itself() {
    opens_by_itself::<Service>(tempfile::tempdir().unwrap().path());
}

#[test]
fn another_procura_opens_by_itself() {
    opens_by_itself::<Other>(tempfile::tempdir().unwrap().path());
}

/// What writes the credentials of a service may be started after this server, and what it
/// wrote first may be refused: neither ends the wait, nor slows a person.
fn waits_for_credentials<K: Kind>(at: &Path) {
    let mut kind = K::new(at);
    let mut place = Place::new(at, "home", kind.environment());
    place.add(&mut kind, "one");
    configure(&place, &kind, &["one"]);
    let file = kind.credentials().unwrap();
    let right = std::fs::read_to_string(&file).unwrap();
    let failures = |place: &Place, reason: &str| {
        place.metric(&format!(
            "procura_unseal_source_failures_total{{reason=\"{reason}\"}}"
        ))
    };
    place.stop();
    std::fs::remove_file(&file).unwrap();
    place.start();
    place.wait("waits for the file", |health| {
        says(health, "what one needs is not there")
    });
    assert_ne!(failures(&place, "source_unavailable"), "0");
    private(&file, &right);
    place.wait("opens when it is there", is_open);

    // Written in two steps.
    place.stop();
    private(&file, "");
    place.start();
    place.wait("waits for what is in it", |health| {
        says(health, "what one needs is not there")
    });
    assert_eq!(failures(&place, "credentials_needed"), "1");
    place.unseal(&first());
}

#[test]
fn a_service_waits_for_its_credentials() {
    waits_for_credentials::<Service>(tempfile::tempdir().unwrap().path());
}

#[test]
fn another_procura_waits_for_its_credentials() {
    let dir = tempfile::tempdir().unwrap();
    waits_for_credentials::<Other>(dir.path());
}

/// A right that is given late is found by itself; until then it is asked for once a
/// minute, and who types a passphrase does not wait for it.
#[test]
fn what_another_procura_denies_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Other::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "one");
    configure(&place, &kind, &["one"]);
    let file = kind.credentials().unwrap();
    let right = std::fs::read_to_string(&file).unwrap();
    let (wrong, _) = kind.wrong("one").unwrap();
    let stranger = wrong.unseal.last().unwrap();
    place.stop();
    private(&file, &std::fs::read_to_string(stranger).unwrap());
    place.start();
    place.wait("goes on", |health| {
        says(health, "what one needs is not there")
    });
    let denied = "procura_unseal_source_failures_total{reason=\"credentials_refused\"}";
    assert_eq!(place.metric(denied), "1");
    let mistyped = super::place::Bring {
        lines: vec!["not the passphrase".to_owned()],
        ..Default::default()
    };
    let args = ["unseal".to_owned()];
    let refused = place.run(&args, &mistyped.lines);
    let one = "(1 refused since the last right one)";
    assert!(refused.err.contains(one), "{}", refused.err);
    assert_eq!(place.metric(denied), "1", "it rests");
    private(&file, &right);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(300);
    while !is_open(&place.health()) {
        assert!(std::time::Instant::now() < end, "{}", place.health());
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    // It stands in the record all the same.
    place.cli.ok(
        &["login", "--passphrase-fd", "0"],
        crate::installed::PASSPHRASE,
    );
    let entries = place.cli.ok(&["audit", "list", "--everywhere"], b"");
    assert!(entries.contains("credentials_refused"), "{entries}");
}

/// A few wrong PINs lock a token, so a program tries a wrong one once.
#[test]
fn a_wrong_pin_is_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Tokens::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "hsm");
    configure(&place, &kind, &["hsm"]);
    let pin = kind.credentials().unwrap();
    let right = std::fs::read_to_string(&pin).unwrap();
    private(&pin, "canary-wrong-pin\n");
    let kept = place.cli.home.join("auto-unseal.json");
    for _ in 0..2 {
        place.stop();
        place.start();
        place.wait("gives up", |health| {
            says(health, "no source opens the vault")
        });
        let kept: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
        assert_eq!(kept["refused"], json!(["hsm"]));
    }
    // One try was recorded, and the second start made none.
    private(&pin, &right);
    place.stop();
    place.start();
    place.wait("gives up", |health| {
        says(health, "no source opens the vault")
    });
    place.unseal(&wrapped("hsm", Some(&pin)));
    place.cli.ok(
        &["login", "--passphrase-fd", "0"],
        crate::installed::PASSPHRASE,
    );
    let entries = place.cli.ok(&["audit", "list", "--everywhere"], b"");
    assert_eq!(entries.matches("wrong_pin").count(), 1, "{entries}");
    place.stop();
    place.start();
    place.wait("opens by itself", is_open);
}

/// SIGUSR1 seals, on the record, and what opens by itself does not undo it.
#[test]
fn a_signal_seals() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passphrase");
    let mut place = Place::new(dir.path(), "home", Vec::new());
    private(&file, &format!("{}\n", first().lines[0]));
    let configured = format!(
        "auto_unseal = [\"passphrase\"]\n[unseal_credentials]\npassphrase = {}\n",
        json!(file)
    );
    std::fs::write(place.cli.home.join("procura.toml"), configured).unwrap();
    place.stop();
    place.start();
    place.wait("opens by itself", is_open);
    place.server.as_ref().unwrap().signal_user_defined();
    place.wait("seals", |health| health["sealed"] == json!(true));
    place.stop();
    place.start();
    let health = place.health();
    assert!(says(&health, "sealed the vault on purpose"), "{health}");
    place.unseal(&first());
    place.cli.ok(
        &["login", "--passphrase-fd", "0"],
        crate::installed::PASSPHRASE,
    );
    let entries = place.cli.ok(&["audit", "list", "--everywhere"], b"");
    let sealed = entries
        .lines()
        .find(|line| line.contains("installation.seal"))
        .unwrap_or_else(|| panic!("{entries}"));
    assert!(sealed.contains("signal"), "{sealed}");
}
