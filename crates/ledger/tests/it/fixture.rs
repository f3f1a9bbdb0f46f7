//! A small installation whose log the tests write, export and damage.

use procura_crypto::{SigningKey, owner_id, sha256};
use procura_ledger::{
    Checkpoint, Decision, Entry, Frontier, GrantTerms, NoteSigner, OUTSIDE, Phase, ReadError,
    ReadFile, SUMMARY, Summary, TileWriter, Vkey, grant_bytes, origin, receipt_message,
};
use procura_types::wire::{GrantItem, Receipt};
use procura_types::{
    ActorId, Alg, Delivery, Entropy, EntropyError, GrantId, InstallationId, Thumbprint, Timestamp,
    TraceId,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Randomness that is the same in every run.
pub(crate) struct Counting(AtomicU64);

impl Counting {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(32) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&sha256(&next.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

/// A person with a root key and one device.
pub(crate) struct Person {
    pub(crate) actor: ActorId,
    pub(crate) root: SigningKey,
    pub(crate) device: SigningKey,
}

impl Person {
    pub(crate) fn thumbprint(&self) -> Thumbprint {
        self.device.public().thumbprint()
    }
}

/// An export in memory.
#[derive(Clone, Default)]
pub(crate) struct Export(pub(crate) BTreeMap<String, Vec<u8>>);

impl ReadFile for Export {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        self.0.get(name).cloned().ok_or(ReadError::Missing)
    }
}

/// Writes entries and exports them.
pub(crate) struct Log {
    pub(crate) entropy: Counting,
    pub(crate) installation: InstallationId,
    pub(crate) signer: NoteSigner,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) time: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        let entropy = Counting::new(0);
        let now = Timestamp::from_millis(1_795_252_357_123);
        let installation = InstallationId::generate(now, &entropy).unwrap();
        let key = SigningKey::generate_ed25519(&entropy).unwrap();
        let signer = NoteSigner::new(&origin(&installation), key).unwrap();
        Self {
            entropy,
            installation,
            signer,
            entries: Vec::new(),
            time: now.as_millis(),
        }
    }

    pub(crate) fn vkey(&self) -> &Vkey {
        self.signer.vkey()
    }

    pub(crate) fn person(&self) -> Person {
        let root = SigningKey::generate_p256(&self.entropy).unwrap();
        Person {
            actor: owner_id(Alg::P256, root.public().as_bytes()),
            device: SigningKey::generate_ed25519(&self.entropy).unwrap(),
            root,
        }
    }

    /// A fresh entry, a second after the last one; not yet in the log.
    pub(crate) fn entry(&mut self, action: &'static str) -> Entry {
        self.time += 1000;
        let now = Timestamp::from_millis(self.time);
        let trace = TraceId::generate(now, &self.entropy).unwrap();
        Entry::new(now, &self.entropy, action, trace).unwrap()
    }

    pub(crate) fn by(&mut self, person: &Person, action: &'static str) -> Entry {
        let makes_owner = ["installation.init", "operator.join"].contains(&action);
        Entry {
            actor: Some(person.actor),
            owner: Some(person.actor),
            device: Some(person.thumbprint()),
            resource: makes_owner.then(|| format!("operator/{}", person.actor)),
            profile: "native".into(),
            ip: Some("127.0.0.1".parse().unwrap()),
            ..self.entry(action)
        }
    }

    /// Appends and gives the index.
    pub(crate) fn push(&mut self, entry: &Entry) -> u64 {
        self.entries.push(entry.to_bytes().unwrap());
        self.entries.len() as u64 - 1
    }

    pub(crate) fn terms(&self) -> GrantTerms {
        let now = Timestamp::from_millis(self.time);
        GrantTerms {
            installation: self.installation,
            grant: GrantId::generate(now, &self.entropy).unwrap(),
            namespace: "shop".parse().unwrap(),
            agent: ActorId::from_bytes([7; 32]),
            project: "web".parse().unwrap(),
            delivery: Delivery::Env,
            from: now,
            until: Timestamp::from_millis(self.time + 86_400_000),
            items: vec![GrantItem {
                name: "API_KEY".parse().unwrap(),
                path: "stripe/key".parse().unwrap(),
            }],
        }
    }

    /// The entry of an approval that is right in all respects.
    pub(crate) fn approval(&mut self, person: &Person, key: &SigningKey) -> Entry {
        let terms = self.terms();
        let grant = grant_bytes(&terms);
        let entry = self.by(person, "request.approve");
        let receipt = Receipt {
            approver: person.actor,
            device: key.public().thumbprint(),
            key: key.public().to_jwk(),
            time: entry.time,
            signature: key.sign(&receipt_message(&grant)).unwrap(),
            grant,
            assertion: None,
        };
        Entry {
            namespace: Some(terms.namespace),
            grant: Some(terms.grant),
            resource: Some("web".to_owned()),
            approval: Some(Box::new(receipt)),
            ..entry
        }
    }

    pub(crate) fn checkpoint(&self, size: usize) -> Checkpoint {
        let tree: Frontier = self.entries[..size]
            .iter()
            .map(|entry| procura_ledger::leaf_hash(entry))
            .collect();
        Checkpoint {
            origin: origin(&self.installation),
            size: tree.size(),
            root: tree.root(),
            seq: Some(1000 + tree.size()),
            set: Some(sha256(b"set")),
            extensions: Vec::new(),
        }
    }

    pub(crate) fn export(&self) -> Export {
        self.export_first(self.entries.len())
    }

    pub(crate) fn export_first(&self, size: usize) -> Export {
        let mut writer = TileWriter::new();
        for entry in &self.entries[..size] {
            writer.push(entry).unwrap();
        }
        let mut export = Export::default();
        for file in writer.flush().files {
            export.0.insert(file.path.to_string(), file.bytes);
        }
        let note = self.checkpoint(size).sign(&self.signer).unwrap();
        export.0.insert("checkpoint".to_owned(), note.into_bytes());
        export
    }
}

