//! Services: what stands behind a gate, and the dial of each.

use crate::error::AuthorityError;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Kind, Row, Store, Table};
use procura_types::dial::{Exception, Exceptions, HmacV1Terms, Mode, Route, Routes};
use procura_types::wire::{Service, ServiceList};
use procura_types::{ActorId, Label, Namespace, RoutePrefix, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// (namespace, name) → service.
pub(crate) const SERVICES: Table<(Namespace, Label), ServiceRow> =
    Table::new("service", Kind::Ordinary);

/// What is true of all services of a namespace together.
pub(crate) const COUNTS: Table<Namespace, CountRow> = Table::new("service-count", Kind::Ordinary);

/// Most services of one namespace.
pub const MAX_SERVICES: u32 = 256;

/// Most agents that may run a gate of one service.
pub const MAX_GATES: usize = 16;

/// Rows read at once.
const CHUNK: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceRow {
    pub(crate) version: u64,
    pub(crate) mode: Option<Mode>,
    pub(crate) routes: Routes,
    exceptions: Exceptions,
    /// By id: an agent that takes over a revoked label runs no gate.
    pub(crate) gates: Vec<ActorId>,
    /// None in rows of the time before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hmac_v1: Option<HmacV1Terms>,
    created: Timestamp,
    updated: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountRow {
    /// How many there are.
    services: u32,
    /// The greatest version that any of them ever had: one that is removed and made
    /// again does not have its old versions once more.
    version: u64,
}

/// Makes a service, or replaces all of it.
pub struct ServiceWrite {
    /// Where.
    pub namespace: Namespace,
    /// Its name.
    pub name: Label,
    /// The version that it must have; 0 when it must not be there.
    pub expect_version: u64,
    /// For paths that no route speaks of.
    pub mode: Option<Mode>,
    /// For paths of routes.
    pub routes: Routes,
    /// Whom it refuses on purpose.
    pub exceptions: Exceptions,
    /// Agents that may run a gate of it.
    pub gates: Vec<Label>,
    /// How `hmac-v1` is let in, if it is.
    pub hmac_v1: Option<HmacV1Terms>,
}

impl Op for ServiceWrite {
    const ACTION: Action = Action::ServiceWrite;
    fn resource(&self) -> Resource {
        Resource::Service(self.namespace.clone(), self.name.clone())
    }
}

impl ServiceWrite {
    /// Puts the service of the permit, if it is at the version that was seen.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Service, AuthorityError> {
        let op = batch.op();
        let gates = members(batch.directory(), &op.namespace, &op.gates)?;
        let stored = Stored::read(batch.store(), &op.namespace, &op.name)?;
        stored.is_at(op.expect_version)?;
        let mut count = stored.count();
        if stored.service.is_none() {
            if count.services >= MAX_SERVICES {
                return Err(AuthorityError::TooManyServices);
            }
            count.services += 1;
        }
        count.version += 1;
        let before = stored.service.as_ref().map(|row| &row.value);
        let row = ServiceRow {
            version: count.version,
            mode: op.mode,
            routes: op.routes.clone(),
            exceptions: op.exceptions.clone(),
            gates,
            hmac_v1: op.hmac_v1,
            created: before.map_or(now, |row| row.created),
            updated: now,
        };
        let word = if before.is_some() { "changed" } else { "added" };
        let service = render(batch.directory(), op.name.clone(), row.clone());
        let mut change = Change::between(word, before, Some(&row));
        change.gates(batch.directory(), before, Some(&row));
        batch.details().with = Some(change.to_string());
        let rows = batch.rows();
        SERVICES.expect(rows, &stored.key, expected(stored.service.as_ref()));
        SERVICES.put(rows, &stored.key, &row);
        COUNTS.expect(rows, &op.namespace, expected(stored.count.as_ref()));
        COUNTS.put(rows, &op.namespace, &count);
        Ok(service)
    }
}

/// The agents of these labels, by id.
fn members(
    directory: &Snapshot,
    namespace: &Namespace,
    labels: &[Label],
) -> Result<Vec<ActorId>, AuthorityError> {
    if labels.len() > MAX_GATES {
        return Err(AuthorityError::TooManyGates);
    }
    let mut gates = labels
        .iter()
        .map(|label| {
            directory
                .agent_named(namespace, label)
                .map(|agent| agent.id)
                .ok_or_else(|| AuthorityError::NoGate(label.clone()))
        })
        .collect::<Result<Vec<ActorId>, _>>()?;
    gates.sort();
    gates.dedup();
    Ok(gates)
}

/// Removes a service.
pub struct ServiceRemove {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: Label,
    /// The version that it must have.
    pub expect_version: u64,
}

impl Op for ServiceRemove {
    const ACTION: Action = Action::ServiceWrite;
    fn resource(&self) -> Resource {
        Resource::Service(self.namespace.clone(), self.name.clone())
    }
}

impl ServiceRemove {
    /// Removes the service of the permit, if it is at the version that was seen.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), AuthorityError> {
        let op = batch.op();
        let stored = Stored::read(batch.store(), &op.namespace, &op.name)?;
        let Some(service) = &stored.service else {
            return Err(AuthorityError::NoService(op.name.clone()));
        };
        stored.is_at(op.expect_version)?;
        let mut count = stored.count();
        count.services = count.services.saturating_sub(1);
        let mut change = Change::between("removed", Some(&service.value), None);
        change.gates(batch.directory(), Some(&service.value), None);
        batch.details().with = Some(change.to_string());
        let rows = batch.rows();
        SERVICES.expect(rows, &stored.key, Expected::At(service.version));
        SERVICES.delete(rows, &stored.key);
        COUNTS.expect(rows, &op.namespace, expected(stored.count.as_ref()));
        COUNTS.put(rows, &op.namespace, &count);
        Ok(())
    }
}

