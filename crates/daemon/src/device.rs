//! Devices on disk: one file each, `<home>/daemon/<thumbprint>.json`.
//!
//! A file holds the device's private key as it is: root on this host, and the
//! daemon's own user, can read it (docs/threat-model.md). Nobody else can: the
//! directory is 0700 and each file 0600, and the daemon refuses others.

use crate::DaemonError;
use procura_crypto::SigningKey;
use procura_ledger::Seen;
use procura_types::wire::{PublicJwk, ValueB64};
use procura_types::{
    ActorId, InstallationId, Label, Namespace, SecretBytes, Thumbprint, Timestamp,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const FORMAT: u32 = 1;
/// A device file is a few KiB; certificate authorities make it larger.
const FILE_LIMIT: u64 = 256 * 1024;
/// A key that never joined is of no use when its code has long expired.
const PENDING_LIFE: Duration = Duration::from_secs(24 * 3600);

/// One device key and what it knows of its server.
#[derive(Clone)]
pub struct Device {
    /// The private key, in locked memory.
    pub key: Arc<SigningKey>,
    /// The user of this host who may use it.
    pub uid: u32,
    /// When the key was made.
    pub created: Timestamp,
    /// The actor that it is, or will be, bound to.
    pub actor: ActorId,
    /// The installation that it belongs to.
    pub installation: InstallationId,
    /// Where the server answers.
    pub url: String,
    /// Certificate authorities to trust for it, PEM; otherwise the machine's.
    pub ca_pem: Option<String>,
    /// Whether it has joined, and as what.
    pub state: DeviceState,
}

/// Where a device stands.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DeviceState {
    /// The key is on disk, the server's answer is not: this code may be tried
    /// again with this key.
    Pending {
        /// SHA-256 of the 16 bytes of the link code, hexadecimal.
        code_sha256: String,
    },
    /// It has joined.
    Joined(Box<Membership>),
}

/// What the server said when the device joined, pinned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The agent's way from its owner: `alice//scribe`.
    pub lineage: String,
    /// The agent's own label.
    pub label: Label,
    /// The agent's namespace.
    pub namespace: Namespace,
    /// The owner at the root of its tree.
    pub owner: ActorId,
    /// The key that the server must prove to hold.
    pub server_key: PublicJwk,
    /// The verification key of the ledger (C2SP vkey).
    pub ledger_vkey: String,
    /// The highest checkpoint of the ledger that this host has seen signed.
    pub seen: Option<Seen>,
    /// When the server was heard to call the device revoked. A preference among
    /// devices and no verdict: refusals are not signed, so that the server is
    /// asked again when there is no other device to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceFile {
    format: u32,
    /// `u8 alg ‖ 32 bytes`.
    key: ValueB64,
    uid: u32,
    created: Timestamp,
    actor: ActorId,
    installation: InstallationId,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    state: DeviceState,
}

impl Device {
    /// The device's id.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.public().thumbprint()
    }

    /// What it joined as, once it has.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        match &self.state {
            DeviceState::Joined(membership) => Some(membership),
            DeviceState::Pending { .. } => None,
        }
    }
}

/// The directory of device files, held by one daemon at a time.
pub struct DeviceStore {
    dir: PathBuf,
    _lock: File,
}

