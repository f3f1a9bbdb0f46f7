//! The form, and what changes of it do.

use crate::{p256, signed};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_token::{Jws, MAX_TOKEN, TokenError, sign};
use procura_types::encoding::{b64url, from_b64url};
use proptest::prelude::*;

fn refusal(text: &str) -> TokenError {
    Jws::parse(text).err().unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    let (key, other) = (p256(), p256());
    let token = sign(&key, "test+jwt", b"payload").unwrap();
    let jws = Jws::parse(token.expose()).unwrap();
    assert_eq!(jws.header().typ(), Some("test+jwt"));
    let kid = key.public().thumbprint().to_string();
    assert_eq!(jws.header().kid(), Some(kid.as_str()));
    assert_eq!(jws.verify(key.public()).unwrap(), b"payload");
    assert_eq!(
        jws.verify(other.public()).unwrap_err(),
        TokenError::BadSignature
    );
    // The signature has the fixed length of RFC 7518 section 3.4.
    let signature = token.expose().rsplit('.').next().unwrap();
    assert_eq!(from_b64url("signature", signature).unwrap().len(), 64);
}

#[test]
fn the_key_says_which_algorithm_it_takes() {
    let key = p256();
    for alg in [
        "none", "NONE", "HS256", "ES384", "RS256", "EdDSA", "es256", "",
    ] {
        let token = signed(&key, &format!(r#"{{"alg":"{alg}"}}"#), "{}");
        let jws = Jws::parse(&token).unwrap();
        assert_eq!(
            jws.verify(key.public()).unwrap_err(),
            TokenError::Algorithm,
            "{alg}"
        );
    }
    let ed25519 = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let token = signed(&ed25519, r#"{"alg":"ES256"}"#, "{}");
    let jws = Jws::parse(&token).unwrap();
    assert_eq!(
        jws.verify(ed25519.public()).unwrap_err(),
        TokenError::Algorithm
    );
    assert_eq!(sign(&ed25519, "x", b"").err(), Some(TokenError::Algorithm));
}

#[test]
fn a_header_has_three_members_each_once_and_no_others() {
    let key = p256();
    let jwk = serde_json::to_string(&key.public().to_jwk()).unwrap();
    for header in [
        String::new(),
        "null".to_owned(),
        r#"["ES256","kid","typ"]"#.to_owned(),
        "{}".to_owned(),
        r#"{"alg":null}"#.to_owned(),
        r#"{"alg":"ES256","alg":"ES256"}"#.to_owned(),
        r#"{"alg":"ES256","\u0061lg":"none"}"#.to_owned(),
        r#"{"alg":"ES256","kid":"a","kid":"a"}"#.to_owned(),
        r#"{"alg":"ES256","kid":null}"#.to_owned(),
        r#"{"alg":"ES256","typ":1}"#.to_owned(),
        r#"{"alg":"ES256","crit":["exp"],"exp":1}"#.to_owned(),
        r#"{"alg":"ES256","crit":[]}"#.to_owned(),
        r#"{"alg":"ES256","b64":false}"#.to_owned(),
        r#"{"alg":"ES256","jku":"https://keys.example"}"#.to_owned(),
        r#"{"alg":"ES256","cty":"JWT"}"#.to_owned(),
        format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#),
        r#"{"alg":"ES256"} {}"#.to_owned(),
    ] {
        assert_eq!(
            refusal(&signed(&key, &header, "{}")),
            TokenError::Header,
            "{header}"
        );
    }
}

#[test]
fn there_is_one_spelling() {
    let key = p256();
    let good = signed(&key, r#"{"alg":"ES256"}"#, "{}");
    Jws::parse(&good).unwrap().verify(key.public()).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    // The last letter of 64 bytes has four bits to spare, of 2 bytes as well.
    let spelled_otherwise = |text: &str| {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (rest, last) = text.split_at(text.len() - 1);
        let at = LETTERS
            .iter()
            .position(|l| *l == last.as_bytes()[0])
            .unwrap();
        format!("{rest}{}", char::from(LETTERS[at + 1]))
    };
    for text in [
        String::new(),
        ".".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{signed}.{signature}=="),
        format!("{header}={}", &good[header.len()..]),
        format!("{signed}.{}", spelled_otherwise(signature)),
        format!("{header}.{}.{signature}", spelled_otherwise(payload)),
        format!("{header}.{payload}+.{signature}"),
        format!("{good}\u{e9}"),
    ] {
        assert_eq!(refusal(&text), TokenError::Malformed, "{text}");
    }
    // Other lengths of a signature are none.
    for signature in [vec![], vec![0; 63], vec![0; 65], vec![0; 64]] {
        let text = format!("{signed}.{}", b64url(&signature));
        let jws = Jws::parse(&text).unwrap();
        let refused = jws.verify(key.public()).unwrap_err();
        assert_eq!(refused, TokenError::BadSignature, "{}", signature.len());
    }
}

#[test]
fn a_token_has_a_length() {
    let key = p256();
    let payload = vec![b'a'; MAX_TOKEN];
    assert_eq!(sign(&key, "x", &payload).err(), Some(TokenError::NotMade));
    let long = signed(&key, r#"{"alg":"ES256"}"#, &"a".repeat(MAX_TOKEN));
    assert_eq!(refusal(&long), TokenError::Malformed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_payload_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..512)) {
        let key = p256();
        let token = sign(&key, "test+jwt", &payload).unwrap();
        let jws = Jws::parse(token.expose()).unwrap();
        prop_assert_eq!(jws.verify(key.public()).unwrap(), &payload[..]);
    }

    #[test]
    fn no_changed_letter_goes_unnoticed(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.-]") {
        let key = p256();
        let token = sign(&key, "test+jwt", b"{\"a\":1}").unwrap();
        let mut changed = token.expose().clone().into_bytes();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != letter.as_bytes()[0]);
        changed[at] = letter.as_bytes()[0];
        let changed = String::from_utf8(changed).unwrap();
        let verified = Jws::parse(&changed).and_then(|jws| jws.verify(key.public()).map(<[u8]>::to_vec));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Jws::parse(&text);
    }
}
