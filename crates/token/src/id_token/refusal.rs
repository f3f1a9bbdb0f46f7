//! Why an ID token is not believed.

/// Why an ID token, or the keys that it is to be held against, are refused. None of them
/// repeats what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenRefusal {
    /// It is too long, or not three parts of base64url in their one spelling.
    #[error("the ID token is not a JWS in compact serialisation")]
    Malformed,
    /// Its header is no object, has a member twice, another `typ` than `JWT`, or `crit`:
    /// what a verifier has to understand and does not may change what the rest means.
    #[error("the header of the ID token is not one that is understood")]
    Header,
    /// Another algorithm than RS256, ES256 and EdDSA, or not the one of the key.
    #[error("the ID token is not signed by an algorithm of its key that is accepted")]
    Algorithm,
    /// Its `kid` names no key of the provider's, or none although there are several.
    #[error("the ID token names no key of the provider's")]
    UnknownKey,
    /// The key did not sign it.
    #[error("the signature of the ID token is not by the provider's key")]
    BadSignature,
    /// Its claims are not those of an ID token.
    #[error("the claims of the ID token are not those that it has to have")]
    Claims,
    /// Another issuer made it.
    #[error("the ID token is of another issuer")]
    WrongIssuer,
    /// It is for another client, or for others beside this one.
    #[error("the ID token is not for this client alone")]
    WrongAudience,
    /// It was issued to another client.
    #[error("the ID token was issued to another client")]
    WrongAzp,
    /// It is over.
    #[error("the ID token is over")]
    Expired,
    /// It begins, or was made, in the future.
    #[error("the ID token is of the future; set the clocks")]
    NotYet,
    /// It was made long before it was asked for.
    #[error("the ID token was made too long ago")]
    TooOld,
    /// It answers another question.
    #[error("the ID token does not answer this sign-in")]
    WrongNonce,
    /// It came with another access token.
    #[error("the ID token belongs to another access token")]
    AtHash,
    /// The person did not prove who they are when they were asked to.
    #[error("the provider does not say that the person just proved who they are")]
    NotAnew,
    /// The provider's keys are not a JWK Set.
    #[error("the provider's keys are not a JWK Set")]
    KeySet,
}

impl IdTokenRefusal {
    /// One word for the record and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "id_token_malformed",
            Self::Header => "id_token_header",
            Self::Algorithm => "id_token_algorithm",
            Self::UnknownKey => "id_token_unknown_key",
            Self::BadSignature => "id_token_bad_signature",
            Self::Claims => "id_token_claims",
            Self::WrongIssuer => "id_token_wrong_issuer",
            Self::WrongAudience => "id_token_wrong_audience",
            Self::WrongAzp => "id_token_wrong_azp",
            Self::Expired => "id_token_expired",
            Self::NotYet => "id_token_not_yet",
            Self::TooOld => "id_token_too_old",
            Self::WrongNonce => "id_token_wrong_nonce",
            Self::AtHash => "id_token_at_hash",
            Self::NotAnew => "id_token_not_anew",
            Self::KeySet => "provider_keys",
        }
    }
}
