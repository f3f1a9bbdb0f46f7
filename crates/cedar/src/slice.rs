//! The policies that can have a say in what is asked, by who asks and on what: those whose
//! head names neither this caller nor this thing are not even looked at. What is left out
//! could not have applied, so the slice decides as the whole set would.

use crate::analysis::Uses;
use crate::weight::Weight;
use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};
use std::collections::{HashMap, HashSet};

/// What the head of a policy wants of caller or thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Wants {
    Anything,
    Kind(EntityTypeName),
    /// It, or something above it.
    This(EntityUid),
}

impl From<PrincipalConstraint> for Wants {
    fn from(head: PrincipalConstraint) -> Self {
        match head {
            PrincipalConstraint::Any => Self::Anything,
            PrincipalConstraint::Is(kind) => Self::Kind(kind),
            PrincipalConstraint::In(uid)
            | PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::IsIn(_, uid) => Self::This(uid),
        }
    }
}

impl From<ResourceConstraint> for Wants {
    fn from(head: ResourceConstraint) -> Self {
        match head {
            ResourceConstraint::Any => Self::Anything,
            ResourceConstraint::Is(kind) => Self::Kind(kind),
            ResourceConstraint::In(uid)
            | ResourceConstraint::Eq(uid)
            | ResourceConstraint::IsIn(_, uid) => Self::This(uid),
        }
    }
}

/// Somebody or something, with all that is above.
pub(crate) struct Subject {
    pub(crate) uid: EntityUid,
    pub(crate) above: HashSet<EntityUid>,
}

impl Subject {
    /// All wants that it satisfies.
    fn satisfies(&self) -> Vec<Wants> {
        let mut all = vec![
            Wants::Anything,
            Wants::Kind(self.uid.type_name().clone()),
            Wants::This(self.uid.clone()),
        ];
        all.extend(self.above.iter().cloned().map(Wants::This));
        all
    }
}

/// Which policies want what.
#[derive(Default)]
pub(crate) struct Index {
    by_heads: HashMap<Wants, HashMap<Wants, Vec<u32>>>,
    /// By number: the actions that the policy is about; all without.
    actions: Vec<Option<Vec<EntityUid>>>,
}

impl Index {
    /// Adds the next policy.
    pub(crate) fn add(&mut self, policy: &Policy) {
        let Ok(number) = u32::try_from(self.actions.len()) else {
            return;
        };
        self.actions.push(match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::In(actions) => Some(actions),
            ActionConstraint::Eq(action) => Some(vec![action]),
        });
        self.by_heads
            .entry(policy.principal_constraint().into())
            .or_default()
            .entry(policy.resource_constraint().into())
            .or_default()
            .push(number);
    }

    /// The numbers of those that can apply, ascending.
    pub(crate) fn candidates(
        &self,
        principal: &Subject,
        action: &EntityUid,
        thing: &Subject,
    ) -> Vec<u32> {
        let on = thing.satisfies();
        let mut found = Vec::new();
        for wants in principal.satisfies() {
            let Some(by_thing) = self.by_heads.get(&wants) else {
                continue;
            };
            for wants in &on {
                found.extend(by_thing.get(wants).into_iter().flatten().copied());
            }
        }
        found.retain(|number| {
            let actions = usize::try_from(*number)
                .ok()
                .and_then(|number| self.actions.get(number));
            match actions {
                Some(Some(actions)) => actions.contains(action),
                _ => true,
            }
        });
        found.sort_unstable();
        found
    }
}

/// Policies that are evaluated together.
pub struct Slice {
    pub(crate) policies: PolicySet,
    pub(crate) uses: Uses,
    pub(crate) weight: Weight,
    pub(crate) size: usize,
}

impl Slice {
    /// How many policies are in it.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Whether any of its policies looks at how often something was done.
    #[must_use]
    pub const fn counts_uses(&self) -> bool {
        self.uses.has(Uses::COUNT)
    }

    /// Whether a decision by it may be kept: none of its policies looks at the time or at
    /// how often something was done.
    #[must_use]
    pub const fn may_be_kept(&self) -> bool {
        self.uses.may_be_kept()
    }
}
