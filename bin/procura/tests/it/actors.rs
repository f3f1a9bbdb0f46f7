//! Actors by name: in filters, in tables, and when they are gone already.

use crate::installed::Installed;

#[test]
fn entries_are_found_by_label_name_and_the_beginning_of_an_id() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let bob = cli.json(&["agent", "add", "scribe", "--no-code"]);
    let scribe = bob["actor_id"].as_str().unwrap();
    cli.ok(&["secret", "put", "a/b"], b"one");
    let operators = cli.json(&["operator", "list"]);
    let alice = operators["operators"][0]["actor_id"].as_str().unwrap();

    let entries = |args: &[&str]| {
        let list = cli.json(&[&["audit", "list", "--action", "secret.write"], args].concat());
        list["entries"].as_array().unwrap().len()
    };
    for actor in ["alice", alice, &alice[..12], &alice[..8]] {
        assert_eq!(entries(&["--actor", actor]), 1, "{actor}");
        assert_eq!(entries(&["--owner", actor]), 1, "{actor}");
    }
    for actor in ["scribe", &scribe[..12]] {
        assert_eq!(entries(&["--actor", actor]), 0, "{actor}");
    }
    for (args, why) in [
        (
            ["--actor", "nobody"],
            "procura: --actor: nobody is known by this",
        ),
        (
            ["--actor", &alice[..7]],
            "procura: --actor: nobody is known by this",
        ),
        (
            ["--owner", "scribe"],
            "procura: --owner: nobody is known by this",
        ),
    ] {
        let ran = cli.run(&[&["audit", "list"], &args[..]].concat(), b"");
        assert_eq!(ran.code, 64, "{args:?}");
        assert!(ran.err.starts_with(why), "{args:?}: {}", ran.err);
    }

    // What is to be typed stands in the tables.
    for (args, id) in [
        (&["agent", "list"][..], scribe),
        (&["agent", "tree"], scribe),
        (&["operator", "list"], alice),
    ] {
        let shown = cli.ok(args, b"");
        assert!(shown.contains(&id[..12]), "{args:?}: {shown}");
    }
}

#[test]
fn who_is_revoked_already_is_said_to_be() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "scribe", "--no-code"], b"");
    let revoke = ["agent", "revoke", "scribe", "--yes"];
    assert_eq!(
        cli.run(&revoke, b"").err,
        "revoked scribe, 1 actor in all\n"
    );
    let again = cli.run(&revoke, b"");
    assert_eq!(again.code, 0);
    assert!(
        again.err.starts_with("scribe was revoked already, 20"),
        "{}",
        again.err
    );
    assert_eq!(cli.json(&revoke), serde_json::json!({ "revoked": [] }));
    let never = cli.run(&["agent", "revoke", "nobody", "--yes"], b"");
    assert_eq!(never.code, 77);
    assert!(never.err.contains("(not_found, "), "{}", never.err);

    let code = cli.ok(&["operator", "invite", "bob", "--role", "steward"], b"");
    let bob = installed.other("bob");
    bob.ok(
        &["operator", "join", code.trim(), "--passphrase-fd", "0"],
        crate::installed::PASSPHRASE,
    );
    // A steward goes by a quorum, or by themselves.
    bob.ok(
        &["login", "--passphrase-fd", "0"],
        crate::installed::PASSPHRASE,
    );
    let revoke = ["operator", "revoke", "bob", "--yes"];
    bob.ok(&revoke, b"");
    let again = cli.run(&revoke, b"");
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(
        again.err.starts_with("bob was revoked already, 20"),
        "{}",
        again.err
    );
}
