//! Operators: people with roles.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::Label;
use procura_types::wire::{
    LinkCode, Operator, OperatorInvite, OperatorList, RevokedActors, RoleAssignment, RolesPut,
};

impl SessionClient {
    /// All operators.
    pub async fn operators(&self) -> Result<OperatorList, ClientError> {
        self.call(Method::GET, "/v1/operators", &Query::new(), None::<&()>)
            .await
    }

    /// Invites a person; they join with the code.
    pub async fn invite_operator(&self, invite: &OperatorInvite) -> Result<LinkCode, ClientError> {
        self.call(Method::POST, "/v1/operators", &Query::new(), Some(invite))
            .await
    }

    /// A code by which an operator joins another device.
    pub async fn operator_code(&self, name: &Label) -> Result<LinkCode, ClientError> {
        let path = format!("/v1/operators/{name}/link-code");
        self.call(Method::POST, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Replaces all roles of an operator.
    pub async fn set_roles(
        &self,
        name: &Label,
        roles: Vec<RoleAssignment>,
    ) -> Result<Operator, ClientError> {
        let path = format!("/v1/operators/{name}/roles");
        self.call(Method::PUT, &path, &Query::new(), Some(&RolesPut { roles }))
            .await
    }

    /// Revokes an operator and every agent below; never undone.
    pub async fn revoke_operator(&self, name: &Label) -> Result<RevokedActors, ClientError> {
        let path = format!("/v1/operators/{name}");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }
}
