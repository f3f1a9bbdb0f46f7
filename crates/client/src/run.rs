//! Runs: values for one process of a project.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{RunAnswer, RunEnd, RunRequest};
use procura_types::{Namespace, ProjectName, RunId};

impl SessionClient {
    /// Asks for a project's values: all of them, or a request that waits for a
    /// person.
    pub async fn start_run(
        &self,
        namespace: &Namespace,
        project: &ProjectName,
        run: &RunRequest,
    ) -> Result<RunAnswer, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{project}/runs");
        self.call(Method::POST, &path, &Query::new(), Some(run))
            .await
    }

    /// Says that the process that got the values has ended.
    pub async fn end_run(
        &self,
        namespace: &Namespace,
        project: &ProjectName,
        run: RunId,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/projects/{project}/runs/{run}/end");
        self.call(Method::POST, &path, &Query::new(), Some(&RunEnd {}))
            .await
    }
}
