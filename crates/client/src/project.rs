//! Projects.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{Project, ProjectList, ProjectPut};
use procura_types::{Namespace, ProjectName};

impl SessionClient {
    /// The projects of a namespace.
    pub async fn projects(&self, namespace: &Namespace) -> Result<ProjectList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// One project.
    pub async fn project(
        &self,
        namespace: &Namespace,
        name: &ProjectName,
    ) -> Result<Project, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{name}");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Makes a project, or replaces it.
    pub async fn put_project(
        &self,
        namespace: &Namespace,
        name: &ProjectName,
        put: &ProjectPut,
    ) -> Result<Project, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{name}");
        self.call(Method::PUT, &path, &Query::new(), Some(put))
            .await
    }
}
