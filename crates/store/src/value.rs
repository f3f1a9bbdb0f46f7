//! Values of rows: structs as JSON, bytes as they are.

use procura_types::SecretBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that a table holds.
///
/// Implemented for everything that serde reads and writes (as JSON, at most
/// 64 KiB), and for [`Blob`].
pub trait Value: Sized {
    /// Whether it may be larger than a row and is then stored in chunks.
    const CHUNKED: bool;
    /// The plain bytes; `None` when it cannot be written, a defect.
    fn encode(&self) -> Option<SecretBytes>;
    /// The value; `None` when the bytes are not one.
    fn decode(plain: SecretBytes) -> Option<Self>;
}

impl<T: Serialize + DeserializeOwned> Value for T {
    const CHUNKED: bool = false;
    fn encode(&self) -> Option<SecretBytes> {
        // Room from the start, so that growing leaves no copies behind.
        let mut out = SecretBytes::new(Vec::with_capacity(512));
        serde_json::to_writer(out.expose_mut(), self).ok()?;
        Some(out)
    }
    fn decode(plain: SecretBytes) -> Option<Self> {
        serde_json::from_slice(plain.expose()).ok()
    }
}

/// Raw bytes; over 64 KiB they are stored in chunks with a digest.
#[derive(PartialEq, Eq)]
pub struct Blob(pub SecretBytes);

impl Blob {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBytes::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.expose().as_slice()
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.as_bytes().len())
    }
}

impl Value for Blob {
    const CHUNKED: bool = true;
    fn encode(&self) -> Option<SecretBytes> {
        Some(SecretBytes::new(self.as_bytes().to_vec()))
    }
    fn decode(plain: SecretBytes) -> Option<Self> {
        Some(Self(plain))
    }
}
