//! Request proofs: who made a request, or why it is refused. Sans-I/O: the
//! request, the time, the directory and the keys are passed in.
//!
//! - [`Verifier::verify`] makes the checks of `protocol.md` §3.3 in their order
//!   and yields a [`Caller`], or a [`Refusal`] whose [`Case`] is a row of
//!   `spec/reasons.md`.
//! - Two kinds of proof: RFC 9421 signatures by a device's own key, and MACs
//!   under a [`session`] that such a signature started. [`AnswerView`] is how the
//!   server proves its answers within one.
//! - [`foreign`] has the profiles of other systems, with a verifier of their own.
//! - A [`ReplayGuard`] makes each proof good for one request. [`MemoryGuard`]
//!   is one; those that outlive the process are built on it.
//!   Where several verifiers share one ([`SharedGuard`]), it has to be waited for:
//!   [`Verifier::prepare`] makes all checks but this one, and [`Verifier::finish`]
//!   uses the proof up.
//! - [`verify_join`], [`verify_ask`], [`verify_collector`], [`verify_enrolment`] and
//!   [`Caller::admin_socket`] are the ways to a caller who has no device yet;
//!   [`Caller::foreign`] is the one from a proof of another system's profile, and
//!   [`Caller::legacy`] the one from a client of CortexAuth ([`foreign::legacy`]).
//! - [`Caller::web_login`] is the one from the cookie of a browser, and
//!   [`Caller::signing_in`] the one to it.
//! - [`sign`] is the client's side.

pub mod agent_session;
mod answer;
mod attestation;
mod base;
mod caller;
mod component;
#[cfg(any(test, feature = "fake"))]
pub mod conformance;
mod device_grant;
mod digest;
mod enrolment;
pub mod foreign;
mod guard;
mod input;
mod join;
mod memory_guard;
mod message;
mod native;
mod pending;
mod query;
mod reason;
pub mod session;
mod session_cache;
mod session_id;
pub mod sign;
#[cfg(test)]
mod vectors;
mod verify;
mod web_login;
mod window;

pub use answer::{ANSWER_FIELD, AnswerView, Answering};
pub use attestation::{attestation_id, attestation_message, attested_session_message, process_key};
pub use caller::{Caller, Profile};
pub use device_grant::{
    AskingDevice, Collector, DeviceAsk, ask_message, collect_message, fingerprint, verify_ask,
    verify_collector,
};
pub use enrolment::{Enrolling, verify_enrolment};
pub use guard::{
    By, Claim, Claiming, Guard, GuardUnavailable, Once, Outcome, ReplayGuard, SharedGuard, Windows,
};
pub use join::{Joining, join_message, verify_join};
pub use memory_guard::{Limits, MemoryGuard, Remembered, RememberedOnce};
pub use message::{Headers, RequestView};
pub use native::TAG;
pub use pending::Pending;
pub use reason::{Case, Reason, Refusal, Step};
pub use session::SessionKeys;
pub use verify::{Awaited, Verifier};
pub use web_login::{Authenticated, KeptLogin, Provided, WebLoginCookie};
pub use window::{WINDOW, Window};
