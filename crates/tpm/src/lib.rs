//! TPM 2.0, spoken here (TCG Trusted Platform Module Library, parts 2 and 3) to a device
//! (`/dev/tpmrm0`) or to a socket at which a TPM answers: no library of the machine is
//! needed for building or running.
//!
//! - [`Chip`] has the commands: sealing to platform configuration registers for the server's
//!   vault, and for a daemon the keys of the endorsement hierarchy and quotes by them.
//! - [`Quote`], [`EndorsementKey`] and [`AttestationKey`] are for whoever verifies, without
//!   a chip: what a quote says, which keys may sign one, and the credential that only the
//!   chip opens which holds both.

mod bytes;
mod channel;
mod chip;
mod credential;
mod error;
mod key;
mod quote;
mod session;

pub use bytes::{Reader, Writer};
pub use channel::Channel;
pub use chip::{Chip, Object, POLICY_PCR};
pub use credential::{Credential, CredentialSecret};
pub use error::TpmError;
pub use key::{AttestationKey, EndorsementKey};
pub use quote::Quote;
pub use session::{Kind, Session};

/// The number of registers that a TPM has (PC Client platform profile, 4.4).
pub const REGISTERS: u8 = 24;

/// Whether these are registers as a TPM takes them: ascending, of those that there are, at
/// least one.
#[must_use]
pub fn are_registers(pcrs: &[u8]) -> bool {
    let ascending = pcrs.is_sorted_by(|one, two| one < two);
    !pcrs.is_empty() && ascending && pcrs.iter().all(|pcr| *pcr < REGISTERS)
}
