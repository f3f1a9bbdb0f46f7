//! PKCS#11 tokens: the key of a source is wrapped by a key that was made on the token and
//! never leaves it.
//!
//! A module is code of somebody else in this process, so it is loaded only if nobody but
//! root and the server's user can change it, begun for each use and ended after it, and
//! used by one caller at a time. A wrong PIN is tried once: tokens lock themselves.

use super::wrapper::{Credentials, Payload, Place, WrapError, Wrapped, Wraps};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::{AuthPin, Ulong};
use procura_types::wire::{Pkcs11Mechanism, Wrapper};
use procura_types::{Entropy, Secret, SecretBytes};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError};

/// A module is a library with state of its own for the whole process.
static TURN: Mutex<()> = Mutex::new(());

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
const RSA_BITS: u64 = 3072;
/// 65537, big-endian.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// Wraps with keys on PKCS#11 tokens.
pub struct Pkcs11Tokens {
    entropy: Arc<dyn Entropy>,
    /// The user whose files a module may be, besides root's.
    own: u32,
}

/// Where a key is.
struct At<'a> {
    module: &'a str,
    token: &'a str,
    key: &'a str,
}

/// The session of one use; the module is ended with it.
struct InUse {
    // Dropped first: the module is ended after it.
    session: Option<Session>,
    module: Option<Pkcs11>,
    serial: String,
    mechanisms: Vec<MechanismType>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        drop(self.session.take());
        if let Some(module) = self.module.take() {
            // What it still holds goes with the process.
            let _ = module.finalize();
        }
    }
}

/// What the token said, as what happened. Of errors of the module only their names are
/// told: their texts are the standard's, and none has a value in it.
fn told(error: &Error) -> WrapError {
    let Error::Pkcs11(rv, function) = error else {
        return WrapError::Unfit(format!("the PKCS#11 module: {error}"));
    };
    match rv {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => WrapError::WrongPin,
        RvError::PinLocked => WrapError::PinLocked,
        RvError::PinExpired => WrapError::Denied("the PIN has expired".to_owned()),
        RvError::UserPinNotInitialized => {
            WrapError::Denied("the token has no user PIN yet".to_owned())
        }
        RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::GeneralError
        | RvError::HostMemory => {
            WrapError::Unavailable(format!("the token does not answer: {function}: {rv:?}"))
        }
        RvError::EncryptedDataInvalid
        | RvError::EncryptedDataLenRange
        | RvError::DataInvalid
        | RvError::DataLenRange => WrapError::Refused,
        _ => WrapError::Unfit(format!("the token refuses: {function}: {rv:?}")),
    }
}

impl Pkcs11Tokens {
    /// With modules of root or of user `own`.
    #[must_use]
    pub fn new(own: u32, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, own }
    }

    /// Refuses a module that others could change: it becomes code of this process.
    fn check_module(&self, path: &Path) -> Result<(), WrapError> {
        if !path.is_absolute() {
            return Err(WrapError::Unfit(
                "the PKCS#11 module is named by its absolute path".to_owned(),
            ));
        }
        let failed = |what: &Path, error: &dyn std::fmt::Display| {
            WrapError::Unavailable(format!("the PKCS#11 module {}: {error}", what.display()))
        };
        let real = std::fs::canonicalize(path).map_err(|error| failed(path, &error))?;
        for place in real.ancestors() {
            let found = std::fs::metadata(place).map_err(|error| failed(place, &error))?;
            let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
            let others_write = found.mode() & 0o022 != 0 && !sticky;
            if (found.uid() != 0 && found.uid() != self.own) || others_write {
                return Err(WrapError::Unfit(format!(
                    "{} could be changed by others than root and the server's user, so the PKCS#11 module in it is not loaded",
                    place.display()
                )));
            }
        }
        Ok(())
    }

    /// Begins the module, finds the token and logs in.
    fn log_in(&self, at: &At<'_>, credentials: &Credentials) -> Result<InUse, WrapError> {
        let pin = credentials.need("the token's PIN")?;
        self.check_module(Path::new(at.module))?;
        let module = Pkcs11::new(at.module).map_err(|error| told(&error))?;
        let begun = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        module.initialize(begun).map_err(|error| told(&error))?;
        let mut used = InUse {
            session: None,
            module: Some(module.clone()),
            serial: String::new(),
            mechanisms: Vec::new(),
        };
        let (slot, serial) = token(&module, at.token, credentials.unattended)?;
        used.serial = serial;
        let told = |error: Error| told(&error);
        used.mechanisms = module.get_mechanism_list(slot).map_err(told)?;
        let session = module.open_rw_session(slot).map_err(told)?;
        // The library wipes its copy.
        let pin = AuthPin::new(pin.expose().as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(told(error)),
        }
        used.session = Some(session);
        Ok(used)
    }
}

