//! The connection to a shared guard: made, looked after, made again.
//!
//! Whatever goes wrong, a claim that times out as well as a look that finds another
//! server, ends the same way: the connection is dropped, claims are answered with
//! `unavailable` at once, and the keeper connects anew until all is in order.

use super::fault::SharedFault;
use super::info::Info;
use super::{CLOCKS, GuardServer, Sharing};
use arc_swap::ArcSwapOption;
use procura_crypto::MacKey;
use procura_types::{Clock, Duration, Entropy, GuardGeneration, Secret, encoding};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// How long an answer may take.
pub(super) const DEADLINE: Duration = Duration::from_millis(250);
/// How long it may take to connect and to look whether all is in order.
const CONNECT: Duration = Duration::from_secs(1);
/// How often it is looked whether all is still in order.
const LOOK: Duration = Duration::from_secs(1);
/// Between two tries to connect, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that was found in order.
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    pub(super) scripts: Arc<Scripts>,
    pub(super) generation: GuardGeneration,
    /// Its id as it is stored.
    pub(super) id: String,
    /// What nonces and ids are hashed with.
    pub(super) key: Arc<MacKey>,
    /// What the server's clock showed, in milliseconds, and when that was.
    read: (u64, Instant),
    /// The server's clock was found not to go on as ours does: what it keeps for a
    /// while may be gone before its time.
    pub(super) jumped: AtomicBool,
}

impl Live {
    /// What the server's clock should show, in milliseconds.
    pub(super) fn expected(&self, steady: Instant) -> u64 {
        let (shown, when) = self.read;
        shown.saturating_add(millis(steady.saturating_duration_since(when)))
    }
}

/// The names that the server has for the scripts.
pub(super) struct Scripts {
    begin: String,
    pub(super) nonce: String,
    pub(super) counter: String,
    pub(super) bury: String,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is known yet.
    Beginning,
    /// In order.
    Up(GuardGeneration),
    /// Not to be had.
    Away(SharedFault),
}

pub(super) struct Link {
    sharing: Sharing,
    client: Client,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    live: ArcSwapOption<Live>,
    /// The last generation that there was.
    last: ArcSwapOption<GuardGeneration>,
    state: watch::Sender<State>,
    wake: Notify,
}

