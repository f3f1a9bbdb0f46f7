//! Ids of other systems, and their secrets.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    AgentSecretIssued, AgentSecretRotate, ForeignBind, ForeignIdList, ForeignIdentity,
};
use procura_types::{ForeignId, Namespace};

fn path(namespace: &Namespace, id: &ForeignId) -> String {
    format!("/v1/namespaces/{namespace}/foreign-ids/{id}")
}

impl SessionClient {
    /// The ids that stand for agents of a namespace.
    pub async fn foreign_ids(&self, namespace: &Namespace) -> Result<ForeignIdList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/foreign-ids");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// One of them.
    pub async fn foreign_id(
        &self,
        namespace: &Namespace,
        id: &ForeignId,
    ) -> Result<ForeignIdentity, ClientError> {
        let path = path(namespace, id);
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Binds an id to an agent.
    pub async fn bind_foreign_id(
        &self,
        namespace: &Namespace,
        id: &ForeignId,
        bind: &ForeignBind,
    ) -> Result<ForeignIdentity, ClientError> {
        self.by_key(Method::PUT, &path(namespace, id), bind).await
    }

    /// Makes an id stand for nobody.
    pub async fn release_foreign_id(
        &self,
        namespace: &Namespace,
        id: &ForeignId,
    ) -> Result<(), ClientError> {
        let path = path(namespace, id);
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Makes a secret of an id.
    pub async fn rotate_agent_secret(
        &self,
        namespace: &Namespace,
        id: &ForeignId,
        rotate: &AgentSecretRotate,
    ) -> Result<AgentSecretIssued, ClientError> {
        let path = format!("{}/secret", path(namespace, id));
        self.by_key(Method::POST, &path, rotate).await
    }

    /// Ends all secrets of an id.
    pub async fn revoke_agent_secrets(
        &self,
        namespace: &Namespace,
        id: &ForeignId,
    ) -> Result<(), ClientError> {
        let path = format!("{}/secret", path(namespace, id));
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }
}
