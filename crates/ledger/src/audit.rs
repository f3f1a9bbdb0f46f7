//! What the entries say, read in order: that they fit together, and that each
//! approval carries the signed yes of a person who could give it.

use crate::entry::{Decision, Phase};
use crate::{Entry, Finding, FindingKind, GrantTerms, Interrupted, receipt_message};
use procura_crypto::{PublicKey, SignatureAlgorithm, owner_id};
use procura_types::wire::Receipt;
use procura_types::{ActorId, Alg, EntryId, GrantId, Thumbprint, Timestamp, TraceId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Entries of these actions bind their device to their actor.
const BINDING: [&str; 3] = ["installation.init", "device.join", "operator.join"];
/// Their resource is `device/<thumbprint>`.
const DEVICE_REVOKE: [&str; 2] = ["device.revoke", "operator.device.revoke"];
/// Entries of these actions make an owner of the name in `operator/<name>`, which
/// the owner's roles may follow after a space.
const OWNER_MADE: [&str; 2] = ["installation.init", "operator.join"];
/// Its resource is `operator/<name>`.
const OPERATOR_REVOKE: &str = "operator.revoke";
/// It carries a receipt.
const APPROVE: &str = "request.approve";

/// What an intent and its outcome share: the request, and the hash of action
/// and resource (a hash, so that a long log fits in memory).
type Pair = (TraceId, u64);

fn pair(entry: &Entry) -> Pair {
    let mut hash = DefaultHasher::new();
    (&entry.action, &entry.resource).hash(&mut hash);
    (entry.trace, hash.finish())
}

/// Reads entries one by one and keeps what later ones are held against.
pub(crate) struct Audit<'a> {
    /// `procura/<installation id>`, possibly with more segments.
    origin: &'a str,
    ids: HashSet<EntryId>,
    devices: HashMap<Thumbprint, ActorId>,
    /// The owner who bore a name last, by resource.
    owners: HashMap<String, ActorId>,
    revoked_devices: HashMap<Thumbprint, u64>,
    revoked_actors: HashMap<ActorId, u64>,
    /// How many intents an outcome may still follow, and those that it must.
    intents: HashMap<Pair, u64>,
    open: HashMap<Pair, VecDeque<Interrupted>>,
    /// Grants that were approved, and where.
    approved: HashMap<GrantId, u64>,
    pub(crate) receipts: u64,
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

impl<'a> Audit<'a> {
    pub(crate) fn new(origin: &'a str) -> Self {
        Self {
            origin,
            ids: HashSet::new(),
            devices: HashMap::new(),
            owners: HashMap::new(),
            revoked_devices: HashMap::new(),
            revoked_actors: HashMap::new(),
            intents: HashMap::new(),
            open: HashMap::new(),
            approved: HashMap::new(),
            receipts: 0,
            span: None,
        }
    }

    /// Outside effects that have no outcome, by index.
    pub(crate) fn into_interrupted(self) -> Vec<Interrupted> {
        let mut open: Vec<_> = self.open.into_values().flatten().collect();
        open.sort_by_key(|open| open.entry);
        open
    }

    /// Reads the next entry.
    pub(crate) fn read(&mut self, index: u64, bytes: &[u8]) -> Result<(), Finding> {
        let entry = Entry::parse(bytes)
            .map_err(|error| finding(FindingKind::EntryMalformed, index).found(error))?;
        if !self.ids.insert(entry.id) {
            return Err(finding(FindingKind::DuplicateId, index).found(entry.id));
        }
        let (from, until) = self.span.unwrap_or((entry.time, entry.time));
        self.span = Some((from.min(entry.time), until.max(entry.time)));
        self.pair(index, &entry)?;
        let approves = entry.action == APPROVE
            && entry.phase == Phase::Intent
            && entry.decision == Decision::Allow;
        match &entry.approval {
            Some(receipt) if approves => self.receipt(index, &entry, receipt)?,
            None if !approves => {}
            Some(_) => {
                return Err(finding(FindingKind::ReceiptMisplaced, index)
                    .expected("a receipt on approvals only")
                    .found(&entry.action));
            }
            None => {
                return Err(finding(FindingKind::ReceiptMisplaced, index)
                    .expected("the approver's receipt")
                    .found("none"));
            }
        }
        if entry.phase == Phase::Intent && entry.decision == Decision::Allow {
            self.bindings(index, &entry)?;
        }
        Ok(())
    }

    fn pair(&mut self, index: u64, entry: &Entry) -> Result<(), Finding> {
        let pair = pair(entry);
        let waiting = self.intents.entry(pair).or_default();
        match entry.phase {
            Phase::Intent => {
                *waiting += 1;
                if entry.awaits_outcome() {
                    self.open.entry(pair).or_default().push_back(Interrupted {
                        entry: index,
                        id: entry.id,
                        time: entry.time,
                        action: entry.action.to_string(),
                        trace: entry.trace,
                    });
                }
            }
            Phase::Outcome if *waiting > 0 => {
                *waiting -= 1;
                if let Some(open) = self.open.get_mut(&pair) {
                    open.pop_front();
                }
            }
            Phase::Outcome => {
                return Err(finding(FindingKind::OutcomeWithoutIntent, index)
                    .expected(format_args!(
                        "an earlier intent of {} in request {}",
                        entry.action, entry.trace
                    ))
                    .found("none"));
            }
        }
        Ok(())
    }

    fn bindings(&mut self, index: u64, entry: &Entry) -> Result<(), Finding> {
        let malformed = |expected: &str| {
            finding(FindingKind::EntryMalformed, index)
                .expected(expected)
                .found(entry.resource.as_deref().unwrap_or("none"))
        };
        if BINDING.contains(&entry.action.as_ref()) {
            let (Some(actor), Some(device)) = (entry.actor, entry.device) else {
                return Err(malformed("the actor and the device that joined"));
            };
            let bound = *self.devices.entry(device).or_insert(actor);
            if bound != actor {
                return Err(finding(FindingKind::DeviceRebound, index)
                    .expected(format_args!("device {device} of actor {bound}"))
                    .found(format_args!("actor {actor}")));
            }
            if OWNER_MADE.contains(&entry.action.as_ref()) {
                let name = entry
                    .resource
                    .as_deref()
                    .and_then(|resource| resource.split(' ').next())
                    .ok_or_else(|| malformed("operator/<name>"))?;
                self.owners.insert(name.to_owned(), actor);
            }
        } else if DEVICE_REVOKE.contains(&entry.action.as_ref()) {
            let device = revoked_device(entry).ok_or_else(|| malformed("device/<thumbprint>"))?;
            self.revoked_devices.entry(device).or_insert(index);
        } else if entry.action == OPERATOR_REVOKE {
            let actor = entry
                .resource
                .as_ref()
                .and_then(|name| self.owners.get(name));
            let actor = *actor.ok_or_else(|| malformed("operator/<name> of one who joined"))?;
            self.revoked_actors.entry(actor).or_insert(index);
        }
        Ok(())
    }

    fn receipt(&mut self, index: u64, entry: &Entry, receipt: &Receipt) -> Result<(), Finding> {
        let terms = GrantTerms::parse(&receipt.grant)
            .map_err(|error| finding(FindingKind::ReceiptMalformed, index).found(error))?;
        self.same_grant(index, entry, receipt, &terms)?;
        let key = PublicKey::from_jwk(&receipt.key).map_err(|_| {
            finding(FindingKind::ReceiptKeyDiffers, index).found("a key that is not valid")
        })?;
        if key.thumbprint() != receipt.device {
            return Err(finding(FindingKind::ReceiptKeyDiffers, index)
                .expected(format_args!("a key with thumbprint {}", receipt.device))
                .found(key.thumbprint()));
        }
        if !key.verify(&receipt_message(&receipt.grant), &receipt.signature) {
            return Err(finding(FindingKind::ReceiptNotSigned, index)
                .expected(format_args!("a signature by device {}", receipt.device)));
        }
        self.could_sign(index, receipt, &key)?;
        // A yes is given once: withdrawing it would otherwise not last.
        if let Some(first) = self.approved.insert(terms.grant, index) {
            return Err(
                finding(FindingKind::ReceiptReused, index).found(format_args!(
                    "the approval of the same grant in entry {first}"
                )),
            );
        }
        self.receipts += 1;
        Ok(())
    }

    /// Installation, grant, namespace and actor, each named twice, agree.
    fn same_grant(
        &self,
        index: u64,
        entry: &Entry,
        receipt: &Receipt,
        terms: &GrantTerms,
    ) -> Result<(), Finding> {
        let installation = self.origin.split('/').nth(1).unwrap_or_default();
        let shown = |id: Option<String>| id.unwrap_or_else(|| "none".to_owned());
        let grant = shown(entry.grant.map(|id| id.to_string()));
        let namespace = shown(entry.namespace.as_ref().map(ToString::to_string));
        let actor = shown(entry.actor.map(|id| id.to_string()));
        let owner = shown(entry.owner.map(|id| id.to_string()));
        let pairs = [
            ("installation", installation, terms.installation.to_string()),
            ("grant", &grant, terms.grant.to_string()),
            ("namespace", &namespace, terms.namespace.to_string()),
            ("approver", &actor, receipt.approver.to_string()),
            // Only owners approve, and an owner is its own owner.
            ("owner", &owner, receipt.approver.to_string()),
        ];
        for (what, expected, found) in pairs {
            if expected != found {
                return Err(finding(FindingKind::ReceiptOfOtherGrant, index)
                    .expected(format_args!("{what} {expected}"))
                    .found(found));
            }
        }
        if terms.from >= terms.until {
            return Err(finding(FindingKind::ReceiptOfOtherGrant, index)
                .expected("an end after the beginning")
                .found(format_args!("{} until {}", terms.from, terms.until)));
        }
        Ok(())
    }

    /// The key was the approver's at this point of the log: a device that
    /// joined before, or the root key that the owner's id is the hash of.
    fn could_sign(&self, index: u64, receipt: &Receipt, key: &PublicKey) -> Result<(), Finding> {
        let alg = match key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => Alg::P256,
            SignatureAlgorithm::Ed25519 => Alg::Ed25519,
        };
        let root = owner_id(alg, key.as_bytes()) == receipt.approver;
        if !root && self.devices.get(&receipt.device) != Some(&receipt.approver) {
            let of = match self.devices.get(&receipt.device) {
                Some(actor) => format!("a device of actor {actor}"),
                None => format!("device {}, which never joined", receipt.device),
            };
            return Err(finding(FindingKind::ReceiptDeviceUnknown, index)
                .expected(format_args!("a device of {}", receipt.approver))
                .found(of));
        }
        let revoked = self
            .revoked_devices
            .get(&receipt.device)
            .or_else(|| self.revoked_actors.get(&receipt.approver));
        match revoked {
            None => Ok(()),
            Some(entry) => Err(finding(FindingKind::ReceiptDeviceRevoked, index)
                .found(format_args!("its revocation in entry {entry}"))),
        }
    }
}

fn revoked_device(entry: &Entry) -> Option<Thumbprint> {
    entry
        .resource
        .as_deref()?
        .strip_prefix("device/")?
        .parse()
        .ok()
}

const fn finding(kind: FindingKind, index: u64) -> Finding {
    Finding::new(kind).at_entry(index)
}
