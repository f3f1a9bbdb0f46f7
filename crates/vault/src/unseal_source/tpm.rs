//! TPM 2.0: the key of a source is sealed by the chip to platform configuration registers,
//! and comes back only while they are as they were.
//!
//! The chip is spoken to by `procura-tpm`. What is sealed goes in, and comes out, encrypted for a session whose salt only the chip's storage key opens, and
//! that key is compared with the one of the day when the source was added: whoever sits
//! between processor and chip neither reads along nor takes the chip's place.

use super::wrapper::{Credentials, Payload, Place, WrapError, Wrapped, Wraps};
use procura_crypto::sha256;
use procura_tpm::{Channel, Chip, Kind, POLICY_PCR, Reader, TpmError, Writer, are_registers};
use procura_types::wire::Wrapper;
use procura_types::{Entropy, SecretBytes};
use std::path::Path;
use std::sync::Arc;

impl From<TpmError> for WrapError {
    fn from(error: TpmError) -> Self {
        match error {
            TpmError::Unavailable(what) => Self::Unavailable(what),
            TpmError::Denied(what) => Self::Denied(what),
            TpmError::PcrsChanged(pcrs) => Self::PcrsChanged(pcrs),
            TpmError::Another(what) => Self::Another(what),
            TpmError::Refused => Self::Refused,
            TpmError::Unfit(what) => Self::Unfit(what),
            TpmError::Own(what) => Self::Own(what),
        }
    }
}

/// Seals with TPMs.
pub struct Tpms {
    entropy: Arc<dyn Entropy>,
}

/// What is stored of a key that a TPM sealed.
struct Sealed {
    /// The public area of the storage key.
    storage: Vec<u8>,
    /// The sealed object's public area.
    public: Vec<u8>,
    /// And its private one, which only the chip opens.
    private: Vec<u8>,
    /// What was in the registers, in their order.
    registers: Vec<[u8; 32]>,
}

impl Sealed {
    fn to_bytes(&self) -> Result<Vec<u8>, WrapError> {
        let mut out = Writer::default();
        let registers = self.registers.concat();
        for part in [&self.storage, &self.public, &self.private, &registers] {
            out.sized(part)?;
        }
        Ok(out.into_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrapError> {
        let read = || {
            let mut from = Reader::new(bytes);
            let (storage, public, private) = (from.sized()?, from.sized()?, from.sized()?);
            let (registers, rest) = from.sized()?.as_chunks::<32>();
            (from.is_empty() && rest.is_empty()).then(|| Self {
                storage: storage.to_vec(),
                public: public.to_vec(),
                private: private.to_vec(),
                registers: registers.to_vec(),
            })
        };
        read().ok_or(WrapError::Refused)
    }
}

impl Tpms {
    /// With randomness for nonces and salts.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy }
    }
}

fn chip(device: &str) -> Result<Chip, WrapError> {
    let path = Path::new(device);
    if !path.is_absolute() {
        return Err(WrapError::Unfit(
            "the TPM is named by the absolute path of its device".to_owned(),
        ));
    }
    Ok(Chip::new(Channel::open(path)?))
}

/// The registers as a TPM takes them.
fn checked(pcrs: &[u8]) -> Result<(), WrapError> {
    if !are_registers(pcrs) {
        return Err(WrapError::Unfit(
            "platform configuration registers are numbers from 0 to 23, ascending, at least one"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The policy that holds while the registers are so: `PolicyPCR` (part 3, 23.7) after
/// nothing.
fn policy(pcrs: &[u8], registers: &[[u8; 32]]) -> [u8; 32] {
    let mut out = Writer::default();
    out.raw(&[0; 32]);
    out.u32(POLICY_PCR);
    out.selection(pcrs);
    out.raw(&sha256(&registers.concat()));
    sha256(&out.into_bytes())
}

impl Wraps for Tpms {
    fn wrap(
        &self,
        by: &Wrapper,
        _: &Place<'_>,
        _: &Credentials,
        key: &Payload,
    ) -> Result<Wrapped, WrapError> {
        let Wrapper::Tpm { device, pcrs } = by else {
            return Err(WrapError::other_kind());
        };
        checked(pcrs)?;
        let entropy = self.entropy.as_ref();
        let mut chip = chip(device)?;
        let registers = chip.read_registers(pcrs)?;
        let storage = chip.storage_key()?;
        let mut session = chip.session(Kind::Hmac, &storage, entropy)?;
        let policy = policy(pcrs, &registers);
        let data = key.expose();
        let (private, public) = chip.create(&storage, &mut session, &policy, data, entropy)?;
        let sealed = Sealed {
            storage: storage.public,
            public,
            private,
            registers,
        };
        Ok(Wrapped {
            by: by.clone(),
            bytes: sealed.to_bytes()?,
        })
    }

    fn unwrap(
        &self,
        by: &Wrapper,
        _: &Place<'_>,
        _: &Credentials,
        wrapped: &[u8],
    ) -> Result<SecretBytes, WrapError> {
        let Wrapper::Tpm { device, pcrs } = by else {
            return Err(WrapError::other_kind());
        };
        checked(pcrs)?;
        let sealed = Sealed::from_bytes(wrapped)?;
        if sealed.registers.len() != pcrs.len() {
            return Err(WrapError::Refused);
        }
        let entropy = self.entropy.as_ref();
        let mut chip = chip(device)?;
        let storage = chip.storage_key()?;
        if storage.public != sealed.storage {
            return Err(WrapError::Another(
                "this is another TPM than the one that sealed the key, or it was cleared since"
                    .to_owned(),
            ));
        }
        let found = chip.read_registers(pcrs)?;
        let changed: Vec<u8> = pcrs
            .iter()
            .zip(found.iter().zip(&sealed.registers))
            .filter(|(_, (now, then))| now != then)
            .map(|(pcr, _)| *pcr)
            .collect();
        if !changed.is_empty() {
            return Err(WrapError::PcrsChanged(changed));
        }
        let object = chip.load(&storage, &sealed.private, &sealed.public)?;
        let mut session = chip.session(Kind::Policy, &storage, entropy)?;
        // What was read may be of a moment ago, or told by somebody in between: the chip
        // decides by what it has.
        let told = |error| match error {
            TpmError::PcrsChanged(_) => WrapError::PcrsChanged(pcrs.clone()),
            other => other.into(),
        };
        chip.policy_pcr(&session, pcrs).map_err(told)?;
        chip.unseal(&object, &mut session, entropy).map_err(told)
    }
}
