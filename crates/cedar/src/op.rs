//! The operations on policies, as data.

use procura_policy::{Action, Op, Resource};
use procura_types::Namespace;
use procura_types::wire::{PolicyQuestion, PolicyState};
use std::sync::Arc;

macro_rules! op {
    ($name:ident, $action:ident) => {
        impl Op for $name {
            const ACTION: Action = Action::$action;
            fn resource(&self) -> Resource {
                Resource::Policies(self.namespace.clone())
            }
        }
    };
}

/// Stores another version.
pub struct PolicyPut {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
    /// Its text.
    pub text: Arc<str>,
}

/// Stores another version with the text of an old one.
pub struct PolicyRollback {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
    /// Whose text it has.
    pub version: u32,
}

/// Says what a version counts for.
pub struct PolicyStateSet {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
    /// Which.
    pub version: u32,
    /// For what.
    pub state: PolicyState,
}

/// Lists versions.
pub struct PolicyListing {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
}

/// Reads one version.
pub struct PolicyReading {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
    /// Which.
    pub version: u32,
}

/// Asks what policies would say.
pub struct PolicyExplaining {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
    /// What is asked of them.
    pub question: PolicyQuestion,
}

/// Asks what enforcing what is observed would change.
pub struct PolicyReporting {
    /// Where; in the installation without.
    pub namespace: Option<Namespace>,
}

op!(PolicyPut, PolicyWrite);
op!(PolicyRollback, PolicyWrite);
op!(PolicyStateSet, PolicyState);
op!(PolicyListing, PolicyRead);
op!(PolicyReading, PolicyRead);
op!(PolicyExplaining, PolicyRead);
op!(PolicyReporting, PolicyRead);
