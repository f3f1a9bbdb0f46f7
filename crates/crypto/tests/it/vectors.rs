//! Reading `spec/vectors`.

use serde_json::Value;
use std::path::Path;

/// One file of vectors.
pub(crate) fn load(path: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors");
    let text = std::fs::read(root.join(path)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// All cases of a Wycheproof file, each with its group.
pub(crate) fn wycheproof(file: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    list(&file["testGroups"])
        .iter()
        .flat_map(|group| list(&group["tests"]).iter().map(move |case| (group, case)))
}

/// The `result` of a Wycheproof case. `acceptable`, which leaves the decision
/// to the reader, occurs in none of the files that we use; should a newer
/// version have such cases, they must be decided one by one.
pub(crate) fn is_valid(case: &Value) -> bool {
    match text(&case["result"]) {
        "valid" => true,
        "invalid" => false,
        other => panic!("case {} is {other}: decide it", case["tcId"]),
    }
}

pub(crate) fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Bytes that are written in hexadecimal, of either case.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    unhex(text(value))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "{text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}
