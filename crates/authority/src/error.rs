//! What goes wrong between an agent's asking and a person's answer.

use procura_directory::TokenRefusal;
use procura_identity::IdentityError;
use procura_record::RecordError;
use procura_store::StoreError;
use procura_types::template::TemplateError;
use procura_types::wire::{NamespaceHolds, Unmatched};
use procura_types::{
    Delivery, EntropyError, EnvName, Grade, Label, LoaderVariable, Malformed, Namespace,
    ProjectName,
};
use procura_vault::VaultError;

/// Why an operation on projects, services, requests, grants or runs was refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no such project, or the caller has no part in it.
    #[error("there is no project {0}")]
    NoProject(ProjectName),
    /// Something is in the namespace that is to end, and nobody typed its name.
    #[error("the namespace {namespace} is in use: {}", in_words(held))]
    NamespaceInUse {
        /// Which.
        namespace: Namespace,
        /// What is in it.
        held: Box<NamespaceHolds>,
    },
    /// An import of nothing, or with nothing for a namespace.
    #[error("an import has something for each namespace that it names, and names one at least")]
    NothingIn,
    /// A namespace stands twice in an import.
    #[error("the namespace {0} stands there twice")]
    NamespaceTwice(Namespace),
    /// A part of an import is of another namespace, a defect.
    #[error("what is for {0} is of another namespace")]
    Elsewhere(Namespace),
    /// An import would lead a name of a project elsewhere.
    #[error("the project {project} maps {name} to another secret; change that first")]
    MappedElsewhere {
        /// Which project.
        project: ProjectName,
        /// Which of its names.
        name: EnvName,
    },
    /// What one of several namespaces is refused for.
    #[error("{namespace}: {source}")]
    Within {
        /// Which.
        namespace: Namespace,
        /// Why.
        source: Box<AuthorityError>,
    },
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
    /// A name for a token that finds nothing.
    #[error("there is no secret for {}; a token is issued for all names or for none", listed(.0))]
    NoValue(Vec<Unmatched>),
    /// A token does not open anything.
    #[error("the project token opens nothing: {0}")]
    Token(#[from] TokenRefusal),
    /// The daemon that asks has not attested what the project requires.
    #[error(
        "the project hands values to daemons whose attestation is {needs} or better; this one has {}",
        has.map_or("none", Grade::as_str)
    )]
    AttestationRequired {
        /// The weakest that it takes.
        needs: Grade,
        /// What it has.
        has: Option<Grade>,
    },
    /// Keys are fetched by clients of other systems.
    #[error(
        "the project keys is for clients of other systems, which attest nothing; require it of another project"
    )]
    KeysTakeNoGrade,
    /// There is no such token in the namespace.
    #[error("there is no such token, or it is over and forgotten")]
    NoToken,
    /// A name that the token was not issued for.
    #[error("the token is not for {0}")]
    NotInScope(EnvName),
    /// A name that stands for another secret than when the token was issued.
    #[error("{0} is another secret now than when the token was issued")]
    Remapped(EnvName),
    /// A life of a token that is none, or too long.
    #[error("a token counts for 1 to 1209600 seconds (14 days)")]
    BadLife,
    /// The grant is over within the second.
    #[error("the grant ends too soon for a token")]
    GrantEnds,
    /// The agent has too many tokens.
    #[error("this agent has 32 tokens that count; revoke one, or wait until one is over")]
    TooManyTokens,
    /// A name that would make the loader run other code.
    #[error(transparent)]
    Loader(#[from] LoaderVariable),
    /// Several secrets declare the same name.
    #[error("more than one secret declares {}; map the name in the project", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// Not one name found a secret.
    #[error(
        "no secret that may be handed over so matches{}; map names in the project or declare them on secrets",
        asked_for(.0)
    )]
    NothingToDeliver(Vec<Unmatched>),
    /// The project maps a name to a secret that cannot be read.
    #[error("{0} is mapped to a secret that does not exist or was deleted")]
    MissingSecret(EnvName),
    /// A variable of a template finds no secret.
    #[error(
        "the template of {template} has the variable {variable}, which finds no secret in this project"
    )]
    MissingVariable {
        /// Of which name the template is.
        template: EnvName,
        /// Which variable.
        variable: EnvName,
    },
    /// A variable of a template is a template.
    #[error(
        "the template of {template} has the variable {variable}, which is a template itself; templates hold none"
    )]
    NestedTemplate {
        /// Of which name the template is.
        template: EnvName,
        /// Which variable.
        variable: EnvName,
    },
    /// A template with its values is no value.
    #[error("the template of {name} cannot be handed over: {problem}")]
    NotRendered {
        /// Of which name the template is.
        name: EnvName,
        /// Why.
        problem: TemplateError,
    },
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
    /// The project was deleted, or does not fit the request any more.
    #[error("the project was deleted or changed, and the request does not fit it any more")]
    RequestEnded,
    /// The agent was revoked since it asked.
    #[error("the agent is revoked")]
    AgentRevoked,
    /// The approval is not signed by the approver's own device over this grant.
    #[error("the signature is not the calling device's over exactly this grant")]
    BadSignature,
    /// The yes is not a passkey's of whoever says it, over this grant.
    #[error(transparent)]
    Identity(#[from] IdentityError),
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

impl AuthorityError {
    /// Whether it may be gone when the same is tried again: the store was away, closed or
    /// busy. What is damaged is so for good.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        let (Self::Store(error) | Self::Vault(VaultError::Store(error))) = self else {
            return false;
        };
        !matches!(error, StoreError::Corrupt { .. } | StoreError::Shape { .. })
    }

    /// The same, of one of several namespaces.
    pub(crate) fn within(self, namespace: &Namespace) -> Self {
        match self {
            Self::Store(_) | Self::Vault(VaultError::Store(_)) => self,
            source => Self::Within {
                namespace: namespace.clone(),
                source: Box::new(source),
            },
        }
    }
}

/// What was asked for and matches nothing; nothing where nothing was named.
fn asked_for(unmatched: &[Unmatched]) -> String {
    match unmatched {
        [] => String::new(),
        some => format!(" {}", listed(some)),
    }
}

/// The names that find nothing, as far as one line takes them.
fn listed(unmatched: &[Unmatched]) -> String {
    const SHOWN: usize = 8;
    let names = unmatched.iter().filter_map(|name| {
        // What is no name is the caller's own text: it is not repeated.
        name.name.parse::<EnvName>().ok()
    });
    let mut shown: Vec<String> = names.take(SHOWN).map(|name| name.to_string()).collect();
    if shown.is_empty() {
        return "what is no name of an environment variable".to_owned();
    }
    if shown.len() < unmatched.len() {
        shown.push(format!("{} more", unmatched.len() - shown.len()));
    }
    shown.join(", ")
}

/// What is in a namespace, for people: `2 agents, 1 secret`.
fn in_words(held: &NamespaceHolds) -> String {
    let words: Vec<String> = [
        (held.agents, "agent"),
        (held.secrets, "secret"),
        (held.projects, "project"),
        (held.services, "service"),
        (held.grants, "grant"),
        (held.transit_keys, "transit key"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    })
    .collect();
    words.join(", ")
}
