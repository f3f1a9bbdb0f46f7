//! `procura request METHOD URL`: what arrives at a service is what was typed and
//! signed, and what the service answers is what is printed.

use crate::installed::Installed;
use crate::openssl::{certificate, is_signed, sha256_hex, ssh_key, unbase64};
use crate::service_seen::{Seen, Service};
use crate::{procura, run, run_with_input};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nhi";

fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nbody")
}

/// Whether the request bears a proof of `key-server-v1` by this key, for this path.
fn is_proven(dir: &Path, key: &Path, seen: &Seen, method: &str, path: &str) -> bool {
    let (moment, nonce) = (seen.header("x-timestamp"), seen.header("x-nonce"));
    let hash = sha256_hex(dir, &seen.body);
    let message = format!("{method}\n{path}\n{moment}\n{nonce}\n{hash}");
    let signature = unbase64(seen.header("x-signature"));
    is_signed(dir, key, message.as_bytes(), &signature)
}

#[test]
fn what_arrives_is_what_was_typed_and_signed() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let service = Service::answering(OK);
    let url = service.url("/items//%2e%2F?page=2&q=a%20b&");
    let common = [
        "--profile",
        "key-server-v1",
        "--agent-id",
        "a",
        "--key",
        key.to_str().unwrap(),
    ];
    let send = |args: &[&str], input: &[u8]| {
        let ran = run_with_input(home.path(), &[&["request"], args, &common].concat(), input);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "hi", "")
        );
        service.next()
    };

    let seen = send(&["GET", &url], b"");
    assert_eq!(seen.line, "GET /items//%2e%2F?page=2&q=a%20b& HTTP/1.1");
    assert_eq!(seen.header("host"), service.authority);
    assert!(seen.header("user-agent").starts_with("procura/"));
    assert_eq!(seen.header("accept"), "*/*");
    assert!(!seen.has("content-type") && !seen.has("content-length"));
    assert!(is_proven(home.path(), &key, &seen, "GET", "/items//%2e%2F"));
    assert!(!is_proven(
        home.path(),
        &key,
        &seen,
        "POST",
        "/items//%2e%2F"
    ));

    // All bytes of a body, from where it is said to come.
    let every: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let file = home.path().join("body");
    std::fs::write(&file, &every).unwrap();
    let from = format!("@{}", file.display());
    for (body, input, arrived) in [
        ("{\"a\": 1}\n", &b""[..], &b"{\"a\": 1}\n"[..]),
        (&from, b"", &every),
        ("@-", &every, &every),
        ("@-", b"", b""),
        ("", b"", b""),
    ] {
        let seen = send(&["PUT", &url, body], input);
        assert!(seen.body == arrived, "{body}");
        assert_eq!(seen.has("content-type"), !arrived.is_empty(), "{body}");
        assert!(is_proven(home.path(), &key, &seen, "PUT", "/items//%2e%2F"));
    }

    let typed = [
        "-H",
        "Content-Type: text/plain",
        "-H",
        "X-Other:  y ",
        "-H",
        "accept: a/b",
    ];
    let seen = send(&[&["POST", &url, "text"], &typed[..]].concat(), b"");
    assert_eq!(seen.header("content-type"), "text/plain");
    assert_eq!(seen.header("x-other"), "y");
    assert_eq!(seen.header("accept"), "a/b");
    assert_eq!(seen.body, b"text");
}

#[test]
fn the_answer_is_printed_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let key = key.to_str().unwrap();
    let every: Vec<u8> = (0..=255).collect();
    let head = "HTTP/1.1 200 OK\r\nX-B: a b\r\nContent-Length: 256\r\n\r\n";
    let service = Service::answering([head.as_bytes(), &every].concat());
    let output = procura(home.path())
        .args(["request", "GET", &service.url("/"), "--key", key])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == every);

    let ran = run(
        home.path(),
        &["--json", "request", "GET", &service.url("/"), "--key", key],
    );
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(shown["status"], 200);
    assert_eq!(shown["headers"]["x-b"], json!(["a b"]));
    assert_eq!(unbase64(shown["body_b64"].as_str().unwrap()), every);
    assert_eq!(shown.get("body"), None);

    let service = Service::answering(OK);
    let ran = run(
        home.path(),
        &["request", "-i", "GET", &service.url("/"), "--key", key],
    );
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\nx-a: 2\r\n\r\nhi"
        )
    );
    let ran = run(
        home.path(),
        &["request", "GET", &service.url("/"), "--key", key, "--json"],
    );
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        shown,
        json!({ "status": 200, "headers": { "content-length": ["2"], "x-a": ["1", "2"] }, "body": "hi" })
    );
}

