//! A small log that is the same in every run: who joined, what was approved,
//! read, refused, begun and revoked.

use crate::world::{Counting, INSTALLATION, NOW, key};
use procura_crypto::{SigningKey, owner_id, sha256};
use procura_ledger::{
    Checkpoint, Decision, Entry, Frontier, GrantTerms, NoteSigner, OUTSIDE, Phase, SUMMARY,
    Summary, TileWriter, Vkey, grant_bytes, leaf_hash, origin, receipt_message,
};
use procura_types::wire::{CallerReport, GrantItem, Receipt};
use procura_types::{ActorId, Alg, Delivery, Duration, GrantId, Timestamp, TraceId};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Files of an exported log by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) struct Story {
    signer: NoteSigner,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) terms: GrantTerms,
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint, signed.
    pub(crate) note: String,
    pub(crate) files: Files,
}

pub(crate) static STORY: LazyLock<Story> = LazyLock::new(|| {
    let signer = NoteSigner::new(&origin(&INSTALLATION), key(Alg::Ed25519, 20)).unwrap();
    let mut teller = Teller::new();
    teller.tell();
    let (checkpoint, note, files) = publish(&signer, &teller.entries);
    Story {
        signer,
        entries: teller.entries,
        terms: teller.terms,
        checkpoint,
        note,
        files,
    }
});

impl Story {
    pub(crate) fn vkey(&self) -> &Vkey {
        self.signer.vkey()
    }

    /// Other entries, signed and exported as the log of this installation.
    pub(crate) fn retold(&self, entries: &[Vec<u8>]) -> Files {
        publish(&self.signer, entries).2
    }

    /// The head of the log after the first entries.
    pub(crate) fn head(&self, size: usize) -> Checkpoint {
        head(&self.entries[..size])
    }
}

fn head(entries: &[Vec<u8>]) -> Checkpoint {
    let tree: Frontier = entries.iter().map(|entry| leaf_hash(entry)).collect();
    Checkpoint {
        origin: origin(&INSTALLATION),
        size: tree.size(),
        root: tree.root(),
        seq: Some(1000 + tree.size()),
        set: Some(sha256(b"set")),
        extensions: Vec::new(),
    }
}

fn publish(signer: &NoteSigner, entries: &[Vec<u8>]) -> (Checkpoint, String, Files) {
    let mut writer = TileWriter::new();
    for entry in entries {
        writer.push(entry).unwrap();
    }
    let mut files: Files = writer
        .flush()
        .files
        .into_iter()
        .map(|file| (file.path.to_string(), file.bytes))
        .collect();
    let checkpoint = head(entries);
    let note = checkpoint.sign(signer).unwrap();
    files.insert("checkpoint".to_owned(), note.clone().into_bytes());
    (checkpoint, note, files)
}

struct Teller {
    entropy: Counting,
    time: Timestamp,
    owner: ActorId,
    /// The owner's device, and the agent's.
    device: SigningKey,
    agent: SigningKey,
    terms: GrantTerms,
    entries: Vec<Vec<u8>>,
}

impl Teller {
    fn new() -> Self {
        let entropy = Counting::new();
        let root = key(Alg::P256, 21);
        Self {
            time: NOW,
            owner: owner_id(Alg::P256, root.public().as_bytes()),
            device: key(Alg::Ed25519, 22),
            agent: key(Alg::Ed25519, 23),
            terms: GrantTerms {
                installation: INSTALLATION,
                grant: GrantId::generate(NOW, &entropy).unwrap(),
                namespace: "shop".parse().unwrap(),
                agent: ActorId::from_bytes([7; 32]),
                project: "web".parse().unwrap(),
                delivery: Delivery::Env,
                from: NOW,
                until: NOW.plus(Duration::from_secs(86_400)),
                items: ["API_KEY", "DB"]
                    .map(|name| GrantItem {
                        name: name.parse().unwrap(),
                        path: "stripe/key".parse().unwrap(),
                    })
                    .into(),
            },
            entropy,
            entries: Vec::new(),
        }
    }

    fn entry(&mut self, action: &'static str) -> Entry {
        self.time = self.time.plus(Duration::from_secs(1));
        let trace = TraceId::generate(self.time, &self.entropy).unwrap();
        Entry::new(self.time, &self.entropy, action, trace).unwrap()
    }

    fn by_owner(&mut self, action: &'static str) -> Entry {
        Entry {
            actor: Some(self.owner),
            owner: Some(self.owner),
            device: Some(self.device.public().thumbprint()),
            profile: "native".into(),
            ip: Some("127.0.0.1".parse().unwrap()),
            ..self.entry(action)
        }
    }

    fn by_agent(&mut self, action: &'static str) -> Entry {
        Entry {
            actor: Some(self.terms.agent),
            owner: Some(self.owner),
            device: Some(self.agent.public().thumbprint()),
            profile: "session".into(),
            ..self.entry(action)
        }
    }

    fn push(&mut self, entry: &Entry) {
        self.entries.push(entry.to_bytes().unwrap());
    }

    fn tell(&mut self) {
        let init = Entry {
            resource: Some("operator/alice".to_owned()),
            ..self.by_owner("installation.init")
        };
        let join = self.by_agent("device.join");
        let refused = Entry {
            decision: Decision::Deny,
            reason: Some("bad_signature".into()),
            ..self.entry("authenticate")
        };
        let flood = Entry {
            decision: Decision::Deny,
            reason: Some(SUMMARY.into()),
            summary: Some(Summary {
                count: 4711,
                from: NOW,
                until: self.time,
            }),
            ..self.entry("authenticate")
        };
        for entry in [&init, &join, &refused, &flood] {
            self.push(entry);
        }
        let approved = self.approved();
        self.push(&approved);
        let read = Entry {
            namespace: approved.namespace.clone(),
            resource: Some("stripe/key".to_owned()),
            grant: approved.grant,
            caller: Some(CallerReport {
                pid: Some(17),
                cwd: Some("/srv".to_owned()),
                ..CallerReport::default()
            }),
            ..self.by_agent("secret.read")
        };
        self.push(&read);
        for done in [true, false] {
            let begun = Entry {
                reason: Some(OUTSIDE.into()),
                ..self.by_agent("mail.send")
            };
            self.push(&begun);
            if done {
                let outcome = Entry {
                    id: self.entry("mail.send").id,
                    phase: Phase::Outcome,
                    reason: None,
                    ..begun
                };
                self.push(&outcome);
            }
        }
        let thumbprint = self.agent.public().thumbprint();
        let revoked = Entry {
            resource: Some(format!("device/{thumbprint}")),
            ..self.by_owner("device.revoke")
        };
        self.push(&revoked);
    }

    fn approved(&mut self) -> Entry {
        let grant = grant_bytes(&self.terms);
        let entry = self.by_owner("request.approve");
        let receipt = Receipt {
            approver: self.owner,
            device: self.device.public().thumbprint(),
            key: self.device.public().to_jwk(),
            time: entry.time,
            signature: self.device.sign(&receipt_message(&grant)).unwrap(),
            grant,
            assertion: None,
        };
        Entry {
            namespace: Some(self.terms.namespace.clone()),
            grant: Some(self.terms.grant),
            resource: Some("web".to_owned()),
            approval: Some(Box::new(receipt)),
            ..entry
        }
    }
}
