//! `schema/cli.md` is what the program says of itself.

use crate::run;
use std::path::Path;

#[test]
fn the_checked_in_reference_is_current() {
    let home = tempfile::tempdir().unwrap();
    let printed = run(home.path(), &["__reference", "cli"]);
    assert_eq!(printed.code, 0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/cli.md");
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        printed.out == checked_in,
        "schema/cli.md is out of date; regenerate it with: cargo run -q -p procura -- __reference cli > schema/cli.md"
    );
}

#[test]
fn the_environment_does_not_show_in_it() {
    let home = tempfile::tempdir().unwrap();
    let plain = run(home.path(), &["__reference", "cli"]).out;
    let ran = crate::ran(
        crate::procura(home.path())
            .args(["__reference", "cli"])
            .env("PROCURA_SERVER", "https://canary.example")
            .env("PROCURA_NAMESPACE", "canary")
            .output()
            .unwrap(),
    );
    assert_eq!(ran.out, plain);
}

#[test]
fn an_option_that_is_called_version_is_in_it() {
    let home = tempfile::tempdir().unwrap();
    let reference = run(home.path(), &["__reference", "cli"]).out;
    let (_, get) = reference.split_once("\n## procura secret get\n").unwrap();
    let (get, _) = get.split_once("\n## ").unwrap();
    assert!(
        get.contains("\n- `--version <N>`: This version [default: the latest]\n"),
        "{get}"
    );
}

#[test]
fn what_may_be_typed_without_a_subcommand_is_in_it_with_its_options() {
    let home = tempfile::tempdir().unwrap();
    let reference = run(home.path(), &["__reference", "cli"]).out;
    for (title, usage) in [
        ("procura server", "\nprocura server [OPTIONS]\n"),
        ("procura server", "\n- `--listen <ADDRESS>`: "),
        (
            "procura device attestations",
            "\nprocura device attestations\n",
        ),
        ("procurad", "\nprocurad [OPTIONS]\n"),
        ("procurad", "\n- `--socket <PATH>`: "),
        (
            "procurad exec",
            "\nprocurad exec [OPTIONS] -- <COMMAND>...\n",
        ),
    ] {
        let (_, section) = reference.split_once(&format!("\n## {title}\n")).unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        assert!(section.contains(usage), "{title}: {section}");
    }
}
