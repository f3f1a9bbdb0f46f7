//! What the record says that the backup does not know of: what was taken away after it is
//! taken away again before anything is served; what was only added is lost, and said; and
//! where authority was changed in a way that an entry does not tell whole, those whom it
//! may have concerned are held until an operator lets them go on.

use procura_directory::{Snapshot, Suspect};
use procura_ledger::{Decision, Entry, Phase};
use procura_types::{ActorId, ForeignId, GrantId, Label, Namespace, SecretPath, Thumbprint};
use std::collections::BTreeSet;

/// Lines of losses that are kept.
const LOSSES: usize = 1000;

/// What is done to a restored home.
#[derive(Debug, Default)]
pub(super) struct Measures {
    pub(super) devices: BTreeSet<Thumbprint>,
    pub(super) agents: BTreeSet<(Namespace, Label)>,
    pub(super) operators: BTreeSet<Label>,
    pub(super) grants: BTreeSet<GrantId>,
    /// Secrets that were deleted, and those that were destroyed.
    pub(super) deleted: BTreeSet<(Namespace, SecretPath)>,
    pub(super) destroyed: BTreeSet<(Namespace, SecretPath)>,
    /// Namespaces in which everybody is held.
    held_in: BTreeSet<Namespace>,
    /// Devices that a steward put on hold.
    held_devices: BTreeSet<Thumbprint>,
    /// Operators whose devices are held.
    held_operators: BTreeSet<Label>,
    /// Everybody is held.
    pub(super) all: bool,
    /// What was done after the backup and is not in it.
    pub(super) lost: Vec<String>,
    /// Why somebody is held.
    pub(super) because: Vec<String>,
}

/// What takes nothing away and adds nothing that is kept: nothing follows from it.
const NOTHING: &[&str] = &[
    "agent.display_name",
    "agent.list",
    "agent.token.refresh",
    "authenticate",
    "events.read",
    "foreign.list",
    "foreign.weak",
    "grant.read",
    "honey.list",
    "honey.which",
    "installation.auth_mode",
    "installation.backup",
    "installation.check",
    "installation.rewrap",
    "installation.seal",
    "installation.spool",
    "installation.unseal",
    "key.list",
    "key.read",
    "ledger.checkpoint",
    "ledger.export",
    "ledger.forget",
    "ledger.read",
    "ledger.retention",
    "namespace.display_name",
    "namespace.list",
    "namespace.quota",
    "namespace.read",
    "namespace.sweep",
    "operator.list",
    "project.display_name",
    "project.read",
    "project_token.list",
    "project_token.prune",
    "project_token.use",
    "proposal.create",
    "proposal.list",
    "proposal.refuse",
    "proposal.sign",
    "quarantine.list",
    "recovery.seen",
    "request.create",
    "request.deny",
    "request.list",
    "request.prune",
    "request.read",
    "run.deliver",
    "run.end",
    "run.prune",
    "secret.due",
    "secret.export",
    "secret.history",
    "secret.list",
    "secret.list.at",
    "secret.list.deleted",
    "secret.read",
    "server.left_out",
    "server.list",
    "server.remove",
    "service.follow",
    "service.read",
    "service.verify",
    "session.start",
    "signing_key.list",
    "signing_key.make",
    "transit.list",
    "transit.unwrap",
    "transit.wrap",
    "unseal_source.test",
    "verify",
];

/// What only adds: without it there is less.
const ADDED: &[&str] = &[
    "agent.create",
    "agent.enrol.start",
    "agent.link",
    "device.join",
    "honey.plant",
    "installation.import",
    "namespace.create",
    "operator.invite",
    "operator.join",
    "operator.link",
    "project_token.issue",
    "quarantine.lift",
    "request.approve",
    "secret.import",
    "secret.undelete",
    "secret.write",
    "unseal_source.add",
];

impl Measures {
    /// Reads the next entry.
    pub(super) fn read(&mut self, index: u64, entry: &Entry) {
        if entry.phase != Phase::Intent || entry.decision != Decision::Allow {
            return;
        }
        let action = entry.action.as_ref();
        if NOTHING.contains(&action) {
            return;
        }
        if ADDED.contains(&action) {
            self.lose(index, entry);
            return;
        }
        if !self.again(action, entry) {
            self.hold(index, action, entry);
        }
    }

    fn lose(&mut self, index: u64, entry: &Entry) {
        if self.lost.len() < LOSSES {
            self.lost.push(line(index, entry));
        }
    }

    /// What is taken away again; false when the entry does not say what that was.
    fn again(&mut self, action: &str, entry: &Entry) -> bool {
        let Some(resource) = entry.resource.as_deref() else {
            return false;
        };
        let named = resource.split(' ').next().unwrap_or_default();
        let Some((_, name)) = named.split_once('/') else {
            return false;
        };
        let namespace = entry.namespace.clone();
        match action {
            "device.revoke" | "operator.device.revoke" => add(&mut self.devices, name.parse().ok()),
            "operator.device.hold" => add(&mut self.held_devices, name.parse().ok()),
            "agent.revoke" => add(&mut self.agents, namespace.zip(name.parse().ok())),
            "operator.revoke" => add(&mut self.operators, name.parse().ok()),
            "grant.withdraw" => add(&mut self.grants, name.parse().ok()),
            "secret.delete" => add(&mut self.deleted, namespace.zip(name.parse().ok())),
            "secret.destroy" => add(&mut self.destroyed, namespace.zip(name.parse().ok())),
            _ => false,
        }
    }

