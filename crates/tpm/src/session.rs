//! Sessions (part 1, clause 17 and following): each command and response in one bears a
//! MAC, and its first parameter is encrypted.

use crate::TpmError;
use procura_crypto::{MacKey, sha256, tpm_kdfa};
use procura_types::{Entropy, Secret};

/// Attributes (part 2, 8.4): the session goes on; the first parameter of the command, or
/// of the response, is encrypted.
pub(crate) const GOES_ON: u8 = 1;
pub(crate) const COMMAND_ENCRYPTED: u8 = 1 << 5;
pub(crate) const RESPONSE_ENCRYPTED: u8 = 1 << 6;

/// What a session is for.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Proves that nobody changes what is said.
    Hmac,
    /// Fulfils a policy besides.
    Policy,
}

impl Kind {
    /// `TPM_SE` (part 2, 6.11).
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Hmac => 0,
            Self::Policy => 1,
        }
    }
}

/// A session whose key both sides have.
pub struct Session {
    pub(crate) handle: u32,
    key: Secret<[u8; 32]>,
    nonce_caller: [u8; 32],
    nonce_tpm: Vec<u8>,
}

impl Session {
    /// Of a handle, with the salt that was sent, after the first nonces.
    pub(crate) fn new(
        handle: u32,
        salt: &Secret<[u8; 32]>,
        nonce_caller: [u8; 32],
        nonce_tpm: &[u8],
    ) -> Result<Self, TpmError> {
        Ok(Self {
            handle,
            key: tpm_kdfa(salt.expose(), "ATH", nonce_tpm, &nonce_caller)?,
            nonce_caller,
            nonce_tpm: nonce_tpm.to_vec(),
        })
    }

    /// Draws the nonce of the next command.
    pub(crate) fn next(&mut self, entropy: &dyn Entropy) -> Result<[u8; 32], TpmError> {
        entropy.fill(&mut self.nonce_caller)?;
        Ok(self.nonce_caller)
    }

    /// The key of the first parameter of a command.
    pub(crate) fn command_key(&self) -> Result<Secret<[u8; 32]>, TpmError> {
        Ok(tpm_kdfa(
            self.key.expose(),
            "CFB",
            &self.nonce_caller,
            &self.nonce_tpm,
        )?)
    }

    /// The key of the first parameter of a response, whose nonce has been taken in.
    pub(crate) fn response_key(&self) -> Result<Secret<[u8; 32]>, TpmError> {
        Ok(tpm_kdfa(
            self.key.expose(),
            "CFB",
            &self.nonce_tpm,
            &self.nonce_caller,
        )?)
    }

    /// The MAC of a command: over its code, the names of what it is about, and its
    /// parameters as they are sent.
    pub(crate) fn command_mac(
        &self,
        code: u32,
        names: &[&[u8]],
        parameters: &[u8],
        attributes: u8,
    ) -> Result<[u8; 32], TpmError> {
        let said = [&code.to_be_bytes(), names.concat().as_slice(), parameters].concat();
        let mac = MacKey::from_bytes(self.key.expose())?;
        Ok(mac.sign(&[
            &sha256(&said),
            &self.nonce_caller,
            &self.nonce_tpm,
            &[attributes],
        ]))
    }

    /// Takes in the nonce of a response, and checks its MAC.
    pub(crate) fn answered(
        &mut self,
        code: u32,
        parameters: &[u8],
        nonce_tpm: &[u8],
        attributes: u8,
        mac: &[u8],
    ) -> Result<(), TpmError> {
        self.nonce_tpm = nonce_tpm.to_vec();
        let said = [&0u32.to_be_bytes(), &code.to_be_bytes(), parameters].concat();
        let key = MacKey::from_bytes(self.key.expose())?;
        let said = sha256(&said);
        let parts: [&[u8]; 4] = [&said, &self.nonce_tpm, &self.nonce_caller, &[attributes]];
        if key.verify(&parts, mac) {
            return Ok(());
        }
        Err(TpmError::Another(
            "what answers is not the TPM that sealed the key".to_owned(),
        ))
    }
}
