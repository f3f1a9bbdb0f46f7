//! The daemon's socket: messages, how they travel, and the client's side.
//!
//! One connection carries one question. The daemon greets with a challenge,
//! the client asks, the daemon answers; `exec` may be answered by `pending`
//! before it is answered for good, and `join_device` by `waiting`. Messages are JSON, one to a packet of a
//! `SOCK_SEQPACKET` Unix socket; values come as a descriptor beside a message.

pub mod client;
mod genuine;
mod message;
pub(crate) mod packet;

pub use message::{
    Ask, Confine, ExecAsk, Failure, Greeting, JoinAsk, JoinDeviceAsk, Op, Pending, Reply, Status,
    TicketReply, VERSION, WaitingDevice,
};
