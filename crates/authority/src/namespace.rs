//! A namespace as a whole: what is in it, and its end.

use crate::error::AuthorityError;
use crate::project::{NUMBERS, PROJECTS};
use crate::service::{COUNTS, services};
use crate::sweeping;
use procura_directory::Snapshot;
use procura_identity::{ByQuorum, approved};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Store};
use procura_types::wire::{NamespaceDeleted, NamespaceDetail, NamespaceHolds, ProposedAct};
use procura_types::{Namespace, Timestamp};
use procura_vault::{Vault, VaultError, nothing_arrives};

/// Rows read at once.
const CHUNK: usize = 1000;

/// Shows a namespace.
pub struct NamespaceRead {
    /// Which.
    pub namespace: Namespace,
}

impl Op for NamespaceRead {
    const ACTION: Action = Action::NamespaceRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl NamespaceRead {
    /// The namespace of the permit.
    ///
    /// # Errors
    /// [`VaultError::NoNamespace`], and the store's.
    pub fn run(
        permit: &Permit<Self>,
        vault: &Vault,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<NamespaceDetail, AuthorityError> {
        namespace_detail(vault, snapshot, &permit.op().namespace, now)
    }
}

/// A namespace, its quota, and what is in it.
///
/// # Errors
/// [`VaultError::NoNamespace`], and the store's.
pub fn namespace_detail(
    vault: &Vault,
    snapshot: &Snapshot,
    name: &Namespace,
    now: Timestamp,
) -> Result<NamespaceDetail, AuthorityError> {
    let record = snapshot.namespace(name).ok_or(VaultError::NoNamespace)?;
    let (quota, used) = vault.quota(snapshot, name)?;
    Ok(NamespaceDetail {
        name: record.name.clone(),
        display_name: record.display_name.clone(),
        created: record.created,
        quota,
        used,
        holds: holds(vault, snapshot, name, now)?,
    })
}

/// Ends a namespace.
pub struct NamespaceDelete {
    /// Which.
    pub namespace: Namespace,
    /// Also when something is in it: whoever asks for it typed its name once more.
    pub confirmed: bool,
    /// What the stewards agreed to, where it takes more than one.
    pub by: Option<ByQuorum>,
}

impl Op for NamespaceDelete {
    const ACTION: Action = Action::NamespaceDelete;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl NamespaceDelete {
    /// Ends the namespace of the permit: its keys are destroyed, its agents and their
    /// devices revoked, its grants withdrawn, its ids of other systems released, roles
    /// in it gone. The rows go afterwards ([`crate::sweep_namespaces`]).
    ///
    /// # Errors
    /// [`AuthorityError::NamespaceInUse`] when something is in it and nobody typed its
    /// name; [`VaultError::NoNamespace`]; [`AuthorityError::Identity`] where stewards have to
    /// agree and did not to this; the store's.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<NamespaceDeleted, AuthorityError> {
        let op = batch.op();
        let name = &op.namespace;
        if !op.confirmed {
            // A look protects nothing, so what could come in after it is expected.
            nothing_arrives(batch, name)?;
            let services = COUNTS.get(batch.store(), name)?;
            let services = services.map_or(Expected::Absent, |row| Expected::At(row.version));
            COUNTS.expect(batch.rows(), name, services);
            let projects = NUMBERS.get(batch.store(), name)?;
            let projects = projects.map_or(Expected::Absent, |row| Expected::At(row.version));
            NUMBERS.expect(batch.rows(), name, projects);
        }
        let held = holds(vault, batch.directory(), name, now)?;
        if !op.confirmed && held != NamespaceHolds::default() {
            return Err(AuthorityError::NamespaceInUse {
                namespace: name.clone(),
                held: Box::new(held),
            });
        }
        let act = ProposedAct::EndNamespace { name: name.clone() };
        let agreed = approved(batch, &act, None, op.by.as_ref(), now)?;
        // A full disk must not keep anyone from taking values and authority away.
        batch.reserved();
        end_namespace(vault, batch, name, now)?;
        let agreed = agreed.map_or_else(String::new, |id| format!(" proposal {id}"));
        batch.details().with = Some(format!("{}{agreed}", words(&held)));
        Ok(NamespaceDeleted {
            name: name.clone(),
            ended: now,
            held,
        })
    }
}

/// Puts the end of a namespace into a batch, whatever is in it; its rows go afterwards.
///
/// # Errors
/// [`VaultError::NoNamespace`] when there is none.
pub fn end_namespace<O: Op>(
    vault: &Vault,
    batch: &mut RecordedBatch<'_, O>,
    name: &Namespace,
    now: Timestamp,
) -> Result<(), VaultError> {
    vault.end_namespace(batch, name, now)?;
    sweeping::begin(batch.rows(), name, now);
    Ok(())
}

/// What is in a namespace, as an entry of the ledger names it.
fn words(held: &NamespaceHolds) -> String {
    format!(
        "agents:{} secrets:{} projects:{} services:{} grants:{} transit_keys:{}",
        held.agents, held.secrets, held.projects, held.services, held.grants, held.transit_keys
    )
}

fn holds(
    vault: &Vault,
    directory: &Snapshot,
    name: &Namespace,
    now: Timestamp,
) -> Result<NamespaceHolds, AuthorityError> {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let agents = directory
        .actors()
        .filter(|actor| actor.namespace() == Some(name) && directory.is_active(&actor.id));
    let grants = directory.grants().filter(|grant| {
        grant.namespace == *name && grant.holds(now) && directory.is_active(&grant.agent)
    });
    Ok(NamespaceHolds {
        agents: count(agents.count()),
        // Decoys are among them: the number tells nobody how many of the list are none.
        secrets: vault.live_secrets(name)? + count(directory.honey_of(name).count()),
        projects: projects(vault.store(), name)?,
        services: u64::from(services(vault.store(), name)?),
        grants: count(grants.count()),
        transit_keys: vault.transit_keys(name)?,
    })
}

fn projects(store: &Store, name: &Namespace) -> Result<u64, AuthorityError> {
    let snapshot = store.snapshot()?;
    let prefix = KeyPrefix::all().part(name);
    let (mut count, mut after) = (0, None);
    loop {
        let page = PROJECTS.scan(&snapshot, &prefix, after.as_ref(), CHUNK)?;
        count += u64::try_from(page.len()).unwrap_or(u64::MAX);
        after = page.last().map(|(key, _)| key.clone());
        if page.len() < CHUNK {
            return Ok(count);
        }
    }
}
