//! What the record says that the backup does not know of: what was taken away after it is
//! taken away again before anything is served; what was only added is lost, and said; and
//! where authority was changed in a way that an entry does not tell whole, those whom it
//! may have concerned are held until an operator lets them go on.

mod actions;

use actions::{ADDED, NOTHING, UNDONE};
use procura_directory::{DeviceRecord, QuarantineRecord, Snapshot, Suspect};
use procura_ledger::{Decision, Entry, Phase, SUMMARY};
use procura_types::wire::GuardedAct;
use procura_types::{
    ActorId, CanaryId, ExeDigest, ForeignId, GrantId, Label, Namespace, Role, SecretPath,
    Thumbprint,
};
use procura_vault::{TOUCH_ACTION, TOUCH_DAMAGED};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Lines of losses that are kept.
const LOSSES: usize = 1000;

/// What is done to a restored home.
#[derive(Debug, Default)]
pub(super) struct Measures {
    pub(super) devices: BTreeSet<Thumbprint>,
    pub(super) passkeys: BTreeSet<Thumbprint>,
    pub(super) agents: BTreeSet<(Namespace, Label)>,
    pub(super) operators: BTreeSet<Label>,
    pub(super) grants: BTreeSet<GrantId>,
    /// Programs that were withdrawn.
    pub(super) releases: BTreeSet<ExeDigest>,
    /// Release keys that were removed.
    pub(super) release_keys: BTreeSet<Thumbprint>,
    /// Devices of whose hosts nothing is accepted any more.
    pub(super) baselines: BTreeSet<Thumbprint>,
    /// Secrets that were deleted, and those that were destroyed: a version, or all.
    pub(super) deleted: BTreeSet<(Namespace, SecretPath, Option<u64>)>,
    pub(super) destroyed: BTreeSet<(Namespace, SecretPath, Option<u64>)>,
    /// Namespaces that ended.
    pub(super) ended: BTreeSet<Namespace>,
    /// How many stewards an act takes, as it was said last, and by whom.
    pub(super) approvals: BTreeMap<GuardedAct, (u8, ActorId)>,
    /// Namespaces in which everybody is held.
    held_in: BTreeSet<Namespace>,
    /// Devices that a steward put on hold, that touched a decoy, or that had a token which
    /// was replaced.
    held_devices: BTreeMap<Thumbprint, Blame>,
    /// Ids of other systems, without a device, that touched a decoy.
    held_ids: BTreeMap<ForeignId, Blame>,
    /// Operators whose devices are held.
    held_operators: BTreeSet<Label>,
    /// Operators who were left without the role of steward, and by which entry last.
    unmade: BTreeMap<Label, u64>,
    /// Devices that joined, and whose they are.
    joined: BTreeMap<Thumbprint, ActorId>,
    /// Everybody is held.
    pub(super) all: bool,
    /// What was done after the backup and is not in it.
    pub(super) lost: Vec<String>,
    /// Why somebody is held.
    pub(super) because: Vec<String>,
}

/// Because of whom or what something is held, where an entry says it. Whoever lets go on
/// those who are held to be safe lets none of these go.
#[derive(Debug, Default, Clone)]
struct Blame {
    /// The stewards who put the device on hold, and by which entry last. Only one of them
    /// did at a time; whoever said it of a device that was on hold already is kept as well,
    /// behind.
    holders: Vec<(ActorId, u64)>,
    /// It was let out since: the next hold is the one in force.
    let_out: bool,
    /// The decoy that was touched, the first of several.
    canary: Option<CanaryId>,
    /// Something else than a hold is among it.
    is_more: bool,
}

impl Blame {
    fn put_on_hold(&mut self, by: ActorId, index: u64) {
        let place = self.holders.iter().position(|(found, _)| *found == by);
        self.holders.retain(|(found, _)| *found != by);
        let last = self.holders.len();
        let place = if self.let_out {
            0
        } else {
            place.unwrap_or(last)
        };
        self.holders.insert(place, (by, index));
        self.let_out = false;
    }
}

