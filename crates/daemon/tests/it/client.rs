//! A client that says on the socket whatever a test wants.

use procura_daemon::socket::{Ask, ExecAsk, Failure, Op, Reply};
use procura_types::wire::ValueB64;
use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, send, socket_with,
};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

pub(crate) struct Raw {
    pub(crate) socket: OwnedFd,
    pub(crate) challenge: String,
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let mut raw = Self {
            socket,
            challenge: String::new(),
        };
        match raw.hear().expect("a greeting").0 {
            Reply::Greeting(greeting) => raw.challenge = greeting.challenge,
            _ => panic!("no greeting"),
        }
        raw
    }

    pub(crate) fn text(&self, op: Op) -> Vec<u8> {
        serde_json::to_vec(&Ask {
            challenge: self.challenge.clone(),
            op,
        })
        .unwrap()
    }

    pub(crate) fn say(&self, bytes: &[u8]) {
        assert_eq!(
            send(&self.socket, bytes, SendFlags::NOSIGNAL).unwrap(),
            bytes.len()
        );
    }

    pub(crate) fn ask(&self, op: Op) {
        self.say(&self.text(op));
    }

    /// The next answer; nothing when the daemon hung up.
    pub(crate) fn hear(&self) -> Option<(Reply, Option<OwnedFd>)> {
        let mut bytes = vec![0; 256 * 1024];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        if received.bytes == 0 {
            return None;
        }
        let reply = serde_json::from_slice(&bytes[..received.bytes]).unwrap();
        Some((reply, file))
    }

    /// The failure that must come.
    pub(crate) fn failure(&self) -> Failure {
        match self.hear().expect("an answer").0 {
            Reply::Failed(failure) => failure,
            _ => panic!("it did not fail"),
        }
    }
}

pub(crate) fn ticket(path: &Path) -> Vec<u8> {
    let raw = Raw::connect(path);
    raw.ask(Op::Ticket {});
    match raw.hear().unwrap().0 {
        Reply::Ticket(reply) => reply.ticket.decode().unwrap().expose().clone(),
        _ => panic!("no ticket"),
    }
}

pub(crate) fn exec(ticket: &[u8]) -> ExecAsk {
    ExecAsk {
        ticket: ValueB64::encode(ticket),
        agent: None,
        namespace: None,
        project: "shop".parse().unwrap(),
        names: vec!["A".to_owned(), "X-Y".to_owned()],
        argv_sha256: "ab".repeat(32),
        cwd: Some("/work".to_owned()),
        git: Some("c".repeat(40)),
        exe_sha256: None,
        wait: false,
        delivery: procura_types::Delivery::Env,
    }
}

/// Gets a ticket and asks with it.
pub(crate) fn ask_exec(path: &Path, change: impl FnOnce(&mut ExecAsk)) -> Raw {
    let mut ask = exec(&ticket(path));
    change(&mut ask);
    let raw = Raw::connect(path);
    raw.ask(Op::Exec(ask));
    raw
}
