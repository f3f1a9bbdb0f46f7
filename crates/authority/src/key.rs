//! Keys that an agent fetches by name (`protocol.md` §3.6): the secrets `ssh/<name>`
//! and `api/<service>` of its own namespace, through the project [`KEYS_PROJECT`]
//! there, which maps names to those paths and says which agents may ask.

use crate::error::AuthorityError;
use crate::project::ProjectRow;
use crate::request::RequestCreate;
use crate::standing::Asking;
use procura_directory::{GrantRecord, Snapshot};
use procura_policy::{Action, Concerned, GrantNeed, Op, Permit, Resource};
use procura_record::Details;
use procura_store::Store;
use procura_types::wire::GrantItem;
use procura_types::{ActorId, Delivery, Namespace, ProjectName, SecretKind, SecretPath, Timestamp};
use procura_vault::{Releases, Vault, Wanted, newest_version};
use std::collections::BTreeSet;
use std::slice;
use std::sync::Arc;

/// The project of each namespace that keys are asked for through.
pub const KEYS_PROJECT: &str = "keys";

/// How keys reach the agent; a grant for another delivery does not open them.
const DELIVERY: Delivery = Delivery::Http;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A private key of SSH.
    Ssh,
    /// The key of a service's API.
    Api,
}

impl KeyKind {
    /// The first segment of the paths of such keys.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Api => "api",
        }
    }

    /// Where the key of a name is; none for what is no name of a key.
    #[must_use]
    pub fn path(self, name: &str) -> Option<SecretPath> {
        let path = format!("{}/{name}", self.folder()).parse().ok()?;
        self.name(&path)?;
        Some(path)
    }

    /// The name of the key at a path; none where no such key is.
    #[must_use]
    pub fn name(self, path: &SecretPath) -> Option<&str> {
        let name = path.as_str().strip_prefix(self.folder())?;
        name.strip_prefix('/').filter(|name| !name.contains('/'))
    }
}

fn project() -> Result<ProjectName, AuthorityError> {
    KEYS_PROJECT.parse().map_err(AuthorityError::Name)
}

/// Hands one key to an agent. Made by [`KeyRead::resolve`].
pub struct KeyRead {
    namespace: Namespace,
    project: ProjectName,
    agent: ActorId,
    /// The project's.
    number: u64,
    members: Vec<ActorId>,
    item: GrantItem,
    version: u64,
}

impl Op for KeyRead {
    const ACTION: Action = Action::KeyRead;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.item.path.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        let need = GrantNeed {
            namespace: &self.namespace,
            project: &self.project,
            delivery: DELIVERY,
            items: slice::from_ref(&self.item),
        };
        Concerned {
            need: Some(need),
            ..Concerned::default()
        }
    }
}

impl Releases for KeyRead {
    fn wanted(&self) -> Vec<Wanted<'_>> {
        vec![Wanted {
            namespace: &self.namespace,
            path: &self.item.path,
            version: Some(self.version),
            delivery: Some(DELIVERY),
        }]
    }
}

impl KeyRead {
    /// The operation for the key at `path` in the namespace of `agent`. None, without
    /// a word on which: when the caller is no agent, when the project does not map the
    /// path or does not concern the agent, and when there is no such secret.
    ///
    /// # Errors
    /// [`AuthorityError::Expired`] and [`AuthorityError::DeliveryNotAllowed`] for a key
    /// that is there; others when the store cannot tell.
    pub fn resolve(
        vault: &Vault,
        snapshot: &Snapshot,
        agent: &ActorId,
        path: &SecretPath,
        now: Timestamp,
    ) -> Result<Option<Self>, AuthorityError> {
        let Some((namespace, project, row)) = part(vault.store(), snapshot, agent, now)? else {
            return Ok(None);
        };
        let held = held(snapshot, &namespace, &project, agent, now);
        let mut items = row
            .env
            .iter()
            .filter(|(name, mapped)| *mapped == path && name.deliverable().is_ok())
            .map(|(name, path)| GrantItem {
                name: name.clone(),
                path: path.clone(),
            });
        // Of several names of one path, that which was granted.
        let first = items.next();
        let Some(item) = first
            .clone()
            .filter(|item| covered(&held, item))
            .or_else(|| items.find(|item| covered(&held, item)))
            .or(first)
        else {
            return Ok(None);
        };
        let asking = Asking {
            vault,
            snapshot,
            agent,
            namespace: &namespace,
            project: &project,
            delivery: DELIVERY,
            now,
        };
        // What a template is made of, a grant of one key does not cover.
        let newest = asking.newest(&item)?;
        let Some(newest) = newest.filter(|newest| newest.kind != SecretKind::Template) else {
            return Ok(None);
        };
        Ok(Some(Self {
            namespace,
            project,
            agent: *agent,
            number: row.number,
            members: row.agents,
            item,
            version: newest.version,
        }))
    }

