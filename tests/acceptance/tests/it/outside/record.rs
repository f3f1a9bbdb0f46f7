//! A record whose beginning is forgotten, verified by a program that was written from its
//! description alone, and by our own: a purge breaks no verification, and hides nothing.

use super::Program;
use crate::scene::Scene;
use procura_acceptance::PASSPHRASE;
use procura_crypto::SystemEntropy;
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_record::{Publisher, PublisherParts, Retention, RetentionParts, Tiles, first_kept};
use procura_store::{Batch, SqliteOptions, Store};
use procura_types::{BatchId, Clock, Duration, Entropy, Secret, Timestamp, TraceId};
use procura_vault::{Brought, Installation, Vault};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the clock of a server says that runs in so many days.
struct In(Duration);

impl Clock for In {
    #[expect(
        clippy::disallowed_methods,
        reason = "the programs of this test go by the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_millis(now.unwrap().as_millis().try_into().unwrap()).plus(self.0)
    }
}

/// Does with a home whose server is stopped what the server does in so many days: the same
/// parts, put together here because of the clock. Before, `filler` entries come from now.
async fn in_days(home: &Path, days: u32, filler: u64) -> u64 {
    let clock: Arc<dyn Clock> = Arc::new(In(DAY * days));
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let installation = Installation::read(home).unwrap();
    let id = installation.id;
    let file = home.join("procura.db");
    let (of_store, of_vault) = (Arc::clone(&clock), Arc::clone(&entropy));
    let store = Store::open(
        &file,
        &id,
        &SqliteOptions::default(),
        of_store,
        Arc::clone(&entropy),
    );
    let passphrase = Brought::Passphrase(Secret::new(PASSPHRASE.to_owned()));
    let vault = Vault::unseal(home, store.unwrap(), installation, &passphrase, of_vault).unwrap();
    let store = vault.store().clone();
    let now = In(Duration::ZERO).now();
    let mut batch = Batch::new(BatchId::generate(now, entropy.as_ref()).unwrap());
    for _ in 0..filler {
        let trace = TraceId::generate(now, entropy.as_ref()).unwrap();
        let entry = Entry::new(now, entropy.as_ref(), "secret.list", trace).unwrap();
        batch.append(LEDGER, entry.to_bytes().unwrap());
    }
    store.commit(batch).await.unwrap();
    let tiles = Tiles::new(home, id, vault.bundle_keys(), Arc::clone(&entropy));
    let publisher = Publisher::start(PublisherParts {
        store: store.clone(),
        tiles: tiles.clone(),
        keys: vault.ledger_keys(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    });
    let publisher = publisher.await.unwrap();
    publisher
        .covering(store.log_len(LEDGER).unwrap())
        .await
        .unwrap();
    let retention = Retention::new(RetentionParts {
        store: store.clone(),
        tiles,
        keys: vault.ledger_keys(),
        clock: Arc::clone(&clock),
        entropy,
        lease: None,
    });
    while retention.step(Some(clock.now())).await.unwrap() {}
    publisher.stop().await;
    let first = first_kept(&store).unwrap();
    store.seal();
    first
}

/// An export of the record as it is now.
fn export(scene: &Scene, name: &str) -> (PathBuf, String) {
    let folder = scene.server.folder().join(name);
    scene
        .server
        .cli(&["audit", "export", folder.to_str().unwrap()])
        .ok();
    let known = std::fs::read(scene.server.home().join("operator/server.json")).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    (folder, known["ledger_vkey"].as_str().unwrap().to_owned())
}

/// What the other program says of an export.
fn by_other(vkey: &str, folder: &Path, after: Option<&Path>) -> Value {
    let after = after.map(|path| path.to_str().unwrap());
    let mut words = vec![vkey, folder.to_str().unwrap()];
    words.extend(after);
    let said = Program::python("record.py", &words).rest();
    assert_eq!(said.len(), 1, "{said:?}");
    said[0].clone()
}

#[test]
fn a_purge_breaks_no_verification_and_hides_nothing() {
    let mut scene = Scene::set();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _ = scene.approved(&["API_KEY"]);
    // A copy from before, and a head that somebody remembers.
    let (copy, vkey) = export(&scene, "copy");
    let before = std::fs::read(copy.join("checkpoint")).unwrap();
    let remembered = scene.server.folder().join("remembered");
    std::fs::write(&remembered, before).unwrap();
    assert_eq!(by_other(&vkey, &copy, None)["first"], 0);

    let set = |keep: &'static str| scene.server.cli(&["audit", "retention", "set", keep]);
    let _ = set("6d").code(64).says("is 7d to 36500d, or forever");
    let _ = set("7d").says("they are kept for ever still").ok();
    scene.server.stop();
    let home = scene.server.home();
    assert_eq!(
        runtime.block_on(in_days(&home, 0, 600)),
        0,
        "it counts after a day"
    );
    let first = runtime.block_on(in_days(&home, 40, 0));
    assert!(first >= 512 && first.is_multiple_of(256), "{first}");
    scene.server.start_again();
    scene.server.unseal().ok();

    // Everything goes on: by a device that joined in what is forgotten, too.
    let list = scene.server.cli(&[
        "-n",
        "shop",
        "--json",
        "audit",
        "list",
        "--everywhere",
        "--limit",
        "5000",
    ]);
    assert_eq!(list.ok().json()["first"], first);
    let _ = scene
        .server
        .cli(&["audit", "retention"])
        .ok()
        .says(&format!("those from {first} on are there"));
    let _ = scene.approved(&["DB_URL"]);
    let (folder, vkey) = export(&scene, "record");
    assert!(!folder.join("tile/entries/000").exists());
    let verify = |folder: &Path, after: &Path| {
        let (folder, after) = (folder.to_str().unwrap(), after.to_str().unwrap());
        scene
            .server
            .cli(&["audit", "verify", folder, "--key", &vkey, "--after", after])
    };
    let report = verify(&folder, &remembered).ok().text();
    let forgotten = format!("the first {first} entries are forgotten, as entry ");
    assert!(report.contains(&forgotten), "{report}");
    let said = by_other(&vkey, &folder, Some(&remembered));
    assert_eq!(
        (&said["step"], &said["first"]),
        (&json!("record"), &json!(first))
    );
    assert_eq!(said["approvals"], 1);

    // A copy from before lags behind and says so; it keeps what it has.
    let _ = scene
        .server
        .cli(&["audit", "export", copy.to_str().unwrap()])
        .code(77)
        .says(&format!("the record is kept from entry {first} on"));
    assert_eq!(by_other(&vkey, &copy, None)["first"], 0);
    let _ = verify(&copy, &remembered).ok();
    // One that is complete up to now goes on.
    export(&scene, "record");
    let _ = verify(&folder, &remembered).ok();

    // Hashes of what is forgotten, what it left behind, what says so, and a hole more.
    let damages: [Damage<'_>; 4] = [
        (
            "hashes",
            &|folder| edit(&folder.join("tile/0/000"), 1000),
            "do not lead to the signed root",
            "what was forgotten does not fit it",
        ),
        (
            "left behind",
            &|folder| {
                let file = folder.join("forgotten");
                let text = std::fs::read_to_string(&file).unwrap();
                std::fs::write(file, text + "\n").unwrap();
            },
            "no entry says that these entries are forgotten",
            "what was forgotten does not fit it",
        ),
        (
            "nothing left",
            &|folder| std::fs::remove_file(folder.join("forgotten")).unwrap(),
            "nothing is left of them",
            "this file is missing (tile/entries/000)",
        ),
        (
            "a hole",
            &|folder| {
                let bundle = folder.join(format!("tile/entries/{:03}", first / 256));
                match bundle.exists() {
                    true => std::fs::remove_file(bundle).unwrap(),
                    false => std::fs::remove_dir_all(bundle.with_extension("p")).unwrap(),
                }
            },
            "is missing",
            "this file is missing",
        ),
    ];
    for (what, damage, other, ours) in damages {
        let damaged = scene.server.folder().join("damaged");
        copied(&folder, &damaged);
        damage(&damaged);
        let said = by_other(&vkey, &damaged, None);
        assert_eq!(said["step"], "wrong", "{what}");
        assert!(
            said["why"].as_str().unwrap().contains(other),
            "{what}: {said}"
        );
        let _ = verify(&damaged, &remembered).code(77).says(ours);
        std::fs::remove_dir_all(damaged).unwrap();
    }

    // A backup of it opens, and the drill finds it whole.
    let backup = scene.server.folder().join("backup.procura");
    let backup = backup.to_str().unwrap();
    scene.server.cli(&["backup", backup]).ok();
    let drilled = scene
        .server
        .cli_lines(&home, &[PASSPHRASE], &["backup", "drill", backup]);
    let _ = drilled.ok();
}

/// What is done to an export, what the other program says then, and what ours does.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path), &'a str, &'a str);

/// Changes one bit of a file.
fn edit(file: &Path, place: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[place] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