/// Reads one service.
pub struct ServiceRead {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: Label,
}

impl Op for ServiceRead {
    const ACTION: Action = Action::ServiceRead;
    fn resource(&self) -> Resource {
        Resource::Service(self.namespace.clone(), self.name.clone())
    }
}

impl ServiceRead {
    /// The service of the permit.
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<Service, AuthorityError> {
        let op = permit.op();
        let row = find(store, &op.namespace, &op.name)?;
        Ok(render(directory, op.name.clone(), row))
    }
}

/// Lists the services of a namespace.
pub struct ServiceListing {
    /// Where.
    pub namespace: Namespace,
}

impl Op for ServiceListing {
    const ACTION: Action = Action::ServiceRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl ServiceListing {
    /// All services by name.
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<ServiceList, AuthorityError> {
        let rows = store.snapshot()?;
        let prefix = KeyPrefix::all().part(&permit.op().namespace);
        let mut services = Vec::new();
        let mut after = None;
        loop {
            let chunk = SERVICES.scan(&rows, &prefix, after.as_ref(), CHUNK)?;
            let whole = chunk.len() < CHUNK;
            after = chunk.last().map(|(key, _)| key.clone());
            let found = chunk.into_iter();
            services.extend(found.map(|((_, name), row)| render(directory, name, row.value)));
            if whole {
                return Ok(ServiceList { services });
            }
        }
    }
}

/// A service as stored.
/// How many there are in a namespace.
pub(crate) fn services(store: &Store, namespace: &Namespace) -> Result<u32, AuthorityError> {
    let row = COUNTS.get(store, namespace)?;
    Ok(row.map_or(0, |row| row.value.services))
}

pub(crate) fn find(
    store: &Store,
    namespace: &Namespace,
    name: &Label,
) -> Result<ServiceRow, AuthorityError> {
    SERVICES
        .get(store, &(namespace.clone(), name.clone()))?
        .map(|row| row.value)
        .ok_or_else(|| AuthorityError::NoService(name.clone()))
}

/// The labels of agents that are not revoked, sorted.
fn labels(directory: &Snapshot, agents: &[ActorId]) -> Vec<Label> {
    let agents = agents.iter().filter_map(|id| directory.actor(id));
    let mut labels: Vec<Label> = agents
        .filter(|agent| agent.revoked.is_none())
        .map(|agent| agent.label().clone())
        .collect();
    labels.sort();
    labels
}

fn render(directory: &Snapshot, name: Label, row: ServiceRow) -> Service {
    Service {
        gates: labels(directory, &row.gates),
        name,
        version: row.version,
        mode: row.mode,
        routes: row.routes,
        exceptions: row.exceptions,
        hmac_v1: row.hmac_v1,
        created: row.created,
        updated: row.updated,
    }
}

/// The rows that a change depends on.
struct Stored {
    key: (Namespace, Label),
    service: Option<Row<ServiceRow>>,
    count: Option<Row<CountRow>>,
}

impl Stored {
    fn read(store: &Store, namespace: &Namespace, name: &Label) -> Result<Self, AuthorityError> {
        let key = (namespace.clone(), name.clone());
        Ok(Self {
            service: SERVICES.get(store, &key)?,
            count: COUNTS.get(store, namespace)?,
            key,
        })
    }

