//! What a daemon attested, over HTTP: how it shows in sessions, runs and the record, and
//! how it stops.

use crate::actors::{Actors, value_b64};
use crate::world::{AUTHORITY, Answer, Sent, TestSession};
use procura_crypto::{MacKey, SigningKey, SystemEntropy};
use procura_directory::AttestationRecord;
use procura_ledger::{NoteSigner, ReleasedProgram, sign_release};
use procura_proof::sign::{Signer, sign_request};
use procura_proof::{RequestView, attestation_message, attested_session_message};
use procura_record::tables::{ATTESTATIONS, DIRECTORY_GUARD, GUARD};
use procura_store::Batch;
use procura_types::wire::{
    AttestationChallenge, AttestationGiven, AttestationPut, AttestationStatement, QuoteSeen,
    SessionAnswer,
};
use procura_types::{
    AttestationId, BatchId, BuildWord, Entropy, EntropyError, ExeDigest, Grade, Thumbprint,
    Timestamp, encoding,
};
use serde_json::{Value, json};

const RUNS: &str = "/v1/namespaces/shop/projects/web/runs";
const LISTED: &str = "/v1/namespaces/shop/attestations";
const REQUIRE: &str = "/v1/namespaces/shop/projects/web/require-grade";
/// The program of every daemon here.
const EXE: ExeDigest = ExeDigest::from_bytes([1; 32]);

/// Gives the nonce that is to be in a proof.
struct Chosen([u8; 18]);

impl Entropy for Chosen {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

/// A process of the daemon of an agent.
pub(crate) struct Daemon<'a> {
    actors: &'a Actors,
    agent: &'static str,
    key: SigningKey,
}

impl<'a> Daemon<'a> {
    pub(crate) fn start(actors: &'a Actors, agent: &'static str) -> Self {
        Self {
            actors,
            agent,
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
        }
    }

    fn device(&self) -> &'a SigningKey {
        self.actors.key(self.agent)
    }

    /// A statement with a challenge of its own, signed.
    pub(crate) async fn put(&self) -> AttestationPut {
        let actors = self.actors;
        let challenge = actors.ok(self.agent, "POST", "/v1/attestations/challenge", json!({}));
        let challenge: AttestationChallenge = serde_json::from_value(challenge.await).unwrap();
        let open = actors.world.app.open().unwrap();
        let device = self.device().public().thumbprint();
        let agent = open.directory.snapshot().device(&device).unwrap().actor;
        let statement = AttestationStatement {
            installation: actors.installation,
            agent,
            device,
            key: self.key.public().to_jwk(),
            exe_sha256: EXE,
            version: "0.5.0".parse().unwrap(),
            target: "x86_64-linux".parse().unwrap(),
            pid: 7,
            boot_id: "boot".parse().unwrap(),
            time: actors.world.now(),
            nonce: challenge.nonce,
        };
        let server = procura_server::server_id(&open.vault);
        let message = attestation_message(&server, &statement, self.key.public());
        AttestationPut {
            signature: self.key.sign(&message).unwrap(),
            statement,
            quote: None,
        }
    }

    async fn attest(&self) -> AttestationGiven {
        let put = serde_json::to_value(self.put().await).unwrap();
        let given = self.actors.ok(self.agent, "POST", "/v1/attestations", put);
        serde_json::from_value(given.await).unwrap()
    }

    /// Asks for a session, signed by `signer` for the attestation `id`, in a request whose
    /// nonce is `nonce`; `signed_for` is the one that the signature says.
    async fn session_by(
        &self,
        id: AttestationId,
        signer: &SigningKey,
        signed_for: [u8; 18],
        nonce: [u8; 18],
    ) -> Answer {
        let message = attested_session_message(&id, &encoding::b64url(&signed_for), "procura");
        let signature = encoding::b64url(&signer.sign(&message).unwrap());
        let body = json!({
            "audience": "procura",
            "attestation": {"id": id, "signature": signature},
        });
        let body = serde_json::to_vec(&body).unwrap();
        let mut sent = Sent::new("POST", "/v1/sessions", Some(&body));
        let view = RequestView {
            method: "POST",
            authority: AUTHORITY,
            scheme: None,
            path: "/v1/sessions",
            query: None,
            headers: &sent.headers,
            body: &body,
        };
        let now = self.actors.world.now();
        let device = Signer::Device(self.device());
        let signed = sign_request(&view, device, now, &Chosen(nonce)).unwrap();
        let more = signed.headers.into_iter();
        sent.headers
            .extend(more.map(|(name, value)| (name.to_owned(), value)));
        self.actors.world.send(&sent).await
    }

    async fn session(&self, id: AttestationId) -> Answer {
        let mut nonce = [0; 18];
        SystemEntropy.fill(&mut nonce).unwrap();
        self.session_by(id, &self.key, nonce, nonce).await
    }

    async fn started(&self, id: AttestationId) -> TestSession {
        let answer = self.session(id).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: SessionAnswer = serde_json::from_value(answer.json()).unwrap();
        TestSession {
            key: MacKey::from_bytes(answer.mac_key.decode().unwrap().expose()).unwrap(),
            id: answer.session_id,
        }
    }
}

