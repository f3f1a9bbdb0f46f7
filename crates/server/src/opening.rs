//! From a sealed vault to an open one: everything is checked before anything is
//! served.

use crate::app::{App, Open};
use crate::honey::{HoneyParts, HoneyWatch};
use crate::notify::{Notifier, NotifyParts};
use crate::server_id;
use crate::shared_guard::{self, Tombstones};
use crate::tokens::Tokens;
use crate::turns::Turns;
use crate::upkeep::{Upkeep, UpkeepParts};
use procura_cedar::{CedarDecider, Unusable};
use procura_identity::SigningKeys;
use procura_ledger::Entry;
use procura_policy::{Action, Decider, PolicyRefusal, Resource};
use procura_proof::foreign::ForeignVerifier;
use procura_proof::session::audience_key;
use procura_proof::{Guard, SessionKeys, Verifier};
use procura_record::{
    Directory, Events, Indexer, Lease, Others, Publisher, PublisherParts, RECOVERY, RecordReader,
    Recorder, Refusal, Retention, RetentionParts, Tiles, Turned,
};
use procura_store::guard::{JournalGuard, Of, SharedMemory, Start, boot_id};
use procura_store::{Batch, IoCause, StoreError};
use procura_types::wire::TokenType;
use procura_types::{Duration, Scope, Secret, TraceId};
use procura_vault::{SealError, Vault};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The lease of what one server does at a time.
const LEASE: &str = "own-work";

/// How long it is waited at the start for a checkpoint of several servers: longer than a
/// lease stands that nobody holds any more.
const FIRST_CHECKPOINT: Duration = Duration::from_secs(8);

