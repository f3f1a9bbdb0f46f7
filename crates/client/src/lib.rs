//! A typed HTTP client for Procura's native API (`protocol.md` §9) that signs
//! what it sends.
//!
//! [`Client`] knows one server: its address, how to reach it, and the key that
//! it must prove to hold. It makes the calls that need no proof. [`SessionClient`]
//! adds a device's key ([`RequestSigner`]) and makes all the others, each signed
//! with a session that is started and renewed when needed, or with the key
//! itself. [`AdminClient`] talks to the administration socket of a server on
//! this machine. [`Target`] is any resource of any HTTP service, and sends what its
//! caller has signed. [`SystemClock`] is the clock of the programs that use them.
//!
//! Before anything is sent under a session, the server has signed that session
//! with its own key, and every success that is answered under it bears the tag of
//! the session's key: a process that merely listens on the server's port is refused
//! as an [`ClientError::Impostor`], and nothing that it says is used.

mod account;
mod address;
mod admin;
mod agent;
mod api_key;
mod approval_rule;
mod attestation;
mod backup;
mod break_glass;
mod call;
mod client;
mod clock;
mod device;
mod device_grant;
mod error;
mod events;
mod feed;
mod foreign;
mod grant;
mod honey;
mod join;
mod ledger;
mod namespace;
mod notify;
mod oidc;
mod operator;
mod outward;
mod part_of;
mod passkey;
mod policy;
mod project;
mod project_token;
mod proposal;
mod proving;
mod query;
mod request;
mod rotation;
mod run;
mod secret;
mod secret_import;
mod server;
mod service;
mod session;
mod signer;
mod signing_key;
pub mod sse;
mod status;
mod target;
mod tls;
mod transit;
mod transport;
mod verify;

pub use admin::{AdminClient, NewSource, Opening};
pub use attestation::Attests;
pub use backup::BackupStream;
pub use client::{Client, ClientOptions};
pub use clock::SystemClock;
pub use device_grant::{AskedGrant, AskedServer, Look};
pub use error::ClientError;
pub use events::{EventStream, Told};
pub use feed::FeedQuestion;
pub use outward::{Outward, OutwardAnswer, OutwardDocument, OutwardError, authorities};
pub use part_of::traced;
pub use query::{Page, Query};
pub use secret::Listed;
pub use session::SessionClient;
pub use signer::{RequestSigner, SignerError};
pub use target::{ServiceAnswer, Target};
pub use tls::config as tls_config;
