//! Devices.

use crate::{ClientError, SessionClient};
use http::Method;
use procura_types::Thumbprint;

impl SessionClient {
    /// Revokes one device; never undone.
    pub async fn revoke_device(&self, device: &Thumbprint) -> Result<(), ClientError> {
        let path = format!("/v1/devices/{device}/revoke");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }
}
