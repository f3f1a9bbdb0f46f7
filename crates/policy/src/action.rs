//! Every action, with the rule that opens it. What is done in which way at all (in a browser,
//! by an API key, within a session) stands in `action/ways.rs`.

mod ways;

pub use ways::STEP_UP;

use procura_types::Role;

/// What must hold for an action. Whatever holds, an inactive caller is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One of these roles, in the namespace of the resource (`steward`: in the
    /// installation).
    Roles(&'static [Role]),
    /// Any active actor with a device that has a part in the namespace of the
    /// resource, if it has one.
    Anyone,
    /// An agent that the project names as one that may ask, or the service as one
    /// that may run its gate.
    Member,
    /// An agent with a grant that holds and covers all that the operation needs.
    Grant,
    /// The device that a project token was issued to, as long as token and grant hold
    /// and cover all that the operation needs.
    Token,
    /// The actor that the resource belongs to.
    Own,
    /// The resource's actor, or one of these roles.
    OwnOr(&'static [Role]),
    /// Whoever may do each of its parts ([`Op::parts`](crate::Op::parts)), of which there
    /// is one at least.
    Parts,
    /// A device that shows a link code and signs for its key.
    Joining,
    /// A person who just proved who they are, for a web login.
    SigningIn,
    /// A process of the server's own user, on the admin socket.
    AdminSocket,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $rule:expr;)*) => {
        /// What an operation does. The text form stands in the ledger.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action, in the order of the permission matrix.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The action as in the ledger: `secret.read`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What opens it.
            #[must_use]
            pub const fn rule(self) -> Rule {
                use Role::{Admin, Approver, Auditor, Steward};
                match self { $(Self::$name => $rule,)* }
            }
        }
    };
}

