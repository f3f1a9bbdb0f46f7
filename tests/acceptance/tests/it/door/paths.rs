//! Paths in other spellings: what a route lets through is not a way around the others,
//! and what was signed is the spelling.

use super::Door;
use crate::gate::{Call, Upstream};
use crate::gate_foreign::Legacy;
use crate::scene::PATIENCE;
use procura_acceptance::until;

#[test]
fn no_spelling_leads_around_what_has_to_be_proven() {
    let upstream = Upstream::start();
    let door = Door::before(&upstream.url);
    let unsigned = |path: &str| Call::new("GET", path, b"").send(door.at());
    let open = ["auth", "mode", "web", "off", "--route", "/public"];
    door.server.cli(&[&["-n", "shop"][..], &open].concat()).ok();
    until("the route is open", PATIENCE, || {
        (unsigned("/public/x").status == 200).then_some(())
    });
    // Letters that are spelled otherwise are the same to everybody.
    for path in ["/public", "/%70ublic/x", "/public/%78"] {
        assert!(unsigned(path).passes().starts_with(&format!("GET {path} ")));
    }
    let served = upstream.served();
    for path in [
        "/orders",
        "/publicorders",
        "/public/../orders",
        "/public/%2e%2e/orders",
        "/public/%2E%2E/orders",
        "/public/.%2e/orders",
        "/public/%2e/orders",
        "/public/%252e%252e/orders",
        "/public%2Forders",
        "/public/..%2forders",
        "/public/%2F../orders",
        "/public/..%5Corders",
        "/public//orders",
        "//public/x",
        "/PUBLIC/x",
        "/public;x/orders",
        "/public/%c0%ae%c0%ae/orders",
        "/public/%00",
        "/public/%",
    ] {
        unsigned(path).refuses(401, "missing_headers");
    }
    assert_eq!(upstream.served(), served);
}

#[test]
fn a_proof_is_for_the_path_as_it_was_sent() {
    let upstream = Upstream::start();
    let door = Door::before(&upstream.url);
    let legacy = Legacy::new("legacy-7");
    legacy.enrol(&door.server);
    let at = door.at();
    for (signed, sent) in [
        ("/a/b", "/a%2Fb"),
        ("/a/b", "/a//b"),
        ("/a/b", "//a/b"),
        ("/a/b", "/%61/b"),
        ("/a/b", "/a/%2e/b"),
        ("/a/b", "/a/./b"),
        ("/b", "/a/%2e%2e/b"),
        ("/a%2Fb", "/a%2fb"),
        ("/a%2Fb", "/a/b"),
        ("/%61/b", "/a/b"),
    ] {
        for mut call in [
            door.scribe.get(at, signed),
            legacy.get("key-server-v1", at, signed),
        ] {
            call.path = sent.to_owned();
            call.send(at).refuses(401, "bad_signature");
        }
    }
    assert_eq!(upstream.served(), 0);

    // Signed as it is sent it goes on byte for byte, whatever it may mean.
    let odd = ["/a%2Fb", "/a//b", "/%61/b", "/a/%2e%2E/b", "/a/./b"];
    for path in odd {
        for call in [
            door.scribe.get(at, path),
            legacy.get("key-server-v1", at, path),
        ] {
            let answer = call.send(at);
            let head = answer.passes();
            assert!(head.starts_with(&format!("GET {path} HTTP/1.1")), "{head}");
        }
    }
    assert_eq!(upstream.served(), 2 * odd.len());
}
