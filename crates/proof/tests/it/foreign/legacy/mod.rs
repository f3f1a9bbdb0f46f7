//! Clients of CortexAuth: what a daemon signs, what the agent signs, and what comes of it.

mod callers;
mod refused;
mod sessions;
mod vectors;

use super::{id, key, set};
use crate::fixture::{AGENT, Counting, NOW, PEER, Request, Roots};
use procura_crypto::{MacKey, SigningKey, sha256};
use procura_directory::ForeignRecord;
use procura_proof::agent_session::AgentKeyMark;
use procura_proof::foreign::legacy::{
    ATTESTATION, AuthProof, LEGACY_SESSION_LIFE, LegacyCaller, LegacyKey, LegacyKeys, LegacyMark,
    LegacyRequest, LegacySubject, issue_legacy,
};
use procura_proof::foreign::{ForeignPending, ForeignVerifier, KeysUnavailable};
use procura_proof::{Case, Limits, MemoryGuard, Refusal, ReplayGuard, Windows};
use procura_types::{Duration, ForeignId, Timestamp, encoding};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const SCRIBE: &str = "scribe";
const CLERK: &str = "clerk.v-2_B";
const JTI: &str = "3b9c2f70-7f1e-4d1b-9b60-0a1c3a7d5e21";
const NONCE: &str = "0011223344556677";
const TOKEN: &str = "agent:scribe";

/// Keys on record; `None` cannot be read.
struct Keys(Mutex<Option<HashMap<ForeignId, LegacyKey>>>);

impl LegacyKeys for Keys {
    fn find(&self, agent: &ForeignId) -> Result<Option<LegacyKey>, KeysUnavailable> {
        let keys = self.0.lock().unwrap();
        Ok(keys.as_ref().ok_or(KeysUnavailable)?.get(agent).cloned())
    }
}

/// `scribe` and `clerk`, whose keys are files, and the process of a daemon of `scribe`.
struct World {
    keys: Keys,
    guard: Arc<MemoryGuard>,
    verifier: ForeignVerifier,
    roots: Arc<Roots>,
    entropy: Counting,
    agent: SigningKey,
    process: SigningKey,
    session: String,
}

fn mark(agent: &str, key: &SigningKey, file: &str) -> LegacyMark {
    let key = key.public().thumbprint();
    let mark = AgentKeyMark::File {
        key: &key,
        file: file.as_bytes(),
    };
    LegacyMark::of(&id(agent), &mark)
}

fn on_record(agent: &str, key: &SigningKey) -> LegacyKey {
    LegacyKey {
        public: key.public().clone(),
        mark: mark(agent, key, "inode 1"),
        revoked: false,
    }
}

/// The id of an agent, bound to `AGENT`.
fn bound(agent: &str, released: Option<Timestamp>) -> ForeignRecord {
    ForeignRecord {
        id: id(agent),
        actor: AGENT,
        device: None,
        created: NOW,
        released,
    }
}

fn signed(key: &SigningKey, message: &str) -> String {
    encoding::b64url(&key.sign(message.as_bytes()).unwrap())
}

/// What is sent beside a session.
#[derive(Clone)]
struct Sent {
    ts: String,
    jti: String,
    token: String,
}

impl Sent {
    fn now() -> Self {
        Self {
            ts: NOW.as_secs().to_string(),
            jti: JTI.to_owned(),
            token: TOKEN.to_owned(),
        }
    }
}

fn discovery() -> Request {
    Request {
        method: "POST".to_owned(),
        path: "/agent/discover".to_owned(),
        query: None,
        headers: Vec::new(),
        body: br#"{"agent_id":"scribe"}"#.to_vec(),
        ..Request::get()
    }
}

impl World {
    fn new() -> Self {
        let (agent, process) = (key(11), key(21));
        let keys = [
            (id(SCRIBE), on_record(SCRIBE, &agent)),
            (id(CLERK), on_record(CLERK, &key(12))),
        ];
        let guard = Arc::new(MemoryGuard::new(
            MacKey::from_bytes(&[9; 32]).unwrap(),
            Limits::default(),
            Windows::FOREIGN,
        ));
        let (roots, entropy) = (Roots::new(7, 3), Counting::default());
        let mut world = Self {
            keys: Keys(Mutex::new(Some(keys.into()))),
            verifier: ForeignVerifier::new(Arc::clone(&guard) as Arc<dyn ReplayGuard>).unwrap(),
            guard,
            roots,
            entropy,
            agent,
            process,
            session: String::new(),
        };
        world.session = world.issue(SCRIBE, &world.process, 7, NOW);
        world
    }

