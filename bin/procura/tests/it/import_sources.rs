//! Secrets from JSON, directories and exports, out again, and back to a time.

use crate::installed::Installed;
use crate::run;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn import(home: &Path, file: &Path) -> (i32, String) {
    let ran = run(home, &["secret", "import", file.to_str().unwrap()]);
    (ran.code, ran.err)
}

#[test]
fn json_is_objects_of_strings_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("values.json");
    for (text, message) in [
        ("[]", "is no JSON object: its keys are the paths"),
        ("{\"a\": \"canary\"", "is no JSON object: at line 1, column"),
        (
            "{\"a\": 1, \"b\": null}",
            "\n    a is a number; values are strings, in quotes\n    b is null;",
        ),
        ("{\"a\": {\"b\": [\"x\"]}}", "a/b is a list;"),
        ("{\"a\": \"1\", \"a\": \"2\"}", "a stands there twice"),
        ("{\"a/b\": \"1\"}", "a/b: a key has no /"),
        ("{\"..\": \"1\"}", "..: path: must be"),
        ("{\"a b\": \"1\"}", "a b: path: must be"),
        ("{}", "has no values"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, err) = import(home.path(), &file);
        assert_eq!(code, 64, "{text}: {err}");
        assert!(err.contains("nothing was written"), "{text}: {err}");
        assert!(err.contains(message), "{text}: {err}");
        assert!(!err.contains("canary"), "{err}");
    }
}

#[test]
fn of_a_directory_nothing_is_followed_and_nothing_is_guessed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("tree");
    std::fs::create_dir(&dir).unwrap();
    let (_, err) = import(home.path(), &dir);
    assert!(err.contains("has no values"), "{err}");
    std::fs::create_dir(dir.join("below")).unwrap();
    std::fs::write(dir.join("below/a key"), "x").unwrap();
    std::fs::write(dir.join("large"), vec![0; 1024 * 1024 + 1]).unwrap();
    symlink("/etc/passwd", dir.join("link")).unwrap();
    symlink(&dir, dir.join("loop")).unwrap();
    let made = Command::new("mkfifo").arg(dir.join("pipe")).status();
    assert!(made.unwrap().success());
    let (code, err) = import(home.path(), &dir);
    assert_eq!(code, 64, "{err}");
    for line in [
        "below/a key: path: must be",
        "large: is larger than 1 MiB",
        "link: is a link; put the file itself there",
        "loop: is a link; put the file itself there",
        "pipe: is not a regular file",
    ] {
        assert!(err.contains(line), "{line}: {err}");
    }
    let linked = home.path().join("linked");
    symlink(&dir, &linked).unwrap();
    let (code, err) = import(home.path(), &linked);
    assert_eq!(code, 64);
    assert!(err.contains("it is a link or no directory"), "{err}");
    let deep = home.path().join("deep");
    std::fs::create_dir_all(deep.join("d/".repeat(17))).unwrap();
    let (_, err) = import(home.path(), &deep);
    assert!(
        err.contains("more than 16 directories in each other"),
        "{err}"
    );
}

