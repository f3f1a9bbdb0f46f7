//! What signed entries say: the input is a bundle, whose entries are put under a
//! tree and signed. A log that passes keeps, seen by slower and simpler code
//! here, the rules of `spec/ledger.md`.

use crate::Verdict;
use crate::story::{Files, STORY};
use crate::world::INSTALLATION;
use procura_crypto::PublicKey;
use procura_ledger::{
    BundleReader, Decision, Entry, GrantTerms, Phase, ReadError, ReadFile, receipt_message,
    verify_export,
};

/// More entries say nothing new, and take long.
const MOST: usize = 64;

struct Log(Files);

impl ReadFile for Log {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        self.0.get(name).cloned().ok_or(ReadError::Missing)
    }
}

pub(crate) fn audit(data: &[u8]) -> Verdict {
    let mut entries = Vec::new();
    for entry in BundleReader::new(data).take(MOST) {
        let Ok(entry) = entry else {
            return Verdict::Refused;
        };
        entries.push(entry.bytes.to_vec());
    }
    let log = Log(STORY.retold(&entries));
    let Ok(report) = verify_export(&log, STORY.vkey(), None) else {
        assert_ne!(entries, STORY.entries);
        return Verdict::Refused;
    };
    let read: Vec<Entry> = entries
        .iter()
        .map(|bytes| Entry::parse(bytes).expect("an entry that parses"))
        .collect();
    let mut grants = Vec::new();
    for (place, entry) in read.iter().enumerate() {
        let before = &read[..place];
        assert!(
            before.iter().all(|other| other.id != entry.id),
            "one id twice"
        );
        let same = |other: &&Entry| {
            (other.trace, &other.action, &other.resource)
                == (entry.trace, &entry.action, &entry.resource)
        };
        if entry.phase == Phase::Outcome {
            let count = |phase| {
                before
                    .iter()
                    .filter(same)
                    .filter(|other| other.phase == phase)
                    .count()
            };
            assert!(
                count(Phase::Intent) > count(Phase::Outcome),
                "nothing begun"
            );
        }
        let approves = entry.action == "request.approve"
            && entry.phase == Phase::Intent
            && entry.decision == Decision::Allow;
        assert_eq!(approves, entry.approval.is_some());
        if let Some(receipt) = &entry.approval {
            let terms = GrantTerms::parse(&receipt.grant).expect("a grant");
            assert_eq!(terms.installation, INSTALLATION);
            assert_eq!(Some(terms.grant), entry.grant);
            assert_eq!(Some(receipt.approver), entry.actor);
            assert!(!grants.contains(&terms.grant), "approved twice");
            grants.push(terms.grant);
            let key = PublicKey::from_jwk(&receipt.key).expect("a key");
            assert_eq!(key.thumbprint(), receipt.device);
            assert!(key.verify(&receipt_message(&receipt.grant), &receipt.signature));
            assert_eq!(terms, STORY.terms, "a grant that nobody signed");
        }
    }
    assert_eq!(report.receipts, u64::try_from(grants.len()).unwrap());
    assert_eq!(report.entries, u64::try_from(entries.len()).unwrap());
    Verdict::Accepted
}
