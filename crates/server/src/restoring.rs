//! From a backup to a home (ADR 29, `spec/backup.md`): first a sandbox, that no server
//! starts on and that nobody outside hears of; then, once an administrator activates it,
//! the installation again. None of it needs a server, and none of it makes a connection.

mod activate;
mod copies;
mod error;
mod load;
mod marker;
mod measures;
mod verify;

pub use activate::{Activated, Activation, Way, activate};
pub use error::RestoreError;
pub use load::{BackupFile, load, look};
pub use marker::{Marker, find as find_marker};
pub use verify::{Means, Report, verify};
