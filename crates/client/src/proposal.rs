//! What takes a quorum of stewards.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::ProposalId;
use procura_types::wire::{
    NewProposal, Proposal, ProposalList, ProposalRefuse, ProposalSign, ProposedAct,
};

impl SessionClient {
    /// What was proposed, the newest first.
    pub async fn proposals(&self) -> Result<ProposalList, ClientError> {
        self.call(Method::GET, "/v1/proposals", &Query::new(), None::<&()>)
            .await
    }

    /// Proposes something.
    pub async fn propose(&self, act: ProposedAct) -> Result<Proposal, ClientError> {
        let body = NewProposal { act };
        self.call(Method::POST, "/v1/proposals", &Query::new(), Some(&body))
            .await
    }

    /// Says no to a proposal.
    pub async fn refuse_proposal(&self, id: &ProposalId) -> Result<Proposal, ClientError> {
        let path = format!("/v1/proposals/{id}/refuse");
        let body = ProposalRefuse {};
        self.by_key(Method::POST, &path, &body).await
    }

    /// Signs a proposal; the signature is over [`Proposal::message`], by the key of this
    /// device, and so is the call: one that was taken back must not be sent once more.
    pub async fn sign_proposal(
        &self,
        id: &ProposalId,
        signature: Vec<u8>,
    ) -> Result<Proposal, ClientError> {
        let path = format!("/v1/proposals/{id}/sign");
        let body = ProposalSign { signature };
        self.by_key(Method::POST, &path, &body).await
    }
}
