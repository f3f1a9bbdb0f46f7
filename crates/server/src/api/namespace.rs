//! `/v1/namespaces`.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;
use procura_vault::{NamespaceCreate, NamespaceListing};

pub(super) struct List;

impl Endpoint for List {
    type Op = NamespaceListing;
    type Body = ();
    type Answer = wire::NamespaceList;
    const SUMMARY: &'static str = "Lists the namespaces that the caller has a part in";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(NamespaceListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&NamespaceListing::run(
            &permit,
            &context.open.directory.snapshot(),
        ))
    }
}

pub(super) struct Create;

impl Endpoint for Create {
    type Op = NamespaceCreate;
    type Body = wire::NamespaceCreate;
    type Answer = wire::NamespaceInfo;
    const SUMMARY: &'static str = "Makes a namespace";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::NamespaceCreate { name } = input.json::<Self::Body>()?;
        Ok(NamespaceCreate { name })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        let made = context
            .change(permit, |batch| NamespaceCreate::run(vault, batch, now))
            .await?;
        Reply::with_status::<Self::Answer>(StatusCode::CREATED, &made)
    }
}
