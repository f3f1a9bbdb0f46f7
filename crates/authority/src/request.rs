//! Requests: an agent's asking for authority that it does not have yet.

use crate::error::AuthorityError;
use crate::project::{PROJECTS, ProjectRow};
use crate::{MAX_PENDING, page};
use procura_crypto::sha256;
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, GrantNeed, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, KeyPrefix, Kind, Row, Seq, Store, StoreError, Table};
use procura_types::wire::{AccessRequest, CallerReport, GrantItem, RequestList, RequestState};
use procura_types::{
    ActorId, Delivery, Duration, Entropy, EnvName, FieldTuple, Grade, GrantId, Namespace,
    ProjectName, RequestId, Thumbprint, Timestamp, encoding,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long a request waits for an answer.
pub const REQUEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// (namespace, id) → request.
pub(crate) const REQUESTS: Table<(Namespace, RequestId), RequestRow> =
    Table::new("request", Kind::Ordinary);
/// (namespace, agent) → its requests that wait, at most [`MAX_PENDING`]. One row,
/// so that the bound holds however many ask at once.
pub(crate) const PENDING: Table<(Namespace, ActorId), Vec<Waiting>> =
    Table::new("request-pending", Kind::Ordinary);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRow {
    pub(crate) agent: ActorId,
    pub(crate) project: ProjectName,
    /// The number of that project: one of the same name that was made later is another.
    #[serde(default)]
    pub(crate) number: u64,
    pub(crate) delivery: Delivery,
    pub(crate) items: Vec<GrantItem>,
    /// The device that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<Thumbprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<CallerReport>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Answered>,
}

/// The answer, once there is one; never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) by: ActorId,
    pub(crate) time: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Approved,
    Denied,
    /// The project ended, or does not fit the request any more.
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) id: RequestId,
    /// Hash of what is asked for, base64url.
    question: String,
    expires: Timestamp,
}

impl RequestRow {
    /// Whether it asks what the project as it is now would ask: the project is the same,
    /// names the agent, and leads none of the names elsewhere.
    pub(crate) fn fits(&self, project: Option<&ProjectRow>) -> bool {
        project.is_some_and(|project| {
            project.number == self.number
                && project.agents.contains(&self.agent)
                && self.items.iter().all(|item| {
                    let mapped = project.env.get(&item.name);
                    mapped.is_none_or(|path| *path == item.path)
                })
        })
    }

    /// Bytes of its names and paths.
    pub(crate) fn terms(&self) -> usize {
        let items = self.items.iter();
        items
            .map(|item| item.name.as_str().len() + item.path.as_str().len())
            .sum()
    }

    /// Where it stands, seen together with its project.
    fn standing(&self, project: Option<&ProjectRow>, now: Timestamp) -> RequestState {
        match self.state(now) {
            RequestState::Pending if !self.fits(project) => RequestState::Ended,
            state => state,
        }
    }

    /// Where it stands while its agent is active.
    fn state(&self, now: Timestamp) -> RequestState {
        match self.answer {
            Some(Answered {
                answer: Answer::Approved,
                ..
            }) => RequestState::Approved,
            Some(Answered {
                answer: Answer::Denied,
                ..
            }) => RequestState::Denied,
            Some(Answered {
                answer: Answer::Ended,
                ..
            }) => RequestState::Ended,
            None if now >= self.expires => RequestState::Expired,
            None => RequestState::Pending,
        }
    }
}

/// Asks for authority. Made by [`crate::Matched::ask`].
pub struct RequestCreate {
    pub(crate) namespace: Namespace,
    pub(crate) project: ProjectName,
    pub(crate) delivery: Delivery,
    pub(crate) items: Vec<GrantItem>,
    /// The project's.
    pub(crate) number: u64,
    /// What the project requires of daemons.
    pub(crate) grade: Option<Grade>,
    pub(crate) members: Vec<ActorId>,
    pub(crate) agent: ActorId,
    pub(crate) report: Option<CallerReport>,
}

