//! Operators: people with roles.

use crate::account::Nothing;
use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    LinkCode, Operator, OperatorInvite, OperatorList, RevokedActors, RoleAssignment, RolesPut,
};
use procura_types::{Label, ProposalId, Thumbprint};

impl SessionClient {
    /// All operators.
    pub async fn operators(&self) -> Result<OperatorList, ClientError> {
        self.call(Method::GET, "/v1/operators", &Query::new(), None::<&()>)
            .await
    }

    /// Invites a person; they join with the code.
    pub async fn invite_operator(&self, invite: &OperatorInvite) -> Result<LinkCode, ClientError> {
        self.by_key(Method::POST, "/v1/operators", invite).await
    }

    /// A code by which an operator joins another device.
    pub async fn operator_code(&self, name: &Label) -> Result<LinkCode, ClientError> {
        let path = format!("/v1/operators/{name}/link-code");
        self.by_key(Method::POST, &path, &Nothing {}).await
    }

    /// Replaces all roles of an operator; who is a steward as a quorum agreed.
    pub async fn set_roles(
        &self,
        name: &Label,
        roles: Vec<RoleAssignment>,
        proposal: Option<ProposalId>,
    ) -> Result<Operator, ClientError> {
        let path = format!("/v1/operators/{name}/roles");
        let body = RolesPut { roles, proposal };
        self.by_key(Method::PUT, &path, &body).await
    }

    /// Puts a device of an operator on hold; [`SessionClient::reinstate_device`] lets it out.
    pub async fn hold_device(&self, device: &Thumbprint) -> Result<(), ClientError> {
        let path = format!("/v1/devices/{device}/hold");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }

    /// Revokes an operator and every agent below; never undone. Another steward as a quorum
    /// agreed.
    pub async fn revoke_operator(
        &self,
        name: &Label,
        proposal: Option<&ProposalId>,
    ) -> Result<RevokedActors, ClientError> {
        let path = format!("/v1/operators/{name}");
        let query = Query::new().with_some("proposal", proposal);
        self.by_key_asking(Method::DELETE, &path, &query, None::<&()>)
            .await
    }
}
