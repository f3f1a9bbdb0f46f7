//! The randomness of the programs.

use procura_types::{Entropy, EntropyError};

/// Random bytes from the library's generator, which the operating system seeds
/// (NIST SP 800-90A CTR_DRBG).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        aws_lc_rs::rand::fill(out).map_err(|_| EntropyError)
    }
}
