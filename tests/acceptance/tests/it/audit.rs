//! The record: what is in it, and that a change of it is found.

use crate::scene::{CANARY, Scene};
use std::path::{Path, PathBuf};

fn export(scene: &Scene) -> (PathBuf, String) {
    let folder = scene.server.folder().join("record");
    scene
        .server
        .cli(&["audit", "export", folder.to_str().unwrap()])
        .ok();
    let known = std::fs::read(scene.server.home().join("operator/server.json")).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
    (folder, known["ledger_vkey"].as_str().unwrap().to_owned())
}

fn bundle(folder: &Path) -> PathBuf {
    let partial = std::fs::read_dir(folder.join("tile/entries/000.p"))
        .unwrap()
        .next()
        .unwrap();
    partial.unwrap().path()
}

#[test]
fn what_happened_is_in_the_record_and_no_value_is() {
    let scene = Scene::set();
    let grant = scene.approved(&["API_KEY"]);
    scene.run(&["API_KEY"], &["true"]).ok();
    scene
        .server
        .cli(&["-n", "shop", "secret", "get", "api/key"])
        .ok();
    scene
        .server
        .cli(&["-n", "shop", "grant", "withdraw", &grant])
        .ok();
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);

    let list = scene
        .server
        .cli(&["-n", "shop", "--json", "audit", "list", "--limit", "1000"])
        .ok();
    assert!(!list.text().contains(CANARY), "a value is in the record");
    let entries: Vec<serde_json::Value> = list.json()["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect();
    let actions: Vec<&str> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    for action in [
        "secret.write",
        "agent.create",
        "agent.link",
        "device.join",
        "project.write",
        "request.create",
        "request.approve",
        "run.deliver",
        "secret.read",
        "grant.withdraw",
    ] {
        assert!(
            actions.contains(&action),
            "{action} is not among {actions:?}"
        );
    }
    let delivery = entries
        .iter()
        .find(|entry| entry["action"] == "run.deliver")
        .unwrap();
    assert_eq!(delivery["phase"], "intent", "{delivery}");
    assert_eq!(delivery["grant"], grant, "{delivery}");
    assert!(delivery["caller"]["pid"].is_u64(), "{delivery}");

    let under = scene
        .server
        .cli(&["-n", "shop", "--json", "audit", "list", "--grant", &grant])
        .ok()
        .json();
    assert!(under["entries"].as_array().unwrap().len() >= 2, "{under}");
    let id = delivery["id"].as_str().unwrap();
    scene.server.cli(&["-n", "shop", "audit", "prove", id]).ok();
}

#[test]
fn refusals_are_in_the_record() {
    let scene = Scene::set();
    scene
        .server
        .cli(&["-n", "shop", "agent", "revoke", "scribe"])
        .ok();
    let _ = scene.run(&["API_KEY"], &["true"]).code(77);
    let seen = procura_acceptance::until(
        "the refusal in the record",
        std::time::Duration::from_secs(60),
        || {
            let list = scene
                .server
                .cli(&["--json", "audit", "list", "--everywhere"])
                .ok();
            list.text().contains("revoked").then_some(list)
        },
    );
    let rows = seen.json();
    let refused = rows["entries"].as_array().unwrap().iter().any(|row| {
        let entry: serde_json::Value =
            serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
        entry["decision"] == "deny" && entry["reason"] == "revoked"
    });
    assert!(refused, "{rows}");
}

#[test]
fn an_exported_record_verifies_offline_and_every_changed_byte_is_found() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene.run(&["API_KEY"], &["true"]).ok();
    let (folder, vkey) = export(&scene);
    // Offline: the server is gone, and the home is another.
    scene.server.kill();
    let elsewhere = scene.server.folder().join("elsewhere");
    let verify = |arguments: &[&str]| {
        let all = [
            &["audit", "verify", folder.to_str().unwrap(), "--key", &vkey],
            arguments,
        ]
        .concat();
        scene.server.cli_in(&elsewhere, "-", &all, b"")
    };
    let well = verify(&[]).ok();
    let told = well.text() + &well.stderr;
    assert!(
        told.contains("removal of the newest entries cannot be excluded"),
        "{told}"
    );

    let file = bundle(&folder);
    let genuine = std::fs::read(&file).unwrap();
    let step = (genuine.len() / 40).max(1);
    for at in (0..genuine.len()).step_by(step) {
        let mut changed = genuine.clone();
        changed[at] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        let found = verify(&[]);
        assert_ne!(found.code, 0, "a change of byte {at} was not found");
        assert!(
            found.stderr.contains("entry") || found.stderr.contains("byte"),
            "byte {at}: {}",
            found.stderr
        );
    }
    std::fs::write(&file, &genuine[..genuine.len() / 2]).unwrap();
    assert_ne!(verify(&[]).code, 0, "a shortened bundle was not found");
    std::fs::write(&file, &genuine).unwrap();
    verify(&[]).ok();
}

#[test]
fn an_older_checkpoint_shows_what_was_removed_since() {
    let scene = Scene::set();
    let (folder, vkey) = export(&scene);
    let newer = scene.server.folder().join("newer");
    scene.server.put("shop", "more", b"m");
    scene
        .server
        .cli(&["audit", "export", newer.to_str().unwrap()])
        .ok();
    let verify = |record: &Path, after: &Path| {
        let after = after.join("checkpoint");
        let words = [
            "audit",
            "verify",
            record.to_str().unwrap(),
            "--key",
            &vkey,
            "--after",
            after.to_str().unwrap(),
        ];
        scene.server.cli(&words)
    };
    verify(&newer, &folder).ok();
    let _ = verify(&folder, &newer).code(77);
}
