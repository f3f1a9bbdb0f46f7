//! The daemon's side of the socket: who may ask, and what is answered.

use crate::admission::Admission;
use crate::attesting::{Attestor, Process, keep_attested};
use crate::children::Children;
use crate::connection::Connection;
use crate::device::DeviceState;
use crate::member::{Member, Users};
use crate::socket::{
    Ask, Confine, Failure, Greeting, Op, Reply, Status, TicketReply, VERSION, packet,
};
use crate::{
    Connect, DaemonError, Device, DeviceStore, DeviceSummary, Limits, Listener, Peer, Tickets,
};
use procura_types::wire::ValueB64;
use procura_types::{ActorId, Clock, Entropy, InstallationId, Namespace, Thumbprint, encoding};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a client may take to ask.
const ASK_TIME: Duration = Duration::from_secs(10);

/// Whom the daemon serves.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// The daemon's own user.
    pub own_uid: u32,
    /// Users who may connect, beside the daemon's own and root. Those named are
    /// the only ones, also of a group.
    pub users: Vec<u32>,
    /// Everybody whom the kernel lets connect may, when no users are named: the
    /// socket's group decides.
    pub socket_group: bool,
    /// Places that commands get no access to when they share the daemon's user,
    /// beside the directory of the devices.
    pub hidden: Vec<PathBuf>,
    /// Commands that share the daemon's user run also where the kernel cannot
    /// confine them.
    pub danger_no_landlock: bool,
    /// How much is held at once.
    pub limits: Limits,
}

