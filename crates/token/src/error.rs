//! Why a token is not believed.

/// Why a token, or a set of keys, is refused. None of them repeats what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long, or not three parts of base64url in their one spelling
    /// (RFC 7515 §7.1).
    #[error("it is not a JWS in compact serialisation")]
    Malformed,
    /// Its header is not an object of `alg`, `kid` and `typ`, each once and a text,
    /// and of nothing else: what a verifier does not understand may change what the
    /// rest means (RFC 7515 §4.1.11), and keys that come with a token prove nothing.
    #[error("its header has other members than alg, kid and typ, or one of them twice")]
    Header,
    /// The algorithm is another than that of the key.
    #[error("its alg is not the one of the key")]
    Algorithm,
    /// It is a token of another type, or of none (RFC 8725 §3.11).
    #[error("its typ is another")]
    Type,
    /// It names no key, or one that is not in the set.
    #[error("its kid names no key of the set")]
    UnknownKey,
    /// The key did not sign it.
    #[error("the signature is not by the key")]
    BadSignature,
    /// The claims are not those that a token of this type has.
    #[error("its claims are not those of its type")]
    Claims,
    /// Another issuer made it.
    #[error("its iss is another")]
    Issuer,
    /// It is for somebody else.
    #[error("its aud is another")]
    Audience,
    /// It is over.
    #[error("it is over")]
    Expired,
    /// It begins in the future.
    #[error("it is not valid yet")]
    NotYet,
    /// A set of keys that is not one, or has a key of another kind.
    #[error("it is not a JWK Set of keys for ES256")]
    KeySet,
    /// It could not be written or signed.
    #[error("the token could not be made")]
    NotMade,
}
