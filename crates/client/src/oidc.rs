//! Identities of operators at identity providers.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{IdentityLink, OperatorIdentity, OperatorIdentityList};
use procura_types::{IdentityId, Label};

impl SessionClient {
    /// The identities that sign an operator in.
    pub async fn identities(&self, name: &Label) -> Result<OperatorIdentityList, ClientError> {
        let path = format!("/v1/operators/{name}/identities");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Links the identity of a link proof to the operator who asks.
    pub async fn link_identity(
        &self,
        name: &Label,
        proof: String,
    ) -> Result<OperatorIdentity, ClientError> {
        let path = format!("/v1/operators/{name}/identities");
        self.by_key(Method::POST, &path, &IdentityLink { proof })
            .await
    }

    /// Unlinks an identity of an operator; web logins made with it end.
    pub async fn unlink_identity(&self, name: &Label, id: &IdentityId) -> Result<(), ClientError> {
        let path = format!("/v1/operators/{name}/identities/{id}");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }
}
