//! Requests that ask for another protocol: none of their fields stands for a proof.

use super::Door;
use crate::gate::Upstream;

const HANDSHAKE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const CONNECTION: &str = "Connection: Upgrade, close\r\n";

#[test]
fn asking_for_another_protocol_proves_nothing() {
    let upstream = Upstream::start();
    let door = Door::before(&upstream.url);
    for upgrade in [
        HANDSHAKE,
        "Upgrade: websocket\r\n",
        "Upgrade: WebSocket\r\nSec-WebSocket-Version: 8\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    ] {
        // What watches a service is let in without a proof, and as nothing else.
        for path in ["/chat", "/health", "/metrics"] {
            let request = door.unproven(path, &format!("{CONNECTION}{upgrade}"));
            door.knock(&request).refuses(401, "missing_headers");
        }
    }
    assert_eq!(upstream.served(), 0);

    // With a proof, what is no whole handshake is a plain request.
    let request = format!("{CONNECTION}Upgrade: websocket\r\n");
    let answer = door.knock(&door.proven("/chat", &request));
    let head = answer.passes().to_ascii_lowercase();
    assert!(head.starts_with("get /chat http/1.1\r\n"), "{head}");
    assert!(!head.contains("upgrade"), "{head}");
    assert_eq!(upstream.served(), 1);
}
