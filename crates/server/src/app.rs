//! What the server is at a moment: without an installation, sealed, or open.

use crate::admin::Gatherings;
use crate::agent_routes::AgentRoutes;
use crate::auto_unseal::AutoUnseal;
use crate::config::{Config, WebOrigin};
use crate::device_grants::WrongCodes;
use crate::events_log::EventsLog;
use crate::followers::Followers;
use crate::honey::HoneyWatch;
use crate::key_server::KeyServer;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::oauth::Oauth;
use crate::oidc::Oidc;
use crate::problem::{Code, Failure};
use crate::rates::Rates;
use crate::reloading::InForce;
use crate::shared_guard::Tombstones;
use crate::tokens::Tokens;
use crate::turns::Turns;
use crate::upkeep::Upkeep;
use crate::web_login::SignIns;
use crate::wrappers::{Places, Refusals, Wrappers};
use arc_swap::ArcSwap;
use procura_cedar::CedarDecider;
use procura_edge::tls::Certificate;
use procura_edge::trace::Tracer;
use procura_proof::Verifier;
use procura_proof::foreign::ForeignVerifier;
use procura_record::{
    Directory, Events, Indexer, Lease, Others, Publisher, RecordReader, Recorder, Spool,
};
use procura_store::Store;
use procura_store::guard::{JournalGuard, Of, SharedMemory};
use procura_types::{Clock, Duration, Entropy, Timestamp};
use procura_vault::{Installation, Vault};
use std::fs::File;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The services of an open vault. Requests hold it for as long as they run; when
/// the vault is sealed meanwhile, the store refuses them.
pub struct Open {
    /// Keys, namespaces, secrets.
    pub vault: Arc<Vault>,
    /// The way from permits to effects.
    pub recorder: Recorder,
    /// Who exists and what was granted.
    pub directory: Arc<Directory>,
    /// Checks proofs.
    pub verifier: Verifier,
    /// Checks proofs of other systems' profiles.
    pub foreign: ForeignVerifier,
    /// Makes tokens.
    pub tokens: Tokens,
    /// What happens, for those who follow.
    pub notices: Arc<Events>,
    /// Answers questions about the record.
    pub reader: RecordReader,
    /// Publishes tiles and checkpoints.
    pub publisher: Publisher,
    /// Keeps the index of the record.
    pub indexer: Indexer,
    /// Does what nobody waits for.
    pub upkeep: Upkeep,
    /// Decides by roles, grants and policies; the recorder asks the same one.
    pub policies: Arc<CedarDecider>,
    /// Notices who touches decoys.
    pub honey: HoneyWatch,
    /// Tells people where they are.
    pub notifier: Notifier,
    /// Whose turn it is to write in a namespace with a quota.
    pub turns: Turns,
    /// Tells a shared replay guard who is revoked.
    pub(crate) tombstones: Option<Tombstones>,
    /// Follows the other servers of a shared store, if there are any.
    pub others: Option<Others>,
    /// What lets this server do what one of several does at a time.
    pub lease: Option<Arc<Lease>>,
    /// When it was opened.
    pub since: Timestamp,
}

impl Open {
    /// Why nothing may be decided by what is in memory, if it is so: what other servers
    /// changed was last heard of longer ago than `most`.
    #[must_use]
    pub fn stale(&self, most: Duration) -> Option<String> {
        let age = self.others.as_ref()?.age();
        if age.is_some_and(|age| age <= most) {
            return None;
        }
        let since = age.map_or_else(
            || "nothing was heard yet".to_owned(),
            |age| format!("the last was heard {} s ago", age.as_secs()),
        );
        Some(format!(
            "What other servers change in the database is not heard of here: {since}, and {} s are the most. It goes on by itself when the database answers.",
            most.as_secs()
        ))
    }
}

