//! `/v1/servers`: the servers of one installation on a shared database, and the end of
//! one.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;
use procura_vault::{ServerListing, ServerRemove};

pub(super) struct List;

impl Endpoint for List {
    type Op = ServerListing;
    type Body = ();
    type Answer = wire::ServerList;
    const SUMMARY: &'static str =
        "Lists the servers of the installation, and when each was last heard of";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/servers";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ServerListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        Reply::json::<Self::Answer>(&ServerListing::run(&permit, vault, now)?)
    }
}

pub(super) struct Remove;

impl Endpoint for Remove {
    type Op = ServerRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str =
        "Removes a server: nothing that it writes applies any more, and its home is let in no more";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/servers/{id}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ServerRemove {
            id: input.param("id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (open, now) = (context.open, context.input.now);
        context
            .change(permit, |batch| ServerRemove::run(&open.vault, batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}