actions! {
    /// Makes the installation and its first owner.
    InstallationInit = "installation.init", Rule::AdminSocket;
    /// Opens the vault.
    InstallationUnseal = "installation.unseal", Rule::AdminSocket;
    /// Changes the passphrase, which rotates the root.
    InstallationPassphrase = "installation.passphrase", Rule::AdminSocket;
    /// Makes another root, with what opens the vault as it is.
    InstallationRotate = "installation.rotate", Rule::AdminSocket;
    /// Says where the keys stand that the root leads to.
    InstallationKeys = "installation.keys", Rule::Roles(&[Steward]);
    /// Adds something that opens the vault.
    UnsealSourceAdd = "unseal_source.add", Rule::AdminSocket;
    /// Removes something that opens the vault, which rotates the root.
    UnsealSourceRemove = "unseal_source.remove", Rule::AdminSocket;
    /// Tries whether something opens the vault.
    UnsealSourceTest = "unseal_source.test", Rule::AdminSocket;
    /// Says that an operator knows of unseals with shares.
    RecoverySeen = "recovery.seen", Rule::Anyone;
    /// Proposes what takes a quorum of stewards.
    ProposalCreate = "proposal.create", Rule::Roles(&[Steward]);
    /// Lists what was proposed, and who signed.
    ProposalList = "proposal.list", Rule::Roles(&[Steward]);
    /// Signs what was proposed.
    ProposalSign = "proposal.sign", Rule::Roles(&[Steward]);
    /// Says no to what was proposed.
    ProposalRefuse = "proposal.refuse", Rule::Roles(&[Steward]);
    /// Lists how many stewards the most dangerous acts take.
    ApprovalRuleList = "approval_rule.list", Rule::Roles(&[Steward]);
    /// Says how many stewards an act takes.
    ApprovalRuleSet = "approval_rule.set", Rule::Roles(&[Steward]);
    /// Makes a break-glass account.
    BreakGlassCreate = "break_glass.create", Rule::Roles(&[Steward]);
    /// Lists break-glass accounts.
    BreakGlassList = "break_glass.list", Rule::Roles(&[Steward]);
    /// Opens a break-glass account, by its own key.
    BreakGlassUse = "break_glass.use", Rule::Own;
    /// Closes the vault.
    InstallationSeal = "installation.seal", Rule::Roles(&[Steward]);
    /// Reads and opens every row to see whether all is whole.
    InstallationCheck = "installation.check", Rule::Roles(&[Steward]);
    /// Takes a backup, or a copy of what is new in the ledger.
    InstallationBackup = "installation.backup", Rule::Roles(&[Steward]);
    /// Brings in what goes into several namespaces, all of it or nothing.
    InstallationImport = "installation.import", Rule::Parts;
    /// Makes a restored home the installation again.
    InstallationRestore = "installation.restore", Rule::AdminSocket;
    /// Lists the servers of the installation.
    ServerList = "server.list", Rule::Roles(&[Steward]);
    /// Removes a server for good.
    ServerRemove = "server.remove", Rule::Roles(&[Steward]);
    /// Lists the keys that sign tokens.
    SigningKeyList = "signing_key.list", Rule::Roles(&[Steward]);
    /// Has the next key sign tokens from now on.
    SigningKeyRoll = "signing_key.roll", Rule::Roles(&[Steward]);
    /// Takes a key out of the key set at once.
    SigningKeyRetire = "signing_key.retire", Rule::Roles(&[Steward]);
    /// Makes a namespace; its maker gets every role in it.
    NamespaceCreate = "namespace.create", Rule::Roles(&[Steward]);
    /// Gives a namespace another key.
    NamespaceRotate = "namespace.rotate", Rule::Roles(&[Admin, Steward]);
    /// Lists the namespaces that the caller has a part in.
    NamespaceList = "namespace.list", Rule::Anyone;
    /// Shows a namespace with its quota and what is in it.
    NamespaceRead = "namespace.read", Rule::Roles(&[Steward, Admin, Approver, Auditor]);
    /// Says what people call a namespace.
    NamespaceDisplayName = "namespace.display_name", Rule::Roles(&[Steward, Admin]);
    /// Says how much a namespace may hold.
    NamespaceQuota = "namespace.quota", Rule::Roles(&[Steward]);
    /// Ends a namespace and destroys its keys.
    NamespaceDelete = "namespace.delete", Rule::Roles(&[Steward]);
    /// Invites an operator.
    OperatorInvite = "operator.invite", Rule::Roles(&[Steward]);
    /// Becomes an operator by an invitation.
    OperatorJoin = "operator.join", Rule::Joining;
    /// Lists operators.
    OperatorList = "operator.list", Rule::Roles(&[Steward]);
    /// Replaces an operator's roles.
    OperatorRoles = "operator.roles", Rule::Roles(&[Steward]);
    /// Revokes an operator and everything below.
    OperatorRevoke = "operator.revoke", Rule::Roles(&[Steward]);
    /// Makes a link code for another device of an operator: by the operator alone,
    /// since whoever holds the device can sign approvals as that person.
    OperatorLink = "operator.link", Rule::Own;
    /// Makes a link code for another device of an operator whose key is lost.
    OperatorRecover = "operator.recover", Rule::AdminSocket;
    /// Sets the password that an operator signs in with in a browser: by the operator
    /// alone, with a device key.
    OperatorPassword = "operator.password", Rule::Own;
    /// Makes the secret of an operator's authenticator app.
    OperatorTotp = "operator.totp", Rule::Own;
    /// Shows that the app has it, by a first code.
    OperatorTotpConfirm = "operator.totp.confirm", Rule::Own;
    /// Makes other recovery codes.
    OperatorRecoveryCodes = "operator.recovery_codes", Rule::Own;
    /// Says what an operator signs in with, without any of it.
    OperatorAccount = "operator.account", Rule::OwnOr(&[Steward]);
    /// Takes an operator their password and codes, and ends their web logins.
    OperatorAccountEnd = "operator.account.end", Rule::OwnOr(&[Steward]);
    /// Makes a code with which a browser enrols one more passkey of an operator: by the
    /// operator alone, since whoever has it can say yes as that person.
    OperatorPasskeyInvite = "operator.passkey.invite", Rule::Own;
    /// Enrols a passkey by such a code.
    OperatorPasskeyEnrol = "operator.passkey.enrol", Rule::Joining;
    /// Proves with a passkey who is there.
    OperatorPasskeyUse = "operator.passkey.use", Rule::SigningIn;
    /// Lists the passkeys of an operator.
    OperatorPasskeyList = "operator.passkey.list", Rule::OwnOr(&[Steward]);
    /// Says what its owner calls a passkey.
    OperatorPasskeyRename = "operator.passkey.rename", Rule::Own;
    /// Removes a passkey, and ends the web logins that were made with it.
    OperatorPasskeyRemove = "operator.passkey.remove", Rule::OwnOr(&[Steward]);
    /// Makes an API key of an operator: by the operator alone, with a device key.
    ApiKeyCreate = "api_key.create", Rule::Own;
    /// Lists the API keys of an operator.
    ApiKeyList = "api_key.list", Rule::OwnOr(&[Steward]);
    /// Revokes an API key of an operator, and its device.
    ApiKeyRevoke = "api_key.revoke", Rule::OwnOr(&[Steward]);
    /// Links a subject of an identity provider to an operator, whom it signs in from then
    /// on: by the operator alone, with a device key.
    OperatorOidcLink = "operator.oidc.link", Rule::Own;
    /// Lists the subjects that sign an operator in.
    OperatorOidcList = "operator.oidc.list", Rule::OwnOr(&[Steward]);
    /// Unlinks one, and ends the web logins that were made with it.
    OperatorOidcUnlink = "operator.oidc.unlink", Rule::OwnOr(&[Steward]);
    /// Shows by an identity provider's word who is there.
    OperatorOidcUse = "operator.oidc.use", Rule::SigningIn;
    /// Signs in in a browser.
    WebLoginStart = "web_login.start", Rule::SigningIn;
    /// Lists the web logins of an operator.
    WebLoginList = "web_login.list", Rule::OwnOr(&[Steward]);
    /// Ends web logins of an operator: one, or all.
    WebLoginEnd = "web_login.end", Rule::OwnOr(&[Steward]);
    /// Makes an agent.
    AgentCreate = "agent.create", Rule::Roles(&[Admin]);
    /// Lists agents and their devices.
    AgentList = "agent.list", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Makes a link code for a device of an agent.
    AgentLink = "agent.link", Rule::Roles(&[Admin]);
    /// Revokes an agent and everything below.
    AgentRevoke = "agent.revoke", Rule::Roles(&[Admin]);
    /// Says where an agent's requests may come from.
    AgentSources = "agent.sources", Rule::Roles(&[Admin]);
    /// Says what people call an agent.
    AgentDisplayName = "agent.display_name", Rule::Roles(&[Admin]);
    /// Binds an id of another system to an agent.
    ForeignBind = "foreign.bind", Rule::Roles(&[Admin]);
    /// Lists ids of other systems, and how old their secrets are.
    ForeignList = "foreign.list", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Makes an id of another system stand for nobody.
    ForeignRelease = "foreign.release", Rule::Roles(&[Admin]);
    /// Was asked something by an agent whose proof protects next to nothing
    /// (`hmac-v1`).
    ForeignWeak = "foreign.weak", Rule::Own;
    /// Makes a code with which an agent is enrolled under an id of another system.
    EnrolStart = "agent.enrol.start", Rule::Roles(&[Admin]);
    /// Enrols an agent by such a code.
    EnrolComplete = "agent.enrol.complete", Rule::Joining;
    /// Gives an agent another secret for the profiles with a MAC.
    AgentSecretRotate = "agent.secret.rotate", Rule::OwnOr(&[Admin]);
    /// Takes an agent its secrets.
    AgentSecretRevoke = "agent.secret.revoke", Rule::Roles(&[Admin]);
    /// Gives an agent a token.
    AgentTokenRefresh = "agent.token.refresh", Rule::Own;
    /// Binds a device to an actor by a link code.
    DeviceJoin = "device.join", Rule::Joining;
    /// Asks, as a device that is nobody's yet, to become one of an agent's.
    DeviceGrantAsk = "device_grant.ask", Rule::Joining;
    /// Lists the devices that ask.
    DeviceGrantList = "device_grant.list", Rule::Roles(&[Admin, Approver]);
    /// Shows the device that asks and whose host shows a code.
    DeviceGrantRead = "device_grant.read", Rule::Roles(&[Admin, Approver]);
    /// Says whose device it becomes.
    DeviceGrantApprove = "device_grant.approve", Rule::Roles(&[Admin]);
    /// Says no to a device that asks.
    DeviceGrantDeny = "device_grant.deny", Rule::Roles(&[Admin, Approver]);
    /// Gives a client of CortexAuth the token of a login that a person approved.
    LegacyLogin = "legacy.login", Rule::Joining;
    /// Gives a daemon of CortexAuth a session for the key of its process.
    LegacyAttest = "legacy.attest", Rule::Own;
    /// Revokes a device of an agent.
    DeviceRevoke = "device.revoke", Rule::OwnOr(&[Admin]);
    /// Asks for what a daemon puts into its next attestation.
    AttestationChallenge = "attestation.challenge", Rule::Own;
    /// Attests which program a daemon is, or renews that.
    AttestationMake = "attestation.make", Rule::Own;
    /// Lists what daemons attested, and the baselines of their hosts.
    AttestationList = "attestation.list", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Revokes an attestation, and with it the key of its process.
    AttestationRevoke = "attestation.revoke", Rule::OwnOr(&[Admin]);
    /// Accepts how the host of a device has started.
    BaselineSet = "baseline.set", Rule::Roles(&[Admin]);
    /// Accepts it no more.
    BaselineRemove = "baseline.remove", Rule::Roles(&[Admin]);
    /// Enrols a key that signs releases.
    ReleaseKeyAdd = "release_key.add", Rule::Roles(&[Steward]);
    /// Lists the keys that sign releases.
    ReleaseKeyList = "release_key.list", Rule::Roles(&[Steward]);
    /// Removes a key that signs releases, and all that it vouches for.
    ReleaseKeyRemove = "release_key.remove", Rule::Roles(&[Steward]);
    /// Adds programs that a release key signed.
    ReleaseAdd = "release.add", Rule::Roles(&[Steward]);
    /// Lists the programs that release keys vouch for.
    ReleaseList = "release.list", Rule::Roles(&[Steward]);
    /// Withdraws a program for good.
    ReleaseWithdraw = "release.withdraw", Rule::Roles(&[Steward]);
    /// Puts a device of an operator on hold, until a steward lets it out.
    OperatorDeviceHold = "operator.device.hold", Rule::Roles(&[Steward]);
    /// Revokes a device of an operator.
    OperatorDeviceRevoke = "operator.device.revoke", Rule::OwnOr(&[Steward]);
    /// Starts or renews a session.
    SessionStart = "session.start", Rule::Anyone;
    /// Writes a version of a secret.
    SecretWrite = "secret.write", Rule::Roles(&[Admin]);
    /// Reads a value as an operator.
    SecretRead = "secret.read", Rule::Roles(&[Admin]);
    /// Lists names and versions.
    SecretList = "secret.list", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Lists the versions of one secret.
    SecretHistory = "secret.history", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Makes versions unreadable.
    SecretDelete = "secret.delete", Rule::Roles(&[Admin]);
    /// Makes deleted versions readable again.
    SecretUndelete = "secret.undelete", Rule::Roles(&[Admin]);
    /// Lists what was deleted and can be undeleted.
    SecretListDeleted = "secret.list.deleted", Rule::Roles(&[Admin]);
    /// Lists what was there at a time.
    SecretListAt = "secret.list.at", Rule::Roles(&[Admin]);
    /// Changes what is said of a secret, without a new version.
    SecretSet = "secret.set", Rule::Roles(&[Admin]);
    /// Writes many secrets, all of them or none.
    SecretImport = "secret.import", Rule::Roles(&[Admin]);
    /// Takes values out, encrypted.
    SecretExport = "secret.export", Rule::Roles(&[Admin]);
    /// Makes new versions of what was there at a time.
    SecretRollback = "secret.rollback", Rule::Roles(&[Admin]);
    /// Removes the bytes and keys of versions.
    SecretDestroy = "secret.destroy", Rule::Roles(&[Admin]);
    /// Stores a version of the policies of a namespace or of the installation, which
    /// counts for nothing yet.
    PolicyWrite = "policy.write", Rule::Roles(&[Admin, Steward]);
    /// Says which version of policies decides, and which is computed beside.
    PolicyState = "policy.state", Rule::Roles(&[Admin, Steward]);
    /// Reads policies, what they would decide, and what observing them showed.
    PolicyRead = "policy.read", Rule::Roles(&[Admin, Approver, Auditor, Steward]);
    /// Plants a decoy.
    HoneyPlant = "honey.plant", Rule::Roles(&[Steward]);
    /// Removes a decoy.
    HoneyRemove = "honey.remove", Rule::Roles(&[Steward]);
    /// Lists decoys and who touched them.
    HoneyList = "honey.list", Rule::Roles(&[Steward]);
    /// Asks which decoy a value is that was found.
    HoneyWhich = "honey.which", Rule::Roles(&[Steward]);
    /// Hands a decoy to an agent that asks for it.
    HoneyBait = "honey.bait", Rule::Own;
    /// Lists what is in quarantine.
    QuarantineList = "quarantine.list", Rule::Roles(&[Steward]);
    /// Lets something out of quarantine.
    QuarantineLift = "quarantine.lift", Rule::Roles(&[Steward]);
    /// Hands one key to an agent that asks for it by name.
    KeyRead = "key.read", Rule::Grant;
    /// Lists the keys that an agent may have.
    KeyList = "key.list", Rule::Own;
    /// Makes or replaces a project.
    ProjectWrite = "project.write", Rule::Roles(&[Admin]);
    /// Gives a project to other agents, and ends the grants of those before.
    ProjectRebind = "project.rebind", Rule::Roles(&[Admin]);
    /// Says what a daemon has to have attested for a project.
    ProjectRequireGrade = "project.require_grade", Rule::Roles(&[Admin]);
    /// Says what people call a project.
    ProjectDisplayName = "project.display_name", Rule::Roles(&[Admin]);
    /// Ends a project, and with it its grants and requests.
    ProjectDelete = "project.delete", Rule::Roles(&[Admin]);
    /// Reads projects.
    ProjectRead = "project.read", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Issues a token of a project to the device that asks.
    ProjectTokenIssue = "project_token.issue", Rule::Grant;
    /// Hands values to the device that shows its project token.
    ProjectTokenUse = "project_token.use", Rule::Token;
    /// Exchanges a project token for another of the same scope.
    ProjectTokenRotate = "project_token.rotate", Rule::Token;
    /// Lists project tokens; an agent its own.
    ProjectTokenList = "project_token.list", Rule::OwnOr(&[Admin, Approver, Auditor]);
    /// Revokes one project token.
    ProjectTokenRevoke = "project_token.revoke", Rule::OwnOr(&[Admin, Approver]);
    /// Revokes all tokens of a project.
    ProjectTokenRevokeAll = "project_token.revoke_all", Rule::Roles(&[Admin, Approver]);
    /// Makes or removes a transit key, or says who may use it.
    TransitWrite = "transit.write", Rule::Roles(&[Admin]);
    /// Lists transit keys.
    TransitList = "transit.list", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Wraps with a transit key.
    TransitWrap = "transit.wrap", Rule::Member;
    /// Unwraps with a transit key.
    TransitUnwrap = "transit.unwrap", Rule::Member;
    /// Makes or removes a service, or turns its dial.
    ServiceWrite = "service.write", Rule::Roles(&[Admin]);
    /// Reads services and their dials.
    ServiceRead = "service.read", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Follows the directory and the dial as the gate of a service, and gets the keys
    /// of its sessions.
    ServiceFollow = "service.follow", Rule::Member;
    /// Asks, as the gate of a service, whether a proof by a profile of another system
    /// is good, which is used up then.
    ServiceVerify = "service.verify", Rule::Member;
    /// Asks for authority.
    RequestCreate = "request.create", Rule::Member;
    /// Lists requests.
    RequestList = "request.list", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Reads one request; the agent may read its own.
    RequestRead = "request.read", Rule::OwnOr(&[Admin, Approver, Auditor]);
    /// Says yes, signed.
    RequestApprove = "request.approve", Rule::Roles(&[Approver]);
    /// Says no.
    RequestDeny = "request.deny", Rule::Roles(&[Approver]);
    /// Hands values to a process of an agent.
    RunDeliver = "run.deliver", Rule::Grant;
    /// Reports that the process ended.
    RunEnd = "run.end", Rule::Own;
    /// Reads grants.
    GrantRead = "grant.read", Rule::Roles(&[Admin, Approver, Auditor]);
    /// Ends a grant.
    GrantWithdraw = "grant.withdraw", Rule::Roles(&[Admin, Approver]);
    /// Follows what happens: an agent what concerns itself and those below it.
    EventsRead = "events.read", Rule::OwnOr(&[Steward, Admin, Approver, Auditor]);
    /// Makes or removes a channel that people are told by, or a route to one.
    NotifyWrite = "notify.write", Rule::Roles(&[Steward, Admin]);
    /// Lists channels, routes, and what waits.
    NotifyRead = "notify.read", Rule::Roles(&[Steward, Admin, Auditor]);
    /// Sends a message through a channel.
    NotifyTest = "notify.test", Rule::Roles(&[Steward, Admin]);
    /// Has messages tried again that were given up, or forgets them.
    NotifyRedeliver = "notify.redeliver", Rule::Roles(&[Steward, Admin]);
    /// Reads the record of one namespace.
    LedgerRead = "ledger.read", Rule::Roles(&[Auditor, Steward]);
    /// Reads the whole record and exports it.
    LedgerExport = "ledger.export", Rule::Roles(&[Steward]);
    /// Reads checkpoints and consistency proofs.
    LedgerCheckpoint = "ledger.checkpoint", Rule::Anyone;
    /// Says how long entries of the record are kept.
    LedgerRetention = "ledger.retention", Rule::Roles(&[Steward]);
}