#[test]
fn each_status_has_its_exit_code_and_its_body_is_printed_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let key = key.to_str().unwrap();
    for (status, code) in [
        ("200 OK", 0),
        ("201 Created", 0),
        ("302 Found", 0),
        ("304 Not Modified", 0),
        ("400 Bad Request", 77),
        ("401 Unauthorized", 77),
        ("403 Forbidden", 77),
        ("404 Not Found", 77),
        ("422 Unprocessable Entity", 77),
        ("429 Too Many Requests", 69),
        ("500 Internal Server Error", 69),
        ("503 Service Unavailable", 69),
        ("599 Whatever", 69),
    ] {
        let service = Service::answering(answer(status));
        let ran = run(
            home.path(),
            &["request", "GET", &service.url("/"), "--key", key],
        );
        assert_eq!(ran.code, code, "{status}: {}", ran.err);
        let body = if status.starts_with("304") {
            ""
        } else {
            "body"
        };
        assert_eq!(ran.out, body, "{status}");
        let number = status.split(' ').next().unwrap();
        let said = format!("procura: {} answered {number}", service.authority);
        assert_eq!(
            ran.err.starts_with(&said),
            code != 0,
            "{status}: {}",
            ran.err
        );

        let ran = run(
            home.path(),
            &["--json", "request", "GET", &service.url("/"), "--key", key],
        );
        assert_eq!(ran.code, code, "{status}: {}", ran.err);
        let shown: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(shown["status"].to_string(), number);
        if code != 0 {
            let failure: Value = serde_json::from_str(&ran.err).unwrap();
            assert_eq!(failure["exit"], code);
        }
    }
}

#[test]
fn a_refusal_of_a_gate_or_a_server_says_what_helps() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let key = key.to_str().unwrap();
    let id = "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11";
    let waits =
        |request: &str| format!(r#"{{"reason":"approval_required","request":"{request}"}}"#);
    let who =
        "\n  next: check --profile, --key and --agent-id; procura doctor compares the clocks\n";
    let token = "\n  next: procura project token list, which shows what became of it; the device that uses it issues another\n";
    for (status, body, next) in [
        (
            "401 Unauthorized",
            r#"{"code":"token_refused","reason":"token_revoked"}"#.to_owned(),
            token.to_owned(),
        ),
        (
            "421 Misdirected Request",
            r#"{"reason":"host_unknown"}"#.to_owned(),
            "\n  next: the gate's --host, which has to name the host of the URL\n".to_owned(),
        ),
        (
            "401 Unauthorized",
            r#"{"reason":"unknown_agent"}"#.to_owned(),
            "\n  next: check --key; or join the device: procura operator join CODE, or procura join CODE for an agent's\n".to_owned(),
        ),
        (
            "401 Unauthorized",
            r#"{"reason":"bad_signature"}"#.to_owned(),
            who.to_owned(),
        ),
        ("401 Unauthorized", "[".to_owned(), who.to_owned()),
        (
            "403 Forbidden",
            waits(id),
            format!("\n  next: procura request approve {id}, by an approver\n"),
        ),
        // What is no id of a request is not shown as one, nor is what is no refusal.
        ("403 Forbidden", waits("x; canary"), " Forbidden\n".to_owned()),
        ("404 Not Found", waits(id), " Not Found\n".to_owned()),
    ] {
        let length = body.len();
        let service = Service::answering(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let ran = run(
            home.path(),
            &["request", "GET", &service.url("/"), "--key", key],
        );
        assert_eq!((ran.code, ran.out.as_str()), (77, body.as_str()), "{status}");
        assert!(ran.err.ends_with(&next), "{status} {body}: {}", ran.err);
    }

    // In the name of an id, the key is registered where the ids are.
    let body = r#"{"reason":"unknown_agent"}"#;
    let length = body.len();
    let service = Service::answering(format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let url = service.url("/");
    let foreign = ["--profile", "key-server-v1", "--agent-id", "till.7"];
    let args = [&["request", "GET", &url, "--key", key], &foreign[..]].concat();
    let ran = run(home.path(), &args);
    assert_eq!(ran.code, 77, "{}", ran.err);
    let next = "\n  next: check --profile, --key and --agent-id; or register its key: keys/agents/ID.pub in the server's home\n";
    assert!(ran.err.ends_with(next), "{}", ran.err);
}

/// A redirect is an answer: the proof is for one URL.
#[test]
fn redirects_are_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let elsewhere = Service::answering(OK);
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url("/")
    );
    let service = Service::answering(redirect);
    let args = [
        "request",
        "GET",
        &service.url("/"),
        "--key",
        key.to_str().unwrap(),
    ];
    assert_eq!(run(home.path(), &args).code, 0);
    assert!(elsewhere.saw_nothing());
}

