//! Uploads that go through while they arrive, and are held against what was signed.

use super::Door;
use crate::gate::Call;
use crate::observability::recorder::Recorder;
use procura_proof::sign::Signer;

const TEN_MIB: usize = 10 * 1024 * 1024;

#[test]
fn a_large_upload_arrives_whole_or_never() {
    let recorder = Recorder::start();
    let door = Door::with(&recorder.url, &["/upload", "--stream", "true"]);
    let body: Vec<u8> = (0..TEN_MIB).map(|at| (at % 251) as u8).collect();
    let signed = |path: &str| {
        let call = Call::new("POST", path, &body);
        call.signed(door.at(), Signer::Device(&door.scribe.key))
    };
    signed("/upload/1").send(door.at()).passes();
    // Another byte, at the beginning and at the end.
    for at in [0, TEN_MIB - 1] {
        let mut call = signed("/upload/2");
        call.body[at] ^= 1;
        call.send(door.at()).refuses(401, "digest_mismatch");
    }
    let once = signed("/upload/3");
    once.send(door.at()).passes();

    // What is refused for its head is refused before there is a byte of the body.
    let announced = |call: &Call| {
        let fields = call.headers.iter();
        let fields: String = fields
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let lines = format!("{fields}Content-Length: {TEN_MIB}\r\n");
        let get = door.unproven(&call.path, &lines);
        door.knock(&get.replacen("GET", call.method, 1))
    };
    announced(&once).refuses(401, "nonce_replayed");
    announced(&Call::new("POST", "/upload/4", &body)).refuses(401, "missing_headers");
    announced(&signed("/elsewhere")).refuses(413, "body_too_large");

    // The service had what was signed, and nothing else to its end.
    let got = recorder.got();
    let lines: Vec<_> = got
        .iter()
        .filter_map(|got| got.head.lines().next())
        .collect();
    assert_eq!(
        lines,
        ["post /upload/1 http/1.1", "post /upload/3 http/1.1"]
    );
    for got in &got {
        assert_eq!(got.field("content-length"), Some(&*TEN_MIB.to_string()));
        assert!(got.body == body, "other bytes than were sent");
    }
}