    fn hold(&mut self, index: u64, action: &str, entry: &Entry) {
        if self.because.len() < LOSSES {
            self.because.push(line(index, entry));
        }
        let operator = entry
            .resource
            .as_deref()
            .and_then(|resource| resource.strip_prefix("operator/"))
            .and_then(|rest| rest.split(' ').next()?.parse::<Label>().ok());
        match (action, operator, &entry.namespace) {
            ("operator.roles", Some(operator), _) => {
                self.held_operators.insert(operator);
            }
            (_, _, Some(namespace)) => {
                self.held_in.insert(namespace.clone());
            }
            _ => self.all = true,
        }
    }

    /// The devices and ids that are held, but for `free`.
    pub(super) fn held(&self, snapshot: &Snapshot, free: Option<&Thumbprint>) -> Vec<Held> {
        let concerns = |actor: &ActorId| {
            let Some(found) = snapshot.actor(actor) else {
                return self.all;
            };
            self.all
                || match found.namespace() {
                    Some(namespace) => self.held_in.contains(namespace),
                    None => self.held_operators.contains(found.label()),
                }
        };
        let devices = snapshot
            .actors()
            .flat_map(|actor| snapshot.devices_of(&actor.id))
            .filter(|device| {
                device.revoked.is_none()
                    && Some(&device.thumbprint) != free
                    && (concerns(&device.actor) || self.held_devices.contains(&device.thumbprint))
            })
            .map(|device| Held {
                suspect: Suspect::Device(device.thumbprint),
                actor: device.actor,
            });
        let ids = snapshot
            .foreign_ids()
            .filter(|id| id.device.is_none() && concerns(&id.actor))
            .map(|id| Held {
                suspect: Suspect::Foreign(ForeignId::clone(&id.id)),
                actor: id.actor,
            });
        let mut held: Vec<Held> = devices.chain(ids).collect();
        held.sort_by(|one, two| one.suspect.cmp(&two.suspect));
        held
    }
}

/// Something that is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) suspect: Suspect,
    pub(super) actor: ActorId,
}

/// Adds what was named; false when nothing was.
fn add<T: Ord>(to: &mut BTreeSet<T>, named: Option<T>) -> bool {
    let known = named.is_some();
    to.extend(named);
    known
}

fn line(index: u64, entry: &Entry) -> String {
    let place = entry
        .namespace
        .as_ref()
        .map_or_else(String::new, |namespace| format!(" in {namespace}"));
    let resource = entry.resource.as_deref().unwrap_or("installation");
    format!("entry {index}: {} {resource}{place}", entry.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use procura_types::{Timestamp, TraceId};

    fn read(action: &'static str, resource: Option<&str>, namespace: Option<&str>) -> Measures {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let trace = TraceId::generate(now, &SystemEntropy).unwrap();
        let mut entry = Entry::new(now, &SystemEntropy, action, trace).unwrap();
        entry.resource = resource.map(str::to_owned);
        entry.namespace = namespace.map(|name| name.parse().unwrap());
        let mut measures = Measures::default();
        measures.read(7, &entry);
        measures
    }

    #[test]
    fn what_takes_nothing_away_holds_nobody() {
        for action in NOTHING.iter().chain(ADDED) {
            let measures = read(action, Some("installation"), Some("shop"));
            assert!(!measures.all && measures.held_in.is_empty(), "{action}");
            assert!(measures.because.is_empty(), "{action}");
            assert_eq!(measures.lost.len(), usize::from(ADDED.contains(action)));
        }
    }

    #[test]
    fn what_is_not_told_whole_holds_those_whom_it_may_concern() {
        let measures = read("project.rebind", Some("project/web agent/a"), Some("shop"));
        assert!(measures.held_in.contains("shop"));
        let measures = read("operator.roles", Some("operator/bea none"), None);
        assert!(measures.held_operators.contains("bea"));
        assert!(!measures.all);
        // Also what no release before this one could do.
        let measures = read("something.new", Some("installation"), None);
        assert!(measures.all);
        assert_eq!(measures.because, ["entry 7: something.new installation"]);
    }

    #[test]
    fn a_device_on_hold_is_held_and_nobody_else() {
        let device = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let resource = format!("device/{device}");
        let measures = read("operator.device.hold", Some(&resource), None);
        assert!(measures.held_devices.contains(&device.parse().unwrap()));
        assert!(!measures.all && measures.held_in.is_empty());
        // One that cannot be read is not passed over.
        assert!(read("operator.device.hold", Some("device/x"), None).all);
    }
}
