//! Numbers and sized bytes as TPMs write them (part 2, clause 4): big-endian.

use crate::TpmError;
use procura_types::SecretBytes;

/// More than any command or response here has.
const ROOM: usize = 4096;

/// Writes; what was written is wiped with it.
pub struct Writer(SecretBytes);

impl Default for Writer {
    fn default() -> Self {
        // Room for all of it at once, so that nothing is left in memory that was grown
        // out of.
        Self(SecretBytes::new(Vec::with_capacity(ROOM)))
    }
}

impl Writer {
    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.expose_mut().extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, number: u8) {
        self.raw(&[number]);
    }

    /// Two bytes.
    pub fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    /// A `TPM2B`: the length, then the bytes.
    ///
    /// # Errors
    /// [`TpmError::Own`] for more than 65,535.
    pub fn sized(&mut self, bytes: &[u8]) -> Result<(), TpmError> {
        let length = u16::try_from(bytes.len())
            .map_err(|_| TpmError::Own("more than a TPM takes".to_owned()))?;
        self.u16(length);
        self.raw(bytes);
        Ok(())
    }

    /// A `TPML_PCR_SELECTION` of registers of the SHA-256 bank.
    pub fn selection(&mut self, pcrs: &[u8]) {
        let mut bits = 0u32;
        for pcr in pcrs {
            bits |= 1u32.checked_shl(u32::from(*pcr)).unwrap_or_default();
        }
        let [first, second, third, _] = bits.to_le_bytes();
        self.u32(1);
        self.u16(crate::chip::SHA256);
        self.u8(3);
        self.raw(&[first, second, third]);
    }

    /// What was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// What was written, to be changed in place.
    pub(crate) const fn as_mut(&mut self) -> &mut Vec<u8> {
        self.0.expose_mut()
    }

    /// What was written, of which nothing is secret.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(self.0.expose_mut())
    }
}

/// Reads; nothing where too little is there.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Over these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all of it was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A number of eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A `TPM2B`.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}
