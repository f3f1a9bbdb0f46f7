//! Another Procura: a second real server.

use super::place::{Bring, Kind, Place, first, owned, wrapped};
use crate::installed::Running;
use std::path::{Path, PathBuf};

pub(super) struct Other {
    dir: PathBuf,
    other: Place,
    /// Where it listens, each time.
    address: String,
}

impl Other {
    /// Joins a device of an agent and gives the file with its credentials.
    fn join(&self, agent: &str, file: &str) -> PathBuf {
        let out = self.dir.join(file);
        let code = self.other.cli.json(&["agent", "code", agent])["code"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = out.to_str().unwrap();
        self.other
            .cli
            .ok(&["unseal-source", "join", &code, "--out", path], b"");
        out
    }
}

impl Kind for Other {
    const REFUSED: &'static str = "wrapped_key_refused";
    const GONE: &'static str = "there is no unseal source two";

    fn new(dir: &Path) -> Self {
        let dir = dir.join("transit");
        std::fs::create_dir(&dir).unwrap();
        let other = Place::new(&dir, "keeper", Vec::new());
        other.cli.ok(
            &["login", "--passphrase-fd", "0"],
            crate::installed::PASSPHRASE,
        );
        for agent in ["vault", "stranger"] {
            other.cli.ok(&["agent", "add", agent], b"");
        }
        other
            .cli
            .ok(&["transit", "put", "unseal", "--agent", "vault"], b"");
        let address = other.cli.url.clone().unwrap();
        let kind = Self {
            dir,
            other,
            address: address.trim_start_matches("http://").to_owned(),
        };
        kind.join("vault", "credentials");
        kind.join("stranger", "wrong");
        kind
    }

    fn word(&self, _: &str) -> &'static str {
        "transit"
    }

    fn add(&self, _: &str, _: &str) -> (Vec<String>, Vec<String>) {
        let file = self.dir.join("credentials");
        let args = owned(&[
            "--transit",
            "default/unseal",
            "--credentials",
            file.to_str().unwrap(),
        ]);
        (args, Vec::new())
    }

    fn bring(&self, _: &str, name: &str) -> Bring {
        wrapped(name, Some(&self.dir.join("credentials")))
    }

    fn wrong(&self, name: &str) -> Option<(Bring, &'static str)> {
        let wrong = wrapped(name, Some(&self.dir.join("wrong")));
        Some((wrong, "credentials_refused"))
    }

    fn away(&mut self) -> bool {
        self.other.stop();
        true
    }

    fn back(&mut self) {
        let server = Running::start_at(&self.other.cli.home, &[], &self.address);
        self.other.server = Some(server);
        self.other.unseal(&first());
    }

    fn credentials(&self) -> Option<PathBuf> {
        Some(self.dir.join("credentials"))
    }
}

/// Each use is in the other's record, a revoked device uses nothing, a removed key unwraps
/// nothing, and what listens in the other's place is found out.
#[test]
fn the_other_server_records_and_revokes() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Other::new(dir.path());
    let place = Place::new(dir.path(), "home", Vec::new());
    place.add(&mut kind, "other");
    let bring = kind.bring("home", "other");
    place.test(&bring);
    let actions = kind.other.cli.ok(&["audit", "list"], b"");
    for action in ["transit.wrap", "transit.unwrap", "transit.write"] {
        assert!(actions.contains(action), "{actions}");
    }
    // Its own is of another namespace's people, and of another agent's devices.
    let stranger = wrapped("other", Some(&kind.dir.join("wrong")));
    place.not_tested(&stranger, "credentials_refused");

    // Another server at that address has another key.
    let third = Place::new(dir.path(), "third", Vec::new());
    let credentials = kind.dir.join("credentials");
    let mut text: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&credentials).unwrap()).unwrap();
    let url = text["url"].clone();
    text["url"] = third.cli.url.clone().unwrap().into();
    std::fs::write(&credentials, serde_json::to_vec(&text).unwrap()).unwrap();
    place.not_tested(&bring, "credentials_refused");
    text["url"] = url;
    std::fs::write(&credentials, serde_json::to_vec(&text).unwrap()).unwrap();
    place.test(&bring);

    kind.other
        .cli
        .ok(&["--yes", "agent", "revoke", "vault"], b"");
    place.not_tested(&bring, "credentials_refused");
    kind.other
        .cli
        .ok(&["--yes", "transit", "remove", "unseal"], b"");
    assert_eq!(
        kind.other.cli.json(&["transit", "list"])["keys"],
        serde_json::json!([])
    );
}

/// The list names a key; which server is asked, and by whose key it is known, stands in the
/// credentials, whatever somebody writes into the list.
#[test]
fn the_list_does_not_say_which_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Other::new(dir.path());
    let mut place = Place::new(dir.path(), "home", Vec::new());
    place.add(&mut kind, "other");
    let bring = kind.bring("home", "other");
    let good = std::fs::read(place.file()).unwrap();
    let elsewhere = serde_json::json!("A".repeat(43));
    for (member, value, code) in [
        ("server", serde_json::Value::Null, "damaged"),
        ("server", elsewhere, "another_wrapper"),
        ("key", serde_json::json!("late"), "credentials_refused"),
        (
            "namespace",
            serde_json::json!("late"),
            "credentials_refused",
        ),
    ] {
        place.stop();
        let mut file: serde_json::Value = serde_json::from_slice(&good).unwrap();
        file["sources"][1]["keeper"]["by"][member] = value;
        std::fs::write(place.file(), serde_json::to_vec(&file).unwrap()).unwrap();
        place.start();
        place.not_unsealed_for(member, &bring, code);
    }
    place.stop();
    std::fs::write(place.file(), &good).unwrap();
    place.start();
    place.unseal(&bring);
}
