//! Tables beside the rules: what is done on hold all the same, and what by an API key, in a
//! browser, within a session, as a client of CortexAuth, and by the profiles of other
//! systems. The rule of the action has to hold as well.

use super::Action;
use procura_proof::foreign::Foreign;
use procura_types::{Amr, Duration};

/// For how long after a person proved who they are a web login may do what is dangerous.
pub const STEP_UP: Duration = Duration::from_secs(5 * 60);

impl Action {
    /// Whether a device that a steward put on hold may still do it: to have a say in what is
    /// proposed to stewards, what a client does on its way there, and to carry out the
    /// removal of whoever put all others on hold. The operation looks closer.
    #[must_use]
    pub const fn is_a_say(self) -> bool {
        matches!(
            self,
            Self::ProposalCreate
                | Self::ProposalList
                | Self::ProposalSign
                | Self::ProposalRefuse
                | Self::OperatorRevoke
                | Self::SessionStart
                | Self::RecoverySeen
                | Self::LedgerCheckpoint
        )
    }

    /// Whether an API key may be made for it. Automation reads, writes and takes away; it
    /// does nothing that is a person's to sign, and nothing about people, what opens the
    /// vault, decoys, or API keys themselves.
    #[must_use]
    pub const fn takes_api_key(self) -> bool {
        matches!(
            self,
            Self::AgentCreate
                | Self::AgentDisplayName
                | Self::AgentLink
                | Self::AgentList
                | Self::AgentRevoke
                | Self::AgentSources
                | Self::AttestationList
                | Self::DeviceRevoke
                | Self::EventsRead
                | Self::ForeignList
                | Self::GrantRead
                | Self::GrantWithdraw
                | Self::InstallationBackup
                | Self::InstallationCheck
                | Self::LedgerCheckpoint
                | Self::LedgerExport
                | Self::LedgerRead
                | Self::NamespaceList
                | Self::NamespaceRead
                | Self::NotifyRead
                | Self::PolicyRead
                | Self::PolicyWrite
                | Self::ProjectRead
                | Self::ProjectTokenList
                | Self::ProjectTokenRevoke
                | Self::ProjectTokenRevokeAll
                | Self::ProjectWrite
                | Self::ReleaseAdd
                | Self::ReleaseList
                | Self::RequestDeny
                | Self::RequestList
                | Self::RequestRead
                | Self::SecretDelete
                | Self::SecretHistory
                | Self::SecretImport
                | Self::SecretList
                | Self::SecretRead
                | Self::SecretSet
                | Self::SecretWrite
                | Self::ServerList
                | Self::ServiceRead
                | Self::ServiceWrite
                | Self::SigningKeyList
                | Self::TransitList
        )
    }

    /// Whether a person may do it in a browser, who signed in by this; what else it takes,
    /// the rule says. A browser reads lists and says no. It gets no values, and gives
    /// nobody anything by itself: what gives takes a signature, which the operation checks.
    #[must_use]
    pub const fn takes_web_login(self, amr: Amr) -> bool {
        match self {
            Self::AgentList
            | Self::ApiKeyList
            | Self::ApprovalRuleList
            | Self::BreakGlassList
            | Self::DeviceGrantList
            | Self::DeviceGrantRead
            | Self::EventsRead
            | Self::ForeignList
            | Self::GrantRead
            | Self::LedgerCheckpoint
            | Self::LedgerRead
            | Self::NamespaceList
            | Self::NamespaceRead
            | Self::OperatorAccount
            | Self::OperatorList
            | Self::ProjectRead
            | Self::ProjectTokenList
            | Self::ProposalList
            | Self::QuarantineList
            | Self::RequestList
            | Self::RequestRead
            // Not the history of one: who asks about a decoy is noticed by calls alone.
            | Self::SecretList
            | Self::ServerList
            | Self::ServiceRead
            | Self::SigningKeyList
            | Self::TransitList
            | Self::WebLoginList
            // Saying no; the removal of a passkey takes a passkey's answer besides.
            | Self::DeviceGrantDeny
            | Self::GrantWithdraw
            | Self::OperatorDeviceHold
            | Self::ProposalRefuse
            | Self::RequestDeny
            | Self::WebLoginEnd
            | Self::OperatorPasskeyRemove
            // Saying yes: the operation takes a passkey's signature over the exact terms.
            | Self::RequestApprove
            | Self::DeviceGrantApprove
            | Self::ProposalSign
            | Self::OperatorOidcList
            | Self::OperatorPasskeyList => match amr {
                Amr::Password | Amr::Passkey | Amr::Oidc => true,
            },
            // A password must not turn into the right to say yes; nor must a cookie, so a code
            // takes a passkey's answer, which the operation checks.
            Self::OperatorPasskeyInvite | Self::OperatorPasskeyRename => {
                matches!(amr, Amr::Passkey)
            }
            _ => false,
        }
    }

