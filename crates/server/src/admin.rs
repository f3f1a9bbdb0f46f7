//! Ceremonies on the admin socket: init, unseal, passphrase. Nothing else can
//! pose as the server there and collect a passphrase: the socket lies in the
//! server's own directory.

use crate::app::{App, Open, Stage};
use crate::opening::{OpeningError, open_services};
use crate::problem::{Code, Failure};
use crate::serve::{Arrived, Input, Reply, SMALL_BODY, read};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use procura_identity::InstallationInit;
use procura_ledger::{Decision, Entry};
use procura_policy::authorize;
use procura_proof::Caller;
use procura_record::{Origin, Recorder};
use procura_store::guard::Start;
use procura_store::{SqliteOptions, Store};
use procura_types::wire::{InitAnswer, InitRequest, PassphraseChange, Status, UnsealRequest};
use procura_types::{Duration, FieldTuple, InstallationId, Namespace, Secret, TraceId};
use procura_vault::{Installation, SealError, Vault};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The namespace that `init` makes.
pub const FIRST_NAMESPACE: &str = "default";

/// How long the next try waits after so many wrong passphrases: 1, 2, 4 … 60 s.
#[must_use]
pub fn penalty(wrong: u32) -> Duration {
    Duration::from_secs(
        1u64.checked_shl(wrong.saturating_sub(1))
            .unwrap_or(60)
            .min(60),
    )
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        let code = match &error {
            SealError::WrongPassphrase => Code::WrongPassphrase,
            SealError::WeakPassphrase => Code::WeakPassphrase,
            SealError::Initialised => Code::AlreadyInitialised,
            SealError::NotInitialised => Code::NotInitialised,
            SealError::Damaged(_) | SealError::KeyringMismatch | SealError::Unseal(_) => {
                Code::Damaged
            }
            _ => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<OpeningError> for Failure {
    fn from(error: OpeningError) -> Self {
        match error {
            OpeningError::Seal(error) => error.into(),
            OpeningError::Publisher(procura_record::PublisherError::RolledBack { .. })
            | OpeningError::Store(procura_store::StoreError::Corrupt { .. }) => {
                Self::new(Code::Damaged, error.to_string()).because(error)
            }
            other => Self::internal(other),
        }
    }
}

async fn input(app: &App, request: Request) -> Result<Input, Failure> {
    let now = app.clock.now();
    let arrived = Arrived {
        request,
        trace: TraceId::generate(now, app.entropy.as_ref()).map_err(Failure::internal)?,
        peer: None,
        now,
        progress: Arc::default(),
    };
    read(app, arrived, SMALL_BODY).await
}

fn answer(result: Result<Reply, Failure>, app: &App) -> Response {
    let trace = TraceId::generate(app.clock.now(), app.entropy.as_ref())
        .unwrap_or(TraceId::from_bytes([0; 16]));
    match result {
        Ok(reply) => reply.into_response(trace, None),
        Err(failure) => failure.into_response_for(trace),
    }
}

/// The caller that the socket stands for: the listener let in only the server's
/// own user and root.
fn socket_caller(app: &App) -> Result<Caller, Failure> {
    let uid = rustix::process::getuid().as_raw();
    Caller::admin_socket(uid, uid, app.clock.now()).map_err(Failure::internal)
}

/// Runs a ceremony to its end, whoever stays to hear of it. One that is given up
/// midway would leave keys in the memory of a server that says it is sealed, and a
/// wrong passphrase uncounted.
async fn to_the_end<T: Send + 'static>(
    ceremony: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(ceremony).await.map_err(Failure::internal)?
}

/// Makes an installation in the home of `app`, which must be uninitialised.
pub async fn init(app: &App, request: InitRequest, trace: TraceId) -> Result<InitAnswer, Failure> {
    let _one = app.ceremony.lock().await;
    if !matches!(app.stage().as_ref(), Stage::Uninitialised) {
        return Err(SealError::Initialised.into());
    }
    let root_key = procura_crypto::PublicKey::from_jwk(&request.root_key).map_err(|error| {
        let malformed = procura_types::Malformed::new("root_key", "is no P-256 public key");
        Failure::from(malformed).because(error)
    })?;
    let message = FieldTuple::new("procura.init.v1").bytes(root_key.thumbprint().as_bytes());
    if root_key.algorithm() != procura_crypto::SignatureAlgorithm::EcdsaP256Sha256
        || !root_key.verify(message.as_bytes(), &request.signature)
    {
        return Err(Failure::new(
            Code::SignatureRefused,
            "The request is not signed by the P-256 root key that it brings.",
        ));
    }
    let now = app.clock.now();
    let id = InstallationId::generate(now, app.entropy.as_ref()).map_err(Failure::internal)?;
    let (home, clock, entropy) = (
        app.config.home.clone(),
        Arc::clone(&app.clock),
        Arc::clone(&app.entropy),
    );
    let options = store_options(app);
    let passphrase = request.passphrase;
    // Argon2id and the files take their time; the async threads go on.
    let made = tokio::task::spawn_blocking(move || -> Result<_, OpeningError> {
        discard_unestablished(&home)?;
        let store = Store::create(
            &home.join(DATABASE),
            &id,
            &options,
            Arc::clone(&clock),
            Arc::clone(&entropy),
        )
        .map_err(SealError::from)?;
        Ok(Vault::found(
            &home,
            store,
            id,
            &passphrase,
            clock.as_ref(),
            entropy,
        )?)
    })
    .await
    .map_err(Failure::internal)?;
    let (vault, founding) = made?;
    let vault = Arc::new(vault);
    let caller = socket_caller(app)?;
    let owner = procura_crypto::owner_id(procura_types::Alg::P256, root_key.as_bytes());
    let first: Namespace = FIRST_NAMESPACE.parse().map_err(Failure::from)?;
    let open = open_services(
        app,
        Arc::clone(&vault),
        Start::FirstEver,
        async |recorder: &Recorder| -> Result<(), Failure> {
            let snapshot = recorder.directory().snapshot();
            let op = InstallationInit {
                owner: request.owner,
                root_key,
            };
            let permit = authorize(recorder.decider(), &snapshot, caller, op, now)
                .map_err(|(denied, _, _)| Failure::internal(denied))?;
            recorder
                .change(
                    permit,
                    &Origin::new(trace),
                    |batch| -> Result<(), Failure> {
                        vault.put_founding(batch, &founding)?;
                        let steward = InstallationInit::run(batch, now)?;
                        vault.create_namespace(
                            batch,
                            &first,
                            &steward.actor_id,
                            &steward.roles,
                            now,
                        )?;
                        Ok(())
                    },
                )
                .await?;
            vault.establish()?;
            Ok(())
        },
    )
    .await?;
    let installation = vault.installation();
    app.set_stage(Stage::Open(open));
    Ok(InitAnswer {
        installation: installation.id,
        owner,
        server_key: installation.server_key,
        ledger_vkey: installation.ledger_vkey,
    })
}

/// The database in the home.
pub const DATABASE: &str = "procura.db";

/// How the store is opened, from the configuration.
#[must_use]
pub fn store_options(app: &App) -> SqliteOptions {
    SqliteOptions {
        cache_bytes: app.config.cache_megabytes.saturating_mul(1024 * 1024),
        ..SqliteOptions::default()
    }
}

/// Removes what an `init` left that did not come to its end: without
/// `installation.json` nothing opens it, and nothing in it was acknowledged.
fn discard_unestablished(home: &Path) -> Result<(), SealError> {
    let entries = fs::read_dir(home).map_err(|cause| SealError::Io {
        what: "reading the home",
        cause,
    })?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(DATABASE) {
            fs::remove_file(entry.path()).map_err(|cause| SealError::Io {
                what: "removing an unfinished database",
                cause,
            })?;
        }
    }
    match fs::remove_dir_all(home.join("ledger")) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(SealError::Io {
            what: "removing an unfinished ledger",
            cause,
        }),
        _ => Ok(()),
    }
}