impl DeviceStore {
    /// Opens the directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`DaemonError::Config`] when others can get into it or another daemon
    /// holds it, [`DaemonError::Io`] when it cannot be used.
    pub fn open(dir: &Path) -> Result<Self, DaemonError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| DaemonError::io(format!("make {}", dir.display()), source))?;
        check_private(dir, 0o700)?;
        check_above(dir)?;
        // Told to others, who are elsewhere.
        let dir = dir
            .canonicalize()
            .map_err(|source| DaemonError::io(format!("look at {}", dir.display()), source))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| DaemonError::io(format!("open {}", path.display()), source))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            DaemonError::Config(format!(
                "another process uses {}; stop it, or give this one another --home",
                dir.display()
            ))
        })?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is, an absolute path without links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads every device. What an interrupted write left behind is removed,
    /// and so are keys that did not join within a day.
    ///
    /// # Errors
    /// Names the file that cannot be used; a daemon that knows only some of
    /// its devices would surprise.
    pub fn load(&self, now: Timestamp) -> Result<Vec<Device>, DaemonError> {
        let list = |source| DaemonError::io(format!("list {}", self.dir.display()), source);
        let mut devices = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(list)? {
            let path = entry.map_err(list)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("json") => {}
                Some("tmp") => {
                    self.remove_file(&path)?;
                    continue;
                }
                _ => continue,
            }
            let device = read(&path)?;
            let expected = self.path(&device.thumbprint());
            if expected != path {
                return Err(unusable(&path, "it does not bear the name of its key"));
            }
            let waits = matches!(device.state, DeviceState::Pending { .. });
            if waits && now.since(device.created) > PENDING_LIFE {
                self.remove_file(&path)?;
            } else {
                devices.push(device);
            }
        }
        devices.sort_by_key(|device| device.created);
        Ok(devices)
    }

    /// Writes a device: when this returns, it survives a crash of the machine.
    ///
    /// # Errors
    /// [`DaemonError::Io`]; the former file, if any, is then still whole.
    pub fn save(&self, device: &Device) -> Result<(), DaemonError> {
        let path = self.path(&device.thumbprint());
        let new = path.with_extension("tmp");
        let failed = |source| DaemonError::io(format!("write {}", path.display()), source);
        let file = DeviceFile {
            format: FORMAT,
            key: ValueB64::encode(device.key.to_secret_bytes().expose()),
            uid: device.uid,
            created: device.created,
            actor: device.actor,
            installation: device.installation,
            url: device.url.clone(),
            ca_pem: device.ca_pem.clone(),
            state: device.state.clone(),
        };
        // Room for all of it at once: growing would leave the key behind.
        let room = 8192 + device.ca_pem.as_ref().map_or(0, |pem| 2 * pem.len());
        let mut text = SecretBytes::new(Vec::with_capacity(room));
        serde_json::to_writer_pretty(text.expose_mut(), &file)
            .map_err(|error| failed(error.into()))?;
        let mut out = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .map_err(failed)?;
        out.write_all(text.expose()).map_err(failed)?;
        out.sync_all().map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)?;
        self.sync_dir().map_err(failed)
    }

    /// Removes a device's file. What the disk keeps of its blocks is not
    /// overwritten: only revoking ends a key.
    ///
    /// # Errors
    /// [`DaemonError::Io`]; the file may then still be there.
    pub fn remove(&self, thumbprint: &Thumbprint) -> Result<(), DaemonError> {
        self.remove_file(&self.path(thumbprint))
    }

    fn path(&self, thumbprint: &Thumbprint) -> PathBuf {
        self.dir.join(format!("{thumbprint}.json"))
    }

    fn remove_file(&self, path: &Path) -> Result<(), DaemonError> {
        let failed = |source| DaemonError::io(format!("remove {}", path.display()), source);
        std::fs::remove_file(path).map_err(failed)?;
        self.sync_dir().map_err(failed)
    }

    fn sync_dir(&self) -> std::io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

fn unusable(path: &Path, why: &str) -> DaemonError {
    DaemonError::Config(format!("{} cannot be used: {why}", path.display()))
}

