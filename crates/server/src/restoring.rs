//! From a backup to a home (ADR 29, `spec/backup.md`): first a sandbox, that no server
//! starts on and that nobody outside hears of; then, once an administrator activates it,
//! the installation again. None of it needs a server, and none of it makes a connection, but
//! to the unseal source that somebody names to open it with.

mod activate;
mod copies;
mod done;
mod error;
mod load;
mod marker;
mod measures;
mod plan;
mod sources;
mod step;
mod verify;

pub use activate::{Activated, Activation, Going, Way, activate};
pub use error::RestoreError;
pub use load::{BackupFile, load, look};
pub use marker::{Begun, Marker, Seat, find as find_marker};
pub use sources::{OpenedWith, sources};
pub use step::ActivationStep;
pub use verify::{Means, Report, verify};
