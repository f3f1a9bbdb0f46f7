//! `--json`: each command that did something prints what, as JSON, on stdout.

use crate::installed::{Installed, PASSPHRASE};
use serde_json::{Value, json};

/// A command with `--json`, and what it prints; `null` stands for any object.
type Case<'a> = (&'a [&'a str], &'a [u8], Value);

#[test]
fn every_command_prints_one_value() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let record = installed.dir().join("record");
    let record = record.to_str().unwrap();
    let fd = ["--passphrase-fd", "0"];
    let with_fd = |args: &[&'static str]| [args, &fd].concat();
    let (login, unseal) = (with_fd(&["login"]), with_fd(&["unseal"]));
    let key_only = with_fd(&["passphrase", "--key-only"]);
    let passphrase = with_fd(&["passphrase"]);
    const NEXT: &[u8] = b"another passphrase 77\n";
    let there = [PASSPHRASE, NEXT].concat();
    let back = [NEXT, PASSPHRASE].concat();
    let cases: &[Case<'_>] = &[
        (&["status"], b"", Value::Null),
        (&["namespace", "create", "other"], b"", Value::Null),
        (&["namespace", "list"], b"", Value::Null),
        (
            &["operator", "invite", "bob", "--role", "steward"],
            b"",
            Value::Null,
        ),
        (&["operator", "list"], b"", Value::Null),
        (&["operator", "code", "alice"], b"", Value::Null),
        (
            &["operator", "oidc", "list"],
            b"",
            json!({ "identities": [] }),
        ),
        (&["operator", "passkey", "invite"], b"", Value::Null),
        (&["operator", "passkey", "list"], b"", Value::Null),
        (&["secret", "put", "a/b"], b"one", Value::Null),
        (&["secret", "put", "a/b"], b"two", Value::Null),
        (&["secret", "get", "a/b"], b"", Value::Null),
        (&["secret", "list"], b"", Value::Null),
        (&["secret", "history", "a/b"], b"", Value::Null),
        (
            &["secret", "delete", "a/b", "--version", "1", "--yes"],
            b"",
            json!({ "path": "a/b", "version": 1, "state": "deleted" }),
        ),
        (
            &["secret", "undelete", "a/b"],
            b"",
            json!({ "path": "a/b", "versions": [1] }),
        ),
        (&["secret", "set", "a/b", "--tag", "x"], b"", Value::Null),
        (
            &["secret", "destroy", "a/b", "--yes"],
            b"",
            json!({ "path": "a/b", "state": "destroyed" }),
        ),
        (&["agent", "add", "scribe"], b"", Value::Null),
        (&["agent", "code", "scribe"], b"", Value::Null),
        (&["agent", "list"], b"", Value::Null),
        (&["agent", "tree"], b"", Value::Null),
        (
            &["project", "set", "shop", "--agent", "scribe"],
            b"",
            Value::Null,
        ),
        (&["project", "show", "shop"], b"", Value::Null),
        (&["project", "list"], b"", Value::Null),
        (&["service", "add", "web"], b"", Value::Null),
        (&["auth", "mode", "web", "observe"], b"", Value::Null),
        (&["auth", "mode", "web", "--route", "/"], b"", Value::Null),
        (
            &[
                "auth",
                "except",
                "web",
                "--agent",
                "probe",
                "--because",
                "x",
            ],
            b"",
            Value::Null,
        ),
        (
            &["service", "route", "web", "/up", "--stream", "true"],
            b"",
            Value::Null,
        ),
        (&["service", "show", "web"], b"", Value::Null),
        (&["service", "list"], b"", Value::Null),
        (
            &["service", "remove", "web", "--yes"],
            b"",
            json!({ "removed": "web" }),
        ),
        (&["request", "list"], b"", Value::Null),
        (&["grant", "list"], b"", Value::Null),
        (&["device", "code"], b"", Value::Null),
        (&["audit", "list"], b"", Value::Null),
        (&["audit", "export", record], b"", Value::Null),
        (&["audit", "verify", record], b"", Value::Null),
        (&["agent", "revoke", "scribe", "--yes"], b"", Value::Null),
        (
            &key_only,
            &there,
            json!({ "vault": false, "operator_key": true }),
        ),
        (
            &key_only,
            &back,
            json!({ "vault": false, "operator_key": true }),
        ),
        (
            &passphrase,
            &there,
            json!({ "vault": true, "operator_key": true }),
        ),
        (&["logout"], b"", json!({ "was_unlocked": true })),
        (&["logout"], b"", json!({ "was_unlocked": false })),
        (&login, NEXT, Value::Null),
        (&["seal"], b"", json!({ "sealed": true })),
        (&unseal, NEXT, Value::Null),
        // Open already: no passphrase is asked for.
        (&["unseal"], b"", Value::Null),
    ];
    for (args, input, expected) in cases {
        let printed = cli.ok(&[&["--json"], *args].concat(), input);
        let printed: Value = serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {printed}"));
        match expected {
            Value::Null => assert!(printed.is_object(), "{args:?}: {printed}"),
            expected => assert_eq!(printed, *expected, "{args:?}"),
        }
    }
}

#[test]
fn a_vault_that_is_open_is_said_to_be_and_no_passphrase_is_asked_for() {
    let installed = Installed::new();
    // There is no terminal: a question would end the command.
    let ran = installed.cli.run(&["unseal"], b"");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "", "the vault is open already\n")
    );
}
