//! Argon2id (RFC 9106): a key from a passphrase (`protocol.md` §5).

use crate::KdfError;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use procura_types::{Entropy, EntropyError, Secret, encoding};
use serde::{Deserialize, Serialize};
use zeroize::optimization_barrier;

/// How a passphrase becomes a key; stored in the clear beside what the key
/// opens. Parallelism is 1. Reading refuses what is too weak, so that nobody
/// lowers the cost by editing a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Argon2Params {
    /// Memory in KiB; 65,536 (64 MiB) at the least.
    pub memory_kib: u32,
    /// Passes over the memory; 3 at the least.
    pub passes: u32,
    /// Random, new for each passphrase; base64url in JSON.
    #[serde(serialize_with = "encoding::serde_b64url::serialize")]
    pub salt: [u8; 16],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    memory_kib: u32,
    passes: u32,
    #[serde(with = "encoding::serde_b64url")]
    salt: Vec<u8>,
}

impl Argon2Params {
    /// The least memory, in KiB.
    pub const MIN_MEMORY_KIB: u32 = 64 * 1024;
    /// The fewest passes.
    pub const MIN_PASSES: u32 = 3;
    const MAX_MEMORY_KIB: u32 = 4 * 1024 * 1024;
    const MAX_PASSES: u32 = 64;

    /// The usual cost (64 MiB, 3 passes: RFC 9106 §4, second choice) with a
    /// fresh salt.
    ///
    /// # Errors
    ///
    /// [`EntropyError`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt)?;
        Ok(Self {
            memory_kib: Self::MIN_MEMORY_KIB,
            passes: Self::MIN_PASSES,
            salt,
        })
    }

    fn check(&self) -> Result<(), KdfError> {
        if self.memory_kib < Self::MIN_MEMORY_KIB || self.passes < Self::MIN_PASSES {
            Err(KdfError::ParamsTooWeak)
        } else if self.memory_kib > Self::MAX_MEMORY_KIB || self.passes > Self::MAX_PASSES {
            Err(KdfError::ParamsTooCostly)
        } else {
            Ok(())
        }
    }
}

impl TryFrom<Stored> for Argon2Params {
    type Error = KdfError;
    fn try_from(stored: Stored) -> Result<Self, KdfError> {
        let params = Self {
            memory_kib: stored.memory_kib,
            passes: stored.passes,
            salt: stored.salt.try_into().map_err(|_| KdfError::Salt)?,
        };
        params.check()?;
        Ok(params)
    }
}

/// The key of a passphrase: Argon2id version 1.3, parallelism 1, over its UTF-8
/// bytes as they are (nothing is trimmed or normalised).
///
/// Takes a large part of a second and all the memory that the parameters name;
/// not for an async thread.
///
/// # Errors
///
/// [`KdfError`]; the parameters are checked here too.
pub fn derive_passphrase_key(
    passphrase: &str,
    params: &Argon2Params,
) -> Result<Secret<[u8; 32]>, KdfError> {
    params.check()?;
    argon2id(passphrase, &params.salt, params.memory_kib, params.passes)
}

/// The key of a password of another system: Argon2id version 1.3 with 64 MiB, 3 passes
/// and parallelism 1, over its UTF-8 bytes as they are, and a salt of 8 to 64 bytes.
///
/// Takes as long as [`derive_passphrase_key`].
///
/// # Errors
///
/// [`KdfError`].
pub fn derive_foreign_key(password: &str, salt: &[u8]) -> Result<Secret<[u8; 32]>, KdfError> {
    if !(8..=64).contains(&salt.len()) {
        return Err(KdfError::Salt);
    }
    argon2id(
        password,
        salt,
        Argon2Params::MIN_MEMORY_KIB,
        Argon2Params::MIN_PASSES,
    )
}

/// Our own memory, so that it is wiped: its last block gives the key away.
struct Memory(Vec<Block>);

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.fill(Block::new());
        optimization_barrier(self.0.as_slice());
    }
}

fn argon2id(
    passphrase: &str,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Result<Secret<[u8; 32]>, KdfError> {
    let cost =
        Params::new(memory_kib, passes, 1, Some(32)).map_err(|_| KdfError::ParamsTooCostly)?;

    let mut memory = Memory(Vec::new());
    memory
        .0
        .try_reserve_exact(cost.block_count())
        .map_err(|_| KdfError::OutOfMemory)?;
    memory.0.resize(cost.block_count(), Block::new());

    let mut key = Secret::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into_with_memory(
            passphrase.as_bytes(),
            salt,
            key.expose_mut(),
            memory.0.as_mut_slice(),
        )
        .map_err(|_| KdfError::TooLong)?;
    Ok(key)
}
