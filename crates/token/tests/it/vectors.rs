//! RFC 7515 appendix A.3: an ES256 signature by somebody else.

use procura_crypto::PublicKey;
use procura_token::{Jws, TokenError};
use procura_types::wire::PublicJwk;
use serde_json::Value;
use std::path::Path;

fn vectors() -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/jose/jose_rfc_vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn key(jwk: &Value) -> PublicKey {
    let member = |name: &str| Some(jwk.get(name)?.as_str().unwrap().to_owned());
    PublicKey::from_jwk(&PublicJwk {
        kty: member("kty").unwrap(),
        crv: member("crv").unwrap(),
        x: member("x").unwrap(),
        y: member("y"),
    })
    .unwrap()
}

#[test]
fn rfc_7515_appendix_a_3() {
    let file = vectors();
    let vector = &file["rfc7515_A3_ES256"];
    let key = key(&vector["jwk_private"]);
    let jws = Jws::parse(vector["jws"].as_str().unwrap()).unwrap();
    assert_eq!(jws.header().alg(), "ES256");
    assert_eq!((jws.header().kid(), jws.header().typ()), (None, None));
    let payload: Value = serde_json::from_slice(jws.verify(&key).unwrap()).unwrap();
    assert_eq!(payload["iss"], "joe");
    assert_eq!(payload["exp"], 1_300_819_380);
    assert_eq!(payload["http://example.com/is_root"], true);
}

#[test]
fn signatures_of_other_algorithms_are_refused() {
    let file = vectors();
    let es256 = key(&file["rfc7515_A3_ES256"]["jwk_private"]);
    // RFC 7515 A.1 is an HMAC, RFC 8037 A.4 is Ed25519.
    let hs256 = file["rfc7515_A1_HS256"]["jws"].as_str().unwrap();
    let hs256 = Jws::parse(hs256).unwrap();
    assert_eq!(hs256.verify(&es256).unwrap_err(), TokenError::Algorithm);
    let eddsa = Jws::parse(file["rfc8037_A"]["jws_A4"].as_str().unwrap()).unwrap();
    let ed25519 = key(&file["rfc8037_A"]["jwk_private"]);
    assert_eq!(eddsa.verify(&es256).unwrap_err(), TokenError::Algorithm);
    assert_eq!(eddsa.verify(&ed25519).unwrap_err(), TokenError::Algorithm);
}
