//! Services and their dials.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{Service, ServiceList, ServicePut};
use procura_types::{Label, Namespace};

impl SessionClient {
    /// The services of a namespace.
    pub async fn services(&self, namespace: &Namespace) -> Result<ServiceList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/services");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// One service and its dial.
    pub async fn service(
        &self,
        namespace: &Namespace,
        name: &Label,
    ) -> Result<Service, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/services/{name}");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Makes a service, or replaces all of it, if it is at the version that `put`
    /// expects.
    pub async fn put_service(
        &self,
        namespace: &Namespace,
        name: &Label,
        put: &ServicePut,
    ) -> Result<Service, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/services/{name}");
        self.call(Method::PUT, &path, &Query::new(), Some(put))
            .await
    }

    /// Removes a service, if it is at this version.
    pub async fn remove_service(
        &self,
        namespace: &Namespace,
        name: &Label,
        expect_version: u64,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/services/{name}");
        let query = Query::new().with("expect_version", expect_version);
        self.call(Method::DELETE, &path, &query, None::<&()>).await
    }
}
