//! SHA-256, and SHA-512 where a format of others asks for it (FIPS 180-4).

use aws_lc_rs::digest;

/// The SHA-256 of `data`.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    to_array(&digest::digest(&digest::SHA256, data))
}

/// The SHA-512 of `data`.
#[must_use]
pub fn sha512(data: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    // SHA-512 has 64 bytes of output, so the lengths are equal.
    out.copy_from_slice(digest::digest(&digest::SHA512, data).as_ref());
    out
}

/// SHA-256 of data that comes in parts.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Begins with no data.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds data.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The SHA-256 of all that was added.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        to_array(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

fn to_array(digest: &digest::Digest) -> [u8; 32] {
    let mut out = [0; 32];
    // SHA-256 has 32 bytes of output, so the lengths are equal.
    out.copy_from_slice(digest.as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::encoding::hex;

    #[test]
    fn fips_180_examples() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), abc);
        let mut parts = Sha256::new();
        parts.update(b"a");
        parts.update(b"");
        parts.update(b"bc");
        assert_eq!(hex(&parts.finish()), abc);
        assert_eq!(
            hex(&Sha256::default().finish()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(&sha512(b"abc")),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }
}
