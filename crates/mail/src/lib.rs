//! Messages to a mail server that takes them for delivery (RFC 6409): one connection for
//! each, encrypted before anything is said, to an address that the caller has looked at.
//!
//! A [`Message`] is plain text under headers that are made here. Whatever its subject and
//! its text hold, they end no header and begin none.

mod error;
mod message;
mod sending;

pub use error::MailError;
pub use message::{MailAddress, Message};
pub use sending::{Login, Server, send};
