//! `/v1/ledger`: checkpoints, tiles, entries, proofs.

use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply, denial, refuse, turned_away};
use bytes::Bytes;
use procura_ledger::{Entry, TileKind, TilePath};
use procura_policy::{Action, Denied, DenyReason, Op, Permit, Resource, authorize};
use procura_proof::Caller;
use procura_record::{Details, QueryError};
use procura_types::wire::{self, EntryQuery, ProofAnswer};
use procura_types::{EntryId, Malformed, Namespace, Role};
use serde::Deserialize;

/// Reads a part of the record: of one namespace, by its auditors.
pub(crate) struct LedgerRead {
    namespace: Namespace,
    query: EntryQuery,
}

impl Op for LedgerRead {
    const ACTION: Action = Action::LedgerRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

/// Reads one entry of a namespace, by its auditors.
pub(crate) struct EntryRead {
    namespace: Namespace,
    found: Found,
}

/// An entry and its place in the log.
struct Found {
    id: EntryId,
    index: u64,
    entry: String,
}

impl Op for EntryRead {
    const ACTION: Action = Action::LedgerRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

/// Reads the whole record.
pub(crate) struct LedgerExport<T> {
    pub(super) what: T,
}

impl<T: Send + Sync + 'static> Op for LedgerExport<T> {
    const ACTION: Action = Action::LedgerExport;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// Reads what proves that the log only grows; nothing of what is in it.
pub(crate) struct LedgerCheckpoint<T> {
    pub(super) what: T,
}

impl<T: Send + Sync + 'static> Op for LedgerCheckpoint<T> {
    const ACTION: Action = Action::LedgerCheckpoint;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// Actions of entries that no permit opens: the server's own acts
/// (`spec/ledger.md`), and callers who proved nothing.
pub(crate) const OWN_ACTIONS: [&str; 19] = [
    "authenticate",
    crate::reloading::ACTION,
    "installation.rewrap",
    "installation.rotated",
    "installation.spool",
    procura_ledger::FORGET,
    "namespace.sweep",
    crate::notify::KEY_ACTION,
    procura_identity::account::PASSWORD_VOID_ACTION,
    "project_token.prune",
    "request.prune",
    "run.prune",
    procura_vault::DUE_ACTION,
    procura_vault::TOUCH_ACTION,
    procura_vault::LEFT_OUT_ACTION,
    "signing_key.make",
    "verify",
    crate::pages::FORM_ACTION,
    procura_identity::account::WRONG_CODES_ACTION,
];

/// A query about an action that no entry can have is a typing error, and an
/// empty answer to it would look like a record without such entries.
fn known(query: EntryQuery) -> Result<EntryQuery, Failure> {
    let Some(asked) = query.action.as_deref() else {
        return Ok(query);
    };
    let actions = Action::ALL.iter().map(|action| action.as_str());
    let nearest = actions
        .chain(OWN_ACTIONS)
        .map(|action| (distance(asked, action), action))
        .min();
    match nearest {
        Some((0, _)) | None => Ok(query),
        Some((_, nearest)) => {
            let what = format!("action: is none that the record has; the nearest is {nearest}");
            let mut failure = Failure::new(Code::Malformed, what);
            failure.field = Some("action");
            Err(failure)
        }
    }
}

/// How many characters to put in, take out or change make one text the other
/// (Levenshtein's distance). Of a long text only the beginning counts, which is
/// more than any action has.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.bytes().take(64).enumerate() {
        let mut corner = line;
        let mut before = line + 1;
        for (right, cell) in other.bytes().zip(row.iter_mut().skip(1)) {
            let changed = corner + usize::from(left != right);
            corner = *cell;
            before = changed.min(corner + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Entries of one namespace.
pub(super) struct NamespaceEntries;

impl Endpoint for NamespaceEntries {
    type Op = LedgerRead;
    type Body = ();
    type Answer = wire::EntryList;
    const SUMMARY: &'static str = "Lists entries, newest first; of one namespace for its auditors";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = Entries::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let query: EntryQuery = known(input.query()?)?;
        let namespace = query
            .namespace
            .clone()
            .ok_or(Malformed::new("namespace", "is given twice or not at all"))?;
        Ok(LedgerRead { namespace, query })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.open.recorder.drain_refusals().await;
        Reply::json::<Self::Answer>(&context.open.reader.list(&permit.op().query).await?)
    }
}

/// Entries of the installation.
pub(super) struct Entries;

impl Endpoint for Entries {
    type Op = LedgerExport<EntryQuery>;
    type Body = ();
    type Answer = wire::EntryList;
    const SUMMARY: &'static str = "Lists entries, newest first; without a namespace for stewards";
    const QUERY: &'static [&'static str] = &[
        "namespace",
        "actor",
        "owner",
        "grant",
        "action",
        "since",
        "until",
        "before",
        "limit",
    ];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/entries";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerExport {
            what: known(input.query()?)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.open.recorder.drain_refusals().await;
        Reply::json::<Self::Answer>(&context.open.reader.list(&permit.op().what).await?)
    }
}

/// The newest checkpoint that covers everything acknowledged so far.
pub(super) struct Checkpoint;

impl Endpoint for Checkpoint {
    type Op = LedgerCheckpoint<()>;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str =
        "The newest signed checkpoint, which covers everything acknowledged (C2SP text)";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/checkpoint";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerCheckpoint { what: () })
    }

