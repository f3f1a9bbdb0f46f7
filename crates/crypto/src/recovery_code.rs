//! Recovery codes: what an operator signs in with, each once, whose authenticator app is
//! lost. 80 random bits, so that a plain hash of one is as good as a slow one.

use crate::{base32, sha256};
use procura_types::{Entropy, EntropyError, FieldTuple, Secret};
use subtle::ConstantTimeEq as _;

const BYTES: usize = 10;
/// Symbols between two hyphens.
const GROUP: usize = 4;

/// A code, as it is shown once.
pub struct RecoveryCode(Secret<[u8; BYTES]>);

impl RecoveryCode {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// [`EntropyError`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Secret::new([0; BYTES]);
        entropy.fill_secret(bytes.expose_mut())?;
        Ok(Self(bytes))
    }

    /// As somebody typed it: in any case, with hyphens and spaces anywhere.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut symbols = Secret::new(Vec::with_capacity(text.len()));
        let kept = text.bytes().filter(|byte| !matches!(byte, b'-' | b' '));
        symbols
            .expose_mut()
            .extend(kept.map(|byte| byte.to_ascii_uppercase()));
        base32::decode(symbols.expose()).map(Self)
    }

    /// As it is written down: four groups of four.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        let symbols = base32::encode(self.0.expose());
        let mut text = Secret::new(String::with_capacity(symbols.expose().len() + GROUP));
        for (place, symbol) in symbols.expose().iter().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.expose_mut().push('-');
            }
            text.expose_mut()
                .push(char::from(symbol.to_ascii_lowercase()));
        }
        text
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let message = FieldTuple::new("procura.recovery-code.v1").bytes(self.0.expose());
        sha256(message.as_bytes())
    }
}

/// The place among `kept` of this hash; every place is compared, in constant time.
#[must_use]
pub fn find_hash(kept: &[[u8; 32]], hash: &[u8; 32]) -> Option<usize> {
    let mut found = None;
    for (place, one) in kept.iter().enumerate() {
        if bool::from(one.ct_eq(hash)) {
            found = Some(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = RecoveryCode::generate(&SystemEntropy).unwrap();
        let text = code.text();
        let text = text.expose();
        assert_eq!(text.len(), 19);
        assert_eq!(text.matches('-').count(), 3);
        let hash = code.hash();
        for typed in [
            text.clone(),
            text.to_uppercase(),
            text.replace('-', ""),
            text.replace('-', " "),
        ] {
            assert_eq!(RecoveryCode::read(&typed).unwrap().hash(), hash, "{typed}");
        }
        for wrong in ["", "123456", "aaaa-aaaa-aaaa-aaa", "aaaa-aaaa-aaaa-aaa1"] {
            assert!(RecoveryCode::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_hash_is_found_where_it_is() {
        let kept = [[1; 32], [2; 32], [3; 32]];
        assert_eq!(find_hash(&kept, &[2; 32]), Some(1));
        assert_eq!(find_hash(&kept, &[4; 32]), None);
        assert_eq!(find_hash(&[], &[4; 32]), None);
    }
}
