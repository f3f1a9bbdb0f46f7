use crate::vectors::{bytes, is_valid, load, unhex, wycheproof};
use procura_crypto::{KeyError, PublicKey};
use std::collections::BTreeMap;

#[test]
fn wycheproof_ed25519() {
    let file = load("wycheproof/ed25519_test.json");
    let mut table = BTreeMap::<&str, u32>::new();
    for (group, case) in wycheproof(&file) {
        let id = &case["tcId"];
        let key = PublicKey::from_ed25519(&bytes(&group["publicKey"]["pk"])).unwrap();
        let verified = key.verify(&bytes(&case["msg"]), &bytes(&case["sig"]));
        assert_eq!(verified, is_valid(case), "case {id}");
        let kind = if verified {
            "valid: verified"
        } else {
            "invalid: refused"
        };
        *table.entry(kind).or_default() += 1;
    }
    let expected = BTreeMap::from([("valid: verified", 88), ("invalid: refused", 63)]);
    assert_eq!(table, expected);
    assert_eq!(file["numberOfTests"], table.values().sum::<u32>());
}

/// Both spellings of the sign of x for each y.
fn with_sign(y: &str, sign: bool) -> Vec<u8> {
    let mut point = unhex(y);
    point[31] |= u8::from(sign) << 7;
    point
}

#[test]
fn points_of_small_order_are_no_keys() {
    for y in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for sign in [false, true] {
            let key = PublicKey::from_ed25519(&with_sign(y, sign));
            assert!(matches!(key, Err(KeyError::SmallOrder)), "{y} {sign}");
        }
    }
}

#[test]
fn a_key_has_one_spelling() {
    // y from the prime up to 2^255 − 1: the 19 values that also have a smaller
    // spelling.
    for low in 0xed..=0xff {
        for sign in [false, true] {
            let mut y = [0xff; 32];
            y[0] = low;
            y[31] = if sign { 0xff } else { 0x7f };
            let key = PublicKey::from_ed25519(&y);
            assert!(matches!(key, Err(KeyError::NotCanonical)), "{low} {sign}");
        }
    }
    for length in [0, 31, 33, 44, 64] {
        let key = PublicKey::from_ed25519(&vec![9; length]);
        assert!(matches!(key, Err(KeyError::Malformed)), "{length}");
    }
}

#[test]
fn under_a_y_without_a_point_nothing_verifies() {
    let mut no_point = [0; 32];
    no_point[0] = 2;
    let key = PublicKey::from_ed25519(&no_point).unwrap();
    let file = load("wycheproof/ed25519_test.json");
    for (_, case) in wycheproof(&file) {
        assert!(!key.verify(&bytes(&case["msg"]), &bytes(&case["sig"])));
    }
}

#[test]
fn r_of_small_order_is_refused() {
    // Made with R = the neutral element and S = k·a: satisfies the equation of
    // RFC 8032 §5.1.7, as OpenSSL 3 confirms, and is refused all the same.
    let key = PublicKey::from_ed25519(&unhex(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ))
    .unwrap();
    let signature = unhex(concat!(
        "0100000000000000000000000000000000000000000000000000000000000000",
        "52391d7351860dd38270407bf57e4363d3091e74928205b2a1c39282a38af004"
    ));
    assert!(!key.verify(b"nobody chose a nonce", &signature));
}
