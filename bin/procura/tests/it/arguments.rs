//! What is typed wrongly ends with 64 and says what is accepted.

use crate::run;

#[test]
fn mistakes_end_with_64_and_name_the_rule() {
    let home = tempfile::tempdir().unwrap();
    for (args, message) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["secret"], "Usage: procura secret"),
        (&["secret", "get"], "<PATH>"),
        (
            &["secret", "get", "a//b"],
            "path: must be at most 255 bytes of segments",
        ),
        (
            &["secret", "get", "../b"],
            "path: must be at most 255 bytes of segments",
        ),
        (
            &["-n", "Not-A-Label", "agent", "list"],
            "namespace: must be 1 to 32 of a-z",
        ),
        (
            &["device", "approve", "WDJB-MJH", "--agent", "scribe"],
            "user_code: must be the 8 letters that the host shows",
        ),
        (&["device", "approve", "WDJB-MJHT"], "--agent <LABEL>"),
        (
            &["device", "deny", "WDJB-MJHA"],
            "user_code: must be the 8 letters that the host shows",
        ),
        (&["join", "--host", "build-7"], "--device"),
        (&["agent", "add", "-x"], "unexpected argument '-x'"),
        (&["agent", "add", "a_b"], "label: must be 1 to 32 of a-z"),
        (
            &["request", "approve", "17"],
            "request: is not a UUID in lower case",
        ),
        (
            &[
                "request",
                "approve",
                "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11",
                "--for",
                "1w",
            ],
            "is a number and s, m, h or d, such as 12h",
        ),
        (
            &["operator", "invite", "bob", "--role", "approver"],
            "approver is for a namespace: approver@NAMESPACE",
        ),
        (&["operator", "invite", "bob"], "--role <ROLE[@NS]>"),
        (&["operator", "roles", "bob"], "--role <ROLE[@NS]>"),
        (
            &["project", "set", "shop", "--env", "API_KEY"],
            "is not NAME=PATH, such as API_KEY=stripe/key",
        ),
        (
            &["project", "set", "shop", "--env", "1A=b"],
            "env: must be 1 to 128 of A-Z",
        ),
        (
            &[
                "gate",
                "--service",
                "web",
                "--upstream",
                "http://127.0.0.1:1",
                "--host",
                "web.example",
                "--listen",
                "0.0.0.0:0",
            ],
            "a gate speaks plain HTTP, and 0.0.0.0:0 is not an address of this machine alone",
        ),
        (
            &[
                "gate",
                "--service",
                "web",
                "--upstream",
                "http://127.0.0.1:1",
                "--host",
                "http://web.example",
            ],
            "must be host or host:port, such as web.example",
        ),
        (
            &["auth", "mode", "web", "enfroce"],
            "mode: must be off, observe or enforce",
        ),
        (
            &["auth", "mode", "web", "observe", "--route", "/a/"],
            "route: must begin with /",
        ),
        (
            &["service", "add", "web", "--route", "/admin"],
            "is not PREFIX=MODE, such as /admin=enforce",
        ),
        (
            &["service", "add", "web", "--route", "/a%2fb=off"],
            "route: must begin with /",
        ),
        (
            &["service", "route", "web", "/upload"],
            "--stream <true|false>",
        ),
        (
            &[
                "service",
                "set",
                "web",
                "--allow-hmac-v1",
                "false",
                "--window",
                "30",
            ],
            "--window and --nonce-required are hmac-v1's, and it is not let in",
        ),
        (
            &[
                "service",
                "set",
                "web",
                "--allow-hmac-v1",
                "false",
                "--nonce-required",
            ],
            "--window and --nonce-required are hmac-v1's, and it is not let in",
        ),
        (
            &["signing-key", "retire", "nope"],
            "the kid of a signing key has 43 characters of base64url\n  next: procura signing-key list\n",
        ),
        (&["auth", "except", "web", "--because", "x"], "--agent <ID>"),
        (
            &["auth", "except", "web", "--agent", "a"],
            "--because <TEXT>",
        ),
        (&["auth", "report", "web"], "--log <FILE>"),
        (&["run", "--project", "shop"], "<COMMAND>"),
        (&["run", "--", "true"], "--project <P>"),
        (&["device", "revoke", "xyz"], "device: "),
        (
            &["audit", "list", "--since", "yesterday"],
            "time: is not an RFC 3339 time",
        ),
        (&["audit", "list", "--limit", "0"], "is at least 1"),
        (
            &[
                "audit",
                "list",
                "--since",
                "2026-11-02T00:00:00Z",
                "--until",
                "2026-11-01T00:00:00Z",
            ],
            "--since is later than --until",
        ),
        (
            &["audit", "list", "--actor", "a/b"],
            "is no name, no id, and no beginning of an id",
        ),
        (
            &["audit", "verify", "dir", "--key", "nonsense"],
            "verifier key: is not <name>+<id>+<key>",
        ),
        (&["join", "hello"], "code: "),
        (&["operator", "join", "hello"], "code: "),
        (
            &["--server", "http://10.0.0.1:7310", "status"],
            "plain http:// is accepted for this machine only",
        ),
        (
            &["--server", "127.0.0.1", "status"],
            "must begin with https:// or http://",
        ),
        (
            &["--ca", "/nowhere.pem", "status"],
            "--ca /nowhere.pem: there is no such file",
        ),
        (&["login", "--for", "8d"], "--for is at most 7d"),
    ] {
        let ran = run(home.path(), args);
        assert_eq!(ran.code, 64, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{args:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{args:?}: {}", ran.out);
    }
}

#[test]
fn a_gate_is_called_by_what_a_request_can_name() {
    let home = tempfile::tempdir().unwrap();
    let said = |host: &str| {
        let upstream = ["--upstream", "http://127.0.0.1:1"];
        let args = ["gate", "--service", "web", "--host", host];
        // Whatever can be is refused for something else: nothing says where it joins.
        let ran = run(
            home.path(),
            &[&args[..], &upstream, &["--listen", "0.0.0.0:0"]].concat(),
        );
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{host}");
        ran.err
    };
    let wrong = "must be host or host:port, such as web.example";
    for host in [
        "",
        "a b",
        "http://web.example",
        "web.example/",
        "a@web.example",
        "web.example:",
        "web.example:+80",
        "web.example:65536",
        ":80",
        "::1",
        "[::1",
        "[web]",
        "*.example",
    ] {
        assert!(said(host).contains(wrong), "{host}: {}", said(host));
    }
    for host in [
        "web.example",
        "Web.example:8443",
        "10.0.0.1",
        "[::1]",
        "[::1]:80",
    ] {
        assert!(
            said(host).contains("a gate speaks plain HTTP"),
            "{host}: {}",
            said(host)
        );
    }
}

#[test]
fn help_and_version_are_no_failures_and_each_command_has_an_example() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &["--version"]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.out, format!("procura {}\n", env!("CARGO_PKG_VERSION")));

    let reference = run(home.path(), &["__reference", "cli"]).out;
    let mut commands = 0;
    for section in reference.split("\n## ").skip(2) {
        // Only what can be typed has a usage; a noun alone has none.
        let Some((name, rest)) = section.split_once('\n') else {
            continue;
        };
        if !rest.contains("\n```\nprocura ") {
            continue;
        }
        commands += 1;
        assert!(rest.contains("\n```\nExample"), "{name} has no example");
        let args: Vec<&str> = name.split(' ').skip(1).chain(["--help"]).collect();
        let help = run(home.path(), &args);
        assert_eq!(help.code, 0, "{name}");
        assert!(help.out.contains("Example"), "{name}: {}", help.out);
    }
    assert!(commands > 40, "{commands} commands were found");
}

