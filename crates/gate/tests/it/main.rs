//! A gate with real sockets on both sides. Who is let in is decided by a stand-in
//! that reads one field; all else is the gate's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod bodies;
mod client;
mod dial;
mod foreign;
mod frames;
mod grpc;
mod http2_smuggling;
mod identity;
mod limits;
mod metrics;
mod passing;
mod rates;
mod revoked;
mod smuggling;
mod stopping;
mod streams;
mod tls;
mod upstream;
mod verifying;
mod websocket;
mod world;