/// The name that this machine gives itself (proc_sys_kernel(5)), for people who read a
/// list of servers.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Why an open vault cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// Keys.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The directory or the log.
    #[error(transparent)]
    Store(#[from] procura_store::StoreError),
    /// What was signed before and what is stored now differ, or files.
    #[error(transparent)]
    Publisher(#[from] procura_record::PublisherError),
    /// Entries.
    #[error(transparent)]
    Record(#[from] procura_record::RecordError),
    /// Formats.
    #[error(transparent)]
    Ledger(#[from] procura_ledger::LedgerError),
    /// Keys of signatures.
    #[error(transparent)]
    Key(#[from] procura_crypto::KeyError),
    /// The keys that sign tokens.
    #[error(transparent)]
    SigningKeys(#[from] procura_identity::IdentityError),
    /// The database that several servers share.
    #[error("{0}")]
    Database(String),
    /// The memory of used proofs.
    #[error("the replay guard: {0}")]
    Guard(String),
    /// Randomness.
    #[error(transparent)]
    Entropy(#[from] procura_types::EntropyError),
}

impl OpeningError {
    /// Why the database could not be made.
    pub(crate) fn database(error: crate::start::StartError) -> Self {
        Self::Database(error.to_string())
    }
}

/// Session roots for `proof`; they follow the vault when its root is rotated.
struct VaultSessions(Arc<Vault>);

impl SessionKeys for VaultSessions {
    fn accepts(&self, epoch: u32) -> bool {
        self.0.session_roots().get(epoch).is_some()
    }

    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        let roots = self.0.session_roots();
        roots.get(epoch).map(|root| audience_key(root, audience))
    }

    fn current(&self) -> Option<u32> {
        self.0.session_roots().newest().map(|(epoch, _)| epoch)
    }
}

/// The session keys of a vault, for issuing.
#[must_use]
pub(crate) fn session_keys(vault: &Arc<Vault>) -> Arc<dyn SessionKeys> {
    Arc::new(VaultSessions(Arc::clone(vault)))
}

/// Starts all services over an open vault. `found` runs once more than nothing:
/// it makes the first entries of a new installation before anything is published.
pub(crate) async fn open_services<F, E>(
    app: &App,
    vault: Arc<Vault>,
    start: Start,
    found: F,
) -> Result<Arc<Open>, E>
where
    F: AsyncFnOnce(&Recorder) -> Result<(), E>,
    E: From<OpeningError>,
{
    if let Some(stop) = app.config.danger_stop_at {
        tracing::warn!(
            step = stop.as_str(),
            "danger_stop_at: this server kills itself there"
        );
        vault.watch_steps(move |step| {
            if step == stop {
                die();
            }
        });
    }
    let parts = prepare(app, vault, start)?;
    if let Some(memory) = &parts.shared_guard {
        // Whatever comes of it is in the log: it can be sealed and looked at without.
        let _ = memory.settled().await;
    }
    found(&parts.recorder).await?;
    Ok(Arc::new(parts.finish(app).await?))
}

/// Ends the process as `kill -9` does: nothing is flushed, and nobody is told.
pub(crate) fn die() {
    // When the kernel will not, the test sees a server that goes on.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// The journal of a replay guard; opens it when nobody has.
pub(crate) fn guard(app: &App, of: Of, start: Start) -> Result<Arc<JournalGuard>, OpeningError> {
    app.guard(of, || {
        JournalGuard::open(
            &app.config.home,
            of,
            &boot_id(),
            start,
            of.limits(),
            app.clock.now(),
            app.entropy.as_ref(),
        )
        .map_err(|error| OpeningError::Guard(error.to_string()))
    })
}

/// Takes over what another server put in force, when the row of the installation has
/// changed. A server that was not told the new keys has to be sealed.
fn turned(app: &App, vault: &Arc<Vault>) -> Turned {
    let (vault, displaced) = (Arc::downgrade(vault), Arc::clone(&app.displaced));
    let told = AtomicBool::new(false);
    Box::new(move || {
        let Some(vault) = vault.upgrade() else {
            return Ok(());
        };
        match vault.take_over() {
            Ok(true) => {
                tracing::info!("another server changed what opens the vault; its keys are in use");
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(SealError::Store(error)) => Err(error),
            Err(error) => {
                // It is tried again until the vault is sealed.
                if !told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "what this server holds counts no more");
                }
                displaced.notify_one();
                Err(StoreError::Unavailable(IoCause::new(&error)))
            }
        }
    })
}

struct Parts {
    vault: Arc<Vault>,
    directory: Arc<Directory>,
    notices: Arc<Events>,
    policies: Arc<CedarDecider>,
    recorder: Recorder,
    verifier: Verifier,
    foreign: ForeignVerifier,
    shared_guard: Option<Arc<SharedMemory>>,
    others: Option<Others>,
    lease: Option<Arc<Lease>>,
}

fn prepare(app: &App, vault: Arc<Vault>, start: Start) -> Result<Parts, OpeningError> {
    let store = vault.store().clone();
    vault.check_server()?;
    let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    vault.describe_server(host.trim(), app.config.server_absent());
    let directory = Directory::load(&store)?;
    let turned = turned(app, &vault);
    let others = Others::start(&store, &directory, Vault::INSTALLATION, turned)?;
    let notices = Events::start(&store, &directory)?;
    let mut lease = None;
    if let Some(others) = &others {
        notices.beside(others);
        lease = Some(Lease::start(&store, LEASE, &app.clock, &app.entropy)?);
    }
    let policies = Arc::new(CedarDecider::new(store.clone()));
    let decider: Arc<dyn Decider> = policies.clone();
    let recorder = Recorder::new(
        store,
        Arc::clone(&directory),
        decider,
        Arc::clone(&app.clock),
        Arc::clone(&app.entropy),
    );
    let shared_guard = shared_guard::memory(app, vault.installation().id, start)?;
    let guard = |of: Of| match &shared_guard {
        Some(memory) => Ok(memory.guard(of, of.limits())),
        None => guard(app, of, start).map(Guard::from),
    };
    let native = guard(Of::Native)?;
    let verifier = Verifier::new(crate::AUDIENCE, native, session_keys(&vault))?;
    let foreign = ForeignVerifier::new(guard(Of::Foreign)?)?;
    Ok(Parts {
        vault,
        directory,
        notices,
        policies,
        recorder,
        verifier,
        foreign,
        shared_guard,
        others,
        lease,
    })
}

/// Puts into the record, as an alarm, that policies which are in force cannot be used, so
/// that somebody hears of it before the first agent is refused because of it.
fn tell_unusable(
    app: &App,
    recorder: &Recorder,
    unusable: Vec<Unusable>,
) -> Result<(), OpeningError> {
    for found in unusable {
        let now = app.clock.now();
        let trace = TraceId::generate(now, app.entropy.as_ref())?;
        let namespace = match found.scope {
            Scope::Installation => None,
            Scope::Namespace(namespace) => Some(namespace),
        };
        let resource = Resource::Policies(namespace.clone());
        let (action, reason) = (Action::PolicyState.as_str(), PolicyRefusal::Unusable);
        recorder.refuse(Refusal {
            namespace,
            resource: Some(format!("{resource} version:{}", found.version)),
            ..Refusal::of_nobody(action, reason.to_string(), now, "none", trace)
        });
    }
    Ok(())
}

impl Parts {
    async fn finish(self, app: &App) -> Result<Open, OpeningError> {
        let Self {
            vault,
            directory,
            notices,
            policies,
            recorder,
            verifier,
            foreign,
            shared_guard,
            others,
            lease,
        } = self;
        let store = vault.store().clone();
        let installation = vault.installation();
        let tiles = Tiles::new(
            &app.config.home,
            installation.id,
            vault.bundle_keys(),
            Arc::clone(&app.entropy),
        );
        let publishing = PublisherParts {
            store: store.clone(),
            tiles: tiles.clone(),
            keys: vault.ledger_keys(),
            clock: Arc::clone(&app.clock),
            entropy: Arc::clone(&app.entropy),
        };
        let publisher = match (&others, &lease) {
            (Some(others), Some(lease)) => {
                Publisher::start_beside(publishing, others, Arc::clone(lease)).await?
            }
            _ => Publisher::start(publishing).await?,
        };
        vault.join_servers(app.clock.as_ref()).await?;
        let home = vault.home_id().map(|home| home.to_string());
        let moved = app
            .spool
            .flush(
                &store,
                home.as_deref(),
                app.clock.as_ref(),
                app.entropy.as_ref(),
            )
            .await?;
        let refusals = app.refusals.record(
            &store,
            home.as_deref(),
            app.clock.as_ref(),
            app.entropy.as_ref(),
        );
        let moved = moved.saturating_add(refusals.await?);
        if moved > 0 {
            tracing::info!(
                entries = moved,
                "what happened while sealed is in the ledger now"
            );
        }
        if let Err(error) = vault.settle_root(app.clock.as_ref()).await {
            // Two roots harm nobody, and the upkeep tries again.
            tracing::warn!(%error, "what a change of passphrase left could not be put right");
        }
        let now = app.clock.now();
        let trace = TraceId::generate(now, app.entropy.as_ref())?;
        let by = vault.opened_by();
        let recovery = by.filter(|by| by.is_shares());
        let opened = Entry {
            resource: by.map(|by| Resource::UnsealSource(by.source.clone()).to_string()),
            reason: recovery.map(|_| RECOVERY.into()),
            ..Entry::new(now, app.entropy.as_ref(), "installation.unseal", trace)?
        };
        let recovery = recovery
            .map(|by| vault.recovery(&by.source, now))
            .transpose()?;
        let tell = |batch: &mut Batch| {
            if let Some(recovery) = &recovery {
                Vault::put_recovery(batch, recovery);
            }
        };
        recorder.opened(&opened, tell).await?;
        let unusable = policies.unusable(&directory.snapshot());
        tell_unusable(app, &recorder, unusable)?;
        let (clock, entropy) = (app.clock.as_ref(), app.entropy.as_ref());
        let projects = SigningKeys::open(&store, TokenType::Project, clock, entropy).await?;
        let agents = SigningKeys::open(&store, TokenType::Agent, clock, entropy).await?;
        let daemons = SigningKeys::open(&store, TokenType::Daemon, clock, entropy).await?;
        let issuer = app.public_url().to_owned();
        let keys = [agents, projects, daemons];
        let tokens = Tokens::new(keys, issuer, Arc::clone(&app.entropy));
        tracing::info!(installation = %installation.id, server = %server_id(&vault), "the vault is open");
        let tombstones = shared_guard.map(|memory| {
            Tombstones::start(memory, Arc::clone(&directory), Arc::clone(&app.clock))
        });
        let honey = HoneyWatch::start(HoneyParts {
            vault: Arc::clone(&vault),
            directory: Arc::clone(&directory),
            clock: Arc::clone(&app.clock),
            entropy: Arc::clone(&app.entropy),
        })?;
        let parts = NotifyParts {
            store: store.clone(),
            directory: Arc::clone(&directory),
            events: Arc::clone(&notices),
            clock: Arc::clone(&app.clock),
            entropy: Arc::clone(&app.entropy),
            lease: lease.clone(),
            counts: app.metrics.notifications(),
        };
        let notifier = Notifier::start(parts, &app.config, app.public_url());
        let upkeep = Upkeep::start(UpkeepParts {
            vault: Arc::clone(&vault),
            directory: Arc::clone(&directory),
            clock: Arc::clone(&app.clock),
            entropy: Arc::clone(&app.entropy),
            lease: lease.clone(),
            retention: Retention::new(RetentionParts {
                store: store.clone(),
                tiles: tiles.clone(),
                keys: vault.ledger_keys(),
                clock: Arc::clone(&app.clock),
                entropy: Arc::clone(&app.entropy),
                lease: lease.clone(),
            }),
            ceremony: Arc::clone(&app.ceremony),
        });
        if let Some(others) = &others {
            others.settled().await;
            // Clients that remember a checkpoint believe no server that shows none. When
            // the one that signed has just died, its successor is a while in coming.
            let first = publisher.covering(1);
            if tokio::time::timeout(FIRST_CHECKPOINT, first).await.is_err() {
                tracing::warn!("no server has signed the record yet");
            }
        }
        Ok(Open {
            vault,
            policies,
            recorder,
            directory,
            verifier,
            foreign,
            tokens,
            notices,
            indexer: Indexer::start(store.clone()),
            reader: RecordReader::new(store, tiles),
            publisher,
            upkeep,
            honey,
            notifier,
            turns: Turns::default(),
            tombstones,
            others,
            lease,
            since: now,
        })
    }
}

/// Whether the home holds an installation.
#[must_use]
pub fn is_initialised(home: &Path) -> bool {
    home.join("installation.json").exists()
}
