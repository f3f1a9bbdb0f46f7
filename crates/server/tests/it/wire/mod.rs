//! What crosses the listeners' wires: both versions of HTTP, TLS, floods, slow clients,
//! and requests that are shaped to be read in two ways.

mod floods;
mod frames;
mod http2;
mod renewal;
mod slow;
mod smuggling;