async fn run(actors: &Actors, session: &TestSession, counter: u64, names: &[&str]) -> Answer {
    let body = json!({"names": names, "delivery": "env"});
    let world = &actors.world;
    world
        .in_session(session, counter, "POST", RUNS, Some(&body))
        .await
}

async fn require(actors: &Actors, grade: Value) {
    actors
        .ok("adam", "PUT", REQUIRE, json!({"grade": grade}))
        .await;
}

/// A release key of the installation, and the note in which it vouches for the program.
pub(crate) fn release() -> (String, String) {
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let signer = NoteSigner::new("release.example.com", key).unwrap();
    let word = |text: &str| -> BuildWord { text.parse().unwrap() };
    let program = ReleasedProgram {
        sha256: EXE,
        version: word("0.5.0"),
        target: word("x86_64-linux"),
    };
    let note = sign_release(&[program], &signer).unwrap();
    (signer.vkey().to_string(), note)
}

async fn vouch(actors: &Actors) {
    let (vkey, note) = release();
    actors
        .ok("alice", "POST", "/v1/release-keys", json!({"vkey": vkey}))
        .await;
    actors
        .ok("alice", "POST", "/v1/releases", json!({"note": note}))
        .await;
}

/// An attestation of the agent's device in which a chip said something, as one that was
/// made with a chip leaves it.
pub(crate) async fn with_quote(
    actors: &Actors,
    agent: &'static str,
) -> (Thumbprint, AttestationId, ExeDigest) {
    let daemon = Daemon::start(actors, agent);
    let given = daemon.attest().await;
    let open = actors.world.app.open().unwrap();
    let snapshot = open.directory.snapshot();
    let record = snapshot.attestation(&given.id).unwrap();
    let digest = ExeDigest::from_bytes([9; 32]);
    let record = AttestationRecord {
        quote: Some(QuoteSeen {
            ek_sha256: digest,
            ak_sha256: digest,
            pcrs: vec![0, 7],
            pcr_digest: digest,
            clock: 1,
            reset_count: 1,
            restart_count: 0,
        }),
        ..record.as_ref().clone()
    };
    let id = BatchId::generate(actors.world.now(), &SystemEntropy).unwrap();
    let mut batch = Batch::new(id);
    ATTESTATIONS.put(&mut batch, &record.id.to_string(), &record);
    DIRECTORY_GUARD.put(&mut batch, &GUARD.to_owned(), &());
    open.vault.store().commit(batch).await.unwrap();
    (record.device, record.id, digest)
}

