use crate::vectors::{load, text};
use procura_crypto::{KeyError, MacKey, PublicKey, SignatureAlgorithm, SigningKey};
use procura_types::encoding::from_b64url;
use procura_types::wire::PublicJwk;
use serde_json::Value;

/// The public members of a private JWK.
fn public(jwk: &Value) -> PublicJwk {
    let member = |name: &str| jwk.get(name).map(|value| text(value).to_owned());
    PublicJwk {
        kty: member("kty").unwrap(),
        crv: member("crv").unwrap(),
        x: member("x").unwrap(),
        y: member("y"),
    }
}

/// What a compact JWS (RFC 7515 §7.1) signs, and its signature.
fn signed_part(jws: &str) -> (&[u8], Vec<u8>) {
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = from_b64url("signature", signature).unwrap();
    (signed.as_bytes(), signature)
}

#[test]
fn rfc_8037_appendix_a() {
    let file = load("jose/jose_rfc_vectors.json");
    let vector = &file["rfc8037_A"];
    let jwk = public(&vector["jwk_private"]);
    let key = PublicKey::from_jwk(&jwk).unwrap();
    assert_eq!(key.to_jwk(), jwk);
    assert_eq!(key.algorithm(), SignatureAlgorithm::Ed25519);
    assert_eq!(key.thumbprint().to_string(), text(&vector["thumbprint_A3"]));

    let (signed, signature) = signed_part(text(&vector["jws_A4"]));
    assert!(key.verify(signed, &signature));
    // Ed25519 is deterministic: the private key gives the same signature.
    let seed = from_b64url("d", text(&vector["jwk_private"]["d"])).unwrap();
    let private = SigningKey::from_secret_bytes(&[&[3], &seed[..]].concat()).unwrap();
    assert_eq!(private.public(), &key);
    assert_eq!(private.sign(signed).unwrap(), signature);
}

#[test]
fn rfc_7515_appendix_a_3() {
    let file = load("jose/jose_rfc_vectors.json");
    let vector = &file["rfc7515_A3_ES256"];
    let jwk = public(&vector["jwk_private"]);
    let key = PublicKey::from_jwk(&jwk).unwrap();
    assert_eq!(key.to_jwk(), jwk);
    assert_eq!(key.algorithm(), SignatureAlgorithm::EcdsaP256Sha256);
    assert_eq!(key.thumbprint().to_string(), text(&vector["thumbprint"]));

    let (signed, signature) = signed_part(text(&vector["jws"]));
    assert!(key.verify(signed, &signature));
    let scalar = from_b64url("d", text(&vector["jwk_private"]["d"])).unwrap();
    let private = SigningKey::from_secret_bytes(&[&[1], &scalar[..]].concat()).unwrap();
    assert_eq!(private.public(), &key);
    assert!(key.verify(signed, &private.sign(signed).unwrap()));
}

#[test]
fn rfc_7515_appendix_a_1() {
    let file = load("jose/jose_rfc_vectors.json");
    let vector = &file["rfc7515_A1_HS256"];
    let key = from_b64url("k", text(&vector["jwk"]["k"])).unwrap();
    let (signed, tag) = signed_part(text(&vector["jws"]));
    assert!(MacKey::from_bytes(&key).unwrap().verify(&[signed], &tag));
}

#[test]
fn keys_are_jwk_in_json() {
    let file = load("jose/jose_rfc_vectors.json");
    for name in ["rfc8037_A", "rfc7515_A3_ES256"] {
        let jwk = public(&file[name]["jwk_private"]);
        let json = serde_json::to_value(&jwk).unwrap();
        let key: PublicKey = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&key).unwrap(), json);
    }
}

#[test]
fn other_keys_are_refused() {
    let file = load("jose/jose_rfc_vectors.json");
    let okp = public(&file["rfc8037_A"]["jwk_private"]);
    let ec = public(&file["rfc7515_A3_ES256"]["jwk_private"]);
    let changed = |from: &PublicJwk, change: fn(&mut PublicJwk)| {
        let mut jwk = from.clone();
        change(&mut jwk);
        PublicKey::from_jwk(&jwk)
    };
    for (name, key) in [
        ("RSA", changed(&ec, |jwk| jwk.kty = "RSA".into())),
        (
            "another curve",
            changed(&ec, |jwk| jwk.crv = "P-384".into()),
        ),
        ("X25519", changed(&okp, |jwk| jwk.crv = "X25519".into())),
        ("EC without y", changed(&ec, |jwk| jwk.y = None)),
        (
            "OKP with y",
            changed(&okp, |jwk| jwk.y = Some(jwk.x.clone())),
        ),
        ("OKP as EC", changed(&okp, |jwk| jwk.kty = "EC".into())),
        ("padded", changed(&okp, |jwk| jwk.x.push('='))),
        ("short", changed(&okp, |jwk| jwk.x.truncate(40))),
        ("empty", changed(&okp, |jwk| jwk.x.clear())),
        ("lower case", changed(&okp, |jwk| jwk.kty = "okp".into())),
    ] {
        assert!(matches!(key, Err(KeyError::Malformed)), "{name}");
    }
    // A private key never passes for a public one.
    let private = &file["rfc8037_A"]["jwk_private"];
    assert!(serde_json::from_value::<PublicKey>(private.clone()).is_err());
    // RFC 7638 §3.1 is about an RSA key, a type that does not exist here.
    let rsa = &file["rfc7638_3_1"]["jwk"];
    assert!(serde_json::from_value::<PublicKey>(rsa.clone()).is_err());
}
