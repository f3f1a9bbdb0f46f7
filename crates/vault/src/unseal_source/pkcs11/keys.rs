//! Keys on a token: made there, found by their label, and used without leaving it.

use super::module::{InUse, told};
use super::{At, WrapError};
use crate::unseal_source::wrapper::Payload;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::types::Ulong;
use procura_types::wire::Pkcs11Mechanism;
use procura_types::{Entropy, Secret, SecretBytes};

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
const RSA_BITS: u64 = 3072;
/// 65537, big-endian.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

impl InUse {
    /// The objects of a class that are called so.
    fn find(&self, class: ObjectClass, key: &str) -> Result<Vec<ObjectHandle>, WrapError> {
        let template = [
            Attribute::Class(class),
            Attribute::Token(true),
            Attribute::Label(key.as_bytes().to_vec()),
        ];
        self.session()?
            .find_objects(&template)
            .map_err(|error| told(&error))
    }

    /// The one object of a class that is called so.
    fn only(&self, class: ObjectClass, key: &str) -> Result<ObjectHandle, WrapError> {
        match self.find(class, key)?.as_slice() {
            [one] => Ok(*one),
            [] => Err(WrapError::Another(format!(
                "the token has no key {key:?} any more"
            ))),
            _ => Err(WrapError::Unfit(format!(
                "the token has several keys {key:?}"
            ))),
        }
    }

    /// Takes away the keys that are called so.
    pub(super) fn destroy(&self, key: &str) {
        for class in [
            ObjectClass::SECRET_KEY,
            ObjectClass::PRIVATE_KEY,
            ObjectClass::PUBLIC_KEY,
        ] {
            let found = self.find(class, key).unwrap_or_default();
            if let Ok(session) = self.session() {
                for object in found {
                    // One that stays wraps nothing that is used.
                    let _ = session.destroy_object(object);
                }
            }
        }
    }

