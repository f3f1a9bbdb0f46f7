//! What cannot be undone is not done without a yes, and nobody is asked for
//! anything before.

use crate::run;

#[test]
fn without_a_terminal_only_yes_is_a_yes() {
    let home = tempfile::tempdir().unwrap();
    for (args, question) in [
        (
            &["secret", "destroy", "a/b"][..],
            "Destroy all versions of a/b in default? This cannot be undone.",
        ),
        (
            &["secret", "delete", "a/b", "--version", "3"],
            "Delete version 3 of a/b in default? It cannot be read until it is undeleted.",
        ),
        (
            &["-n", "staging", "agent", "revoke", "scribe"],
            "Revoke the agent scribe in staging and all below it? This cannot be undone.",
        ),
        (
            &["operator", "revoke", "bob"],
            "Revoke bob, their devices and every agent of theirs? This cannot be undone.",
        ),
        (
            &[
                "device",
                "revoke",
                "4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4",
            ],
            "Revoke the device 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4? This cannot be undone.",
        ),
        (
            &[
                "device",
                "forget",
                "4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4",
            ],
            "Remove the key of the device 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4 from this machine? This cannot be undone.",
        ),
        (
            &["restore", "--activate", "--to", "/nowhere/restored"],
            "Activate /nowhere/restored? The installation that it is a copy of must never run again.",
        ),
        (
            &["device", "trust-rollback"],
            "Accept a server that may have been rolled back?",
        ),
    ] {
        let ran = run(home.path(), args);
        assert_eq!(ran.code, 64, "{args:?}: {}", ran.err);
        let expected = format!(
            "procura: not done without a yes: there is no terminal to ask at: {question}\n  next: the same command with --yes\n"
        );
        assert_eq!(ran.err, expected, "{args:?}");
    }
    // Nothing was made either.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn with_yes_the_command_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &["--yes", "secret", "destroy", "a/b"]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("no server is known in"), "{}", ran.err);
}