/// What the daemon knows and does.
pub struct Service {
    pub(crate) store: DeviceStore,
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) children: Children,
    pub(crate) joining: tokio::sync::Mutex<()>,
    options: ServiceOptions,
    process: Arc<Process>,
    /// From then on each device that joins is attested for.
    serving: AtomicBool,
    members: Mutex<Vec<Arc<Member>>>,
    pending: Mutex<Vec<Device>>,
    tickets: Mutex<Tickets>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one was held has left a list as it was.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Loads the devices and is ready to serve.
    ///
    /// # Errors
    /// [`DaemonError`] for a device file that cannot be used.
    pub fn new(
        store: DeviceStore,
        connect: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: ServiceOptions,
    ) -> Result<Self, DaemonError> {
        Self::with_tpm(store, connect, clock, entropy, options, None)
    }

    /// The same, with the TPM of this host at a path, which signs for this process what the
    /// host started with.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_tpm(
        store: DeviceStore,
        connect: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: ServiceOptions,
        tpm: Option<PathBuf>,
    ) -> Result<Self, DaemonError> {
        let process = Arc::new(Process::new(entropy.as_ref(), tpm)?);
        let mut members = Vec::new();
        let mut pending = Vec::new();
        for device in store.load(clock.now())? {
            match device.state {
                DeviceState::Joined(_) => {
                    let attestor = Attestor::new(Arc::clone(&process), Arc::clone(&clock));
                    members.push(Arc::new(Member::new(device, connect.as_ref(), attestor)?));
                }
                DeviceState::Pending { .. } => pending.push(device),
            }
        }
        Ok(Self {
            store,
            connect,
            clock,
            entropy,
            children: Children::new(options.limits.watched),
            joining: tokio::sync::Mutex::new(()),
            options,
            process,
            serving: AtomicBool::new(false),
            members: Mutex::new(members),
            pending: Mutex::new(pending),
            tickets: Mutex::new(Tickets::default()),
        })
    }

    /// How many devices have joined.
    #[must_use]
    pub fn device_count(&self) -> usize {
        held(&self.members).len()
    }

    /// Serves connections for as long as it is polled, within a
    /// [`tokio::task::LocalSet`].
    pub async fn serve(self: Arc<Self>, listener: &Listener) {
        let places = Arc::new(Semaphore::new(self.options.limits.connections));
        let users = Admission::new(self.options.limits.connections_each());
        self.serving.store(true, Ordering::Relaxed);
        for member in held(&self.members).iter() {
            tokio::task::spawn_local(keep_attested(Arc::downgrade(member)));
        }
        loop {
            // Never closed, so this always brings a place.
            let place = Arc::clone(&places).acquire_owned().await;
            match listener.accept().await {
                Ok(stream) => {
                    let (service, users) = (Arc::clone(&self), Arc::clone(&users));
                    tokio::task::spawn_local(async move {
                        if let Err(error) = service.take_in(&users, Connection { stream }).await {
                            tracing::debug!(%error, "a connection broke");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: they come back.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Serves a connection, unless its user holds too many of them already. Whoever
    /// the kernel does not name is refused further on.
    async fn take_in(&self, users: &Arc<Admission>, connection: Connection) -> io::Result<()> {
        let uid = connection.stream.peer_cred().map(|peer| peer.uid());
        let _admitted = match uid.map(|uid| (uid, users.admit(uid))) {
            Ok((uid, None)) => {
                let busy = DaemonError::Busy(format!(
                    "user {uid} holds all {} connections to the daemon that one user may hold, as `procura run --wait` does while it waits; end some of them, and run it again",
                    users.each()
                ));
                return connection.say(&Reply::Failed(failure(&busy)), None).await;
            }
            Ok((_, admitted)) => admitted,
            Err(_) => None,
        };
        self.converse(&connection).await
    }

    async fn converse(&self, connection: &Connection) -> io::Result<()> {
        let answer = match self.listen_to(connection).await {
            Ok((peer, op)) => self.answer(peer, op, connection).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Some(reply)) => connection.say(&reply, None).await,
            Ok(None) => Ok(()),
            Err(error) => connection.say(&Reply::Failed(failure(&error)), None).await,
        }
    }

    /// Makes sure who is there, and hears the question.
    async fn listen_to(&self, connection: &Connection) -> Result<(Peer, Op), DaemonError> {
        let unknown =
            |error: crate::PeerError| DaemonError::refused("unknown_peer", error.to_string());
        let broken = |source| DaemonError::io("talk to a client", source);
        let peer = Peer::of(&connection.stream).map_err(unknown)?;
        if !self.may_connect(peer.uid()) {
            return Err(DaemonError::refused(
                "user_not_allowed",
                format!(
                    "user {} may not use this daemon; it serves others with --group or --user",
                    peer.uid()
                ),
            ));
        }
        connection.stamp_senders().map_err(broken)?;
        let mut challenge = [0; 16];
        self.entropy
            .fill(&mut challenge)
            .map_err(|error| DaemonError::Config(error.to_string()))?;
        let challenge = encoding::b64url(&challenge);
        let greeting = Greeting {
            version: VERSION,
            challenge: challenge.clone(),
            confine: self.is_same_uid(&peer).then(|| self.confine()),
        };
        connection
            .say(&Reply::Greeting(greeting), None)
            .await
            .map_err(broken)?;
        let heard = tokio::time::timeout(ASK_TIME, connection.hear())
            .await
            .map_err(|_| broken(io::ErrorKind::TimedOut.into()))?
            .map_err(broken)?;
        let ask: Ask =
            packet::decode(&heard).map_err(|error| DaemonError::Usage(error.to_string()))?;
        let (uid, pid) = heard.sender.unwrap_or((u32::MAX, 0));
        if ask.challenge != challenge {
            return Err(unknown(crate::PeerError::NotTheSame));
        }
        peer.confirm(uid, pid).map_err(unknown)?;
        Ok((peer, ask.op))
    }

    async fn answer(
        &self,
        peer: Peer,
        op: Op,
        connection: &Connection,
    ) -> Result<Option<Reply>, DaemonError> {
        match op {
            Op::Status {} => Ok(Some(Reply::Status(self.status(&peer)))),
            Op::Join(ask) => self.join(&peer, ask).await.map(Reply::Joined).map(Some),
            Op::JoinDevice(ask) => {
                let joined = self.join_device(&peer, ask, connection).await?;
                Ok(joined.map(Reply::Joined))
            }
            Op::Ticket {} => {
                let ticket = held(&self.tickets)
                    .issue(peer, Instant::now(), self.entropy.as_ref())
                    .map_err(|error| DaemonError::refused("ticket_refused", error.to_string()))?;
                Ok(Some(Reply::Ticket(TicketReply {
                    ticket: ValueB64::encode(ticket.expose()),
                })))
            }
            Op::Exec(ask) => {
                let ticket = ask.ticket.decode()?;
                held(&self.tickets)
                    .redeem(ticket.expose(), &peer, Instant::now())
                    .map_err(|error| DaemonError::refused("ticket_refused", error.to_string()))?;
                self.deliver(peer, &ask, connection).await?;
                Ok(None)
            }
            Op::DangerAcceptRollback { agent } => {
                self.danger_accept_rollback(&peer, agent.as_deref()).await?;
                Ok(Some(Reply::Done {}))
            }
            Op::Forget { device } => {
                self.forget(&peer, &device).await?;
                Ok(Some(Reply::Done {}))
            }
        }
    }

    fn may_connect(&self, uid: u32) -> bool {
        uid == self.options.own_uid
            || uid == 0
            || self.options.users.contains(&uid)
            // Who is in the group, unless users are named: then those of them.
            || (self.options.socket_group && self.options.users.is_empty())
    }

    /// Whether `peer`'s user is the daemon's, and can read its keys.
    pub(crate) fn is_same_uid(&self, peer: &Peer) -> bool {
        peer.uid() == self.options.own_uid
    }

    fn confine(&self) -> Confine {
        let devices = std::iter::once(self.store.dir().to_owned());
        Confine {
            hidden: devices.chain(self.options.hidden.iter().cloned()).collect(),
            danger_no_landlock: self.options.danger_no_landlock,
        }
    }

    fn status(&self, peer: &Peer) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            danger_same_uid: self.is_same_uid(peer),
            devices: held(&self.members)
                .iter()
                .filter(|member| peer.uid() == 0 || member.device.uid == peer.uid())
                .map(|member| DeviceSummary::of(member))
                .collect(),
        }
    }

    /// The device that `agent` and `namespace` mean among those of `users`. Other
    /// devices do not exist for whoever asks.
    pub(crate) fn choose(
        &self,
        users: Users,
        agent: Option<&str>,
        namespace: Option<&Namespace>,
    ) -> Result<Arc<Member>, DaemonError> {
        let mut found: Vec<Arc<Member>> = held(&self.members)
            .iter()
            .filter(|member| users.include(member.device.uid))
            .filter(|member| agent.is_none_or(|agent| member.is_called(agent)))
            .filter(|member| {
                namespace.is_none_or(|namespace| member.membership.namespace == *namespace)
            })
            .cloned()
            .collect();
        if found.iter().any(|member| member.revoked().is_none()) {
            found.retain(|member| member.revoked().is_none());
        }
        // Of a label that joined more than once, the newest device counts.
        let several = found
            .iter()
            .map(|member| member.place())
            .collect::<BTreeSet<_>>()
            .len()
            > 1;
        if several {
            return Err(which(&found));
        }
        found
            .into_iter()
            .max_by_key(|member| member.device.created)
            .ok_or_else(|| {
                let place = namespace.map_or_else(String::new, |name| format!(" in namespace {name}"));
                DaemonError::Config(match agent {
                    Some(agent) => format!(
                        "no device of agent {agent}{place} has joined here for {users}; run `procura join CODE`"
                    ),
                    None => format!(
                        "no device{place} has joined here for {users}; ask an admin for a link code and run `procura join CODE`"
                    ),
                })
            })
    }

    /// Marks those of the same user whose label the new member has at the same server, which
    /// gives a label anew only when its agent was revoked. A server is what holds the key
    /// that they pinned, and not what names their installation: whoever makes up a link
    /// code can have a server of their own name any.
    pub(crate) async fn replaced_by(&self, new: &Member) {
        let before: Vec<Arc<Member>> = held(&self.members)
            .iter()
            .filter(|member| {
                member.place() == new.place() && member.device.actor != new.device.actor
            })
            .cloned()
            .collect();
        for member in before {
            member
                .mark_revoked(Some(self.clock.now()), &self.store)
                .await;
        }
    }

    /// Removes a device of the user who asks, or anybody's for root.
    async fn forget(&self, peer: &Peer, device: &Thumbprint) -> Result<(), DaemonError> {
        let member = held(&self.members)
            .iter()
            .find(|member| {
                member.device.thumbprint() == *device
                    && (peer.uid() == 0 || member.device.uid == peer.uid())
            })
            .cloned()
            .ok_or_else(|| {
                DaemonError::Usage(format!(
                    "there is no device {device} here; `procura device list --here` shows yours"
                ))
            })?;
        member.forget(&self.store).await?;
        held(&self.members).retain(|other| !Arc::ptr_eq(other, &member));
        Ok(())
    }

    /// What attests for a device that joins now.
    pub(crate) fn attestor(&self) -> Attestor {
        Attestor::new(Arc::clone(&self.process), Arc::clone(&self.clock))
    }

    pub(crate) fn admit(&self, member: Arc<Member>) {
        let thumbprint = member.device.thumbprint();
        held(&self.pending).retain(|device| device.thumbprint() != thumbprint);
        if self.serving.load(Ordering::Relaxed) {
            tokio::task::spawn_local(keep_attested(Arc::downgrade(&member)));
        }
        held(&self.members).push(member);
    }

    /// Whether this user's devices know the installation, and none of them by this server
    /// key. What other users of this host brought says nothing: they may have made it up.
    pub(crate) fn knows_another_server(
        &self,
        uid: u32,
        installation: &InstallationId,
        server: &Thumbprint,
    ) -> bool {
        let members = held(&self.members);
        let mut known = members
            .iter()
            .filter(|member| {
                member.device.uid == uid && member.device.installation == *installation
            })
            .map(|member| member.pinned)
            .peekable();
        known.peek().is_some() && known.all(|pinned| pinned != *server)
    }

    pub(crate) fn remember_pending(&self, device: &Device) {
        let thumbprint = device.thumbprint();
        let mut pending = held(&self.pending);
        pending.retain(|other| other.thumbprint() != thumbprint);
        pending.push(device.clone());
    }

    pub(crate) fn pending_for(
        &self,
        code_sha256: &str,
        actor: &ActorId,
        uid: u32,
    ) -> Option<Device> {
        held(&self.pending)
            .iter()
            .find(|device| {
                let same_code = matches!(
                    &device.state,
                    DeviceState::Pending { code_sha256: known } if known == code_sha256
                );
                same_code && device.actor == *actor && device.uid == uid
            })
            .cloned()
    }

    async fn danger_accept_rollback(
        &self,
        peer: &Peer,
        agent: Option<&str>,
    ) -> Result<(), DaemonError> {
        // An agent must not be able to accept it for itself.
        if peer.uid() != 0 && !self.is_same_uid(peer) {
            return Err(DaemonError::refused(
                "not_root",
                "only root and the daemon's own user may accept an older record",
            ));
        }
        self.choose(Users::All, agent, None)?
            .danger_forget_record(&self.store)
            .await
    }
}

/// Several are meant: they are named in words that choose just one of them.
fn which(found: &[Arc<Member>]) -> DaemonError {
    let places: BTreeSet<_> = found.iter().map(|member| member.place()).collect();
    let mut names: Vec<String> = places
        .iter()
        .filter_map(|place| {
            let same = |other: &&Arc<Member>| other.place() == *place;
            let label = found.iter().find(same)?.long_label();
            let elsewhere = places
                .iter()
                .any(|other| other != place && other.is_called_as(place));
            if elsewhere {
                // Two installations, servers or users have an agent of this name.
                let newest = found
                    .iter()
                    .filter(same)
                    .max_by_key(|member| member.device.created)?;
                Some(newest.device.thumbprint().to_string())
            } else {
                Some(label)
            }
        })
        .collect();
    names.sort();
    DaemonError::Usage(format!(
        "several agents have joined here; choose one with --agent: {}",
        names.join(", ")
    ))
}

fn failure(error: &DaemonError) -> Failure {
    Failure {
        exit: error.exit(),
        code: error.code().to_owned(),
        message: error.to_string(),
    }
}