#[test]
fn what_goes_in_by_json_and_directory_comes_out_by_age_and_in_again() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let dir = installed.dir();
    let raw = b"<a href=\"x\">&amp; 'q'</a>\r\n\0\xff";
    let text = "<b>&\"'</b>\r\n\u{e9}";
    let json_file = dir.join("values.json");
    let values = json!({"web": {"text": text}, "flat": "1"});
    std::fs::write(&json_file, values.to_string()).unwrap();
    cli.ok(&["secret", "import", json_file.to_str().unwrap()], b"");
    let tree = dir.join("tree");
    std::fs::create_dir_all(tree.join("tls")).unwrap();
    std::fs::write(tree.join("tls/raw.bin"), raw).unwrap();
    let tree_args = [
        "secret",
        "import",
        tree.to_str().unwrap(),
        "--prefix",
        "dir/",
    ];
    cli.ok(&tree_args, b"");
    let again = cli.run(&tree_args, b"");
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("all of it is in"), "{}", again.err);
    let get = |path: &str| {
        let read: Value = cli.json(&["secret", "get", path]);
        read["value_b64"].as_str().unwrap().to_owned()
    };
    let encoded = |bytes: &[u8]| procura_types::encoding::b64url(bytes);
    assert_eq!(get("web/text"), encoded(text.as_bytes()));
    assert_eq!(get("dir/tls/raw.bin"), encoded(raw));
    let put = ["secret", "put", "web/config", "--kind", "template"];
    cli.ok(&put, b"t={{procura:TEXT}}");

    let key = dir.join("key.txt");
    let made = Command::new("age-keygen")
        .arg("-o")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success());
    let to = Command::new("age-keygen")
        .arg("-y")
        .arg(&key)
        .output()
        .unwrap();
    let to = String::from_utf8(to.stdout).unwrap();
    let out = dir.join("all.age");
    let nobody = cli.run(&["secret", "export"], b"");
    assert_eq!(nobody.code, 64);
    assert!(
        nobody.err.contains("there is nobody to encrypt it to"),
        "{}",
        nobody.err
    );
    let export = [
        "secret",
        "export",
        "--to",
        to.trim(),
        "-o",
        out.to_str().unwrap(),
    ];
    let none = cli.run(&[&export[..], &["--prefix", "nope/"]].concat(), b"");
    assert_eq!(
        (none.code, none.err.as_str()),
        (
            77,
            "procura: nothing was exported: no secret of default that leaves begins with nope/: none is readable there\n  next: procura secret list, which shows the paths; -n NS for another namespace\n"
        )
    );
    assert!(!out.exists());
    cli.ok(&export, b"");
    assert!(cli.run(&export, b"").err.contains("is there already"));
    let opened = Command::new("age")
        .arg("-d")
        .arg("-i")
        .arg(&key)
        .arg(&out)
        .output();
    let document: Value = serde_json::from_slice(&opened.unwrap().stdout).unwrap();
    assert_eq!(document["secrets"].as_array().unwrap().len(), 4);

    cli.ok(&["namespace", "create", "second"], b"");
    let into = ["-n", "second", "secret", "import", out.to_str().unwrap()];
    let locked = cli.run(&into, b"");
    assert!(locked.err.contains("is encrypted"), "{}", locked.err);
    cli.ok(
        &[&into[..], &["--identity", key.to_str().unwrap()]].concat(),
        b"",
    );
    for path in ["web/text", "dir/tls/raw.bin", "flat", "web/config"] {
        let read: Value = cli.json(&["-n", "second", "secret", "get", path]);
        assert_eq!(read["value_b64"], get(path), "{path}");
    }
    let list: Value = cli.json(&["-n", "second", "secret", "list"]);
    assert!(list.to_string().contains("\"kind\":\"template\""), "{list}");
}

#[test]
fn a_secret_and_a_namespace_go_back_to_a_time() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/key"], b"one");
    let put: Value = cli.json(&["secret", "history", "a/key"]);
    let then = put["versions"][0]["created"].as_str().unwrap().to_owned();
    // A version of the same millisecond would be what was there then.
    std::thread::sleep(Duration::from_millis(5));
    cli.ok(&["secret", "put", "a/key"], b"two");
    cli.ok(&["secret", "put", "a/new"], b"new");
    assert_eq!(
        cli.ok(&["secret", "get", "a/key", "--at", &then], b""),
        "one"
    );
    let early = cli.run(&["secret", "get", "a/new", "--at", &then], b"");
    assert!(early.err.contains("had no value at"), "{}", early.err);
    let args = ["secret", "rollback", "--all", "--to", &then];
    let shown = cli.run(&[&args[..], &["--dry-run"]].concat(), b"");
    assert_eq!(
        shown.out,
        "SECRET  NOW  THEN\na/key   2    1     becomes version 3\na/new   1    none  is deleted\n"
    );
    let asked = cli.run(&args, b"");
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(cli.ok(&["secret", "get", "a/key"], b""), "two");
    cli.ok(&[&args[..], &["--yes"]].concat(), b"");
    assert_eq!(cli.ok(&["secret", "get", "a/key"], b""), "one");
    assert_ne!(cli.run(&["secret", "get", "a/new"], b"").code, 0);
}

/// However far an import has come when the server is killed: all of it is there, or none.
#[test]
fn a_server_that_is_killed_in_an_import_has_all_of_it_or_none() {
    const COUNT: usize = 4000;
    let mut installed = Installed::new();
    let secrets: serde_json::Map<String, Value> = (0..COUNT)
        .map(|number| (format!("s{number:04}"), json!(format!("value {number}"))))
        .collect();
    let file = installed.dir().join("many.json");
    std::fs::write(&file, serde_json::to_vec(&secrets).unwrap()).unwrap();
    let prefix = |turn: usize| format!("turn{turn}/");
    installed.all_or_nothing(
        Duration::from_millis(150),
        |_, turn| {
            let (file, prefix) = (file.to_str().unwrap(), prefix(turn));
            let args = ["secret", "import", file, "--prefix", &prefix];
            (args.map(str::to_owned).to_vec(), Vec::new())
        },
        |cli, turn| {
            let found = cli.json(&["secret", "list", &prefix(turn)]);
            let count = found["secrets"].as_array().map_or(0, Vec::len);
            assert!(count == 0 || count == COUNT, "{count} in turn {turn}");
            count == COUNT
        },
    );
}
