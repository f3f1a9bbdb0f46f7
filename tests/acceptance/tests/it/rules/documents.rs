//! What the documents say is what the code says.

use super::{read, root, table};
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
