//! From the errors of the domain to the one table.

use crate::problem::{Code, Failure};
use procura_authority::AuthorityError;
use procura_cedar::PolicyError;
use procura_identity::oidc::OidcRefusal;
use procura_identity::{DeviceGrantRefusal, IdentityError};
use procura_record::{ChangeError, QueryError, RecordError};
use procura_store::{CommitError, StoreError};
use procura_types::LoaderVariable;
use procura_vault::VaultError;

/// Nothing is read or written before it is known how an earlier write ended.
fn poisoned() -> Failure {
    Failure::new(
        Code::StoreUnavailable,
        "How an earlier write ended is not known yet, so nothing was done. A database that several servers share tells by itself; restart the server if this lasts.",
    )
}

/// The database does not answer.
fn away() -> Failure {
    Failure::new(
        Code::StoreUnavailable,
        "The database cannot be used now, so nothing was done. It goes on by itself when the database answers.",
    )
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Sealed => Self::new(Code::Sealed, "The vault was sealed meanwhile."),
            StoreError::Corrupt { .. } | StoreError::Shape { .. } => {
                Self::new(Code::Damaged, "What is stored is not what was written.").because(error)
            }
            StoreError::Forgotten { first, .. } => Self::new(
                Code::EntryForgotten,
                format!("The record is kept from entry {first} on; what was before is forgotten."),
            ),
            StoreError::Poisoned => poisoned().because(error),
            StoreError::Unavailable(_) => away().because(error),
            _ => Self::internal(error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match &error {
            CommitError::Conflict { .. } => Self::new(
                Code::Contended,
                "Others changed the same records at the same time.",
            ),
            CommitError::Full => Self::new(
                Code::StorageFull,
                "The disk is full: nothing was changed and nothing was released.",
            ),
            CommitError::Sealed => Self::new(Code::Sealed, "The vault was sealed meanwhile."),
            CommitError::TooLarge => Self::new(
                Code::TooLarge,
                "The change is larger than the store takes at once.",
            ),
            CommitError::Unknown => Self::new(
                Code::Unknown,
                "The write failed and its outcome is not known: read again what it was to change.",
            )
            .because(error),
            CommitError::Poisoned => poisoned().because(error),
            CommitError::Unavailable(_) => away().because(error),
            CommitError::Corrupt { .. } => {
                Self::new(Code::Damaged, "What is stored is not what was written.").because(error)
            }
            _ => Self::internal(error),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Denied(denied) => crate::serve::denial(denied),
            RecordError::Contended => Self::new(
                Code::Contended,
                "Others changed the same records at the same time.",
            ),
            RecordError::Store(error) => error.into(),
            RecordError::Commit(error) => error.into(),
            other => Self::new(
                Code::LedgerUnavailable,
                "The record cannot be written, so nothing happened.",
            )
            .because(other),
        }
    }
}

impl<E: Into<Failure>> From<ChangeError<E>> for Failure {
    fn from(error: ChangeError<E>) -> Self {
        match error {
            ChangeError::Domain(error) => error.into(),
            ChangeError::Record(error) => error.into(),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotFound => Self::new(Code::NotFound, "There is no such entry."),
            QueryError::OutOfRange => {
                Self::new(Code::NotFound, "The published log has no such size.")
            }
            QueryError::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// Flaws of a text of policies that are told at once.
const FLAWS: usize = 20;

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Flawed(flaws) => {
                let told: Vec<String> = flaws.iter().take(FLAWS).map(ToString::to_string).collect();
                Self::new(Code::PoliciesFlawed, told.join("\n"))
            }
            PolicyError::NoVersion(_) => Self::new(Code::NotFound, error.to_string()),
            PolicyError::Question(why) => {
                let mut failure = Self::new(Code::Malformed, why);
                failure.field = Some("question");
                failure
            }
            PolicyError::Store(error) => error.into(),
        }
    }
}

