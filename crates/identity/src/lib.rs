//! Who acts: owners who are operators, agents below them, and their devices.
//!
//! An operation is a struct whose `run` puts the change of its permit into a
//! batch; a device comes in by a link code and in no other way. What is revoked
//! stays in the directory as its own tombstone, and nothing here takes one away.

mod agent;
mod code;
mod device;
mod error;
mod founding;
mod join;
mod link;
mod operator;
mod roles;
mod tree;

pub use agent::{AgentCreate, AgentListing, AgentRevoke};
pub use code::{CODE_LIFE, IssuedCode};
pub use device::{DeviceRevocation, DeviceRevoke, OperatorDeviceRevoke};
pub use error::{IdentityError, JoinRefusal};
pub use founding::InstallationInit;
pub use join::{DeviceJoin, Join, Joined, OperatorJoin};
pub use link::{AgentLink, OperatorLink};
pub use operator::{OperatorInvite, OperatorListing, OperatorRevoke, OperatorRoles};

/// How many actors may stand between an agent and its owner, itself included.
pub const MAX_DEPTH: usize = 8;
