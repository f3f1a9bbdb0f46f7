//! What a client is told that knows the standard of device grants and nothing of ours.

use crate::actors::Actors;
use crate::device_grants::{ASK, form, post, refused};
use crate::world::{AUTHORITY, Sent};
use std::net::{IpAddr, Ipv4Addr};

const TOKEN: &str = "/oauth/token";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A client that knows RFC 8628 and nothing else: it learns at its first call what it
/// lacks, and where that is written.
#[tokio::test]
async fn a_client_of_the_standard_alone_is_told_what_it_lacks() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let found = world.send(&Sent::new("GET", METADATA, None)).await.json();
    let about = found["service_documentation"].as_str().unwrap().to_owned();
    let client = ("client_id", "procura-daemon");
    let ask = form(&[client, ("scope", "")]);
    let look = form(&[client, ("grant_type", DEVICE_CODE), ("device_code", "x")]);
    for (target, body, missing) in [
        (ASK, ask, "Missing: device_jwk, device_signature."),
        (
            ASK,
            Vec::new(),
            "Missing: client_id, device_jwk, device_signature.",
        ),
        (TOKEN, look, "Missing: device_signature."),
        (
            TOKEN,
            Vec::new(),
            "Missing: grant_type, client_id, device_code, device_signature.",
        ),
    ] {
        let answer = post(world, target, &body, HERE).await;
        refused(&answer, 400, "invalid_request", missing);
        let said = answer.json()["error_description"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(said.starts_with(missing), "{said}");
        assert!(said.contains(&about), "{said}");
    }
    // There it stands.
    let path = about.strip_prefix(&format!("http://{AUTHORITY}")).unwrap();
    let page = world.send(&Sent::new("GET", path, None)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.headers["content-type"], "text/markdown; charset=utf-8");
    for name in ["device_jwk", "device_signature", "procura.device-grant."] {
        assert!(page.text().contains(name), "{name}");
    }
    let mut elsewhere = Sent::new("GET", path, None);
    elsewhere.set("host", |_| "elsewhere.example".to_owned());
    let answer = world.send(&elsewhere).await;
    refused(&answer, 400, "invalid_request", "another server's name");
}