#[test]
fn no_command_says_what_there_is() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &[]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("Usage: procura"), "{}", ran.err);
}

#[test]
fn with_json_what_is_typed_wrongly_is_told_as_json() {
    let home = tempfile::tempdir().unwrap();
    for (args, what, next) in [
        (
            &["--json", "secret", "get"][..],
            "the following required arguments were not provided: <PATH>",
            "procura secret get <PATH>",
        ),
        (
            &["frobnicate", "--json"],
            "unrecognized subcommand 'frobnicate'",
            "procura [OPTIONS] <COMMAND>",
        ),
        (
            &["audit", "show", "17", "--json"],
            "invalid value '…' for '<ID>': entry: is not a UUID in lower case",
            "the same command with --help",
        ),
    ] {
        let ran = run(home.path(), args);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{args:?}");
        let failure: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(
            failure,
            serde_json::json!({ "exit": 64, "what": what, "next": next }),
            "{args:?}"
        );
    }
    // A flag of the command that is to be run is not ours.
    let ran = run(home.path(), &["run", "--", "tool", "--json"]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
}

#[test]
fn what_was_typed_in_the_wrong_place_is_not_repeated() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["secret", "put", "a/b", "canary"][..],
        &["secret", "put", "a/b=canary"],
        &["secret", "put", "a/b", "--value", "canary"],
        &["secret", "put", "a/b", "--env", "KEY=canary"],
        &["project", "set", "shop", "--env", "KEY=a:canary"],
        &["run", "-p", "shop", "--name", "KEY=canary", "--", "true"],
        &["--passphrase-fd", "canary", "unseal"],
        &["unseal", "--passphrase=canary"],
        &["join", "pcj1_canary"],
        &["operator", "join", "pcj1_canary", "canary"],
        &["-n", "canary!", "secret", "list"],
    ] {
        for json in [&[][..], &["--json"]] {
            let args = [json, args].concat();
            let ran = run(home.path(), &args);
            assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{args:?}");
            assert!(!ran.err.contains("canary"), "{args:?}: {}", ran.err);
        }
    }
}

#[test]
fn numbers_are_asked_for_in_words() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["secret", "get", "a", "--version", "new"][..],
        &["secret", "put", "a", "--expect-version", "1.5"],
        &["audit", "list", "--limit", "all"],
        &["--passphrase-fd", "x", "status"],
        &["join", "--uid", "root"],
    ] {
        let ran = run(home.path(), args);
        assert_eq!(ran.code, 64, "{args:?}");
        assert!(
            ran.err.contains("is not a whole number, such as 3"),
            "{args:?}: {}",
            ran.err
        );
    }
}