#[tokio::test]
async fn a_project_hands_values_to_daemons_of_its_grade_and_says_what_to_do() {
    let actors = Actors::new().await;
    let daemon = Daemon::start(&actors, "scribe");
    let given = daemon.attest().await;
    assert_eq!(given.grade, Grade::SelfReported);
    let plain = crate::sessions::started(&actors.world, actors.key("scribe"), None)
        .await
        .0;
    let attested = daemon.started(given.id).await;
    // As long as nothing is required both are handed it.
    for session in [&plain, &attested] {
        let answer = run(&actors, session, 1, &["DB"]).await;
        assert_eq!(answer.json()["values"]["DB"]["value_b64"], value_b64());
    }
    require(&actors, json!("self-reported")).await;
    let no = Some("attestation_required");
    // Whatever is asked for, and nothing is told of what there is.
    let asked = [&["DB"][..], &["API"], &["NO_SUCH_NAME"], &[]];
    for (counter, names) in (2..).zip(asked) {
        let refused = run(&actors, &plain, counter, names).await;
        let problem = refused.problem("plain");
        assert_eq!(problem.code, "attestation_required", "{names:?}");
        assert_eq!(problem.reason.as_deref(), no);
        assert!(
            problem.detail.contains("procura doctor"),
            "{}",
            problem.detail
        );
    }
    // A proof by the device's own key shows no process either.
    let body = json!({"names": ["DB"], "delivery": "env"});
    let by_key = actors
        .world
        .call(actors.key("scribe"), "POST", RUNS, Some(&body))
        .await;
    by_key.expect("attestation_required", no, None, "by key");
    assert_eq!(run(&actors, &attested, 2, &["DB"]).await.status, 200);
    // It is no way around approval: what is not granted becomes a request.
    assert_eq!(run(&actors, &attested, 3, &["API"]).await.status, 202);
    require(&actors, json!("signed-release")).await;
    let refused = run(&actors, &attested, 4, &["DB"]).await;
    refused.expect("attestation_required", no, None, "a better grade");
    assert!(
        refused.text().contains("procura release add"),
        "{}",
        refused.text()
    );
    require(&actors, Value::Null).await;
    assert_eq!(run(&actors, &plain, 20, &["DB"]).await.status, 200);
    // All of it is in the record.
    let runs = actors.recorded("run.deliver").await;
    let refusals = runs
        .iter()
        .filter(|entry| entry["reason"] == "attestation_required");
    assert!(refusals.count() >= 1, "refusals are recorded");
    let with = runs
        .iter()
        .find(|entry| entry["decision"] == "allow" && !entry["grade"].is_null());
    let with = with.unwrap();
    assert_eq!(with["attestation"], json!(given.id));
    assert_eq!(with["grade"], "self-reported");
    let made = actors.recorded("attestation.make").await;
    assert_eq!(made[0]["grade"], "self-reported");
    assert!(
        made[0]["resource"]
            .as_str()
            .unwrap()
            .contains(&format!("sha256:{EXE}"))
    );
}

#[tokio::test]
async fn a_release_that_is_withdrawn_stops_its_sessions_at_once() {
    let actors = Actors::new().await;
    vouch(&actors).await;
    require(&actors, json!("signed-release")).await;
    let daemon = Daemon::start(&actors, "scribe");
    let given = daemon.attest().await;
    assert_eq!(given.grade, Grade::SignedRelease);
    let session = daemon.started(given.id).await;
    assert_eq!(run(&actors, &session, 1, &["DB"]).await.status, 200);
    let withdraw = format!("/v1/releases/{EXE}/withdraw");
    actors.ok("alice", "POST", &withdraw, Value::Null).await;
    let stopped = run(&actors, &session, 2, &["DB"]).await;
    stopped.expect("unauthorized", Some("session_expired"), None, "its session");
    let refused = daemon.session(given.id).await;
    refused.expect(
        "attestation_refused",
        Some("digest_withdrawn"),
        None,
        "another session",
    );
    let put = serde_json::to_value(daemon.put().await).unwrap();
    let key = actors.key("scribe");
    let refused = actors
        .world
        .call(key, "POST", "/v1/attestations", Some(&put))
        .await;
    refused.expect(
        "attestation_refused",
        Some("digest_withdrawn"),
        None,
        "attesting anew",
    );
    let refusals = actors.recorded("attestation.make").await;
    assert_eq!(refusals[0]["reason"], "digest_withdrawn");
    assert_eq!(refusals[0]["decision"], "deny");
}

