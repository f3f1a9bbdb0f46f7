//! A small world: an owner, its agent, their devices, a verifier.

use procura_crypto::{LockedKey, MacKey, PublicKey, SigningKey};
use procura_directory::{
    ActorKind, ActorRecord, Change, DeviceRecord, QuarantineRecord, Snapshot, Suspect,
};
use procura_proof::session::{self, Issued, Subject, audience_key};
use procura_proof::sign::{Signed, Signer, sign_request};
use procura_proof::{
    Caller, Limits, MemoryGuard, Refusal, ReplayGuard, RequestView, SessionKeys, Verifier, Windows,
};
use procura_types::{ActorId, Alg, Entropy, EntropyError, Secret, Thumbprint, Timestamp};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
pub(crate) const AUDIENCE: &str = "procura";
pub(crate) const OWNER: ActorId = ActorId::from_bytes([1; 32]);
pub(crate) const AGENT: ActorId = ActorId::from_bytes([2; 32]);
pub(crate) const SEQ: u64 = 40;

/// Never the same bytes twice.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(8) {
            let next = self
                .0
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&next.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Session roots that a test can take away.
pub(crate) struct Roots(pub(crate) Mutex<Option<(u32, Arc<LockedKey>)>>);

impl Roots {
    pub(crate) fn new(epoch: u32, byte: u8) -> Arc<Self> {
        let root = LockedKey::new(Secret::new([byte; 32])).unwrap();
        Arc::new(Self(Mutex::new(Some((epoch, Arc::new(root))))))
    }
}

impl SessionKeys for Roots {
    fn accepts(&self, epoch: u32) -> bool {
        self.current() == Some(epoch)
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        let held = self.0.lock().unwrap();
        held.as_ref()
            .filter(|(known, _)| *known == epoch)
            .map(|(_, root)| audience_key(root, audience))
    }
    fn current(&self) -> Option<u32> {
        self.0.lock().unwrap().as_ref().map(|(epoch, _)| *epoch)
    }
}

pub(crate) struct World {
    pub(crate) directory: Snapshot,
    pub(crate) verifier: Verifier,
    pub(crate) guard: Arc<MemoryGuard>,
    pub(crate) roots: Arc<Roots>,
    pub(crate) entropy: Counting,
    /// The agent's.
    pub(crate) ed25519: SigningKey,
    /// The owner's.
    pub(crate) p256: SigningKey,
}

pub(crate) fn owner(root_key: &PublicKey, revoked: Option<Timestamp>) -> Change {
    let kind = ActorKind::Owner {
        name: "alice".parse().unwrap(),
        alg: Alg::P256,
        root_key: root_key.clone(),
    };
    Change::Actor(ActorRecord {
        id: OWNER,
        kind,
        owner: OWNER,
        created: NOW,
        revoked,
        sources: Vec::new(),
        display_name: None,
    })
}

pub(crate) fn agent(revoked: Option<Timestamp>) -> Change {
    let kind = ActorKind::Agent {
        parent: OWNER,
        namespace: "lab".parse().unwrap(),
        label: "scribe".parse().unwrap(),
        incarnation: 1,
    };
    Change::Actor(ActorRecord {
        id: AGENT,
        kind,
        owner: OWNER,
        created: NOW,
        revoked,
        sources: Vec::new(),
        display_name: None,
    })
}

/// The agent, or its owner, held to some addresses.
pub(crate) fn held(change: Change, sources: &[&str]) -> Change {
    let Change::Actor(actor) = change else {
        return change;
    };
    let sources = sources.iter().map(|block| block.parse().unwrap());
    Change::Actor(ActorRecord {
        sources: sources.collect(),
        ..actor
    })
}

/// Something in quarantine, or let out at a state of the directory.
pub(crate) fn quarantined(suspect: Suspect, lifted: Option<u64>) -> Change {
    Change::Quarantine(QuarantineRecord {
        suspect,
        actor: AGENT,
        since: NOW,
        by: None,
        canary: None,
        lifted,
        lifted_at: None,
    })
}

