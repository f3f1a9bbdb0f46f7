//! A PKCS#11 module: which one is loaded, and the session of one use.

use super::{At, WrapError};
use crate::unseal_source::wrapper::Credentials;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The session of one use; the module is ended with it.
pub(super) struct InUse {
    // Dropped first: the module is ended after it.
    session: Option<Session>,
    module: Option<Pkcs11>,
    /// The token's serial number.
    pub(super) serial: String,
    /// What the token can.
    pub(super) mechanisms: Vec<MechanismType>,
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
pub(super) fn told(error: &Error) -> WrapError {
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

/// The file to load for a module that was named: where the name leads in the end, by a
/// way that nobody but root and user `own` can change. It becomes code of this process,
/// so the very path that was checked is the one that is loaded, and not the name, which
/// a link can turn meanwhile. Between check and load it can be replaced by those two
/// alone, who could change this program as well.
///
/// # Errors
/// [`WrapError::Unfit`] names what others could change; [`WrapError::Unavailable`] for
/// what is not there.
pub(super) fn checked(named: &Path, own: u32) -> Result<PathBuf, WrapError> {
    if !named.is_absolute() {
        return Err(WrapError::Unfit(
            "the PKCS#11 module is named by its absolute path".to_owned(),
        ));
    }
    let failed = |what: &Path, error: &dyn std::fmt::Display| {
        WrapError::Unavailable(format!("the PKCS#11 module {}: {error}", what.display()))
    };
    for place in named.ancestors() {
        let found = std::fs::symlink_metadata(place).map_err(|error| failed(place, &error))?;
        unchangeable(place, &found, own)?;
    }
    let real = std::fs::canonicalize(named).map_err(|error| failed(named, &error))?;
    for place in real.ancestors() {
        let found = std::fs::symlink_metadata(place).map_err(|error| failed(place, &error))?;
        unchangeable(place, &found, own)?;
        if place == real && !found.is_file() {
            return Err(WrapError::Unfit(format!(
                "{} is no file, and so no PKCS#11 module",
                real.display()
            )));
        }
    }
    Ok(real)
}

/// Refuses what others than root and user `own` could change.
fn unchangeable(place: &Path, found: &Metadata, own: u32) -> Result<(), WrapError> {
    // In a folder with the sticky bit only its owner takes a file away; a link has no
    // mode of its own, and its folder is looked at as well.
    let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
    let others_write = found.mode() & 0o022 != 0 && !sticky && !found.is_symlink();
    if (found.uid() == 0 || found.uid() == own) && !others_write {
        return Ok(());
    }
    Err(WrapError::Unfit(format!(
        "{} could be changed by others than root and the server's user, so the PKCS#11 module in it is not loaded",
        place.display()
    )))
}

impl InUse {
    /// Begins the module, finds the token and logs in.
    pub(super) fn log_in(
        at: &At<'_>,
        own: u32,
        credentials: &Credentials,
    ) -> Result<Self, WrapError> {
        let pin = credentials.need("the token's PIN")?;
        let told = |error: Error| told(&error);
        let module = Pkcs11::new(checked(Path::new(at.module), own)?).map_err(told)?;
        let begun = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        module.initialize(begun).map_err(told)?;
        let mut used = Self {
            session: None,
            module: Some(module.clone()),
            serial: String::new(),
            mechanisms: Vec::new(),
        };
        let (slot, serial) = token(&module, at.token, credentials.tries.is_some())?;
        used.serial = serial;
        used.mechanisms = module.get_mechanism_list(slot).map_err(told)?;
        let session = module.open_rw_session(slot).map_err(told)?;
        // The library wipes its copy.
        let pin = AuthPin::new(pin.expose().as_str().into());
        let tries = credentials.tries.as_deref();
        if let Some(tries) = tries {
            tries.begin()?;
        }
        let tried = match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => Err(told(error)),
        };
        if let Some(tries) = tries {
            tries.end(tried.as_ref().err());
        }
        tried?;
        used.session = Some(session);
        Ok(used)
    }

    /// Its session.
    pub(super) fn session(&self) -> Result<&Session, WrapError> {
        self.session
            .as_ref()
            .ok_or_else(|| WrapError::Own("the session is over".to_owned()))
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
            Tries::of(info).allow(unattended)?;
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

/// What a token says of the tries that it has left (PKCS#11 3.1, 3.4: the flags of
/// `CK_TOKEN_INFO`).
struct Tries {
    locked: bool,
    /// A wrong PIN was tried since the last right one, or one more locks it.
    few: bool,
}

impl Tries {
    fn of(info: &TokenInfo) -> Self {
        Self {
            locked: info.user_pin_locked(),
            few: info.user_pin_count_low() || info.user_pin_final_try(),
        }
    }

    /// Whether a PIN may be tried, before any is.
    const fn allow(&self, unattended: bool) -> Result<(), WrapError> {
        match self {
            Self { locked: true, .. } => Err(WrapError::PinLocked),
            Self { few: true, .. } if unattended => Err(WrapError::FewTriesLeft),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A folder that nobody else can change, with a module in it.
    fn folder() -> (tempfile::TempDir, PathBuf, u32) {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let inner = root.join("lib");
        std::fs::create_dir(&inner).unwrap();
        let module = inner.join("module.so");
        std::fs::write(&module, b"code").unwrap();
        for (path, bits) in [(&root, 0o755), (&inner, 0o755), (&module, 0o644)] {
            mode(path, bits);
        }
        let own = std::fs::metadata(&module).unwrap().uid();
        (dir, module, own)
    }

    fn refused(path: &Path, own: u32, place: &Path) {
        let expected = WrapError::Unfit(format!(
            "{} could be changed by others than root and the server's user, so the PKCS#11 module in it is not loaded",
            place.display()
        ));
        assert_eq!(checked(path, own).unwrap_err(), expected);
    }

    #[test]
    fn the_path_that_was_checked_is_the_one_to_load() {
        let (_dir, module, own) = folder();
        assert_eq!(checked(&module, own).unwrap(), module);
        let link = module.with_file_name("link.so");
        symlink(&module, &link).unwrap();
        assert_eq!(checked(&link, own).unwrap(), module);
        let up = module.parent().unwrap().join("../lib/link.so");
        assert_eq!(checked(&up, own).unwrap(), module);
    }

    #[test]
    fn what_others_can_change_is_not_loaded() {
        let (_dir, module, own) = folder();
        let inner = module.parent().unwrap();
        for bits in [0o664, 0o646, 0o666] {
            mode(&module, bits);
            refused(&module, own, &module);
        }
        mode(&module, 0o644);
        for bits in [0o775, 0o757] {
            mode(inner, bits);
            refused(&module, own, inner);
        }
        // Of a folder in which everybody takes away their own alone, files stay.
        mode(inner, 0o1777);
        assert_eq!(checked(&module, own).unwrap(), module);
    }

    #[test]
    fn a_link_that_others_can_turn_is_not_followed() {
        let (dir, module, own) = folder();
        let shared = std::fs::canonicalize(dir.path()).unwrap().join("shared");
        std::fs::create_dir(&shared).unwrap();
        let link = shared.join("link.so");
        symlink(&module, &link).unwrap();
        mode(&shared, 0o777);
        refused(&link, own, &shared);
        mode(&shared, 0o755);
        assert_eq!(checked(&link, own).unwrap(), module);
    }

    #[test]
    fn what_is_anybody_elses_is_not_loaded() {
        let (_dir, module, own) = folder();
        // Root gives the file away; anybody else says that it is not theirs.
        let own = if own == 0 {
            std::os::unix::fs::chown(&module, Some(65_534), None).unwrap();
            own
        } else {
            own + 1
        };
        let expected = WrapError::Unfit(format!(
            "{} could be changed by others than root and the server's user, so the PKCS#11 module in it is not loaded",
            module.display()
        ));
        assert_eq!(checked(&module, own).unwrap_err(), expected);
    }

    #[test]
    fn what_is_no_file_or_not_there_is_told_apart() {
        let (_dir, module, own) = folder();
        let inner = module.parent().unwrap();
        assert_eq!(
            checked(inner, own).unwrap_err(),
            WrapError::Unfit(format!(
                "{} is no file, and so no PKCS#11 module",
                inner.display()
            ))
        );
        assert_eq!(
            checked(Path::new("module.so"), own).unwrap_err(),
            WrapError::Unfit("the PKCS#11 module is named by its absolute path".to_owned())
        );
        let gone = inner.join("gone.so");
        assert!(matches!(
            checked(&gone, own).unwrap_err(),
            WrapError::Unavailable(_)
        ));
    }

    #[test]
    fn a_token_with_few_tries_left_is_left_to_a_person() {
        for (locked, few, unattended, expected) in [
            (false, false, false, Ok(())),
            (false, false, true, Ok(())),
            (false, true, false, Ok(())),
            (false, true, true, Err(WrapError::FewTriesLeft)),
            (true, false, false, Err(WrapError::PinLocked)),
            (true, true, false, Err(WrapError::PinLocked)),
            (true, true, true, Err(WrapError::PinLocked)),
        ] {
            assert_eq!(Tries { locked, few }.allow(unattended), expected);
        }
    }
}