/// A project token took the place of another, by the device that alone can use either.
const TOKEN_ROTATE: &str = "project_token.rotate";
/// A steward let somebody out of quarantine.
const LET_OUT: &str = "quarantine.lift";
/// A break-glass account was made, perhaps in the place of the one of its name, which ended.
const BREAK_GLASS: &str = "break_glass.create";

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
        if ADDED.contains(&action) || UNDONE.contains(&action) {
            self.joined.extend(
                entry
                    .device
                    .zip(entry.actor)
                    .filter(|_| matches!(action, "device.join" | "operator.join")),
            );
            if action == LET_OUT {
                self.let_out(entry);
            }
            if action == BREAK_GLASS {
                self.operators.extend(named_operator(entry));
            }
            self.lose(index, entry);
            return;
        }
        if action == TOUCH_ACTION && self.touch(index, entry) {
            return;
        }
        if action == TOKEN_ROTATE && self.replaced_token(index, entry) {
            return;
        }
        if !self.again(index, action, entry) {
            self.hold(index, action, entry);
        }
    }

    fn lose(&mut self, index: u64, entry: &Entry) {
        if self.lost.len() < LOSSES {
            self.lost.push(line(index, entry));
        }
    }

    /// What is taken away again; false when the entry does not say what that was.
    fn again(&mut self, index: u64, action: &str, entry: &Entry) -> bool {
        let Some(resource) = entry.resource.as_deref() else {
            return false;
        };
        let named = resource.split(' ').next().unwrap_or_default();
        let Some((_, name)) = named.split_once('/') else {
            return false;
        };
        let namespace = entry.namespace.clone();
        match action {
            // An API key goes with its device.
            "device.revoke" | "operator.device.revoke" | "api_key.revoke" => {
                let words = resource.split(' ').skip(1);
                let passkeys = words.filter_map(|word| {
                    let id = word.strip_prefix("passkey/")?;
                    id.parse::<Thumbprint>().ok()
                });
                self.passkeys.extend(passkeys);
                add(&mut self.devices, name.parse().ok())
            }
            "operator.passkey.remove" => add(&mut self.passkeys, name.parse().ok()),
            "operator.device.hold" => {
                let by = entry.actor.map(|by| (by, index));
                blame(&mut self.held_devices, name.parse().ok(), by, None)
            }
            // Its process would count again: the device waits until somebody has looked.
            "attestation.revoke" => blame(&mut self.held_devices, name.parse().ok(), None, None),
            "agent.revoke" => add(&mut self.agents, namespace.zip(name.parse().ok())),
            // One that was used once must not open a second time.
            "operator.revoke" | "break_glass.use" => add(&mut self.operators, name.parse().ok()),
            "grant.withdraw" => add(&mut self.grants, name.parse().ok()),
            "release.withdraw" => add(&mut self.releases, name.parse().ok()),
            "release_key.remove" => add(&mut self.release_keys, name.parse().ok()),
            "baseline.remove" => add(&mut self.baselines, name.parse().ok()),
            "namespace.delete" => add(&mut self.ended, name.parse().ok()),
            // Whoever restores may be who was to be kept from doing it alone.
            "approval_rule.set" => {
                let needs = resource.split(' ').nth(1);
                let needs = needs.and_then(|word| word.strip_prefix("needs:")?.parse::<u8>().ok());
                let act = name.parse::<GuardedAct>().ok();
                let rule = act.zip(needs.zip(entry.actor));
                self.approvals.extend(rule);
                rule.is_some()
            }
            "secret.delete" => add(&mut self.deleted, of_secret(namespace, name, resource)),
            "secret.destroy" => add(&mut self.destroyed, of_secret(namespace, name, resource)),
            // The grants that ended it says by their ids; who has the project from then on
            // it does not.
            "project.delete" | "project.rebind" => {
                let words = resource.split(' ').skip(1);
                let grants =
                    words.filter_map(|word| word.strip_prefix("grant/")?.parse::<GrantId>().ok());
                self.grants.extend(grants);
                false
            }
            _ => false,
        }
    }

    /// Who touched a decoy is held, and nobody else: agents bring such entries about, and
    /// must not decide who can act after a restore. False when it says nobody.
    fn touch(&mut self, index: u64, entry: &Entry) -> bool {
        // Those that a count stands for were held before, and nobody is because of a row
        // that is damaged.
        let reason = entry.reason.as_deref();
        if reason == Some(SUMMARY) || reason == Some(TOUCH_DAMAGED) {
            return true;
        }
        let resource = entry.resource.as_deref().unwrap_or_default();
        let canary = resource
            .strip_prefix("canary/")
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        let id = resource
            .split_once(" foreign/")
            .map(|(_, id)| id.parse::<ForeignId>());
        let known = match (entry.device, id) {
            (Some(device), _) => blame(&mut self.held_devices, Some(device), None, canary),
            (None, Some(Ok(id))) => blame(&mut self.held_ids, Some(id), None, canary),
            _ => false,
        };
        if known {
            self.tell(index, entry);
        }
        known
    }

    /// The token of before would open again what it opened: its device is held, and when it
    /// is let go on, tokens from before open nothing. An agent does this as often as it
    /// likes, and nobody else is held because of it. False when it names no device.
    fn replaced_token(&mut self, index: u64, entry: &Entry) -> bool {
        let known = blame(&mut self.held_devices, entry.device, None, None);
        if known {
            self.tell(index, entry);
        }
        known
    }

    /// That it was let out is lost, and it is held all the same; but who puts it on hold next
    /// is the one who has it on hold then.
    fn let_out(&mut self, entry: &Entry) {
        let device = entry
            .resource
            .as_deref()
            .and_then(|resource| resource.strip_prefix("device/")?.parse::<Thumbprint>().ok());
        if let Some(blame) = device.and_then(|device| self.held_devices.get_mut(&device)) {
            blame.let_out = true;
        }
    }

    fn tell(&mut self, index: u64, entry: &Entry) {
        if self.because.len() < LOSSES {
            self.because.push(line(index, entry));
        }
    }

    fn hold(&mut self, index: u64, action: &str, entry: &Entry) {
        self.tell(index, entry);
        match (action, named_operator(entry), &entry.namespace) {
            ("operator.roles", Some(operator), _) => {
                if leaves_no_steward(entry) {
                    self.unmade.insert(operator.clone(), index);
                }
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
        let held = |suspect: Suspect, actor: ActorId, blame: Option<&Blame>| {
            let canary = blame.and_then(|blame| blame.canary);
            // One that touched a decoy has no say, on hold or not. Whoever was made a steward
            // no more is on hold by themselves: with a say against nobody, and until they
            // are removed again, whoever else goes.
            let by = blame
                .and_then(|blame| self.holder(snapshot, blame))
                .or_else(|| self.was_unmade(snapshot, &actor, 0).then_some(actor))
                .filter(|_| canary.is_none());
            Held {
                suspect,
                actor,
                by,
                canary,
            }
        };
        let devices = snapshot
            .actors()
            .flat_map(|actor| snapshot.devices_of(&actor.id))
            .filter(|device| {
                device.revoked.is_none()
                    && Some(&device.thumbprint) != free
                    && (concerns(&device.actor)
                        || self.blamed(snapshot, &device.thumbprint).is_some())
            })
            .map(|device| {
                let suspect = Suspect::Device(device.thumbprint);
                let blame = self.blamed(snapshot, &device.thumbprint);
                held(suspect, device.actor, blame)
            });
        let ids = snapshot
            .foreign_ids()
            .filter(|id| {
                id.device.is_none() && (concerns(&id.actor) || self.held_ids.contains_key(&id.id))
            })
            .map(|id| {
                let suspect = Suspect::Foreign(ForeignId::clone(&id.id));
                held(suspect, id.actor, self.held_ids.get(&id.id))
            });
        // Whoever has a passkey says yes with it, as with a device.
        let passkeys = snapshot
            .actors()
            .flat_map(|actor| snapshot.passkeys_of(&actor.id))
            .filter(|passkey| {
                passkey.removed.is_none()
                    && (concerns(&passkey.actor) || self.blamed(snapshot, &passkey.id).is_some())
            })
            .map(|passkey| {
                let blame = self.blamed(snapshot, &passkey.id);
                held(Suspect::Device(passkey.id), passkey.actor, blame)
            });
        let mut held: Vec<Held> = devices.chain(ids).chain(passkeys).collect();
        held.sort_by(|one, two| one.suspect.cmp(&two.suspect));
        held
    }

    /// Why this device is held itself, if it is.
    fn blamed(&self, snapshot: &Snapshot, device: &Thumbprint) -> Option<&Blame> {
        let blame = self.held_devices.get(device)?;
        (blame.is_more || self.holder(snapshot, blame).is_some()).then_some(blame)
    }

    /// The steward by whom a device is on hold, if not every hold is over: the one in force,
    /// or one who said it as well. It need not be a steward of what was restored: whom
    /// somebody stopped is not among those who are held to be safe.
    fn holder(&self, snapshot: &Snapshot, blame: &Blame) -> Option<ActorId> {
        let mut holders = blame.holders.iter();
        holders
            .find(|(by, since)| !self.is_over(snapshot, by, *since))
            .map(|(by, _)| *by)
    }

    /// Whether a hold of this entry is over, since whoever put it there is revoked again, or
    /// was made a steward no more after it: what a steward put on hold goes on when they go
    /// (ADR 33).
    fn is_over(&self, snapshot: &Snapshot, by: &ActorId, since: u64) -> bool {
        let is_revoked = snapshot.actor(by).is_some_and(|holder| {
            holder.namespace().is_none() && self.operators.contains(holder.label())
        });
        is_revoked || self.was_unmade(snapshot, by, since)
    }

    /// Whether a steward of what was restored was left without that role after this entry.
    /// They have it again, so whatever ends with it is seen to.
    fn was_unmade(&self, snapshot: &Snapshot, actor: &ActorId, since: u64) -> bool {
        let found = snapshot.actor(actor).filter(|found| {
            let last = self.unmade.get(found.label());
            found.namespace().is_none() && last.is_some_and(|last| *last > since)
        });
        found.is_some() && is_steward(snapshot, actor)
    }

    /// Whether this is a hold of the backup that is over.
    fn has_ended(&self, snapshot: &Snapshot, found: &QuarantineRecord) -> bool {
        found.by.is_some_and(|by| self.is_over(snapshot, &by, 0))
    }

    /// The holds of the backup that are over, of what nothing else holds.
    pub(super) fn ended_holds(&self, snapshot: &Snapshot) -> Vec<Arc<QuarantineRecord>> {
        let held = self.held(snapshot, None);
        snapshot
            .all_quarantines()
            .filter(|found| found.lifted.is_none() && self.has_ended(snapshot, found))
            .filter(|found| !held.iter().any(|held| held.suspect == found.suspect))
            .map(Arc::clone)
            .collect()
    }

    /// Whether the quarantine in which something is already is as strict: because of a
    /// decoy, then on hold by a steward, and only then to be safe.
    pub(super) fn is_held_so(&self, snapshot: &Snapshot, held: &Held) -> bool {
        let strict = (held.canary.is_some(), held.by.is_some());
        snapshot
            .quarantine(&held.suspect)
            .filter(|found| found.lifted.is_none())
            .is_some_and(|found| {
                strict <= (found.canary.is_some(), found.by.is_some())
                    && (found.by == held.by || !self.has_ended(snapshot, found))
            })
    }

    /// Whether a device of the backup acts when all is done, but for who is held.
    fn acts(&self, snapshot: &Snapshot, device: &DeviceRecord) -> bool {
        let is_held = snapshot
            .quarantine(&Suspect::Device(device.thumbprint))
            .filter(|found| found.lifted.is_none())
            .is_some_and(|found| !self.has_ended(snapshot, found));
        device.revoked.is_none() && snapshot.is_active(&device.actor) && !is_held
    }

    /// Whether an entry names this device, or whose it is: then it is held or revoked
    /// because of that, and not only since everybody is.
    pub(super) fn names(&self, snapshot: &Snapshot, device: &Thumbprint) -> bool {
        let owner = snapshot
            .device(device)
            .and_then(|found| snapshot.actor(&found.actor));
        let label = owner.map(|owner| owner.label());
        self.devices.contains(device)
            || self.blamed(snapshot, device).is_some()
            || label.is_some_and(|label| {
                self.operators.contains(label) || self.held_operators.contains(label)
            })
    }

    /// Why the record has no room for this key as a device of this actor.
    pub(super) fn unseatable(&self, device: &Thumbprint, actor: &ActorId) -> Option<&'static str> {
        if self.devices.contains(device) {
            return Some("that key was revoked after the backup");
        }
        let other = self.joined.get(device).is_some_and(|found| found != actor);
        other.then_some("that key joined as a device of somebody else after the backup")
    }

    /// The devices of stewards that can act when all is done, but for who is held: for each
    /// whether it is not.
    pub(super) fn stewards(&self, snapshot: &Snapshot, free: Option<&Thumbprint>) -> Vec<Steward> {
        let held = self.held(snapshot, free);
        let mut found: Vec<Steward> = snapshot
            .actors()
            .filter(|actor| {
                actor.namespace().is_none()
                    && !self.operators.contains(actor.label())
                    && is_steward(snapshot, &actor.id)
            })
            .flat_map(|actor| snapshot.devices_of(&actor.id))
            .filter(|device| {
                self.acts(snapshot, device)
                    && !self.devices.contains(&device.thumbprint)
                    && snapshot.api_key(&device.thumbprint).is_none()
            })
            .map(|device| Steward {
                device: device.thumbprint,
                name: snapshot.lineage(&device.actor),
                is_free: !held
                    .iter()
                    .any(|held| held.suspect == Suspect::Device(device.thumbprint)),
            })
            .collect();
        found.sort_by(|one, two| (&one.name, one.device).cmp(&(&two.name, two.device)));
        found
    }
}