/// Where the server stands.
#[derive(Clone)]
pub enum Stage {
    /// `init` has not been done.
    Uninitialised,
    /// The database is held and nothing can be read.
    Sealed(Store, Box<Installation>),
    /// All is open.
    Open(Arc<Open>),
}

/// All that requests share.
pub struct App {
    /// The configuration, as it was read at the start.
    pub config: Config,
    /// What of it can change while the server runs.
    pub(crate) in_force: InForce,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Counters for `/metrics`.
    pub metrics: Metrics,
    /// What happens while sealed.
    pub spool: Spool,
    stage: ArcSwap<Stage>,
    /// The lock of the home, released with the last request.
    _held: File,
    /// Places for large bodies.
    pub(crate) large_bodies: Arc<tokio::sync::Semaphore>,
    /// One backup is taken at a time.
    pub backups: Arc<tokio::sync::Semaphore>,
    /// One ceremony (init, unseal, seal, passphrase) at a time. Each that derives a
    /// key from a passphrase does so under this lock: Argon2id takes 64 MiB.
    pub ceremony: Arc<tokio::sync::Mutex<()>>,
    /// One passphrase is tried at a time, slowed down after wrong ones. Taken before
    /// `ceremony`, so that a slowed-down try keeps nobody from sealing.
    pub(crate) tries: tokio::sync::Mutex<()>,
    wrong_tries: AtomicU32,
    /// A daemon of CortexAuth is made one token at a time: programs that are started together
    /// discover together, and their client gives up on an answer that others were faster.
    pub(crate) legacy_issuing: tokio::sync::Mutex<()>,
    /// What somebody brings for a wrapper is tried one at a time as well, apart from
    /// passphrases: a wrapper that hangs keeps nobody from another source.
    pub(crate) wrapper_tries: tokio::sync::Mutex<()>,
    /// Tokens, chips and services that keep keys of unseal sources.
    pub(crate) wrappers: Wrappers,
    /// Where they are.
    pub(crate) places: Places,
    /// What they refused while the vault was sealed.
    pub(crate) refusals: Arc<Refusals>,
    /// How the vault opens by itself.
    pub(crate) auto_unseal: Arc<AutoUnseal>,
    /// Shares that are being brought.
    pub(crate) gatherings: Gatherings,
    api_url: std::sync::OnceLock<String>,
    certificate: std::sync::OnceLock<Arc<Certificate>>,
    guard: Held,
    foreign_guard: Held,
    shared_guard: Mutex<Option<Arc<SharedMemory>>>,
    /// Verifies proofs for other services.
    pub(crate) key_server: KeyServer,
    /// Enrols agents of other systems, and gives them sessions.
    pub(crate) agents: AgentRoutes,
    /// Lets devices ask that have no link code.
    pub(crate) oauth: Oauth,
    /// Who typed codes of such devices that there are not.
    pub(crate) wrong_codes: WrongCodes,
    /// What agents do to be let in, and who was refused.
    pub(crate) events: EventsLog,
    /// Traces requests, if it is configured.
    pub(crate) tracer: Tracer,
    /// Which gate follows which service.
    pub(crate) followers: Followers,
    /// How often it is asked, and by whom.
    pub(crate) rates: Rates,
    /// Who signs in by a password, and how fast.
    pub(crate) sign_ins: SignIns,
    /// The identity providers that people sign in by.
    pub(crate) oidc: Oidc,
    /// Told when another server changed what opens the vault and did not know of this
    /// one, or when this one was removed.
    pub(crate) displaced: Arc<tokio::sync::Notify>,
    /// Set once the server stops: nobody is to wait for news any more.
    pub(crate) stopping: tokio::sync::watch::Sender<bool>,
}

/// A replay guard, once it was opened.
type Held = Mutex<Option<Arc<JournalGuard>>>;

