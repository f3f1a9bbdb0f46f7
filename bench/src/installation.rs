//! The server under test: the released program, on a home made for it.

use crate::connection::Connection;
use crate::load::SECRETS;
use crate::process::Running;
use crate::prover::Prover;
use crate::values::{self, NAMESPACE, Values};
use crate::{Outcome, report};
use procura_client::{Client, ClientOptions, SessionClient, SystemClock};
use procura_crypto::{MacKey, PublicKey, SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::sign::{Signer, sign_request};
use procura_types::wire::{AgentCreate, SessionAnswer};
use procura_types::{Clock as _, Entropy as _, Joins, Label, LinkCodeText, encoding};
use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Protects nothing: the home is gone when the measuring is over.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
/// The owner.
const OWNER: &str = "bench";
/// Connections that write secrets.
const WRITERS: u32 = 64;

/// A home with a server.
pub(crate) struct Installation {
    // Dropped before the folder that it works in.
    server: Running,
    program: PathBuf,
    folder: TempDir,
    url: String,
}

/// A device of the owner, with an Ed25519 key.
pub(crate) struct Device {
    key: Arc<SigningKey>,
    server_key: PublicKey,
}

impl Device {
    /// Its key.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl Installation {
    /// Starts a server on a fresh home in `folder`, makes an installation and a
    /// namespace.
    pub(crate) fn make(folder: TempDir) -> Outcome<Self> {
        Self::make_with(folder, &[])
    }

    /// The same, with these variables in the server's environment.
    pub(crate) fn make_with(folder: TempDir, settings: &[(&str, &str)]) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name("procura");
        if !program.is_file() {
            return Err(format!(
                "{} is not there: build it first, with --release",
                program.display()
            )
            .into());
        }
        let (server, url, _) = start(&program, folder.path(), None, settings)?;
        let made = Self {
            server,
            program,
            folder,
            url,
        };
        made.cli(&["init", "--owner", OWNER])?;
        made.cli(&["namespace", "create", NAMESPACE])?;
        Ok(made)
    }

    /// Another server of an installation that these variables lead to, open.
    pub(crate) fn beside(folder: TempDir, settings: &[(&str, &str)]) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name("procura");
        let passphrase = folder.path().join("passphrase");
        std::fs::write(&passphrase, PASSPHRASE)?;
        std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600))?;
        let (server, url, _) = start(&program, folder.path(), Some(&passphrase), settings)?;
        Ok(Self {
            server,
            program,
            folder,
            url,
        })
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    /// `host:port` of the API.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Stops the server and starts it again with the passphrase in a file: the
    /// time from its start until it says that it is ready and open.
    pub(crate) fn restart(&mut self) -> Outcome<Duration> {
        self.restart_with(&[])
    }

    /// The same, for so many connections at once.
    pub(crate) fn restart_for(&mut self, connections: u32) -> Outcome<Duration> {
        self.restart_with(&[("PROCURA_MAX_CONNECTIONS", &connections.to_string())])
    }

    fn restart_with(&mut self, settings: &[(&str, &str)]) -> Outcome<Duration> {
        self.server.stop()?;
        self.start_again(settings)
    }

    /// Ends the server in the middle of whatever it does, and starts it again with these
    /// variables: the time from its start until it says that it is ready and open.
    pub(crate) fn crash_and_restart(&mut self, settings: &[(&str, &str)]) -> Outcome<Duration> {
        self.server.crash()?;
        self.start_again(settings)
    }

    fn start_again(&mut self, settings: &[(&str, &str)]) -> Outcome<Duration> {
        let passphrase = self.folder.path().join("passphrase");
        std::fs::write(&passphrase, PASSPHRASE)?;
        std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600))?;
        let folder = self.folder.path();
        let (server, url, took) = start(&self.program, folder, Some(&passphrase), settings)?;
        self.server = server;
        self.url = url;
        Ok(took)
    }

    /// Puts files with fresh keys of so many agents of another system into the home.
    pub(crate) fn key_agents(&self, count: usize) -> Outcome<Vec<(String, SigningKey)>> {
        let folder = home(self.folder.path()).join("keys/agents");
        let mut agents = Vec::new();
        for number in 0..count {
            let key = SigningKey::generate_ed25519(&SystemEntropy)?;
            let id = format!("bench-{number}");
            let jwk = key.public().to_jwk();
            let point: [u8; 32] = encoding::from_b64url_fixed("x", &jwk.x)?;
            // RFC 8709 section 4: the name of the type and the point, each behind its
            // length.
            let mut blob = Vec::new();
            for part in [&b"ssh-ed25519"[..], &point] {
                blob.extend_from_slice(&u32::try_from(part.len())?.to_be_bytes());
                blob.extend_from_slice(part);
            }
            let line = format!("ssh-ed25519 {} {id}\n", encoding::b64_standard(&blob));
            std::fs::write(folder.join(format!("{id}.pub")), line)?;
            agents.push((id, key));
        }
        Ok(agents)
    }

    /// Makes the agent of a gate and a service that enforces and names it; a link code.
    pub(crate) fn make_service(&self, service: &str, agent: &str) -> Outcome<String> {
        let code = self.cli(&["-n", NAMESPACE, "agent", "add", agent])?;
        let add = [
            "-n", NAMESPACE, "service", "add", service, "--mode", "enforce",
        ];
        self.cli(&[&add[..], &["--gate", agent]].concat())?;
        Ok(code.trim().to_owned())
    }

    /// The command line as it would be of another home below this one's folder, logging
    /// to a file of that name beside it.
    pub(crate) fn command(&self, name: &str) -> Outcome<Command> {
        let folder = self.folder.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join(format!("{name}.log")))?;
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .arg("--home")
            .arg(folder.join(name))
            .args(["--server", &self.url])
            .stderr(log);
        Ok(command)
    }

    /// The command line as the owner.
    pub(crate) fn owner(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .arg("--home")
            .arg(home(self.folder.path()))
            .args(["--server", &self.url]);
        command
    }

    /// Makes as many of [`Self::owner`] as are asked for, on any thread.
    pub(crate) fn asking(&self) -> impl Fn() -> Command + Send + 'static {
        let (program, url) = (self.program.clone(), self.url.clone());
        let home = home(self.folder.path());
        move || {
            let mut command = Command::new(&program);
            command.env_clear().arg("--home").arg(&home);
            command.args(["--server", &url]);
            command
        }
    }

    /// Runs the command line as the owner; what it prints.
    fn cli(&self, words: &[&str]) -> Outcome<String> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .arg("--home")
            .arg(home(self.folder.path()));
        // The passphrase comes on stdin.
        command
            .args(["--server", &self.url, "--passphrase-fd", "0"])
            .args(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().ok_or("no pipe to the program")?;
        writeln!(stdin, "{PASSPHRASE}")?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            Err(format!(
                "procura {words:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
            .into())
        }
    }

    /// Makes a key and joins it as another device of the owner.
    pub(crate) async fn join(&self) -> Outcome<Device> {
        let code = self.cli(&["operator", "code", OWNER])?;
        self.join_by(&code).await
    }

    /// Makes an agent; a link code.
    pub(crate) fn agent_code(&self, agent: &str) -> Outcome<String> {
        self.cli(&["-n", NAMESPACE, "agent", "add", agent])
    }

    /// Says yes to a request, as the owner.
    pub(crate) fn approve(&self, request: &str) -> Outcome<()> {
        self.cli(&["-n", NAMESPACE, "request", "approve", request])?;
        Ok(())
    }

    /// Makes a key and joins it by a link code, as a device of whom that is for.
    pub(crate) async fn join_by(&self, code: &str) -> Outcome<Device> {
        let code = LinkCodeText::parse(code.trim())?;
        let (Joins::Operator(actor) | Joins::Agent(actor)) = code.joins else {
            return Err("the code is for somebody who is invited".into());
        };
        let key = Arc::new(SigningKey::generate_ed25519(&SystemEntropy)?);
        let answer = self.client(None)?.join(&code, &actor, key.as_ref()).await?;
        Ok(Device {
            key,
            server_key: PublicKey::from_jwk(&answer.server_key)?,
        })
    }

    fn client(&self, pinned_server_key: Option<PublicKey>) -> Outcome<Client> {
        let options = ClientOptions {
            pinned_server_key,
            ..ClientOptions::default()
        };
        Ok(Client::new(
            &self.url,
            options,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        )?)
    }

    /// A prover by the device's own key.
    pub(crate) fn by_key(device: &Device) -> Outcome<Prover> {
        let mut salt = [0; 10];
        SystemEntropy.fill(&mut salt)?;
        Ok(Prover::key(Arc::clone(&device.key), salt))
    }

    /// A prover by a fresh session of the device.
    pub(crate) async fn by_session(&self, device: &Device) -> Outcome<Prover> {
        self.by_session_with(device, "procura").await
    }

    /// The same by a session with this audience.
    pub(crate) async fn by_session_with(&self, device: &Device, audience: &str) -> Outcome<Prover> {
        let mut connection = Connection::open(self.authority()).await?;
        let body = format!(r#"{{"audience":"{audience}"}}"#);
        let body = body.as_bytes();
        let request = with_body(
            self.authority(),
            "POST",
            "/v1/sessions",
            body,
            Signer::Device(&device.key),
        )?;
        let answer = connection.exchange(&request).await?;
        if answer.status != 200 {
            return Err(format!("no session: {}", String::from_utf8_lossy(answer.body)).into());
        }
        let session: SessionAnswer = serde_json::from_slice(answer.body)?;
        let mac_key = MacKey::from_bytes(session.mac_key.decode()?.expose())?;
        Ok(Prover::session(session.session_id, mac_key))
    }

    /// Writes the secrets of these numbers through the API.
    pub(crate) async fn write(
        &self,
        device: &Device,
        secrets: std::ops::Range<u32>,
    ) -> Outcome<()> {
        let began = Instant::now();
        let Prover::Session {
            id,
            mac_key,
            counter,
        } = self.by_session(device).await?
        else {
            return Err("not a session".into());
        };
        let session = Rc::new(Session {
            id,
            mac_key,
            counter,
            values: Values::new(),
        });
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (authority, session) = (self.authority().to_owned(), Rc::clone(&session));
            let own = (secrets.start + writer..secrets.end).step_by(usize::try_from(WRITERS)?);
            writers.spawn_local(async move {
                put(&authority, &session, own)
                    .await
                    .map_err(|error| error.to_string())
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        report::say(&format!(
            "wrote {} secrets in {:.1} s",
            secrets.len(),
            began.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// The folder of the home.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The calls of a device.
    pub(crate) fn calls_of(&self, device: &Device) -> Outcome<SessionClient> {
        let signer: Arc<SigningKey> = Arc::clone(&device.key);
        let client = self.client(Some(device.server_key.clone()))?;
        Ok(SessionClient::new(client, signer))
    }

    /// Makes an agent.
    pub(crate) async fn make_agent(&self, device: &Device, label: &Label) -> Outcome<()> {
        let create = AgentCreate {
            label: label.clone(),
            parent: None,
        };
        let namespace = NAMESPACE.parse()?;
        self.calls_of(device)?
            .create_agent(&namespace, &create)
            .await?;
        Ok(())
    }

    /// Revokes an agent.
    pub(crate) async fn revoke_agent(&self, device: &Device, label: &Label) -> Outcome<()> {
        let namespace = NAMESPACE.parse()?;
        self.calls_of(device)?
            .revoke_agent(&namespace, label)
            .await?;
        Ok(())
    }

    /// Revokes another device.
    pub(crate) async fn revoke_device(&self, device: &Device, other: &Device) -> Outcome<()> {
        let thumbprint = other.key.public().thumbprint();
        self.calls_of(device)?.revoke_device(&thumbprint).await?;
        Ok(())
    }

    /// Makes so many agents.
    pub(crate) async fn make_agents(&self, device: &Device, agents: u32) -> Outcome<()> {
        let client = self.calls_of(device)?;
        let namespace = NAMESPACE.parse()?;
        for agent in 0..agents {
            let create = AgentCreate {
                label: format!("agent-{agent}").parse()?,
                parent: None,
            };
            client.create_agent(&namespace, &create).await?;
        }
        Ok(())
    }
}

struct Session {
    id: String,
    mac_key: MacKey,
    counter: Cell<u64>,
    values: Values,
}

async fn put(
    authority: &str,
    session: &Session,
    secrets: impl Iterator<Item = u32>,
) -> Outcome<()> {
    let mut connection = Connection::open(authority).await?;
    for secret in secrets {
        let mut path = SECRETS.as_bytes().to_vec();
        values::append_path(&mut path, secret);
        let mut body = br#"{"value_b64":""#.to_vec();
        session.values.append(&mut body, secret);
        body.extend_from_slice(br#"","expect_version":0}"#);
        let counter = session.counter.get();
        session.counter.set(counter + 1);
        let signer = Signer::Session {
            id: &session.id,
            mac_key: &session.mac_key,
            counter,
        };
        let request = with_body(authority, "PUT", std::str::from_utf8(&path)?, &body, signer)?;
        let answer = connection.exchange(&request).await?;
        if answer.status != 200 {
            return Err(format!(
                "secret {secret} was not written: {}",
                String::from_utf8_lossy(answer.body)
            )
            .into());
        }
    }
    Ok(())
}

/// A request with a JSON body, by the real signer.
fn with_body(
    authority: &str,
    method: &str,
    path: &str,
    body: &[u8],
    signer: Signer<'_>,
) -> Outcome<Vec<u8>> {
    let fields = [("content-type", "application/json")];
    with_fields(authority, method, path, &fields, body, signer)
}

/// A request with these fields and a body, by the real signer.
pub(crate) fn with_fields(
    authority: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &[u8],
    signer: Signer<'_>,
) -> Outcome<Vec<u8>> {
    let headers = fields.to_vec();
    let view = RequestView {
        method,
        authority,
        scheme: None,
        path,
        query: None,
        headers: &headers,
        body,
    };
    let signed = sign_request(&view, signer, SystemClock.now(), &SystemEntropy)?;
    let mut request = Vec::with_capacity(body.len() + 1024);
    write!(request, "{method} {path} HTTP/1.1\r\nhost: {authority}\r\n")?;
    for (name, value) in fields {
        write!(request, "{name}: {value}\r\n")?;
    }
    write!(request, "content-length: {}\r\n", body.len())?;
    for (name, value) in signed.headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    Ok(request)
}

fn home(folder: &Path) -> PathBuf {
    folder.join("home")
}

/// Starts a server: it, its URL, and how long it took to be ready.
fn start(
    program: &Path,
    folder: &Path,
    passphrase: Option<&Path>,
    settings: &[(&str, &str)],
) -> Outcome<(Running, String, Duration)> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("server.log"))?;
    let mut command = Command::new(program);
    command.env_clear().arg("--home").arg(home(folder));
    command
        .args([
            "server",
            "--listen",
            "127.0.0.1:0",
            "--health-listen",
            "127.0.0.1:0",
        ])
        .stderr(log);
    if let Some(passphrase) = passphrase {
        command.env("PROCURA_PASSPHRASE_FILE", passphrase);
    }
    command.envs(settings.iter().copied());
    let began = Instant::now();
    let server = Running::start(&mut command).map_err(|error| {
        let said = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        format!("{error}:\n{said}")
    })?;
    let took = began.elapsed();
    let ready: serde_json::Value = serde_json::from_str(&server.first_line)?;
    let text = |key: &str| {
        ready
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let sealed = ready.get("sealed").and_then(serde_json::Value::as_bool);
    if text("event") != "ready" || sealed != Some(passphrase.is_none()) {
        return Err(format!(
            "the server is not as it should be: {}",
            server.first_line.trim()
        )
        .into());
    }
    Ok((server, text("api"), took))
}
