//! What the entries say, read in order: that they fit together, and that each
//! approval carries the signed yes of a person who could give it.

use crate::entry::{Decision, Phase};
use crate::forgetting::{Carried, Open, Said};
use crate::passkey::{Passkey, PasskeyEnrolment, passkey_receipt};
use crate::{Entry, Finding, FindingKind, GrantTerms, Interrupted, receipt_message};
use procura_crypto::{PublicKey, SignatureAlgorithm, owner_id};
use procura_types::wire::{Receipt, ReceiptAssertion};
use procura_types::{ActorId, Alg, EntryId, GrantId, Thumbprint, Timestamp, TraceId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Entries of these actions bind their device to their actor.
const BINDING: [&str; 3] = ["installation.init", "device.join", "operator.join"];
/// Of a restored home: an entry with a device binds it to its actor, as those do.
const RESTORE: &str = "installation.restore";
/// Their resource is `device/<thumbprint>`, with `passkey/<thumbprint>` of each that goes
/// with it behind.
const DEVICE_REVOKE: [&str; 2] = ["device.revoke", "operator.device.revoke"];
/// Entries of these actions make an owner of the name in `operator/<name>`, which
/// the owner's roles may follow after a space.
const OWNER_MADE: [&str; 2] = ["installation.init", "operator.join"];
/// Its resource is `operator/<name>`.
const OPERATOR_REVOKE: &str = "operator.revoke";
/// Its resource is `passkey/<thumbprint>`, with the key and the site behind it.
const PASSKEY_ENROL: &str = "operator.passkey.enrol";
/// Its resource is `passkey/<thumbprint>`, in a browser with `by:` and the one that answered.
const PASSKEY_REMOVE: &str = "operator.passkey.remove";
/// It carries a receipt.
const APPROVE: &str = "request.approve";

/// What an intent and its outcome share: the request, and the hash of action
/// and resource (a hash, so that a long log fits in memory).
type Pair = (TraceId, u64);

fn pair(trace: TraceId, action: &str, resource: Option<&str>) -> Pair {
    let mut hash = DefaultHasher::new();
    (action, resource).hash(&mut hash);
    (trace, hash.finish())
}

/// Reads entries one by one and keeps what later ones are held against.
pub(crate) struct Audit {
    /// `procura/<installation id>`, possibly with more segments.
    origin: String,
    ids: HashSet<EntryId>,
    devices: HashMap<Thumbprint, ActorId>,
    passkeys: HashMap<Thumbprint, Passkey>,
    /// The owner who bore a name last, by resource.
    owners: HashMap<String, ActorId>,
    revoked_devices: HashMap<Thumbprint, u64>,
    revoked_actors: HashMap<ActorId, u64>,
    /// How many intents an outcome may still follow, and those that it must.
    intents: HashMap<Pair, u64>,
    open: HashMap<Pair, VecDeque<Open>>,
    /// Grants that were approved, where, and until when they hold.
    approved: HashMap<GrantId, (u64, Timestamp)>,
    pub(crate) receipts: u64,
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    /// Entries that say that others are forgotten.
    pub(crate) said: Vec<Said>,
    /// The time of the latest entry that was forgotten before.
    newest: Option<Timestamp>,
    /// Until then an outcome may follow an intent that is forgotten.
    forgiven: Option<Timestamp>,
}

impl Audit {
    pub(crate) fn new(origin: &str) -> Self {
        Self::after(origin, &Carried::new())
    }

    /// Goes on behind entries that are forgotten, with what they left behind.
    pub(crate) fn after(origin: &str, carried: &Carried) -> Self {
        let mut audit = Self {
            origin: origin.to_owned(),
            ids: HashSet::new(),
            devices: carried.devices.clone().into_iter().collect(),
            passkeys: carried.passkeys.clone().into_iter().collect(),
            owners: carried.owners.clone().into_iter().collect(),
            revoked_devices: carried.revoked_devices.clone().into_iter().collect(),
            revoked_actors: carried.revoked_actors.clone().into_iter().collect(),
            intents: HashMap::new(),
            open: HashMap::new(),
            approved: carried.approved.clone().into_iter().collect(),
            receipts: 0,
            span: None,
            said: Vec::new(),
            newest: carried.newest,
            forgiven: carried.outcomes_until(),
        };
        for open in &carried.open {
            let pair = pair(open.trace, &open.action, open.resource.as_deref());
            *audit.intents.entry(pair).or_default() += 1;
            audit.open.entry(pair).or_default().push_back(open.clone());
        }
        audit
    }

    /// What is left behind of all entries so far, of which there are so many.
    pub(crate) fn carried(&self, entries: u64) -> Carried {
        let latest = self.span.map(|(_, latest)| latest);
        let newest = self.newest.max(latest);
        let held = |until: Timestamp| newest.is_none_or(|newest| until > newest);
        let approved = self.approved.clone().into_iter();
        let mut open: Vec<Open> = self.open.values().flatten().cloned().collect();
        open.sort_by_key(|open| open.entry);
        Carried {
            entries,
            newest,
            devices: self.devices.clone().into_iter().collect(),
            passkeys: self.passkeys.clone().into_iter().collect(),
            owners: self.owners.clone().into_iter().collect(),
            revoked_devices: self.revoked_devices.clone().into_iter().collect(),
            revoked_actors: self.revoked_actors.clone().into_iter().collect(),
            approved: approved.filter(|(_, (_, until))| held(*until)).collect(),
            open,
            ..Carried::new()
        }
    }

    /// Outside effects that have no outcome, by index.
    pub(crate) fn into_interrupted(self) -> Vec<Interrupted> {
        let open = self.open.into_values().flatten();
        let mut open: Vec<_> = open.map(|open| open.shown()).collect();
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
            self.said.extend(Said::of(index, &entry)?);
        }
        Ok(())
    }

    fn pair(&mut self, index: u64, entry: &Entry) -> Result<(), Finding> {
        let pair = pair(entry.trace, &entry.action, entry.resource.as_deref());
        let waiting = self.intents.entry(pair).or_default();
        match entry.phase {
            Phase::Intent => {
                *waiting += 1;
                if entry.awaits_outcome() {
                    self.open.entry(pair).or_default().push_back(Open {
                        entry: index,
                        id: entry.id,
                        time: entry.time,
                        action: entry.action.to_string(),
                        resource: entry.resource.clone(),
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
            // Its intent may be one of those that are forgotten.
            Phase::Outcome if self.forgiven.is_some_and(|until| entry.time <= until) => {}
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
        let is_seat = entry.action == RESTORE && entry.device.is_some();
        if is_seat || BINDING.contains(&entry.action.as_ref()) {
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
            let (device, passkeys) = revoked_device(entry)
                .ok_or_else(|| malformed("device/<thumbprint> passkey/<thumbprint> …"))?;
            self.revoked_devices.entry(device).or_insert(index);
            for passkey in passkeys {
                self.removed(&passkey, index);
            }
        } else if entry.action == OPERATOR_REVOKE {
            let actor = entry
                .resource
                .as_ref()
                .and_then(|name| self.owners.get(name));
            let actor = *actor.ok_or_else(|| malformed("operator/<name> of one who joined"))?;
            self.revoked_actors.entry(actor).or_insert(index);
        } else if entry.action == PASSKEY_ENROL {
            self.enrolled(index, entry)?;
        } else if entry.action == PASSKEY_REMOVE {
            let removed =
                removed_passkey(entry).ok_or_else(|| malformed("passkey/<thumbprint>"))?;
            self.removed(&removed, index);
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
        match &receipt.assertion {
            Some(assertion) => self.asserted(index, receipt, assertion, &key)?,
            None => self.signed(index, receipt, &key)?,
        }
        // A yes is given once: withdrawing it would otherwise not last.
        let approved = self.approved.insert(terms.grant, (index, terms.until));
        if let Some((first, _)) = approved {
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

    /// Signed by a device of the approver's.
    fn signed(&self, index: u64, receipt: &Receipt, key: &PublicKey) -> Result<(), Finding> {
        if !key.verify(&receipt_message(&receipt.grant), &receipt.signature) {
            return Err(finding(FindingKind::ReceiptNotSigned, index)
                .expected(format_args!("a signature by device {}", receipt.device)));
        }
        self.could_sign(index, receipt, key)
    }

    /// Signed by a passkey of the approver's, which was asked for just this by a page of
    /// the site that it was enrolled for.
    fn asserted(
        &self,
        index: u64,
        receipt: &Receipt,
        assertion: &ReceiptAssertion,
        key: &PublicKey,
    ) -> Result<(), Finding> {
        let of_approver = format!("a passkey of {}", receipt.approver);
        let unknown = |found: String| {
            finding(FindingKind::ReceiptDeviceUnknown, index)
                .expected(&of_approver)
                .found(found)
        };
        let passkey = self.passkeys.get(&receipt.device).ok_or_else(|| {
            unknown(format!(
                "passkey {}, which was never enrolled",
                receipt.device
            ))
        })?;
        if passkey.actor != receipt.approver {
            return Err(unknown(format!("a passkey of actor {}", passkey.actor)));
        }
        passkey_receipt(&passkey.relying_party, key, receipt, assertion).map_err(|flaw| {
            finding(FindingKind::ReceiptNotSigned, index)
                .expected(format_args!("an assertion by passkey {}", receipt.device))
                .found(flaw)
        })?;
        let revoked = self.revoked_actors.get(&receipt.approver).copied();
        match passkey.removed.or(revoked) {
            None => Ok(()),
            Some(entry) => Err(finding(FindingKind::ReceiptDeviceRevoked, index)
                .found(format_args!("its removal in entry {entry}"))),
        }
    }

    /// A passkey is none from this entry on.
    fn removed(&mut self, passkey: &Thumbprint, index: u64) {
        if let Some(passkey) = self.passkeys.get_mut(passkey) {
            passkey.removed.get_or_insert(index);
        }
    }

    /// A passkey was enrolled: its entry says whose it is, its key and its site.
    fn enrolled(&mut self, index: u64, entry: &Entry) -> Result<(), Finding> {
        let said = entry.resource.as_deref().unwrap_or("none");
        let enrolment = PasskeyEnrolment::of_resource(said).zip(entry.actor);
        let (enrolment, actor) = enrolment.ok_or_else(|| {
            finding(FindingKind::EntryMalformed, index)
                .expected("passkey/<thumbprint> key:<key> rp:<site> of an actor")
                .found(said)
        })?;
        let id = enrolment.key.thumbprint();
        let passkey = Passkey {
            actor,
            relying_party: enrolment.relying_party,
            removed: None,
        };
        if self.passkeys.insert(id, passkey).is_some() {
            return Err(finding(FindingKind::PasskeyRebound, index)
                .expected("a passkey that was never enrolled")
                .found(id));
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

/// The passkey that an entry removes; in a browser it says which one answered for that.
fn removed_passkey(entry: &Entry) -> Option<Thumbprint> {
    let mut words = entry.resource.as_deref()?.split(' ');
    let removed = words.next()?.strip_prefix("passkey/")?.parse().ok()?;
    if let Some(by) = words.next() {
        by.strip_prefix("by:passkey/")?.parse::<Thumbprint>().ok()?;
    }
    words.next().is_none().then_some(removed)
}

/// The device that an entry revokes, and the passkeys that go with it.
fn revoked_device(entry: &Entry) -> Option<(Thumbprint, Vec<Thumbprint>)> {
    let mut words = entry.resource.as_deref()?.split(' ');
    let device = words.next()?.strip_prefix("device/")?.parse().ok()?;
    let passkeys = words.map(|word| word.strip_prefix("passkey/")?.parse().ok());
    Some((device, passkeys.collect::<Option<_>>()?))
}

const fn finding(kind: FindingKind, index: u64) -> Finding {
    Finding::new(kind).at_entry(index)
}
