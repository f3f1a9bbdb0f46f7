//! The door that a gate is, knocked at with bytes of our own: what no client would send,
//! and a real proof with it, so that nothing but the shape is wrong.

mod handshakes;
mod paths;
mod smuggling;
mod uploads;

use crate::gate::{Answer, Holder, gate, service};
use crate::scene::{PATIENCE, agent, shop};
use procura_acceptance::{GateHost, Installation};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// A gate that enforces, with the server that it follows and an agent that it knows.
struct Door {
    // Stopped before the server that it follows.
    gate: GateHost,
    server: Installation,
    scribe: Holder,
}

impl Door {
    /// In front of this URL.
    fn before(url: &str) -> Self {
        Self::with(url, &[])
    }

    /// The same with what is particular about a route.
    fn with(url: &str, route: &[&str]) -> Self {
        let server = shop();
        let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
        let code = service(&server);
        if !route.is_empty() {
            let set = ["-n", "shop", "service", "route", "web"];
            server.cli(&[&set[..], route].concat()).ok();
        }
        let gate = gate(&server, &code, url, &[]);
        Self {
            gate,
            server,
            scribe,
        }
    }

    fn at(&self) -> &str {
        self.gate.address()
    }

    /// The head of a `GET` with its proof and these lines, up to its empty line.
    fn proven(&self, path: &str, lines: &str) -> String {
        let call = self.scribe.get(self.at(), path);
        let fields = call.headers.iter();
        let fields: String = fields
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        self.unproven(path, &(fields + lines))
    }

    /// The same with no proof.
    fn unproven(&self, path: &str, lines: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", self.at())
    }

    /// Sends these bytes and reads to the end of the connection; the first answer, with
    /// whatever else came as its body.
    fn knock(&self, bytes: &str) -> Answer {
        let mut stream = TcpStream::connect(self.at()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who is refused may be hung up on before all is sent or read.
        let _ = stream.write_all(bytes.as_bytes());
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            panic!("{ended:?}: {answer:?}");
        };
        Answer {
            status: head[9..12].parse().unwrap(),
            head: format!("{head}\r\n"),
            body: body.to_owned(),
        }
    }
}
