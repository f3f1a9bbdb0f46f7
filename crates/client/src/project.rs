//! Projects.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    DisplayNamePut, Project, ProjectDeleted, ProjectList, ProjectPut, ProjectRebind,
    ProjectRebound, ProjectRequireGrade,
};
use procura_types::{DisplayName, Grade, Namespace, ProjectName};

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

    /// Gives a project to other agents; the grants of those who leave end.
    pub async fn rebind_project(
        &self,
        namespace: &Namespace,
        name: &ProjectName,
        rebind: &ProjectRebind,
    ) -> Result<ProjectRebound, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{name}/rebind");
        self.call(Method::POST, &path, &Query::new(), Some(rebind))
            .await
    }

    /// Says what people call a project; none takes the name away.
    pub async fn name_project(
        &self,
        namespace: &Namespace,
        name: &ProjectName,
        display_name: Option<DisplayName>,
    ) -> Result<Project, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{name}/display-name");
        let body = DisplayNamePut { display_name };
        self.call(Method::PUT, &path, &Query::new(), Some(&body))
            .await
    }

    /// Says what a daemon has to have attested for a project; none asks for nothing.
    pub async fn require_grade(
        &self,
        namespace: &Namespace,
        name: &ProjectName,
        grade: Option<Grade>,
    ) -> Result<Project, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{name}/require-grade");
        let body = ProjectRequireGrade { grade };
        self.by_key(Method::PUT, &path, &body).await
    }

    /// Deletes a project, withdraws its grants and ends its requests. By the device's own
    /// key.
    pub async fn delete_project(
        &self,
        namespace: &Namespace,
        name: &ProjectName,
    ) -> Result<ProjectDeleted, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{name}");
        self.by_key_with(Method::DELETE, &path, None::<&()>).await
    }
}