/// Whether somebody is a steward in what was restored; a break-glass account has the role
/// and is none.
pub(super) fn is_steward(snapshot: &Snapshot, actor: &ActorId) -> bool {
    snapshot
        .roles(actor)
        .is_some_and(|held| held.has(Role::Steward, None))
        && snapshot.break_glass(actor).is_none()
}

/// A device of a steward.
#[derive(Debug)]
pub(super) struct Steward {
    pub(super) device: Thumbprint,
    pub(super) name: String,
    pub(super) is_free: bool,
}

/// Something that is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) suspect: Suspect,
    pub(super) actor: ActorId,
    /// The steward who put it on hold: it keeps its say. Of one who was made a steward no
    /// more, that one.
    pub(super) by: Option<ActorId>,
    /// The decoy that it touched.
    pub(super) canary: Option<CanaryId>,
}

/// The operator that an entry is about.
fn named_operator(entry: &Entry) -> Option<Label> {
    let rest = entry.resource.as_deref()?.strip_prefix("operator/")?;
    rest.split(' ').next()?.parse().ok()
}

/// Adds what was named; false when nothing was.
fn add<T: Ord>(to: &mut BTreeSet<T>, named: Option<T>) -> bool {
    let known = named.is_some();
    to.extend(named);
    known
}

