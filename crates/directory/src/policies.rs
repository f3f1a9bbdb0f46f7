//! Which policies are in force where. Their text lies elsewhere; here is by what it is
//! known again, and a place for what is made of it, so that whoever decides on a snapshot
//! decides by the policies of that snapshot.

use crate::snapshot::Snapshot;
use procura_types::{ActorId, Namespace, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A version of the policies of a scope that is in force, or is observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number in the scope, from 1.
    pub version: u32,
    /// SHA-256 of its text.
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub digest: Vec<u8>,
    /// Since when it is in force or observed.
    pub since: Timestamp,
    /// Who said so.
    pub by: ActorId,
}

/// The policies of a namespace, or of the installation, that count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// Where; without one, in the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// The version that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce: Option<PolicyVersion>,
    /// The version that is computed beside, and decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<PolicyVersion>,
}

impl PolicyRecord {
    /// Where they count.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.namespace
            .clone()
            .map_or(Scope::Installation, Scope::Namespace)
    }
}

/// What is made of a version once and used by every decision. What it is, this crate does
/// not know.
pub type Made = Arc<dyn Any + Send + Sync>;

/// A version that counts, with the place for what is made of it.
pub struct PolicyInForce {
    version: PolicyVersion,
    made: OnceLock<Made>,
}

impl PolicyInForce {
    fn new(version: &PolicyVersion) -> Arc<Self> {
        Arc::new(Self {
            version: version.clone(),
            made: OnceLock::new(),
        })
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// What was made of it, if it was.
    #[must_use]
    pub fn made(&self) -> Option<&Made> {
        self.made.get()
    }

    /// Keeps what was made of it; of several who made it at once the first is kept.
    pub fn keep(&self, made: Made) -> &Made {
        self.made.get_or_init(|| made)
    }
}

impl fmt::Debug for PolicyInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.version, f)
    }
}

/// What counts in one scope.
#[derive(Debug, Clone)]
pub struct Policies {
    /// What decides.
    pub enforce: Option<Arc<PolicyInForce>>,
    /// What is computed beside.
    pub observe: Option<Arc<PolicyInForce>>,
}

/// The records of a snapshot. There are few: one for each namespace at the most.
#[derive(Clone, Default)]
pub(crate) struct PolicyRecords {
    installation: Option<Policies>,
    of_namespace: Arc<BTreeMap<Namespace, Policies>>,
}

impl PolicyRecords {
    pub(crate) fn put(&mut self, record: PolicyRecord) {
        let before = match &record.namespace {
            None => self.installation.take(),
            Some(namespace) => self.of_namespace.get(namespace).cloned(),
        };
        // What was made of a version is still good while the version counts.
        let known = |version: &PolicyVersion| {
            let before = before.as_ref()?;
            [&before.enforce, &before.observe]
                .into_iter()
                .flatten()
                .find(|known| known.version() == version)
                .cloned()
        };
        let in_force = |version: &Option<PolicyVersion>| {
            version
                .as_ref()
                .map(|version| known(version).unwrap_or_else(|| PolicyInForce::new(version)))
        };
        let policies = Policies {
            enforce: in_force(&record.enforce),
            observe: in_force(&record.observe),
        };
        let any = policies.enforce.is_some() || policies.observe.is_some();
        match record.namespace {
            None => self.installation = any.then_some(policies),
            Some(namespace) if any => {
                Arc::make_mut(&mut self.of_namespace).insert(namespace, policies);
            }
            Some(namespace) => {
                Arc::make_mut(&mut self.of_namespace).remove(&namespace);
            }
        }
    }
}

impl Snapshot {
    /// Whether any policies are in force or observed anywhere.
    #[must_use]
    pub fn has_policies(&self) -> bool {
        let all = self.policy_records();
        all.installation.is_some() || !all.of_namespace.is_empty()
    }

    /// The policies of a namespace, or of the installation, if any count there.
    #[must_use]
    pub fn policies(&self, namespace: Option<&Namespace>) -> Option<&Policies> {
        let all = self.policy_records();
        match namespace {
            None => all.installation.as_ref(),
            Some(namespace) => all.of_namespace.get(namespace),
        }
    }

    /// All policies that count, by scope.
    pub fn all_policies(&self) -> impl Iterator<Item = (Scope, &Policies)> {
        let all = self.policy_records();
        let installation = all.installation.iter();
        installation
            .map(|policies| (Scope::Installation, policies))
            .chain(
                all.of_namespace
                    .iter()
                    .map(|(name, policies)| (Scope::Namespace(name.clone()), policies)),
            )
    }
}
