//! What the gate of a service asks about a proof that it cannot verify itself.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{VerifyAnswer, VerifyQuestion};
use procura_types::{Label, Namespace};

impl SessionClient {
    /// Whether a proof by a profile of another system is good (`protocol.md` §3.4). One
    /// that is is used up, whether or not the answer arrives.
    ///
    /// # Errors
    /// See [`ClientError`]; a proof that is refused is an answer and no error.
    pub async fn verify(
        &self,
        namespace: &Namespace,
        service: &Label,
        question: &VerifyQuestion,
    ) -> Result<VerifyAnswer, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/services/{service}/verify");
        self.call(Method::POST, &path, &Query::new(), Some(question))
            .await
    }
}
