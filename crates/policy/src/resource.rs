//! What an operation is about.

use procura_directory::Suspect;
use procura_types::wire::{GrantItem, GuardedAct};
use procura_types::{
    ActorId, CanaryId, Delivery, ExeDigest, ForeignId, Grade, GrantId, InstanceId, Label,
    Namespace, ProjectName, ProposalId, RequestId, RunId, Scope, SecretPath, Thumbprint, TokenId,
    WebLoginId,
};
use std::fmt;

/// What an operation is about. The text form stands in the ledger; the scope
/// says which roles count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The installation.
    Installation,
    /// What opens the vault.
    UnsealSource(Label),
    /// A namespace as a whole.
    Namespace(Namespace),
    /// An operator or the invitation of one.
    Operator(Label),
    /// An agent.
    Agent(Namespace, Label),
    /// A device of an agent (with its namespace) or of an operator.
    Device(Option<Namespace>, Thumbprint),
    /// A secret.
    Secret(Namespace, SecretPath),
    /// A decoy, or the place of one. Not of its namespace: whoever reads that one's
    /// record need not know of it.
    Honey(Namespace, SecretPath),
    /// A decoy, without a word on where it lies.
    Canary(CanaryId),
    /// A device, or an id of another system, in quarantine or not; of the installation,
    /// as those are who let it out.
    Quarantine(Suspect),
    /// A project.
    Project(Namespace, ProjectName),
    /// A service.
    Service(Namespace, Label),
    /// A transit key.
    Transit(Namespace, Label),
    /// A request.
    Request(Namespace, RequestId),
    /// A grant.
    Grant(Namespace, GrantId),
    /// A hand-over of values.
    Run(Namespace, RunId),
    /// A project token, by its id.
    ProjectToken(Namespace, TokenId),
    /// The policies of a namespace, or of the installation.
    Policies(Option<Namespace>),
    /// A key that signs tokens.
    SigningKey(Thumbprint),
    /// An id of another system that stands, or is to stand, for an agent.
    Foreign(Namespace, ForeignId),
    /// Something that a quorum of stewards has to agree to.
    Proposal(ProposalId),
    /// A server, by the id of its home.
    Server(InstanceId),
    /// A key that signs releases, by its thumbprint.
    ReleaseKey(Thumbprint),
    /// A program, by its digest.
    Release(ExeDigest),
    /// A web login of an operator.
    WebLogin(WebLoginId),
    /// A passkey of an operator.
    Passkey(Thumbprint),
    /// How many stewards an act takes.
    ApprovalRule(GuardedAct),
}

impl Resource {
    /// The namespace, unless it is about the installation.
    #[must_use]
    pub const fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Installation
            | Self::UnsealSource(_)
            | Self::Operator(_)
            | Self::Proposal(_)
            | Self::Server(_)
            | Self::WebLogin(_)
            | Self::Passkey(_)
            | Self::ApprovalRule(_)
            | Self::Honey(..)
            | Self::Canary(_)
            | Self::Quarantine(_)
            | Self::ReleaseKey(_)
            | Self::Release(_)
            | Self::SigningKey(_) => None,
            Self::Device(namespace, _) | Self::Policies(namespace) => namespace.as_ref(),
            Self::Namespace(namespace)
            | Self::Agent(namespace, _)
            | Self::Secret(namespace, _)
            | Self::Project(namespace, _)
            | Self::Service(namespace, _)
            | Self::Transit(namespace, _)
            | Self::Request(namespace, _)
            | Self::Grant(namespace, _)
            | Self::Run(namespace, _)
            | Self::ProjectToken(namespace, _)
            | Self::Foreign(namespace, _) => Some(namespace),
        }
    }

    /// Where the roles that count are held.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.namespace().map_or(Scope::Installation, |namespace| {
            Scope::Namespace(namespace.clone())
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installation => f.write_str("installation"),
            Self::UnsealSource(name) => write!(f, "unseal_source/{name}"),
            Self::Namespace(name) => write!(f, "namespace/{name}"),
            Self::Operator(name) => write!(f, "operator/{name}"),
            Self::Agent(_, label) => write!(f, "agent/{label}"),
            Self::Device(_, thumbprint) => write!(f, "device/{thumbprint}"),
            Self::Secret(_, path) => write!(f, "secret/{path}"),
            Self::Honey(namespace, path) => write!(f, "honey/{namespace}/{path}"),
            Self::Canary(id) => write!(f, "canary/{id}"),
            Self::Quarantine(suspect) => write!(f, "{suspect}"),
            Self::Project(_, name) => write!(f, "project/{name}"),
            Self::Service(_, name) => write!(f, "service/{name}"),
            Self::Transit(_, name) => write!(f, "transit/{name}"),
            Self::Request(_, id) => write!(f, "request/{id}"),
            Self::Grant(_, id) => write!(f, "grant/{id}"),
            Self::Run(_, id) => write!(f, "run/{id}"),
            Self::ProjectToken(_, id) => write!(f, "project_token/{id}"),
            Self::Proposal(id) => write!(f, "proposal/{id}"),
            Self::Server(id) => write!(f, "server/{id}"),
            Self::WebLogin(id) => write!(f, "web_login/{id}"),
            Self::Passkey(id) => write!(f, "passkey/{id}"),
            Self::ApprovalRule(act) => write!(f, "approval_rule/{act}"),
            Self::Policies(_) => f.write_str("policies"),
            Self::SigningKey(kid) => write!(f, "signing_key/{kid}"),
            Self::ReleaseKey(key) => write!(f, "release_key/{key}"),
            Self::Release(sha256) => write!(f, "release/{sha256}"),
            Self::Foreign(_, id) => write!(f, "foreign/{id}"),
        }
    }
}

/// What a grant has to cover.
#[derive(Debug, Clone, Copy)]
pub struct GrantNeed<'a> {
    /// Where.
    pub namespace: &'a Namespace,
    /// For which project.
    pub project: &'a ProjectName,
    /// Delivered how.
    pub delivery: Delivery,
    /// All of these.
    pub items: &'a [GrantItem],
}

/// What a project token has to open.
#[derive(Debug, Clone, Copy)]
pub struct TokenNeed<'a> {
    /// Which token.
    pub token: &'a TokenId,
    /// All of these.
    pub items: &'a [GrantItem],
}

/// Whom an operation concerns besides its caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct Concerned<'a> {
    /// The actor that the resource belongs to.
    pub own: Option<&'a ActorId>,
    /// The agents that a project or a service names.
    pub members: &'a [ActorId],
    /// What a grant has to cover.
    pub need: Option<GrantNeed<'a>>,
    /// What a project token has to open.
    pub token: Option<TokenNeed<'a>>,
    /// What the daemon that asks has to have attested at least.
    pub grade: Option<Grade>,
}

impl<'a> Concerned<'a> {
    /// What belongs to this actor, and concerns nobody else.
    #[must_use]
    pub fn own(actor: &'a ActorId) -> Self {
        Self {
            own: Some(actor),
            ..Self::default()
        }
    }
}