/// Which version of a secret an entry says, or all of them; none when it cannot be read.
fn of_secret(
    namespace: Option<Namespace>,
    path: &str,
    resource: &str,
) -> Option<(Namespace, SecretPath, Option<u64>)> {
    let version = match resource.split(' ').nth(1) {
        None => None,
        Some(word) => Some(word.strip_prefix('@')?.parse().ok()?),
    };
    Some((namespace?, path.parse().ok()?, version))
}

/// Whether the roles that an entry names, which are all, have no steward among them.
fn leaves_no_steward(entry: &Entry) -> bool {
    let mut roles = entry
        .resource
        .iter()
        .flat_map(|resource| resource.split(' ').skip(1))
        .filter(|role| !role.is_empty())
        .peekable();
    roles.peek().is_some() && roles.all(|role| role != Role::Steward.as_str())
}

/// Adds why what was named is held; false when nothing was named.
fn blame<T: Ord>(
    to: &mut BTreeMap<T, Blame>,
    named: Option<T>,
    by: Option<(ActorId, u64)>,
    canary: Option<CanaryId>,
) -> bool {
    let Some(named) = named else {
        return false;
    };
    let known = to.entry(named).or_default();
    match by {
        Some((by, index)) => known.put_on_hold(by, index),
        None => known.is_more = true,
    }
    known.canary = known.canary.or(canary);
    true
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
mod holds_tests;

#[cfg(test)]
mod tests;
