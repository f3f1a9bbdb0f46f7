//! The JWK Set.

use crate::p256;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_token::{KeySet, MAX_KEY_SET, TokenError};
use serde_json::{Value, json};

#[test]
fn a_set_has_what_verifiers_look_for() {
    let (one, two) = (p256(), p256());
    let set = KeySet::new([one.public().clone(), two.public().clone()]).unwrap();
    let text = set.to_json().unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let first = &value["keys"][0];
    assert_eq!(value["keys"].as_array().unwrap().len(), 2);
    for (name, expected) in [
        ("kty", "EC"),
        ("crv", "P-256"),
        ("use", "sig"),
        ("alg", "ES256"),
    ] {
        assert_eq!(first[name], expected);
    }
    assert_eq!(first["kid"], one.public().thumbprint().to_string());
    // RFC 7518 section 6.2: nothing of the private key.
    assert_eq!(first.as_object().unwrap().len(), 7);
    assert_eq!(KeySet::parse(text.as_bytes()).unwrap(), set);
    let found = set.key(&two.public().thumbprint().to_string()).unwrap();
    assert_eq!(found, two.public());
    for unknown in ["", "x", &p256().public().thumbprint().to_string()] {
        assert!(set.key(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn what_is_no_such_set_is_refused() {
    let key = p256();
    let set = KeySet::new([key.public().clone()]).unwrap();
    let good: Value = serde_json::from_str(&set.to_json().unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        assert_ne!(value, good);
        KeySet::parse(value.to_string().as_bytes()).err()
    };
    let no = Some(TokenError::KeySet);
    for name in ["kty", "crv", "x", "y", "kid", "use", "alg"] {
        assert_eq!(
            refused(&|set| set["keys"][0][name] = "other".into()),
            no,
            "{name}"
        );
        let without = refused(&|set| {
            set["keys"][0].as_object_mut().unwrap().remove(name);
        });
        assert_eq!(without, no, "{name}");
    }
    assert_eq!(refused(&|set| set["keys"][0]["d"] = "AA".into()), no);
    assert_eq!(
        refused(&|set| set["keys"][0]["kid"] = p256().public().thumbprint().to_string().into()),
        no
    );
    let twice = good["keys"][0].clone();
    assert_eq!(
        refused(&|set| set["keys"].as_array_mut().unwrap().push(twice.clone())),
        no
    );
    assert_eq!(refused(&|set| set["more"] = 1.into()), no);
    assert_eq!(refused(&|set| *set = json!([])), no);
    assert_eq!(KeySet::parse(b"").err(), no);
    assert_eq!(KeySet::parse(&vec![b' '; MAX_KEY_SET + 1]).err(), no);
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().keys().is_empty());
    let ed25519 = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    assert_eq!(KeySet::new([ed25519.public().clone()]).err(), no);
    assert_eq!(
        KeySet::new([key.public().clone(), key.public().clone()]).err(),
        no
    );
}
