//! `secret import`: names are shown, values never; all of the file is in order
//! or nothing is written.

use crate::installed::Installed;
use crate::run;
use std::path::{Path, PathBuf};

fn file(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("some.env");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_preview_shows_names_and_no_values() {
    let home = tempfile::tempdir().unwrap();
    let path = file(
        home.path(),
        "# comment\nexport API_KEY='canary-one'\nDB_URL=\"canary-two\"\nAPI_KEY=canary-three\n",
    );
    let args = [
        "secret",
        "import",
        path.to_str().unwrap(),
        "--prefix",
        "shop/",
        "--dry-run",
    ];
    let ran = run(home.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "NAME     SECRET\n\
         API_KEY  shop/api_key  would be written\n\
         DB_URL   shop/db_url   would be written\n"
    );
    assert_eq!(
        ran.err,
        "no server is known here: whether they exist already was not looked at\n"
    );

    let ran = run(home.path(), &[&["--json"], &args[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "[{\"env\":\"API_KEY\",\"path\":\"shop/api_key\"},{\"env\":\"DB_URL\",\"path\":\"shop/db_url\"}]\n"
    );
}

#[test]
fn a_file_that_is_not_in_order_is_refused_whole() {
    let home = tempfile::tempdir().unwrap();
    for (text, message) in [
        ("A=1\nB='open", "line 2 begins a quote that is never closed"),
        ("A=1\nsome words", "line 2 is not NAME=value"),
        ("1A=1\n", "line 1: env: must be 1 to 128"),
        ("A=1\na=2\n", "line 2: a and A both become a"),
        ("export A\n", "line 1 has no ="),
        ("# nothing\n", "has no values"),
        ("A=1\nB-C=2\n1D=3\n", "line 3: env: must be 1 to 128"),
    ] {
        let path = file(home.path(), text);
        let ran = run(home.path(), &["secret", "import", path.to_str().unwrap()]);
        assert_eq!(ran.code, 64, "{text}: {}", ran.err);
        assert!(
            ran.err.contains("nothing was written"),
            "{text}: {}",
            ran.err
        );
        assert!(ran.err.contains(message), "{text}: {}", ran.err);
    }
}

#[test]
fn a_file_that_is_a_value_is_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let path = file(home.path(), "Canary_7f3a91c05b\n");
    let ran = run(home.path(), &["secret", "import", path.to_str().unwrap()]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.ends_with("\n    line 1 has no =\n"), "{}", ran.err);
    assert!(!ran.err.to_lowercase().contains("canary"), "{}", ran.err);
}

#[test]
fn a_prefix_must_make_valid_paths() {
    let home = tempfile::tempdir().unwrap();
    let path = file(home.path(), "A=1\n");
    let ran = run(
        home.path(),
        &["secret", "import", path.to_str().unwrap(), "--prefix", "/"],
    );
    assert_eq!(ran.code, 64);
    assert!(
        ran.err
            .contains("line 1: A: path: must be at most 255 bytes"),
        "{}",
        ran.err
    );
}

#[test]
fn values_beyond_the_limit_and_missing_files_are_refused_before_anything_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let big = home.path().join("big.env");
    std::fs::write(&big, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let ran = run(home.path(), &["secret", "import", big.to_str().unwrap()]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("is larger than 1 MiB"), "{}", ran.err);

    let ran = run(home.path(), &["secret", "import", "/nowhere.env"]);
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("cannot read /nowhere.env: No such file"),
        "{}",
        ran.err
    );
}

#[test]
fn the_preview_tells_what_exists_already() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let path = file(installed.dir(), "API_KEY=1\nDB_URL=2\n");
    cli.ok(&["secret", "put", "db_url"], b"one");
    cli.ok(&["secret", "put", "db_url"], b"two");
    let args = ["secret", "import", path.to_str().unwrap(), "--dry-run"];
    let ran = cli.run(&args, b"");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "NAME     SECRET\n\
         API_KEY  api_key  would be written\n\
         DB_URL   db_url   exists already, version 2\n"
        )
    );
    assert_eq!(
        ran.err,
        "nothing would be written, for 1 of these 2 exist already; --replace writes new versions of them, --prefix puts all elsewhere\n"
    );
    let ran = cli.run(&[&args[..], &["--replace"]].concat(), b"");
    assert!(
        ran.out.contains("version 3 would be written after 2"),
        "{}",
        ran.out
    );
    assert_eq!(ran.err, "");
    assert_eq!(
        cli.json(&args),
        serde_json::json!([
            { "env": "API_KEY", "path": "api_key", "state": "new" },
            { "env": "DB_URL", "path": "db_url", "state": "changed", "exists": 2 },
        ])
    );
    // Nothing was written by looking.
    assert_eq!(cli.ok(&["secret", "get", "db_url"], b""), "two");
}
