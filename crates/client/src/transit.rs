//! Transit keys: wrapping small things with keys that stay at the server.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    TransitKey, TransitKeyList, TransitPut, TransitUnwrap, TransitUnwrapped, TransitWrap,
    TransitWrapped, ValueB64,
};
use procura_types::{Label, Namespace, SecretBytes};

impl SessionClient {
    /// The transit keys of a namespace.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn transit_keys(&self, namespace: &Namespace) -> Result<TransitKeyList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/transit");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Makes a transit key, or says anew who may use it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_transit_key(
        &self,
        namespace: &Namespace,
        key: &Label,
        put: &TransitPut,
    ) -> Result<TransitKey, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/transit/{key}");
        self.by_key(Method::PUT, &path, put).await
    }

    /// Removes a transit key: what it wrapped stays wrapped.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_transit_key(
        &self,
        namespace: &Namespace,
        key: &Label,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/transit/{key}");
        self.by_key_with(Method::DELETE, &path, None::<&()>).await
    }

    /// Wraps 1 to 256 bytes for a context.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn transit_wrap(
        &self,
        namespace: &Namespace,
        key: &Label,
        value: &[u8],
        context: Vec<u8>,
    ) -> Result<Vec<u8>, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/transit/{key}/wrap");
        let body = TransitWrap {
            value_b64: ValueB64::encode(value),
            context,
        };
        let answer: TransitWrapped = self
            .call(Method::POST, &path, &Query::new(), Some(&body))
            .await?;
        Ok(answer.wrapped)
    }

    /// Unwraps what was wrapped for a context.
    ///
    /// # Errors
    /// See [`ClientError`]; `wrapped_key_refused` for what was not wrapped so.
    pub async fn transit_unwrap(
        &self,
        namespace: &Namespace,
        key: &Label,
        wrapped: Vec<u8>,
        context: Vec<u8>,
    ) -> Result<SecretBytes, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/transit/{key}/unwrap");
        let body = TransitUnwrap { wrapped, context };
        let answer: TransitUnwrapped = self
            .call(Method::POST, &path, &Query::new(), Some(&body))
            .await?;
        Ok(answer.value_b64.decode()?)
    }
}
