//! The replay guard that this server shares with gates, if one is configured: who was
//! used up where, and who was revoked.

use crate::app::App;
use crate::config::Config;
use crate::opening::OpeningError;
use crate::start::StartError;
use procura_directory::{Change, Snapshot};
use procura_edge::private_file::read_private_file;
use procura_record::{Directory, Running, Stopping};
use procura_store::guard::{GuardServer, Of, SharedMemory, Sharing, Start, journal_files};
use procura_types::{
    ActorId, Clock, Duration, GuardGeneration, InstallationId, Secret, Thumbprint, Timestamp,
};
use std::collections::HashSet;
use std::sync::Arc;

/// How long tombstones are kept: longer than a gate may go by what it last heard of the
/// directory (an hour at most), and than any session lasts.
const KEPT: Duration = Duration::from_secs(2 * 60 * 60);
/// How long to wait before tombstones that could not be put up are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The server of the configuration, with its password.
fn server(config: &Config) -> Result<Option<GuardServer>, StartError> {
    let Some(url) = config.guard_server()? else {
        return Ok(None);
    };
    let failed = |problem: String| StartError::Guard(format!("guard_password_file: {problem}"));
    let password = match &config.guard_password_file {
        Some(path) => {
            let bytes = read_private_file(path, rustix::process::getuid().as_raw())
                .map_err(|error| failed(error.to_string()))?;
            let text = std::str::from_utf8(bytes.expose())
                .map_err(|_| failed(format!("{} is not UTF-8", path.display())))?;
            let line = text.lines().next().unwrap_or_default();
            Some(Secret::new(line.to_owned()))
        }
        None => None,
    };
    Ok(Some(GuardServer { url, password }))
}

/// Looks at the start whether the guard of the configuration is fit to be one. One that
/// is not reached may come yet: until then nobody is let in.
pub(crate) async fn check(config: &Config) -> Result<(), StartError> {
    let Some(server) = server(config)? else {
        return Ok(());
    };
    match SharedMemory::check(&server).await {
        Ok(()) => Ok(()),
        Err(fault) if fault.is_passing() => {
            tracing::warn!(%fault, "nobody is let in until it is");
            Ok(())
        }
        Err(fault) => Err(StartError::Guard(fault.to_string())),
    }
}

/// The memory that is shared, connected once; none when none is configured. What the
/// journals of this home know counts as lost with them: they go.
pub(crate) fn memory(
    app: &App,
    installation: InstallationId,
    start: Start,
) -> Result<Option<Arc<SharedMemory>>, OpeningError> {
    let failed = |error: &dyn std::fmt::Display| OpeningError::Guard(error.to_string());
    let Some(server) = server(&app.config).map_err(|error| failed(&error))? else {
        return Ok(None);
    };
    let retires = [Of::Native, Of::Foreign].map(|of| journal_files(&app.config.home, of));
    let memory = app.shared_guard(|| {
        SharedMemory::start(
            Sharing {
                server,
                installation,
                first: start == Start::FirstEver,
                retires: retires.into_iter().flatten().collect(),
            },
            Arc::clone(&app.clock),
            Arc::clone(&app.entropy),
        )
    });
    memory.map(Some).map_err(|error| failed(&error))
}

/// Puts up tombstones of who is revoked, so that a gate that has not heard of it yet is
/// told by the guard. It ends when this is dropped.
pub(crate) struct Tombstones(Running);

impl Tombstones {
    /// Begins at once. Must be called inside a Tokio runtime.
    pub(crate) fn start(
        memory: Arc<SharedMemory>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let work = Work {
            memory,
            directory,
            clock,
            known: None,
            due: Revoked::default(),
        };
        Self(Running::start(|stopping| work.run(stopping)))
    }

    /// Stops; on return it holds the directory no longer.
    pub(crate) async fn stop(&self) {
        self.0.stop().await;
    }
}

/// Who was revoked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Revoked {
    devices: HashSet<Thumbprint>,
    actors: HashSet<ActorId>,
}

impl Revoked {
    /// All who were since `from`.
    fn since(snapshot: &Snapshot, from: Timestamp) -> Self {
        let mut all = Self::default();
        for actor in snapshot.actors() {
            all.actor(actor.id, actor.revoked, from);
            for device in snapshot.devices_of(&actor.id) {
                all.device(device.thumbprint, device.revoked, from);
            }
        }
        all
    }