    /// Refuses a change by whoever saw another version than the newest.
    fn is_at(&self, expected: u64) -> Result<(), AuthorityError> {
        let latest = self.service.as_ref().map_or(0, |row| row.value.version);
        if latest == expected {
            Ok(())
        } else {
            Err(AuthorityError::ServiceVersion { expected, latest })
        }
    }

    fn count(&self) -> CountRow {
        self.count
            .as_ref()
            .map(|row| row.value.clone())
            .unwrap_or_default()
    }
}

fn expected<T>(row: Option<&Row<T>>) -> Expected {
    row.map_or(Expected::Absent, |row| Expected::At(row.version))
}

/// What changed of a service, as it stands in the record (`spec/ledger.md`): words
/// that hold no space.
struct Change {
    words: Vec<String>,
}

impl Change {
    fn between(word: &str, before: Option<&ServiceRow>, after: Option<&ServiceRow>) -> Self {
        let mut change = Self {
            words: vec![word.to_owned()],
        };
        let mode = |row: Option<&ServiceRow>| row.and_then(|row| row.mode);
        change.turned("mode", mode(before), mode(after));
        let hmac_v1 = |row: Option<&ServiceRow>| row.and_then(|row| row.hmac_v1);
        change.turned("hmac_v1", hmac_v1(before), hmac_v1(after));
        let none = Routes::default();
        change.routes(
            before.map_or(&none, |row| &row.routes),
            after.map_or(&none, |row| &row.routes),
        );
        let none = Exceptions::default();
        change.exceptions(
            before.map_or(&none, |row| &row.exceptions),
            after.map_or(&none, |row| &row.exceptions),
        );
        change
    }

    fn turned<T: PartialEq + fmt::Display>(
        &mut self,
        what: impl fmt::Display,
        before: Option<T>,
        after: Option<T>,
    ) {
        if before != after {
            let word = |value: Option<T>| {
                value.map_or_else(|| "none".to_owned(), |value| value.to_string())
            };
            self.words
                .push(format!("{what}:{}>{}", word(before), word(after)));
        }
    }

    fn routes(&mut self, before: &Routes, after: &Routes) {
        let prefixes: BTreeSet<&RoutePrefix> = before
            .iter()
            .chain(after.iter())
            .map(|route| &route.prefix)
            .collect();
        for prefix in prefixes {
            let empty = Route::new(prefix.clone());
            let (before, after) = (before.get(prefix), after.get(prefix));
            let (old, new) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
            self.turned(prefix, old.mode, new.mode);
            self.turned(format_args!("{prefix}#stream"), old.stream, new.stream);
            let body = |route: &Route| route.danger_unsigned_body;
            self.turned(
                format_args!("{prefix}#danger_unsigned_body"),
                body(old),
                body(new),
            );
            // A burst is written behind a space elsewhere.
            let rate = |route: &Route| route.rate.map(|rate| rate.to_string().replace(' ', "_"));
            self.turned(format_args!("{prefix}#rate"), rate(old), rate(new));
        }
    }

    fn gates(
        &mut self,
        directory: &Snapshot,
        before: Option<&ServiceRow>,
        after: Option<&ServiceRow>,
    ) {
        let of = |row: Option<&ServiceRow>| row.map_or_else(Vec::new, |row| row.gates.clone());
        let (before, after) = (of(before), of(after));
        let mut differing = |sign: char, these: &[ActorId], others: &[ActorId]| {
            let gone = these.iter().filter(|id| !others.contains(id));
            let agents = gone.filter_map(|id| directory.actor(id));
            let words = agents.map(|agent| format!("gate:{sign}{}", agent.label()));
            self.words.extend(words);
        };
        differing('-', &before, &after);
        differing('+', &after, &before);
    }

    fn exceptions(&mut self, before: &Exceptions, after: &Exceptions) {
        let mut differing = |sign: char, these: &Exceptions, others: &Exceptions| {
            for one in these
                .iter()
                .filter(|one| others.iter().all(|other| other != *one))
            {
                self.words.push(format!("excepted:{sign}{}", spelled(one)));
            }
        };
        differing('-', before, after);
        differing('+', after, before);
    }
}

/// Who, until when and where, in an order in which none can be taken for another:
/// only the last may have a comma in it. Why is not in the record but in the service.
fn spelled(exception: &Exception) -> String {
    let any = || "*".to_owned();
    let agent = exception
        .agent
        .as_ref()
        .map_or_else(any, ToString::to_string);
    let until = exception.until.map_or_else(any, |until| until.to_string());
    let route = exception
        .route
        .as_ref()
        .map_or_else(any, ToString::to_string);
    format!("{agent},{until},{route}")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}
