//! Encryption of the master secret with a passphrase: a Feistel network of four
//! rounds whose function is PBKDF2-HMAC-SHA256 (SLIP-0039, "Encryption of the master
//! secret"; RFC 8018 §5.2). It hides the secret and authenticates nothing.

use super::Slip39Error;
use aws_lc_rs::pbkdf2;
use procura_types::{Secret, SecretBytes};
use std::num::NonZeroU32;

/// Iterations of a round with an exponent of 0.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2499);
const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
const ROUNDS: u8 = 4;

/// What the encryption depends on beside the passphrase; a mnemonic says it.
#[derive(Clone, Copy)]
pub(super) struct Encryption {
    /// 15 bits.
    pub(super) identifier: u16,
    /// Whether the identifier has no part in it, so that sets with different ones
    /// can be of the same secret and passphrase.
    pub(super) extendable: bool,
    /// How often the iterations are doubled, 0 to 15.
    pub(super) exponent: u8,
}

impl Encryption {
    /// Encrypts a secret of an even number of bytes.
    pub(super) fn encrypt(
        self,
        master: &[u8],
        passphrase: &str,
    ) -> Result<SecretBytes, Slip39Error> {
        self.permute(master, passphrase, 0..ROUNDS)
    }

    /// Decrypts what was encrypted with the same passphrase.
    pub(super) fn decrypt(
        self,
        encrypted: &[u8],
        passphrase: &str,
    ) -> Result<SecretBytes, Slip39Error> {
        self.permute(encrypted, passphrase, (0..ROUNDS).rev())
    }

    fn permute(
        self,
        block: &[u8],
        passphrase: &str,
        rounds: impl Iterator<Item = u8>,
    ) -> Result<SecretBytes, Slip39Error> {
        if !passphrase.bytes().all(|byte| (32..=126).contains(&byte)) {
            return Err(Slip39Error::Passphrase);
        }
        let (left, right) = block.split_at(block.len() / 2);
        let mut left = Secret::new(left.to_vec());
        let mut right = Secret::new(right.to_vec());
        for round in rounds {
            let mask = self.round(round, passphrase, right.expose());
            for (byte, mask) in left.expose_mut().iter_mut().zip(mask.expose()) {
                *byte ^= mask;
            }
            std::mem::swap(&mut left, &mut right);
        }
        let mut out = Secret::new(Vec::with_capacity(block.len()));
        out.expose_mut().extend_from_slice(right.expose());
        out.expose_mut().extend_from_slice(left.expose());
        Ok(out)
    }

    /// The function of a round, as long as `half`.
    fn round(self, round: u8, passphrase: &str, half: &[u8]) -> SecretBytes {
        let mut password = Secret::new(Vec::with_capacity(1 + passphrase.len()));
        password.expose_mut().push(round);
        password
            .expose_mut()
            .extend_from_slice(passphrase.as_bytes());
        let mut salt = Secret::new(Vec::with_capacity(8 + half.len()));
        if !self.extendable {
            salt.expose_mut().extend_from_slice(b"shamir");
            salt.expose_mut()
                .extend_from_slice(&self.identifier.to_be_bytes());
        }
        salt.expose_mut().extend_from_slice(half);
        let mut out = Secret::new(vec![0; half.len()]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS.saturating_mul(TWO.saturating_pow(u32::from(self.exponent))),
            salt.expose(),
            password.expose(),
            out.expose_mut(),
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn decryption_undoes_encryption(
            halves in prop::collection::vec(any::<[u8; 2]>(), 8..40),
            identifier in 0u16..=0x7fff,
            extendable in any::<bool>(),
            passphrase in "[ -~]{0,20}",
        ) {
            let block = halves.as_flattened();
            let encryption = Encryption { identifier, extendable, exponent: 0 };
            let encrypted = encryption.encrypt(block, &passphrase).unwrap();
            prop_assert_ne!(encrypted.expose().as_slice(), block);
            let decrypted = encryption.decrypt(encrypted.expose(), &passphrase).unwrap();
            prop_assert_eq!(decrypted.expose().as_slice(), block);
        }
    }

    /// Only of a set that is not extendable the identifier has a part in it.
    #[test]
    fn the_identifier_counts_unless_the_set_is_extendable() {
        for extendable in [true, false] {
            let [one, two] = [1, 2].map(|identifier| {
                let encryption = Encryption {
                    identifier,
                    extendable,
                    exponent: 0,
                };
                encryption.encrypt(&[7; 16], "").unwrap()
            });
            assert_eq!(one == two, extendable);
        }
    }

    #[test]
    fn a_passphrase_is_printable_ascii() {
        let encryption = Encryption {
            identifier: 0,
            extendable: true,
            exponent: 0,
        };
        for passphrase in ["\u{1f}", "\u{7f}", "pässword", "a\nb"] {
            for result in [
                encryption.encrypt(&[7; 16], passphrase),
                encryption.decrypt(&[7; 16], passphrase),
            ] {
                assert_eq!(
                    result.err(),
                    Some(Slip39Error::Passphrase),
                    "{passphrase:?}"
                );
            }
        }
    }
}
