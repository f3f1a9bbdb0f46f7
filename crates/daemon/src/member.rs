//! A device in use: its server, and what this host knows of that server's
//! record.

use crate::attesting::Attestor;
use crate::device::DeviceState;
use crate::{Connect, DaemonError, Device, DeviceStore, Membership, Server, checkpoint};
use procura_client::Attests;
use procura_crypto::PublicKey;
use procura_ledger::Seen;
use procura_types::{InstallationId, Label, Namespace, Thumbprint, Timestamp};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old a look at the record may be.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// A device that has joined, and the way to its server.
pub(crate) struct Member {
    pub(crate) device: Device,
    pub(crate) membership: Membership,
    /// The thumbprint of the key that its server proved to hold.
    pub(crate) pinned: Thumbprint,
    pub(crate) server: Arc<dyn Server>,
    pub(crate) attestor: Arc<Attestor>,
    record: tokio::sync::Mutex<Record>,
    revoked: Mutex<Option<Timestamp>>,
}

/// Which agent a device is of, in words that outlive a revocation: a label
/// names one agent of its namespace at a time, so that whoever joins later
/// under it has taken the place of those before.
///
/// Installation, namespace and label are a server's words, and any user of this host may
/// bring a server of their own. So a place is one user's, at the one server that proved to
/// hold the pinned key: nobody else's words reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place<'a> {
    namespace: &'a Namespace,
    label: &'a Label,
    installation: &'a InstallationId,
    pinned: &'a Thumbprint,
    uid: u32,
}

impl Place<'_> {
    /// Whether people call both the same.
    pub(crate) fn is_called_as(&self, other: &Self) -> bool {
        (self.namespace, self.label) == (other.namespace, other.label)
    }
}

/// Whose devices are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Users {
    /// This user's.
    One(u32),
    /// Everybody's.
    All,
}

impl Users {
    pub(crate) fn include(self, uid: u32) -> bool {
        match self {
            Self::One(user) => user == uid,
            Self::All => true,
        }
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(uid) => write!(f, "user {uid}"),
            Self::All => f.write_str("anybody"),
        }
    }
}

/// What this host knows of the record.
struct Record {
    seen: Option<Seen>,
    /// The key that signs it, once it is another than the one of the membership.
    vkey: Option<String>,
    /// When it was looked at, and in which session.
    checked: Option<(Instant, u64)>,
    /// The device's file was removed; nothing writes it again.
    forgotten: bool,
}

impl Member {
    /// Finds the way to the server of a device that has joined.
    pub(crate) fn new(
        device: Device,
        connect: &dyn Connect,
        attestor: Attestor,
    ) -> Result<Self, DaemonError> {
        let DeviceState::Joined(membership) = device.state.clone() else {
            return Err(DaemonError::Config("the device has not joined".to_owned()));
        };
        let pinned = PublicKey::from_jwk(&membership.server_key)
            .map_err(|_| DaemonError::Config("the key of its server cannot be read".to_owned()))?
            .thumbprint();
        let attestor = Arc::new(attestor);
        let attests: Arc<dyn Attests> = Arc::<Attestor>::clone(&attestor);
        let server = connect.attested_server(&device, attests)?;
        let record = tokio::sync::Mutex::new(Record {
            seen: membership.seen,
            vkey: None,
            checked: None,
            forgotten: false,
        });
        Ok(Self {
            device,
            revoked: Mutex::new(membership.revoked),
            membership: *membership,
            pinned,
            server,
            attestor,
            record,
        })
    }

    /// When the server was heard to call the device revoked.
    pub(crate) fn revoked(&self) -> Option<Timestamp> {
        *self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps, also on disk, whether the server calls the device revoked. A mark
    /// that cannot be written is no reason to answer otherwise: the server says
    /// it again.
    pub(crate) async fn mark_revoked(&self, when: Option<Timestamp>, store: &DeviceStore) {
        if self.revoked().is_some() == when.is_some() {
            return;
        }
        let record = self.record.lock().await;
        *self.revoked.lock().unwrap_or_else(PoisonError::into_inner) = when;
        if record.forgotten {
            return;
        }
        if let Err(error) = store.save(&self.with_seen(record.vkey.as_ref(), record.seen)) {
            tracing::warn!(%error, "cannot remember whether a device is revoked");
        }
    }

    /// Removes the device's file. Calls that are under way end as they would.
    pub(crate) async fn forget(&self, store: &DeviceStore) -> Result<(), DaemonError> {
        let mut record = self.record.lock().await;
        store.remove(&self.device.thumbprint())?;
        record.forgotten = true;
        Ok(())
    }

    /// Which agent it is of.
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            namespace: &self.membership.namespace,
            label: &self.membership.label,
            installation: &self.device.installation,
            pinned: &self.pinned,
            uid: self.device.uid,
        }
    }

    /// `namespace/label`, for people who have to choose.
    pub(crate) fn long_label(&self) -> String {
        format!("{}/{}", self.membership.namespace, self.membership.label)
    }

    pub(crate) fn is_called(&self, agent: &str) -> bool {
        agent == self.membership.label.as_str()
            || agent == self.long_label()
            || agent == self.device.thumbprint().to_string()
    }

    /// The next use of the device looks at the record first.
    pub(crate) async fn look_again(&self) {
        self.record.lock().await.checked = None;
    }

    /// Refuses a server whose record lacks what was seen of it before. Looked
    /// at when the daemon starts to use a device, in each new session, after the
    /// server was gone, and once a minute.
    pub(crate) async fn check_record(&self, store: &DeviceStore) -> Result<(), DaemonError> {
        let mut record = self.record.lock().await;
        let session = self.server.session().await?;
        if record
            .checked
            .is_some_and(|(when, number)| number == session && when.elapsed() < CHECK_EVERY)
        {
            return Ok(());
        }
        let vkey = record.vkey.as_ref().unwrap_or(&self.membership.ledger_vkey);
        let (seen, key) = checkpoint::check(self.server.as_ref(), vkey, record.seen).await?;
        if let Some(key) = key {
            tracing::info!(%key, "the record is signed with another key, which the one before vouches for");
            record.vkey = Some(key.clone());
            if record.forgotten {
                store.save(&self.with_seen(record.vkey.as_ref(), None))?;
            } else {
                store.save(&self.with_seen(record.vkey.as_ref(), Some(seen)))?;
                record.seen = Some(seen);
            }
        }
        if record.seen != Some(seen) && !record.forgotten {
            store.save(&self.with_seen(record.vkey.as_ref(), Some(seen)))?;
            record.seen = Some(seen);
        }
        record.checked = Some((Instant::now(), session));
        Ok(())
    }

    /// Forgets what was seen of the record: the next look remembers what is
    /// there then.
    pub(crate) async fn danger_forget_record(
        &self,
        store: &DeviceStore,
    ) -> Result<(), DaemonError> {
        let mut record = self.record.lock().await;
        if !record.forgotten {
            store.save(&self.with_seen(record.vkey.as_ref(), None))?;
        }
        tracing::warn!(agent = %self.membership.lineage, "danger_accept_rollback: what was seen of the record is forgotten");
        record.seen = None;
        record.checked = None;
        Ok(())
    }

    fn with_seen(&self, vkey: Option<&String>, seen: Option<Seen>) -> Device {
        let known = &self.membership.ledger_vkey;
        let membership = Membership {
            ledger_vkey: vkey.unwrap_or(known).clone(),
            seen,
            revoked: self.revoked(),
            ..self.membership.clone()
        };
        Device {
            state: DeviceState::Joined(Box::new(membership)),
            ..self.device.clone()
        }
    }
}
