use crate::vectors::{bytes, is_valid, list, load, wycheproof};
use procura_crypto::hkdf_sha256;
use serde_json::Value;
use std::collections::BTreeMap;

/// The most that HKDF-SHA256 gives. What it gives for a smaller length is a
/// prefix of this (RFC 5869 §2.3).
const MOST: usize = 255 * 32;

fn derive(case: &Value) -> Vec<u8> {
    let [ikm, salt, info] = ["ikm", "salt", "info"].map(|field| bytes(&case[field]));
    hkdf_sha256::<MOST>(&ikm, &salt, &info).expose().to_vec()
}

#[test]
fn rfc_5869_appendix_a() {
    let file = load("kdf/hkdf_rfc5869.json");
    for case in list(&file["cases"]) {
        let okm = bytes(&case["okm"]);
        assert_eq!(derive(case)[..okm.len()], okm, "case {}", case["n"]);
    }
    let first = &file["cases"][0];
    let [ikm, salt, info] = ["ikm", "salt", "info"].map(|field| bytes(&first[field]));
    let exact = hkdf_sha256::<42>(&ikm, &salt, &info);
    assert_eq!(exact.expose()[..], bytes(&first["okm"]));
}

#[test]
fn wycheproof_hkdf() {
    let file = load("wycheproof/hkdf_sha256_test.json");
    let mut table = BTreeMap::<&str, u32>::new();
    for (_, case) in wycheproof(&file) {
        let id = &case["tcId"];
        let size = usize::try_from(case["size"].as_u64().unwrap()).unwrap();
        let kind = if is_valid(case) {
            let okm = bytes(&case["okm"]);
            assert_eq!(okm.len(), size, "case {id}");
            assert_eq!(derive(case)[..size], okm, "case {id}");
            "valid: derived"
        } else {
            assert!(size > MOST, "case {id}");
            "invalid: too long, which does not compile"
        };
        *table.entry(kind).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("valid: derived", 83),
        ("invalid: too long, which does not compile", 3),
    ]);
    assert_eq!(table, expected);
    assert_eq!(file["numberOfTests"], table.values().sum::<u32>());
}
