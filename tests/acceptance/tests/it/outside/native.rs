//! The native profile (RFC 9421) by a client that was written from the protocol alone,
//! and whose signatures are OpenSSL's.

use super::{Program, step};
use crate::gate::{gate, service};
use crate::observability::recorder::Recorder;
use crate::scene::{agent, shop};
use serde_json::json;

#[test]
fn requests_signed_by_openssl_are_understood() {
    let server = shop();
    let code = agent(&server, "shop", "scribe");
    let folder = server.folder().join("host-of-scribe");
    std::fs::create_dir(&folder).unwrap();
    let words = [&code, server.url(), folder.to_str().unwrap()];
    let mut client = Program::python("native.py", &words);
    let joined = json!({"step": "joined", "status": 200, "device": true});
    assert_eq!(client.hear(), joined);

    let recorder = Recorder::start();
    let gate = gate(&server, &service(&server), &recorder.url, &[]);
    client.tell(&format!("http://{}", gate.address()));
    let refused = |name: &str, reason: &str| step(name, 401, Some(reason));
    assert_eq!(
        client.rest(),
        [
            step("server", 200, None),
            refused("server again", "nonce_replayed"),
            refused("server with a query", "bad_signature"),
            refused("server elsewhere", "bad_signature"),
            refused("server unproven", "missing_headers"),
            step("gate", 200, None),
            refused("gate again", "nonce_replayed"),
            refused("gate with another body", "digest_mismatch"),
            refused("gate with another digest", "bad_signature"),
            refused("gate on another path", "bad_signature"),
        ]
    );
    let got = recorder.got();
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0].body, br#"{"n":1}"#);
    assert_eq!(got[0].field("procura-agent"), Some("alice//scribe"));
    assert_eq!(got[0].field("procura-profile"), Some("native"));
}
