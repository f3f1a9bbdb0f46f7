//! A passkey in software, for tests: it answers as an authenticator and a browser do, and
//! what it answers can be bent first.

use crate::{KeyError, SigningKey, sha256};
use procura_types::{Entropy, encoding};

/// A passkey whose key lies open.
pub struct SoftwarePasskey {
    /// Signs.
    pub key: SigningKey,
    /// Its id.
    pub credential_id: Vec<u8>,
    /// The site that it was made for.
    pub rp_id: String,
    /// The page that asks it.
    pub origin: String,
    /// How often it answered; 0 of one that does not count.
    pub counter: u32,
    /// Present, verified, backup: the bits of WebAuthn §6.1 but for those of what follows.
    pub flags: u8,
}

/// What making it answered.
#[derive(Debug, Clone)]
pub struct Made {
    /// The client data.
    pub client_data: Vec<u8>,
    /// The attestation object.
    pub attestation_object: Vec<u8>,
}

/// What it answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The client data.
    pub client_data: Vec<u8>,
    /// The authenticator data.
    pub authenticator_data: Vec<u8>,
    /// The signature, in DER.
    pub signature: Vec<u8>,
}

impl SoftwarePasskey {
    /// Present and verified.
    pub const PRESENT_AND_VERIFIED: u8 = 0x05;

    /// A fresh one for the site of an origin, that counts from 1.
    ///
    /// # Errors
    /// As [`SigningKey::generate_p256`].
    pub fn generate(origin: &str, rp_id: &str, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let key = SigningKey::generate_p256(entropy)?;
        let credential_id = sha256(key.public().as_bytes()).to_vec();
        Ok(Self {
            key,
            credential_id,
            rp_id: rp_id.to_owned(),
            origin: origin.to_owned(),
            counter: 1,
            flags: Self::PRESENT_AND_VERIFIED,
        })
    }

    /// The client data of a ceremony, as browsers write it.
    #[must_use]
    pub fn client_data(&self, ceremony: &str, challenge: &[u8; 32]) -> Vec<u8> {
        format!(
            r#"{{"type":"{ceremony}","challenge":"{}","origin":"{}","crossOrigin":false}}"#,
            encoding::b64url(challenge),
            self.origin
        )
        .into_bytes()
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let mut data = sha256(self.rp_id.as_bytes()).to_vec();
        data.push(self.flags | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// The COSE key, in its canonical form.
    #[must_use]
    pub fn cose_key(&self) -> Vec<u8> {
        let (x, y) = self.key.public().as_bytes().split_at(33);
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend(x.get(1..).unwrap_or_default());
        key.extend([0x22, 0x58, 0x20]);
        key.extend(y);
        key
    }

    /// The authenticator data of its making, with this key in it.
    #[must_use]
    pub fn attested(&self, cose_key: &[u8]) -> Vec<u8> {
        let mut data = self.head(0x40);
        data.extend([0; 16]);
        let len = u16::try_from(self.credential_id.len()).unwrap_or(u16::MAX);
        data.extend(len.to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(cose_key);
        data
    }

    /// An attestation object without an attestation, around authenticator data.
    #[must_use]
    pub fn object(authenticator_data: &[u8]) -> Vec<u8> {
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt");
        object.push(0x64);
        object.extend(b"none");
        object.push(0x67);
        object.extend(b"attStmt");
        object.extend([0xa0, 0x68]);
        object.extend(b"authData");
        match u8::try_from(authenticator_data.len()) {
            Ok(len) => object.extend([0x58, len]),
            Err(_) => {
                let len = u16::try_from(authenticator_data.len()).unwrap_or(u16::MAX);
                object.push(0x59);
                object.extend(len.to_be_bytes());
            }
        }
        object.extend(authenticator_data);
        object
    }

    /// It is made.
    #[must_use]
    pub fn make(&self, challenge: &[u8; 32]) -> Made {
        Made {
            client_data: self.client_data("webauthn.create", challenge),
            attestation_object: Self::object(&self.attested(&self.cose_key())),
        }
    }

    /// It answers, and counts on.
    ///
    /// # Errors
    /// As [`SigningKey::sign`].
    pub fn answer(&mut self, challenge: &[u8; 32]) -> Result<Answered, KeyError> {
        if self.counter > 0 {
            self.counter = self.counter.saturating_add(1);
        }
        let client_data = self.client_data("webauthn.get", challenge);
        self.sign(client_data, self.head(0))
    }

    /// Signs just this.
    ///
    /// # Errors
    /// As [`SigningKey::sign`].
    pub fn sign(
        &self,
        client_data: Vec<u8>,
        authenticator_data: Vec<u8>,
    ) -> Result<Answered, KeyError> {
        let message = [&authenticator_data[..], &sha256(&client_data)].concat();
        let signature = der(&self.key.sign(&message)?);
        Ok(Answered {
            client_data,
            authenticator_data,
            signature,
        })
    }
}

/// r and s of 32 bytes each, as DER (RFC 3279 §2.2.3).
fn der(signature: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in signature.chunks(32) {
        let zeros = part.iter().take_while(|byte| **byte == 0).count();
        let digits = part.get(zeros..).unwrap_or_default();
        // An integer is signed: a first bit would make it negative.
        let pad = digits.first().is_none_or(|first| *first >= 0x80);
        let len = digits.len() + usize::from(pad);
        body.push(0x02);
        body.push(u8::try_from(len).unwrap_or(u8::MAX));
        body.extend(pad.then_some(0));
        body.extend(digits);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    out.extend(body);
    out
}
