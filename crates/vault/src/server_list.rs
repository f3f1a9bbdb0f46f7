//! Which servers there are beside this one, and the end of one
//! ([ADR 32](../../../docs/adr/0032-several-servers.md)).
//!
//! Each open server says once a minute that it is there. One that is not heard of for
//! long, and did not say that it goes, is absent: it may be in somebody else's hands. No
//! later root is handed over to it, and it does not make itself present again, whatever its
//! own clock says of how long that was: while another was open for as long, it is absent.
//! Somebody has to unseal it. One that a steward removed is out at once and for good: its
//! commits stop applying with the commit that removes it, and its home joins no more.

use crate::error::{SealError, VaultError};
use crate::secret_rows::all_rows;
use crate::servers::{Beside, HANDOVERS, INSTALLATION, ONE, SERVERS};
use crate::vault::Vault;
use procura_ledger::Entry;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::tables::LEDGER;
use procura_record::{RecordError, RecordedBatch};
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Kind, Row, Seq, StoreError, Table};
use procura_types::wire::{self, ServerState};
use procura_types::{BatchId, Clock, Duration, Entropy, InstanceId, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The entry's action for a server that a later root is not handed over to.
pub const LEFT_OUT: &str = "server.left_out";

/// Longest name of a machine that is kept, in bytes (RFC 1035 has 253).
const MAX_HOST: usize = 253;

/// All homes that were ever opened, by their ids, but for those that were removed.
const KNOWN: Table<String, KnownRow> = Table::new("server-known", Kind::Ordinary);
/// Homes that join no more, by the same.
const REMOVED: Table<String, RemovedRow> = Table::new("server-removed", Kind::Ordinary);

/// What is known of a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownRow {
    host: String,
    /// When it was opened for the first time.
    since: Timestamp,
    /// When it was last heard of, by its own clock.
    seen: Timestamp,
    /// For how many milliseconds it was open, as it says itself, all openings together: what
    /// lies between two of its words, by what nobody sets. What its clock jumps by is in none
    /// of it, however often it does.
    #[serde(default)]
    lived: u64,
}

/// A home that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemovedRow {
    host: String,
    since: Timestamp,
    /// When it was removed.
    time: Timestamp,
}

/// What a server says of itself, and what it counted of all when it last looked.
pub(crate) struct Presence {
    host: Mutex<String>,
    /// After how many milliseconds without a word a server is absent.
    patience: AtomicU64,
    open: AtomicUsize,
    absent: AtomicUsize,
    /// The version of its row when it spoke last, and what it had heard of the others then.
    spoken: Mutex<Option<(Seq, Heard)>>,
}

/// What a server has heard of the others when it speaks.
pub(crate) struct Heard {
    /// When that is, by what nobody sets.
    at: Instant,
    /// For how many milliseconds each of them was open, by the ids of their homes.
    lived: BTreeMap<String, u64>,
}

/// What lies between a server's last word and now, in milliseconds.
#[derive(Default)]
struct Between {
    /// For how long it was open itself.
    lived: u64,
    /// For how long another was open, whichever was for longest.
    missed: u64,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            host: Mutex::default(),
            patience: AtomicU64::new(u64::MAX),
            open: AtomicUsize::new(0),
            absent: AtomicUsize::new(0),
            spoken: Mutex::default(),
        }
    }
}

impl Presence {
    fn host(&self) -> String {
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        host.clone()
    }

    /// Whether what was last heard at `seen` is too long ago. A clock that is behind
    /// makes nobody absent.
    fn is_absent(&self, seen: Timestamp, now: Timestamp) -> bool {
        self.is_too_long(millis(now.since(seen)))
    }

    fn is_too_long(&self, silent: u64) -> bool {
        silent > self.patience.load(Ordering::Relaxed)
    }

    fn spoken(&self) -> MutexGuard<'_, Option<(Seq, Heard)>> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This server said that it is there, with a row of this version, and had heard this.
    pub(crate) fn spoke(&self, version: Seq, heard: Heard) {
        *self.spoken() = Some((version, heard));
    }

