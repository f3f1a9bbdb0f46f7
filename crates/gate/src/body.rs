//! Bodies of requests: read whole before the upstream hears of them (`held`), or passed
//! on while they come, held against a digest or not (`upload`).

mod held;
mod upload;

pub(crate) use held::{NotHeld, hold};
pub(crate) use upload::Otherwise;
pub use upload::{BrokenOff, Upload};
