use crate::vectors::{bytes, is_valid, load, wycheproof};
use procura_crypto::MacKey;
use std::collections::BTreeMap;

#[test]
fn wycheproof_hmac() {
    let file = load("wycheproof/hmac_sha256_test.json");
    let mut table = BTreeMap::<&str, u32>::new();
    for (group, case) in wycheproof(&file) {
        let id = &case["tcId"];
        let key = MacKey::from_bytes(&bytes(&case["key"])).unwrap();
        let (message, tag) = (bytes(&case["msg"]), bytes(&case["tag"]));
        let full = group["tagSize"] == 256;
        // Truncated tags are never accepted; what they say is still checked.
        let verified = key.verify(&[&message], &tag);
        assert_eq!(verified, full && is_valid(case), "case {id}");
        let equal = key.sign(&[&message])[..tag.len()] == tag;
        assert_eq!(equal, is_valid(case), "case {id}");
        let kind = match (full, is_valid(case)) {
            (true, true) => "valid: verified",
            (true, false) => "invalid: refused",
            (false, true) => "valid, truncated: refused, equal to the first half",
            (false, false) => "invalid, truncated: refused, unlike the first half",
        };
        *table.entry(kind).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("valid: verified", 33),
        ("invalid: refused", 54),
        ("valid, truncated: refused, equal to the first half", 33),
        ("invalid, truncated: refused, unlike the first half", 54),
    ]);
    assert_eq!(table, expected);
    assert_eq!(file["numberOfTests"], table.values().sum::<u32>());
}

#[test]
fn parts_are_signed_one_after_the_other() {
    let key = MacKey::from_bytes(b"key").unwrap();
    let whole = key.sign(&[b"one two"]);
    assert_eq!(key.sign(&[b"one", b"", b" two"]), whole);
    assert!(key.verify(&[b"one ", b"two"], &whole));
    assert_eq!(key.sign(&[]), key.sign(&[b""]));
}

#[test]
fn keys_of_any_length_follow_rfc_2104() {
    let long: Vec<u8> = (0..=u8::MAX).collect();
    let sign = |key: &[u8]| MacKey::from_bytes(key).unwrap().sign(&[b"message"]);
    // A short key is padded with zeros, up to a block of 64 bytes.
    for length in [0, 1, 31, 32, 33, 63, 64] {
        let mut padded = long[..length].to_vec();
        padded.resize(64, 0);
        assert_eq!(sign(&long[..length]), sign(&padded), "{length}");
    }
    // A longer one is hashed.
    for length in [65, 128, 256] {
        let hashed = procura_crypto::sha256(&long[..length]);
        assert_eq!(sign(&long[..length]), sign(&hashed), "{length}");
    }
}
