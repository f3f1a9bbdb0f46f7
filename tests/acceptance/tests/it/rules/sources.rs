//! What no source file of ours contains.

use super::root;
use std::path::{Path, PathBuf};

/// Every file of ours with this ending, without what was built or copied.
fn files(ending: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | "tmp" | "vectors") && !name.starts_with('.')
                {
                    walk(&path, ending, found);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), ending, &mut found);
    assert!(!found.is_empty(), "no file ends with {ending}");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn no_source_file_is_longer_than_800_lines() {
    let long: Vec<_> = files(".rs")
        .iter()
        .map(|path| {
            (
                std::fs::read_to_string(path).unwrap().lines().count(),
                shown(path),
            )
        })
        .filter(|(lines, _)| *lines > 800)
        .collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn nothing_is_left_undone_and_no_test_is_switched_off() {
    // Written in two halves, so that this file does not contain them.
    let marks: Vec<String> = [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("#[ig", "nore"),
        ("FIX", "ME"),
        ("XX", "X:"),
    ]
    .map(|(head, tail)| format!("{head}{tail}"))
    .into();
    let mut wrong = Vec::new();
    for path in files(".rs") {
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                wrong.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_a_drawer_for_everything() {
    let drawers = [
        "utils", "util", "helpers", "helper", "common", "misc", "manager",
    ];
    let wrong: Vec<_> = files(".rs")
        .iter()
        .filter(|path| {
            path.components().any(|part| {
                let name = part.as_os_str().to_string_lossy();
                drawers.contains(&name.trim_end_matches(".rs"))
            })
        })
        .map(|path| shown(path))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn sql_is_in_the_store_alone() {
    let words: Vec<String> = [
        ("SELECT ", "value"),
        ("INSERT ", "INTO"),
        ("CREATE ", "TABLE"),
        ("PRAGMA ", ""),
    ]
    .map(|(head, tail)| format!("{head}{tail}"))
    .into();
    let wrong: Vec<_> = files(".rs")
        .into_iter()
        .filter(|path| {
            shown(path).starts_with("crates/") && !shown(path).starts_with("crates/store/")
        })
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            words.iter().any(|word| text.contains(word.as_str()))
        })
        .map(|path| shown(&path))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn unsafe_code_is_where_the_architecture_page_says() {
    let page = super::read("ARCHITECTURE.md");
    let word = ["unsafe", " {"].concat();
    for path in files(".rs") {
        if std::fs::read_to_string(&path).unwrap().contains(&word) {
            assert!(
                page.contains(&format!("`{}`", shown(&path))),
                "{} is not named there",
                shown(&path)
            );
        }
    }
}

/// Whoever vouches for a person lets them in, so only what checks a proof of theirs does.
#[test]
fn people_are_vouched_for_where_their_proofs_are_checked() {
    const CHECKED: [&str; 4] = [
        "crates/identity/src/account/sign_in.rs",
        "crates/identity/src/oidc/using.rs",
        "crates/identity/src/passkey/enrol.rs",
        "crates/identity/src/passkey/using.rs",
    ];
    let mut found: Vec<String> = files(".rs")
        .into_iter()
        .filter(|path| !shown(path).contains("/tests/"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            ["vouched(", "by_passkey(", "by_provider("]
                .iter()
                .any(|made| text.contains(&["Authenticated::", made].concat()))
        })
        .map(|path| shown(&path))
        .collect();
    found.sort();
    assert_eq!(found, CHECKED);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut dead = Vec::new();
    for path in files(".md") {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains([' ', '{', '[']) {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                dead.push(format!("{} → {target}", shown(&path)));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}
