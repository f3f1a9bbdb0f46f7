//! `import cortexauth` of whole vaults: many namespaces, all of it or nothing.

use crate::Ran;
use crate::cortexauth::{PASSWORD, hex, made, secret, tried};
use crate::installed::{Cli, Installed};
use procura_types::encoding::from_b64url;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

fn import(cli: &Cli, file: &Path, more: &[&str]) -> Ran {
    let path = file.to_str().unwrap();
    let args = ["--passphrase-fd", "0", "import", "cortexauth", path];
    let password = format!("{PASSWORD}\n");
    cli.run(&[&args[..], more].concat(), password.as_bytes())
}

fn value(cli: &Cli, namespace: &str, path: &str) -> Vec<u8> {
    let read = cli.json(&["-n", namespace, "secret", "get", path]);
    from_b64url("value", read["value_b64"].as_str().unwrap()).unwrap()
}

/// Names of the folder of a file, but for what the test itself keeps there.
fn beside(file: &Path) -> Vec<String> {
    let folder = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("cortex")).collect();
    names.sort();
    names
}

/// A vault as others have it: a thousand secrets of all types in five namespaces, empty
/// ones and one of 1 MiB, names that are none here, columns that nobody asked for, and the
/// newest of it only in the write-ahead log.
#[test]
fn a_whole_vault_comes_in_and_is_read_back() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let large: Vec<u8> = (0..1024 * 1024)
        .map(|at: usize| (at % 251).to_le_bytes()[0])
        .collect();
    let mut expected: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let mut secrets = Vec::new();
    for number in 0..1000 {
        let namespace = format!("team{}", number % 5);
        let path = format!("k{number:04}");
        let (kind, value) = match number % 3 {
            0 => ("KEY_VALUE", format!("<&\"{number}\u{fc}\0").into_bytes()),
            1 => (
                "JSON_CONFIG",
                format!("{{\"n\": [{number}, \"\u{4f60}\"]}}").into_bytes(),
            ),
            _ => (
                "TEMPLATE_CONFIG",
                format!("a={number} {{ x }}\r\n").into_bytes(),
            ),
        };
        let value = match number {
            0 | 3 => Vec::new(),
            6 => large.clone(),
            _ => value,
        };
        let mut row = secret(&path, kind, &value);
        row["namespace"] = json!(namespace);
        if number % 2 == 0 {
            row["description"] = json!(format!("Zeile 1\nZeile \u{1b}[2m {number}"));
        }
        secrets.push(row);
        expected.insert((namespace, path), value);
    }
    let mut named = secret("Schl\u{fc}ssel", "KEY_VALUE", b"named");
    named["namespace"] = json!("team1");
    secrets.push(named);
    let file = made(
        installed.dir(),
        json!({"secrets": secrets, "wal": 1, "then": [
            "alter table secrets add column rotated_at text",
            "alter table kek_metadata add column algorithm text default 'argon2id'",
            "create table audit(id integer)",
            // As a program leaves it that does not decode what its base64 gives.
            "update secrets set encrypted_value = cast(encrypted_value as blob), wrapped_dek = cast(wrapped_dek as blob) where key_path < 'k0010'",
            "update kek_metadata set salt = cast(salt as blob)",
        ]}),
    );
    let log = file.with_file_name("cortex.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 1024 * 1024);
    // Nobody has it open, so there need not be an index; then there is none afterwards.
    std::fs::remove_file(file.with_file_name("cortex.db-shm")).unwrap();
    let before = (std::fs::read(&file).unwrap(), std::fs::read(&log).unwrap());

    let refused = import(cli, &file, &[]);
    assert_eq!(refused.code, 64, "{}", refused.err);
    let what = "secret team1 Schl\u{fc}ssel: path: ";
    assert!(refused.err.contains(what), "{}", refused.err);
    let placed = ["--path", "Schl\u{fc}ssel=main/key"];
    let shown = import(cli, &file, &[&placed[..], &["--dry-run"]].concat());
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert_eq!(
        shown
            .out
            .lines()
            .filter(|line| line.contains("namespace"))
            .count(),
        5
    );
    let list = cli.json(&["namespace", "list"]);
    assert!(
        !list.to_string().contains("team"),
        "nothing was written: {list}"
    );

    let wrote = import(cli, &file, &placed);
    assert_eq!(wrote.code, 0, "{}", wrote.err);
    assert!(
        wrote.err.contains("wrote 1006 of what is in"),
        "{}",
        wrote.err
    );
    let after = (std::fs::read(&file).unwrap(), std::fs::read(&log).unwrap());
    assert!(before == after, "the database is as it was");
    assert_eq!(beside(&file), ["cortex.db", "cortex.db-wal"]);

    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = 0;
    for team in 0..5 {
        let namespace = format!("team{team}");
        let list = cli.json(&["-n", &namespace, "secret", "list"]);
        for row in list["secrets"].as_array().unwrap() {
            found += 1;
            *kinds
                .entry(row["kind"].as_str().unwrap().to_owned())
                .or_default() += 1;
            assert_eq!(row["version"], 1);
        }
    }
    assert_eq!(found, 1001);
    assert_eq!(
        kinds,
        BTreeMap::from([
            ("json".to_owned(), 333),
            ("key-value".to_owned(), 335),
            ("template".to_owned(), 333),
        ])
    );
    assert_eq!(value(cli, "team1", "main/key"), b"named");
    for number in (0..1000).filter(|number| *number < 12 || number % 97 == 0) {
        let (namespace, path) = (format!("team{}", number % 5), format!("k{number:04}"));
        let want = &expected[&(namespace.clone(), path.clone())];
        assert!(value(cli, &namespace, &path) == *want, "{namespace} {path}");
    }
    let list = cli.json(&["-n", "team0", "secret", "list", "k0000"]);
    assert_eq!(list["secrets"][0]["description"], "Zeile 1 Zeile  [2m 0");
    // A second time there is nothing to write.
    let again = import(cli, &file, &placed);
    assert!(again.err.contains("wrote 0 of what is in"), "{}", again.err);
}

