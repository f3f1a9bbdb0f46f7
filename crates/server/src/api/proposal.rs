//! `/v1/proposals`: what takes a quorum of stewards.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_identity::{ProposalCreate, ProposalListing, ProposalRefuse, ProposalSign};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;

pub(super) struct List;

impl Endpoint for List {
    type Op = ProposalListing;
    type Body = ();
    type Answer = wire::ProposalList;
    const SUMMARY: &'static str = "Lists what stewards have proposed, and who signed";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/proposals";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ProposalListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let vault = &context.open.vault;
        let list = ProposalListing::run(
            &permit,
            vault.store(),
            &context.open.directory.snapshot(),
            &vault.installation().id,
            context.input.now,
        )?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Create;

impl Endpoint for Create {
    type Op = ProposalCreate;
    type Body = wire::NewProposal;
    type Answer = wire::Proposal;
    const SUMMARY: &'static str =
        "Proposes what takes a quorum of stewards; each signs it, its proposer too";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::NewProposal { act } = input.json::<Self::Body>()?;
        Ok(ProposalCreate { act })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let id = context.open.vault.installation().id;
        let proposal = context
            .change(permit, |batch| {
                ProposalCreate::run(batch, &id, now, entropy)
            })
            .await?;
        Reply::with_status(StatusCode::CREATED, &proposal)
    }
}

pub(super) struct Sign;

impl Endpoint for Sign {
    type Op = ProposalSign;
    type Body = wire::ProposalSign;
    type Answer = wire::Proposal;
    const SUMMARY: &'static str =
        "Signs a proposal with the key of the device that calls (`procura.proposal.v1`)";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/proposals/{id}/sign";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ProposalSign { signature } = input.json::<Self::Body>()?;
        Ok(ProposalSign {
            id: input.param("id")?,
            signature,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let id = context.open.vault.installation().id;
        let proposal = context
            .change(permit, |batch| ProposalSign::run(batch, &id, now))
            .await?;
        Reply::json::<Self::Answer>(&proposal)
    }
}

pub(super) struct Refuse;

impl Endpoint for Refuse {
    type Op = ProposalRefuse;
    type Body = wire::ProposalRefuse;
    type Answer = wire::Proposal;
    const SUMMARY: &'static str =
        "Says no to a proposal: time alone carries it out no more, a quorum still does";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/proposals/{id}/refuse";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ProposalRefuse {} = input.json::<Self::Body>()?;
        Ok(ProposalRefuse {
            id: input.param("id")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let id = context.open.vault.installation().id;
        let proposal = context
            .change(permit, |batch| ProposalRefuse::run(batch, &id, now))
            .await?;
        Reply::json::<Self::Answer>(&proposal)
    }
}
