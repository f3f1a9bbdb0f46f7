//! Packets over a Unix socket, with a descriptor beside them and the sender's
//! credentials on them.

use procura_types::SecretBytes;
use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socket_with, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest message. A list of 256 names and paths fits.
pub(crate) const MESSAGE_LIMIT: usize = 192 * 1024;

/// A packet as received.
pub(crate) struct Packet {
    pub(crate) bytes: SecretBytes,
    /// User and pid of the sender, stamped by the kernel.
    pub(crate) sender: Option<(u32, i32)>,
    pub(crate) file: Option<OwnedFd>,
}

/// A socket for packets, closed on exec.
pub(crate) fn new_socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags | SocketFlags::CLOEXEC,
        None,
    )?;
    allow_large(&socket);
    Ok(socket)
}

/// The default of many kernels is just below the limit; sending says so if the
/// kernel gives less.
pub(crate) fn allow_large(socket: impl AsFd) {
    let _ = sockopt::set_socket_send_buffer_size(socket, MESSAGE_LIMIT + 16 * 1024);
}

/// Writes a message.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<SecretBytes> {
    // Room for all of it at once: a ticket is not left behind in memory that
    // was grown out of.
    let mut bytes = SecretBytes::new(Vec::with_capacity(MESSAGE_LIMIT));
    serde_json::to_writer(bytes.expose_mut(), message)?;
    if bytes.expose().len() > MESSAGE_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a message of the daemon's socket would be longer than 192 KiB",
        ));
    }
    Ok(bytes)
}

/// Reads a message.
pub(crate) fn decode<T: DeserializeOwned>(packet: &Packet) -> io::Result<T> {
    // The place of a mistake, not its words: those may quote a secret.
    serde_json::from_slice(packet.bytes.expose()).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message does not fit at column {}", error.column()),
        )
    })
}

/// Sends one packet, with a descriptor beside it.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    file: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = file.map(|file| [file]);
    if let Some(files) = &files
        && !control.push(SendAncillaryMessage::ScmRights(files))
    {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one packet; none when the other side has closed.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<Option<Packet>> {
    let mut bytes = SecretBytes::new(vec![0; MESSAGE_LIMIT]);
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(bytes.expose_mut())],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut packet = Packet {
        bytes,
        sender: None,
        file: None,
    };
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(mut files) => packet.file = files.next(),
            RecvAncillaryMessage::ScmCredentials(sender) => {
                packet.sender = Some((sender.uid.as_raw(), sender.pid.as_raw_pid()));
            }
            _ => {}
        }
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message is longer than 192 KiB",
        ));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    packet.bytes.expose_mut().truncate(received.bytes);
    Ok(Some(packet))
}
