//! Agents.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    Agent, AgentCreate, AgentList, AgentSources, DisplayNamePut, LinkCode, RevokedActors,
};
use procura_types::{DisplayName, Label, Namespace};

impl SessionClient {
    /// The agents of a namespace, revoked ones too.
    pub async fn agents(&self, namespace: &Namespace) -> Result<AgentList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/agents");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Makes an agent; it has no device until one joins.
    pub async fn create_agent(
        &self,
        namespace: &Namespace,
        agent: &AgentCreate,
    ) -> Result<Agent, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/agents");
        self.call(Method::POST, &path, &Query::new(), Some(agent))
            .await
    }

    /// A code by which a device joins as this agent.
    pub async fn agent_code(
        &self,
        namespace: &Namespace,
        label: &Label,
    ) -> Result<LinkCode, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/agents/{label}/link-code");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }

    /// Says where an agent's requests may come from.
    pub async fn set_agent_sources(
        &self,
        namespace: &Namespace,
        label: &Label,
        sources: &AgentSources,
    ) -> Result<Agent, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/agents/{label}/sources");
        self.by_key(Method::PUT, &path, sources).await
    }

    /// Says what people call an agent; none takes the name away.
    pub async fn name_agent(
        &self,
        namespace: &Namespace,
        label: &Label,
        display_name: Option<DisplayName>,
    ) -> Result<Agent, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/agents/{label}/display-name");
        let body = DisplayNamePut { display_name };
        self.call(Method::PUT, &path, &Query::new(), Some(&body))
            .await
    }

    /// Revokes an agent and all below it; never undone.
    pub async fn revoke_agent(
        &self,
        namespace: &Namespace,
        label: &Label,
    ) -> Result<RevokedActors, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/agents/{label}");
        self.by_key_with(Method::DELETE, &path, None::<&()>).await
    }
}