/// One use at a time. Whoever holds it does not give it back while a module hangs, so the
/// next is told rather than kept waiting.
fn turn() -> Result<std::sync::MutexGuard<'static, ()>, WrapError> {
    match TURN.try_lock() {
        Ok(turn) => Ok(turn),
        Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
        Err(TryLockError::WouldBlock) => Err(WrapError::Unavailable(
            "a PKCS#11 module is in use; try again in a moment".to_owned(),
        )),
    }
}

/// The slot with the token of this label or serial number, and the serial number.
fn token(module: &Pkcs11, name: &str, unattended: bool) -> Result<(Slot, String), WrapError> {
    let slots = module
        .get_slots_with_token()
        .map_err(|error| told(&error))?;
    let mut found = Vec::new();
    for slot in slots {
        let Ok(info) = module.get_token_info(slot) else {
            continue;
        };
        let serial = info.serial_number().trim_end().to_owned();
        if serial == name || info.label().trim_end() == name {
            found.push((slot, serial, info));
        }
    }
    match found.as_slice() {
        [(slot, serial, info)] => {
            if info.user_pin_locked() {
                return Err(WrapError::PinLocked);
            }
            if unattended && (info.user_pin_count_low() || info.user_pin_final_try()) {
                return Err(WrapError::FewTriesLeft);
            }
            Ok((*slot, serial.clone()))
        }
        [] => Err(WrapError::Unavailable(format!(
            "there is no token {name:?} at the PKCS#11 module"
        ))),
        _ => Err(WrapError::Unfit(format!(
            "there are several tokens {name:?}; name it by its serial number"
        ))),
    }
}

impl InUse {
    fn session(&self) -> Result<&Session, WrapError> {
        self.session
            .as_ref()
            .ok_or_else(|| WrapError::Own("the session is over".to_owned()))
    }

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

    fn destroy(&self, key: &str) {
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

    fn decrypt(
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
    fn mechanisms(
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
    fn wrap_anew(
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

impl Wraps for Pkcs11Tokens {
    fn wrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        key: &Payload,
    ) -> Result<Wrapped, WrapError> {
        let Wrapper::Pkcs11 {
            module,
            token,
            key: name,
            mechanism,
        } = by
        else {
            return Err(WrapError::other_kind());
        };
        let at = At {
            module,
            token,
            key: name,
        };
        let _turn = turn()?;
        let used = self.log_in(&at, credentials)?;
        let associated = place.associated();
        let mut last = WrapError::other_kind();
        for mechanism in used.mechanisms(*mechanism)? {
            match used.wrap_anew(mechanism, &at, &associated, key, self.entropy.as_ref()) {
                Ok(bytes) => {
                    return Ok(Wrapped {
                        by: Wrapper::Pkcs11 {
                            module: module.clone(),
                            token: used.serial.clone(),
                            key: name.clone(),
                            mechanism: Some(mechanism),
                        },
                        bytes,
                    });
                }
                // Tokens list RSA-OAEP and know one hash of it.
                Err(error @ (WrapError::Unfit(_) | WrapError::Refused)) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn unwrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        wrapped: &[u8],
    ) -> Result<SecretBytes, WrapError> {
        let Wrapper::Pkcs11 {
            module,
            token,
            key,
            mechanism,
        } = by
        else {
            return Err(WrapError::other_kind());
        };
        let at = At { module, token, key };
        let _turn = turn()?;
        let used = self.log_in(&at, credentials)?;
        let mechanism = mechanism.unwrap_or(Pkcs11Mechanism::AesGcm);
        used.decrypt(mechanism, &at, &place.associated(), wrapped)
    }

    fn forget(&self, by: &Wrapper, credentials: &Credentials) {
        let Wrapper::Pkcs11 {
            module, token, key, ..
        } = by
        else {
            return;
        };
        let at = At { module, token, key };
        if let Ok(_turn) = turn()
            && let Ok(used) = self.log_in(&at, credentials)
        {
            used.destroy(key);
        }
    }
}
