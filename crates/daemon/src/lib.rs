//! The daemon on the host of an agent: it holds device keys, talks to the
//! server, and hands values to exactly one process.
//!
//! ```text
//! procura run ── ticket ──▶ daemon            (socket::client, service, ticket)
//!   │ exec in place, same pid
//! procurad exec ── ticket ─▶ daemon ─▶ server (stub, delivery, server)
//!   ◀── sealed memory file ──┘                (values)
//!   │ exec in place, same pid
//! the command
//! ```
//!
//! What is absent: keys never leave the daemon's process; values never enter
//! the image of `procura`, a file on disk, an argument or a log; nothing here
//! decides what an agent may have, which is the server's alone.

mod accounts;
mod admission;
mod attesting;
mod caller;
mod checkpoint;
mod children;
mod chip;
mod confinement;
mod connection;
mod daemon;
mod delivery;
mod device;
mod device_grant;
mod error;
mod executable;
mod home;
mod inherited;
mod join;
mod limits;
mod listen;
mod member;
mod peer;
mod protect;
mod remote;
mod server;
mod service;
pub mod socket;
pub mod stub;
mod ticket;
mod values;

pub use accounts::{Accounts, Group, group_id, user_id};
pub use attesting::AttestedSummary;
pub use confinement::{Confinement, landlock_available};
pub use daemon::{DaemonOptions, run};
pub use device::{Device, DeviceStore, Membership};
pub use error::DaemonError;
pub use home::Places;
pub use inherited::close_all_on_exec;
pub use join::DeviceSummary;
pub use limits::Limits;
pub use listen::{Listener, SocketOptions};
pub use peer::{Peer, PeerError};
pub use protect::protect_daemon;
pub use remote::HttpConnect;
pub use server::{Answer, Attesting, Connect, Server, ServerAt};
pub use service::{Service, ServiceOptions};
pub use ticket::{TICKET_LIFE, TicketError, Tickets};
pub use values::{EnvValues, ValuesError, receive_values, sealed_file};