/// What is wrong anywhere leaves all of it out, and says what and where.
#[test]
fn of_a_vault_with_something_wrong_nothing_comes_in() {
    let home = tempfile::tempdir().unwrap();
    let two = || {
        vec![
            secret("a", "KEY_VALUE", b"no JSON"),
            json!({"path": "b", "type": "KEY_VALUE", "hex": "31", "namespace": "other"}),
        ]
    };
    for (then, says) in [
        (
            "update secrets set wrapped_dek = substr(wrapped_dek, 1, 20) where key_path = 'b'",
            "secret other b: its key does not open",
        ),
        (
            "update secrets set encrypted_value = substr(encrypted_value, 1, 38) where key_path = 'b'",
            "secret other b: its value does not open",
        ),
        (
            "update secrets set encrypted_value = '!!' where key_path = 'b'",
            "secret other b: its value does not open",
        ),
        (
            "update secrets set encrypted_value = NULL where key_path = 'b'",
            "row 2 of secrets has no encrypted_value",
        ),
        (
            "update secrets set description = x'ff' where key_path = 'b'",
            "row 2 of secrets has no description",
        ),
        (
            "update secrets set secret_type = 'key_value' where key_path = 'b'",
            "secret other b: its type is none of",
        ),
        (
            "update secrets set is_honey_token = 'yes' where key_path = 'b'",
            "row 2 of secrets has no is_honey_token",
        ),
        (
            "update secrets set is_honey_token = 2 where key_path = 'b'",
            "row 2 of secrets has no is_honey_token",
        ),
        (
            "update secrets set key_path = 'a', namespace = 'default' where key_path = 'b'",
            "secret default a: another one goes to a in default too",
        ),
        (
            "update secrets set key_path = 'x' || char(27) || ']0;owned' || char(7) where key_path = 'b'",
            "secret other x\\u{1b}]0;owned\\u{7}: path: must be",
        ),
        (
            "update secrets set key_path = 'a/../b' where key_path = 'b'",
            "secret other a/../b: path: must be",
        ),
        (
            "update secrets set key_path = 'a%2e' where key_path = 'b'",
            "secret other a%2e: path: must be",
        ),
        (
            "update secrets set namespace = '<b>&' where key_path = 'b'",
            "--map '<b>&=NS' puts it elsewhere",
        ),
        (
            "update secrets set secret_type = 'JSON_CONFIG', encrypted_value = (select encrypted_value from secrets where key_path = 'a'), wrapped_dek = (select wrapped_dek from secrets where key_path = 'a') where key_path = 'b'",
            "secret other b: its value is no JSON",
        ),
        (
            "insert into kek_metadata(salt, sentinel_ciphertext, kek_version) select salt, sentinel_ciphertext, 1 from kek_metadata",
            "row 2 of kek_metadata has no kek_version",
        ),
        (
            "update kek_metadata set kek_version = 'one'",
            "row 1 of kek_metadata has no kek_version",
        ),
        (
            "update kek_metadata set kek_version = -1",
            "row 1 of kek_metadata has no kek_version",
        ),
        ("update kek_metadata set salt = '!'", "cannot be opened"),
        (
            "update kek_metadata set sentinel_ciphertext = substr(sentinel_ciphertext, 1, 8)",
            "the password does not open",
        ),
        ("delete from kek_metadata", "its kek_metadata has no row"),
        (
            "drop table secrets",
            "cannot be read as a CortexAuth database",
        ),
    ] {
        let what = json!({"secrets": two(), "then": [then]});
        let ran = tried(home.path(), &made(home.path(), what), &[], PASSWORD);
        assert_ne!(ran.code, 0, "{then}");
        assert!(ran.err.contains(says), "{then}: {}", ran.err);
        assert!(
            ran.err.contains("nothing was brought in"),
            "{then}: {}",
            ran.err
        );
        assert!(!ran.err.contains('\u{1b}'), "{then}");
    }
    // A key of before a change of the password is told from one that is damaged.
    let mut old = two();
    old[1]["lost"] = json!(1);
    let then = [
        "alter table secrets add column kek_version integer default 2",
        "update secrets set kek_version = 1 where key_path = 'b'",
        "update kek_metadata set kek_version = 2",
    ];
    let what = json!({"secrets": old, "then": then});
    let ran = tried(home.path(), &made(home.path(), what), &[], PASSWORD);
    let says = "secret other b: its key is sealed with kek_version 1, and the password leads to 2";
    assert!(ran.err.contains(says), "{}", ran.err);
    // Of two secrets with one id nobody knows which was granted.
    let mut twins = two();
    twins[0]["id"] = json!("twin");
    twins[1]["id"] = json!("twin");
    let grants = json!([["web", "twin", "A"]]);
    let what = json!({"secrets": twins, "grants": grants});
    let ran = tried(home.path(), &made(home.path(), what), &[], PASSWORD);
    let says = "project web: A: more than one secret has its id";
    assert!(ran.err.contains(says), "{}", ran.err);
}

