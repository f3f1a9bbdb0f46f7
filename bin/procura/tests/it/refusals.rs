//! A no of the server says why, and what to type next.

use crate::installed::{Cli, Installed, PASSPHRASE};

#[test]
fn refusals_say_why_and_what_to_type_next() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let refused = |cli: &Cli, args: &[&str], input: &[u8], words: &str, next: &str| {
        let ran = cli.run(args, input);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (77, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains(&format!("\n  next: {next}")),
            "{args:?}: {}",
            ran.err
        );
    };
    let place = "check the name, and the namespace with -n NS";
    refused(
        cli,
        &["secret", "get", "a/none"],
        b"",
        "(not_found, ",
        place,
    );
    refused(
        cli,
        &["-n", "elsewhere", "secret", "list"],
        b"",
        "(not_found, ",
        place,
    );
    let wrong = b"wrong horse battery\n";
    refused(
        cli,
        &["login", "--passphrase-fd", "0"],
        wrong,
        "the passphrase does not open the operator's key",
        "the command again",
    );

    let code = cli.ok(
        &["operator", "invite", "bob", "--role", "auditor@default"],
        b"",
    );
    let bob = installed.other("bob");
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    bob.ok(&join, PASSPHRASE);
    let third = installed.other("third");
    refused(
        &third,
        &join,
        PASSPHRASE,
        "was used already",
        "ask for a new link code",
    );
    bob.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
    refused(
        &bob,
        &["operator", "list"],
        b"",
        "operator.list needs the role steward. (forbidden, ",
        "the command again by an operator who is steward; a steward makes one with procura operator roles NAME --role steward, and --role for each that NAME keeps",
    );
    refused(
        &bob,
        &["secret", "get", "a/key"],
        b"",
        "secret.read in namespace default needs the role admin. (forbidden, ",
        "the command again by an operator who is admin@default; a steward makes one with procura operator roles NAME --role admin@default, and --role for each that NAME keeps",
    );

    for (args, needs) in [
        (
            &["namespace", "quota", "default", "--secrets", "5"][..],
            "namespace.quota in namespace default needs the role steward. (forbidden, ",
        ),
        (
            &["policy", "list", "--installation"],
            "policy.read needs the role steward. (forbidden, ",
        ),
    ] {
        let next = "the command again by an operator who is steward; a steward makes one with procura operator roles NAME --role steward, and --role for each that NAME keeps";
        refused(&bob, args, b"", needs, next);
    }
    refused(
        cli,
        &["operator", "totp", "--confirm", "123456"],
        b"",
        "(no_totp_waits, ",
        "procura operator totp, which sets up an app",
    );
    // The API's name of what was typed is nobody's here.
    let channel = cli.run(&["notify", "channel", "add", "ops", "--kind", "slack"], b"");
    assert_eq!(channel.code, 64, "{}", channel.err);
    let next =
        "\n  next: the command again, and on stdin what is called credential_b64 here: URL\n";
    assert!(channel.err.ends_with(next), "{}", channel.err);

    for args in [&["passphrase"][..], &["passphrase", "--key-only"]] {
        let same = [PASSPHRASE, PASSPHRASE].concat();
        let ran = cli.run(&[args, &["--passphrase-fd", "0"]].concat(), &same);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (
                64,
                "procura: the new passphrase is the one of today, so nothing was changed\n  next: the command again, with another one\n"
            ),
            "{args:?}"
        );
    }
    // What was mistyped never reaches the server.
    for (args, code, words, next) in [
        (
            &["backup", "not/there.procura"][..],
            74,
            "cannot write not/there.procura.partial",
            "procura backup FILE, in a directory that is there",
        ),
        (
            &["restore", "hold"],
            64,
            "hold is no file, and none of held, release and accept",
            "procura restore FILE --to HOME --verify",
        ),
    ] {
        let ran = cli.run(args, b"");
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
        assert!(
            ran.err.ends_with(&format!("\n  next: {next}\n")),
            "{args:?}: {}",
            ran.err
        );
    }
    cli.ok(&["seal"], b"");
    refused(cli, &["secret", "list"], b"", "(sealed, ", "procura unseal");
    refused(
        cli,
        &["unseal", "--passphrase-fd", "0"],
        wrong,
        "(wrong_passphrase, ",
        "the command again, in a moment",
    );
}
