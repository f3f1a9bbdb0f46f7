use super::{AssertedCredential, GuardedAct, RequestOptions, ShareScheme};
use crate::{
    ActorId, FieldTuple, InstallationId, Label, Namespace, ProposalId, Thumbprint, Timestamp,
};
use serde::{Deserialize, Serialize};

/// How the root turns.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RootTurn {
    /// By itself: what opens the vault stays as it is.
    Keys {
        /// Whether sessions of before go on until their end.
        #[serde(default)]
        sessions_go_on: bool,
    },
    /// With another passphrase in the place of one.
    Passphrase,
    /// Without an unseal source.
    Remove {
        /// Its name.
        source: Label,
    },
}

/// What takes more than one steward.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProposedAct {
    /// Shares of a new unseal source are made and shown to whoever carries it out.
    MakeShares {
        /// The name of the source.
        name: Label,
        /// So many shares open the vault; 2 at the least.
        threshold: u8,
        /// So many are made.
        count: u8,
        /// The source that the new one takes the place of, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retires: Option<Label>,
        /// How the key is split; Shamir's scheme unless another is named.
        #[serde(default, skip_serializing_if = "ShareScheme::is_default")]
        scheme: ShareScheme,
    },
    /// An operator may be made a steward.
    MakeSteward {
        /// Who.
        name: Label,
    },
    /// A steward may be revoked, or made one no more.
    RemoveSteward {
        /// Who.
        name: Label,
    },
    /// Another key of an operator whose own is lost may join.
    RecoverOperator {
        /// Who.
        name: Label,
    },
    /// The root turns.
    RotateRoot {
        /// How.
        turn: RootTurn,
    },
    /// A namespace ends with all that is in it.
    EndNamespace {
        /// Which.
        name: Namespace,
    },
    /// A break-glass account may open.
    UseBreakGlass {
        /// Which.
        name: Label,
    },
    /// An act takes so many stewards from then on.
    SetApprovals {
        /// Which.
        act: GuardedAct,
        /// So many.
        needs: u8,
    },
}

/// `POST /v1/proposals`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProposal {
    /// What is proposed.
    pub act: ProposedAct,
}

/// `POST /v1/proposals/{id}/refuse`: a steward's no, after which time alone carries nothing
/// out. A quorum still does.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalRefuse {}

/// `POST /v1/proposals/{id}/sign`: a steward's yes.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalSign {
    /// By the key of the device that calls, over [`Proposal::message`].
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
}

/// What a browser asks a passkey by that says yes to a proposal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProposalOptions {
    /// For `navigator.credentials.get`. Its challenge is the SHA-256 of
    /// [`Proposal::message`].
    #[serde(rename = "publicKey")]
    pub public_key: RequestOptions,
    /// What is signed.
    pub proposal: Proposal,
}

/// A steward's yes by a passkey.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyProposalSign {
    /// The assertion over the proposal.
    pub credential: AssertedCredential,
}

/// Where a proposal stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Too few have signed.
    Open,
    /// Enough have signed: it can be carried out, once.
    Agreed,
    /// It was carried out.
    Done,
    /// Nobody carried it out in time.
    Expired,
}

/// A steward who signed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProposalSigner {
    /// Who.
    pub steward: ActorId,
    /// With the key of which device, or with which passkey.
    pub device: Thumbprint,
    /// When.
    pub time: Timestamp,
    /// Whether it counts still: the steward is one, and the device good and not on hold.
    pub counts: bool,
    /// Whether it was a passkey.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_passkey: bool,
}

/// Something that several stewards have to agree to.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// What is proposed.
    pub act: ProposedAct,
    /// Whom it is about: the operator who had the name when it was proposed, and nobody who
    /// has it later. Of shares, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<ActorId>,
    /// By whom.
    pub proposer: ActorId,
    /// Since when.
    pub created: Timestamp,
    /// Until then it has to be carried out.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: ProposalState,
    /// How many signatures it takes, with the stewards of now.
    pub needs: u32,
    /// Who signed, in the order of time.
    pub signed: Vec<ProposalSigner>,
    /// When fewer than it takes are enough, if nobody says no until then: of the removal
    /// of a steward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_refused: Option<Timestamp>,
    /// Who said no.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<ActorId>,
}

/// `GET /v1/proposals`: those of the last day, the newest first.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProposalList {
    /// All of them.
    pub proposals: Vec<Proposal>,
}

