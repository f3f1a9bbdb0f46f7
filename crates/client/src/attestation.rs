//! What a daemon attests of its process (`protocol.md` §3.7), and what operators do with it.

use crate::call::{self, Ask};
use crate::proving::Proof;
use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    AttestationAsk, AttestationChallenge, AttestationGiven, AttestationList, AttestationPut,
    Baseline, BaselinePut, ReleaseAdd, ReleaseKeyAdd, ReleaseKeyList, ReleaseList,
    SessionAttestation,
};
use procura_types::{AttestationId, ExeDigest, Namespace, Thumbprint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A process that attested: it shows so when it starts a session.
pub trait Attests: Send + Sync {
    /// What goes into the request for a session of `audience` whose proof bears `nonce`;
    /// nothing while it has attested nothing that counts.
    fn attest(&self, nonce: &str, audience: &str) -> Option<SessionAttestation>;

    /// The server took it for nothing, for this reason: it counts no more.
    fn refused(&self, reason: &str);
}

impl SessionClient {
    /// Asks, with the device's own key, for what the next statement has to hold.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn attestation_challenge(
        &self,
        ask: &AttestationAsk,
    ) -> Result<AttestationChallenge, ClientError> {
        self.with_key("/v1/attestations/challenge", ask).await
    }

    /// Attests, with the device's own key, which program this process is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn attest(&self, put: &AttestationPut) -> Result<AttestationGiven, ClientError> {
        self.with_key("/v1/attestations", put).await
    }

    /// A call that a session does not open.
    async fn with_key<Req, Ans>(&self, path: &str, body: &Req) -> Result<Ans, ClientError>
    where
        Req: Serialize + ?Sized,
        Ans: DeserializeOwned,
    {
        let query = Query::new();
        let ask = Ask::new(Method::POST, path, &query, Some(body));
        let (answer, _) = self
            .client()
            .exchange(&ask, Proof::Key(self.signer()))
            .await?;
        call::read(&self.client().inner.transport, &answer)
    }

    /// What the daemons of a namespace attested, and the baselines of their hosts.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn attestations(
        &self,
        namespace: &Namespace,
    ) -> Result<AttestationList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/attestations");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Revokes an attestation, and with it the key of its process; never undone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_attestation(
        &self,
        namespace: &Namespace,
        id: AttestationId,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/attestations/{id}/revoke");
        self.call(Method::POST, &path, &Query::new(), None::<&()>)
            .await
    }

    /// Accepts what a TPM said of the host of a device.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_baseline(
        &self,
        namespace: &Namespace,
        device: &Thumbprint,
        put: &BaselinePut,
    ) -> Result<Baseline, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/devices/{device}/baseline");
        self.by_key(Method::PUT, &path, put).await
    }

    /// Accepts it no more.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_baseline(
        &self,
        namespace: &Namespace,
        device: &Thumbprint,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/namespaces/{namespace}/devices/{device}/baseline");
        self.call(Method::DELETE, &path, &Query::new(), None::<&()>)
            .await
    }

    /// The keys that sign releases.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn release_keys(&self) -> Result<ReleaseKeyList, ClientError> {
        self.call(Method::GET, "/v1/release-keys", &Query::new(), None::<&()>)
            .await
    }

    /// Enrols a key that signs releases.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_release_key(&self, vkey: &str) -> Result<ReleaseKeyList, ClientError> {
        let body = ReleaseKeyAdd {
            vkey: vkey.to_owned(),
        };
        self.by_key(Method::POST, "/v1/release-keys", &body).await
    }

    /// Removes the key of this name, and all that it vouches for; never undone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_release_key(&self, name: &str) -> Result<ReleaseKeyList, ClientError> {
        let query = Query::new().with("name", name);
        self.by_key_asking(Method::DELETE, "/v1/release-keys", &query, None::<&()>)
            .await
    }

    /// The programs that release keys vouch for.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn releases(&self) -> Result<ReleaseList, ClientError> {
        self.call(Method::GET, "/v1/releases", &Query::new(), None::<&()>)
            .await
    }

    /// Adds what a signed note vouches for.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_release(&self, note: &str) -> Result<ReleaseList, ClientError> {
        let body = ReleaseAdd {
            note: note.to_owned(),
        };
        self.by_key(Method::POST, "/v1/releases", &body).await
    }

    /// Withdraws a program; never undone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn withdraw_release(&self, sha256: &ExeDigest) -> Result<ReleaseList, ClientError> {
        let path = format!("/v1/releases/{sha256}/withdraw");
        self.by_key_with(Method::POST, &path, None::<&()>).await
    }
}
