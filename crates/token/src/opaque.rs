//! Tokens that say nothing: random bits, of which the server keeps a hash.

use procura_crypto::sha256;
use procura_types::{Entropy, EntropyError, FieldTuple, Secret, encoding};
use zeroize::Zeroize as _;

/// What an opaque project token begins with, so that programs which look for secrets in
/// the wrong places find it.
pub const OPAQUE_PREFIX: &str = "pcp1_";

/// Random bits of a token.
const BITS: usize = 32;
/// Characters of the text behind the prefix.
const CHARACTERS: usize = 43;

/// An opaque project token.
pub struct OpaqueToken(Secret<[u8; BITS]>);

impl OpaqueToken {
    /// A fresh one.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bits = Secret::new([0; BITS]);
        entropy.fill(bits.expose_mut())?;
        Ok(Self(bits))
    }

    /// Reads one: the prefix and 32 bytes in base64url without padding, in their one
    /// spelling. None for all else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bits = encoding::from_b64url("token", text.strip_prefix(OPAQUE_PREFIX)?).ok()?;
        let read = <[u8; BITS]>::try_from(bits.as_slice()).ok();
        bits.zeroize();
        read.map(|bits| Self(Secret::new(bits)))
    }

    /// The token as its device sends it.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        // Room for all of it at once: a text that grew would leave copies.
        let mut text = Secret::new(String::with_capacity(OPAQUE_PREFIX.len() + CHARACTERS));
        let mut bits = encoding::b64url(self.0.expose());
        text.expose_mut().push_str(OPAQUE_PREFIX);
        text.expose_mut().push_str(&bits);
        bits.zeroize();
        text
    }

    /// `SHA-256(T("procura.project-token.v1", bits))`, all that is kept of it. 256 random
    /// bits are not guessed, so the hash needs no salt and takes no time.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let bits = FieldTuple::new("procura.project-token.v1").bytes(self.0.expose());
        sha256(bits.as_bytes())
    }
}
