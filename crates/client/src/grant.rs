//! Grants.

use crate::{ClientError, Page, Query, SessionClient};
use http::Method;
use procura_types::wire::{Grant, GrantList, Withdrawn};
use procura_types::{GrantId, Namespace};

impl SessionClient {
    /// One page of the grants of a namespace, oldest first.
    pub async fn grants(
        &self,
        namespace: &Namespace,
        page: &Page<GrantId>,
    ) -> Result<GrantList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/grants");
        self.call(Method::GET, &path, &page.query(), None::<&()>)
            .await
    }

    /// One grant.
    pub async fn grant(&self, namespace: &Namespace, id: GrantId) -> Result<Grant, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/grants/{id}");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Withdraws a grant: the next read is refused.
    pub async fn withdraw(
        &self,
        namespace: &Namespace,
        id: GrantId,
    ) -> Result<Withdrawn, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/grants/{id}/withdraw");
        self.call(Method::POST, &path, &Query::new(), None::<&()>)
            .await
    }
}
