//! Known answers for what a device signs that joins by a device grant: those who write
//! another client have them from `spec/vectors`, so they have to stay what we do.

use crate::fixture::{NOW, PEER, World};
use procura_crypto::{PublicKey, SigningKey, sha256};
use procura_proof::{
    DeviceAsk, ask_message, collect_message, fingerprint, verify_ask, verify_collector,
};
use procura_types::wire::PublicJwk;
use procura_types::{Alg, DisplayName, UserCode, encoding};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../../spec/vectors/device_grant/device_grant.json");

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

fn jwk(value: &Value) -> PublicJwk {
    serde_json::from_value(value.clone()).unwrap()
}

fn signature(case: &Value, name: &'static str) -> Vec<u8> {
    encoding::from_b64url(name, text(case, name)).unwrap()
}

#[test]
fn known_answers_are_ours() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let server = PublicKey::from_jwk(&jwk(&vectors["server_key"]))
        .unwrap()
        .thumbprint();
    assert_eq!(server.to_string(), text(&vectors, "server_id"));
    let world = World::new();
    let mut ran = Vec::new();
    for case in vectors["cases"].as_array().unwrap() {
        let named = text(case, "alg");
        ran.push(named);
        let alg = match named {
            "ed25519" => Alg::Ed25519,
            "p256" => Alg::P256,
            other => panic!("{other} is no key of a device"),
        };
        let secret: [u8; 32] = encoding::from_hex_fixed(text(case, "secret")).unwrap();
        let key = SigningKey::from_secret_bytes(&[&[alg.byte()][..], &secret].concat()).unwrap();
        let public = key.public();
        assert_eq!(json!(public.to_jwk()), case["device_jwk"], "{named}");
        let device = public.thumbprint();
        assert_eq!(device.to_string(), text(case, "device"), "{named}");

        let host: DisplayName = text(case, "device_host").parse().unwrap();
        let asked = ask_message(&server, &device, &host);
        assert_eq!(encoding::hex(&asked), text(case, "ask_message"), "{named}");
        let code_sha256 = sha256(text(case, "device_code").as_bytes());
        let collected = collect_message(&server, &code_sha256, &device);
        let expected = text(case, "collect_message");
        assert_eq!(encoding::hex(&collected), expected, "{named}");
        let user_code: UserCode = text(case, "user_code").parse().unwrap();
        let shown = fingerprint(&server, &device, &user_code);
        assert_eq!(shown, text(case, "fingerprint"), "{named}");

        let [ask, collect] =
            ["ask_signature", "collect_signature"].map(|name| signature(case, name));
        let shown_key = jwk(&case["device_jwk"]);
        let verified = |signature: &[u8]| {
            let ask = DeviceAsk {
                key: &shown_key,
                host: host.clone(),
                signature,
            };
            verify_ask(ask, &server, &world.directory, NOW, PEER).is_ok()
        };
        assert!(verified(&ask), "{named}");
        assert!(!verified(&collect), "{named}");
        let verified =
            |signature: &[u8]| verify_collector(public, &code_sha256, signature, &server).is_ok();
        assert!(verified(&collect), "{named}");
        assert!(!verified(&ask), "{named}");
        // Ed25519 has one signature; those of ECDSA differ each time.
        if alg == Alg::Ed25519 {
            assert_eq!(key.sign(&asked).unwrap(), ask);
            assert_eq!(key.sign(&collected).unwrap(), collect);
        }
    }
    assert_eq!(ran, ["ed25519", "p256"]);
}
