//! What policies may speak of: which actions they have a say in, and on what kinds of
//! things. Derived from the product's own table of actions, so that a new action is
//! governed from its first day.

use procura_policy::{Action, Rule};

/// How much policies have to say about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// It has to be permitted, and may not be forbidden.
    Permit,
    /// It may not be forbidden.
    Forbid,
    /// Nothing: policies are not asked.
    Nothing,
}

/// Whether an actor with a device or a web login can be asked about at all.
const fn is_of_actors(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::Roles(_)
            | Rule::Anyone
            | Rule::Member
            | Rule::Grant
            | Rule::Token
            | Rule::Own
            | Rule::OwnOr(_)
    )
}

/// What policies have to say about an action of an agent.
#[must_use]
pub const fn for_agents(action: Action) -> Say {
    match action {
        // Who touches a decoy is to be caught, not stopped before.
        Action::HoneyBait | Action::ForeignWeak => Say::Nothing,
        // They give an agent nothing by themselves, or take something away from it.
        Action::SessionStart
        | Action::NamespaceList
        | Action::LedgerCheckpoint
        | Action::RecoverySeen
        | Action::RunEnd
        | Action::DeviceRevoke
        | Action::ProjectTokenRevoke
        | Action::AttestationChallenge
        | Action::AttestationMake
        | Action::AttestationRevoke
        | Action::LegacyAttest => Say::Forbid,
        _ => match action.rule() {
            rule if !is_of_actors(rule) => Say::Nothing,
            // Agents hold no roles.
            Rule::Roles(_) => Say::Nothing,
            _ => Say::Permit,
        },
    }
}

/// What policies have to say about an action of an operator: only what they forbid, and
/// nothing about policies themselves, nor about what it takes to stop a steward, nor about
/// opening an account for emergencies, so that no policy keeps anybody from repairing policies.
#[must_use]
pub const fn for_operators(action: Action) -> Say {
    match action {
        Action::PolicyWrite | Action::PolicyState | Action::PolicyRead => Say::Nothing,
        Action::BreakGlassUse => Say::Nothing,
        Action::HoneyBait | Action::ForeignWeak => Say::Nothing,
        _ if action.is_a_say() || !is_of_actors(action.rule()) => Say::Nothing,
        _ => Say::Forbid,
    }
}

/// Whether an operation of this action says which values it is for, how they are
/// delivered and for which project.
pub(crate) const fn asks_for_values(action: Action) -> bool {
    matches!(
        action,
        Action::RunDeliver
            | Action::KeyRead
            | Action::RequestCreate
            | Action::ProjectTokenIssue
            | Action::ProjectTokenUse
            | Action::ProjectTokenRotate
    )
}

/// The kinds of things that actions are on: the word before the `/` of a resource in the
/// ledger, and the name of the type in policies. Agents and operators whom something is
/// done to are other types than those who do it.
pub(crate) const KINDS: &[(&str, &str)] = &[
    ("installation", "Installation"),
    ("namespace", "Namespace"),
    ("agent", "ManagedAgent"),
    ("operator", "ManagedOperator"),
    ("device", "Device"),
    ("secret", "Secret"),
    ("project", "Project"),
    ("service", "Service"),
    ("transit", "TransitKey"),
    ("request", "Request"),
    ("grant", "Grant"),
    ("run", "Run"),
    ("project_token", "ProjectToken"),
    ("foreign", "ForeignId"),
    ("signing_key", "SigningKey"),
    ("honey", "Decoy"),
    ("server", "Server"),
    ("other", "Other"),
];

/// Whether things of this kind are of the installation and of no namespace.
pub(crate) fn is_of_installation(word: &str) -> bool {
    matches!(
        word,
        "installation"
            | "unseal_source"
            | "operator"
            | "proposal"
            | "approval_rule"
            | "server"
            | "honey"
            | "canary"
            | "signing_key"
    )
}

