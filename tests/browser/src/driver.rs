//! The driver: a program of its own that speaks WebDriver over HTTP on loopback.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a command may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running driver; the browser ends with it.
pub(crate) struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}; run ./x setup first"));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mark = "started successfully on port ";
        let port = loop {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "chromedriver ended");
            if let Some((_, rest)) = line.split_once(mark) {
                break rest.trim().trim_end_matches('.').parse().unwrap();
            }
        };
        // Whatever follows is read away, so that it never blocks on it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, port }
    }

    /// Sends a command, and gives what it is answered.
    ///
    /// # Panics
    /// When the driver refuses it, with what it says.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.exchange(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer["value"].clone()
    }

    /// The same, where it may be refused.
    pub(crate) fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = match (body, method) {
            (Some(body), _) => body.to_string(),
            (None, "POST") => json!({}).to_string(),
            (None, _) => String::new(),
        };
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            answer.read_line(&mut line).unwrap();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut text = vec![0; length];
        answer.read_exact(&mut text).unwrap();
        (status, serde_json::from_slice(&text).unwrap())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It ends its browser when it is asked to end; whatever it does, it ends.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