    /// What its entry says beside path and grant: the version.
    #[must_use]
    pub fn details(&self) -> Details {
        Details {
            with: Some(format!("@{}", self.version)),
            ..Details::default()
        }
    }

    /// The question to a person, when no grant covers the key.
    #[must_use]
    pub fn ask(self) -> RequestCreate {
        RequestCreate {
            namespace: self.namespace,
            project: self.project,
            delivery: DELIVERY,
            items: vec![self.item],
            number: self.number,
            // It requires nothing of daemons, as those who ask have none.
            grade: None,
            members: self.members,
            agent: self.agent,
            report: None,
        }
    }
}

/// Names of keys, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyNames {
    /// Of [`KeyKind::Ssh`].
    pub ssh: Vec<String>,
    /// Of [`KeyKind::Api`].
    pub api: Vec<String>,
}

/// Lists the keys that an agent has a grant for.
pub struct KeyListing {
    /// Its namespace.
    pub namespace: Namespace,
    /// The agent.
    pub agent: ActorId,
}

impl Op for KeyListing {
    const ACTION: Action = Action::KeyList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.agent)
    }
}

impl KeyListing {
    /// The keys that [`KeyRead`] would hand to the agent of the permit at `now`.
    ///
    /// # Errors
    /// [`AuthorityError`] when the store cannot tell.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
        now: Timestamp,
    ) -> Result<KeyNames, AuthorityError> {
        let agent = &permit.op().agent;
        let Some((namespace, project, row)) = part(store, snapshot, agent, now)? else {
            return Ok(KeyNames::default());
        };
        let held = held(snapshot, &namespace, &project, agent, now);
        let (mut ssh, mut api) = (BTreeSet::new(), BTreeSet::new());
        for (name, path) in row.env {
            let item = GrantItem { name, path };
            let newest = newest_version(store, &namespace, &item.path)?;
            if !covered(&held, &item)
                || newest.is_none_or(|newest| {
                    newest.is_expired(now)
                        || !newest.allows(DELIVERY)
                        || newest.kind == SecretKind::Template
                })
            {
                continue;
            }
            if let Some(name) = KeyKind::Ssh.name(&item.path) {
                ssh.insert(name.to_owned());
            } else if let Some(name) = KeyKind::Api.name(&item.path) {
                api.insert(name.to_owned());
            }
        }
        Ok(KeyNames {
            ssh: ssh.into_iter().collect(),
            api: api.into_iter().collect(),
        })
    }
}

/// The project of an agent's own namespace, if the agent has a part in it.
fn part(
    store: &Store,
    snapshot: &Snapshot,
    agent: &ActorId,
    now: Timestamp,
) -> Result<Option<(Namespace, ProjectName, ProjectRow)>, AuthorityError> {
    let record = snapshot.actor(agent);
    let Some(namespace) = record.and_then(|record| record.namespace()).cloned() else {
        return Ok(None);
    };
    let project = project()?;
    let row = ProjectRow::of(store, snapshot, &namespace, &project, agent, now)?;
    Ok(row.map(|row| (namespace, project, row)))
}

/// The grants of this very agent that may open keys now.
fn held<'a>(
    snapshot: &'a Snapshot,
    namespace: &Namespace,
    project: &ProjectName,
    agent: &ActorId,
    now: Timestamp,
) -> Vec<&'a Arc<GrantRecord>> {
    snapshot
        .grants_of(agent)
        .filter(|grant| {
            grant.namespace == *namespace
                && grant.project == *project
                && grant.delivery == DELIVERY
                && grant.holds(now)
        })
        .collect()
}

fn covered(held: &[&Arc<GrantRecord>], item: &GrantItem) -> bool {
    held.iter().any(|grant| grant.covers(slice::from_ref(item)))
}

#[cfg(test)]
mod tests {
    use super::KeyKind;

    #[test]
    fn a_key_has_a_name_of_one_segment() {
        for kind in [KeyKind::Ssh, KeyKind::Api] {
            for name in ["deploy", "A.b_c-9", "...", &"x".repeat(64)] {
                let path = kind.path(name).unwrap();
                assert_eq!(path.as_str(), format!("{}/{name}", kind.folder()));
                assert_eq!(kind.name(&path), Some(name));
            }
            for name in [
                "",
                ".",
                "..",
                "a/b",
                "a/../b",
                "%2e",
                "a b",
                "é",
                "a\0",
                &"x".repeat(65),
            ] {
                assert_eq!(kind.path(name), None, "{name}");
            }
        }
        let path = "sshd/config".parse().unwrap();
        assert_eq!(KeyKind::Ssh.name(&path), None);
        assert_eq!(KeyKind::Api.name(&"ssh/a".parse().unwrap()), None);
        assert_eq!(KeyKind::Ssh.name(&"ssh".parse().unwrap()), None);
    }
}
