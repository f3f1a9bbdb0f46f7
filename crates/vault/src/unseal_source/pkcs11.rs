//! PKCS#11 tokens: the key of a source is wrapped by a key that was made on the token and
//! never leaves it.
//!
//! A module is code of somebody else in this process, so it is loaded only if nobody but
//! root and the server's user can change it (`module.rs`), begun for each use and ended
//! after it, and used by one caller at a time. A wrong PIN is tried once: tokens lock
//! themselves.

mod keys;
mod module;

use super::wrapper::{Credentials, Payload, Place, WrapError, Wrapped, Wraps};
use module::InUse;
use procura_types::wire::{Pkcs11Mechanism, Wrapper};
use procura_types::{Entropy, SecretBytes};
use std::sync::{Arc, Mutex, TryLockError};

/// A module is a library with state of its own for the whole process.
static TURN: Mutex<()> = Mutex::new(());

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

impl Pkcs11Tokens {
    /// With modules of root or of user `own`.
    #[must_use]
    pub fn new(own: u32, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, own }
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
        let used = InUse::log_in(&at, self.own, credentials)?;
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
        let used = InUse::log_in(&at, self.own, credentials)?;
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
            && let Ok(used) = InUse::log_in(&at, self.own, credentials)
        {
            used.destroy(key);
        }
    }
}