#[tokio::test]
async fn a_revoked_attestation_stops_its_sessions_and_no_others() {
    let actors = Actors::new().await;
    let (one, two) = (
        Daemon::start(&actors, "scribe"),
        Daemon::start(&actors, "scribe"),
    );
    let (first, second) = (one.attest().await, two.attest().await);
    let (stopped, goes_on) = (one.started(first.id).await, two.started(second.id).await);
    let revoke = format!("{LISTED}/{}/revoke", first.id);
    let refused = actors
        .world
        .call(actors.key("otto"), "POST", &revoke, None)
        .await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    actors.ok("adam", "POST", &revoke, Value::Null).await;
    let answer = run(&actors, &stopped, 1, &["DB"]).await;
    answer.expect("unauthorized", Some("session_expired"), None, "revoked");
    assert_eq!(run(&actors, &goes_on, 1, &["DB"]).await.status, 200);
    let again = one.session(first.id).await;
    again.expect(
        "attestation_refused",
        Some("attestation_revoked"),
        None,
        "again",
    );
    // What needs no attestation goes on.
    let plain = crate::sessions::started(&actors.world, actors.key("scribe"), None)
        .await
        .0;
    assert_eq!(run(&actors, &plain, 1, &["DB"]).await.status, 200);
    let list = actors.ok("otto", "GET", LISTED, Value::Null).await;
    let states: Vec<(Value, Value)> = list["attestations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["id"].clone(), found["state"].clone()))
        .collect();
    assert!(
        states.contains(&(json!(first.id), json!("revoked"))),
        "{states:?}"
    );
    assert!(
        states.contains(&(json!(second.id), json!("live"))),
        "{states:?}"
    );
    let revoked = actors.recorded("attestation.revoke").await;
    let mut named = revoked.iter().map(|entry| &entry["attestation"]);
    assert!(named.any(|found| *found == json!(first.id)), "{revoked:?}");
}

#[tokio::test]
async fn only_the_process_itself_starts_a_session_under_its_attestation() {
    let actors = Actors::new().await;
    let daemon = Daemon::start(&actors, "scribe");
    let given = daemon.attest().await;
    let expect = |answer: &Answer, reason: &str| {
        answer.expect("attestation_refused", Some(reason), None, reason);
    };
    // Another process of the same device, which has the device's key.
    let other = Daemon::start(&actors, "scribe");
    expect(&other.session(given.id).await, "bad_signature");
    // What it once signed, in another request.
    let answer = daemon
        .session_by(given.id, &daemon.key, [1; 18], [2; 18])
        .await;
    expect(&answer, "bad_signature");
    // The daemon of another agent.
    let baker = Daemon {
        key: SigningKey::from_secret_bytes(daemon.key.to_secret_bytes().expose()).unwrap(),
        ..Daemon::start(&actors, "baker")
    };
    expect(&baker.session(given.id).await, "wrong_agent");
    let none = AttestationId::from_bytes([7; 16]);
    expect(&daemon.session(none).await, "attestation_unknown");
    actors.world.clock.turn(procura_identity::ATTESTATION_LIFE);
    expect(&daemon.session(given.id).await, "attestation_expired");
    let refusals = actors.recorded("session.start").await;
    let reasons: Vec<&Value> = refusals.iter().map(|entry| &entry["reason"]).collect();
    assert!(reasons.contains(&&json!("wrong_agent")), "{reasons:?}");
    // A session does not attest, and none of a gate is attested.
    let renewed = daemon.attest().await;
    assert_eq!(renewed.id, given.id);
    let session = daemon.started(given.id).await;
    let body = json!({});
    let target = "/v1/attestations/challenge";
    let answer = actors
        .world
        .in_session(&session, 1, "POST", target, Some(&body))
        .await;
    answer.expect("unauthorized", None, None, "by a session");
    let body = json!({
        "audience": "gate:shop/till",
        "attestation": {"id": given.id, "signature": "AA"},
    });
    let answer = actors
        .world
        .call(actors.key("scribe"), "POST", "/v1/sessions", Some(&body));
    answer
        .await
        .expect("malformed", None, Some("attestation"), "of a gate");
}

#[tokio::test]
async fn an_attestation_that_was_not_renewed_is_over_with_its_sessions() {
    let actors = Actors::new().await;
    let daemon = Daemon::start(&actors, "scribe");
    let given = daemon.attest().await;
    let late = procura_identity::ATTESTATION_LIFE - procura_types::Duration::from_secs(60);
    actors.world.clock.turn(late);
    let session = daemon.started(given.id).await;
    assert_eq!(run(&actors, &session, 1, &["DB"]).await.status, 200);
    actors
        .world
        .clock
        .turn(procura_types::Duration::from_secs(60));
    let over = run(&actors, &session, 2, &["DB"]).await;
    over.expect("unauthorized", Some("session_expired"), None, "over");
    // Renewed, it is the same one.
    assert_eq!(daemon.attest().await.id, given.id);
    let session = daemon.started(given.id).await;
    // The grant is over by now, so it is asked for.
    assert_eq!(run(&actors, &session, 1, &["DB"]).await.status, 202);
}

#[tokio::test]
async fn a_project_token_opens_nothing_for_a_daemon_that_has_not_attested() {
    let actors = Actors::new().await;
    let daemon = Daemon::start(&actors, "scribe");
    let session = daemon.started(daemon.attest().await.id).await;
    let issue = json!({"kind": "opaque", "names": ["DB"]});
    let target = "/v1/namespaces/shop/projects/web/tokens";
    let issued = actors.ok("scribe", "POST", target, issue).await;
    let token = format!("Bearer {}", issued["token"].as_str().unwrap());
    require(&actors, json!("self-reported")).await;
    let values = "/v1/namespaces/shop/projects/web/values";
    let body = serde_json::to_vec(&json!({"names": []})).unwrap();
    let mut sent = Sent::new("POST", values, Some(&body));
    sent.headers.push(("authorization".to_owned(), token));
    let now: Timestamp = actors.world.now();
    let by_key = sent
        .clone()
        .signed(Signer::Device(actors.key("scribe")), now);
    let refused = actors.world.send(&by_key).await;
    refused.expect(
        "attestation_required",
        Some("attestation_required"),
        None,
        "by key",
    );
    let signer = Signer::Session {
        id: &session.id,
        mac_key: &session.key,
        counter: 1,
    };
    let answer = actors.world.send(&sent.signed(signer, now)).await;
    assert_eq!(
        answer.json()["values"]["DB"]["value_b64"],
        value_b64(),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_decoy_is_not_told_by_what_is_required() {
    let actors = Actors::new().await;
    let plant = json!({"shape": "openai", "mode": "bait", "env": "BAIT"});
    actors
        .ok("alice", "PUT", "/v1/honey/shop/decoy/key", plant)
        .await;
    require(&actors, json!("self-reported")).await;
    let body = json!({"names": ["BAIT"], "delivery": "env"});
    let bait = actors
        .world
        .call(actors.key("scribe"), "POST", RUNS, Some(&body))
        .await;
    bait.expect(
        "attestation_required",
        Some("attestation_required"),
        None,
        "a decoy",
    );
}

#[tokio::test]
async fn attestations_outlive_a_seal() {
    let actors = Actors::new().await;
    vouch(&actors).await;
    let daemon = Daemon::start(&actors, "scribe");
    let given = daemon.attest().await;
    let session = daemon.started(given.id).await;
    actors.world.seal().await;
    actors.world.unseal().await;
    assert_eq!(run(&actors, &session, 1, &["DB"]).await.status, 200);
    let revoke = format!("{LISTED}/{}/revoke", given.id);
    actors.ok("adam", "POST", &revoke, Value::Null).await;
    actors.world.seal().await;
    actors.world.unseal().await;
    let over = run(&actors, &session, 2, &["DB"]).await;
    over.expect(
        "unauthorized",
        Some("session_expired"),
        None,
        "revoked before",
    );
    let open = actors.world.app.open().unwrap();
    let record = open.directory.snapshot().attestation(&given.id).cloned();
    assert!(record.unwrap().revoked.is_some());
}
