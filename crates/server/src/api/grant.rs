//! `/v1/namespaces/{ns}/grants`.

use super::PageQuery;
use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::{GrantListing, GrantRead, GrantWithdraw, running_children};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, Withdrawn};

pub(super) struct List;

impl Endpoint for List {
    type Op = GrantListing;
    type Body = ();
    type Answer = wire::GrantList;
    const SUMMARY: &'static str = "Lists grants";
    const QUERY: &'static [&'static str] = &["after", "limit"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/grants";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let PageQuery { after, limit } = input.query()?;
        Ok(GrantListing {
            namespace: input.param("ns")?,
            after,
            limit,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&GrantListing::run(
            &permit,
            &context.open.directory.snapshot(),
        ))
    }
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = GrantRead;
    type Body = ();
    type Answer = wire::Grant;
    const SUMMARY: &'static str = "Shows a grant";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/grants/{id}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(GrantRead {
            namespace: input.param("ns")?,
            id: input.param("id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&GrantRead::run(
            &permit,
            &context.open.directory.snapshot(),
        )?)
    }
}

pub(super) struct Withdraw;

impl Endpoint for Withdraw {
    type Op = GrantWithdraw;
    type Body = ();
    type Answer = wire::Withdrawn;
    const SUMMARY: &'static str = "Ends a grant: no read passes under it from now on";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/grants/{id}/withdraw";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(GrantWithdraw {
            namespace: input.param("ns")?,
            id: input.param("id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let namespace = permit.op().namespace.clone();
        let grant = context
            .change(permit, |batch| GrantWithdraw::run(batch, now))
            .await?;
        // Listed after the commit: a run that was delivered just before is in it.
        let running = running_children(context.open.vault.store(), &namespace, &grant.id)?;
        Reply::json::<Self::Answer>(&Withdrawn { grant, running })
    }
}
