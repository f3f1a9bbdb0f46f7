//! Randomness that a test knows, and none at all.

use procura_types::{Entropy, EntropyError};

/// Gives the same byte for ever.
pub(crate) struct Constant(pub(crate) u8);
impl Entropy for Constant {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(self.0);
        Ok(())
    }
}

/// Gives nothing.
pub(crate) struct Broken;
impl Entropy for Broken {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}
