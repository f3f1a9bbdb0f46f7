//! What the documents say is what the code says.

use super::{documents, read, root, table};
use std::collections::BTreeMap;

#[test]
fn exit_codes() {
    let constants: BTreeMap<u8, String> = read("crates/types/src/exit.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split_once(": u8 = "))
        .map(|(name, code)| (code.trim_end_matches(';').parse().unwrap(), name.to_owned()))
        .collect();
    let documented: BTreeMap<u8, String> = table(&read("spec/exit-codes.md"), "code")
        .into_iter()
        .map(|row| (row[0].parse().unwrap(), row[1].clone()))
        .collect();
    assert!(!constants.is_empty());
    assert_eq!(documented, constants);
}

#[test]
fn purposes_of_envelopes() {
    let coded: Vec<&str> = procura_crypto::Purpose::ALL
        .iter()
        .map(|purpose| purpose.as_str())
        .collect();
    let documented: Vec<String> = table(&read("spec/purposes.md"), "purpose")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(documented, coded);
}

/// The files and folders that a text names from the root, in back-quotes or as links;
/// `{one,other}` in a name stands for two.
fn places(text: &str) -> Vec<String> {
    const FOLDERS: [&str; 7] = [
        "bin/", "crates/", "deploy/", "docs/", "schema/", "spec/", "tests/",
    ];
    let quoted = text.split('`').skip(1).step_by(2);
    let links = text.split("](").skip(1);
    let linked = links.filter_map(|rest| Some(rest.split_once(')')?.0));
    let mut places = Vec::new();
    for place in quoted.chain(linked) {
        if !FOLDERS.iter().any(|folder| place.starts_with(folder)) {
            continue;
        }
        match place.split_once('{') {
            Some((before, rest)) => {
                let (names, behind) = rest.split_once('}').unwrap();
                let each = names.split(',');
                places.extend(each.map(|name| format!("{before}{name}{behind}")));
            }
            None => places.push(place.to_owned()),
        }
    }
    places
}

#[test]
fn the_map_and_decisions_lead_to_what_is_there() {
    let text = "see `crates/a/src/{b,c}.rs`, `d.rs` and [spec](spec/e.md)";
    let named = ["crates/a/src/b.rs", "crates/a/src/c.rs", "spec/e.md"];
    assert_eq!(places(text), named);
    let map = places(&read("ARCHITECTURE.md"));
    assert!(map.len() > 100, "{map:?}");
    let decisions = std::fs::read_dir(root().join("docs/adr")).unwrap();
    let decided = decisions.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap());
    let lost: Vec<String> = decided
        .flat_map(|text| places(&text))
        .chain(map)
        .filter(|place| !root().join(place).exists())
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// How a heading is named in a link: in lower case, without punctuation, with hyphens.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
    let kept: String = heading.trim().to_lowercase().chars().filter(kept).collect();
    kept.replace(' ', "-")
}

#[test]
fn a_link_leads_to_a_page_and_a_heading_that_are_there() {
    let (mut seen, mut lost) = (0, Vec::new());
    for page in documents() {
        let text = std::fs::read_to_string(&page).unwrap();
        let prose: String = text.split("```").step_by(2).collect();
        for link in prose.split("](").skip(1) {
            let Some((target, _)) = link.split_once(')') else {
                continue;
            };
            // A class of letters in a pattern looks like a link as well.
            let is_ours = !target.contains("://") && !target.contains(['[', ' ', '{', '`']);
            if !is_ours {
                continue;
            }
            seen += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_there = match heading {
                "" => there.exists(),
                heading => std::fs::read_to_string(&there).is_ok_and(|text| {
                    let mut lines = text.lines().filter(|line| line.starts_with('#'));
                    lines.any(|line| anchor(line.trim_start_matches('#')) == heading)
                }),
            };
            if !is_there {
                lost.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(seen > 200, "{seen}");
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// The pages of a folder of the documentation, by their path from the root.
fn pages(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}

/// The tests that type what pages say.
fn tests_of_pages() -> String {
    let folders = [
        "bin/procura/tests/it",
        "tests/acceptance/tests/it",
        "tests/browser/tests/it",
    ];
    let mut all = String::new();
    let mut waiting: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            all += &std::fs::read_to_string(path).unwrap();
        }
    }
    all
}

/// The first line of a page that is a block by its indentation. Whoever types pages looks
/// for fences, so nobody types such a block.
fn indented(text: &str) -> Option<&str> {
    let mut fenced = false;
    text.lines().find(|line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        !fenced && (line.starts_with('\t') || line.starts_with("    "))
    })
}

#[test]
fn a_block_by_indentation_is_found() {
    let fenced = "Type\n\n```sh\nif a; then\n    b\nfi\n```\n\n- one\n  and more\n";
    assert_eq!(indented(fenced), None);
    let block = format!("{fenced}\nand\n\n    procura status\n");
    assert_eq!(indented(&block), Some("    procura status"));
    assert_eq!(indented("\tprocura status\n"), Some("\tprocura status"));
}

/// A guide whose commands nobody types is wrong before long.
#[test]
fn a_test_types_the_commands_of_every_guide_and_runbook() {
    let tests = tests_of_pages();
    let mut typed = 0;
    for page in ["docs/guides", "docs/runbooks"].into_iter().flat_map(pages) {
        let text = read(&page);
        let hidden = indented(&text);
        assert_eq!(hidden, None, "{page}: nobody types a block without a fence");
        let fences: Vec<&str> = text
            .lines()
            .filter(|line| line.trim_start().starts_with("```"))
            .collect();
        for fence in &fences {
            // Code in Python is run by what it is for: a receiver of webhooks, a host that joins.
            let known = ["```", "```sh", "```python"].contains(fence);
            assert!(
                known,
                "{page}: nobody types a block that begins with {fence}"
            );
        }
        if fences.is_empty() {
            continue;
        }
        let (_, name) = page.rsplit_once('/').unwrap();
        let of_docs = page.strip_prefix("docs/").unwrap();
        let is_named = [name, of_docs]
            .iter()
            .any(|name| tests.contains(&format!("\"{name}\"")));
        assert!(is_named, "no test types the commands of {page}");
        typed += 1;
    }
    assert!(typed > 10, "{typed}");
}
