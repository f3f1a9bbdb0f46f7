//! `/v1/approval-rules`: how many stewards the most dangerous acts take.

use super::agreed;
use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_identity::{ApprovalRuleListing, ApprovalRuleSet};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;

pub(super) struct List;

impl Endpoint for List {
    type Op = ApprovalRuleListing;
    type Body = ();
    type Answer = wire::ApprovalRuleList;
    const SUMMARY: &'static str = "Lists how many stewards the most dangerous acts take";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/approval-rules";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ApprovalRuleListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let snapshot = context.open.directory.snapshot();
        Reply::json::<Self::Answer>(&ApprovalRuleListing::run(&permit, &snapshot))
    }
}

pub(super) struct Set;

impl Endpoint for Set {
    type Op = ApprovalRuleSet;
    type Body = wire::ApprovalRulePut;
    type Answer = wire::ApprovalRule;
    const SUMMARY: &'static str = "Says how many stewards an act takes, with a proof by the device's own key; where there are several, as they agreed";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/approval-rules/{act}";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ApprovalRulePut { needs, proposal } = input.json::<Self::Body>()?;
        Ok(ApprovalRuleSet {
            act: input.param("act")?,
            needs,
            by: agreed(open, proposal),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let rule = context
            .change(permit, |batch| ApprovalRuleSet::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&rule)
    }
}