impl ProposedAct {
    /// What a steward signs: `T("procura.proposal.v1", installation id, proposal id, u64
    /// expires in ms, act …)`. Of shares the act is `"make_shares", name, u8 threshold, u8
    /// count, name of the source that is retired or nothing`, of words the same with
    /// `"make_slip39"`; of operators `"make_steward"`, `"remove_steward"` or
    /// `"recover_operator"`, then `name` and the id of the actor whom it is `about`; the same
    /// of `"use_break_glass"`. Of the root `"rotate_root"` and `"keys"` with `u8` 1 where
    /// sessions go on, else 0; `"passphrase"`; or `"remove"` and the name of the source. Of a
    /// namespace `"end_namespace", name`. Of a rule `"set_approvals", act, u8 needs`.
    #[must_use]
    pub fn message(
        &self,
        installation: &InstallationId,
        id: &ProposalId,
        expires: Timestamp,
        about: Option<&ActorId>,
    ) -> Vec<u8> {
        let tuple = FieldTuple::new("procura.proposal.v1")
            .bytes(installation.as_bytes())
            .bytes(id.as_bytes())
            .u64(expires.as_millis());
        let about: &[u8] = about.map_or(&[], |actor| actor.as_bytes());
        let of_operator =
            |tuple: FieldTuple, act, name: &Label| tuple.text(act).text(name.as_str()).bytes(about);
        let tuple = match self {
            Self::MakeShares {
                name,
                threshold,
                count,
                retires,
                scheme,
            } => tuple
                .text(match scheme {
                    ShareScheme::Shamir => "make_shares",
                    ShareScheme::Slip39 => "make_slip39",
                })
                .text(name.as_str())
                .bytes(&[*threshold])
                .bytes(&[*count])
                .text(retires.as_ref().map_or("", Label::as_str)),
            Self::MakeSteward { name } => of_operator(tuple, "make_steward", name),
            Self::RemoveSteward { name } => of_operator(tuple, "remove_steward", name),
            Self::RecoverOperator { name } => of_operator(tuple, "recover_operator", name),
            Self::UseBreakGlass { name } => of_operator(tuple, "use_break_glass", name),
            Self::RotateRoot { turn } => {
                let tuple = tuple.text("rotate_root");
                match turn {
                    RootTurn::Keys { sessions_go_on } => {
                        tuple.text("keys").u8(u8::from(*sessions_go_on))
                    }
                    RootTurn::Passphrase => tuple.text("passphrase"),
                    RootTurn::Remove { source } => tuple.text("remove").text(source.as_str()),
                }
            }
            Self::EndNamespace { name } => tuple.text("end_namespace").text(name.as_str()),
            Self::SetApprovals { act, needs } => {
                tuple.text("set_approvals").text(act.as_str()).u8(*needs)
            }
        };
        tuple.into_bytes()
    }

    /// The act in words, for the record and for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::MakeShares {
                name,
                threshold,
                count,
                retires,
                scheme,
            } => {
                let retired = retires
                    .as_ref()
                    .map_or_else(String::new, |name| format!(", in place of {name}"));
                let form = match scheme {
                    ShareScheme::Shamir => "",
                    ShareScheme::Slip39 => " as words",
                };
                format!("make shares {name}{form}, {threshold} of {count}{retired}")
            }
            Self::MakeSteward { name } => format!("make {name} a steward"),
            Self::RemoveSteward { name } => format!("make {name} a steward no more"),
            Self::RecoverOperator { name } => format!("let another key of {name} join"),
            Self::RotateRoot { turn } => match turn {
                RootTurn::Keys {
                    sessions_go_on: false,
                } => "turn the root".to_owned(),
                RootTurn::Keys {
                    sessions_go_on: true,
                } => "turn the root, and let sessions go on".to_owned(),
                RootTurn::Passphrase => {
                    "turn the root with another passphrase in the place of one".to_owned()
                }
                RootTurn::Remove { source } => {
                    format!("turn the root without the unseal source {source}")
                }
            },
            Self::EndNamespace { name } => {
                format!("end the namespace {name} with all that is in it")
            }
            Self::UseBreakGlass { name } => format!("let the break-glass account {name} open"),
            Self::SetApprovals { act, needs } => format!("have {act} take {needs} stewards"),
        }
    }

    /// The act of a rule that it is, if it is one.
    #[must_use]
    pub const fn guarded(&self) -> Option<GuardedAct> {
        match self {
            Self::MakeShares { .. } => Some(GuardedAct::MakeShares),
            Self::RotateRoot { .. } => Some(GuardedAct::RotateRoot),
            Self::EndNamespace { .. } => Some(GuardedAct::EndNamespace),
            Self::UseBreakGlass { .. } => Some(GuardedAct::UseBreakGlass),
            Self::MakeSteward { .. }
            | Self::RemoveSteward { .. }
            | Self::RecoverOperator { .. }
            | Self::SetApprovals { .. } => None,
        }
    }
}

impl Proposal {
    /// What a steward signs; see [`ProposedAct::message`].
    #[must_use]
    pub fn message(&self, installation: &InstallationId) -> Vec<u8> {
        let about = self.about.as_ref();
        self.act
            .message(installation, &self.id, self.expires, about)
    }
}
