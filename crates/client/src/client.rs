//! One server, and the calls that need no proof.

use crate::ClientError;
use crate::address::Address;
use crate::transport::Transport;
use procura_crypto::PublicKey;
use procura_types::{Clock, Duration, Entropy};
use std::sync::Arc;

/// How a server is reached and recognised.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Certificate authorities to trust, PEM; without them, the machine's own.
    pub ca_pem: Option<Vec<u8>>,
    /// The key that the server must prove to hold, learned when joining.
    /// Without it only calls that need no proof can be made.
    pub pinned_server_key: Option<PublicKey>,
    /// The longest that one call may take, connecting included.
    pub timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            ca_pem: None,
            pinned_server_key: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// One server. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) address: Address,
    pub(crate) transport: Transport,
    pub(crate) pinned: Option<PublicKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Client {
    /// A client for the server at `base_url`: `https://host[:port]`, or
    /// `http://` to a loopback address. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`] for any other URL, [`ClientError::Certificates`]
    /// when TLS is asked for and its authorities cannot be read.
    pub fn new(
        base_url: &str,
        options: ClientOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ClientError> {
        let address = Address::parse(base_url)?;
        let transport = Transport::tcp(&address, options.ca_pem.as_deref(), options.timeout)?;
        Ok(Self {
            inner: Arc::new(Inner {
                address,
                transport,
                pinned: options.pinned_server_key,
                clock,
                entropy,
            }),
        })
    }

    /// The server's address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.address.url()
    }

    /// The key that the server must prove to hold.
    #[must_use]
    pub fn pinned_server_key(&self) -> Option<&PublicKey> {
        self.inner.pinned.as_ref()
    }
}
