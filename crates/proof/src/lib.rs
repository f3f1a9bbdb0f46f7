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
//! - [`verify_join`] and [`Caller::admin_socket`] are the ways to a caller who
//!   has no device yet.
//! - [`sign`] is the client's side.

mod answer;
mod base;
mod caller;
mod component;
#[cfg(any(test, feature = "fake"))]
pub mod conformance;
mod digest;
pub mod foreign;
mod guard;
mod input;
mod join;
mod memory_guard;
mod message;
mod native;
mod query;
mod reason;
pub mod session;
mod session_cache;
pub mod sign;
#[cfg(test)]
mod vectors;
mod verify;
mod window;

pub use answer::{ANSWER_FIELD, AnswerView, Answering};
pub use caller::{Caller, Profile};
pub use guard::{Claim, GuardUnavailable, Once, Outcome, ReplayGuard, Windows};
pub use join::{Joining, join_message, verify_join};
pub use memory_guard::{Limits, MemoryGuard, Remembered, RememberedOnce};
pub use message::{Headers, RequestView};
pub use native::TAG;
pub use reason::{Case, Reason, Refusal, Step};
pub use session::SessionKeys;
pub use verify::{Awaited, Verifier};
pub use window::{WINDOW, Window};