/// A log with one entry of every kind that the verifier looks at: 13 entries,
/// two receipts, one interrupted effect.
pub(crate) fn story() -> (Log, Person) {
    let mut log = Log::new();
    let person = log.person();
    let agent = log.person();
    let init = log.by(&person, "installation.init");
    log.push(&init);
    let join = log.by(&agent, "device.join");
    log.push(&join);
    let denied = Entry {
        decision: Decision::Deny,
        reason: Some("bad_signature".into()),
        ..log.entry("secret.read")
    };
    log.push(&denied);
    let flood = Entry {
        decision: Decision::Deny,
        reason: Some(SUMMARY.into()),
        summary: Some(Summary {
            count: 4711,
            from: denied.time,
            until: denied.time,
        }),
        ..log.entry("authenticate")
    };
    log.push(&flood);
    let approved = log.approval(&person, &person.device);
    log.push(&approved);
    let by_root = log.approval(&person, &person.root);
    log.push(&by_root);
    for path in ["stripe/key", "db/password"] {
        let read = Entry {
            grant: approved.grant,
            namespace: approved.namespace.clone(),
            resource: Some(path.to_owned()),
            ..log.by(&agent, "secret.read")
        };
        log.push(&read);
        if path == "db/password" {
            let failed = Entry {
                id: log.entry("secret.read").id,
                phase: Phase::Outcome,
                decision: Decision::Failed,
                reason: Some("refused".into()),
                ..read
            };
            log.push(&failed);
        }
    }
    for done in [true, false] {
        let begun = Entry {
            reason: Some(OUTSIDE.into()),
            ..log.by(&person, "mail.send")
        };
        log.push(&begun);
        if done {
            let outcome = Entry {
                id: log.entry("mail.send").id,
                phase: Phase::Outcome,
                reason: None,
                ..begun
            };
            log.push(&outcome);
        }
    }
    let revoke = Entry {
        resource: Some(format!("device/{}", agent.thumbprint())),
        ..log.by(&person, "device.revoke")
    };
    log.push(&revoke);
    (log, person)
}
