//! The TPM of this host, as the daemon uses it: two keys that follow from the chip, and a
//! quote for each attestation. It is held for as long as one attestation takes.

use crate::DaemonError;
use procura_crypto::{SystemEntropy, sha256};
use procura_tpm::{Channel, Chip, Credential, Object, TpmError};
use procura_types::ExeDigest;
use procura_types::wire::{AttestationChallenge, TpmKeys, TpmQuote, ValueB64};
use std::path::Path;

fn unable(error: TpmError) -> DaemonError {
    DaemonError::Config(format!("the TPM: {error}"))
}

/// The chip with its two keys. Each call blocks for as long as the chip takes.
pub(crate) struct HostChip {
    chip: Chip,
    ek: Object,
    ak: Object,
}

impl HostChip {
    /// Opens the chip at a path and has it make its keys.
    pub(crate) fn open(path: &Path) -> Result<Self, DaemonError> {
        let channel = Channel::open(path).map_err(unable)?;
        let mut chip = Chip::new(channel);
        let ek = chip.endorsement_key().map_err(unable)?;
        let ak = chip.attestation_key().map_err(unable)?;
        Ok(Self { chip, ek, ak })
    }

    /// The chip, as whoever accepts it sees it.
    pub(crate) fn sha256(&self) -> ExeDigest {
        ExeDigest::from_bytes(sha256(&self.ek.public))
    }

    /// The public halves.
    pub(crate) fn keys(&self) -> TpmKeys {
        TpmKeys {
            ek: self.ek.public.clone(),
            ak: self.ak.public.clone(),
        }
    }

    /// Quotes for a statement as the challenge asks, after opening its credential.
    pub(crate) fn quote(
        &mut self,
        challenge: &AttestationChallenge,
        message: &[u8],
    ) -> Result<TpmQuote, DaemonError> {
        let activated = match &challenge.credential {
            Some(credential) => {
                let credential = Credential {
                    blob: credential.blob.clone(),
                    secret: credential.secret.clone(),
                };
                let opened = self
                    .chip
                    .activate(&self.ak, &self.ek, &credential, &SystemEntropy)
                    .map_err(unable)?;
                Some(ValueB64::encode(opened.expose()))
            }
            None => None,
        };
        let (quoted, signature) = self
            .chip
            .quote(&self.ak, &sha256(message), &challenge.pcrs)
            .map_err(unable)?;
        Ok(TpmQuote {
            keys: self.keys(),
            quoted,
            signature,
            activated,
        })
    }
}
