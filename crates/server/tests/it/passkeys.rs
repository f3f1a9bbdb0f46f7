//! Passkeys of operators over `/v1`: codes, lists, names and removal. The ceremonies of a
//! browser are in `pages`.

use crate::actors::Actors;
use crate::world::Sent;
use procura_crypto::webauthn::{RelyingParty, SoftwarePasskey};
use procura_crypto::{MacKey, SystemEntropy, sha256};
use procura_identity::passkey::{Ceremony, NewPasskey, PasskeyEnrol, issue, parse_code};
use procura_policy::authorize;
use procura_proof::SessionKeys;
use procura_proof::sign::Signer;
use procura_record::Origin;
use procura_types::wire::{AttestationResponse, NewCredential, SessionAnswer};
use procura_types::{Secret, TraceId};
use serde_json::{Value, json};

/// A session root that is always the same.
struct Roots;

impl SessionKeys for Roots {
    fn accepts(&self, epoch: u32) -> bool {
        epoch == 1
    }
    fn audience_key(&self, _: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        Some(Secret::new(sha256(audience.as_bytes())))
    }
    fn current(&self) -> Option<u32> {
        Some(1)
    }
}

/// Enrols a passkey of this operator's, by a code that they made, and gives its id.
pub(crate) async fn enrolled(actors: &Actors, name: &str) -> (String, SoftwarePasskey) {
    let path = format!("/v1/operators/{name}/passkey-code");
    let made = actors.ok(name, "POST", &path, Value::Null).await;
    assert_eq!(made["page"], "http://localhost:7310/passkey/enrol");
    let code = Secret::new(made["code"].as_str().unwrap().to_owned());
    let code = parse_code(&code).unwrap();
    let open = actors.world.app.open().unwrap();
    let (snapshot, now) = (open.directory.snapshot(), actors.world.now());
    let issued = issue(&Roots, &Ceremony::Enrol(code), now, &SystemEntropy).unwrap();
    let origin = "http://localhost:7310";
    let passkey = SoftwarePasskey::generate(origin, "localhost", &SystemEntropy).unwrap();
    let answered = passkey.make(&issued.challenge);
    let new = NewPasskey {
        name: "Key ring".parse().unwrap(),
        credential: NewCredential {
            id: passkey.credential_id.clone(),
            kind: "public-key".to_owned(),
            response: AttestationResponse {
                client_data: answered.client_data,
                attestation_object: answered.attestation_object,
                transports: vec!["internal".to_owned()],
            },
        },
    };
    let party = RelyingParty::of_origin(origin).unwrap();
    let places = (open.vault.store(), &*snapshot, &Roots as &dyn SessionKeys);
    let op = PasskeyEnrol::check(places, &party, &code, (&issued.state, new), now).unwrap();
    let caller = op.caller(&snapshot, now, None);
    let permit = authorize(open.recorder.decider(), &snapshot, caller, op, now)
        .ok()
        .unwrap();
    let origin = Origin::new(TraceId::from_bytes([9; 16]));
    let change = open
        .recorder
        .change(permit, &origin, |batch| PasskeyEnrol::run(batch, now));
    let enrolled = change.await.ok().unwrap();
    (enrolled.id.to_string(), passkey)
}

#[tokio::test]
async fn passkeys_are_listed_named_and_removed() {
    let actors = Actors::new().await;
    let (id, passkey) = enrolled(&actors, "otto").await;
    let list = async || {
        let list = actors
            .ok("otto", "GET", "/v1/operators/otto/passkeys", Value::Null)
            .await;
        list["passkeys"].as_array().unwrap().clone()
    };
    let found = list().await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["id"], id);
    assert_eq!(found[0]["name"], "Key ring");
    assert_eq!(found[0]["relying_party"], "localhost");
    let key = serde_json::to_value(passkey.key.public().to_jwk()).unwrap();
    assert_eq!(found[0]["key"], key);
    let path = format!("/v1/passkeys/{id}/name");
    let body = json!({"name": "Phone"});
    let named = actors.ok("otto", "PUT", &path, body).await;
    assert_eq!(named["name"], "Phone");
    let path = format!("/v1/passkeys/{id}");
    // A steward takes it away, and its owner sees that.
    for _ in 0..2 {
        actors.ok("alice", "DELETE", &path, Value::Null).await;
    }
    assert!(list().await[0]["removed"].is_string());
}

/// What a session's key alone let in or took away would outlive its theft.
#[tokio::test]
async fn a_session_makes_no_code_for_a_passkey_or_a_device_and_removes_no_passkey() {
    let actors = Actors::new().await;
    let (id, _) = enrolled(&actors, "otto").await;
    let (world, key) = (&actors.world, actors.key("otto"));
    let started = world
        .ok(key, "POST", "/v1/sessions", json!({"audience": "procura"}))
        .await;
    let session: SessionAnswer = serde_json::from_value(started).unwrap();
    let mac_key = MacKey::from_bytes(session.mac_key.decode().unwrap().expose()).unwrap();
    let sent = |method: &str, target: &str, counter: u64| {
        let signer = Signer::Session {
            id: &session.session_id,
            mac_key: &mac_key,
            counter,
        };
        Sent::new(method, target, None).signed(signer, world.now())
    };
    let list = sent("GET", "/v1/operators/otto/passkeys", 1);
    let list = world.send(&list).await;
    assert_eq!(list.status, 200, "the session is good: {}", list.text());
    for (what, counter) in [("passkey-code", 2), ("link-code", 3)] {
        let target = format!("/v1/operators/otto/{what}");
        let refused = world.send(&sent("POST", &target, counter)).await;
        refused.expect("reauthenticate", Some("own_key"), None, what);
        actors.ok("otto", "POST", &target, Value::Null).await;
    }
    let target = format!("/v1/passkeys/{id}");
    let refused = world.send(&sent("DELETE", &target, 4)).await;
    refused.expect("reauthenticate", Some("own_key"), None, "removal");
    let kept = id.parse().unwrap();
    let open = world.app.open().ok().unwrap();
    assert!(open.directory.snapshot().passkey_may_act(&kept));
    actors.ok("otto", "DELETE", &target, Value::Null).await;
    assert!(!open.directory.snapshot().passkey_may_act(&kept));
}