impl Op for RequestCreate {
    const ACTION: Action = Action::RequestCreate;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.project.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            members: &self.members,
            grade: self.grade,
            // No grant is needed to ask for one; policies look at what is asked for.
            need: Some(GrantNeed {
                namespace: &self.namespace,
                project: &self.project,
                delivery: self.delivery,
                items: &self.items,
            }),
            ..Concerned::default()
        }
    }
}

impl RequestCreate {
    /// What is asked for, sorted by name.
    #[must_use]
    pub fn items(&self) -> &[GrantItem] {
        &self.items
    }

    /// The request that asks the same and waits already; then there is nothing to
    /// change, and asking again and again leaves no trail of entries.
    pub fn waiting(
        permit: &Permit<Self>,
        store: &Store,
        now: Timestamp,
    ) -> Result<Option<RequestId>, AuthorityError> {
        let op = permit.op();
        if permit.caller().actor() != &op.agent {
            return Ok(None);
        }
        let waiting = PENDING.get(store, &op.pending_key())?;
        Ok(waiting.and_then(|row| op.same_question(&row.value, now)))
    }

    /// Puts the request of the permit, or finds the one that waits already.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<RequestId, AuthorityError> {
        let op = batch.op();
        let project_key = (op.namespace.clone(), op.project.clone());
        let project = PROJECTS
            .get(batch.store(), &project_key)?
            .filter(|project| project.value.number == op.number)
            .ok_or_else(|| AuthorityError::NoProject(op.project.clone()))?;
        if !project.value.agents.contains(&op.agent) || batch.permit().caller().actor() != &op.agent
        {
            return Err(AuthorityError::NotMember);
        }
        PROJECTS.expect(batch.rows(), &project_key, Expected::At(project.version));

        let pending_key = op.pending_key();
        let before = PENDING.get(batch.store(), &pending_key)?;
        PENDING.expect(batch.rows(), &pending_key, expected(before.as_ref()));
        let mut waiting = before.map_or_else(Vec::new, |row| row.value);
        if let Some(id) = op.same_question(&waiting, now) {
            batch.details().grant = Some(grant_id(id));
            return Ok(id);
        }
        waiting.retain(|request| now < request.expires);
        if waiting.len() >= MAX_PENDING {
            return Err(AuthorityError::TooManyPending);
        }
        let id = RequestId::generate(now, entropy)?;
        let expires = now.plus(REQUEST_LIFE);
        waiting.push(Waiting {
            id,
            question: op.question(),
            expires,
        });
        let row = RequestRow {
            agent: op.agent,
            project: op.project.clone(),
            number: op.number,
            delivery: op.delivery,
            items: op.items.clone(),
            device: batch.permit().caller().device().copied(),
            caller: op.report.clone(),
            created: now,
            expires,
            answer: None,
        };
        let key = (op.namespace.clone(), id);
        REQUESTS.expect(batch.rows(), &key, Expected::Absent);
        REQUESTS.put(batch.rows(), &key, &row);
        PENDING.put(batch.rows(), &pending_key, &waiting);
        // The grant that answers will bear this id, so one word finds the
        // question, the answer and all that follows.
        batch.details().grant = Some(grant_id(id));
        Ok(id)
    }

    fn pending_key(&self) -> (Namespace, ActorId) {
        (self.namespace.clone(), self.agent)
    }

    fn question(&self) -> String {
        let head = FieldTuple::new("procura.question.v1")
            .text(self.project.as_str())
            .u64(self.number)
            .text(self.delivery.as_str());
        let tuple = self.items.iter().fold(head, |tuple, item| {
            tuple.text(item.name.as_str()).text(item.path.as_str())
        });
        encoding::b64url(&sha256(tuple.as_bytes()))
    }

    fn same_question(&self, waiting: &[Waiting], now: Timestamp) -> Option<RequestId> {
        let question = self.question();
        waiting
            .iter()
            .find(|request| request.question == question && now < request.expires)
            .map(|request| request.id)
    }
}

