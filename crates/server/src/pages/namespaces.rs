//! In which namespaces a page looks.

use super::form::Form;
use super::shown::Shown;
use crate::problem::Failure;
use procura_directory::Snapshot;
use procura_types::wire::RoleAssignment;
use procura_types::{Namespace, Role};
use std::collections::BTreeSet;

/// The key of a query that names one.
pub(super) const NAMESPACE: &str = "namespace";

/// What a page shows when it shows several namespaces, and when it shows one.
pub(super) const SOME: usize = 20;
/// As [`SOME`], of one namespace.
pub(super) const MANY: usize = 40;

/// The namespaces that a page is about.
pub(super) struct Looked {
    /// In these it looks.
    pub(super) at: Vec<Namespace>,
    /// All that it could look at, to choose from.
    pub(super) all: Vec<Choice>,
    /// Whether it was asked for one.
    pub(super) one: bool,
}

/// A namespace to choose.
pub(super) struct Choice {
    pub(super) name: Shown,
    pub(super) chosen: bool,
}

impl Looked {
    /// The one that the query names, or all in which the operator has one of these roles. What they
    /// may do there is decided where it is done.
    pub(super) fn of(
        snapshot: &Snapshot,
        roles: &[RoleAssignment],
        form: &Form,
    ) -> Result<Self, Failure> {
        let chosen: Option<Namespace> = form.value(NAMESPACE)?;
        let held: BTreeSet<Namespace> = roles
            .iter()
            .filter_map(|role| role.namespace.clone())
            .filter(|name| snapshot.namespace(name).is_some())
            .collect();
        let all = held
            .iter()
            .map(|name| Choice {
                name: Shown::of(name),
                chosen: chosen.as_ref() == Some(name),
            })
            .collect();
        Ok(Self {
            one: chosen.is_some(),
            at: chosen.map_or_else(|| held.into_iter().collect(), |name| vec![name]),
            all,
        })
    }

    /// How many things of each namespace are shown.
    pub(super) const fn limit(&self) -> usize {
        if self.one { MANY } else { SOME }
    }
}

/// Whether an operator answers for what happens in a namespace, in one of these roles.
pub(super) fn holds_one_of(held: &[RoleAssignment], namespace: &Namespace, roles: &[Role]) -> bool {
    let there = held
        .iter()
        .filter(|held| held.namespace.as_ref() == Some(namespace));
    let mut words = there.map(|held| held.role);
    words.any(|role| roles.contains(&role))
}
