//! Requests that were answered, or expired, runs that ended and project tokens that
//! are over do not stay for ever: the ledger keeps what they were, and these rows are for
//! looking up what is going on. Grants stay, with their receipts; so do runs that have not
//! been seen to end, since withdrawal lists them.

use crate::error::AuthorityError;
use crate::request::{PENDING, REQUESTS, RequestRow};
use crate::run::{RUNS, RunRow};
use procura_ledger::{Entry, SUMMARY, Summary};
use procura_policy::Resource;
use procura_record::RecordError;
use procura_record::tables::{DIRECTORY_GUARD, GUARD, LEDGER, TOKENS};
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Row, Store};
use procura_types::{
    ActorId, BatchId, Clock, Duration, Entropy, Namespace, RequestId, RunId, Timestamp, TokenId,
    TraceId,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long a request is kept after its answer, or after it expired.
pub const REQUEST_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long a run is kept after its end.
pub const RUN_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a project token is kept after its end, to say why it opens nothing. Without
/// a record it opens nothing either.
pub const TOKEN_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Most rows of one batch.
const PAGE: usize = 256;

/// One pass over the requests and runs of some namespaces. What it takes away it
/// finds anew each time, so a pass that breaks off needs no repair.
pub struct Pruning {
    due: Timestamp,
    left: VecDeque<Part>,
}

/// A part of a pass: what of which namespace, from where on.
enum Part {
    Requests(Namespace, Option<RequestId>),
    Runs(Namespace, Option<RunId>),
    /// Those of all namespaces.
    Tokens(Option<TokenId>),
}

impl Pruning {
    /// A pass over these namespaces, for what is over at `due`.
    #[must_use]
    pub fn new(due: Timestamp, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        let parts = |namespace: Namespace| {
            [
                Part::Requests(namespace.clone(), None),
                Part::Runs(namespace, None),
            ]
        };
        Self {
            due,
            left: namespaces
                .into_iter()
                .flat_map(parts)
                .chain([Part::Tokens(None)])
                .collect(),
        }
    }

    /// Looks at up to 256 rows and takes those away whose time is over, in the
    /// queue for bulk work, together with one ledger entry that says how many.
    /// Gives how many; none when the pass is over.
    ///
    /// # Errors
    /// The store's; nothing of the batch was done then.
    pub async fn step(
        &mut self,
        store: &Store,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Option<u64>, AuthorityError> {
        let Some(part) = self.left.pop_front() else {
            return Ok(None);
        };
        let now = clock.now();
        let mut batch = Batch::new(BatchId::generate(now, entropy)?).bulk();
        let (namespace, action, ended, next) = match part {
            Part::Requests(namespace, after) => {
                let (ended, next) = requests(store, &mut batch, &namespace, after, self.due)?;
                let next = next.map(|after| Part::Requests(namespace.clone(), Some(after)));
                (Some(namespace), "request.prune", ended, next)
            }
            Part::Runs(namespace, after) => {
                let (ended, next) = runs(store, &mut batch, &namespace, after, self.due)?;
                let next = next.map(|after| Part::Runs(namespace.clone(), Some(after)));
                (Some(namespace), "run.prune", ended, next)
            }
            Part::Tokens(after) => {
                let (ended, next) = tokens(store, &mut batch, after, self.due)?;
                let next = next.map(|after| Part::Tokens(Some(after)));
                (None, "project_token.prune", ended, next)
            }
        };
        if let Some(next) = next {
            self.left.push_front(next);
        }
        let Some(summary) = ended else {
            return Ok(Some(0));
        };
        let trace = TraceId::generate(now, entropy)?;
        let entry = Entry {
            reason: Some(SUMMARY.into()),
            resource: Some(
                namespace
                    .clone()
                    .map_or(Resource::Installation, Resource::Namespace)
                    .to_string(),
            ),
            namespace,
            summary: Some(summary),
            ..Entry::new(now, entropy, action, trace)?
        };
        batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
        match store.commit(batch).await {
            Ok(_) => Ok(Some(summary.count)),
            // An agent asked meanwhile; the next pass finds these rows again.
            Err(CommitError::Conflict { .. }) => Ok(Some(0)),
            Err(error) => Err(RecordError::from(error).into()),
        }
    }
}

/// Counts one more row, which ended at `time`.
fn count(summary: &mut Option<Summary>, time: Timestamp) {
    let before = summary.unwrap_or(Summary {
        count: 0,
        from: time,
        until: time,
    });
    *summary = Some(Summary {
        count: before.count + 1,
        from: before.from.min(time),
        until: before.until.max(time),
    });
}

/// Where a scan goes on: after the last row of a full page, unless that row is too
/// young for any later one to be old enough. Ids ascend with time.
fn next<I: Copy, V>(
    page: &[((Namespace, I), Row<V>)],
    may_be_over: impl Fn(&V) -> bool,
) -> Option<I> {
    let ((_, last), row) = page.last()?;
    (page.len() == PAGE && may_be_over(&row.value)).then_some(*last)
}

type Page<I> = (Option<Summary>, Option<I>);

fn requests(
    store: &Store,
    batch: &mut Batch,
    namespace: &Namespace,
    after: Option<RequestId>,
    due: Timestamp,
) -> Result<Page<RequestId>, AuthorityError> {
    let after = after.map(|id| (namespace.clone(), id));
    let prefix = KeyPrefix::all().part(namespace);
    let page = REQUESTS.scan(&store.snapshot()?, &prefix, after.as_ref(), PAGE)?;
    let going_on = next(&page, |row: &RequestRow| {
        row.created.plus(REQUEST_KEPT) <= due
    });
    let mut summary = None;
    let mut expired: BTreeMap<ActorId, BTreeSet<RequestId>> = BTreeMap::new();
    for (key, row) in page {
        let ended = row
            .value
            .answer
            .map_or(row.value.expires, |answered| answered.time);
        if due < ended.plus(REQUEST_KEPT) {
            continue;
        }
        REQUESTS.expect(batch, &key, Expected::At(row.version));
        REQUESTS.delete(batch, &key);
        if row.value.answer.is_none() {
            expired.entry(row.value.agent).or_default().insert(key.1);
        }
        count(&mut summary, ended);
    }
    for (agent, gone) in expired {
        let key = (namespace.clone(), agent);
        let Some(row) = PENDING.get(store, &key)? else {
            continue;
        };
        let mut waiting = row.value;
        waiting.retain(|request| !gone.contains(&request.id));
        PENDING.expect(batch, &key, Expected::At(row.version));
        if waiting.is_empty() {
            PENDING.delete(batch, &key);
        } else {
            PENDING.put(batch, &key, &waiting);
        }
    }
    Ok((summary, going_on))
}

fn runs(
    store: &Store,
    batch: &mut Batch,
    namespace: &Namespace,
    after: Option<RunId>,
    due: Timestamp,
) -> Result<Page<RunId>, AuthorityError> {
    let after = after.map(|id| (namespace.clone(), id));
    let prefix = KeyPrefix::all().part(namespace);
    let page = RUNS.scan(&store.snapshot()?, &prefix, after.as_ref(), PAGE)?;
    let going_on = next(&page, |row: &RunRow| row.started.plus(RUN_KEPT) <= due);
    let mut summary = None;
    for (key, row) in page {
        if let Some(ended) = row.value.ended
            && ended.plus(RUN_KEPT) <= due
        {
            RUNS.expect(batch, &key, Expected::At(row.version));
            RUNS.delete(batch, &key);
            count(&mut summary, ended);
        }
    }
    Ok((summary, going_on))
}

fn tokens(
    store: &Store,
    batch: &mut Batch,
    after: Option<TokenId>,
    due: Timestamp,
) -> Result<Page<TokenId>, AuthorityError> {
    let after = after.map(|id| id.to_string());
    let page = TOKENS.scan(&store.snapshot()?, &KeyPrefix::all(), after.as_ref(), PAGE)?;
    // A later one may be over before: they last as long as each was issued for.
    let last = page.last().filter(|_| page.len() == PAGE);
    let going_on = last.map(|(_, row)| row.value.id);
    let mut summary = None;
    for (key, row) in page {
        let ended = row.value.until;
        if ended.plus(TOKEN_KEPT) <= due {
            TOKENS.expect(batch, &key, Expected::At(row.version));
            TOKENS.delete(batch, &key);
            count(&mut summary, ended);
        }
    }
    if summary.is_some() {
        // The directory moves with its rows.
        DIRECTORY_GUARD.put(batch, &GUARD.to_owned(), &());
    }
    Ok((summary, going_on))
}
