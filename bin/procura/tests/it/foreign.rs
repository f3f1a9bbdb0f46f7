//! Ids of other systems and their secrets, from the command line.

use crate::installed::Installed;

#[test]
fn a_fourth_secret_says_that_the_oldest_is_gone() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "bot", "--no-code"], b"");
    cli.ok(&["agent", "foreign", "bind", "Bot_1", "bot"], b"");
    let rotate = |more: &[&str]| {
        let args = [&["agent", "secret", "rotate", "Bot_1"], more].concat();
        let ran = cli.run(&args, b"");
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.err
    };
    assert_eq!(rotate(&[]), "shown once; no other secret is good\n");
    for _ in 0..2 {
        let said = rotate(&[]);
        assert!(
            said.starts_with("shown once; the secret from before is good until 20")
                && !said.contains("ended now"),
            "{said}"
        );
    }
    for _ in 0..2 {
        let said = rotate(&[]);
        assert!(
            said.starts_with("shown once; the secret from before is good until 20")
                && said.ends_with("Z; the oldest of three ended now\n"),
            "{said}"
        );
    }
    assert_eq!(
        rotate(&["--invalidate"]),
        "shown once; no other secret is good\n"
    );
}

#[test]
fn an_id_that_is_not_there_or_taken_has_a_way_on() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let refused = |args: &[&str], word: &str, next: &str| {
        let ran = cli.run(&[&["--yes"], args].concat(), b"");
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (77, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(word), "{args:?}: {}", ran.err);
        assert!(
            ran.err.ends_with(&format!("\n  next: {next}\n")),
            "{args:?}: {}",
            ran.err
        );
    };
    for args in [
        &["agent", "secret", "rotate", "Bot_1"][..],
        &["agent", "secret", "show", "Bot_1"],
        &["agent", "secret", "revoke", "Bot_1"],
        &["agent", "foreign", "release", "Bot_1"],
    ] {
        refused(
            args,
            "(not_found, ",
            "procura agent foreign list, with -n NS for another namespace",
        );
    }
    for label in ["bot", "baker"] {
        cli.ok(&["agent", "add", label, "--no-code"], b"");
    }
    cli.ok(&["agent", "foreign", "bind", "Bot_1", "bot"], b"");
    refused(
        &["agent", "foreign", "bind", "Bot_1", "baker"],
        "(already_exists, ",
        "procura agent foreign release Bot_1, with -n NS if it is bound in another namespace",
    );
}