    /// Whether a person in a browser has to have proven who they are a moment ago
    /// ([`STEP_UP`]): what hits others who did nothing, and cannot be taken back by whoever
    /// it hits. Whose web logins were ended signs in anew.
    #[must_use]
    pub const fn is_dangerous(self) -> bool {
        matches!(
            self,
            Self::OperatorDeviceHold
                | Self::OperatorPasskeyInvite
                | Self::OperatorPasskeyRemove
                | Self::ProposalRefuse
        )
    }

    /// Whether it takes a proof by the device's own key, and not one within a session: what a
    /// session's key let in, or took away for good, would outlive its theft. The rest of what
    /// roles open a session does too.
    #[must_use]
    pub const fn takes_own_key(self) -> bool {
        match self {
            // It lets somebody or something in, or back in, or says who may.
            Self::AgentLink
            | Self::AgentSecretRotate
            | Self::ApiKeyCreate
            | Self::ApprovalRuleSet
            | Self::AttestationChallenge
            | Self::AttestationMake
            | Self::BaselineSet
            | Self::BreakGlassCreate
            | Self::BreakGlassUse
            | Self::DeviceGrantApprove
            | Self::EnrolStart
            | Self::ForeignBind
            | Self::OperatorInvite
            | Self::OperatorLink
            | Self::OperatorOidcLink
            | Self::OperatorPasskeyInvite
            | Self::OperatorPassword
            | Self::OperatorRecoveryCodes
            | Self::OperatorRoles
            | Self::OperatorTotp
            | Self::OperatorTotpConfirm
            | Self::ProjectTokenIssue
            | Self::ProjectTokenRotate
            // A yes that was taken back would count again, sent once more as it was.
            | Self::ProposalSign
            | Self::QuarantineLift
            | Self::ReleaseAdd
            | Self::ReleaseKeyAdd
            | Self::SessionStart
            | Self::TransitWrite
            // A guard that it took away would stay away.
            | Self::AgentSources
            | Self::NotifyWrite
            | Self::PolicyState
            // With a project goes the grade that it requires.
            | Self::ProjectDelete
            | Self::ProjectRequireGrade
            // Nothing brings back what it ends, or it hits all others at once.
            | Self::AgentRevoke
            | Self::ApiKeyRevoke
            | Self::DeviceRevoke
            | Self::InstallationSeal
            | Self::LedgerRetention
            | Self::NamespaceDelete
            | Self::OperatorDeviceRevoke
            | Self::OperatorRevoke
            | Self::ReleaseKeyRemove
            | Self::ReleaseWithdraw
            | Self::SecretDestroy
            | Self::ServerRemove
            | Self::SigningKeyRetire => true,
            // What is dangerous in a browser is so here.
            _ => self.is_dangerous(),
        }
    }

    /// Whether a client of CortexAuth may do it at all, whose request the key of a process
    /// signed (`signed`), or who shows no more than a code or a token; what else it takes,
    /// the rule says.
    #[must_use]
    pub const fn takes_legacy(self, signed: bool) -> bool {
        match self {
            Self::DeviceGrantAsk | Self::LegacyLogin | Self::LegacyAttest => !signed,
            Self::ProjectTokenIssue
            | Self::ProjectTokenUse
            | Self::RequestCreate
            | Self::RunDeliver => signed,
            _ => false,
        }
    }

    /// Whether a caller who was proven by this profile of another system may do it at
    /// all; what else it takes, the rule says. Few may, since those profiles protect
    /// less of a request than the native one; by a weak one nothing of ours is opened.
    #[must_use]
    pub const fn takes_foreign(self, profile: Foreign) -> bool {
        match self {
            Self::KeyRead | Self::KeyList | Self::RequestCreate | Self::HoneyBait => {
                !profile.is_weak()
            }
            Self::AgentTokenRefresh => matches!(profile, Foreign::HmacV2),
            Self::ForeignWeak => profile.is_weak(),
            _ => false,
        }
    }
}