/// Waits for the turn of a passphrase: one is tried at a time, and after wrong ones
/// the next try is slowed down. Nothing but tries wait here: whoever seals must not
/// wait for somebody who guesses.
async fn turn(app: &App) -> tokio::sync::MutexGuard<'_, ()> {
    let turn = app.tries.lock().await;
    if app.wrong_passphrases() > 0 {
        tokio::time::sleep(penalty(app.wrong_passphrases())).await;
    }
    turn
}

/// Opens the vault with a passphrase. Wrong ones are counted, recorded, and slow
/// the next try down.
pub async fn unseal(app: &App, passphrase: Secret<String>) -> Result<Arc<Open>, Failure> {
    // Where there is nothing to try, nobody waits for a turn.
    match app.stage().as_ref() {
        Stage::Open(open) => return Ok(Arc::clone(open)),
        Stage::Uninitialised => return Err(SealError::NotInitialised.into()),
        Stage::Sealed(..) => {}
    }
    let _turn = turn(app).await;
    let _one = app.ceremony.lock().await;
    let (store, installation) = match app.stage().as_ref() {
        Stage::Open(open) => return Ok(Arc::clone(open)),
        Stage::Uninitialised => return Err(SealError::NotInitialised.into()),
        Stage::Sealed(store, installation) => (store.clone(), Installation::clone(installation)),
    };
    let (home, entropy, sealable) = (
        app.config.home.clone(),
        Arc::clone(&app.entropy),
        store.clone(),
    );
    let opened = tokio::task::spawn_blocking(move || {
        Vault::unseal(&home, store, installation, &passphrase, entropy)
    })
    .await
    .map_err(Failure::internal)?;
    let vault = match opened {
        Ok(vault) => Arc::new(vault),
        Err(SealError::WrongPassphrase) => return Err(wrong_passphrase(app)),
        Err(error) => return Err(error.into()),
    };
    let opened: Result<Arc<Open>, OpeningError> =
        open_services(app, vault, Start::Again, async |_: &Recorder| Ok(())).await;
    match opened {
        Ok(open) => {
            app.forgive();
            app.set_stage(Stage::Open(Arc::clone(&open)));
            Ok(open)
        }
        Err(error) => {
            // What cannot be served must not stay open.
            sealable.seal();
            Err(error.into())
        }
    }
}

