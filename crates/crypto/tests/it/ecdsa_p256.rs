use crate::vectors::{bytes, is_valid, list, load, text, unhex, wycheproof};
use procura_crypto::{KeyError, PublicKey};
use std::collections::BTreeMap;

/// The order of the group, big-endian (SEC 2 §2.4.2).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// r ‖ s of a signature in DER, or nothing when it is no strict DER (X.690 §8,
/// §10) of two positive integers that fit 32 bytes.
fn fixed_from_der(der: &[u8]) -> Option<Vec<u8>> {
    let (content, after) = der_value(der, 0x30)?;
    let (r, after_r) = der_value(content, 0x02)?;
    let (s, after_s) = der_value(after_r, 0x02)?;
    if !after.is_empty() || !after_s.is_empty() {
        return None;
    }
    Some([integer(r)?, integer(s)?].concat())
}

/// The content of the first value, which has this tag and a length in its
/// shortest form, and what follows it. No signature of P-256 has 128 bytes, so
/// the long form of the length is never the shortest.
fn der_value(from: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    match from {
        [first, length @ 0..=127, rest @ ..] if *first == tag => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// The 32 bytes of a positive integer in its shortest form: a zero byte in front
/// if, and only if, the next one would read as a sign.
fn integer(content: &[u8]) -> Option<[u8; 32]> {
    let digits = match content {
        [0] => &[],
        [0, next, ..] if *next >= 0x80 => &content[1..],
        [first, ..] if (1..0x80).contains(first) => content,
        _ => return None,
    };
    let mut out = [0; 32];
    out[32usize.checked_sub(digits.len())?..].copy_from_slice(digits);
    Some(out)
}

#[test]
fn wycheproof_ecdsa() {
    let file = load("wycheproof/ecdsa_secp256r1_sha256_test.json");
    let mut table = BTreeMap::<&str, u32>::new();
    for (group, case) in wycheproof(&file) {
        let id = &case["tcId"];
        let key = PublicKey::from_p256(&bytes(&group["publicKey"]["uncompressed"])).unwrap();
        let der = bytes(&case["sig"]);
        let message = bytes(&case["msg"]);
        // Ours are r ‖ s only: the DER itself never verifies, whatever it says.
        assert!(!key.verify(&message, &der), "case {id}");
        let kind = match (fixed_from_der(&der), is_valid(case)) {
            (Some(signature), true) => {
                assert!(key.verify(&message, &signature), "case {id}");
                "valid: verified"
            }
            (Some(signature), false) => {
                assert!(!key.verify(&message, &signature), "case {id}");
                "invalid: refused"
            }
            (None, false) => "invalid: of the encoding, and r ‖ s cannot say it",
            (None, true) => panic!("case {id} is valid and was not converted"),
        };
        *table.entry(kind).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("valid: verified", 174),
        ("invalid: refused", 75),
        ("invalid: of the encoding, and r ‖ s cannot say it", 235),
    ]);
    assert_eq!(table, expected);
    assert_eq!(file["numberOfTests"], table.values().sum::<u32>());
}

#[test]
fn rfc_6979_signatures_verify() {
    let file = load("kdf/rfc6979_p256.json");
    let point = [vec![4], bytes(&file["Ux"]), bytes(&file["Uy"])].concat();
    let key = PublicKey::from_p256(&point).unwrap();
    for case in list(&file["cases"]) {
        let message = text(&case["message_utf8"]);
        let signature = [bytes(&case["r"]), bytes(&case["s"])].concat();
        // "sample" has s in the upper half, which plain ECDSA allows.
        assert!(key.verify(message.as_bytes(), &signature), "{message}");
        assert!(!key.verify(b"another message", &signature), "{message}");
        let mut swapped = signature.clone();
        swapped.rotate_left(32);
        assert!(!key.verify(message.as_bytes(), &swapped), "{message}");
    }
}

#[test]
fn r_and_s_are_in_range_and_64_bytes() {
    let file = load("kdf/rfc6979_p256.json");
    let point = [vec![4], bytes(&file["Ux"]), bytes(&file["Uy"])].concat();
    let key = PublicKey::from_p256(&point).unwrap();
    let case = &file["cases"][1];
    let (r, s) = (bytes(&case["r"]), bytes(&case["s"]));
    let order = unhex(ORDER);
    let zero = vec![0; 32];
    assert!(key.verify(b"test", &[&r[..], &s].concat()));
    for (r, s) in [
        (&zero, &s),
        (&r, &zero),
        (&zero, &zero),
        (&order, &s),
        (&r, &order),
        (&order, &order),
    ] {
        assert!(!key.verify(b"test", &[&r[..], s].concat()));
    }
    let good = [&r[..], &s].concat();
    for other in [&good[..63], &[&good[..], &[0]].concat(), &[0; 64], &[]] {
        assert!(!key.verify(b"test", other));
    }
}

#[test]
fn a_key_has_one_spelling() {
    let file = load("kdf/rfc6979_p256.json");
    let (x, y) = (bytes(&file["Ux"]), bytes(&file["Uy"]));
    let with = |tag: u8, y: &[u8]| [&[tag], &x[..], y].concat();
    assert!(PublicKey::from_p256(&with(4, &y)).is_ok());
    // Compressed, hybrid, at infinity, cut, longer.
    for other in [
        with(3, &[]),
        with(7, &y),
        with(6, &y),
        vec![0],
        vec![],
        with(4, &y[1..]),
        with(4, &[&y[..], &[0]].concat()),
    ] {
        assert!(matches!(
            PublicKey::from_p256(&other),
            Err(KeyError::Malformed)
        ));
    }
    let mut wrong_y = y.clone();
    wrong_y[31] ^= 1;
    for other in [with(4, &wrong_y), with(4, &[0xff; 32]), {
        let mut zeros = vec![0; 65];
        zeros[0] = 4;
        zeros
    }] {
        assert!(matches!(
            PublicKey::from_p256(&other),
            Err(KeyError::NotOnCurve)
        ));
    }
}
