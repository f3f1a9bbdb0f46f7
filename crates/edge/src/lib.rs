//! What every listener that strangers reach has, whether it is the server's or a
//! gate's.

pub mod counted;
pub mod framing;
pub mod jsonl;
pub mod places;
pub mod private_file;
pub mod process;
pub mod rate;
pub mod source;
pub mod tls;
pub mod trace;
pub mod wire;