#[test]
fn nobody_and_no_service_are_69() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let key = key.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/x", taken.local_addr().unwrap());
    drop(taken);
    let odd = Service::answering("no answer of HTTP\r\n\r\n");
    let short = Service::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
    let long = Service::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
        33 * 1024 * 1024,
        "x".repeat(33 * 1024 * 1024)
    ));
    let plain = Service::answering(OK);
    let authority = certificate(home.path());
    for (url, what, next) in [
        (
            nobody,
            "cannot reach http://127.0.0.1:",
            "check the URL, and that the service runs",
        ),
        (
            odd.url("/"),
            "cannot reach http://127.0.0.1:",
            "check the URL",
        ),
        (
            short.url("/"),
            "cannot reach http://127.0.0.1:",
            "check the URL",
        ),
        (long.url("/"), "it is larger than 32 MiB", "procura sign"),
        (
            plain.url("/").replace("http:", "https:"),
            "cannot reach https://",
            "",
        ),
    ] {
        let mut args = vec!["request", "GET", &url, "--key", key];
        if url.starts_with("https:") {
            args.extend(["--ca", authority.to_str().unwrap()]);
        }
        let ran = run(home.path(), &args);
        assert_eq!((ran.code, ran.out.as_str()), (69, ""), "{url}: {}", ran.err);
        assert!(ran.err.contains(what), "{url}: {}", ran.err);
        assert!(
            ran.err.contains(&format!("\n  next: {next}")),
            "{url}: {}",
            ran.err
        );
    }
}

#[test]
fn what_is_typed_wrongly_sends_nothing() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let service = Service::answering(OK);
    let (key, url) = (key.to_str().unwrap(), service.url("/"));
    let fragment = format!("{url}#x");
    let none = home.path().join("none.pem");
    let none = none.to_str().unwrap();
    for (args, code, message) in [
        (&["GET"][..], 64, "<URL>"),
        (
            &["GET", &fragment, "--key", key],
            64,
            "the URL must not have a fragment",
        ),
        (
            &["GET", "nonsense", "--key", key],
            64,
            "the URL must begin with https:// or http://",
        ),
        (
            &["get", &url, "--key", key],
            64,
            "is not a method in capital letters",
        ),
        (
            &["GET", &url, "--key", key, "-H", "A: b\r\nB: c"],
            64,
            "has a line end",
        ),
        (
            &["GET", &url, "--key", key, "-H", "Content-Length: 0"],
            64,
            "is a field that is made of the URL",
        ),
        (
            &["GET", &url, "--key", "/nowhere"],
            64,
            "--key /nowhere: it is not there",
        ),
        (
            &["GET", &url, "--key", key, "--profile", "x"],
            64,
            "[possible values: native",
        ),
        (
            &["GET", &url, "--key", key, "--ca", none],
            64,
            "there is no such file",
        ),
        (
            &["GET", "http://10.0.0.1/", "--key", key],
            64,
            "plain http:// is accepted for this machine only",
        ),
        (
            &["GET", "http://svc.example/", "--key", key],
            64,
            "--danger-plain-http if everybody",
        ),
        // One of the four words in the place of a body.
        (&["POST", &url, "list", "--key", key], 64, "list"),
        (
            &["POST", &url, "--key", key, "list"],
            64,
            "do not go together with a request to send",
        ),
        (
            &["-i", "list"],
            64,
            "do not go together with a request to send",
        ),
        (
            &["--key", key, "list"],
            64,
            "do not go together with a request to send",
        ),
        (&[], 64, "<METHOD>"),
    ] {
        let ran = run(home.path(), &[&["request"], args].concat());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(message), "{args:?}: {}", ran.err);
    }
    assert!(service.saw_nothing());
}