    async fn run(context: Context<'_>, _: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.open.recorder.drain_refusals().await;
        let size = context.open.reader.size()?;
        let published = context.open.publisher.covering(size).await.ok_or_else(|| {
            Failure::new(
                Code::LedgerUnavailable,
                "Checkpoints are not being published.",
            )
        })?;
        Ok(Reply::raw(
            "text/plain; charset=utf-8",
            Bytes::from(published.note.clone()),
        ))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: u64,
}

/// That one size goes on from another.
pub(super) struct Consistency;

impl Endpoint for Consistency {
    type Op = LedgerCheckpoint<Sizes>;
    type Body = ();
    type Answer = wire::ConsistencyAnswer;
    const SUMMARY: &'static str = "Proves that one size of the log goes on from another";
    const QUERY: &'static [&'static str] = &["from", "to"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/consistency";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerCheckpoint {
            what: input.query()?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let Sizes { from, to } = permit.op().what;
        Reply::json::<Self::Answer>(&context.open.reader.consistency(from, to).await?)
    }
}

/// What leads from an earlier key of the record to the one of today.
pub(super) struct Handovers;

impl Endpoint for Handovers {
    type Op = LedgerCheckpoint<()>;
    type Body = ();
    type Answer = wire::HandoverList;
    const SUMMARY: &'static str =
        "The checkpoints that the key of the record turned with, signed by both keys";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/handovers";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerCheckpoint { what: () })
    }

    async fn run(context: Context<'_>, _: Permit<Self::Op>) -> Result<Reply, Failure> {
        let handovers = procura_record::handovers(context.open.vault.store())?;
        Reply::json::<Self::Answer>(&wire::HandoverList { handovers })
    }
}

/// A tile or an entry bundle, plain.
pub(super) struct Tile;

impl Endpoint for Tile {
    type Op = LedgerExport<TilePath>;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "A hash tile or an entry bundle (C2SP tlog-tiles)";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/tile/{*path}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let path = input
            .parts
            .uri
            .path()
            .strip_prefix("/v1/ledger/")
            .unwrap_or_default();
        let what = path.parse().map_err(|_| {
            let mut failure =
                Failure::new(Code::Malformed, "The path is not one of C2SP tlog-tiles.");
            failure.field = Some("path");
            failure
        })?;
        Ok(LedgerExport { what })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let path = permit.op().what;
        let bytes =
            context.open.reader.tile(path).await?.ok_or_else(|| {
                Failure::new(Code::NotFound, "The published log has no such tile.")
            })?;
        if path.kind() == TileKind::Entries {
            // A bundle shows what everybody did: that it was taken is recorded.
            context
                .open
                .recorder
                .record(permit, context.origin(), Details::default())
                .await?;
        }
        Ok(Reply::raw("application/octet-stream", Bytes::from(bytes)))
    }
}

/// One entry with its proof: of the installation for stewards, of a namespace for
/// its auditors too. Which namespace it is of stands in the entry, so whoever may
/// not read everything is decided on once it is found.
pub(super) struct Proof;

impl Endpoint for Proof {
    type Op = LedgerExport<EntryId>;
    type Body = ();
    type Answer = wire::ProofAnswer;
    const SUMMARY: &'static str =
        "One entry with its inclusion proof; of a namespace for its auditors";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/proof/{id}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerExport {
            what: input.param("id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let id = permit.op().what;
        let (index, entry) = context.open.reader.find(id).await?;
        proven(context.open, &Found { id, index, entry }).await
    }

    async fn denied(
        context: Context<'_>,
        denied: Denied,
        caller: Caller,
        op: Self::Op,
    ) -> Result<Reply, Failure> {
        let open = context.open;
        // Nobody but an auditor has the record searched.
        let audits = open
            .directory
            .snapshot()
            .roles(caller.actor())
            .is_some_and(|held| held.roles.iter().any(|role| role.role == Role::Auditor));
        if denied.reason != DenyReason::NoRole || !audits {
            return Err(turned_away(&context, &caller, &op, denied));
        }
        let id = op.what;
        // To an auditor an entry of the installation, or of a namespace of others,
        // is as one that is not there.
        let hidden = Denied {
            visible: false,
            ..denied
        };
        let found = match open.reader.find(id).await {
            Ok((index, entry)) => {
                let namespace = Entry::parse(entry.as_bytes())
                    .map_err(Failure::internal)?
                    .namespace;
                namespace.map(|namespace| EntryRead {
                    namespace,
                    found: Found { id, index, entry },
                })
            }
            Err(QueryError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(read) = found else {
            refuse(&context, &caller, &op, &hidden);
            return Err(denial(hidden));
        };
        let snapshot = open.directory.snapshot();
        match authorize(
            open.recorder.decider(),
            &snapshot,
            caller,
            read,
            context.input.now,
        ) {
            Ok(permit) => proven(open, &permit.op().found).await,
            Err((refused, caller, _)) => {
                // Recorded as what was attempted; the namespace is none of theirs.
                refuse(&context, &caller, &op, &refused);
                Err(denial(Denied {
                    visible: false,
                    ..refused
                }))
            }
        }
    }
}

/// The answer about an entry that may be read.
async fn proven(open: &Open, found: &Found) -> Result<Reply, Failure> {
    let index = found.index;
    // A checkpoint comes within 200 ms of its entry.
    let published = open.publisher.covering(index + 1).await.ok_or_else(|| {
        Failure::new(
            Code::LedgerUnavailable,
            "Checkpoints are not being published.",
        )
    })?;
    let path = open.reader.inclusion(index, published.size).await?;
    Reply::json::<ProofAnswer>(&ProofAnswer {
        id: found.id,
        index,
        entry: found.entry.clone(),
        path,
        checkpoint: published.note.clone(),
    })
}
