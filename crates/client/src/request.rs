//! Requests: an agent's asking for authority that it does not have yet.

use crate::{ClientError, Page, Query, SessionClient};
use http::Method;
use procura_types::wire::{AccessRequest, Approve, Grant, RequestList};
use procura_types::{Namespace, RequestId};

impl SessionClient {
    /// One page of the requests of a namespace, oldest first.
    pub async fn requests(
        &self,
        namespace: &Namespace,
        page: &Page<RequestId>,
    ) -> Result<RequestList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/requests");
        self.call(Method::GET, &path, &page.query(), None::<&()>)
            .await
    }

    /// One request.
    pub async fn request(
        &self,
        namespace: &Namespace,
        id: RequestId,
    ) -> Result<AccessRequest, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/requests/{id}");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Says yes, with the approver's own signature over the exact grant.
    pub async fn approve(
        &self,
        namespace: &Namespace,
        id: RequestId,
        approve: &Approve,
    ) -> Result<Grant, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/requests/{id}/approve");
        self.call(Method::POST, &path, &Query::new(), Some(approve))
            .await
    }

    /// Says no.
    pub async fn deny(&self, namespace: &Namespace, id: RequestId) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/requests/{id}/deny");
        self.call(Method::POST, &path, &Query::new(), None::<&()>)
            .await
    }
}
