//! The token of an API key: random bits that say nothing, of which the server keeps a hash.
//! Without a proof by the device that it was made with it opens nothing (ADR 45).

use procura_crypto::sha256;
use procura_types::{Entropy, EntropyError, FieldTuple, Secret, encoding};
use zeroize::Zeroize as _;

/// What the token of an API key begins with, so that programs which look for secrets in the
/// wrong places find it.
pub const API_KEY_PREFIX: &str = "pca1_";

/// Random bytes of a token.
const BYTES: usize = 32;
/// Characters of the text behind the prefix.
const CHARACTERS: usize = 43;

/// A fresh token.
///
/// # Errors
/// There are no random bytes.
pub fn new_api_key(entropy: &dyn Entropy) -> Result<Secret<String>, EntropyError> {
    let mut bytes = Secret::new([0; BYTES]);
    entropy.fill_secret(bytes.expose_mut())?;
    // Room for all of it at once: a text that grew would leave copies.
    let mut text = Secret::new(String::with_capacity(API_KEY_PREFIX.len() + CHARACTERS));
    let mut written = encoding::b64url(bytes.expose());
    text.expose_mut().push_str(API_KEY_PREFIX);
    text.expose_mut().push_str(&written);
    written.zeroize();
    Ok(text)
}

/// `SHA-256(T("procura.api-key-token.v1", text))` of what is shown as a token of an API key,
/// all that is kept of one; none of what does not begin like one. Another spelling of the
/// same bits has another hash, and so is none.
#[must_use]
pub fn api_key_hash(text: &str) -> Option<[u8; 32]> {
    text.starts_with(API_KEY_PREFIX).then(|| {
        sha256(
            FieldTuple::new("procura.api-key-token.v1")
                .text(text)
                .as_bytes(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;

    #[test]
    fn a_token_has_one_spelling_and_is_known_by_its_hash() {
        let one = new_api_key(&SystemEntropy).unwrap();
        let two = new_api_key(&SystemEntropy).unwrap();
        let text = one.expose();
        assert_eq!(text.len(), API_KEY_PREFIX.len() + CHARACTERS);
        let hash = api_key_hash(text).unwrap();
        assert_eq!(api_key_hash(text), Some(hash));
        assert!(api_key_hash(two.expose()) != Some(hash));
        for other in [format!("{text}="), format!("{text} "), text.to_uppercase()] {
            assert!(api_key_hash(&other) != Some(hash), "another spelling");
        }
        assert_eq!(api_key_hash("pcp1_abc"), None);
        assert_eq!(api_key_hash(""), None);
    }
}