fn wrong_passphrase(app: &App) -> Failure {
    let seconds = app.count_wrong_passphrase();
    let now = app.clock.now();
    let recorded = TraceId::generate(now, app.entropy.as_ref())
        .and_then(|trace| Entry::new(now, app.entropy.as_ref(), "installation.unseal", trace))
        .map_err(|error| error.to_string())
        .and_then(|entry| {
            let entry = Entry {
                decision: Decision::Deny,
                reason: Some("wrong_passphrase".into()),
                profile: procura_proof::Profile::AdminSocket.as_str().into(),
                ..entry
            };
            app.spool.push(&entry).map_err(|error| error.to_string())
        });
    if let Err(error) = recorded {
        tracing::error!(%error, "a wrong passphrase could not be recorded");
    }
    let mut failure = Failure::new(
        Code::WrongPassphrase,
        format!(
            "The passphrase is wrong ({} since the last right one); the next try waits {seconds} s.",
            app.wrong_passphrases()
        ),
    );
    failure.retry_after = Some(seconds);
    failure
}

/// Seals a store when it goes: also when something on the way there panics.
struct Sealing(Store);

impl Drop for Sealing {
    fn drop(&mut self) {
        self.0.seal();
    }
}

/// Closes the vault: keys are wiped, running requests fail closed. Once begun it
/// comes to its end, also when whoever asked for it hangs up or its time is over:
/// the next ceremony finds nothing of this vault running.
pub async fn seal(app: &App) -> Result<(), Failure> {
    let one = Arc::clone(&app.ceremony).lock_owned().await;
    let stage = app.stage();
    let Stage::Open(open) = stage.as_ref() else {
        return Ok(());
    };
    let open = Arc::clone(open);
    let installation = open.vault.installation();
    let store = open.vault.store().clone();
    // From here on no request begins.
    app.set_stage(Stage::Sealed(store.clone(), Box::new(installation)));
    open.notices.close();
    to_the_end(async move {
        let _one = one;
        let sealing = Sealing(store);
        open.recorder.drain_refusals().await;
        open.upkeep.stop().await;
        if let Some(tombstones) = &open.tombstones {
            tombstones.stop().await;
        }
        open.indexer.stop().await;
        open.publisher.stop().await;
        open.verifier.forget_sessions();
        drop(sealing);
        tracing::info!("the vault is sealed");
        Ok(())
    })
    .await
}

