//! A key management service that speaks as that of AWS does: moto.

use super::place::{Bring, Kind, owned, placed, private, wrapped};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const REGION: &str = "eu-central-1";

pub(super) struct Service {
    dir: PathBuf,
    address: SocketAddr,
    key: String,
    running: Child,
    /// Stopped (SIGSTOP): it takes connections and answers nothing.
    stopped: bool,
}

/// `./x` installs it beside what it builds.
pub(super) fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_procura"));
    let target = built.parent().unwrap().parent().unwrap();
    target.join("moto/bin/moto_server")
}

/// One call of the service, as nobody in particular: moto checks no signatures.
fn call(address: SocketAddr, operation: &str, body: &str) -> Option<serde_json::Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: kms.{REGION}.amazonaws.com\r\nConnection: close\r\n\
         Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: TrentService.{operation}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/{REGION}/kms/aws4_request, SignedHeaders=host, Signature=0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

impl Service {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.running);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Kind for Service {
    const REFUSED: &'static str = "wrapped_key_refused";
    const GONE: &'static str = "there is no unseal source two";

    fn new(dir: &Path) -> Self {
        let dir = dir.join("kms");
        std::fs::create_dir(&dir).unwrap();
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let running = Command::new(program())
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server, which ./x test installs");
        let end = Instant::now() + Duration::from_secs(120);
        let made = loop {
            if let Some(made) = call(address, "CreateKey", "{}") {
                break made;
            }
            assert!(Instant::now() < end, "moto does not start");
            std::thread::sleep(Duration::from_millis(100));
        };
        private(
            &dir.join("keys"),
            "[default]\naws_access_key_id = AKIDCANARY\naws_secret_access_key = canary/secret\naws_session_token = canary-token\n",
        );
        private(&dir.join("wrong"), "no access keys\n");
        Self {
            dir,
            address,
            key: made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned(),
            running,
            stopped: false,
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let address = self.address;
        vec![placed(&format!(
            "{{ region = \"{REGION}\", endpoint = \"http://{address}\" }}"
        ))]
    }

    fn place(&self) -> Option<(String, (&'static str, String))> {
        let address = self.address;
        let at = format!("region = \"{REGION}\"\nendpoint = \"http://{address}\"");
        // Nothing listens there.
        Some((at, ("endpoint", "http://127.0.0.1:1".to_owned())))
    }

    fn word(&self, _: &str) -> &'static str {
        "kms"
    }

    fn add(&self, _: &str, _: &str) -> (Vec<String>, Vec<String>) {
        let keys = self.dir.join("keys");
        let args = owned(&[
            "--kms",
            &self.key,
            "--region",
            REGION,
            "--endpoint",
            &format!("http://{}", self.address),
            "--credentials",
            keys.to_str().unwrap(),
        ]);
        (args, Vec::new())
    }

    fn bring(&self, _: &str, name: &str) -> Bring {
        wrapped(name, Some(&self.dir.join("keys")))
    }

    fn wrong(&self, name: &str) -> Option<(Bring, &'static str)> {
        let wrong = wrapped(name, Some(&self.dir.join("wrong")));
        Some((wrong, "credentials_needed"))
    }

    fn away(&mut self) -> bool {
        self.signal(rustix::process::Signal::STOP);
        self.stopped = true;
        true
    }

    fn back(&mut self) {
        self.signal(rustix::process::Signal::CONT);
        self.stopped = false;
    }

    fn credentials(&self) -> Option<PathBuf> {
        Some(self.dir.join("keys"))
    }
}
