//! Tokens of projects: made by the device's own key, shown within a session.

use crate::call::{self, Ask};
use crate::proving::Proof;
use crate::{ClientError, Page, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    ProjectTokenIssue, ProjectTokenIssued, ProjectTokenList, ProjectTokenRotate,
    ProjectTokensRevoked, ProjectValues, ValuesRequest,
};
use procura_types::{Label, Namespace, ProjectName, Secret, TokenId};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl SessionClient {
    /// Issues a token of a project to this device, for what a grant covers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn issue_project_token(
        &self,
        namespace: &Namespace,
        project: &ProjectName,
        issue: &ProjectTokenIssue,
    ) -> Result<ProjectTokenIssued, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{project}/tokens");
        self.by_key(Method::POST, &path, issue).await
    }

    /// Exchanges a token of this device for another of the same scope; the old one is
    /// revoked.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_project_token(
        &self,
        namespace: &Namespace,
        id: TokenId,
        rotate: &ProjectTokenRotate,
    ) -> Result<ProjectTokenIssued, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/tokens/{id}/rotate");
        self.by_key(Method::POST, &path, rotate).await
    }

    /// The values of a token of this device: those of all its names, or none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn project_values(
        &self,
        namespace: &Namespace,
        project: &ProjectName,
        token: &Secret<String>,
        names: &ValuesRequest,
    ) -> Result<ProjectValues, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{project}/values");
        let query = Query::new();
        let ask = Ask::new(Method::POST, &path, &query, Some(names)).showing(token);
        self.ask(ask).await
    }

    /// One page of the tokens of a namespace, oldest first: to agents their own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn project_tokens(
        &self,
        namespace: &Namespace,
        project: Option<&ProjectName>,
        agent: Option<&Label>,
        page: &Page<TokenId>,
    ) -> Result<ProjectTokenList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/tokens");
        let query = page
            .query()
            .with_some("project", project)
            .with_some("agent", agent);
        self.call(Method::GET, &path, &query, None::<&()>).await
    }

    /// Revokes a token: the next use is refused.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_project_token(
        &self,
        namespace: &Namespace,
        id: TokenId,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/tokens/{id}");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Revokes all tokens of a project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_project_tokens(
        &self,
        namespace: &Namespace,
        project: &ProjectName,
    ) -> Result<ProjectTokensRevoked, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{project}/tokens");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }

    /// A call that has to be proven by the device's own key. Anybody who has the
    /// server's place can answer it, so a session, whose server has proven itself, has
    /// to be there first; a token of somebody else's opens nothing.
    pub(crate) async fn by_key<Req, Ans>(
        &self,
        method: Method,
        path: &str,
        body: &Req,
    ) -> Result<Ans, ClientError>
    where
        Req: Serialize,
        Ans: DeserializeOwned,
    {
        self.by_key_with(method, path, Some(body)).await
    }

    /// As [`Self::by_key`], of a call without a body as well.
    pub(crate) async fn by_key_with<Req, Ans>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Ans, ClientError>
    where
        Req: Serialize,
        Ans: DeserializeOwned,
    {
        self.by_key_asking(method, path, &Query::new(), body).await
    }

    /// As [`Self::by_key_with`], of a call with a query.
    pub(crate) async fn by_key_asking<Req, Ans>(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: Option<&Req>,
    ) -> Result<Ans, ClientError>
    where
        Req: Serialize,
        Ans: DeserializeOwned,
    {
        self.session_number().await?;
        let ask = Ask::new(method, path, query, body);
        let client = self.client();
        let (answer, _) = client.exchange(&ask, Proof::Key(self.signer())).await?;
        call::read(&client.inner.transport, &answer)
    }
}