    /// Makes a key, and sees that it cannot be read.
    fn make(&self, mechanism: Pkcs11Mechanism, key: &str, id: [u8; 16]) -> Result<(), WrapError> {
        for class in [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY] {
            if !self.find(class, key)?.is_empty() {
                return Err(WrapError::Unfit(format!(
                    "the token has a key {key:?} already; choose another name with --key"
                )));
            }
        }
        let session = self.session()?;
        let named = || {
            [
                Attribute::Token(true),
                Attribute::Label(key.as_bytes().to_vec()),
                Attribute::Id(id.to_vec()),
            ]
        };
        let unreadable = || {
            [
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Decrypt(true),
                Attribute::Sign(false),
                Attribute::Unwrap(false),
            ]
        };
        let told = |error: Error| told(&error);
        let made = match mechanism {
            Pkcs11Mechanism::AesGcm => {
                let template: Vec<Attribute> = named()
                    .into_iter()
                    .chain(unreadable())
                    .chain([
                        Attribute::KeyType(KeyType::AES),
                        Attribute::ValueLen(Ulong::new(32)),
                        Attribute::Encrypt(true),
                        Attribute::Wrap(false),
                        Attribute::Derive(false),
                    ])
                    .collect();
                session
                    .generate_key(&Mechanism::AesKeyGen, &template)
                    .map_err(told)?
            }
            Pkcs11Mechanism::RsaOaepSha256 | Pkcs11Mechanism::RsaOaepSha1 => {
                let public: Vec<Attribute> = named()
                    .into_iter()
                    .chain([
                        Attribute::ModulusBits(Ulong::new(RSA_BITS)),
                        Attribute::PublicExponent(RSA_EXPONENT.to_vec()),
                        Attribute::Encrypt(true),
                        Attribute::Verify(false),
                        Attribute::Wrap(false),
                    ])
                    .collect();
                let private: Vec<Attribute> = named().into_iter().chain(unreadable()).collect();
                session
                    .generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)
                    .map_err(told)?
                    .1
            }
        };
        let asked = [AttributeType::Sensitive, AttributeType::Extractable];
        let found = session.get_attributes(made, &asked).map_err(told)?;
        let kept = found.contains(&Attribute::Sensitive(true))
            && found.contains(&Attribute::Extractable(false));
        if !kept {
            return Err(WrapError::Unfit(
                "the token made a key that can be read out of it".to_owned(),
            ));
        }
        Ok(())
    }

    fn encrypt(
        &self,
        mechanism: Pkcs11Mechanism,
        at: &At<'_>,
        associated: &[u8],
        nonce: [u8; NONCE_BYTES],
        key: &Payload,
    ) -> Result<Vec<u8>, WrapError> {
        let session = self.session()?;
        let told = |error: Error| told(&error);
        let Some(oaep) = oaep(mechanism) else {
            let object = self.only(ObjectClass::SECRET_KEY, at.key)?;
            let mut used = nonce;
            let parameters =
                GcmParams::new(&mut used, associated, Ulong::new(TAG_BITS)).map_err(told)?;
            let sealed = session
                .encrypt(&Mechanism::AesGcm(parameters), object, key.expose())
                .map_err(told)?;
            // Some tokens take no nonce from others, and say which they took.
            return Ok([used.as_slice(), &sealed].concat());
        };
        let object = self.only(ObjectClass::PUBLIC_KEY, at.key)?;
        session
            .encrypt(&Mechanism::RsaPkcsOaep(oaep), object, key.expose())
            .map_err(told)
    }

    /// Gives back what [`Self::wrap_anew`] wrapped.
    pub(super) fn decrypt(
        &self,
        mechanism: Pkcs11Mechanism,
        at: &At<'_>,
        associated: &[u8],
        wrapped: &[u8],
    ) -> Result<SecretBytes, WrapError> {
        let session = self.session()?;
        // Whatever a token calls bytes that it did not encrypt, they were changed: the
        // key was found, and is of the right kind.
        let refused = |error: Error| match told(&error) {
            WrapError::Unavailable(_)
                if matches!(
                    error,
                    Error::Pkcs11(RvError::GeneralError, cryptoki::context::Function::Decrypt)
                ) =>
            {
                WrapError::Refused
            }
            other => other,
        };
        let Some(oaep) = oaep(mechanism) else {
            let object = self.only(ObjectClass::SECRET_KEY, at.key)?;
            let (nonce, sealed) = wrapped
                .split_first_chunk::<NONCE_BYTES>()
                .ok_or(WrapError::Refused)?;
            let mut nonce = *nonce;
            let parameters = GcmParams::new(&mut nonce, associated, Ulong::new(TAG_BITS))
                .map_err(|error| told(&error))?;
            return session
                .decrypt(&Mechanism::AesGcm(parameters), object, sealed)
                .map(Secret::new)
                .map_err(refused);
        };
        let object = self.only(ObjectClass::PRIVATE_KEY, at.key)?;
        session
            .decrypt(&Mechanism::RsaPkcsOaep(oaep), object, wrapped)
            .map(Secret::new)
            .map_err(refused)
    }

    /// The mechanisms to try, best first.
    pub(super) fn mechanisms(
        &self,
        asked: Option<Pkcs11Mechanism>,
    ) -> Result<Vec<Pkcs11Mechanism>, WrapError> {
        let has = |kind: MechanismType| self.mechanisms.contains(&kind);
        let all = [
            Pkcs11Mechanism::AesGcm,
            Pkcs11Mechanism::RsaOaepSha256,
            Pkcs11Mechanism::RsaOaepSha1,
        ];
        let known: Vec<Pkcs11Mechanism> = all
            .into_iter()
            .filter(|one| asked.is_none_or(|asked| asked == *one))
            .filter(|one| match one {
                Pkcs11Mechanism::AesGcm => has(MechanismType::AES_GCM),
                _ => has(MechanismType::RSA_PKCS_OAEP),
            })
            .collect();
        if known.is_empty() {
            return Err(WrapError::Unfit(
                "the token can neither AES-GCM nor RSA-OAEP, or not the mechanism that was named"
                    .to_owned(),
            ));
        }
        Ok(known)
    }

    /// Makes a key and wraps with it, and sees that it unwraps.
    pub(super) fn wrap_anew(
        &self,
        mechanism: Pkcs11Mechanism,
        at: &At<'_>,
        associated: &[u8],
        key: &Payload,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, WrapError> {
        let mut id = [0; 16];
        entropy.fill(&mut id)?;
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce)?;
        self.make(mechanism, at.key, id)?;
        let wrapped = self
            .encrypt(mechanism, at, associated, nonce, key)
            .and_then(|wrapped| {
                let again = self.decrypt(mechanism, at, associated, &wrapped)?;
                if again.expose().as_slice() != key.expose().as_slice() {
                    return Err(WrapError::Unfit(
                        "the token does not give back what it wrapped".to_owned(),
                    ));
                }
                Ok(wrapped)
            });
        if wrapped.is_err() {
            self.destroy(at.key);
        }
        wrapped
    }
}

/// The parameters of RSA-OAEP; nothing for AES-GCM.
fn oaep(mechanism: Pkcs11Mechanism) -> Option<PkcsOaepParams<'static>> {
    let (hash, mask) = match mechanism {
        Pkcs11Mechanism::AesGcm => return None,
        Pkcs11Mechanism::RsaOaepSha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        Pkcs11Mechanism::RsaOaepSha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
    };
    Some(PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty()))
}
