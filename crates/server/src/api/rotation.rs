//! `/v1/rotation` and `/v1/namespaces/{ns}/rotate`: keys that turn while everything goes
//! on, and where they stand.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;
use procura_vault::{NamespaceRotate, RotationQuery};

pub(super) struct Read;

impl Endpoint for Read {
    type Op = RotationQuery;
    type Body = ();
    type Answer = wire::Rotation;
    const SUMMARY: &'static str = "Says where the keys stand that the root leads to";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/rotation";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(RotationQuery)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        Reply::json::<Self::Answer>(&RotationQuery::run(&permit, vault, now)?)
    }
}

pub(super) struct Namespace;

impl Endpoint for Namespace {
    type Op = NamespaceRotate;
    type Body = ();
    type Answer = wire::NamespaceRotated;
    const SUMMARY: &'static str =
        "Gives a namespace another key; what is there is wrapped anew behind it";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/rotate";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(NamespaceRotate {
            name: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let rotated = context
            .change(permit, |batch| NamespaceRotate::run(&open.vault, batch))
            .await?;
        open.vault.namespace_rotated(&rotated.name);
        open.upkeep.wake();
        Reply::json::<Self::Answer>(&rotated)
    }
}
