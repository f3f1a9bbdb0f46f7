//! RSA keys of others, which verify and nothing else: RSASSA-PKCS1-v1_5 with SHA-256
//! (RFC 8017 §8.2), as identity providers sign with. No key of ours is one.

use crate::{KeyError, sha256};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use std::fmt;
use std::sync::Arc;

/// Bytes of a modulus: 2,048 to 8,192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// Most bytes of an exponent; nearly all have three.
const EXPONENT: usize = 8;

/// A public key of RSA that was parsed and found acceptable.
#[derive(Clone)]
pub struct RsaPublicKey(Arc<Parsed>);

struct Parsed {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    key: ParsedPublicKey,
}

impl RsaPublicKey {
    /// Reads modulus and exponent, both big-endian without zeros before them, as a JWK
    /// has them (RFC 7518 §6.3.1).
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for other lengths, zeros before, an even modulus, and an
    /// exponent that is even or 1.
    pub fn from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
        let is_plain = |bytes: &[u8]| bytes.first().is_some_and(|byte| *byte != 0);
        let fits = MODULUS.contains(&modulus.len())
            && exponent.len() <= EXPONENT
            && exponent != [1]
            && [modulus, exponent]
                .iter()
                .all(|bytes| is_odd(bytes) && is_plain(bytes));
        // A modulus of 256 bytes that begins with 0x01 has 2,041 bits.
        let is_long =
            modulus.len() > *MODULUS.start() || modulus.first().is_some_and(|byte| *byte >= 0x80);
        if !fits || !is_long {
            return Err(KeyError::Malformed);
        }
        let components = RsaPublicKeyComponents {
            n: modulus,
            e: exponent,
        };
        let key = components
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| KeyError::Malformed)?;
        Ok(Self(Arc::new(Parsed {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
            key,
        })))
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == self.0.modulus.len() && self.0.key.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for RsaPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.modulus == other.0.modulus && self.0.exponent == other.0.exponent
    }
}
impl Eq for RsaPublicKey {}

impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = sha256(&self.0.modulus);
        write!(f, "rsa:{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::encoding::from_b64url;

    /// RFC 7515 §A.2.
    const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const MESSAGE: &[u8] = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const EXPONENT: [u8; 3] = [1, 0, 1];

    fn bytes(text: &str) -> Vec<u8> {
        from_b64url("vector", text).unwrap()
    }

    #[test]
    fn the_example_of_rfc_7515_verifies_and_no_other() {
        let key = RsaPublicKey::from_components(&bytes(MODULUS), &EXPONENT).unwrap();
        let signature = bytes(SIGNATURE);
        assert!(key.verify(MESSAGE, &signature));
        assert!(!key.verify(&MESSAGE[1..], &signature));
        assert!(!key.verify(MESSAGE, &signature[1..]));
        assert!(!key.verify(MESSAGE, &[]));
        for at in [0, 100, signature.len() - 1] {
            let mut other = signature.clone();
            other[at] ^= 1;
            assert!(!key.verify(MESSAGE, &other), "{at}");
        }
        let longer = [&[0], signature.as_slice()].concat();
        assert!(!key.verify(MESSAGE, &longer));
    }

    #[test]
    fn weak_keys_and_other_spellings_are_refused() {
        let modulus = bytes(MODULUS);
        let mut even = modulus.clone();
        even[255] &= 0xfe;
        let mut short = modulus.clone();
        short[0] = 1;
        let long = [modulus.as_slice(); 5].concat();
        let padded = [&[0], modulus.as_slice()].concat();
        for (modulus, exponent) in [
            (&modulus[..128], &EXPONENT[..]),
            (&[], &EXPONENT),
            (&even, &EXPONENT),
            (&short, &EXPONENT),
            (&long, &EXPONENT),
            (&padded, &EXPONENT),
            (&modulus, &[]),
            (&modulus, &[1]),
            (&modulus, &[2]),
            (&modulus, &[0, 1, 0, 1]),
            (&modulus, &[1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ] {
            let read = RsaPublicKey::from_components(modulus, exponent);
            assert!(matches!(read, Err(KeyError::Malformed)), "{exponent:?}");
        }
    }
}
