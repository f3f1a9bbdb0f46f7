use crate::vectors::{array, bytes, is_valid, load, wycheproof};
use procura_crypto::{OpenError, open_once, seal_once};
use procura_types::Secret;
use std::collections::BTreeMap;

#[test]
fn wycheproof_aes_gcm() {
    let file = load("wycheproof/aes_gcm_test.json");
    let mut table = BTreeMap::<&str, u32>::new();
    for (group, case) in wycheproof(&file) {
        assert_eq!(group["tagSize"], 128, "tags have one length");
        let id = &case["tcId"];
        let kind = match (group["keySize"].as_u64(), group["ivSize"].as_u64()) {
            (Some(128 | 192), _) => "skipped: we have 256-bit keys only",
            (_, Some(iv)) if iv != 96 => "skipped: we have 96-bit nonces only",
            _ => {
                let key = Secret::new(array(&bytes(&case["key"])));
                let nonce = array(&bytes(&case["iv"]));
                let associated = bytes(&case["aad"]);
                let plain = bytes(&case["msg"]);
                let sealed = [bytes(&case["ct"]), bytes(&case["tag"])].concat();
                let opened = open_once(&key, nonce, &associated, &sealed);
                if is_valid(case) {
                    assert_eq!(opened.unwrap().expose(), &plain, "case {id}");
                    let again = seal_once(&key, nonce, &associated, &plain).unwrap();
                    assert_eq!(again, sealed, "case {id}");
                    "valid: opened, and sealed to the same bytes"
                } else {
                    assert_eq!(opened.err(), Some(OpenError::Refused), "case {id}");
                    "invalid: refused"
                }
            }
        };
        *table.entry(kind).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("valid: opened, and sealed to the same bytes", 39),
        ("invalid: refused", 27),
        ("skipped: we have 256-bit keys only", 211),
        ("skipped: we have 96-bit nonces only", 39),
    ]);
    assert_eq!(table, expected);
    assert_eq!(file["numberOfTests"], table.values().sum::<u32>());
}

#[test]
fn what_is_shorter_than_a_tag_is_malformed() {
    let key = Secret::new([1; 32]);
    for length in 0..16 {
        let opened = open_once(&key, [2; 12], b"", &vec![0; length]);
        assert_eq!(opened.err(), Some(OpenError::Malformed), "{length}");
    }
    let opened = open_once(&key, [2; 12], b"", &[0; 16]);
    assert_eq!(opened.err(), Some(OpenError::Refused));
}