    /// Adds those of some changes who were.
    fn add(&mut self, changes: &[Change], from: Timestamp) {
        for change in changes {
            match change {
                Change::Actor(actor) => self.actor(actor.id, actor.revoked, from),
                Change::Device(device) => self.device(device.thumbprint, device.revoked, from),
                _ => {}
            }
        }
    }

    fn actor(&mut self, id: ActorId, revoked: Option<Timestamp>, from: Timestamp) {
        if revoked.is_some_and(|revoked| revoked >= from) {
            self.actors.insert(id);
        }
    }

    fn device(&mut self, id: Thumbprint, revoked: Option<Timestamp>, from: Timestamp) {
        if revoked.is_some_and(|revoked| revoked >= from) {
            self.devices.insert(id);
        }
    }

    fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.actors.is_empty()
    }
}

struct Work {
    memory: Arc<SharedMemory>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    /// The state of the directory that was looked at, and the generation that has all
    /// tombstones of then but those that are due.
    known: Option<(u64, Option<GuardGeneration>)>,
    due: Revoked,
}

impl Work {
    async fn run(mut self, mut stopping: Stopping) {
        loop {
            let put_up = self.put_up().await;
            let (seq, generation) = self.known.unwrap_or_default();
            tokio::select! {
                () = self.directory.moved(seq) => {}
                () = self.memory.begun(generation), if put_up => {}
                () = tokio::time::sleep(AGAIN), if !put_up => {}
                () = stopping.told() => return,
            }
        }
    }

    /// Whether all that is due is up now.
    async fn put_up(&mut self) -> bool {
        let snapshot = self.directory.snapshot();
        let now = self.clock.now().as_millis();
        let kept = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
        let from = Timestamp::from_millis(now.saturating_sub(kept));
        let current = self.memory.generation();
        let changes = match self.known {
            Some((seq, generation)) if generation == current => {
                self.directory.changes(seq, &snapshot)
            }
            _ => None,
        };
        match changes {
            Some(changes) => self.due.add(&changes, from),
            None => self.due = Revoked::since(&snapshot, from),
        }
        self.known = Some((snapshot.seq(), current));
        if self.due.is_empty() {
            return true;
        }
        let devices: Vec<_> = self.due.devices.iter().copied().collect();
        let actors: Vec<_> = self.due.actors.iter().copied().collect();
        match self
            .memory
            .bury(&devices, &actors, snapshot.seq(), KEPT)
            .await
        {
            // Those of a generation that began meanwhile are not all up in it.
            Ok(generation) if Some(generation) != current => {
                self.known = None;
                false
            }
            Ok(_) => {
                self.due = Revoked::default();
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SigningKey;
    use procura_crypto::SystemEntropy;
    use procura_directory::{ActorKind, ActorRecord, DeviceRecord};
    use procura_types::Alg;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    #[test]
    fn who_was_revoked_lately() {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let actor = |byte, revoked| {
            Change::Actor(ActorRecord {
                id: ActorId::from_bytes([byte; 32]),
                kind: ActorKind::Owner {
                    name: "alice".parse().unwrap(),
                    alg: Alg::P256,
                    root_key: key.public().clone(),
                },
                owner: ActorId::from_bytes([byte; 32]),
                created: NOW,
                revoked,
                sources: Vec::new(),
                display_name: None,
            })
        };
        let device = |byte, actor, revoked| {
            Change::Device(DeviceRecord {
                thumbprint: Thumbprint::from_bytes([byte; 32]),
                actor: ActorId::from_bytes([actor; 32]),
                key: key.public().clone(),
                created: NOW,
                revoked,
            })
        };
        let long_ago = Timestamp::from_millis(NOW.as_millis() - 1);
        let changes = [
            actor(1, None),
            actor(2, Some(NOW)),
            actor(3, Some(long_ago)),
            device(4, 1, None),
            device(5, 1, Some(NOW)),
            device(6, 2, Some(long_ago)),
        ];
        let mut added = Revoked::default();
        added.add(&changes, NOW);
        let snapshot = Snapshot::default().apply(3, changes);
        let all = Revoked::since(&snapshot, NOW);
        assert_eq!(added, all);
        assert_eq!(all.actors, [ActorId::from_bytes([2; 32])].into());
        assert_eq!(all.devices, [Thumbprint::from_bytes([5; 32])].into());
        assert!(!all.is_empty() && Revoked::default().is_empty());
    }
}