    fn issue(&self, agent: &str, process: &SigningKey, seq: u64, now: Timestamp) -> String {
        let key = if agent == SCRIBE { key(11) } else { key(12) };
        let subject = LegacySubject {
            binding: &bound(agent, None),
            mark: &mark(agent, &key, "inode 1"),
            process: process.public(),
            directory_seq: seq,
        };
        let issued = issue_legacy(self.roots.as_ref(), &subject, now, &self.entropy).unwrap();
        assert_eq!(issued.expires, now.plus(LEGACY_SESSION_LIFE));
        issued.session_id
    }

    /// A request with the header of a daemon.
    fn sign(&self, request: &Request, sent: &Sent) -> Request {
        let hash = encoding::hex(&sha256(&request.body));
        let Sent { ts, jti, token } = sent;
        let (method, path) = (&request.method, &request.path);
        let message = format!("{ts}|{jti}|{method}|{path}|{hash}|{token}");
        let signature = signed(&self.process, &message);
        let session = &self.session;
        let line = format!("{session}.{ts}.{jti}.{hash}.{token}.{signature}");
        request.clone().with(ATTESTATION, &line)
    }

    fn good(&self) -> Request {
        self.sign(&discovery(), &Sent::now())
    }

    fn settle<T>(&self, pending: ForeignPending<T>) -> Result<T, Refusal> {
        let guard: &dyn ReplayGuard = self.guard.as_ref();
        let claimed = pending.claim().map(|claim| guard.claim(&claim));
        pending.settle(claimed)
    }

    fn verify(
        &self,
        request: &Request,
        token: &str,
        now: Timestamp,
    ) -> Result<LegacyCaller, Refusal> {
        let request = LegacyRequest {
            headers: &request.headers,
            method: &request.method,
            path: &request.path,
            body: &request.body,
            token,
        };
        let roots = self.roots.as_ref();
        let pending = self
            .verifier
            .prepare_legacy(roots, &self.keys, &request, now, PEER)?;
        self.settle(pending)
    }

    fn case(&self, request: &Request) -> Option<Case> {
        self.case_at(request, NOW)
    }

    fn case_at(&self, request: &Request, now: Timestamp) -> Option<Case> {
        let verified = self.verify(request, TOKEN, now);
        verified.err().map(|refusal| refusal.case)
    }

    fn proof(
        &self,
        agent: &str,
        ts: u64,
        nonce: &str,
        signature: &str,
        now: Timestamp,
    ) -> Option<Case> {
        let proof = AuthProof {
            agent: &id(agent),
            ts,
            nonce,
            signature,
        };
        let pending = self.verifier.prepare_auth_proof(&self.keys, &proof, now);
        let verified = pending.and_then(|pending| self.settle(pending));
        verified.err().map(|refusal| refusal.case)
    }
}

fn after(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

/// The header with one of its six parts made another.
fn part(request: &Request, place: usize, other: &str) -> Request {
    let line = request.header(ATTESTATION).to_owned();
    let mut parts: Vec<&str> = line.split('.').collect();
    assert_eq!(parts.len(), 6);
    parts[place] = other;
    set(request, ATTESTATION, &parts.join("."))
}

/// Provokes the cases that this profile has alone, and that of two lines.
pub(crate) fn provoke(case: Case) -> Vec<Refusal> {
    let world = World::new();
    let good = world.good();
    let line = good.header(ATTESTATION).to_owned();
    let requests = match case {
        Case::LegacyMissing => vec![discovery()],
        Case::ForeignDoubled => vec![good.clone().with(ATTESTATION, &line)],
        Case::LegacyForm => {
            let mut bad = vec![
                set(&good, ATTESTATION, ""),
                set(&good, ATTESTATION, "a.b.c.d.e"),
                set(&good, ATTESTATION, &line.replace(TOKEN, "agent:\u{e9}")),
            ];
            let long = |letter: &str, times| letter.repeat(times);
            let (session, jti, hash) = (long("s", 513), long("a", 129), long("g", 64));
            let (short, upper, long) = (long("0", 63), long("A", 64), long("t", 257));
            for (place, others) in [
                (0, &["", &session][..]),
                (1, &["", "-1", "+1", "0x10", "now"]),
                (2, &["", "1234567", "1234|678", &jti]),
                (3, &["", &short, &upper, &hash]),
                (4, &["", &long]),
                (5, &["", &long]),
            ] {
                bad.extend(others.iter().map(|other| part(&good, place, other)));
            }
            bad
        }
        Case::LegacyTokenOther => {
            let as_another = |token: &str| {
                let sent = Sent {
                    token: token.to_owned(),
                    ..Sent::now()
                };
                world.sign(&discovery(), &sent)
            };
            vec![
                as_another("agent:clerk.v-2_B"),
                as_another("agent:scrib"),
                as_another("x"),
            ]
        }
        other => panic!("{other:?} is not of this profile alone"),
    };
    let refusals = requests.iter().map(|request| {
        let verified = world.verify(request, TOKEN, NOW);
        verified.expect_err("it was let in")
    });
    refusals.collect()
}