impl App {
    /// An application without an installation, on a home that `held` locks.
    #[must_use]
    pub fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        spool: Spool,
        held: File,
    ) -> Self {
        let metrics = Metrics::default();
        let wrappers = Wrappers::new(&clock, &entropy);
        let auto_unseal = Arc::new(AutoUnseal::of(&config.home));
        let places = Places::new(&config);
        let refusals = Arc::new(Refusals::new(&config.home, &metrics));
        Self {
            in_force: InForce::new(&config),
            rates: Rates::new(&config, clock.steady()),
            sign_ins: SignIns::new(&metrics),
            oidc: Oidc::new(&config),
            key_server: KeyServer::new(&config, &clock, &metrics),
            agents: AgentRoutes::new(&config, &clock, &metrics),
            oauth: Oauth::new(&config, clock.steady()),
            wrong_codes: WrongCodes::default(),
            events: EventsLog::new(&config, &clock, &metrics),
            tracer: crate::traces::tracer(&config, &clock, &entropy, &metrics),
            config,
            clock,
            entropy,
            metrics,
            spool,
            stage: ArcSwap::from_pointee(Stage::Uninitialised),
            _held: held,
            large_bodies: Arc::new(tokio::sync::Semaphore::new(crate::serve::LARGE_BODIES)),
            backups: Arc::new(tokio::sync::Semaphore::new(1)),
            ceremony: Arc::default(),
            tries: tokio::sync::Mutex::new(()),
            wrong_tries: AtomicU32::new(0),
            legacy_issuing: tokio::sync::Mutex::new(()),
            wrapper_tries: tokio::sync::Mutex::new(()),
            wrappers,
            places,
            refusals,
            auto_unseal,
            gatherings: Gatherings::default(),
            api_url: std::sync::OnceLock::new(),
            certificate: std::sync::OnceLock::new(),
            guard: Mutex::default(),
            foreign_guard: Mutex::default(),
            shared_guard: Mutex::default(),
            followers: Followers::default(),
            displaced: Arc::default(),
            stopping: tokio::sync::watch::Sender::new(false),
        }
    }

    /// A replay guard, opened once: it outlives a seal, since requests of the time
    /// before may still hold it and its journal has one writer.
    pub fn guard<E>(
        &self,
        of: Of,
        open: impl FnOnce() -> Result<JournalGuard, E>,
    ) -> Result<Arc<JournalGuard>, E> {
        let held = match of {
            Of::Native => &self.guard,
            Of::Foreign => &self.foreign_guard,
        };
        let mut guard = held.lock().unwrap_or_else(PoisonError::into_inner);
        match guard.as_ref() {
            Some(guard) => Ok(Arc::clone(guard)),
            None => Ok(Arc::clone(guard.insert(Arc::new(open()?)))),
        }
    }

    /// The memory of a shared replay guard, connected once: it outlives a seal as well.
    pub(crate) fn shared_guard<E>(
        &self,
        start: impl FnOnce() -> Result<Arc<SharedMemory>, E>,
    ) -> Result<Arc<SharedMemory>, E> {
        let mut held = self
            .shared_guard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match held.as_ref() {
            Some(memory) => Ok(Arc::clone(memory)),
            None => Ok(Arc::clone(held.insert(start()?))),
        }
    }

    /// Why nobody can be let in by the shared replay guard, if there is one.
    pub(crate) fn shared_guard_problem(&self) -> Option<String> {
        let held = self
            .shared_guard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.as_ref()?.problem()
    }

    /// How many used proofs the replay guards remember that were opened; nothing of one
    /// that is being opened.
    pub(crate) fn nonces_held(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let guards = [("native", &self.guard), ("foreign", &self.foreign_guard)];
        guards.into_iter().filter_map(|(name, held)| {
            let guard = held.try_lock().ok()?.clone()?;
            Some((name, guard.nonces()))
        })
    }

    /// Where the server stands now.
    #[must_use]
    pub fn stage(&self) -> Arc<Stage> {
        self.stage.load_full()
    }

    /// Moves on.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(Arc::new(stage));
    }

    /// The open vault, or why there is none.
    pub fn open(&self) -> Result<Arc<Open>, Failure> {
        match self.stage.load().as_ref() {
            Stage::Open(open) => match open.stale(self.config.max_stale()) {
                None => Ok(Arc::clone(open)),
                Some(why) => Err(Failure::new(Code::StoreUnavailable, why).with_reason("stale")),
            },
            Stage::Sealed(..) => Err(Failure::new(
                Code::Sealed,
                "The vault is sealed: an operator types `procura unseal` on the server's machine.",
            )),
            Stage::Uninitialised => Err(Failure::new(
                Code::NotInitialised,
                "This home holds no installation yet: type `procura init`.",
            )),
        }
    }

    /// What `installation.json` says.
    pub(crate) fn installation(&self) -> Result<Installation, Failure> {
        match self.stage.load().as_ref() {
            Stage::Open(open) => Ok(open.vault.installation()),
            Stage::Sealed(_, installation) => Ok(Installation::clone(installation)),
            Stage::Uninitialised => Err(procura_vault::SealError::NotInitialised.into()),
        }
    }

    /// Refused tries to open the vault since the last right one.
    #[must_use]
    pub fn wrong_tries(&self) -> u32 {
        self.wrong_tries.load(Ordering::Relaxed)
    }

    /// Counts a refused try and says how many seconds the next try waits.
    pub fn count_wrong_try(&self) -> u64 {
        let count = self
            .wrong_tries
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        crate::admin::penalty(count).as_secs()
    }

    /// Forgets the wrong ones.
    pub fn forgive(&self) {
        self.wrong_tries.store(0, Ordering::Relaxed);
    }

    /// Whether an authority (`host[:port]`, lower case) is one of this server's.
    #[must_use]
    pub fn is_own_authority(&self, authority: &str) -> bool {
        let named = |url: &str| {
            url.split_once("://")
                .is_some_and(|(_, rest)| rest.trim_end_matches('/') == authority)
        };
        if [
            self.api_url.get().map(String::as_str),
            self.config.public_url.as_deref(),
            self.config.web.origin.as_ref().map(WebOrigin::as_str),
        ]
        .into_iter()
        .flatten()
        .any(named)
        {
            return true;
        }
        // On loopback a name for this machine with the right port is as good.
        let port = self
            .api_url
            .get()
            .and_then(|url| url.rsplit(':').next())
            .unwrap_or_default();
        self.config.listen.ip().is_loopback()
            && ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
                authority
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix(':'))
                    == Some(port)
            })
    }

    /// The URL that link codes carry.
    #[must_use]
    pub fn public_url(&self) -> &str {
        self.config
            .public_url
            .as_deref()
            .or_else(|| self.api_url.get().map(String::as_str))
            .unwrap_or("")
    }

    /// Where browsers find the pages, as they write it. On this machine by a name, since
    /// no passkey is bound to an address.
    #[must_use]
    pub fn web_origin(&self) -> String {
        if let Some(origin) = &self.config.web.origin {
            return origin.as_str().to_owned();
        }
        let url = self.public_url().trim_end_matches('/');
        let own = self.config.public_url.is_none() && self.config.listen.ip().is_loopback();
        match (own, url.split_once("://"), url.rsplit_once(':')) {
            (true, Some((scheme, _)), Some((_, port))) => format!("{scheme}://localhost:{port}"),
            _ => url.to_owned(),
        }
    }

    /// Learns what TLS is served with.
    pub(crate) fn set_certificate(&self, certificate: Arc<Certificate>) {
        // Set once at start, as the address is.
        let _ = self.certificate.set(certificate);
    }

    /// What TLS is served with, if it is.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.get().map(Arc::as_ref)
    }

    /// Learns the address once the listener has one.
    pub fn set_api_url(&self, url: String) {
        // Set once at start; a second call would change nothing.
        let _ = self.api_url.set(url);
    }
}