/// The project that a request is for, while it waits: then it counts how that is now.
fn project_of(
    store: &Store,
    namespace: &Namespace,
    row: &RequestRow,
) -> Result<Option<ProjectRow>, StoreError> {
    if row.answer.is_some() {
        return Ok(None);
    }
    let key = (namespace.clone(), row.project.clone());
    Ok(PROJECTS.get(store, &key)?.map(|row| row.value))
}

/// The id of the grant that answers a request: the same (`protocol.md` §9).
pub(crate) const fn grant_id(id: RequestId) -> GrantId {
    GrantId::from_bytes(*id.as_bytes())
}

fn expected<V>(row: Option<&Row<V>>) -> Expected {
    row.map_or(Expected::Absent, |row| Expected::At(row.version))
}

/// A request that waits for its answer. Answering consumes it.
pub(crate) struct Pending {
    namespace: Namespace,
    id: RequestId,
    pub(crate) row: RequestRow,
    version: Seq,
}

impl Pending {
    /// The request, if it still waits.
    pub(crate) fn load(
        store: &Store,
        namespace: &Namespace,
        id: RequestId,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let row = REQUESTS
            .get(store, &(namespace.clone(), id))?
            .ok_or(AuthorityError::NoRequest)?;
        let project = project_of(store, namespace, &row.value)?;
        match row.value.standing(project.as_ref(), now) {
            RequestState::Pending => {}
            RequestState::Approved => return Err(AuthorityError::AlreadyApproved),
            RequestState::Denied => return Err(AuthorityError::AlreadyDenied),
            RequestState::Expired => return Err(AuthorityError::RequestExpired),
            RequestState::Revoked => return Err(AuthorityError::AgentRevoked),
            RequestState::Ended => return Err(AuthorityError::RequestEnded),
        }
        Ok(Self {
            namespace: namespace.clone(),
            id,
            row: row.value,
            version: row.version,
        })
    }

    /// Puts the answer; of two at once the second finds the row changed.
    pub(crate) fn answer(
        self,
        store: &Store,
        rows: &mut Batch,
        answered: Answered,
    ) -> Result<(), StoreError> {
        let agent_key = (self.namespace.clone(), self.row.agent);
        if let Some(before) = PENDING.get(store, &agent_key)? {
            let left: Vec<Waiting> = before
                .value
                .into_iter()
                .filter(|request| request.id != self.id && answered.time < request.expires)
                .collect();
            PENDING.expect(rows, &agent_key, Expected::At(before.version));
            if left.is_empty() {
                PENDING.delete(rows, &agent_key);
            } else {
                PENDING.put(rows, &agent_key, &left);
            }
        }
        let key = (self.namespace, self.id);
        REQUESTS.expect(rows, &key, Expected::At(self.version));
        REQUESTS.put(
            rows,
            &key,
            &RequestRow {
                answer: Some(answered),
                ..self.row
            },
        );
        Ok(())
    }
}

/// Reads one request.
pub struct RequestRead {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub id: RequestId,
    /// Who asked and may look how it stands; none for a request that is not there.
    pub agent: Option<ActorId>,
}

impl Op for RequestRead {
    const ACTION: Action = Action::RequestRead;
    fn resource(&self) -> Resource {
        Resource::Request(self.namespace.clone(), self.id)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            own: self.agent.as_ref(),
            ..Concerned::default()
        }
    }
}

impl RequestRead {
    /// The operation for this request, whether it exists or not.
    pub fn resolve(
        store: &Store,
        namespace: Namespace,
        id: RequestId,
    ) -> Result<Self, AuthorityError> {
        let row = REQUESTS.get(store, &(namespace.clone(), id))?;
        Ok(Self {
            namespace,
            id,
            agent: row.map(|row| row.value.agent),
        })
    }

    /// The request of the permit.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
        now: Timestamp,
    ) -> Result<AccessRequest, AuthorityError> {
        let op = permit.op();
        let row = REQUESTS
            .get(store, &(op.namespace.clone(), op.id))?
            .ok_or(AuthorityError::NoRequest)?;
        Ok(render(
            snapshot,
            store,
            &op.namespace,
            op.id,
            row.value,
            now,
        )?)
    }
}

