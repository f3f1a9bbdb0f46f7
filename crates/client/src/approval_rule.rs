//! How many stewards the most dangerous acts take.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::ProposalId;
use procura_types::wire::{ApprovalRule, ApprovalRuleList, ApprovalRulePut, GuardedAct};

impl SessionClient {
    /// The rule of each act.
    pub async fn approval_rules(&self) -> Result<ApprovalRuleList, ClientError> {
        let path = "/v1/approval-rules";
        self.call(Method::GET, path, &Query::new(), None::<&()>)
            .await
    }

    /// Says how many an act takes.
    pub async fn set_approval_rule(
        &self,
        act: GuardedAct,
        needs: u8,
        proposal: Option<ProposalId>,
    ) -> Result<ApprovalRule, ClientError> {
        let path = format!("/v1/approval-rules/{act}");
        let body = ApprovalRulePut { needs, proposal };
        self.by_key(Method::PUT, &path, &body).await
    }
}