async fn change_passphrase(
    app: &App,
    request: PassphraseChange,
    trace: TraceId,
) -> Result<(), Failure> {
    app.open()?;
    let _turn = turn(app).await;
    let _one = app.ceremony.lock().await;
    // It may have been sealed meanwhile.
    let open = app.open()?;
    let caller = socket_caller(app)?;
    let now = app.clock.now();
    let permit = authorize(
        open.recorder.decider(),
        &open.directory.snapshot(),
        caller,
        procura_vault::PassphraseChange,
        now,
    )
    .map_err(|(denied, _, _)| Failure::internal(denied))?;
    // What a change before this one left would be in its way.
    open.vault.settle_root(app.clock.as_ref()).await?;
    let vault = Arc::clone(&open.vault);
    // Argon2id takes its time, twice; the async threads go on.
    let next = tokio::task::spawn_blocking(move || vault.next_root(&request.current, &request.new))
        .await
        .map_err(Failure::internal)?;
    let next = match next {
        Err(SealError::WrongPassphrase) => return Err(wrong_passphrase(app)),
        other => other?,
    };
    app.forgive();
    open.recorder
        .change(permit, &Origin::new(trace), |batch| next.put(batch))
        .await?;
    let turned = open.vault.turn_root(next);
    // The change is over, one way or the other. What is left of the root that is
    // not in force is taken away now, or by the upkeep.
    let settled = open.vault.settle_root(app.clock.as_ref()).await;
    if let Err(error) = &settled {
        tracing::warn!(%error, "the other root could not be taken away yet");
    }
    open.upkeep.wake();
    // Sessions of before have ended, and so do their streams.
    open.notices.wake();
    turned.map_err(|error| match settled {
        Ok(()) => Failure::new(
            Code::Internal,
            "The passphrase was not changed: installation.json could not be replaced, or the new keys not be used. The old one opens the vault.",
        ),
        Err(_) => Failure::new(
            Code::Unknown,
            "The new keys could not be used, nor installation.json made sure of. The old passphrase stays unless the server stops before that succeeds; then it may be the new one.",
        ),
    }
    .because(error))
}

/// The routes of the admin socket.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(
            "/admin/init",
            post(async |State(app): State<Arc<App>>, request: Request| {
                let result = async {
                    let input = input(&app, request).await?;
                    let (wish, trace, app) = (input.json()?, input.trace, Arc::clone(&app));
                    let made = to_the_end(async move { init(&app, wish, trace).await });
                    Reply::json(&made.await?)
                };
                answer(result.await, &app)
            }),
        )
        .route(
            "/admin/unseal",
            post(async |State(app): State<Arc<App>>, request: Request| {
                let result = async {
                    let UnsealRequest { passphrase } = input(&app, request).await?.json()?;
                    let app = Arc::clone(&app);
                    to_the_end(async move { unseal(&app, passphrase).await }).await?;
                    Ok(Reply::nothing())
                };
                answer(result.await, &app)
            }),
        )
        .route(
            "/admin/passphrase",
            post(async |State(app): State<Arc<App>>, request: Request| {
                let result = async {
                    let input = input(&app, request).await?;
                    let (wish, trace, app) = (input.json()?, input.trace, Arc::clone(&app));
                    to_the_end(async move { change_passphrase(&app, wish, trace).await }).await?;
                    Ok(Reply::nothing())
                };
                answer(result.await, &app)
            }),
        )
        .route(
            "/admin/status",
            axum::routing::get(async |State(app): State<Arc<App>>| {
                let api = Some(app.public_url().to_owned()).filter(|url| !url.is_empty());
                Json(Status {
                    api,
                    ..crate::api::status::status(&app)
                })
            }),
        )
        .with_state(app)
}
