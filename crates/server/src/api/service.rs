//! `/v1/namespaces/{ns}/services`.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::{ServiceListing, ServiceRead, ServiceRemove, ServiceWrite};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;
use serde::Deserialize;

pub(super) struct List;

impl Endpoint for List {
    type Op = ServiceListing;
    type Body = ();
    type Answer = wire::ServiceList;
    const SUMMARY: &'static str = "Lists services and their dials";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/services";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ServiceListing {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&ServiceListing::run(
            &permit,
            &context.open.directory.snapshot(),
            context.open.vault.store(),
        )?)
    }
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = ServiceRead;
    type Body = ();
    type Answer = wire::Service;
    const SUMMARY: &'static str = "Shows a service and its dial";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/services/{name}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ServiceRead {
            namespace: input.param("ns")?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&ServiceRead::run(
            &permit,
            &context.open.directory.snapshot(),
            context.open.vault.store(),
        )?)
    }
}

pub(super) struct Write;

impl Endpoint for Write {
    type Op = ServiceWrite;
    type Body = wire::ServicePut;
    type Answer = wire::Service;
    const SUMMARY: &'static str = "Makes a service or replaces all of it, its dial included, if it is at the expected version";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ServicePut {
            expect_version,
            mode,
            routes,
            exceptions,
            gates,
            hmac_v1,
        } = input.json::<Self::Body>()?;
        Ok(ServiceWrite {
            namespace: input.param("ns")?,
            name: input.param("name")?,
            expect_version,
            mode,
            routes,
            exceptions,
            gates,
            hmac_v1,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let service = context
            .change(permit, |batch| ServiceWrite::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&service)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    expect_version: u64,
}

pub(super) struct Remove;

impl Endpoint for Remove {
    type Op = ServiceRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes a service, if it is at the expected version";
    const STATUS: u16 = 204;
    const QUERY: &'static [&'static str] = &["expect_version"];
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Read::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let RemoveQuery { expect_version } = input.query()?;
        Ok(ServiceRemove {
            namespace: input.param("ns")?,
            name: input.param("name")?,
            expect_version,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.change(permit, ServiceRemove::run).await?;
        Ok(Reply::nothing())
    }
}
