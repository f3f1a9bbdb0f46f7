//! Honey secrets, and what touched them.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    HoneyFound, HoneyList, HoneyMatches, HoneyPlant, HoneyPlanted, QuarantineList,
};
use procura_types::{ForeignId, Namespace, SecretPath, Thumbprint};

impl SessionClient {
    /// All honey secrets, and who touched them.
    pub async fn honey(&self) -> Result<HoneyList, ClientError> {
        self.call(Method::GET, "/v1/honey", &Query::new(), None::<&()>)
            .await
    }

    /// Plants a honey secret where no secret is or was.
    pub async fn plant_honey(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        plant: &HoneyPlant,
    ) -> Result<HoneyPlanted, ClientError> {
        let path = format!("/v1/honey/{namespace}/{path}");
        self.call(Method::PUT, &path, &Query::new(), Some(plant))
            .await
    }

    /// Removes a honey secret.
    pub async fn remove_honey(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/honey/{namespace}/{path}");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Which honey secret it is that was found, or stands in what was found.
    pub async fn which_honey(&self, found: &HoneyFound) -> Result<HoneyMatches, ClientError> {
        self.call(Method::POST, "/v1/honey/which", &Query::new(), Some(found))
            .await
    }

    /// What is in quarantine.
    pub async fn quarantine(&self) -> Result<QuarantineList, ClientError> {
        self.call(Method::GET, "/v1/quarantine", &Query::new(), None::<&()>)
            .await
    }

    /// Lets a device out of quarantine.
    pub async fn reinstate_device(&self, device: &Thumbprint) -> Result<(), ClientError> {
        let path = format!("/v1/devices/{device}/reinstate");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }

    /// Lets an id of another system out of quarantine.
    pub async fn reinstate_id(&self, id: &ForeignId) -> Result<(), ClientError> {
        let path = format!("/v1/quarantine/{id}/reinstate");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }
}
