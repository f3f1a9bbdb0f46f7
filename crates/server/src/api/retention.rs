//! `/v1/ledger/retention`: how long entries of the record are kept, and
//! `/v1/ledger/forgotten`: what those leave behind that are not kept any more
//! (`protocol.md` §6, ADR 34).

use super::ledger::{LedgerCheckpoint, LedgerExport};
use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use bytes::Bytes;
use procura_ledger::Carried;
use procura_policy::{Action, Op, Permit, Resource};
use procura_proof::{Caller, Profile};
use procura_record::{Details, first_kept, keep, retention};
use procura_types::wire::{self, RetentionSet};
use procura_types::{Malformed, Timestamp};

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Says how long entries are kept.
pub(crate) struct LedgerRetention {
    /// In days; for ever without.
    keep: Option<u64>,
}

impl Op for LedgerRetention {
    const ACTION: Action = Action::LedgerRetention;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// What is so now.
fn shown(open: &Open, now: Timestamp) -> Result<wire::Retention, Failure> {
    let store = open.vault.store();
    let rule = retention(store)?.map(|row| row.value);
    let days = |seconds: u64| seconds / DAY;
    let waits_until = rule.as_ref().and_then(|rule| rule.waits_until(now));
    Ok(wire::Retention {
        keep_days: rule.as_ref().and_then(|rule| rule.keep).map(days),
        since: rule.as_ref().map(|rule| rule.since),
        waits_until,
        until_then_days: rule
            .filter(|_| waits_until.is_some())
            .and_then(|rule| rule.before)
            .map(days),
        first: first_kept(store)?,
        entries: open.reader.size()?,
    })
}

/// How long entries are kept, for everybody who follows the record.
pub(super) struct Read;

impl Endpoint for Read {
    type Op = LedgerCheckpoint<()>;
    type Body = ();
    type Answer = wire::Retention;
    const SUMMARY: &'static str =
        "How long entries of the record are kept, and the first one that is";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/retention";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerCheckpoint { what: () })
    }

    async fn run(context: Context<'_>, _: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&shown(context.open, context.input.now)?)
    }
}

/// What is forgotten does not come back, so a session's key alone cannot bring that about.
pub(super) struct Set;

impl Endpoint for Set {
    type Op = LedgerRetention;
    type Body = RetentionSet;
    type Answer = wire::Retention;
    const SUMMARY: &'static str = "Says how long entries of the record are kept, with a proof by the device's own key; a shorter time counts after a day";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let RetentionSet { keep_days } = input.json::<Self::Body>()?;
        if keep_days.is_some_and(|days| !RetentionSet::DAYS.contains(&days)) {
            return Err(Malformed::new("keep_days", "is 7 to 36500 days, or null for ever").into());
        }
        if caller.profile() != Profile::Native {
            return Err(Failure::new(
                Code::Unauthorized,
                "How long the record is kept is said with a signature by the device's own key.",
            ));
        }
        Ok(LedgerRetention { keep: keep_days })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let seconds = permit.op().keep.map(|days| days.saturating_mul(DAY));
        context
            .change(permit, |batch| keep(batch, seconds, now).map(drop))
            .await?;
        Reply::json::<Self::Answer>(&shown(context.open, now)?)
    }
}

/// What forgotten entries leave behind, as an export has it.
pub(super) struct Forgotten;

impl Endpoint for Forgotten {
    type Op = LedgerExport<()>;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "What the entries leave behind that are not kept any more, of which there may be none (spec/ledger.md, Retention)";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/ledger/forgotten";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(LedgerExport { what: () })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let carried = match context.open.reader.carried()? {
            Some(carried) => carried,
            None => Carried::new().to_bytes().map_err(Failure::internal)?,
        };
        // It shows whose devices are whose, as the bundles did.
        context
            .open
            .recorder
            .record(permit, context.origin(), Details::default())
            .await?;
        Ok(Reply::raw("application/json", Bytes::from(carried)))
    }
}
