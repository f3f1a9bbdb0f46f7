//! A WebSocket client and a server of somebody else, with a gate between them.

use super::{Program, Site};
use serde_json::{Value, json};
use std::time::Instant;

#[test]
fn a_proven_handshake_opens_a_tunnel_that_ends_with_its_agent() {
    let service = Program::python("websocket_server.py", &[]);
    let site = Site::before(&service.url());
    let (gate, key) = (site.url(), site.key());
    let client = Program::python("websocket_client.py", &[&gate, &key, "Scribe.1"]);
    assert_eq!(client.hear(), json!({"step": "unsigned", "status": 401}));
    let said = "{\"error\":\"unauthorized\",\"reason\":\"missing_headers\"}\n";
    assert_eq!(
        client.hear(),
        json!({"step": "reason", "status": 401, "said": said})
    );
    for _ in 0..3 {
        assert_eq!(client.hear(), json!({"step": "echo", "same": true}));
    }
    assert_eq!(client.hear(), json!({"step": "replayed", "status": 401}));
    assert_eq!(client.hear(), json!({"step": "open"}));
    // The first that the service saw is this one: nothing of those that were refused.
    assert_eq!(service.hear(), json!({"seen": "connection"}));
    assert_eq!(
        service.hear(),
        json!({
            "seen": "handshake",
            "path": "/chat?room=1",
            "agent": "Scribe.1",
            "profile": "key-server-v1",
        })
    );
    let revoke = ["-n", "shop", "agent", "revoke", "scribe"];
    site.server.cli(&revoke).ok();
    let revoked = Instant::now();
    assert_eq!(client.hear(), json!({"step": "cut off"}));
    assert!(revoked.elapsed() < procura_acceptance::promised(1));
    assert_eq!(
        client.rest(),
        [json!({"step": "afterwards", "status": 401})]
    );
    assert_eq!(service.unheard(), Vec::<Value>::new());
}
