//! The installation on disk: `installation.json` beside the database, and the
//! way from a passphrase to the keys (`protocol.md` §5).
//!
//! The passphrase opens the root; the root opens the keyring, which is a row of
//! the database under the root's epoch. How both are changed together stands in
//! `rotation.rs`.

use crate::error::SealError;
use crate::keyring::{Keyring, random_key};
use procura_crypto::{
    Argon2Params, Binding, Holder, OpenError, Purpose, XaesKey, derive_passphrase_key, hkdf_sha256,
    open, seal,
};
use procura_store::{Batch, Blob, Kind, Store, Table};
use procura_types::wire::PublicJwk;
use procura_types::{Entropy, InstallationId, Secret, SecretBytes, Timestamp, encoding};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The format that this program writes.
const FORMAT: u32 = 1;
const FILE: &str = "installation.json";
const SENTINEL: &[u8] = b"procura sentinel v1";
const MIN_PASSPHRASE: usize = 12;

/// Root epoch → the keyring, an envelope under that root.
pub(crate) const KEYRINGS: Table<u64, Blob> = Table::new("keyring", Kind::Clear);

/// The passphrase as an unseal source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassphraseSource {
    /// Parameters of Argon2id.
    pub argon2: Argon2Params,
    /// The root, sealed under the derived key.
    #[serde(with = "encoding::serde_b64url")]
    pub root: Vec<u8>,
}

/// What `installation.json` holds: nothing secret, but everything that is needed
/// besides the passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installation {
    /// Of this file.
    pub format: u32,
    /// The installation; the database bears the same.
    pub id: InstallationId,
    /// When it was made.
    pub created: Timestamp,
    /// The root's epoch.
    pub root_epoch: u32,
    /// A constant sealed under the root.
    #[serde(with = "encoding::serde_b64url")]
    pub sentinel: Vec<u8>,
    /// The unseal source.
    pub passphrase: PassphraseSource,
    /// What clients pin.
    pub server_key: PublicJwk,
    /// What checkpoints verify with.
    pub ledger_vkey: String,
}

/// The root, only for as long as it takes to open or make a keyring.
pub(crate) struct Root {
    pub(crate) epoch: u32,
    key: Secret<[u8; 32]>,
}

impl Root {
    pub(crate) fn generate(epoch: u32, entropy: &dyn Entropy) -> Result<Self, SealError> {
        Ok(Self {
            epoch,
            key: random_key(entropy)?,
        })
    }

    fn derived(&self, info: &str) -> Result<XaesKey, SealError> {
        Ok(XaesKey::new(hkdf_sha256::<32>(
            self.key.expose(),
            b"procura.root.v1",
            info.as_bytes(),
        ))?)
    }

    /// Wraps the keys of namespaces.
    pub(crate) fn namespace_kek(&self) -> Result<XaesKey, SealError> {
        self.derived("namespace")
    }

    pub(crate) fn seal_keyring(
        &self,
        id: &InstallationId,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let key = self.derived("keyring")?;
        Ok(seal(
            &key,
            self.epoch,
            &keyring_binding(id, self.epoch),
            entropy,
            keyring.to_bytes()?.expose(),
        )?)
    }

    pub(crate) fn open_keyring(
        &self,
        id: &InstallationId,
        envelope: &[u8],
    ) -> Result<Keyring, SealError> {
        let key = self.derived("keyring")?;
        let bytes = open(
            |epoch| (epoch == self.epoch).then_some(&key),
            &keyring_binding(id, self.epoch),
            envelope,
        )
        .map_err(|_| SealError::KeyringMismatch)?;
        Keyring::from_bytes(&bytes)
    }
}

fn binding<'a>(
    id: &'a InstallationId,
    path: &'a [u8],
    epoch: u32,
    purpose: Purpose,
) -> Binding<'a> {
    Binding {
        holder: Holder::Installation(id),
        class: "credentials",
        path,
        version: u64::from(epoch),
        purpose,
    }
}

