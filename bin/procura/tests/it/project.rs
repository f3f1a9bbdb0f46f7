//! Projects: what is taken away was there.

use crate::installed::Installed;

#[test]
fn a_mistyped_removal_is_refused_and_changes_nothing() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "scribe", "--no-code"], b"");
    let make = [
        "project", "set", "shop", "--agent", "scribe", "--env", "KEY=a/b",
    ];
    cli.ok(&make, b"");
    let before = cli.json(&["project", "show", "shop"]);
    for (flag, value, words) in [
        (
            "--remove-agent",
            "scibe",
            "nothing was changed: the project shop has no agent scibe",
        ),
        (
            "--remove-env",
            "KYE",
            "nothing was changed: the project shop has no name KYE",
        ),
    ] {
        let ran = cli.run(&["project", "set", "shop", flag, value], b"");
        assert_eq!(
            (ran.code, ran.err),
            (
                64,
                format!("procura: {words}\n  next: procura project show shop\n")
            )
        );
    }
    assert_eq!(cli.json(&["project", "show", "shop"]), before);

    let take = ["--remove-agent", "scribe", "--remove-env", "KEY"];
    let after = cli.json(&[&["project", "set", "shop"], &take[..]].concat());
    assert_eq!(after["agents"], serde_json::json!([]));
    assert_eq!(after["env"], serde_json::json!({}));
}