fn read(path: &Path) -> Result<Device, DaemonError> {
    check_private(path, 0o600)?;
    let failed = |source| DaemonError::io(format!("read {}", path.display()), source);
    let opened = File::open(path).map_err(failed)?;
    let mut text = SecretBytes::new(Vec::with_capacity(
        usize::try_from(opened.metadata().map_err(failed)?.len().min(FILE_LIMIT))
            .unwrap_or_default()
            .saturating_add(1),
    ));
    opened
        .take(FILE_LIMIT)
        .read_to_end(text.expose_mut())
        .map_err(failed)?;
    // The place of a mistake, not its words: those may quote the file.
    let file: DeviceFile = serde_json::from_slice(text.expose()).map_err(|error| {
        unusable(
            path,
            &format!(
                "its JSON does not fit at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })?;
    if file.format != FORMAT {
        return Err(unusable(path, "it was written by a newer version"));
    }
    let key = file
        .key
        .decode()
        .map_err(|_| unusable(path, "its key is not base64url"))?;
    let key = SigningKey::from_secret_bytes(key.expose())
        .map_err(|error| unusable(path, &error.to_string()))?;
    Ok(Device {
        key: Arc::new(key),
        uid: file.uid,
        created: file.created,
        actor: file.actor,
        installation: file.installation,
        url: file.url,
        ca_pem: file.ca_pem,
        state: file.state,
    })
}

/// Others may not put another directory in the place of this one either.
fn check_above(dir: &Path) -> Result<(), DaemonError> {
    let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) else {
        return Ok(());
    };
    let found = std::fs::metadata(above)
        .map_err(|source| DaemonError::io(format!("look at {}", above.display()), source))?;
    // Where others may only remove what is theirs (sticky), this stays.
    if found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0 {
        return Err(unusable(
            above,
            &format!(
                "others could replace the daemon's directory in it; run `chmod go-w {}`",
                above.display()
            ),
        ));
    }
    Ok(())
}

/// Others may have no part in what holds keys.
fn check_private(path: &Path, mode: u32) -> Result<(), DaemonError> {
    let found = std::fs::symlink_metadata(path)
        .map_err(|source| DaemonError::io(format!("look at {}", path.display()), source))?;
    if found.is_symlink() {
        return Err(unusable(path, "it is a symbolic link"));
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(unusable(
            path,
            &format!(
                "it belongs to user {}, and this program runs as {me}",
                found.uid()
            ),
        ));
    }
    if found.mode() & 0o077 != 0 {
        return Err(unusable(
            path,
            &format!(
                "others can get at it; run `chmod {mode:o} {}`",
                path.display()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use procura_ledger::Hash;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn device() -> Device {
        Device {
            key: Arc::new(SigningKey::generate_ed25519(&SystemEntropy).unwrap()),
            uid: 1000,
            created: NOW,
            actor: ActorId::from_bytes([1; 32]),
            installation: InstallationId::from_bytes([2; 16]),
            url: "http://127.0.0.1:7310".to_owned(),
            ca_pem: None,
            state: DeviceState::Pending {
                code_sha256: "aa".to_owned(),
            },
        }
    }

    fn joined(device: &Device) -> Device {
        Device {
            state: DeviceState::Joined(Box::new(Membership {
                lineage: "alice//scribe".to_owned(),
                label: "scribe".parse().unwrap(),
                namespace: "main".parse().unwrap(),
                owner: ActorId::from_bytes([3; 32]),
                server_key: device.key.public().to_jwk(),
                ledger_vkey: "v".to_owned(),
                seen: Some(Seen {
                    size: 7,
                    root: Hash::from_bytes([4; 32]),
                }),
                revoked: None,
            })),
            ..device.clone()
        }
    }

    #[test]
    fn devices_read_back_private_and_whole() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("daemon");
        let store = DeviceStore::open(&dir).unwrap();
        let pending = device();
        store.save(&pending).unwrap();
        let path = store.path(&pending.thumbprint());
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        let loaded = store.load(NOW).unwrap();
        assert_eq!(loaded.len(), 1);
        assert!(loaded[0].membership().is_none());
        assert_eq!(loaded[0].thumbprint(), pending.thumbprint());

        store.save(&joined(&pending)).unwrap();
        let loaded = store.load(NOW).unwrap();
        let membership = loaded[0].membership().unwrap();
        assert_eq!(membership.lineage, "alice//scribe");
        assert_eq!(membership.seen.unwrap().size, 7);
        assert_eq!(loaded[0].key.public(), pending.key.public());
        assert!(loaded[0].key.to_secret_bytes() == pending.key.to_secret_bytes());
    }

    #[test]
    fn a_write_that_was_cut_off_harms_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("daemon");
        let store = DeviceStore::open(&dir).unwrap();
        let whole = device();
        store.save(&whole).unwrap();
        // As a crash between the write and the rename leaves it.
        let torn = store.path(&whole.thumbprint()).with_extension("tmp");
        std::fs::write(&torn, b"{\"format\":1,\"key").unwrap();
        let loaded = store.load(NOW).unwrap();
        assert_eq!(loaded.len(), 1);
        assert!(!torn.exists());
    }

    #[test]
    fn keys_that_never_joined_are_forgotten_after_a_day() {
        let home = tempfile::tempdir().unwrap();
        let store = DeviceStore::open(&home.path().join("daemon")).unwrap();
        let pending = device();
        let member = joined(&device());
        store.save(&pending).unwrap();
        store.save(&member).unwrap();
        let late = NOW.plus(PENDING_LIFE + Duration::from_millis(1));
        let loaded = store.load(late).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].thumbprint(), member.thumbprint());
        assert!(!store.path(&pending.thumbprint()).exists());
    }

    #[test]
    fn files_that_cannot_be_trusted_stop_the_daemon() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("daemon");
        let store = DeviceStore::open(&dir).unwrap();
        let one = device();
        let path = store.path(&one.thumbprint());
        let says = |part: &str| {
            let error = store.load(NOW).err().unwrap();
            assert!(matches!(error, DaemonError::Config(_)));
            assert!(error.to_string().contains(part), "{error}");
        };

        store.save(&one).unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        says("others can get at it; run `chmod 600");
        mode(0o600);

        let other = store.path(&device().thumbprint());
        std::fs::rename(&path, &other).unwrap();
        says("does not bear the name of its key");
        std::fs::rename(&other, &path).unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        says("its JSON does not fit at line");
        std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        says("newer version");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        says("symbolic link");
        std::fs::remove_file(&path).unwrap();

        let second = DeviceStore::open(&dir).err().unwrap();
        assert!(second.to_string().contains("another process uses"));
        drop(store);
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        let open = DeviceStore::open(&dir).err().unwrap();
        assert!(open.to_string().contains("run `chmod 700"));
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
        let above = |mode| {
            std::fs::set_permissions(home.path(), PermissionsExt::from_mode(mode)).unwrap();
            DeviceStore::open(&dir).map(drop)
        };
        for mode in [0o777, 0o770, 0o702] {
            let error = above(mode).unwrap_err();
            assert_eq!(error.exit(), procura_types::exit::CONFIG);
            assert_eq!(
                error.to_string(),
                format!(
                    "{0} cannot be used: others could replace the daemon's directory in it; run `chmod go-w {0}`",
                    home.path().display()
                )
            );
        }
        above(0o1777).unwrap();
        above(0o755).unwrap();
    }
}
