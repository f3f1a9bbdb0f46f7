//! `/v1/namespaces/{ns}/secrets` and `/history`.

use crate::app::Open;
use crate::honey::bait_of_read;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, SecretPut, SecretValue, ValueB64};
use procura_types::{Duration, Malformed, SecretPath, Timestamp};
use procura_vault::{
    DeletedListing, ListingAt, SecretAbout, SecretDelete, SecretDestroy, SecretHistoryQuery,
    SecretListing, SecretRead, SecretSet, SecretUndelete, SecretWrite,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    prefix: String,
    after: Option<SecretPath>,
    limit: Option<usize>,
    /// Seconds from now.
    due_within: Option<u64>,
    #[serde(default)]
    deleted: bool,
    at: Option<Timestamp>,
}

/// Which of the lists a request is for. It was decided by the keys as they were written;
/// one that only decodes to such a key is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Now,
    Deleted,
    Then,
}

impl ListQuery {
    /// The list, and the time that it is of, if it is one of then.
    fn listing(input: &Input, of: Of) -> Result<(SecretListing, Option<Timestamp>), Failure> {
        let query: Self = input.query()?;
        if query.deleted && query.at.is_some() {
            return Err(Malformed::new("at", "and deleted exclude each other").into());
        }
        for (key, is_said, is_served) in [
            ("deleted", query.deleted, of == Of::Deleted),
            ("at", query.at.is_some(), of == Of::Then),
        ] {
            if is_said != is_served {
                return Err(Malformed::new(key, "is written without escapes").into());
            }
        }
        if of != Of::Now && query.due_within.is_some() {
            let why = "is not for what is deleted, nor for what was there at a time";
            return Err(Malformed::new("due_within", why).into());
        }
        if let Some(at) = query.at {
            past(at, input.now)?;
        }
        let due = query.due_within.map(Duration::from_secs);
        let listing = SecretListing {
            namespace: input.param("ns")?,
            prefix: query.prefix,
            after: query.after,
            limit: query.limit,
            due: due.map(|within| input.now.plus(within)),
        };
        Ok((listing, query.at))
    }
}

pub(super) struct List;

impl Endpoint for List {
    type Op = SecretListing;
    type Body = ();
    type Answer = wire::SecretList;
    const SUMMARY: &'static str = "Lists secrets by the beginning of their path: all, those that are due, with deleted=true those that can be undeleted, or with at what was there then";
    const QUERY: &'static [&'static str] =
        &["prefix", "after", "limit", "due_within", "deleted", "at"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/secrets";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ListQuery::listing(input, Of::Now)?.0)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let list = SecretListing::run(&permit, &open.directory.snapshot(), open.vault.store())?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct ListDeleted;

impl Endpoint for ListDeleted {
    type Op = DeletedListing;
    type Body = ();
    type Answer = wire::SecretList;
    const SUMMARY: &'static str = "Lists secrets that can be undeleted";
    const QUERY: &'static [&'static str] = List::QUERY;
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(DeletedListing(ListQuery::listing(input, Of::Deleted)?.0))
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&DeletedListing::run(&permit, context.open.vault.store())?)
    }
}

pub(super) struct ListAt;