impl From<LoaderVariable> for Failure {
    fn from(error: LoaderVariable) -> Self {
        let mut failure = Self::new(Code::Malformed, error.to_string());
        failure.field = Some("env");
        failure
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let text = error.to_string();
        match error {
            VaultError::NotFound(_) | VaultError::NoNamespace => Self::new(Code::NotFound, text),
            VaultError::NoTransitKey(_) | VaultError::NoServer(_) => {
                Self::new(Code::NotFound, text)
            }
            VaultError::OwnServer => Self::new(Code::Conflict, text).with_reason("own_server"),
            VaultError::NotWrapped => Self::new(Code::WrappedKeyRefused, text),
            VaultError::TooManyTransit => Self::new(Code::Conflict, text),
            VaultError::NoAgent(_) => Self {
                field: Some("agents"),
                ..Self::new(Code::Malformed, text)
            },
            VaultError::PathTaken(_) => Self::new(Code::AlreadyExists, text),
            VaultError::NameTaken(_) => Self::new(Code::Conflict, text).with_reason("env_taken"),
            VaultError::HoneyThere(_) => Self::new(Code::Conflict, text).with_reason("honey"),
            VaultError::TooManyHoney => Self::new(Code::Conflict, text),
            VaultError::BadDecoy => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("value_b64");
                failure
            }
            VaultError::NamespaceExists => Self::new(Code::AlreadyExists, text),
            VaultError::NamespaceEnded(_) => Self::new(Code::Conflict, text).with_reason("deleted"),
            VaultError::QuotaExceeded { bound, .. } => Self::new(
                Code::QuotaExceeded,
                format!(
                    "{text}. Destroy what is not needed any more (what is only deleted counts), or have a steward raise it."
                ),
            )
            .with_reason(bound.as_str()),
            VaultError::NamespacesChanged => Self::new(Code::Contended, text),
            VaultError::VersionMismatch { .. } => Self::new(Code::VersionMismatch, text),
            VaultError::Destroyed { .. } => {
                Self::new(Code::Conflict, text).with_reason("destroyed")
            }
            VaultError::NotDeleted(_) => Self::new(Code::Conflict, text).with_reason("not_deleted"),
            VaultError::OtherKind { .. } => {
                Self::new(Code::Conflict, text).with_reason("other_kind")
            }
            VaultError::Expired(_) => Self::new(Code::SecretExpired, text),
            VaultError::DeliveryNotAllowed { .. } => Self::new(Code::DeliveryNotAllowed, text),
            VaultError::NotOfKind { .. } => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("value_b64");
                failure
            }
            VaultError::TooLarge | VaultError::TooMany | VaultError::TooMuch => {
                Self::new(Code::TooLarge, text)
            }
            VaultError::Twice(_) => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("path");
                failure
            }
            VaultError::ChangedMeanwhile => {
                Self::new(Code::Conflict, text).with_reason("changed_meanwhile")
            }
            VaultError::At { path, source } => {
                let mut failure = Self::from(*source);
                failure.detail = format!("Nothing was written. {path}: {}", failure.detail);
                failure
            }
            VaultError::BadDescription => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("description");
                failure
            }
            VaultError::Damaged { .. } | VaultError::DamagedKey(_) => Self::new(
                Code::Damaged,
                "The stored value does not open: it was moved, edited or rolled back.",
            )
            .because(text),
            VaultError::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let text = error.to_string();
        match error {
            IdentityError::NoOperator(_)
            | IdentityError::NoAgent(_)
            | IdentityError::NoForeign(_)
            | IdentityError::NoNamespace(_) => Self::new(Code::NotFound, text),
            IdentityError::NameTaken(_)
            | IdentityError::LabelTaken(_)
            | IdentityError::ForeignBound(_)
            | IdentityError::NameOfAgent(_) => Self::new(Code::AlreadyExists, text),
            IdentityError::IdOfOperator(_) => {
                Self::new(Code::Conflict, text).with_reason("id_of_operator")
            }
            IdentityError::TooDeep => Self::new(Code::Conflict, text),
            IdentityError::LastSteward => {
                Self::new(Code::Conflict, text).with_reason("last_steward")
            }
            IdentityError::DeviceRevoked => {
                Self::new(Code::Conflict, text).with_reason("device_revoked")
            }
            IdentityError::TooManySources => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("sources");
                failure
            }
            IdentityError::BadRole => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("roles");
                failure
            }
            IdentityError::Join(refusal) => {
                Self::new(Code::CodeRefused, text).with_reason(refusal.as_str())
            }
            IdentityError::Passkey(refused) => {
                Self::new(Code::PasskeyRefused, text).with_reason(refused.refusal.as_str())
            }
            IdentityError::NoPasskey | IdentityError::NoIdentity => Self::new(Code::NotFound, text),
            IdentityError::Oidc(refusal) => {
                let code = match refusal {
                    OidcRefusal::Taken | OidcRefusal::TooMany => Code::Conflict,
                    _ => Code::OidcRefused,
                };
                Self::new(code, text).with_reason(refusal.as_str())
            }
            IdentityError::DeviceGrant(refusal) => {
                let code = match refusal {
                    DeviceGrantRefusal::Unknown | DeviceGrantRefusal::Expired => Code::NotFound,
                    DeviceGrantRefusal::LentRole => Code::Forbidden,
                    _ => Code::Conflict,
                };
                Self::new(code, text).with_reason(refusal.as_str())
            }
            IdentityError::Founded => Self::new(Code::AlreadyInitialised, text),
            IdentityError::RootKeyAlgorithm => Self::new(Code::Malformed, text),
            IdentityError::NoSigningKey(_)
            | IdentityError::NoProposal
            | IdentityError::NotQuarantined => Self::new(Code::NotFound, text),
            IdentityError::BadShares => {
                let mut failure = Self::new(Code::Malformed, text);
                failure.field = Some("act");
                failure
            }
            IdentityError::TooManyProposals => {
                Self::new(Code::Conflict, text).with_reason("too_many_proposals")
            }
            IdentityError::ProposalOver => {
                Self::new(Code::Conflict, text).with_reason("proposal_over")
            }
            IdentityError::NotAgreed { .. } => {
                Self::new(Code::Conflict, text).with_reason("not_agreed")
            }
            IdentityError::OtherProposal => {
                Self::new(Code::Conflict, text).with_reason("other_proposal")
            }
            IdentityError::TakesQuorum => {
                Self::new(Code::Forbidden, text).with_reason("quorum_needed")
            }
            IdentityError::TakesApprovals(_) => {
                Self::new(Code::Forbidden, text).with_reason("approvals_needed")
            }
            IdentityError::BadApprovals => Self {
                field: Some("needs"),
                ..Self::new(Code::Malformed, text)
            },
            IdentityError::NoBreakGlass(_) => Self::new(Code::NotFound, text),
            IdentityError::BreakGlassUsed => {
                Self::new(Code::BreakGlassClosed, text).with_reason("break_glass_used")
            }
            IdentityError::MakerGone => {
                Self::new(Code::BreakGlassClosed, text).with_reason("maker_gone")
            }
            IdentityError::MakerOnHold => {
                Self::new(Code::BreakGlassClosed, text).with_reason("maker_on_hold")
            }
            IdentityError::BreakGlassFixed => {
                Self::new(Code::Forbidden, text).with_reason("break_glass")
            }
            IdentityError::CountsNot => Self::new(Code::Forbidden, text).with_reason("no_steward"),
            IdentityError::BadMinutes => Self {
                field: Some("minutes"),
                ..Self::new(Code::Malformed, text)
            },
            IdentityError::TooManyBreakGlass => {
                Self::new(Code::Conflict, text).with_reason("too_many_break_glass")
            }
            IdentityError::NotPossessed => {
                Self::new(Code::SignatureRefused, text).with_reason("bad_signature")
            }
            IdentityError::KeyTaken => Self::new(Code::Conflict, text).with_reason("key_taken"),
            IdentityError::BadApiKeyLife => Self {
                field: Some("life"),
                ..Self::new(Code::Malformed, text)
            },
            IdentityError::ApiKeyNameTaken(_) => Self::new(Code::AlreadyExists, text),
            IdentityError::TooManyApiKeys => {
                Self::new(Code::Conflict, text).with_reason("too_many_api_keys")
            }
            IdentityError::JoinFirst => Self::new(Code::Forbidden, text).with_reason("join_first"),
            IdentityError::HoldInstead => {
                Self::new(Code::Forbidden, text).with_reason("hold_instead")
            }
            IdentityError::OnHold => {
                Self::new(Code::DeviceQuarantined, text).with_reason("on_hold")
            }
            IdentityError::BadProposalSignature => {
                Self::new(Code::SignatureRefused, text).with_reason("bad_signature")
            }
            IdentityError::NotReady(_) => Self::new(
                Code::Conflict,
                format!("{text}. If the active key may be in other hands, retire it at once."),
            ),
            IdentityError::BadPassword => Self {
                field: Some("password"),
                ..Self::new(Code::WeakPassphrase, text)
            },
            IdentityError::NoTotpWaits => {
                Self::new(Code::Conflict, text).with_reason("no_totp_waits")
            }
            IdentityError::WrongTotp => Self {
                field: Some("code"),
                ..Self::new(Code::Conflict, text).with_reason("wrong_totp")
            },
            IdentityError::NoWebLogin => Self::new(Code::NotFound, text),
            // Which of it, the record says.
            IdentityError::SignIn(_) => Self::new(Code::Forbidden, "The sign-in was refused."),
            IdentityError::Password(error) => Self::internal(error),
            IdentityError::Kdf(error) => Self::internal(error),
            IdentityError::Attestation(refusal) => crate::attested::refused(refusal.as_str(), text),
            IdentityError::NoAttestation
            | IdentityError::NoBaseline
            | IdentityError::NoReleaseKey
            | IdentityError::NoRelease => Self::new(Code::NotFound, text),
            IdentityError::OtherQuote => Self::new(Code::Conflict, text).with_reason("other_quote"),
            IdentityError::ReleaseKeyTaken => Self::new(Code::AlreadyExists, text),
            IdentityError::BadReleaseKey(_) => Self {
                field: Some("vkey"),
                ..Self::new(Code::Malformed, text)
            },
            IdentityError::BadRelease(_) => Self {
                field: Some("note"),
                ..Self::new(Code::SignatureRefused, text)
            }
            .with_reason("bad_release"),
            IdentityError::Withdrawn(_) => Self::new(Code::Conflict, text).with_reason("withdrawn"),
            IdentityError::TooManyReleases => {
                Self::new(Code::Conflict, text).with_reason("too_many_releases")
            }
            IdentityError::NotRecorded(error) => error.into(),
            IdentityError::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        let text = error.to_string();
        let field = |field| {
            let mut failure = Self::new(Code::Malformed, text.clone());
            failure.field = Some(field);
            failure
        };
        match error {
            AuthorityError::NoProject(_)
            | AuthorityError::NoService(_)
            | AuthorityError::NotMember
            | AuthorityError::NoRequest
            | AuthorityError::NoGrant
            | AuthorityError::NoToken
            | AuthorityError::NoRun => Self::new(Code::NotFound, text),
            AuthorityError::ServiceVersion { .. } => Self::new(Code::VersionMismatch, text),
            AuthorityError::NamespaceInUse { .. } => Self::new(
                Code::Conflict,
                format!("{text}. Delete that first, or say its name in `confirm`."),
            )
            .with_reason("in_use"),
            AuthorityError::NothingIn | AuthorityError::NamespaceTwice(_) => field("namespaces"),
            AuthorityError::MappedElsewhere { .. } => {
                Self::new(Code::Conflict, text).with_reason("mapped_elsewhere")
            }
            AuthorityError::Within { namespace, source } => {
                let mut failure = Self::from(*source);
                let why = failure.detail.trim_start_matches("Nothing was written. ");
                failure.detail = format!("Nothing was written. {namespace}: {why}");
                failure
            }
            AuthorityError::TooManyServices => Self::new(Code::Conflict, text),
            AuthorityError::NoGate(_) | AuthorityError::TooManyGates => field("gates"),
            AuthorityError::NoAgent(_) => field("agents"),
            AuthorityError::TooManyAgents => field("agents"),
            AuthorityError::TooManyNames | AuthorityError::TooLong => field("names"),
            AuthorityError::Loader(error) => error.into(),
            AuthorityError::NothingApproved | AuthorityError::NotAsked(_) => field("names"),
            AuthorityError::BadStart => field("from"),
            AuthorityError::BadEnd => field("until"),
            AuthorityError::Ambiguous(_) => Self::new(Code::AmbiguousName, text),
            AuthorityError::NothingToDeliver(_) => Self::new(Code::NothingToDeliver, text),
            AuthorityError::MissingSecret(_)
            | AuthorityError::MissingVariable { .. }
            | AuthorityError::NestedTemplate { .. } => Self::new(Code::ValueMissing, text),
            AuthorityError::NotRendered { .. } => Self::new(Code::TooLarge, text),
            AuthorityError::NoValue(_) => Self::new(Code::ValueMissing, text),
            AuthorityError::Token(refusal) => crate::serve::token_refused(refusal.as_str()),
            AuthorityError::AttestationRequired { needs, .. } => crate::attested::required(needs),
            AuthorityError::KeysTakeNoGrade => field("grade"),
            AuthorityError::NotInScope(_) => {
                Self::new(Code::TokenScope, text).with_reason("not_in_scope")
            }
            AuthorityError::Remapped(_) => {
                Self::new(Code::TokenScope, text).with_reason("remapped")
            }
            AuthorityError::BadLife => field("life"),
            AuthorityError::GrantEnds => Self::new(Code::Conflict, text).with_reason("grant_ends"),
            AuthorityError::TooManyTokens => {
                Self::new(Code::Conflict, text).with_reason("too_many_tokens")
            }
            AuthorityError::Expired(_) => Self::new(Code::SecretExpired, text),
            AuthorityError::DeliveryNotAllowed { .. } => Self::new(Code::DeliveryNotAllowed, text),
            AuthorityError::TooManyPending => Self::new(Code::RateLimited, text),
            AuthorityError::AlreadyApproved
            | AuthorityError::AlreadyDenied
            | AuthorityError::RequestExpired
            | AuthorityError::RequestEnded
            | AuthorityError::AgentRevoked => Self::new(Code::Conflict, text),
            AuthorityError::BadSignature => {
                Self::new(Code::SignatureRefused, text).with_reason("bad_signature")
            }
            AuthorityError::Identity(error) => error.into(),
            AuthorityError::Vault(error) => error.into(),
            AuthorityError::Store(error) => error.into(),
            AuthorityError::Record(error) => error.into(),
            other => Self::internal(other),
        }
    }
}
