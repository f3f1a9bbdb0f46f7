//! Values through the command line.

use crate::installed::Installed;
use crate::ran;

#[test]
fn values_are_exact_bytes_in_and_out() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let every_byte: Vec<u8> = (0..=255).collect();
    let file = installed.dir().join("value");
    std::fs::write(&file, &every_byte).unwrap();
    cli.ok(
        &["secret", "put", "a/file", "--file", file.to_str().unwrap()],
        b"",
    );
    cli.ok(&["secret", "put", "a/pipe"], b"line\n");
    cli.ok(&["secret", "put", "a/empty"], b"");
    let got = cli.command(&["secret", "get", "a/file"]).output().unwrap();
    assert_eq!(got.stdout, every_byte);
    assert_eq!(cli.ok(&["secret", "get", "a/pipe"], b""), "line\n");
    assert_eq!(cli.ok(&["secret", "get", "a/empty"], b""), "");

    let conflict = cli.run(
        &["secret", "put", "a/pipe", "--expect-version", "0"],
        b"other",
    );
    assert_eq!(conflict.code, 77);
    assert!(
        conflict.err.contains("version_mismatch"),
        "{}",
        conflict.err
    );
    let absent = cli.run(&["secret", "get", "a/none"], b"");
    assert_eq!((absent.code, absent.out.as_str()), (77, ""));
}

#[test]
fn a_value_that_is_empty_is_said_to_be() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let ran = cli.run(&["secret", "put", "a/empty"], b"");
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.err,
        "wrote version 1 of a/empty in default\nnote: the value is empty\n"
    );
    let ran = cli.run(&["secret", "put", "a/full"], b"x");
    assert_eq!(ran.err, "wrote version 1 of a/full in default\n");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
    let installed = Installed::new();
    let cli = &installed.cli;
    // More than a pipe holds.
    cli.ok(&["secret", "put", "a/b"], &[b'x'; 300_000]);
    for json in [&[][..], &["--json"]] {
        let get = [json, &["secret", "get", "a/b"]].concat();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = ran(cli.command(&get).stdout(writer).output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{get:?}");

        let full = std::fs::File::create("/dev/full").unwrap();
        let ended = ran(cli.command(&get).stdout(full).output().unwrap());
        assert_eq!(ended.code, 74, "{get:?}");
        assert!(
            ended.err.contains("No space left on device"),
            "{get:?}: {}",
            ended.err
        );
    }
}

#[test]
fn a_version_that_is_not_there_is_named() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/b"], b"one");
    let ran = cli.run(&["secret", "get", "a/b", "--version", "9"], b"");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            77,
            "procura: a/b has no version 9 that can be read\n  next: procura secret history a/b, which shows its versions; -n NS for another namespace\n"
        )
    );
    let folder = cli.run(
        &[
            "secret",
            "put",
            "a/c",
            "--file",
            installed.dir().to_str().unwrap(),
        ],
        b"",
    );
    assert_eq!(folder.code, 64);
    assert!(
        folder.err.ends_with(": it is a directory\n"),
        "{}",
        folder.err
    );
}

#[test]
fn what_is_deleted_is_listed_and_comes_back() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/b"], b"one");
    cli.ok(&["secret", "put", "a/b"], b"two");
    let none = cli.run(&["secret", "list", "--deleted"], b"");
    assert_eq!(
        (none.code, none.out.as_str(), none.err.as_str()),
        (0, "", "no deleted secrets\n")
    );
    cli.ok(&["secret", "delete", "a/b", "--yes"], b"");
    assert_eq!(cli.run(&["secret", "get", "a/b"], b"").code, 77);
    let listed = cli.json(&["secret", "list", "--deleted"]);
    assert_eq!(listed["secrets"][0]["path"], "a/b");
    let back = cli.run(&["secret", "undelete", "a/b"], b"");
    assert_eq!(
        (back.code, back.err.as_str()),
        (0, "a/b can be read again: version 2, 1\n")
    );
    assert_eq!(cli.ok(&["secret", "get", "a/b"], b""), "two");
    let again = cli.run(&["secret", "undelete", "a/b"], b"");
    assert_eq!(again.code, 77);
    assert!(again.err.contains("a/b is not deleted"), "{}", again.err);
}

#[test]
fn what_is_said_of_a_secret_is_typed_listed_and_taken_back() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let put = [
        "secret",
        "put",
        "a/b",
        "--kind",
        "json",
        "--tag",
        "pay",
        "--rotate-by",
        "2020-01-01T00:00:00Z",
    ];
    let bad = cli.run(&put, b"{");
    assert_eq!(bad.code, 64, "{}", bad.err);
    assert!(bad.err.contains("not of the kind json"), "{}", bad.err);
    cli.ok(&put, b"{}");
    let due = cli.json(&["secret", "list", "--due", "--within", "30d"]);
    assert_eq!(due["secrets"][0]["kind"], "json");
    assert_eq!(due["secrets"][0]["tags"], serde_json::json!(["pay"]));
    let set = ["secret", "set", "a/b", "--clear", "rotate-by,tags"];
    let set = cli.run(&[&set[..], &["--deliver", "env,http"]].concat(), b"");
    assert_eq!((set.code, set.err.as_str()), (0, "set a/b in default\n"));
    let due = cli.run(&["secret", "list", "--due"], b"");
    assert_eq!((due.code, due.err.as_str()), (0, "no secret is due\n"));
    for (args, says) in [
        (&["secret", "set", "a/b"][..], "there is nothing to set"),
        (
            &["secret", "set", "a/b", "--deliver", "env,broker-only"],
            "broker-only alone",
        ),
        (&["secret", "list", "--within", "30d"], "--due"),
        (
            &["secret", "put", "a/b", "--expires", "2020-01-01T00:00:00Z"],
            "nothing was written: 2020-01-01T00:00:00.000Z has passed, and nobody would be handed the value\n  next: --expires with a time that is to come\n",
        ),
    ] {
        let ran = cli.run(args, b"");
        assert_eq!(ran.code, 64, "{args:?}");
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    cli.ok(
        &["secret", "set", "a/b", "--expires", "2020-01-01T00:00:00Z"],
        b"",
    );
    let expired = cli.run(&["secret", "get", "a/b"], b"");
    assert_eq!(expired.code, 77, "{}", expired.err);
    assert!(
        expired.err.contains("secret_expired") && expired.err.contains("--clear expires"),
        "{}",
        expired.err
    );
}
