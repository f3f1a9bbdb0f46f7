//! `/v1/namespaces/{ns}/requests`.

use super::PageQuery;
use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::{RequestApprove, RequestDeny, RequestListing, RequestRead, Yes};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, Approve as Approval};

pub(super) struct List;

impl Endpoint for List {
    type Op = RequestListing;
    type Body = ();
    type Answer = wire::RequestList;
    const SUMMARY: &'static str = "Lists requests";
    const QUERY: &'static [&'static str] = &["after", "limit"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/requests";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let PageQuery { after, limit } = input.query()?;
        Ok(RequestListing {
            namespace: input.param("ns")?,
            after,
            limit,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        Reply::json::<Self::Answer>(&RequestListing::run(
            &permit,
            &open.directory.snapshot(),
            open.vault.store(),
            context.input.now,
        )?)
    }
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = RequestRead;
    type Body = ();
    type Answer = wire::AccessRequest;
    const SUMMARY: &'static str = "Shows a request";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/requests/{id}";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(RequestRead::resolve(
            open.vault.store(),
            input.param("ns")?,
            input.param("id")?,
        )?)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        Reply::json::<Self::Answer>(&RequestRead::run(
            &permit,
            &open.directory.snapshot(),
            open.vault.store(),
            context.input.now,
        )?)
    }
}

pub(super) struct Approve;

impl Endpoint for Approve {
    type Op = RequestApprove;
    type Body = wire::Approve;
    type Answer = wire::Grant;
    const SUMMARY: &'static str = "Says yes, signed over the exact grant";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/requests/{id}/approve";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let Approval {
            names,
            from,
            until,
            signature,
        } = input.json::<Self::Body>()?;
        Ok(RequestApprove {
            namespace: input.param("ns")?,
            id: input.param("id")?,
            names,
            from,
            until,
            yes: Yes::Device(signature),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let installation = context.open.vault.installation().id;
        let now = context.input.now;
        let grant = context
            .change(permit, |batch| {
                RequestApprove::run(batch, &installation, now)
            })
            .await?;
        Reply::json::<Self::Answer>(&grant)
    }
}

pub(super) struct Deny;

impl Endpoint for Deny {
    type Op = RequestDeny;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Says no";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/requests/{id}/deny";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(RequestDeny {
            namespace: input.param("ns")?,
            id: input.param("id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| RequestDeny::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}
