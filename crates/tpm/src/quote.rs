//! What a TPM says when it quotes (part 2, 10.12.8): a `TPMS_ATTEST` of registers.

use crate::bytes::Reader;
use crate::chip::SHA256;

/// `TPM_GENERATED_VALUE`: whatever begins with it came from inside a chip.
const MAGIC: u32 = 0xFF54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
const QUOTE: u16 = 0x8018;

/// A quote, as read. It counts only once its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// What the caller gave to be signed along: 32 bytes of ours.
    pub extra: Vec<u8>,
    /// Milliseconds that the chip had been on.
    pub clock: u64,
    /// How often the machine had been started.
    pub reset_count: u32,
    /// How often it had been resumed, or started again without a reset.
    pub restart_count: u32,
    /// The registers of the SHA-256 bank, ascending.
    pub pcrs: Vec<u8>,
    /// The SHA-256 over what was in them.
    pub pcr_digest: [u8; 32],
}

impl Quote {
    /// Reads a `TPMS_ATTEST`; nothing for one of something else than registers of the
    /// SHA-256 bank alone, or of another form.
    #[must_use]
    pub fn read(attest: &[u8]) -> Option<Self> {
        let mut from = Reader::new(attest);
        if (from.u32()?, from.u16()?) != (MAGIC, QUOTE) {
            return None;
        }
        let _qualified_signer = from.sized()?;
        let extra = from.sized()?.to_vec();
        let clock = from.u64()?;
        let (reset_count, restart_count) = (from.u32()?, from.u32()?);
        let _safe = from.u8()?;
        let _firmware = from.u64()?;
        let (banks, bank) = (from.u32()?, from.u16()?);
        let length = from.u8()?;
        let bits = from.take(usize::from(length))?;
        let pcr_digest = from.sized()?.try_into().ok()?;
        let known = banks == 1 && bank == SHA256 && length <= 4 && from.is_empty();
        let pcrs: Vec<u8> = (0..length.checked_mul(8)?)
            .zip(
                bits.iter()
                    .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)),
            )
            .filter(|(_, is_set)| *is_set == 1)
            .map(|(pcr, _)| pcr)
            .collect();
        (known && crate::are_registers(&pcrs)).then_some(Self {
            extra,
            clock,
            reset_count,
            restart_count,
            pcrs,
            pcr_digest,
        })
    }
}