impl Link {
    pub(super) fn new(
        sharing: Sharing,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SharedFault> {
        let client = client(&sharing.server)?;
        Ok(Self {
            sharing,
            client,
            clock,
            entropy,
            live: ArcSwapOption::empty(),
            last: ArcSwapOption::empty(),
            state: watch::Sender::new(State::Beginning),
            wake: Notify::new(),
        })
    }

    /// The connection, if all is in order.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// The generation of the connection, or of the last one.
    pub(super) fn last(&self) -> Option<GuardGeneration> {
        self.last.load().as_deref().copied()
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn steady(&self) -> Instant {
        self.clock.steady()
    }

    /// This connection failed; it is made anew. Says so once.
    pub(super) fn failed(&self, live: &Arc<Live>, cause: String) {
        let before = self.live.compare_and_swap(&Some(Arc::clone(live)), None);
        let was_this = before.as_ref().is_some_and(|held| Arc::ptr_eq(held, live));
        if was_this {
            self.away(self.unreachable(cause));
            self.wake.notify_one();
        }
    }

    /// Connects and looks after the connection, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut last: Option<Arc<Live>> = None;
        let mut retires: Vec<PathBuf> = self.sharing.retires.clone();
        retires.retain(|path| path.exists());
        let mut pause = FIRST_PAUSE;
        loop {
            let connecting = timeout(CONNECT, self.connect(last.as_deref(), !retires.is_empty()));
            let connected = match connecting.await {
                Ok(connected) => connected,
                Err(_) => Err(self.unreachable("it does not answer in time".to_owned())),
            };
            match connected {
                Ok(live) => {
                    pause = FIRST_PAUSE;
                    retire(&mut retires);
                    last = Some(self.watch(live).await);
                }
                Err(fault) => {
                    self.away(fault);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Looks after a connection until it is no more in order; gives what it was last.
    async fn watch(&self, live: Live) -> Arc<Live> {
        let mut live = Arc::new(live);
        self.live.store(Some(Arc::clone(&live)));
        self.up(live.generation);
        loop {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.wake.notified() => {}
            }
            if self.live.load().is_none() {
                return live;
            }
            let looking = self.look(
                live.connection.clone(),
                Arc::clone(&live.scripts),
                Some(&live),
                false,
            );
            let looked = match timeout(CONNECT, looking).await {
                Ok(looked) => looked,
                Err(_) => Err(self.unreachable("it does not answer in time".to_owned())),
            };
            match looked {
                Ok(next) => {
                    let next = Arc::new(next);
                    let held = Some(Arc::clone(&live));
                    let before = self.live.compare_and_swap(&held, Some(Arc::clone(&next)));
                    // A claim failed meanwhile: whatever it found, it is connected anew.
                    if before.is_none() {
                        return live;
                    }
                    self.up(next.generation);
                    live = next;
                }
                Err(fault) => {
                    self.live.store(None);
                    self.away(fault);
                    return live;
                }
            }
        }
    }

    fn up(&self, generation: GuardGeneration) {
        self.last.store(Some(Arc::new(generation)));
        if let State::Away(_) = self.state.send_replace(State::Up(generation)) {
            tracing::info!("the shared guard answers");
        }
    }

    fn away(&self, fault: SharedFault) {
        // Told once, and again when it is something else.
        if !matches!(&*self.state.borrow(), State::Away(told) if *told == fault) {
            tracing::warn!(%fault, "nobody is let in: it cannot be told what was used before");
        }
        self.state.send_replace(State::Away(fault));
    }

    async fn connect(&self, last: Option<&Live>, renew: bool) -> Result<Live, SharedFault> {
        let mut connection = connection(&self.client, self.server()).await?;
        let load = async |connection: &mut MultiplexedConnection, script: &str| {
            let loading = redis::cmd("SCRIPT").arg("LOAD").arg(script).to_owned();
            ask::<String>(connection, &loading, self.server()).await
        };
        let scripts = Scripts {
            begin: load(&mut connection, include_str!("begin.lua")).await?,
            nonce: load(
                &mut connection,
                concat!(include_str!("claim.lua"), include_str!("nonce.lua")),
            )
            .await?,
            counter: load(
                &mut connection,
                concat!(include_str!("claim.lua"), include_str!("counter.lua")),
            )
            .await?,
            bury: load(&mut connection, include_str!("bury.lua")).await?,
        };
        self.look(connection, Arc::new(scripts), last, renew).await
    }

    /// Looks whether all is in order, and which generation there is. `renew` ends the
    /// one that there is.
    async fn look(
        &self,
        mut connection: MultiplexedConnection,
        scripts: Arc<Scripts>,
        last: Option<&Live>,
        renew: bool,
    ) -> Result<Live, SharedFault> {
        let info = fit(&mut connection, self.server()).await?;
        let jumped = last.filter(|last| last.jumped.load(Ordering::Relaxed));
        let mut disowned = match (renew, jumped) {
            (true, _) => "*".to_owned(),
            (false, Some(last)) => last.id.clone(),
            (false, None) => String::new(),
        };
        loop {
            let (begun, shown) = self
                .begin(&mut connection, &scripts, &info, &disowned)
                .await?;
            let read = (shown, self.clock.steady());
            let apart = self.clock.now().as_millis().abs_diff(shown) / 1000;
            if apart > CLOCKS {
                return Err(SharedFault::Clock {
                    at: self.server().url.to_string(),
                    seconds: apart,
                });
            }
            let known = last.filter(|last| last.id == begun.id);
            if let Some(known) = known
                && known.expected(read.1).abs_diff(shown) / 1000 >= CLOCKS
            {
                disowned = begun.id;
                continue;
            }
            let key = match known {
                Some(known) => Arc::clone(&known.key),
                None => Arc::new(
                    MacKey::from_bytes(begun.key.expose())
                        .map_err(|error| SharedFault::Own(error.to_string()))?,
                ),
            };
            return Ok(Live {
                connection,
                scripts,
                generation: begun.generation,
                id: begun.id,
                key,
                read,
                jumped: AtomicBool::new(false),
            });
        }
    }

    /// The generation of the server's memory, begun anew if there is none or it is
    /// `disowned`; and what its clock shows, in milliseconds.
    async fn begin(
        &self,
        connection: &mut MultiplexedConnection,
        scripts: &Scripts,
        info: &Info,
        disowned: &str,
    ) -> Result<(Begun, u64), SharedFault> {
        let own = |error: procura_types::EntropyError| SharedFault::Own(error.to_string());
        let (mut id, mut key) = ([0; 16], Secret::new([0; 32]));
        self.entropy.fill(&mut id).map_err(own)?;
        self.entropy.fill_secret(key.expose_mut()).map_err(own)?;
        let key = Secret::new(encoding::hex(key.expose()));
        // Since this process has used any, there is something to be lost.
        let first = self.sharing.first && self.last().is_none();
        // One that cannot be read is not of ours, and another is begun in its place.
        for disowned in [disowned, "*"] {
            let installation = &self.sharing.installation;
            let asking = redis::cmd("EVALSHA")
                .arg(&scripts.begin)
                .arg(2)
                .arg(format!("procura:generation:{installation}"))
                .arg(format!("procura:generation-of:{installation}"))
                .arg(&info.run_id)
                .arg(encoding::hex(&id))
                .arg(key.expose())
                .arg(disowned)
                .arg(u8::from(first))
                .to_owned();
            let (id, key, start, shown) =
                ask::<(String, String, String, u64)>(connection, &asking, self.server()).await?;
            if let Some(begun) = Begun::read(id, key, &start) {
                return Ok((begun, shown));
            }
        }
        Err(self.unreachable("what it says is not understood".to_owned()))
    }

    fn unreachable(&self, cause: String) -> SharedFault {
        unreachable(self.server(), cause)
    }

    const fn server(&self) -> &GuardServer {
        &self.sharing.server
    }

    /// The key of the generation's id.
    pub(super) fn generation_key(&self) -> String {
        format!("procura:generation:{}", self.sharing.installation)
    }
}

/// A generation as it is stored.
struct Begun {
    generation: GuardGeneration,
    id: String,
    key: Secret<[u8; 32]>,
}

impl Begun {
    fn read(id: String, key: String, start: &str) -> Option<Self> {
        let key = Secret::new(key);
        Some(Self {
            generation: GuardGeneration {
                id: encoding::from_hex_fixed(&id)?,
                since: start.parse().ok()?,
            },
            key: Secret::new(encoding::from_hex_fixed(key.expose())?),
            id,
        })
    }
}

/// Looks once whether a server is fit to be the shared guard. Nothing of it is changed.
pub(super) async fn check(server: &GuardServer) -> Result<(), SharedFault> {
    let looking = async {
        let mut connection = connection(&client(server)?, server).await?;
        fit(&mut connection, server).await.map(drop)
    };
    timeout(CONNECT, looking)
        .await
        .unwrap_or_else(|_| Err(unreachable(server, "it does not answer in time".to_owned())))
}

fn client(server: &GuardServer) -> Result<Client, SharedFault> {
    let password = server.password.as_ref().map(|password| password.expose());
    server
        .url
        .connection(password.map(String::as_str))
        .and_then(Client::open)
        .map_err(|error| SharedFault::Own(error.to_string()))
}

async fn connection(
    client: &Client,
    server: &GuardServer,
) -> Result<MultiplexedConnection, SharedFault> {
    // The whole has a deadline of its own, and so has each claim.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(|error| fault(server, &error))
}

async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &redis::Cmd,
    server: &GuardServer,
) -> Result<T, SharedFault> {
    command
        .query_async(connection)
        .await
        .map_err(|error| fault(server, &error))
}

/// Whether the server is fit to be a shared guard.
async fn fit(
    connection: &mut MultiplexedConnection,
    server: &GuardServer,
) -> Result<Info, SharedFault> {
    let said: String = ask(connection, &redis::cmd("INFO"), server).await?;
    let info = Info::read(&said).ok_or_else(|| {
        unreachable(
            server,
            "what it says of itself is not understood".to_owned(),
        )
    })?;
    let at = server.url.to_string();
    if info.loading {
        return Err(unreachable(server, "it is still starting".to_owned()));
    }
    if info.cluster {
        return Err(SharedFault::Cluster { at });
    }
    if info.role != "master" {
        return Err(SharedFault::Replica {
            at,
            role: info.role,
        });
    }
    if info.policy != "noeviction" {
        return Err(SharedFault::Evicts {
            at,
            policy: info.policy,
        });
    }
    Ok(info)
}

fn unreachable(server: &GuardServer, cause: String) -> SharedFault {
    SharedFault::Unreachable {
        at: server.url.to_string(),
        cause,
    }
}

fn fault(server: &GuardServer, error: &RedisError) -> SharedFault {
    let at = server.url.to_string();
    let cause = error.to_string();
    let shut_out = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    if shut_out {
        SharedFault::NotLetIn { at, cause }
    } else {
        SharedFault::Unreachable { at, cause }
    }
}

/// Takes away the files that the new memory stands in for.
fn retire(files: &mut Vec<PathBuf>) {
    files.retain(|path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            // They are looked for again at the next start.
            tracing::warn!(path = %path.display(), %error, "the journal of used proofs could not be removed");
            true
        }
        _ => false,
    });
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
