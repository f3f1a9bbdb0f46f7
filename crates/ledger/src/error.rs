/// What this crate refuses. None of it carries content of an entry.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// An entry would be longer than 65,535 bytes.
    #[error("the entry has {len} bytes; an entry has at most 65535")]
    EntryTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Bytes that are no entry of version 1.
    #[error("not a ledger entry: {0}")]
    Entry(String),
    /// Text or bytes of one of the other formats that do not parse.
    #[error("{what}: {problem}")]
    Malformed {
        /// The format: `signed note`, `verifier key`, `tile path` …
        what: &'static str,
        /// The rule that was broken.
        problem: &'static str,
    },
    /// An entry bundle that does not decode.
    #[error("entry bundle, byte {offset}: {problem}")]
    Bundle {
        /// Where in the bundle, in bytes from its beginning.
        offset: u64,
        /// The rule that was broken.
        problem: &'static str,
    },
    /// A note without a signature by the key that was asked for.
    #[error("not signed by {name}")]
    Unsigned {
        /// The name of the known key.
        name: String,
    },
    /// A signature in the name of a known key that does not verify.
    #[error("the signature in the name of {name} does not verify")]
    BadSignature {
        /// The name of the known key.
        name: String,
    },
    /// A checkpoint of another log than its key belongs to.
    #[error("the checkpoint is of {found}, the key belongs to {expected}")]
    WrongOrigin {
        /// The name of the key.
        expected: String,
        /// The origin in the checkpoint.
        found: String,
    },
    /// An inclusion or consistency proof that does not prove it.
    #[error("the proof does not lead to the signed root")]
    ProofRefused,
    /// A proof was asked for that cannot exist.
    #[error("{wanted} is not within a tree of {size} entries")]
    OutOfRange {
        /// The index or size asked for.
        wanted: u64,
        /// The tree's size.
        size: u64,
    },
    /// A source of hash tiles gave fewer hashes than the tree has there.
    #[error("hash tile {path} has too few hashes")]
    TileTooShort {
        /// The tile.
        path: String,
    },
    /// The partial bundle and the hash tiles that a writer resumes from disagree.
    #[error("entry {index} does not hash to what the tree holds for it")]
    ResumeMismatch {
        /// Index of the first such entry.
        index: u64,
    },
    /// The signing key would not sign.
    #[error("the key could not sign")]
    SigningFailed,
}

impl LedgerError {
    pub(crate) const fn malformed(what: &'static str, problem: &'static str) -> Self {
        Self::Malformed { what, problem }
    }
}