impl Endpoint for ListAt {
    type Op = ListingAt;
    type Body = ();
    type Answer = wire::SecretList;
    const SUMMARY: &'static str = "Lists what was there at a time; the ledger says it before";
    const QUERY: &'static [&'static str] = List::QUERY;
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let (listing, at) = ListQuery::listing(input, Of::Then)?;
        // It is there, else the request is for another list.
        let at = at.ok_or_else(|| Malformed::new("at", "is written without escapes"))?;
        Ok(ListingAt { listing, at })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let details = permit.op().details();
        let recorded = open
            .recorder
            .record(permit, context.origin(), details)
            .await?;
        let list = ListingAt::run(&recorded, &open.directory.snapshot(), open.vault.store())?;
        Reply::json::<Self::Answer>(&list)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionQuery {
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    version: Option<u64>,
    at: Option<Timestamp>,
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = SecretRead;
    type Body = ();
    type Answer = wire::SecretValue;
    const SUMMARY: &'static str = "Reads a value; the intent is in the ledger before";
    const QUERY: &'static [&'static str] = &["version", "at"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/secrets/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let ReadQuery { version, at } = input.query()?;
        if let Some(at) = at {
            if version.is_some() {
                return Err(Malformed::new("at", "and version exclude each other").into());
            }
            past(at, input.now)?;
        }
        Ok(SecretRead {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            version,
            at,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let op = permit.op();
        let now = context.input.now;
        let Some(readable) = open.vault.readable_of(op, now)? else {
            // What is rare is kept out of the state of each request.
            return Box::pin(bait_of_read(&context, permit)).await;
        };
        // The intent is durable when this returns; only then is the value opened.
        let recorded = open
            .recorder
            .record(permit, context.origin(), readable.details())
            .await?;
        let released = match open.vault.release_one(&recorded, readable, now) {
            Ok(released) => released,
            Err(error) => {
                let failed = open.recorder.failed(&recorded, "value_unreadable");
                Box::pin(failed).await?;
                return Err(error.into());
            }
        };
        let value_b64 = ValueB64::encode(released.value.expose());
        let length = value_b64.len();
        let answer = SecretValue {
            path: recorded.op().path.clone(),
            version: released.version,
            value_b64,
            created: released.created,
        };
        Reply::secret::<Self::Answer>(&answer, length)
    }
}

pub(super) struct Write;

impl Endpoint for Write {
    type Op = SecretWrite;
    type Body = wire::SecretPut;
    type Answer = wire::SecretWritten;
    const SUMMARY: &'static str = "Writes a version";
    const BODY: usize = crate::serve::MAX_BODY;
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/secrets/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body: SecretPut = input.json::<Self::Body>()?;
        if let Some(name) = &body.env {
            name.deliverable()?;
        }
        Ok(SecretWrite {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            value: body.value_b64.decode()?,
            expect_version: body.expect_version,
            env: body.env,
            kind: body.kind,
            about: SecretAbout {
                description: body.description,
                tags: body.tags,
                owner: body.owner,
                expires: body.expires,
                rotate_by: body.rotate_by,
                delivery: body.delivery,
                clear: Vec::new(),
            },
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        let namespace = &permit.op().namespace;
        let _turn = context.open.turns.take(vault, namespace).await?;
        let written: wire::SecretWritten = context
            .change(permit, |batch| SecretWrite::run(vault, batch, now))
            .await?;
        Reply::json::<Self::Answer>(&written)
    }
}

/// Refuses a time of which it is not known yet what was there.
pub(super) fn past(at: Timestamp, now: Timestamp) -> Result<(), Failure> {
    if at > now {
        return Err(Malformed::new("at", "must not be after now, by the server's clock").into());
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    version: Option<u64>,
    #[serde(default)]
    destroy: bool,
}

impl RemoveQuery {
    /// The version. Which of the two operations it is was decided by the key as
    /// it was written; one that only decodes to it is refused.
    fn version(input: &Input, destroy: bool) -> Result<Option<u64>, Failure> {
        let query: Self = input.query()?;
        if query.destroy == destroy {
            Ok(query.version)
        } else {
            Err(Malformed::new("destroy", "is written without escapes").into())
        }
    }
}

pub(super) struct Delete;

impl Endpoint for Delete {
    type Op = SecretDelete;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str =
        "Makes versions unreadable, or with destroy=true removes their bytes and keys";
    const STATUS: u16 = 204;
    const QUERY: &'static [&'static str] = &["version", "destroy"];
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let version = RemoveQuery::version(input, false)?;
        Ok(SecretDelete {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            version,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| SecretDelete::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct Destroy;

impl Endpoint for Destroy {
    type Op = SecretDestroy;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes the bytes and keys of versions";
    const STATUS: u16 = 204;
    const QUERY: &'static [&'static str] = &["version", "destroy"];
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let version = RemoveQuery::version(input, true)?;
        Ok(SecretDestroy {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            version,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let namespace = &permit.op().namespace;
        let turns = &context.open.turns;
        let _turn = turns.take(&context.open.vault, namespace).await?;
        context
            .change(permit, |batch| SecretDestroy::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct Undelete;

impl Endpoint for Undelete {
    type Op = SecretUndelete;
    type Body = ();
    type Answer = wire::SecretUndeleted;
    const SUMMARY: &'static str = "Makes deleted versions readable again, one or all of them";
    const QUERY: &'static [&'static str] = &["version"];
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/undelete/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let VersionQuery { version } = input.query()?;
        Ok(SecretUndelete {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            version,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let undeleted: wire::SecretUndeleted = context
            .change(permit, |batch| SecretUndelete::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&undeleted)
    }
}

pub(super) struct Set;

impl Endpoint for Set {
    type Op = SecretSet;
    type Body = wire::SecretSet;
    type Answer = wire::SecretRow;
    const SUMMARY: &'static str = "Changes what is said of a secret, without a new version";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/metadata/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body: wire::SecretSet = input.json::<Self::Body>()?;
        Ok(SecretSet {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            about: SecretAbout {
                description: body.description,
                tags: body.tags,
                owner: body.owner,
                expires: body.expires,
                rotate_by: body.rotate_by,
                delivery: body.delivery,
                clear: body.clear,
            },
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let row: wire::SecretRow = context.change(permit, SecretSet::run).await?;
        Reply::json::<Self::Answer>(&row)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryPage {
    before: Option<u64>,
    limit: Option<usize>,
}

pub(super) struct History;

impl Endpoint for History {
    type Op = SecretHistoryQuery;
    type Body = ();
    type Answer = wire::SecretHistory;
    const SUMMARY: &'static str = "Lists the versions of a secret, newest first";
    const QUERY: &'static [&'static str] = &["before", "limit"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/history/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let HistoryPage { before, limit } = input.query()?;
        Ok(SecretHistoryQuery {
            namespace: input.param("ns")?,
            path: input.param("path")?,
            before,
            limit,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&SecretHistoryQuery::run(
            &permit,
            context.open.vault.store(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::serve::{Arrived, handle};
    use std::sync::Arc;

    /// The state of a request is moved to the heap whole, once for each request.
    #[test]
    fn the_state_of_a_read_is_small() {
        fn size<F: Future>(_: impl Fn(Arc<App>, Arrived) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(handle::<Read>);
        assert!(bytes <= 6 * 1024 + 256, "{bytes}");
    }
}