/// Lists the requests of a namespace.
pub struct RequestListing {
    /// Where.
    pub namespace: Namespace,
    /// Only requests after this one.
    pub after: Option<RequestId>,
    /// At most so many, 1 to 1000; 100 by default.
    pub limit: Option<usize>,
}

impl Op for RequestListing {
    const ACTION: Action = Action::RequestList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl RequestListing {
    /// The requests by id, that is by time, answered ones too.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
        now: Timestamp,
    ) -> Result<RequestList, AuthorityError> {
        let op = permit.op();
        let limit = page(op.limit);
        let prefix = KeyPrefix::all().part(&op.namespace);
        let after = op.after.map(|id| (op.namespace.clone(), id));
        let mut rows = REQUESTS.scan(&store.snapshot()?, &prefix, after.as_ref(), limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more {
            rows.last().map(|((_, id), _)| *id)
        } else {
            None
        };
        let requests = rows
            .into_iter()
            .map(|((namespace, id), row)| render(snapshot, store, &namespace, id, row.value, now))
            .collect::<Result<_, _>>()?;
        Ok(RequestList { requests, next })
    }

    /// Of the requests, those that wait for an answer. None is older than a request can
    /// get, so what was answered before is not looked at, however much that is.
    pub fn waiting(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
        now: Timestamp,
    ) -> Result<RequestList, AuthorityError> {
        let op = permit.op();
        let limit = page(op.limit);
        let prefix = KeyPrefix::all().part(&op.namespace);
        let oldest = first_of(now.minus(REQUEST_LIFE));
        let after = op.after.map_or(oldest, |after| after.max(oldest));
        let mut after = (op.namespace.clone(), after);
        let read = store.snapshot()?;
        let mut requests = Vec::new();
        loop {
            let rows = REQUESTS.scan(&read, &prefix, Some(&after), AT_ONCE)?;
            let Some(((_, last), _)) = rows.last() else {
                return Ok(RequestList {
                    requests,
                    next: None,
                });
            };
            after.1 = *last;
            for ((namespace, id), row) in rows {
                let request = render(snapshot, store, &namespace, id, row.value, now)?;
                if request.state != RequestState::Pending {
                    continue;
                }
                if requests.len() == limit {
                    let next = requests.last().map(|last: &AccessRequest| last.id);
                    return Ok(RequestList { requests, next });
                }
                requests.push(request);
            }
        }
    }
}

/// Rows that are looked at in one go.
const AT_ONCE: usize = 256;

/// The lowest id that a request of this moment can have: ids begin with their time
/// (RFC 9562 §5.7).
fn first_of(moment: Timestamp) -> RequestId {
    RequestId::from_bytes((u128::from(moment.as_millis()) << 80).to_be_bytes())
}

pub(crate) fn render(
    snapshot: &Snapshot,
    store: &Store,
    namespace: &Namespace,
    id: RequestId,
    row: RequestRow,
    now: Timestamp,
) -> Result<AccessRequest, StoreError> {
    let project = project_of(store, namespace, &row)?;
    let is_active = snapshot.is_active(&row.agent);
    let state = match row.standing(project.as_ref(), now) {
        RequestState::Pending if !is_active => RequestState::Revoked,
        state => state,
    };
    let already: BTreeSet<EnvName> = snapshot
        .grants_of(&row.agent)
        .filter(|grant| {
            is_active
                && grant.namespace == *namespace
                && grant.project == row.project
                && grant.delivery == row.delivery
                && grant.holds(now)
        })
        .flat_map(|grant| grant.items.iter().map(|item| item.name.clone()))
        .collect();
    Ok(AccessRequest {
        id,
        namespace: namespace.clone(),
        agent: row.agent,
        lineage: snapshot.lineage(&row.agent),
        state,
        project: row.project,
        delivery: row.delivery,
        items: row.items,
        already: already.into_iter().collect(),
        device: row.device,
        caller: row.caller,
        created: row.created,
        expires: row.expires,
    })
}
