//! Joining: the answer must come from the server that the code names.

use crate::server::{TestClock, client, json, listen};
use procura_client::ClientError;
use procura_crypto::{PublicKey, SigningKey, SystemEntropy, sha256};
use procura_types::wire::{JoinAnswer, JoinRequest};
use procura_types::{ActorId, FieldTuple, InstallationId, Joins, LinkCodeText, Secret};
use std::sync::Arc;

const ACTOR: [u8; 32] = [5; 32];

fn code(server: &SigningKey) -> LinkCodeText {
    LinkCodeText {
        code: Secret::new([1; 16]),
        server: server.public().thumbprint(),
        installation: InstallationId::from_bytes([2; 16]),
        joins: Joins::Agent(ActorId::from_bytes(ACTOR)),
        url: "http://127.0.0.1:1".to_owned(),
    }
}

/// Answers as a server with `key` would, after `bend` has had its way with the
/// answer.
async fn join(
    named: &SigningKey,
    answering: Arc<SigningKey>,
    bend: fn(&mut JoinAnswer),
) -> Result<JoinAnswer, ClientError> {
    let device = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let url = listen(move |got| {
        assert_eq!(
            (got.method.as_str(), got.path.as_str()),
            ("POST", "/v1/join")
        );
        let request: JoinRequest = serde_json::from_slice(&got.body).unwrap();
        assert_eq!(request.code_sha256, sha256(&[1; 16]));
        let key = PublicKey::from_jwk(&request.device_key).unwrap();
        let server = answering.public().thumbprint();
        let signed = FieldTuple::new("procura.join.v1")
            .bytes(server.as_bytes())
            .bytes(&request.code_sha256)
            .bytes(request.actor_id.as_bytes())
            .bytes(key.thumbprint().as_bytes());
        let mut answer = JoinAnswer {
            actor: request.actor_id,
            name: "alice//scribe".to_owned(),
            label: "scribe".parse().unwrap(),
            device: key.thumbprint(),
            owner: ActorId::from_bytes([6; 32]),
            server_key: answering.public().to_jwk(),
            namespace: Some("default".parse().unwrap()),
            ledger_vkey: "vkey".to_owned(),
            server_signature: Vec::new(),
        };
        // The right server checks the device's signature before all else.
        let _ = key.verify(signed.as_bytes(), &request.signature);
        let statement = FieldTuple::new("procura.join.answer.v1")
            .bytes(server.as_bytes())
            .bytes(&request.code_sha256)
            .bytes(answer.actor.as_bytes())
            .bytes(answer.device.as_bytes())
            .text(&answer.ledger_vkey);
        answer.server_signature = answering.sign(statement.as_bytes()).unwrap();
        bend(&mut answer);
        json(200, &answer)
    })
    .await;
    client(&url, None, &TestClock::new())
        .join(&code(named), &ActorId::from_bytes(ACTOR), &device)
        .await
}

#[tokio::test]
async fn the_server_of_the_code_is_believed_and_no_other() {
    let key = || Arc::new(SigningKey::generate_ed25519(&SystemEntropy).unwrap());
    let (named, other) = (key(), key());
    let answer = join(&named, Arc::clone(&named), |_| {}).await.unwrap();
    assert_eq!(answer.label.as_str(), "scribe");

    type Case = (Arc<SigningKey>, fn(&mut JoinAnswer), &'static str);
    let cases: [Case; 4] = [
        (
            Arc::clone(&other),
            |_| {},
            "its key is not the one that the code names",
        ),
        (
            Arc::clone(&named),
            |answer| answer.ledger_vkey = "other".to_owned(),
            "the answer is not signed by the server's key",
        ),
        (
            Arc::clone(&named),
            |answer| answer.actor = ActorId::from_bytes([8; 32]),
            "the answer is not signed by the server's key",
        ),
        (
            Arc::clone(&named),
            |answer| answer.server_key.x = "AAAA".to_owned(),
            "its key cannot be read",
        ),
    ];
    for (answering, bend, evidence) in cases {
        match join(&named, answering, bend).await {
            Err(ClientError::Impostor { evidence: why, .. }) => assert_eq!(why, evidence),
            other => panic!("{evidence}: {:?}", other.map(drop)),
        }
    }
}
