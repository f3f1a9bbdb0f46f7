//! Policies of a namespace, and without one of the installation.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::Namespace;
use procura_types::wire::{
    PolicyExplained, PolicyPut, PolicyQuestion, PolicyReport, PolicyState, PolicyStatePut,
    PolicyText, PolicyVersion, PolicyVersionList,
};

/// Where the policies are.
fn base(namespace: Option<&Namespace>) -> String {
    namespace.map_or_else(
        || "/v1/policies".to_owned(),
        |namespace| format!("/v1/namespaces/{namespace}/policies"),
    )
}

impl SessionClient {
    /// All versions, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn policies(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<PolicyVersionList, ClientError> {
        let path = base(namespace);
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Stores another version.
    ///
    /// # Errors
    /// See [`ClientError`]; `policies_flawed` for a text that cannot take effect.
    pub async fn put_policies(
        &self,
        namespace: Option<&Namespace>,
        text: String,
    ) -> Result<PolicyVersion, ClientError> {
        let path = base(namespace);
        let put = PolicyPut { text };
        self.call(Method::POST, &path, &Query::new(), Some(&put))
            .await
    }

    /// One version with its text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn policy_text(
        &self,
        namespace: Option<&Namespace>,
        version: u32,
    ) -> Result<PolicyText, ClientError> {
        let path = format!("{}/{version}", base(namespace));
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Says what a version counts for.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_policy_state(
        &self,
        namespace: Option<&Namespace>,
        version: u32,
        state: PolicyState,
    ) -> Result<PolicyVersion, ClientError> {
        let path = format!("{}/{version}/state", base(namespace));
        let put = PolicyStatePut { state };
        self.by_key(Method::PUT, &path, &put).await
    }

    /// Stores another version with the text of an old one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn roll_policies_back(
        &self,
        namespace: Option<&Namespace>,
        version: u32,
    ) -> Result<PolicyVersion, ClientError> {
        let path = format!("{}/{version}/rollback", base(namespace));
        self.call(Method::POST, &path, &Query::new(), None::<&()>)
            .await
    }

    /// What the policies that count would say.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn explain_policies(
        &self,
        namespace: Option<&Namespace>,
        question: &PolicyQuestion,
    ) -> Result<PolicyExplained, ClientError> {
        let path = format!("{}/explain", base(namespace));
        self.call(Method::POST, &path, &Query::new(), Some(question))
            .await
    }

    /// What enforcing what is observed would change.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn policy_report(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<PolicyReport, ClientError> {
        let path = format!("{}/report", base(namespace));
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }
}
