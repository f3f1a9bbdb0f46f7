//! A gRPC client and a service of somebody else, with a gate between them.

use super::{Program, Site};
use serde_json::{Value, json};

fn call(method: &str) -> Value {
    json!({"call": method, "agent": "Scribe.1", "profile": "key-server-v1"})
}

fn answer(step: &str, answer: &str) -> Value {
    json!({"step": step, "answer": answer})
}

/// What a client of gRPC makes of a 401.
fn refused(step: &str) -> Value {
    let details = "Received http2 header with status: 401";
    json!({"step": step, "code": "UNAUTHENTICATED", "details": details})
}

fn nothing(service: &Program) {
    assert_eq!(service.unheard(), Vec::<Value>::new());
}

#[test]
fn calls_and_streams_are_proven_by_their_metadata() {
    let service = Program::python("grpc_server.py", &[]);
    let collect = ["/acceptance.Echo/Collect", "--danger-unsigned-body", "true"];
    let site = Site::with(&service.url(), &collect);
    let (gate, key) = (site.url(), site.key());
    let mut client = Program::python("grpc_client.py", &[&gate, &key, "Scribe.1"]);
    assert_eq!(client.hear(), answer("unary", "got hello"));
    assert_eq!(service.hear(), call("Unary"));
    for step in ["replayed", "altered", "unproven"] {
        assert_eq!(client.hear(), refused(step));
    }
    let counted = ["0 hello", "1 hello", "2 hello"];
    assert_eq!(client.hear(), json!({"step": "stream", "answer": counted}));
    assert_eq!(service.hear(), call("Count"));

    // Where bodies are not signed, a message is there before the next one is made.
    assert_eq!(client.hear(), json!({"step": "unsigned begun"}));
    assert_eq!(service.hear(), call("Collect"));
    assert_eq!(service.hear(), json!({"message": "one"}));
    nothing(&service);
    client.tell("go on");
    assert_eq!(client.hear(), answer("unsigned", "one two"));
    assert_eq!(service.hear(), json!({"message": "two"}));

    // Where they are, nothing of it is there before all of it is proven.
    assert_eq!(client.hear(), answer("meanwhile", "got hello"));
    assert_eq!(client.hear(), json!({"step": "whole begun"}));
    assert_eq!(service.hear(), call("Unary"));
    nothing(&service);
    client.tell("go on");
    assert_eq!(client.hear(), answer("whole", "one two"));
    assert_eq!(service.hear(), call("Gather"));
    for message in ["one", "two"] {
        assert_eq!(service.hear(), json!({"message": message}));
    }
    assert_eq!(client.hear(), json!({"step": "not whole begun"}));
    client.tell("go on");
    assert_eq!(client.hear(), refused("not whole"));
    assert_eq!(client.rest(), [answer("last", "got hello")]);
    assert_eq!(service.hear(), call("Unary"));
    nothing(&service);
}
