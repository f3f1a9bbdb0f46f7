//! A service that takes messages over HTTP, as a chat does.

use crate::until;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{self, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a message may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver on this machine, until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    is_over: Arc<AtomicBool>,
    messages: mpsc::Receiver<(String, Value)>,
    serving: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one, which answers that all is well.
    #[must_use]
    pub fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Ends it, and starts another where it was once something has happened meanwhile.
    #[must_use]
    pub fn down(mut self, meanwhile: impl FnOnce()) -> Self {
        self.end();
        // Nothing listens there when that is over.
        self.serving.take().unwrap().join().unwrap();
        let address = self.address;
        drop(self);
        meanwhile();
        Self::at(address)
    }

    fn at(address: SocketAddr) -> Self {
        // Whoever got the port meanwhile, for a connection to somewhere, gives it back.
        let listener = until("a place to listen", PATIENCE, || {
            TcpListener::bind(address).ok()
        });
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, messages) = channel();
        let (answers, over) = (Arc::clone(&status), Arc::clone(&is_over));
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                // Whoever hangs up before the end has said nothing.
                let _ = stream
                    .and_then(|stream| taken(stream, answers.load(Ordering::Acquire), &sender));
            }
        });
        Self {
            address,
            status,
            is_over,
            messages,
            serving: Some(serving),
        }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        // It waits for somebody.
        let _ = TcpStream::connect(self.address);
    }

    /// Where it takes messages under this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it answers from here on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    /// The next message that it took: the path, and what it was sent.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    #[must_use]
    pub fn hear(&self) -> (String, Value) {
        let heard = self.messages.recv_timeout(PATIENCE);
        heard.expect("a message")
    }

    /// What came and nobody heard.
    #[must_use]
    pub fn unheard(&self) -> Vec<(String, Value)> {
        self.messages.try_iter().collect()
    }
}

/// Takes one message. What is not answered well counts as not taken.
fn taken(stream: TcpStream, status: u16, sender: &Sender<(String, Value)>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let message = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
    if status < 300 {
        // Nobody listens any more when the test is over.
        let _ = sender.send((path, message));
    }
    let answer =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    reader.into_inner().write_all(answer.as_bytes())
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
    }
}
