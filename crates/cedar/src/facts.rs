//! What is asked, in the words of policies: who, what, on what, and under which
//! circumstances. Made of a question of the product, or of a case in a file.

use procura_directory::{ActorKind, Snapshot};
use procura_policy::{Action, Question};
use procura_types::wire::RoleAssignment;
use procura_types::{ActorId, Namespace, Role, Timestamp};
use std::net::IpAddr;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The actor's id, as text.
    pub id: String,
    /// The name of an operator or the label of an agent.
    pub name: String,
    /// What an agent has besides; an operator has none.
    pub agent: Option<AgentFacts>,
    /// Of an operator: whether it is a steward.
    pub steward: bool,
    /// Of an operator: the roles in the namespace that it is about.
    pub roles: Vec<&'static str>,
}

/// What an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFacts {
    /// Where it belongs.
    pub namespace: String,
    /// The names from its owner to itself; at least these two.
    pub lineage: Vec<String>,
}

/// On what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// The word of its kind in the ledger: `secret`.
    pub kind: String,
    /// Its name there: a path, a label, an id.
    pub name: String,
    /// Where it is, unless it is of the installation.
    pub namespace: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asks {
    /// For which project.
    pub project: String,
    /// Delivered how.
    pub delivery: String,
    /// Environment name and path of each value.
    pub items: Vec<(String, String)>,
}

/// Under which circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// When.
    pub now: Timestamp,
    /// From where.
    pub source: Option<IpAddr>,
    /// How the caller was proven.
    pub profile: String,
    /// How often this agent did this in the last hour.
    pub uses_last_hour: u64,
    /// What is asked for, by actions that ask for values.
    pub asks: Option<Asks>,
}

/// All that a decision by policies depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who.
    pub principal: Principal,
    /// To do what.
    pub action: Action,
    /// On what.
    pub thing: Thing,
    /// Under which circumstances.
    pub circumstances: Circumstances,
}

impl Principal {
    /// An actor of the directory, as it asks about `namespace`; none who is not in it.
    #[must_use]
    pub fn of(snapshot: &Snapshot, id: &ActorId, namespace: Option<&Namespace>) -> Option<Self> {
        let record = snapshot.actor(id)?;
        let name = record.label().to_string();
        let agent = match &record.kind {
            ActorKind::Owner { .. } => None,
            ActorKind::Agent { namespace, .. } => {
                let mut lineage: Vec<String> =
                    std::iter::successors(Some(record), |actor| snapshot.actor(actor.parent()?))
                        .map(|actor| actor.label().to_string())
                        .collect();
                lineage.reverse();
                Some(AgentFacts {
                    namespace: namespace.to_string(),
                    lineage,
                })
            }
        };
        let held = snapshot.roles(id).filter(|_| agent.is_none());
        let roles = held.into_iter().flat_map(|held| held.roles.iter());
        let roles = roles
            .filter(|held| held.namespace.is_some() && held.namespace.as_ref() == namespace)
            .map(|held| held.role.as_str())
            .collect();
        let steward = snapshot
            .roles(id)
            .is_some_and(|held| held.has(Role::Steward, None));
        Some(Self {
            id: id.to_string(),
            name,
            steward: steward && agent.is_none(),
            agent,
            roles,
        })
    }

    /// The same person with the roles that groups lend them in the browser that asks.
    fn with_lent(mut self, lent: &[RoleAssignment], namespace: Option<&Namespace>) -> Self {
        for role in lent {
            let word = role.role.as_str();
            match &role.namespace {
                None => self.steward |= role.role == Role::Steward,
                there if there.as_ref() == namespace && !self.roles.contains(&word) => {
                    self.roles.push(word);
                }
                Some(_) => {}
            }
        }
        self
    }
}

impl Thing {
    /// From the text of a resource in the ledger, `secret/app/key`, and its namespace.
    #[must_use]
    pub fn parse(text: &str, namespace: Option<&str>) -> Self {
        let (kind, name) = text.split_once('/').unwrap_or((text, ""));
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
        }
    }
}

impl Asks {
    /// What a question asks for.
    fn of(snapshot: &Snapshot, question: &Question<'_>) -> Option<Self> {
        let items = |items: &[procura_types::wire::GrantItem]| {
            items
                .iter()
                .map(|item| (item.name.to_string(), item.path.to_string()))
                .collect()
        };
        if let Some(need) = question.concerned.need {
            return Some(Self {
                project: need.project.to_string(),
                delivery: need.delivery.as_str().to_owned(),
                items: items(need.items),
            });
        }
        let need = question.concerned.token?;
        // The floor has found the token already.
        let token = snapshot.token(need.token)?;
        Some(Self {
            project: token.project.to_string(),
            delivery: token.delivery.as_str().to_owned(),
            items: items(need.items),
        })
    }
}

impl Facts {
    /// The facts of a question; none where its caller is not in the directory.
    #[must_use]
    pub fn of(snapshot: &Snapshot, question: &Question<'_>, uses_last_hour: u64) -> Option<Self> {
        let caller = question.caller;
        let namespace = question.resource.namespace();
        Some(Self {
            principal: Principal::of(snapshot, caller.actor(), namespace)?
                .with_lent(caller.lent(), namespace),
            action: question.action,
            thing: Thing::parse(
                &question.resource.to_string(),
                namespace.map(Namespace::as_str),
            ),
            circumstances: Circumstances {
                now: question.now,
                source: caller.peer(),
                profile: caller.profile().as_str().to_owned(),
                uses_last_hour,
                asks: Asks::of(snapshot, question),
            },
        })
    }
}
