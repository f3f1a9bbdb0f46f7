//! What the daemon needs of a server. The real one is [`crate::HttpConnect`];
//! tests bring another.

use crate::Device;
use procura_client::ClientError;
use procura_types::wire::{ConsistencyAnswer, JoinAnswer, RequestState, RunAnswer, RunRequest};
use procura_types::{LinkCodeText, Namespace, ProjectName, RequestId, RunId};
use std::pin::Pin;
use std::sync::Arc;

/// An answer to come. It stays on the thread that asks: the daemon has one.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + 'a>>;

/// Finds servers.
pub trait Connect: Send + Sync {
    /// Joins `device`'s key by a link code, over `device.url`. The answer is
    /// checked to come from the server that the code names.
    fn join<'a>(&'a self, code: &'a LinkCodeText, device: &'a Device) -> Answer<'a, JoinAnswer>;

    /// The way to the server of a device that has joined. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError`] when its address or pinned key cannot be used.
    fn server(&self, device: &Device) -> Result<Arc<dyn Server>, ClientError>;
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

    /// That the log of size `from` is a beginning of the log of size `to`.
    fn consistency(&self, from: u64, to: u64) -> Answer<'_, ConsistencyAnswer>;
}