/// What the server refuses in one namespace leaves the others out as well, new ones too.
#[test]
fn what_the_server_refuses_leaves_every_namespace_out() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["project", "set", "web", "--env", "KEY=elsewhere"], b"");
    let of = |namespace: &str, path: &str, value: &[u8]| json!({"path": path, "type": "KEY_VALUE", "hex": hex(value), "namespace": namespace});
    let secrets = json!([
        of("alpha", "a", b"1"),
        of("default", "key", b"2"),
        of("zeta", "z", b"3")
    ]);
    let file = made(
        installed.dir(),
        json!({"secrets": secrets, "grants": [["web", "id-1", "KEY"]]}),
    );
    let nothing_of_it = || {
        let list = cli.json(&["namespace", "list"]).to_string();
        assert!(!list.contains("alpha") && !list.contains("zeta"), "{list}");
        assert_ne!(cli.run(&["secret", "get", "key"], b"").code, 0);
    };
    let refused = import(cli, &file, &["--replace"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.err.contains("project web: KEY is elsewhere"),
        "{}",
        refused.err
    );
    nothing_of_it();
    // A quota is known to the server alone.
    cli.ok(&["project", "set", "web", "--remove-env", "KEY"], b"");
    cli.ok(&["namespace", "quota", "default", "--bytes", "0"], b"");
    let refused = import(cli, &file, &[]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.err.contains("Nothing was written. default: "),
        "{}",
        refused.err
    );
    nothing_of_it();
    // One of them by itself goes.
    let one = import(cli, &file, &["--only", "zeta"]);
    assert_eq!(one.code, 0, "{}", one.err);
    assert_eq!(value(cli, "zeta", "z"), b"3");
    assert!(
        !cli.json(&["namespace", "list"])
            .to_string()
            .contains("alpha")
    );
    let none = import(cli, &file, &["--only", "Zeta"]);
    assert!(none.err.contains("--only"), "{}", none.err);
    assert_ne!(none.code, 0);
}

/// However far an import into several namespaces has come when the server is killed: all
/// of it is there, or none, the new namespaces themselves included.
#[test]
fn a_server_that_is_killed_in_it_has_every_namespace_or_none() {
    const NAMESPACES: usize = 4;
    const EACH: usize = 800;
    let mut installed = Installed::new();
    let names = |turn: usize| (0..NAMESPACES).map(move |number| format!("t{turn}-{number}"));
    installed.all_or_nothing(
        Duration::from_millis(800),
        |dir, turn| {
            let secrets: Vec<Value> = (0..NAMESPACES * EACH)
                .map(|number| {
                    let mut row = secret(&format!("k{number:05}"), "KEY_VALUE", b"value");
                    row["namespace"] = json!(format!("t{turn}-{}", number % NAMESPACES));
                    row
                })
                .collect();
            let grants: Vec<Value> = (0..NAMESPACES)
                .map(|number| json!([format!("web{turn}"), format!("id-{number}"), "KEY"]))
                .collect();
            let file = made(dir, json!({"secrets": secrets, "grants": grants}));
            let args = [
                "--passphrase-fd",
                "0",
                "--yes",
                "import",
                "cortexauth",
                file.to_str().unwrap(),
            ];
            let typed = format!("{PASSWORD}\n").into_bytes();
            (args.map(str::to_owned).to_vec(), typed)
        },
        |cli, turn| {
            let there = cli.json(&["namespace", "list"]).to_string();
            let made: Vec<String> = names(turn).filter(|name| there.contains(name)).collect();
            assert!(made.is_empty() || made.len() == NAMESPACES, "{made:?}");
            for name in &made {
                let list = cli.json(&["-n", name, "secret", "list"]);
                assert_eq!(
                    list["secrets"].as_array().map_or(0, Vec::len),
                    EACH,
                    "{name}"
                );
                let project = cli.json(&["-n", name, "project", "show", &format!("web{turn}")]);
                assert!(project["env"]["KEY"].is_string(), "{project}");
            }
            !made.is_empty()
        },
    );
}