/// The operator's own key, by the server that knows it.
#[test]
fn the_operators_key_proves_requests_to_the_server() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let path = "/v1/namespaces/default/secrets/a/b";
    let put = r#"{"value_b64":"Y2FuYXJ5","expect_version":0}"#;
    let written: Value =
        serde_json::from_str(&cli.ok(&["request", "PUT", path, put], b"")).unwrap();
    assert_eq!(written["version"], 1);
    // With the whole URL, a query, and flags before and behind.
    let url = format!("{}{path}?version=1", cli.url.as_ref().unwrap());
    let shown = cli.json(&["request", "GET", &url]);
    let body: Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&shown["status"], &body["value_b64"]),
        (&json!(200), &json!("Y2FuYXJ5"))
    );
    let shown = cli.ok(&["request", "DELETE", path, "-i"], b"");
    assert!(shown.starts_with("HTTP/1.1 204 No Content\r\n"), "{shown}");
    let gone = cli.run(&["request", "GET", path], b"");
    assert_eq!(gone.code, 77);
    assert!(gone.out.contains("\"code\":\"not_found\""), "{}", gone.out);

    // A key that the server does not know, and a proof that it does not take.
    let key = ssh_key(installed.dir(), "key", "");
    let ran = cli.run(
        &[
            "request",
            "GET",
            "/v1/namespaces",
            "--key",
            key.to_str().unwrap(),
        ],
        b"",
    );
    assert_eq!(ran.code, 77, "{}", ran.err);
    assert!(
        ran.out.contains("\"reason\":\"unknown_agent\""),
        "{}",
        ran.out
    );
    assert!(
        ran.err
            .contains("next: check --key; or join the device: procura operator join CODE"),
        "{}",
        ran.err
    );

    // The other half of the noun, with options where they were before.
    for args in [
        &["request", "list"][..],
        &["request", "--json", "list"],
        &["request", "-n", "default", "list", "--all"],
    ] {
        assert_eq!(cli.run(args, b"").code, 0, "{args:?}");
    }
}

/// Keys of `ssh-keygen`, proofs of `sign`, and the service that verifies for others.
#[test]
fn what_is_signed_here_is_good_for_the_verification_service_once() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let key = ssh_key(installed.dir(), "scribe", "");
    let agents = cli.home.join("keys/agents");
    std::fs::create_dir_all(&agents).unwrap();
    std::fs::copy(key.with_extension("pub"), agents.join("scribe_1.pub")).unwrap();
    let key = key.to_str().unwrap();
    let proof = cli.json(&[
        "sign",
        "POST",
        "https://svc.example/items?page=2",
        "some body",
        "--profile",
        "key-server-v1",
        "--agent-id",
        "scribe_1",
        "--key",
        key,
    ]);
    let ask = |path: &str| {
        let body = json!({
            "agent_id": proof["x-agent-id"],
            "timestamp": proof["x-timestamp"],
            "nonce": proof["x-nonce"],
            "method": "POST",
            "path": path,
            "body_sha256": sha256_hex(installed.dir(), b"some body"),
            "signature": proof["x-signature"],
        });
        let ran = cli.run(
            &["request", "--json", "POST", "/api/verify", "@-"],
            body.to_string().as_bytes(),
        );
        let shown: Value = serde_json::from_str(&ran.out).unwrap();
        let body: Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
        (ran.code, shown["status"].as_u64().unwrap(), body)
    };
    assert_eq!(
        ask("/other"),
        (
            77,
            401,
            json!({ "valid": false, "reason": "bad_signature" })
        )
    );
    assert_eq!(
        ask("/items"),
        (0, 200, json!({ "valid": true, "agent_id": "scribe_1" }))
    );
    assert_eq!(
        ask("/items"),
        (
            77,
            401,
            json!({ "valid": false, "reason": "nonce_replayed" })
        )
    );
}
