//! What the documents say is what the code says.

use super::{read, table};
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
