//! Why nobody is signed in by an identity provider.

use procura_token::IdTokenRefusal;

/// Why an answer of an identity provider, or a link, is not accepted. The word stands in
/// the record and in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OidcRefusal {
    /// The browser brings nothing that says that it began a sign-in.
    #[error("this browser began no sign-in by this provider; begin again")]
    FlowMissing,
    /// What it brings was never made here, or for another provider.
    #[error(
        "this browser began no sign-in by this provider, or it is configured otherwise now; begin again"
    )]
    FlowUnknown,
    /// It began more than ten minutes ago.
    #[error("this sign-in began more than ten minutes ago; begin again")]
    FlowExpired,
    /// A code was sent for it already, whatever came of that.
    #[error("this sign-in was finished already; begin again")]
    FlowUsed,
    /// The answer is to another question than this browser's last.
    #[error("this answers no sign-in that this browser began last; begin again")]
    WrongState,
    /// The answer is none.
    #[error("the provider's answer has not the form of one")]
    Malformed,
    /// The provider says that it names itself in its answers, and this one does not.
    #[error("the answer does not say which provider it is from")]
    MissingIssuer,
    /// The answer is from another provider.
    #[error("the answer is from another provider")]
    WrongIssuer,
    /// The provider signed nobody in.
    #[error("the provider signed nobody in")]
    ProviderRefused,
    /// The provider gives nothing for the code.
    #[error("the provider does not accept the code of this sign-in; begin again")]
    CodeRefused,
    /// What it says of the person is not believed.
    #[error("{0}")]
    Token(#[from] IdTokenRefusal),
    /// Nobody linked the identity.
    #[error("this identity is not linked to an operator")]
    NotLinked,
    /// It is another person than the one who is signed in.
    #[error("this is the identity of another person than the one who was signed in")]
    OtherUser,
    /// The link proof was never made here.
    #[error("this is no link proof of this server; sign in by the provider once more for another")]
    ProofUnknown,
    /// The link proof is older than ten minutes.
    #[error(
        "the link proof is older than ten minutes; sign in by the provider once more for another"
    )]
    ProofExpired,
    /// Another operator has the identity.
    #[error("this identity is linked to another operator")]
    Taken,
    /// An operator has as many as there may be.
    #[error("an operator has at most 8 identities; unlink one first")]
    TooMany,
}

impl OidcRefusal {
    /// Those that are held against the address that they come from: what brings one takes
    /// the cookie away from a browser, so that a person causes few, whatever they load anew.
    ///
    /// [`Self::FlowMissing`] is none of them: every page of a history brings it, and any site
    /// can have a browser do so. Nor is [`Self::WrongState`], which a site can cause while
    /// somebody is on their way.
    const AGAINST_SOURCE: [Self; 4] = [
        Self::FlowUnknown,
        Self::FlowExpired,
        Self::FlowUsed,
        Self::CodeRefused,
    ];

    /// Whether a refusal of this word is held against the address that it comes from.
    #[must_use]
    pub fn counts_against_source(word: &str) -> bool {
        let mut all = Self::AGAINST_SOURCE.iter();
        all.any(|refusal| refusal.as_str() == word)
    }

    /// One word for the record and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlowMissing => "flow_missing",
            Self::FlowUnknown => "flow_unknown",
            Self::FlowExpired => "flow_expired",
            Self::FlowUsed => "flow_used",
            Self::WrongState => "wrong_state",
            Self::Malformed => "answer_malformed",
            Self::MissingIssuer => "iss_missing",
            Self::WrongIssuer => "iss_wrong",
            Self::ProviderRefused => "provider_refused",
            Self::CodeRefused => "code_refused",
            Self::Token(refusal) => refusal.as_str(),
            Self::NotLinked => "not_linked",
            Self::OtherUser => "other_user",
            Self::ProofUnknown => "proof_unknown",
            Self::ProofExpired => "proof_expired",
            Self::Taken => "identity_taken",
            Self::TooMany => "too_many",
        }
    }
}
