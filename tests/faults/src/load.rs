//! A client with a memory of its own.

use procura_acceptance::Installation;
use procura_client::{Client, ClientError, ClientOptions, SessionClient, SystemClock};
use procura_crypto::{SigningKey, SystemEntropy, owner_id};
use procura_types::wire::{AgentCreate, SecretPut, ValueB64};
use procura_types::{Alg, Duration, Label, LinkCodeText, Namespace, SecretPath, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A write that the server said yes to.
struct Write {
    path: SecretPath,
    version: u64,
    value: Vec<u8>,
}

/// Does it again for as long as the server says that others were in between, which eight
/// tasks are to each other.
async fn uncontended<T, F>(act: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, ClientError>>,
{
    for _ in 0..1000 {
        match act().await {
            Err(error) if error.problem().is_some_and(|said| said.code == "contended") => {}
            done => return done.unwrap(),
        }
    }
    panic!("others are in between again and again")
}

/// What the server said yes to.
#[derive(Default)]
struct Acknowledged {
    writes: Vec<Write>,
    /// How many values were given out.
    reads: u64,
    /// What [`Load::check`] has checked of both.
    checked: (usize, u64),
}

/// Writers and readers of one operator with rights of their own.
pub struct Load {
    signer: Arc<SigningKey>,
    server_key: procura_crypto::PublicKey,
    actor: procura_types::ActorId,
    acknowledged: Arc<Mutex<Acknowledged>>,
    /// What it was told instead of a yes, and how often.
    refused: Arc<Mutex<BTreeMap<String, u64>>>,
    next: Arc<AtomicU64>,
    /// How long a request waits for its answer.
    patience: Duration,
}

/// How many rounds: few by default, or as many as `FAULT_ROUNDS` says.
#[must_use]
pub fn rounds(default: u32) -> u32 {
    std::env::var("FAULT_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

impl Load {
    /// Joins an operator who may write and read in `default`.
    #[must_use]
    pub fn join(server: &Installation) -> Self {
        let invited = server
            .cli(&[
                "--json",
                "operator",
                "invite",
                "loader",
                "--role",
                "admin@default",
            ])
            .ok()
            .json();
        let code = LinkCodeText::parse(invited["code"].as_str().unwrap()).unwrap();
        let signer = Arc::new(SigningKey::generate_p256(&SystemEntropy).unwrap());
        let actor = owner_id(Alg::P256, signer.public().as_bytes());
        let client = Client::new(
            server.url(),
            ClientOptions::default(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        )
        .unwrap();
        let answer = runtime()
            .block_on(client.join(&code, &actor, signer.as_ref()))
            .unwrap();
        let server_key = procura_crypto::PublicKey::from_jwk(&answer.server_key).unwrap();
        Self {
            signer,
            server_key,
            actor,
            acknowledged: Arc::default(),
            refused: Arc::default(),
            next: Arc::default(),
            patience: Duration::from_secs(5),
        }
    }

    /// The same, with requests that wait so long for their answers.
    #[must_use]
    pub const fn waiting(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn client(&self, url: &str) -> SessionClient {
        let options = ClientOptions {
            pinned_server_key: Some(self.server_key.clone()),
            timeout: self.patience,
            ..ClientOptions::default()
        };
        let client =
            Client::new(url, options, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
        SessionClient::new(
            client,
            Arc::clone(&self.signer) as Arc<dyn procura_client::RequestSigner>,
        )
    }

    /// Makes so many agents in `default` and revokes each, on eight tasks.
    ///
    /// # Panics
    /// When the server refuses one.
    pub fn revoke(&self, url: &str, count: usize) {
        let runtime = runtime();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let client = self.client(url);
                runtime.spawn(async move {
                    let namespace: Namespace = "default".parse().unwrap();
                    for number in (task..count).step_by(8) {
                        let label: Label = format!("told-{number}").parse().unwrap();
                        let agent = AgentCreate {
                            label: label.clone(),
                            parent: None,
                        };
                        uncontended(|| client.create_agent(&namespace, &agent)).await;
                        uncontended(|| client.revoke_agent(&namespace, &label)).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    }

    /// Writes and reads on eight tasks until `during` returns, which may do
    /// anything to the server. Errors end a task: it is the acknowledged that
    /// counts.
    pub fn during(&self, url: &str, during: impl FnOnce()) {
        self.run(&[url], false, during);
    }

    /// The same at several servers at once. An error ends no task: it goes on when it
    /// can.
    pub fn during_at(&self, urls: &[&str], during: impl FnOnce()) {
        self.run(urls, true, during);
    }

    fn run(&self, urls: &[&str], lasting: bool, during: impl FnOnce()) {
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = runtime();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let url = urls[task % urls.len()];
                let (client, stop, next) =
                    (self.client(url), Arc::clone(&stop), Arc::clone(&self.next));
                let refused = Arc::clone(&self.refused);
                let acknowledged = Arc::clone(&self.acknowledged);
                runtime.spawn(async move {
                    let namespace: Namespace = "default".parse().unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let path: SecretPath =
                            format!("load/{task}/{}", number % 50).parse().unwrap();
                        let value =
                            format!("value-{number}-{}", "x".repeat((number % 900) as usize))
                                .into_bytes();
                        let put = SecretPut::new(ValueB64::encode(&value));
                        let written = match client.put_secret(&namespace, &path, &put).await {
                            Ok(written) => written,
                            Err(error) if lasting => {
                                *refused.lock().unwrap().entry(told(&error)).or_default() += 1;
                                tokio::time::sleep(Duration::from_millis(20)).await;
                                continue;
                            }
                            Err(_) => return,
                        };
                        acknowledged.lock().unwrap().writes.push(Write {
                            path: path.clone(),
                            version: written.version,
                            value,
                        });
                        if number.is_multiple_of(3) {
                            let read = client
                                .get_secret(&namespace, &path, Some(written.version))
                                .await;
                            let read = match read {
                                Ok(read) => read,
                                Err(error) if lasting => {
                                    *refused.lock().unwrap().entry(told(&error)).or_default() += 1;
                                    continue;
                                }
                                Err(_) => return,
                            };
                            assert_eq!(read.version, written.version);
                            acknowledged.lock().unwrap().reads += 1;
                        }
                    }
                })
            })
            .collect();
        during();
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    }

    /// How much was acknowledged so far: writes and reads.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        let list = self.acknowledged.lock().unwrap();
        (list.writes.len(), list.reads)
    }

    /// What it was told instead of a yes, and how often: status, code, and `wait` where the
    /// answer says when to ask again; or that there was no answer.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.refused.lock().unwrap().clone()
    }

    /// The checker, of what was acknowledged since it was last called: every write is
    /// there with its value, and for every released value there is an entry.
    ///
    /// `since` is a moment after the last call and before the first of those requests.
    pub fn check(&self, server: &Installation, since: Timestamp) {
        let (writes, reads) = self.acknowledged.lock().unwrap().checked;
        self.check_from(server, since, writes, reads);
    }

    /// The checker, of everything that was ever acknowledged.
    pub fn check_all(&self, server: &Installation) {
        self.check_from(server, Timestamp::from_millis(0), 0, 0);
    }

    fn check_from(&self, server: &Installation, since: Timestamp, writes: usize, reads: u64) {
        let client = self.client(server.url());
        let namespace: Namespace = "default".parse().unwrap();
        let runtime = runtime();
        let recorded = self.entries(server, since);
        let mut list = self.acknowledged.lock().unwrap();
        let released = list.reads - reads;
        assert!(
            recorded >= released,
            "{released} values were released and only {recorded} reads are recorded",
        );
        for write in &list.writes[writes..] {
            let Write { path, version, .. } = write;
            let read = runtime
                .block_on(client.get_secret(&namespace, path, Some(*version)))
                .unwrap_or_else(|error| {
                    panic!("{path} version {version} was acknowledged and is not there: {error}")
                });
            assert!(
                *read.value_b64.decode().unwrap().expose() == write.value,
                "{path} version {version} has another value"
            );
        }
        let checked = (list.writes.len() - writes) as u64;
        assert!(
            self.entries(server, since) >= recorded + checked,
            "reads of the checker are missing in the record"
        );
        list.reads += checked;
        list.checked = (list.writes.len(), list.reads);
    }

    /// Reads by this operator that the record holds, at or after a moment.
    fn entries(&self, server: &Installation, since: Timestamp) -> u64 {
        let (actor, since) = (self.actor.to_string(), since.to_string());
        let list = server
            .cli(&[
                "--json",
                "audit",
                "list",
                "--action",
                "secret.read",
                "--actor",
                &actor,
                "--since",
                &since,
                "--limit",
                "1000000",
            ])
            .ok()
            .json();
        list["entries"].as_array().unwrap().len() as u64
    }
}

/// An error in a few words.
fn told(error: &ClientError) -> String {
    match error {
        ClientError::Refused(problem, wait) => {
            let wait = if wait.is_some() { " wait" } else { "" };
            format!("{} {}{wait}", problem.status, problem.code)
        }
        ClientError::Unreachable { .. } => "no answer".to_owned(),
        other => other.to_string(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