pub(crate) fn device(key: &PublicKey, actor: ActorId, revoked: Option<Timestamp>) -> Change {
    Change::Device(DeviceRecord {
        thumbprint: key.thumbprint(),
        actor,
        key: key.clone(),
        created: NOW,
        revoked,
    })
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let entropy = Counting::default();
        let ed25519 = SigningKey::generate_ed25519(&entropy).unwrap();
        let p256 = SigningKey::generate_p256(&entropy).unwrap();
        let directory = Snapshot::default().apply(
            SEQ,
            [
                owner(p256.public(), None),
                agent(None),
                device(ed25519.public(), AGENT, None),
                device(p256.public(), OWNER, None),
            ],
        );
        let guard = Arc::new(MemoryGuard::new(
            MacKey::from_bytes(&[9; 32]).unwrap(),
            limits,
            Windows::NATIVE,
        ));
        let roots = Roots::new(7, 3);
        let verifier = Verifier::new(
            AUDIENCE,
            Arc::clone(&guard) as Arc<dyn ReplayGuard>,
            Arc::clone(&roots) as Arc<dyn SessionKeys>,
        )
        .unwrap();
        Self {
            directory,
            verifier,
            guard,
            roots,
            entropy,
            ed25519,
            p256,
        }
    }

    pub(crate) fn device(&self) -> Thumbprint {
        self.ed25519.public().thumbprint()
    }

    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.directory = self.directory.apply(self.directory.seq() + 1, changes);
    }

    pub(crate) fn verify(&self, request: &Request) -> Result<Caller, Refusal> {
        self.verify_at(request, NOW)
    }

    pub(crate) fn verify_at(&self, request: &Request, now: Timestamp) -> Result<Caller, Refusal> {
        self.verifier
            .verify(&self.directory, &request.view(), now, PEER)
    }

    pub(crate) fn sign(&self, request: &Request) -> Request {
        self.sign_at(request, NOW)
    }

    pub(crate) fn sign_at(&self, request: &Request, now: Timestamp) -> Request {
        self.sign_with(request, Signer::Device(&self.ed25519), now)
    }

    pub(crate) fn sign_with(
        &self,
        request: &Request,
        signer: Signer<'_>,
        now: Timestamp,
    ) -> Request {
        let Signed { headers, .. } =
            sign_request(&request.view(), signer, now, &self.entropy).unwrap();
        let mut signed = request.clone();
        for (name, value) in headers {
            signed.headers.push((name.to_owned(), value.into_bytes()));
        }
        signed
    }

    /// A session of the agent's device.
    pub(crate) fn session(&self) -> Issued {
        self.issue(AUDIENCE, NOW, NOW)
    }

    pub(crate) fn issue(&self, audience: &str, now: Timestamp, first: Timestamp) -> Issued {
        let subject = Subject {
            actor: AGENT,
            device: self.device(),
        };
        let roots = self.roots.as_ref();
        let seq = self.directory.seq();
        session::issue(roots, &subject, audience, now, first, seq, &self.entropy).unwrap()
    }

    pub(crate) fn sign_under(&self, request: &Request, session: &Issued, counter: u64) -> Request {
        self.sign_under_at(request, session, counter, NOW)
    }

    pub(crate) fn sign_under_at(
        &self,
        request: &Request,
        session: &Issued,
        counter: u64,
        now: Timestamp,
    ) -> Request {
        let mac_key = MacKey::from_bytes(session.mac_key.expose()).unwrap();
        let signer = Signer::Session {
            id: &session.session_id,
            mac_key: &mac_key,
            counter,
        };
        self.sign_with(request, signer, now)
    }
}

/// A request that can be changed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) scheme: Option<&'static str>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn get() -> Self {
        Self {
            method: "GET".to_owned(),
            authority: "127.0.0.1:7310".to_owned(),
            scheme: None,
            path: "/v1/namespaces/lab/secrets/api".to_owned(),
            query: Some("version=3".to_owned()),
            headers: vec![("accept".to_owned(), b"application/json".to_vec())],
            body: Vec::new(),
        }
    }

    /// With a body and every field that then has to be covered.
    pub(crate) fn put() -> Self {
        Self {
            method: "PUT".to_owned(),
            query: None,
            body: br#"{"value_b64":"aGVsbG8"}"#.to_vec(),
            ..Self::get()
        }
        .with("content-type", "application/json")
        .with("content-encoding", "identity")
        .with("authorization", "Bearer abc")
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            authority: &self.authority,
            scheme: self.scheme,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// With one more line.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers
            .push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let (_, value) = self
            .headers
            .iter()
            .find(|(known, _)| known == name)
            .unwrap();
        std::str::from_utf8(value).unwrap()
    }

    /// With the first `from` in a field made `to`; it has to be there.
    pub(crate) fn edit(mut self, name: &str, from: &str, to: &str) -> Self {
        let (_, value) = self
            .headers
            .iter_mut()
            .find(|(known, _)| known == name)
            .unwrap();
        let text = String::from_utf8(value.clone()).unwrap();
        assert!(text.contains(from), "{text} has no {from}");
        *value = text.replacen(from, to, 1).into_bytes();
        self
    }

    /// With a parameter of `Signature-Input` made another.
    pub(crate) fn input(self, from: &str, to: &str) -> Self {
        self.edit("signature-input", from, to)
    }
}
