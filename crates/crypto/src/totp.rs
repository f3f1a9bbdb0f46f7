//! Codes of authenticator apps: TOTP (RFC 6238) of 6 digits over steps of 30 seconds.

use crate::base32;
use aws_lc_rs::hmac;
use procura_types::{Entropy, EntropyError, Secret, Timestamp};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Seconds of a step (RFC 6238 §4, the default).
const STEP_SECONDS: u64 = 30;
/// Digits of a code.
const DIGITS: usize = 6;
const MODULUS: u32 = 1_000_000;
/// Steps before and after the one of now whose code is good as well (RFC 6238 §5.2): for
/// clocks that differ, and for the time that it takes to type.
const SKEW: u64 = 1;
/// Bytes of a secret (RFC 4226 §4: 160 bits are recommended).
const SECRET_BYTES: usize = 20;

/// With which hash the codes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotpHash {
    /// What every authenticator app knows. What breaks SHA-1 as a hash does not break it in
    /// an HMAC (RFC 6151).
    Sha1,
    /// What some apps know.
    Sha256,
}

/// The code of a step: six digits as a number (RFC 4226 §5.3).
#[must_use]
pub fn totp_code(hash: TotpHash, secret: &[u8], step: u64) -> u32 {
    let algorithm = match hash {
        TotpHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        TotpHash::Sha256 => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 15);
    // The last offset is 15, and the shortest tag has 20 bytes.
    let word = bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<4>())
        .copied()
        .unwrap_or_default();
    (u32::from_be_bytes(word) & 0x7fff_ffff) % MODULUS
}

/// The step of a moment.
#[must_use]
pub const fn totp_step(now: Timestamp) -> u64 {
    now.as_secs() / STEP_SECONDS
}

/// The step around `now` whose code this is; compared in constant time with all that it
/// may be. Whether that step was used before is for the caller to know.
#[must_use]
pub fn totp_matches(hash: TotpHash, secret: &[u8], code: &str, now: Timestamp) -> Option<u64> {
    let given = read(code);
    let today = totp_step(now);
    let mut found = 0;
    let mut known = Choice::from(0);
    for step in today.saturating_sub(SKEW)..=today.saturating_add(SKEW) {
        let is_it = totp_code(hash, secret, step).ct_eq(&given.unwrap_or(MODULUS));
        found = u64::conditional_select(&found, &step, is_it);
        known |= is_it;
    }
    bool::from(known).then_some(found)
}

/// Six digits, with a space between if need be, as apps show them.
fn read(code: &str) -> Option<u32> {
    let mut value = 0u32;
    let mut digits = 0;
    for byte in code.bytes().filter(|byte| *byte != b' ') {
        if !byte.is_ascii_digit() || digits == DIGITS {
            return None;
        }
        value = value * 10 + u32::from(byte - b'0');
        digits += 1;
    }
    (digits == DIGITS).then_some(value)
}

/// The secret that an operator's authenticator app shares with the server; codes are made
/// with SHA-1.
pub struct TotpSecret(Secret<[u8; SECRET_BYTES]>);

impl TotpSecret {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// [`EntropyError`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Secret::new([0; SECRET_BYTES]);
        entropy.fill_secret(bytes.expose_mut())?;
        Ok(Self(bytes))
    }

    /// From its base32 form; `None` for any other text.
    #[must_use]
    pub fn from_base32(text: &str) -> Option<Self> {
        base32::decode(text.as_bytes()).map(Self)
    }

    /// As people type it into an app: base32 (RFC 4648 §6) without padding.
    #[must_use]
    pub fn to_base32(&self) -> Secret<String> {
        let symbols = base32::encode(self.0.expose());
        Secret::new(symbols.expose().iter().copied().map(char::from).collect())
    }

    /// The code of a step, as its six digits.
    #[must_use]
    pub fn code(&self, step: u64) -> Secret<String> {
        let code = totp_code(TotpHash::Sha1, self.0.expose(), step);
        Secret::new(format!("{code:06}"))
    }

    /// As [`totp_matches`].
    #[must_use]
    pub fn matches(&self, code: &str, now: Timestamp) -> Option<u64> {
        totp_matches(TotpHash::Sha1, self.0.expose(), code, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    /// RFC 6238 appendix B, whose codes have eight digits: the last six of them.
    const VECTORS: [(u64, u32, u32); 6] = [
        (59, 287_082, 119_246),
        (1_111_111_109, 81_804, 84_774),
        (1_111_111_111, 50_471, 62_674),
        (1_234_567_890, 5_924, 819_424),
        (2_000_000_000, 279_037, 698_825),
        (20_000_000_000, 353_130, 737_706),
    ];
    const SHA_1: &[u8] = b"12345678901234567890";
    const SHA_256: &[u8] = b"12345678901234567890123456789012";

    #[test]
    fn rfc_6238_appendix_b() {
        for (time, sha_1, sha_256) in VECTORS {
            let now = Timestamp::from_secs(time);
            let step = totp_step(now);
            assert_eq!(totp_code(TotpHash::Sha1, SHA_1, step), sha_1, "{time}");
            assert_eq!(
                totp_code(TotpHash::Sha256, SHA_256, step),
                sha_256,
                "{time}"
            );
            let code = format!("{sha_256:06}");
            let found = totp_matches(TotpHash::Sha256, SHA_256, &code, now);
            assert_eq!(found, Some(step), "{time}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_before_and_one_after() {
        let secret = TotpSecret::generate(&SystemEntropy).unwrap();
        let step = 59_833_333;
        let code = secret.code(step);
        let first = step * STEP_SECONDS;
        for (at, good) in [
            (first - 31, false),
            (first - 30, true),
            (first, true),
            (first + 59, true),
            (first + 60, false),
        ] {
            let found = secret.matches(code.expose(), Timestamp::from_secs(at));
            // One code in a million is that of another step as well.
            assert_eq!(found.is_some(), good, "{at}");
        }
        assert_eq!(
            secret.matches(code.expose(), Timestamp::from_secs(first)),
            Some(step)
        );
    }

    #[test]
    fn what_is_not_six_digits_is_no_code() {
        let now = Timestamp::from_secs(59);
        let matches = |code| totp_matches(TotpHash::Sha1, SHA_1, code, now);
        assert_eq!(matches("287082"), Some(1));
        assert_eq!(matches("287 082"), Some(1));
        for wrong in [
            "",
            "28708",
            "2870820",
            "94287082",
            "28708a",
            "+28708",
            "287-082",
            "٢٨٧٠٨٢",
        ] {
            assert_eq!(matches(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_has_one_text() {
        let secret = TotpSecret(Secret::new(*b"12345678901234567890"));
        let text = secret.to_base32();
        assert_eq!(text.expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(TotpSecret::from_base32(text.expose()).is_some());
        assert!(TotpSecret::from_base32("gezdgnbvgy3tqojqgezdgnbvgy3tqojq").is_none());
        assert!(TotpSecret::from_base32("GEZDGNBV").is_none());
        assert_eq!(secret.code(1).expose(), "287082");
    }
}
