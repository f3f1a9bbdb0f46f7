//! Ceremonies on the admin socket: init, unseal, and what opens the vault. Nothing else
//! can pose as the server there and collect a passphrase: the socket lies in the
//! server's own directory.

mod errors;
mod operator;
mod shares;
mod unseal;
mod unseal_source;

pub(crate) use unseal::{Gatherings, from_wrapper};
pub use unseal::{penalty, unseal};

use crate::app::{App, Open, Stage};
use crate::database;
use crate::opening::{OpeningError, open_services};
use crate::problem::{Code, Failure};
use crate::serve::{Arrived, Input, Reply, SMALL_BODY, read};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Json, Router};
use procura_identity::InstallationInit;
use procura_ledger::Entry;
use procura_policy::{Action, Resource, authorize};
use procura_proof::Caller;
use procura_record::tables::LEDGER;
use procura_record::{Origin, Recorder};
use procura_store::guard::Start;
use procura_store::{Batch, SqliteOptions, Store};
use procura_types::wire::{InitAnswer, InitRequest, Status, UnsealSourceTest};
use procura_types::{BatchId, Clock, FieldTuple, InstallationId, Label, Namespace, TraceId};
use procura_vault::{NewSource, SealError, Vault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use unseal::brought;

/// The unseal source that `init` makes.
const FIRST_SOURCE: &str = "passphrase";

/// The namespace that `init` makes.
pub const FIRST_NAMESPACE: &str = "default";

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
    let database = app.config.database_url.as_ref().map(|_| app.config.clone());
    let passphrase = request.passphrase;
    let source = FIRST_SOURCE.parse().map_err(Failure::from)?;
    // Argon2id and the files take their time; the async threads go on.
    let made = tokio::task::spawn_blocking(move || -> Result<_, OpeningError> {
        discard_unestablished(&home)?;
        let store = match database {
            Some(config) => {
                let engine = database::make(|| database::configured(&config), &id)
                    .map_err(OpeningError::database)?;
                Store::over(Arc::new(engine), Arc::clone(&clock), Arc::clone(&entropy))
            }
            None => Store::create(
                &home.join(DATABASE),
                &id,
                &options,
                Arc::clone(&clock),
                Arc::clone(&entropy),
            )
            .map_err(SealError::from)?,
        };
        let source = NewSource::passphrase(source, &passphrase, entropy.as_ref())?;
        Ok(Vault::found(
            &home,
            store,
            id,
            source,
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
    store_settings(&app.config)
}

pub(crate) fn store_settings(config: &crate::config::Config) -> SqliteOptions {
    SqliteOptions {
        cache_bytes: config.cache_megabytes.saturating_mul(1024 * 1024),
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
    seal_holding(app, false).await
}

/// Closes it, and keeps it from opening by itself if `hold` says so.
async fn seal_holding(app: &App, hold: bool) -> Result<(), Failure> {
    let one = Arc::clone(&app.ceremony).lock_owned().await;
    if hold {
        app.auto_unseal.hold();
    }
    let stage = app.stage();
    let Stage::Open(open) = stage.as_ref() else {
        return Ok(());
    };
    let open = Arc::clone(open);
    let installation = open.vault.installation();
    let store = open.vault.store().clone();
    let clock = Arc::clone(&app.clock);
    // From here on no request begins.
    app.set_stage(Stage::Sealed(store.clone(), Box::new(installation)));
    open.notices.close();
    to_the_end(async move {
        let _one = one;
        let sealing = Sealing(store);
        open.recorder.drain_refusals().await;
        open.honey.stop().await;
        open.notifier.stop().await;
        open.upkeep.stop().await;
        if let Some(tombstones) = &open.tombstones {
            tombstones.stop().await;
        }
        open.indexer.stop().await;
        open.publisher.stop().await;
        leave(&open, clock.as_ref()).await;
        open.verifier.forget_sessions();
        drop(sealing);
        tracing::info!("the vault is sealed");
        Ok(())
    })
    .await
}

/// Goes from among the other servers, if there are any.
async fn leave(open: &Open, clock: &dyn Clock) {
    if let Some(lease) = &open.lease {
        lease.stop().await;
    }
    if let Err(error) = open.vault.leave_servers(clock).await {
        // A root that is sealed to this one's key, which is gone, opens for nobody.
        tracing::debug!(%error, "this server could not be taken off the list of open ones");
    }
    if let Some(others) = &open.others {
        others.stop().await;
    }
}

/// Closes the vault because somebody wants it closed: it does not open by itself until
/// somebody opens it.
pub async fn seal_on_purpose(app: &App) -> Result<(), Failure> {
    // Said at once, so that nothing begins to open it; and again when it is its turn,
    // since somebody may have opened it before.
    app.auto_unseal.hold();
    seal_holding(app, true).await
}

/// Closes the vault at a signal. That is recorded before, by nobody whom the server could
/// name: whoever may send it signals. Where it cannot be recorded it is closed all the
/// same: somebody is in a hurry.
pub(crate) async fn seal_at_signal(app: &App) -> Result<(), Failure> {
    if let Stage::Open(open) = app.stage().as_ref() {
        let recorded = record_signal(app, open).await;
        if let Err(failure) = recorded {
            tracing::error!(cause = ?failure.cause, "that the vault is sealed at a signal could not be recorded");
        }
    }
    seal_on_purpose(app).await
}

async fn record_signal(app: &App, open: &Open) -> Result<(), Failure> {
    let (now, entropy) = (app.clock.now(), app.entropy.as_ref());
    let trace = TraceId::generate(now, entropy).map_err(Failure::internal)?;
    let action = Action::InstallationSeal.as_str();
    let entry = Entry::new(now, entropy, action, trace).map_err(Failure::internal)?;
    let entry = Entry {
        reason: Some("signal".into()),
        resource: Some(Resource::Installation.to_string()),
        ..entry
    };
    let id = BatchId::generate(now, entropy).map_err(Failure::internal)?;
    // On a full disk it is sealed as well.
    let mut batch = Batch::new(id).reserved();
    batch.append(LEDGER, entry.to_bytes().map_err(Failure::internal)?);
    open.vault.store().commit(batch).await?;
    Ok(())
}

/// Runs one call of the socket to its end, and answers it.
async fn ceremony<W, T, F>(
    app: Arc<App>,
    request: Request,
    run: impl FnOnce(Arc<App>, W, TraceId) -> F + Send + 'static,
    reply: impl FnOnce(T) -> Result<Reply, Failure>,
) -> Response
where
    W: DeserializeOwned + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let result = async {
        let input = input(&app, request).await?;
        let (wish, trace) = (input.json()?, input.trace);
        reply(to_the_end(run(Arc::clone(&app), wish, trace)).await?)
    };
    answer(result.await, &app)
}

fn nothing<T>(_: T) -> Result<Reply, Failure> {
    Ok(Reply::nothing())
}

/// The routes of the admin socket.
pub fn router(app: Arc<App>) -> Router {
    /// `POST`: what the body is, what is done, and what is answered.
    macro_rules! post {
        ($reply:expr, $run:expr) => {
            axum::routing::post(async |State(app): State<Arc<App>>, request: Request| {
                ceremony(app, request, $run, $reply).await
            })
        };
    }
    Router::new()
        .route(
            "/admin/init",
            post!(|made| Reply::json(&made), async |app, wish, trace| {
                init(&app, wish, trace).await
            }),
        )
        .route(
            "/admin/unseal",
            post!(nothing, async |app, wish, _| {
                let brought = brought(&app, wish).await?;
                unseal::by_hand(&app, brought).await
            }),
        )
        .route(
            "/admin/unseal-share",
            post!(|progress| Reply::json(&progress), async |app, wish, _| {
                unseal::bring_share(&app, wish).await
            }),
        )
        .route(
            "/admin/passphrase",
            post!(nothing, async |app, wish, trace| {
                unseal_source::change_passphrase(&app, wish, trace).await
            }),
        )
        .route(
            "/admin/rotate",
            post!(nothing, async |app, wish, trace| {
                unseal_source::rotate(&app, wish, trace).await
            }),
        )
        .route(
            "/admin/unseal-sources",
            post!(added, async |app, wish, trace| {
                unseal_source::add(&app, wish, trace).await
            })
            .get(async |State(app): State<Arc<App>>| {
                answer(
                    unseal_source::list(&app).and_then(|list| Reply::json(&list)),
                    &app,
                )
            }),
        )
        .route(
            "/admin/unseal-sources/test",
            post!(
                |source| Reply::json(&source),
                async |app, wish: UnsealSourceTest, trace| {
                    unseal_source::test(&app, wish.open, trace).await
                }
            ),
        )
        .route(
            "/admin/unseal-sources/remove",
            post!(nothing, async |app, wish, trace| {
                unseal_source::remove(&app, wish, trace).await
            }),
        )
        .route(
            "/admin/operators/recover",
            post!(
                |code| crate::api::shown_once(&code),
                async |app, wish, trace| operator::recover(&app, wish, trace).await
            ),
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

/// The shares of a new source, on their only way.
fn added(made: unseal_source::Added) -> Result<Reply, Failure> {
    let unseal_source::Added { shares, retired } = &made;
    let shares: Vec<&str> = shares.iter().map(|share| share.expose().as_str()).collect();
    let length = shares
        .iter()
        .map(|share| share.len().saturating_add(3))
        .sum();
    Reply::secret(&Added { shares, retired }, length)
}

/// As [`procura_types::wire::UnsealSourceAdded`] is read.
#[derive(Serialize)]
struct Added<'a> {
    shares: Vec<&'a str>,
    retired: &'a [Label],
}
