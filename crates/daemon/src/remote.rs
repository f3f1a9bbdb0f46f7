//! Servers over HTTP, by `procura-client`.

use crate::{Answer, Attesting, Connect, Device, Server, ServerAt};
use procura_client::{
    AskedGrant, Attests, Client, ClientError, ClientOptions, Look, SessionClient,
};
use procura_crypto::{PublicKey, SigningKey};
use procura_types::wire::{
    AttestationAsk, AttestationChallenge, AttestationGiven, AttestationPut, ConsistencyAnswer,
    JoinAnswer, RequestState, RunAnswer, RunRequest,
};
use procura_types::{
    Clock, DisplayName, Duration, Entropy, LinkCodeText, Namespace, ProjectName, RequestId, RunId,
};
use std::pin::Pin;
use std::sync::Arc;

/// The longest that one call may take; a run may make several.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Finds servers over HTTP, with TLS unless they are on this machine.
pub struct HttpConnect {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl HttpConnect {
    /// Proofs are made with this time and these random bytes.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    fn client(&self, device: &Device, pinned: Option<PublicKey>) -> Result<Client, ClientError> {
        let options = ClientOptions {
            ca_pem: device.ca_pem.as_ref().map(|pem| pem.clone().into_bytes()),
            pinned_server_key: pinned,
            timeout: CALL_TIMEOUT,
        };
        Client::new(
            &device.url,
            options,
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
        )
    }

    /// A client of a server that nothing is known of.
    fn stranger(&self, at: &ServerAt) -> Result<Client, ClientError> {
        let options = ClientOptions {
            ca_pem: at.ca_pem.as_ref().map(|pem| pem.clone().into_bytes()),
            pinned_server_key: None,
            timeout: CALL_TIMEOUT,
        };
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Client::new(&at.url, options, clock, entropy)
    }

    /// All calls of the API as a device that has joined. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError`] when its address or pinned key cannot be used.
    pub fn session(&self, device: &Device) -> Result<SessionClient, ClientError> {
        let pinned = device
            .membership()
            .map(|membership| PublicKey::from_jwk(&membership.server_key))
            .transpose()
            .map_err(|_| ClientError::Impostor {
                address: device.url.clone(),
                evidence: "the pinned key in the device's file cannot be read",
            })?;
        let client = self.client(device, pinned)?;
        let key = Arc::clone(&device.key);
        Ok(SessionClient::new(client, key))
    }
}

impl Connect for HttpConnect {
    fn join<'a>(&'a self, code: &'a LinkCodeText, device: &'a Device) -> Answer<'a, JoinAnswer> {
        Box::pin(async move {
            self.client(device, None)?
                .join(code, &device.actor, device.key.as_ref())
                .await
        })
    }

    fn ask_device_grant<'a>(
        &'a self,
        at: &'a ServerAt,
        host: &'a DisplayName,
        key: &'a SigningKey,
    ) -> Answer<'a, AskedGrant> {
        Box::pin(async move { self.stranger(at)?.ask_device_grant(host, key).await })
    }

    fn collect_device_grant<'a>(
        &'a self,
        at: &'a ServerAt,
        grant: &'a AskedGrant,
        key: &'a SigningKey,
    ) -> Answer<'a, Look> {
        Box::pin(async move { self.stranger(at)?.collect_device_grant(grant, key).await })
    }

    fn server(&self, device: &Device) -> Result<Arc<dyn Server>, ClientError> {
        Ok(Arc::new(HttpServer(self.session(device)?)))
    }

    fn attested_server(
        &self,
        device: &Device,
        attests: Arc<dyn Attests>,
    ) -> Result<Arc<dyn Server>, ClientError> {
        let session = self.session(device)?.attested_by(attests);
        Ok(Arc::new(HttpServer(session)))
    }
}

struct HttpServer(SessionClient);

impl Server for HttpServer {
    fn start_run<'a>(
        &'a self,
        namespace: &'a Namespace,
        project: &'a ProjectName,
        run: &'a RunRequest,
    ) -> Answer<'a, RunAnswer> {
        Box::pin(self.0.start_run(namespace, project, run))
    }

    fn end_run<'a>(
        &'a self,
        namespace: &'a Namespace,
        project: &'a ProjectName,
        run: RunId,
    ) -> Answer<'a, ()> {
        Box::pin(self.0.end_run(namespace, project, run))
    }

    fn request_state<'a>(
        &'a self,
        namespace: &'a Namespace,
        request: RequestId,
    ) -> Answer<'a, RequestState> {
        Box::pin(async move { Ok(self.0.request(namespace, request).await?.state) })
    }

    fn session(&self) -> Answer<'_, u64> {
        Box::pin(self.0.session_number())
    }

    fn attesting(&self) -> Option<&dyn Attesting> {
        Some(self)
    }

    fn checkpoint(&self) -> Answer<'_, Vec<u8>> {
        Box::pin(self.0.newest_checkpoint())
    }

    fn handovers(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.0.handovers())
    }

    fn consistency(&self, from: u64, to: u64) -> Answer<'_, ConsistencyAnswer> {
        Box::pin(self.0.consistency(from, to))
    }
}

impl Attesting for HttpServer {
    fn attestation_challenge<'a>(
        &'a self,
        ask: &'a AttestationAsk,
    ) -> Answer<'a, AttestationChallenge> {
        Box::pin(self.0.attestation_challenge(ask))
    }

    fn attest<'a>(&'a self, put: &'a AttestationPut) -> Answer<'a, AttestationGiven> {
        Box::pin(self.0.attest(put))
    }

    fn begin_anew(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.0.begin_anew())
    }
}