fn keyring_binding(id: &InstallationId, epoch: u32) -> Binding<'_> {
    binding(id, b"keyring", epoch, Purpose::Keyring)
}

fn ledger_vkey(id: &InstallationId, keyring: &Keyring) -> Result<String, SealError> {
    procura_ledger::Vkey::new(&procura_ledger::origin(id), keyring.ledger_key.public())
        .map(|vkey| vkey.to_string())
        .map_err(|error| SealError::Damaged(error.to_string()))
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> SealError {
    move |cause| SealError::Io { what, cause }
}

impl Installation {
    /// Reads `<home>/installation.json`.
    pub fn read(home: &Path) -> Result<Self, SealError> {
        let bytes = match fs::read(home.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SealError::NotInitialised);
            }
            Err(error) => return Err(io("reading installation.json")(error)),
        };
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| SealError::Damaged(error.to_string());
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(SealError::NewerFormat {
                found: format,
                known: FORMAT,
            });
        }
        if format == 0 {
            return Err(SealError::Damaged("there is no format 0".to_owned()));
        }
        serde_json::from_slice(&bytes).map_err(damaged)
    }

    /// Puts the file in place: whole or not at all, and on disk when this returns.
    pub(crate) fn write(&self, home: &Path) -> Result<(), SealError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| SealError::Damaged(error.to_string()))?;
        let temporary: PathBuf = home.join("installation.json.new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io("writing installation.json"))?;
        file.write_all(&text)
            .map_err(io("writing installation.json"))?;
        file.sync_all().map_err(io("syncing installation.json"))?;
        fs::rename(&temporary, home.join(FILE)).map_err(io("replacing installation.json"))?;
        File::open(home)
            .and_then(|dir| dir.sync_all())
            .map_err(io("syncing the home"))
    }

    /// Makes sure that the file in the home is this one and on disk.
    pub(crate) fn confirm(&self, home: &Path) -> Result<(), SealError> {
        if !Self::read(home).is_ok_and(|found| found == *self) {
            return self.write(home);
        }
        File::open(home.join(FILE))
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(home))
            .and_then(|home| home.sync_all())
            .map_err(io("syncing installation.json"))
    }

    /// Whether the root before this file's is still there: then it was put in
    /// place by a change of passphrase that did not come to its end.
    pub(crate) fn follows_another(&self, store: &Store) -> Result<bool, SealError> {
        let before = u64::from(self.root_epoch).saturating_sub(1);
        Ok(KEYRINGS.get_clear(store, &before)?.is_some())
    }

    /// Seals a root under a passphrase and describes the result.
    pub(crate) fn describe(
        id: InstallationId,
        created: Timestamp,
        root: &Root,
        passphrase: &Secret<String>,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        if passphrase.expose().chars().count() < MIN_PASSPHRASE {
            return Err(SealError::WeakPassphrase);
        }
        let argon2 = Argon2Params::generate(entropy)?;
        let source = XaesKey::new(derive_passphrase_key(passphrase.expose(), &argon2)?)?;
        let wrapped = seal(
            &source,
            root.epoch,
            &binding(&id, b"passphrase", root.epoch, Purpose::RootWrap),
            entropy,
            root.key.expose(),
        )?;
        let sentinel = seal(
            &root.derived("sentinel")?,
            root.epoch,
            &binding(&id, b"sentinel", root.epoch, Purpose::Sentinel),
            entropy,
            SENTINEL,
        )?;
        Ok(Self {
            format: FORMAT,
            id,
            created,
            root_epoch: root.epoch,
            sentinel,
            passphrase: PassphraseSource {
                argon2,
                root: wrapped,
            },
            server_key: keyring.server_key.public().to_jwk(),
            ledger_vkey: ledger_vkey(&id, keyring)?,
        })
    }

    /// Holds the public keys of the file, which joining devices are told to pin,
    /// against the keyring: nothing else binds them, and whoever can write the
    /// file could have clients trust a record of their own.
    pub(crate) fn check_keys(&self, keyring: &Keyring) -> Result<(), SealError> {
        let edited = |what: &str| Err(SealError::Damaged(format!("{what} is not the vault's own")));
        if self.server_key != keyring.server_key.public().to_jwk() {
            return edited("server_key");
        }
        if self.ledger_vkey != ledger_vkey(&self.id, keyring)? {
            return edited("ledger_vkey");
        }
        Ok(())
    }

    /// From the passphrase to the root. Takes as long as Argon2id takes; call it
    /// off the async threads.
    pub(crate) fn open_root(&self, passphrase: &Secret<String>) -> Result<Root, SealError> {
        let source = XaesKey::new(derive_passphrase_key(
            passphrase.expose(),
            &self.passphrase.argon2,
        )?)?;
        let wrapped = open(
            |epoch| (epoch == self.root_epoch).then_some(&source),
            &binding(&self.id, b"passphrase", self.root_epoch, Purpose::RootWrap),
            &self.passphrase.root,
        )
        .map_err(|error| match error {
            OpenError::Refused => SealError::WrongPassphrase,
            other => SealError::Damaged(other.to_string()),
        })?;
        let key: [u8; 32] = wrapped
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| SealError::Damaged("the root has the wrong length".to_owned()))?;
        let root = Root {
            epoch: self.root_epoch,
            key: Secret::new(key),
        };
        let sentinel_key = root.derived("sentinel")?;
        let sentinel: SecretBytes = open(
            |epoch| (epoch == self.root_epoch).then_some(&sentinel_key),
            &binding(&self.id, b"sentinel", self.root_epoch, Purpose::Sentinel),
            &self.sentinel,
        )
        .map_err(|error| SealError::Damaged(format!("the sentinel does not open: {error}")))?;
        if sentinel.expose().as_slice() != SENTINEL {
            return Err(SealError::Damaged("the sentinel is another".to_owned()));
        }
        Ok(root)
    }

    /// Reads the keyring that belongs to `root`.
    pub(crate) fn load_keyring(&self, store: &Store, root: &Root) -> Result<Keyring, SealError> {
        let envelope = KEYRINGS
            .get_clear(store, &u64::from(root.epoch))?
            .ok_or(SealError::KeyringMismatch)?;
        root.open_keyring(&self.id, envelope.value.as_bytes())
    }

    /// Puts the keyring of `root` into a batch.
    pub(crate) fn put_keyring(
        batch: &mut Batch,
        id: &InstallationId,
        root: &Root,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<(), SealError> {
        let envelope = root.seal_keyring(id, keyring, entropy)?;
        KEYRINGS.put(batch, &u64::from(root.epoch), &Blob::new(envelope));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;

    #[test]
    fn a_root_that_sealed_another_sentinel_is_refused() {
        let (entropy, id) = (&SystemEntropy, InstallationId::from_bytes([1; 16]));
        let passphrase = Secret::new("correct horse battery".to_owned());
        let root = Root::generate(1, entropy).unwrap();
        let keyring = Keyring::generate(entropy).unwrap();
        let created = Timestamp::from_millis(0);
        let made = Installation::describe(id, created, &root, &passphrase, &keyring, entropy);
        let mut made = made.unwrap();
        assert!(made.open_root(&passphrase).is_ok());
        let key = root.derived("sentinel").unwrap();
        let place = binding(&id, b"sentinel", 1, Purpose::Sentinel);
        made.sentinel = seal(&key, 1, &place, entropy, b"another").unwrap();
        let error = made.open_root(&passphrase).err().unwrap();
        assert!(
            matches!(&error, SealError::Damaged(what) if what == "the sentinel is another"),
            "{error}"
        );
    }
}
