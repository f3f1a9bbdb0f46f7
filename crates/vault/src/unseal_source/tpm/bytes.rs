//! Numbers and sized bytes as TPMs write them (part 2, clause 4): big-endian.

use super::WrapError;
use procura_types::SecretBytes;

/// More than any command or response here has.
const ROOM: usize = 4096;

/// Writes; what was written is wiped with it.
pub(super) struct Writer(SecretBytes);

impl Default for Writer {
    fn default() -> Self {
        // Room for all of it at once, so that nothing is left in memory that was grown
        // out of.
        Self(SecretBytes::new(Vec::with_capacity(ROOM)))
    }
}

impl Writer {
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.expose_mut().extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, number: u8) {
        self.raw(&[number]);
    }

    pub(super) fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    /// A `TPM2B`: the length, then the bytes.
    pub(super) fn sized(&mut self, bytes: &[u8]) -> Result<(), WrapError> {
        let length = u16::try_from(bytes.len())
            .map_err(|_| WrapError::Own("more than a TPM takes".to_owned()))?;
        self.u16(length);
        self.raw(bytes);
        Ok(())
    }

    /// A `TPML_PCR_SELECTION` of registers of the SHA-256 bank.
    pub(super) fn selection(&mut self, pcrs: &[u8]) {
        let mut bits = 0u32;
        for pcr in pcrs {
            bits |= 1u32.checked_shl(u32::from(*pcr)).unwrap_or_default();
        }
        let [first, second, third, _] = bits.to_le_bytes();
        self.u32(1);
        self.u16(super::chip::SHA256);
        self.u8(3);
        self.raw(&[first, second, third]);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }

    pub(super) const fn as_mut(&mut self) -> &mut Vec<u8> {
        self.0.expose_mut()
    }

    /// What was written, of which nothing is secret.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(self.0.expose_mut())
    }
}

/// Reads; nothing where too little is there.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A `TPM2B`.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}
