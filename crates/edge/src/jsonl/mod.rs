//! Logs of one JSON object a line, in `<home>/logs`: for other programs to read
//! and for people to search. They are written behind the requests and never hold
//! one up. What could not be written is counted, and the log says itself how much
//! of it is missing.

mod line;
mod rolling;
mod writer;

pub use line::Line;
pub use prometheus_client::metrics::counter::Counter;
pub use rolling::Limits;
use rolling::Rolling;
pub use writer::JsonlLog;
