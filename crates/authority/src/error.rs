//! What goes wrong between an agent's asking and a person's answer.

use procura_record::RecordError;
use procura_store::StoreError;
use procura_types::wire::Unmatched;
use procura_types::{
    Delivery, EntropyError, EnvName, Label, LoaderVariable, Malformed, ProjectName,
};
use procura_vault::VaultError;

/// Why an operation on projects, services, requests, grants or runs was refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no such project, or the caller has no part in it.
    #[error("there is no project {0}")]
    NoProject(ProjectName),
    /// There is no such service.
    #[error("there is no service {0}")]
    NoService(Label),
    /// Somebody else changed the service since the caller saw it.
    #[error("the service's version is {latest}, not {expected}; 0 is none")]
    ServiceVersion {
        /// What the caller saw.
        expected: u64,
        /// What is there.
        latest: u64,
    },
    /// The namespace is full.
    #[error("a namespace has at most 256 services")]
    TooManyServices,
    /// A service names an agent for its gate that does not exist.
    #[error("there is no agent {0} in this namespace that is not revoked, to run a gate")]
    NoGate(Label),
    /// A service names too many agents for its gate.
    #[error("a service names at most 16 agents that may run its gate")]
    TooManyGates,
    /// A project names an agent that does not exist.
    #[error("there is no agent {0} in this namespace that is not revoked")]
    NoAgent(Label),
    /// A project names too many agents.
    #[error("a project has at most 256 agents")]
    TooManyAgents,
    /// Too many names at once.
    #[error("a run or a project has at most 256 names")]
    TooManyNames,
    /// The names and paths do not fit into one grant.
    #[error("the names and paths of a run or a project are at most 20000 bytes together")]
    TooLong,
    /// A name that would make the loader run other code.
    #[error(transparent)]
    Loader(#[from] LoaderVariable),
    /// Several secrets declare the same name.
    #[error("more than one secret declares {}; map the name in the project", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// Not one name found a secret.
    #[error("no secret matches; map names in the project or declare them on secrets")]
    NothingToDeliver(Vec<Unmatched>),
    /// The project maps a name to a secret that cannot be read.
    #[error("{0} is mapped to a secret that does not exist or was deleted")]
    MissingSecret(EnvName),
    /// A secret that the agent was granted has expired.
    #[error("the secret of {0} has expired and is not handed over any more")]
    Expired(EnvName),
    /// The rule of a secret does not name the way in which it is asked for.
    #[error("the secret of {name} may not be delivered by {}", delivery.as_str())]
    DeliveryNotAllowed {
        /// Of which name.
        name: EnvName,
        /// In which way.
        delivery: Delivery,
    },
    /// The project does not name the agent any more.
    #[error("the project does not name this agent")]
    NotMember,
    /// The agent has too many requests that wait.
    #[error(
        "this agent has 100 requests waiting already; they have to be answered or expire first"
    )]
    TooManyPending,
    /// There is no such request in the namespace.
    #[error("there is no such request")]
    NoRequest,
    /// The request was approved before.
    #[error("the request is approved already")]
    AlreadyApproved,
    /// The request was denied before.
    #[error("the request is denied already")]
    AlreadyDenied,
    /// Nobody answered the request in time.
    #[error("the request has expired; the agent has to ask again")]
    RequestExpired,
    /// An approval of nothing.
    #[error("an approval names at least one of the names asked for; to grant nothing, deny")]
    NothingApproved,
    /// An approval of something else than was asked for.
    #[error("{0} was not asked for")]
    NotAsked(EnvName),
    /// The beginning of the grant is not now.
    #[error("a grant begins within 5 minutes of the server's clock; check yours")]
    BadStart,
    /// The end of the grant is no end, or too far.
    #[error("a grant ends after it begins, not in the past, and at most 366 days later")]
    BadEnd,
    /// The agent was revoked since it asked.
    #[error("the agent is revoked")]
    AgentRevoked,
    /// The approval is not signed by the approver's own device over this grant.
    #[error("the signature is not the calling device's over exactly this grant")]
    BadSignature,
    /// There is no such grant in the namespace.
    #[error("there is no such grant")]
    NoGrant,
    /// There is no such run, or it is not of this project.
    #[error("there is no such run")]
    NoRun,
    /// A run was permitted by something else than a grant, a defect.
    #[error("a run needs a device and a grant")]
    NotByGrant,
    /// A name of ours that is none, a defect.
    #[error(transparent)]
    Name(Malformed),
    /// Looking for secrets.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
