//! The gate: a reverse proxy that authenticates in front of any HTTP service.
//!
//! [`Gate`] listens, asks an [`Authenticate`] about each request, and passes what
//! it may to one upstream with four fields that say who asks ([`Identity`]). How
//! strictly is for the [`Dial`](procura_types::dial::Dial) to say (`protocol.md`
//! §3.5); what enforcement would refuse or has refused goes to an [`Observer`].
//!
//! What holds in every mode, because it is what makes a proxy safe:
//!
//! - HTTP/1 has one spelling. Heads and chunks are checked byte by byte before
//!   anything reads them ([`framing`](procura_edge::framing)); what two readers could understand in two
//!   ways is answered 400, and the connection ends. Every message is framed anew
//!   on the way to the upstream.
//! - The target goes to the upstream byte for byte, and so does `Host`: both are
//!   signed. No path is refused for its spelling, and none leads around a route:
//!   one that could be another path to the upstream (`//`, `..`, `%2e`, `%2F` …)
//!   is held to the strictest mode of all routes.
//! - Fields that belong to one connection end here (RFC 9110 §7.6.1), then every
//!   spelling of the identity fields, then what a client says about where it
//!   comes from; then the gate adds its own (`fields`). Trailers of requests end
//!   here too: nothing signs them.
//! - Only WebSocket is tunnelled, only after a handshake of full form, and only
//!   once that was authenticated like any other request (`upgrade`). `CONNECT`
//!   and `TRACE` are refused.
//! - What is under way ends with the standing of who opened it (`standing`): tunnels
//!   and answers that stream do not outlive a revocation.
//!
//! Where it enforces, the upstream sees no byte of a body that is not proven:
//! bodies are read whole, up to a limit, or on routes that stream held against
//! their digest, the last part being kept back until it matches (`body`).
//!
//! [`Verifying`] verifies native proofs and sessions by itself and asks the server about
//! all others (`asking`). [`Admission`] is the same without a proxy around it, for
//! services that authenticate in their own process (`procura-layer`).

mod admission;
mod answer;
mod asking;
mod authenticate;
mod body;
mod checkpoint;
mod config;
mod exchange;
mod feed;
mod fields;
mod follower;
mod health;
mod judge;
mod link;
mod metrics;
mod rates;
mod remembered;
mod serve;
mod standing;
mod target;
mod upgrade;
mod upstream;
mod verifying;

pub use admission::{Admission, Passed, Terms};
pub use authenticate::{
    Authenticate, BodyView, Head, Identity, Judging, Observer, Refusal, Report, Verdict,
};
pub use body::{BrokenOff, Upload};
pub use checkpoint::RecordFault;
pub use config::{Authorities, GateConfig, GateError, Limits, UpstreamTls, UpstreamUrl};
pub use feed::FeedFault;
pub use fields::identify;
pub use follower::{FollowError, Follower, Following, highest_seen};
pub use health::serve_health;
pub use metrics::GateMetrics;
pub use serve::Gate;
pub use standing::{Ending, Standing};
pub use verifying::Verifying;
