//! What the daemon needs of a server. The real one is [`crate::HttpConnect`];
//! tests bring another.

use crate::Device;
use procura_client::{AskedGrant, Attests, ClientError, Look};
use procura_crypto::SigningKey;
use procura_types::wire::{
    AttestationAsk, AttestationChallenge, AttestationGiven, AttestationPut, ConsistencyAnswer,
    JoinAnswer, RequestState, RunAnswer, RunRequest,
};
use procura_types::{DisplayName, LinkCodeText, Namespace, ProjectName, RequestId, RunId};
use std::pin::Pin;
use std::sync::Arc;

/// An answer to come. It stays on the thread that asks: the daemon has one.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + 'a>>;

/// Where a server answers, before anything is known of it.
#[derive(Debug, Clone)]
pub struct ServerAt {
    /// Its URL.
    pub url: String,
    /// Certificate authorities to trust for it, PEM; otherwise the machine's.
    pub ca_pem: Option<String>,
}

/// Finds servers.
pub trait Connect: Send + Sync {
    /// Joins `device`'s key by a link code, over `device.url`. The answer is
    /// checked to come from the server that the code names.
    fn join<'a>(&'a self, code: &'a LinkCodeText, device: &'a Device) -> Answer<'a, JoinAnswer>;

    /// Asks for a key to become a device, without a link code.
    fn ask_device_grant<'a>(
        &'a self,
        at: &'a ServerAt,
        host: &'a DisplayName,
        key: &'a SigningKey,
    ) -> Answer<'a, AskedGrant>;

    /// Looks whether somebody has answered that.
    fn collect_device_grant<'a>(
        &'a self,
        at: &'a ServerAt,
        grant: &'a AskedGrant,
        key: &'a SigningKey,
    ) -> Answer<'a, Look>;

    /// The way to the server of a device that has joined. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError`] when its address or pinned key cannot be used.
    fn server(&self, device: &Device) -> Result<Arc<dyn Server>, ClientError>;

    /// The same, whose sessions show what `attests` has attested.
    ///
    /// # Errors
    /// As [`Self::server`].
    fn attested_server(
        &self,
        device: &Device,
        attests: Arc<dyn Attests>,
    ) -> Result<Arc<dyn Server>, ClientError> {
        drop(attests);
        self.server(device)
    }
}

/// A server that takes attestations.
pub trait Attesting {
    /// What the next statement has to hold.
    fn attestation_challenge<'a>(
        &'a self,
        ask: &'a AttestationAsk,
    ) -> Answer<'a, AttestationChallenge>;

    /// Attests which program this process is.
    fn attest<'a>(&'a self, put: &'a AttestationPut) -> Answer<'a, AttestationGiven>;

    /// The next call starts another session.
    fn begin_anew(&self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// One server, called as one device. Sessions are started, renewed and replaced
/// behind this.
pub trait Server: Send + Sync {
    /// Asks for a project's values.
    fn start_run<'a>(
        &'a self,
        namespace: &'a Namespace,
        project: &'a ProjectName,
        run: &'a RunRequest,
    ) -> Answer<'a, RunAnswer>;

    /// Says that the process that got the values has ended.
    fn end_run<'a>(
        &'a self,
        namespace: &'a Namespace,
        project: &'a ProjectName,
        run: RunId,
    ) -> Answer<'a, ()>;

    /// Where a request of this agent stands.
    fn request_state<'a>(
        &'a self,
        namespace: &'a Namespace,
        request: RequestId,
    ) -> Answer<'a, RequestState>;

    /// Starts a session if there is none to use now, and gives its number,
    /// which is another for each session.
    fn session(&self) -> Answer<'_, u64>;

    /// The newest signed checkpoint of the ledger: a C2SP note.
    fn checkpoint(&self) -> Answer<'_, Vec<u8>>;

    /// The checkpoints that the key of the ledger turned with, oldest first.
    fn handovers(&self) -> Answer<'_, Vec<String>>;

    /// Where to attest; nowhere when it takes none.
    fn attesting(&self) -> Option<&dyn Attesting> {
        None
    }

    /// That the log of size `from` is a beginning of the log of size `to`.
    fn consistency(&self, from: u64, to: u64) -> Answer<'_, ConsistencyAnswer>;
}
