//! Proofs of `key-server-v1` whose signatures are OpenSSL's, at a gate.

use super::Site;
use crate::gate::Call;
use crate::observability::recorder::Recorder;
use crate::verify::{Agent, now};

const BODY: &[u8] = br#"{"title":"x"}"#;

/// A call with the proof that the agent makes of it now.
fn proven(agent: &Agent) -> Call {
    let proof = agent.proof(&now(), "POST", "/api/notes", BODY);
    let mut call = Call::new("POST", "/api/notes", BODY);
    for (field, part) in [
        ("X-Agent-Id", "agent_id"),
        ("X-Timestamp", "timestamp"),
        ("X-Nonce", "nonce"),
        ("X-Signature", "signature"),
    ] {
        let value = proof[part].as_str().unwrap().to_owned();
        call.headers.push((field.to_owned(), value));
    }
    call
}

#[test]
fn proofs_by_other_peoples_tools_pass_a_gate_once() {
    let recorder = Recorder::start();
    let site = Site::before(&recorder.url);
    let at = site.gate.address();
    let call = proven(&site.agent);
    call.send(at).passes();
    call.send(at).refuses(401, "nonce_replayed");
    let changes: [fn(&mut Call); 4] = [
        |call| call.body = br#"{"title":"y"}"#.to_vec(),
        |call| call.method = "PUT",
        |call| call.path = "/api/notes/1".to_owned(),
        |call| {
            let digits = if call.headers[3].1.starts_with('0') {
                "1"
            } else {
                "0"
            };
            call.headers[3].1.replace_range(..1, digits);
        },
    ];
    for change in changes {
        let mut call = proven(&site.agent);
        change(&mut call);
        call.send(at).refuses(401, "bad_signature");
    }
    let got = recorder.got();
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(
        (&*got[0].body, got[0].field("procura-profile")),
        (BODY, Some("key-server-v1"))
    );
}