    /// What lies between its last word and this; nothing where its row is of another version
    /// than what it said last.
    fn between(&self, version: Seq, heard: &Heard) -> Between {
        let spoken = self.spoken();
        let Some((_, before)) = spoken.as_ref().filter(|(known, _)| *known == version) else {
            return Between::default();
        };
        let since = heard.lived.iter().map(|(home, lived)| {
            let known = before.lived.get(home).copied().unwrap_or_default();
            lived.saturating_sub(known)
        });
        Between {
            lived: millis(heard.at.saturating_duration_since(before.at)),
            missed: since.max().unwrap_or_default(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Lists the servers.
pub struct ServerListing;

impl Op for ServerListing {
    const ACTION: Action = Action::ServerList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// Removes a server for good.
pub struct ServerRemove {
    /// Which.
    pub id: InstanceId,
}

impl Op for ServerRemove {
    const ACTION: Action = Action::ServerRemove;
    fn resource(&self) -> Resource {
        Resource::Server(self.id)
    }
}

impl ServerListing {
    /// All servers that are known, by id.
    ///
    /// # Errors
    /// The store.
    pub fn run(
        _: &Permit<Self>,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<wire::ServerList, VaultError> {
        let mut servers = BTreeMap::new();
        for (home, row) in all_rows(&KNOWN, &vault.store, &KeyPrefix::all())? {
            let KnownRow {
                host, since, seen, ..
            } = row.value;
            servers.insert(home, (host, ServerState::Sealed, since, seen));
        }
        for (home, row) in all_rows(&SERVERS, &vault.store, &KeyPrefix::all())? {
            let since = row.value.since;
            let (_, state, _, seen) = servers
                .entry(home)
                .or_insert_with(|| (String::new(), ServerState::Sealed, since, since));
            *state = match vault.is_absent(*seen, now) {
                true => ServerState::Absent,
                false => ServerState::Open,
            };
        }
        for (home, row) in all_rows(&REMOVED, &vault.store, &KeyPrefix::all())? {
            let RemovedRow { host, since, time } = row.value;
            servers.insert(home, (host, ServerState::Removed, since, time));
        }
        let own = vault.home_id();
        let servers = servers
            .into_iter()
            .filter_map(|(home, (host, state, since, seen))| {
                let id = home.parse().ok()?;
                Some(wire::Server {
                    id,
                    host,
                    state,
                    since,
                    seen,
                    answers: own == Some(id),
                })
            })
            .collect();
        Ok(wire::ServerList { servers })
    }
}

impl ServerRemove {
    /// Takes the server out: nothing is handed over to it, its commits apply no more from
    /// this one on, and its home is let in no more.
    ///
    /// # Errors
    /// [`VaultError::NoServer`], [`VaultError::OwnServer`], the store.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let id = batch.op().id;
        if vault.home_id() == Some(id) {
            return Err(VaultError::OwnServer);
        }
        let (store, home) = (&vault.store, id.to_string());
        let known = KNOWN.get(store, &home)?.map(|row| row.value);
        let open = SERVERS.get(store, &home)?.map(|row| row.value.since);
        let (host, since) = match (known, open) {
            (Some(known), _) => (known.host, known.since),
            (None, Some(since)) => (String::new(), since),
            (None, None) => return Err(VaultError::NoServer(id)),
        };
        // All servers look at the row of the installation before they write: once it is
        // of another version, each looks whether it is still one of them.
        let installation = INSTALLATION.get_clear(store, &ONE.to_owned())?;
        // On a full disk as well: it is a revocation.
        batch.reserved();
        let rows = batch.rows();
        let row = RemovedRow {
            host,
            since,
            time: now,
        };
        REMOVED.expect(rows, &home, Expected::Absent);
        REMOVED.put(rows, &home, &row);
        KNOWN.delete(rows, &home);
        SERVERS.delete(rows, &home);
        HANDOVERS.delete(rows, &home);
        if let Some(installation) = installation {
            INSTALLATION.expect(rows, &ONE.to_owned(), Expected::At(installation.version));
            INSTALLATION.put(rows, &ONE.to_owned(), &installation.value);
        }
        Ok(())
    }
}

impl Vault {
    /// Says of this server on which machine it is, and after how long without a word the
    /// others are absent. Does nothing where there are none.
    pub fn describe_server(&self, host: &str, patience: Duration) {
        let Some(beside) = &self.beside else {
            return;
        };
        let shown = host.len() <= MAX_HOST && host.bytes().all(|byte| byte.is_ascii_graphic());
        let presence = &beside.presence;
        *presence.host.lock().unwrap_or_else(PoisonError::into_inner) = match shown {
            true => host.to_owned(),
            false => String::new(),
        };
        presence.patience.store(millis(patience), Ordering::Relaxed);
    }

    fn is_absent(&self, seen: Timestamp, now: Timestamp) -> bool {
        let beside = self.beside.as_ref();
        beside.is_some_and(|beside| beside.presence.is_absent(seen, now))
    }

    /// How many servers are open, and how many absent, as last looked at; `None` where
    /// there are no others.
    #[must_use]
    pub fn servers_counted(&self) -> Option<(usize, usize)> {
        let presence = &self.beside.as_ref()?.presence;
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        Some((count(&presence.open), count(&presence.absent)))
    }

    /// Whether this home may be served from.
    ///
    /// # Errors
    /// [`SealError::ServerRemoved`]; the store.
    pub fn check_server(&self) -> Result<(), SealError> {
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        match REMOVED.get(&self.store, &beside.home().to_string())? {
            Some(_) => Err(SealError::ServerRemoved(beside.home())),
            None => Ok(()),
        }
    }

    /// The row of this server's home, if there is one, and what is heard of the others.
    fn known(
        &self,
        home: &str,
        clock: &dyn Clock,
    ) -> Result<(Option<Row<KnownRow>>, Heard), StoreError> {
        let at = clock.steady();
        let mut own = None;
        let mut lived = BTreeMap::new();
        for (known, row) in all_rows(&KNOWN, &self.store, &KeyPrefix::all())? {
            if known == home {
                own = Some(row);
            } else {
                lived.insert(known, row.value.lived);
            }
        }
        Ok((own, Heard { at, lived }))
    }

    /// Says in a batch that this server is there from now on, which does not apply if it
    /// was removed. Once it has, [`Presence::spoke`] is to be told of what is given.
    pub(crate) fn put_present(
        &self,
        batch: &mut Batch,
        beside: &Beside,
        clock: &dyn Clock,
    ) -> Result<Heard, StoreError> {
        let (now, home) = (clock.now(), beside.home().to_string());
        let (known, heard) = self.known(&home, clock)?;
        let (since, lived) = known.map_or((now, 0), |row| (row.value.since, row.value.lived));
        let row = KnownRow {
            host: beside.presence.host(),
            since,
            seen: now,
            lived,
        };
        REMOVED.expect(batch, &home, Expected::Absent);
        KNOWN.put(batch, &home, &row);
        Ok(heard)
    }

    /// Says that this server is there, and looks who else is; false when it is absent
    /// itself. Then it says nothing: its word for itself counts no more, and it is
    /// unsealed anew.
    ///
    /// # Errors
    /// The store's, the commit's.
    pub async fn say_present(&self, clock: &dyn Clock) -> Result<bool, SealError> {
        let Some(beside) = &self.beside else {
            return Ok(true);
        };
        let now = clock.now();
        self.count_servers(beside, now)?;
        let (presence, home) = (&beside.presence, beside.home().to_string());
        let (Some(known), heard) = self.known(&home, clock)? else {
            return Ok(true);
        };
        // Whoever has this machine sets its clock; for how long the others were open stays.
        // The time that they say is not asked: one whose clock was far ahead may be gone.
        let between = presence.between(known.version, &heard);
        if presence.is_absent(known.value.seen, now) || presence.is_too_long(between.missed) {
            return Ok(false);
        }
        let row = KnownRow {
            seen: now,
            lived: known.value.lived.saturating_add(between.lived),
            ..known.value
        };
        let id = BatchId::generate(now, self.entropy.as_ref())?;
        let mut batch = Batch::new(id).reserved();
        // One that was removed meanwhile is not known again.
        KNOWN.expect(&mut batch, &home, Expected::At(known.version));
        KNOWN.put(&mut batch, &home, &row);
        match self.store.commit(batch).await {
            Ok(committed) => {
                presence.spoke(committed.seq, heard);
                Ok(true)
            }
            Err(CommitError::Conflict { .. }) => Ok(true),
            Err(error) => Err(RecordError::from(error).into()),
        }
    }

    fn count_servers(&self, beside: &Beside, now: Timestamp) -> Result<(), StoreError> {
        let listed = all_rows(&SERVERS, &self.store, &KeyPrefix::all())?.len();
        let absent = self.absent(beside, now)?.len();
        let presence = &beside.presence;
        presence
            .open
            .store(listed.saturating_sub(absent), Ordering::Relaxed);
        presence.absent.store(absent, Ordering::Relaxed);
        Ok(())
    }

    /// The homes that did not say that they go, and were not heard of for too long.
    pub(crate) fn absent(
        &self,
        beside: &Beside,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let known = all_rows(&KNOWN, &self.store, &KeyPrefix::all())?;
        let known: BTreeMap<_, _> = known
            .into_iter()
            .map(|(home, row)| (home, row.value.seen))
            .collect();
        let open = all_rows(&SERVERS, &self.store, &KeyPrefix::all())?;
        let absent = open.into_iter().filter_map(|(home, row)| {
            let seen = known.get(&home).copied().unwrap_or(row.value.since);
            beside.presence.is_absent(seen, now).then_some(home)
        });
        Ok(absent.collect())
    }

    /// Takes a server off the list of open ones in the commit of a root that is not
    /// handed over to it, and records that.
    pub(crate) fn leave_out(
        batch: &mut Batch,
        home: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(), SealError> {
        SERVERS.delete(batch, &home.to_owned());
        HANDOVERS.delete(batch, &home.to_owned());
        let resource = home.parse().ok().map(Resource::Server);
        let trace = TraceId::generate(now, entropy)?;
        let entry = Entry {
            resource: resource.map(|resource| resource.to_string()),
            ..Entry::new(now, entropy, LEFT_OUT, trace)?
        };
        batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
        Ok(())
    }
}
