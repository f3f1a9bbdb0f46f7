//! One client's connection, as the daemon holds it.

use crate::socket::{Reply, packet};
use std::io;
use std::os::fd::BorrowedFd;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// One client.
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
}

impl Connection {
    /// From now on the kernel stamps each message with its sender.
    pub(crate) fn stamp_senders(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_passcred(
            &self.stream,
            true,
        )?)
    }

    pub(crate) async fn say(&self, reply: &Reply, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = packet::encode(reply)?;
        self.stream
            .async_io(Interest::WRITABLE, || {
                packet::send(&self.stream, bytes.expose(), file)
            })
            .await
    }

    pub(crate) async fn hear(&self) -> io::Result<packet::Packet> {
        self.stream
            .async_io(Interest::READABLE, || packet::receive(&self.stream))
            .await?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Ends when the client has gone. It has asked its one question: whatever
    /// else it says ends the conversation as well.
    pub(crate) async fn gone(&self) {
        let _ = self.hear().await;
    }
}
