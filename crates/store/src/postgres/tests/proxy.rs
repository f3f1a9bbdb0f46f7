//! Something between an engine and its server that can be told to fail.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What happens to what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Pass,
    /// The next COMMIT does not arrive; its connection ends, and no other is made.
    CutBeforeCommit,
    /// The next COMMIT arrives and its answer does not; then as above.
    CutAfterCommit,
    /// The next COMMIT stays here, and its connection as it is.
    HoldCommit,
    /// Nothing that the server says arrives on connections that listen.
    Mute,
    /// No connection is made.
    Refuse,
}

struct State {
    rule: Mutex<Rule>,
    over: AtomicBool,
}

impl State {
    fn rule(&self) -> Rule {
        *self.rule.lock().unwrap()
    }

    /// Applies the rule to a COMMIT; it holds for one.
    fn take(&self) -> Rule {
        let mut rule = self.rule.lock().unwrap();
        let now = *rule;
        *rule = match now {
            Rule::CutBeforeCommit | Rule::CutAfterCommit => Rule::Refuse,
            Rule::HoldCommit => Rule::Pass,
            other => other,
        };
        now
    }
}

pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    pub(super) fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            rule: Mutex::new(Rule::Pass),
            over: AtomicBool::new(false),
        });
        let mine = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if mine.over.load(Ordering::Relaxed) {
                    break;
                }
                let (Ok(client), false) = (client, mine.rule() == Rule::Refuse) else {
                    continue;
                };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
                    continue;
                };
                carry(client, server, &mine);
            }
        });
        Self { port, state }
    }

    pub(super) fn set(&self, rule: Rule) {
        *self.state.rule.lock().unwrap() = rule;
    }

    pub(super) fn rule(&self) -> Rule {
        self.state.rule()
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://procura@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Carries what both sides say, on two threads that end with the connection.
fn carry(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let listens = Arc::new(AtomicBool::new(false));
    let (to_server, from_server) = (server.try_clone().unwrap(), server);
    let (to_client, from_client) = (client.try_clone().unwrap(), client);
    let (mine, here) = (Arc::clone(state), Arc::clone(&listens));
    std::thread::spawn(move || forth(from_client, to_server, &mine, &here));
    let mine = Arc::clone(state);
    std::thread::spawn(move || back(from_server, to_client, &mine, &listens));
}

fn back(mut from: TcpStream, mut to: TcpStream, state: &State, listens: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let muted = state.rule() == Rule::Mute && listens.load(Ordering::Relaxed);
        if !muted && to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// One message: a type, except of the first, a length that counts itself, and a content.
fn message(from: &mut TcpStream, first: bool) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; if first { 4 } else { 5 }];
    from.read_exact(&mut message)?;
    let length = *message.last_chunk::<4>().unwrap();
    let head = message.len();
    let rest = usize::try_from(u32::from_be_bytes(length)).unwrap() - 4;
    message.resize(head + rest, 0);
    from.read_exact(&mut message[head..])?;
    Ok(message)
}

fn forth(mut from: TcpStream, mut to: TcpStream, state: &State, listens: &AtomicBool) {
    let mut first = true;
    while let Ok(message) = message(&mut from, first) {
        first = false;
        let says = |words: &[u8]| message.windows(words.len()).any(|part| part == words);
        if message.starts_with(b"Q") && says(b"LISTEN") {
            listens.store(true, Ordering::Relaxed);
        }
        if message.starts_with(b"Q") && says(b"COMMIT\0") {
            match state.take() {
                Rule::CutBeforeCommit => break,
                Rule::CutAfterCommit => {
                    // First, so that the answer cannot be quicker.
                    let _ = from.shutdown(Shutdown::Both);
                    to.write_all(&message).unwrap();
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Rule::HoldCommit => continue,
                Rule::Pass | Rule::Mute | Rule::Refuse => {}
            }
        }
        if to.write_all(&message).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
