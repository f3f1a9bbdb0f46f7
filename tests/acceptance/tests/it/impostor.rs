//! Another process on the server's port is no server.

use crate::scene::{CANARY, Scene};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// Listens where the server was, keeps what it is sent, answers with the status
/// that the server once gave to anybody, with a session that it made up, and else
/// with values that it made up.
fn pose_as(address: &str, status: String) -> Arc<Mutex<Vec<u8>>> {
    let listener = TcpListener::bind(address).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream
                .set_read_timeout(Some(std::time::Duration::from_millis(500)))
                .unwrap();
            let mut buffer = [0u8; 8192];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                hears.lock().unwrap().extend_from_slice(&buffer[..length]);
                let session = concat!(
                    r#"{"session_id":"AQ","mac_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","#,
                    r#""expires_at":"2099-01-01T00:00:00.000Z","server_signature":"AAAA"}"#
                );
                let values = concat!(
                    r#"{"run":"00000000-0000-7000-8000-000000000001","#,
                    r#""grant":"00000000-0000-7000-8000-000000000002","unmatched":[],"#,
                    r#""values":{"API_KEY":{"path":"api/key","version":1,"value_b64":"Zm9yZ2Vk"}}}"#
                );
                let body = if buffer.starts_with(b"GET /v1/status") {
                    &status
                } else if buffer.starts_with(b"POST /v1/sessions") {
                    session
                } else {
                    values
                };
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
                // A client that has seen enough hangs up.
                let _ = write!(stream, "{head}{}\r\n\r\n{body}", body.len());
            }
        }
    });
    heard
}

#[test]
fn neither_operator_nor_daemon_gives_anything_to_an_impostor() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let status = scene.server.cli(&["--json", "status"]).ok().text();
    scene.server.stop();
    let heard = pose_as(scene.server.url().trim_start_matches("http://"), status);

    let put = scene
        .server
        .cli_with(
            &["-n", "shop", "secret", "put", "api/key"],
            CANARY.as_bytes(),
        )
        .code(77);
    let _ = put.says("not signed by the server's key");
    let run = |scene: &Scene| scene.run(&["API_KEY"], &["sh", "-c", "echo started"]);
    // In the session that the daemon had with the server it asks once more, and gets
    // values in the right form.
    let ran = run(&scene).code(77);
    assert_eq!(ran.text(), "");
    let _ = ran.says("the answer is not signed with the session's key");
    // That session is over, and a new one is one with the server, or none.
    let ran = run(&scene).code(77);
    assert_eq!(ran.text(), "");
    let _ = ran.says("the session is not signed by the server's key");
    let _ = scene.server.unseal().code(69).says("no server answers at ");

    let heard = heard.lock().unwrap();
    let text = String::from_utf8_lossy(&heard);
    assert!(text.contains("POST /v1/sessions"), "{text}");
    let mut search = procura_acceptance::Search::new(CANARY);
    search.bytes("what the impostor heard", &heard);
    search.assert_nowhere();
    let mut search = procura_acceptance::Search::new(procura_acceptance::PASSPHRASE);
    search.bytes("what the impostor heard", &heard);
    search.assert_nowhere();
}
