//! Namespaces.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    DisplayNamePut, NamespaceCreate, NamespaceDelete, NamespaceDeleted, NamespaceDetail,
    NamespaceInfo, NamespaceList, Quota,
};
use procura_types::{DisplayName, Namespace, ProposalId};

impl SessionClient {
    /// The namespaces that the caller has a part in.
    pub async fn namespaces(&self) -> Result<NamespaceList, ClientError> {
        self.call(Method::GET, "/v1/namespaces", &Query::new(), None::<&()>)
            .await
    }

    /// Makes a namespace.
    pub async fn create_namespace(&self, name: &Namespace) -> Result<NamespaceInfo, ClientError> {
        let body = NamespaceCreate { name: name.clone() };
        self.call(Method::POST, "/v1/namespaces", &Query::new(), Some(&body))
            .await
    }

    /// A namespace, its quota, and how much is in it.
    pub async fn namespace(&self, name: &Namespace) -> Result<NamespaceDetail, ClientError> {
        let path = format!("/v1/namespaces/{name}");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Says how much a namespace may hold.
    pub async fn set_quota(
        &self,
        name: &Namespace,
        quota: &Quota,
    ) -> Result<NamespaceDetail, ClientError> {
        let path = format!("/v1/namespaces/{name}/quota");
        self.call(Method::PUT, &path, &Query::new(), Some(quota))
            .await
    }

    /// Says what people call a namespace; none takes the name away.
    pub async fn name_namespace(
        &self,
        name: &Namespace,
        display_name: Option<DisplayName>,
    ) -> Result<NamespaceInfo, ClientError> {
        let path = format!("/v1/namespaces/{name}/display-name");
        let body = DisplayNamePut { display_name };
        self.call(Method::PUT, &path, &Query::new(), Some(&body))
            .await
    }

    /// Ends a namespace and destroys its keys. One that is in use ends only when
    /// `confirm` is its name; where it takes several stewards, as they agreed.
    pub async fn delete_namespace(
        &self,
        name: &Namespace,
        confirm: Option<Namespace>,
        proposal: Option<ProposalId>,
    ) -> Result<NamespaceDeleted, ClientError> {
        let path = format!("/v1/namespaces/{name}");
        let body = NamespaceDelete { confirm, proposal };
        self.by_key(Method::DELETE, &path, &body).await
    }
}
