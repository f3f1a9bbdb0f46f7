//! What can go wrong, by what was being done.

use procura_types::EntropyError;

/// Memory for a key could not be had in the form that the policy asks for.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The kernel would not map the memory, lock it, or keep it out of core
    /// dumps and forks.
    #[error("memory for keys cannot be locked; raise the limit on locked memory (ulimit -l)")]
    Refused(#[source] std::io::Error),
    /// [`lock_policy`](crate::lock_policy) was called before with the other answer.
    #[error("the policy for locked memory is set once")]
    PolicyAlreadySet,
}

/// A value could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No nonce without random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The library refused, which it does for a plaintext beyond 2^36 − 32
    /// bytes (NIST SP 800-38D §5.2.1.1).
    #[error("the value is too long to be sealed")]
    TooLong,
    /// What it should be sealed to is no public key (RFC 7748 §6.1).
    #[error("the key to seal to is no X25519 public key")]
    NoRecipient,
}

/// An envelope did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It has no known form: version, epoch or length are wrong.
    #[error("not an envelope of a known form")]
    Malformed,
    /// No key of this epoch is at hand.
    #[error("no key of epoch {0}")]
    UnknownEpoch(u32),
    /// The tag does not verify: another key, another binding, or changed bytes.
    /// Which of them cannot be told.
    #[error("the envelope was not sealed under this key and for this place")]
    Refused,
}

/// A passphrase did not become a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// Below 64 MiB or three passes.
    #[error("the Argon2id parameters are below 64 MiB or 3 passes")]
    ParamsTooWeak,
    /// Beyond 4 GiB or 64 passes, which nobody chose on purpose.
    #[error("the Argon2id parameters are beyond 4 GiB or 64 passes")]
    ParamsTooCostly,
    /// The salt as read is not 16 bytes.
    #[error("the Argon2id salt is not 16 bytes")]
    Salt,
    /// The memory that the parameters ask for is not to be had.
    #[error("not enough memory for Argon2id")]
    OutOfMemory,
    /// The passphrase is longer than Argon2 takes (RFC 9106 §3.1: 2^32 − 1 bytes).
    #[error("the passphrase is too long")]
    TooLong,
}

/// A key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Type, curve, length or encoding are not those of a key that we know.
    #[error("not an Ed25519 or P-256 key in its one accepted form")]
    Malformed,
    /// An Ed25519 key whose y coordinate is not below the field's prime
    /// (RFC 8032 §5.1.3), or whose sign bit belongs to no point.
    #[error("the Ed25519 key is not in canonical form")]
    NotCanonical,
    /// An Ed25519 key of order 1, 2, 4 or 8: signatures under it verify for
    /// messages that nobody signed.
    #[error("the Ed25519 key is a point of small order")]
    SmallOrder,
    /// The coordinates are no point of P-256, or the scalar is out of range.
    #[error("the P-256 key is not on the curve")]
    NotOnCurve,
    /// No key without random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The key has no safe place to live.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// The library failed inside, out of memory most likely.
    #[error("the cryptographic library failed")]
    Library,
}