/// The kind of a thing, from the word in the ledger; what is not listed is `Other`.
pub(crate) fn kind_of(word: &str) -> &'static str {
    KINDS
        .iter()
        .find(|(known, _)| *known == word)
        .map_or("Other", |(_, name)| name)
}

/// The kinds of things that an action is on. It decides what a policy may compare the
/// resource with; what is decided on at run time is the thing itself.
pub(crate) fn kinds_of(action: Action) -> &'static [&'static str] {
    use Action as A;
    match action {
        A::RunDeliver
        | A::RequestCreate
        | A::ProjectTokenIssue
        | A::ProjectTokenUse
        | A::ProjectTokenRevokeAll
        | A::ProjectWrite
        | A::ProjectRebind
        | A::ProjectDisplayName
        | A::ProjectDelete => &["Project"],
        A::ProjectRead => &["Project", "Namespace"],
        A::KeyRead
        | A::SecretRead
        | A::SecretWrite
        | A::SecretHistory
        | A::SecretDelete
        | A::SecretUndelete
        | A::SecretSet
        | A::SecretDestroy => &["Secret"],
        A::SecretRollback => &["Secret", "Namespace"],
        A::KeyList
        | A::SecretList
        | A::SecretListDeleted
        | A::SecretListAt
        | A::SecretImport
        | A::SecretExport
        | A::ProjectTokenList
        | A::RequestList
        | A::AgentList
        | A::LedgerRead
        | A::NamespaceRead
        | A::NamespaceDisplayName
        | A::NamespaceQuota
        | A::NamespaceRotate
        | A::NamespaceDelete
        | A::TransitList => &["Namespace"],
        A::ProjectTokenRotate | A::ProjectTokenRevoke => &["ProjectToken"],
        A::TransitWrite | A::TransitWrap | A::TransitUnwrap => &["TransitKey"],
        A::ServiceWrite | A::ServiceFollow | A::ServiceVerify => &["Service"],
        A::ServiceRead => &["Service", "Namespace"],
        A::SessionStart => &["Installation", "Service"],
        A::RequestRead | A::RequestApprove | A::RequestDeny => &["Request"],
        A::GrantRead => &["Grant", "Namespace"],
        A::GrantWithdraw => &["Grant"],
        A::RunEnd => &["Run"],
        A::EventsRead => &["Namespace", "Installation"],
        A::DeviceRevoke | A::OperatorDeviceHold | A::OperatorDeviceRevoke => &["Device"],
        A::AgentCreate
        | A::AgentLink
        | A::AgentRevoke
        | A::AgentSources
        | A::AgentDisplayName
        // As with a link code: the agent whose device it becomes.
        | A::DeviceGrantApprove => &["ManagedAgent"],
        A::ForeignBind
        | A::ForeignRelease
        | A::EnrolStart
        | A::AgentSecretRotate
        | A::AgentSecretRevoke
        | A::AgentTokenRefresh
        | A::LegacyAttest => &["ForeignId"],
        A::ForeignList => &["ForeignId", "Namespace"],
        A::OperatorInvite | A::OperatorRoles | A::OperatorRevoke | A::OperatorLink => {
            &["ManagedOperator"]
        }
        A::HoneyPlant | A::HoneyRemove => &["Decoy"],
        A::SigningKeyRetire => &["SigningKey"],
        A::ServerRemove => &["Server"],
        A::NamespaceCreate
        | A::NamespaceList
        | A::LedgerExport
        | A::LedgerCheckpoint
        | A::LedgerRetention
        | A::InstallationSeal
        | A::InstallationCheck
        | A::InstallationBackup
        | A::InstallationKeys
        | A::OperatorList
        | A::ServerList
        | A::SigningKeyList
        | A::SigningKeyRoll
        | A::HoneyList
        | A::HoneyWhich
        | A::QuarantineList => &["Installation"],
        _ => &["Namespace", "Installation", "Other"],
    }
}
