//! A server whose answers the tests write.

use crate::host::FixedClock;
use procura_client::{AskedGrant, ClientError, Look};
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_daemon::{Answer, Connect, Device, HttpConnect, Server, ServerAt};
use procura_ledger::{
    Checkpoint, CheckpointSigners, Frontier, Hash, HashTiles, LedgerError, NoteSigner,
    consistency_proof, leaf_hash, origin,
};
use procura_types::wire::{
    ConsistencyAnswer, GrantItem, JoinAnswer, Problem, PublicJwk, RequestState, RunAnswer,
    RunPending, RunRequest, RunValue, RunValues, Unmatched, ValueB64,
};
use procura_types::{
    ActorId, DisplayName, GrantId, InstallationId, Joins, LinkCodeText, Namespace, ProjectName,
    RequestId, RunId, Secret, Thumbprint,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) const INSTALLATION: InstallationId = InstallationId::from_bytes([2; 16]);
pub(crate) const RUN: RunId = RunId::from_bytes([7; 16]);
pub(crate) const REQUEST: RequestId = RequestId::from_bytes([8; 16]);
pub(crate) const URL: &str = "http://127.0.0.1:1";

/// What the server does, in order; the last answer to a run is repeated.
pub(crate) struct Script {
    pub(crate) runs: VecDeque<Scripted>,
    pub(crate) states: VecDeque<RequestState>,
    pub(crate) join_fails: VecDeque<ClientError>,
    pub(crate) entries: u64,
    pub(crate) fork: bool,
    /// What other servers show before: how many entries, and whether they are others.
    pub(crate) behind: Vec<(u64, bool)>,
    pub(crate) handovers: Vec<String>,
    /// The keys that signed checkpoints before, oldest first, and that sign no more.
    pub(crate) retired: Vec<Vec<u8>>,
    /// The one that signs them, where it has turned, and whether the one before does too.
    pub(crate) turned: Option<(Vec<u8>, bool)>,
    pub(crate) asked: Vec<RunRequest>,
    pub(crate) ended: Vec<RunId>,
    pub(crate) joined: Vec<Thumbprint>,
    /// The key that the server which answers a join proves to hold.
    pub(crate) server_key: PublicJwk,
    pub(crate) checkpoints: usize,
    /// The number of the session.
    pub(crate) session: u64,
    /// Each run finds its session ended and starts another.
    pub(crate) sessions_end: bool,
}

pub(crate) enum Scripted {
    Values(Vec<(&'static str, Vec<u8>)>),
    Pending,
    Refused(u16, &'static str),
    Unreachable,
}

#[derive(Clone)]
pub(crate) struct Fake {
    script: Arc<Mutex<Script>>,
    ledger: Arc<NoteSigner>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let first = key.to_secret_bytes().expose().clone();
        Self {
            script: Arc::new(Mutex::new(Script {
                runs: VecDeque::new(),
                states: VecDeque::new(),
                join_fails: VecDeque::new(),
                entries: 5,
                fork: false,
                behind: Vec::new(),
                handovers: Vec::new(),
                retired: vec![first],
                turned: None,
                asked: Vec::new(),
                ended: Vec::new(),
                joined: Vec::new(),
                server_key: Self::server_key(),
                checkpoints: 0,
                session: 1,
                sessions_end: false,
            })),
            ledger: Arc::new(NoteSigner::new(&origin(&INSTALLATION), key).unwrap()),
        }
    }

    /// Has another key sign checkpoints, beside the one before or without it; gives the
    /// checkpoint that it turned with.
    #[allow(dead_code, reason = "the tests of procurad include this file too")]
    pub(crate) async fn turn_ledger_key(&self, beside: bool) -> String {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let key = key.to_secret_bytes().expose().clone();
        {
            let mut script = self.script();
            if let Some((before, _)) = script.turned.take() {
                script.retired.push(before);
            }
            script.turned = Some((key.clone(), true));
        }
        let note = String::from_utf8(self.checkpoint().await.unwrap()).unwrap();
        self.script().turned = Some((key, beside));
        note
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// The key of one more server.
    pub(crate) fn server_key() -> PublicJwk {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        key.public().to_jwk()
    }

    /// A link code for the agent of this number.
    pub(crate) fn code(actor: u8) -> Secret<String> {
        LinkCodeText {
            code: Secret::new([actor; 16]),
            server: Thumbprint::from_bytes([9; 32]),
            installation: INSTALLATION,
            joins: Joins::Agent(ActorId::from_bytes([actor; 32])),
            url: URL.to_owned(),
        }
        .encode()
    }
}

pub(crate) fn refused(status: u16, code: &str) -> ClientError {
    let problem = Problem {
        kind: format!("urn:procura:error:{code}"),
        title: code.to_owned(),
        status,
        detail: format!("the server says {code}"),
        code: code.to_owned(),
        reason: None,
        field: None,
        action: None,
        namespace: None,
        roles: Vec::new(),
        request_id: "r".to_owned(),
        trace_id: None,
    };
    ClientError::Refused(Box::new(problem), None)
}

pub(crate) fn unreachable() -> ClientError {
    ClientError::Unreachable {
        advice: None,
        address: URL.to_owned(),
        cause: "nobody is there".to_owned(),
    }
}

impl Connect for Fake {
    fn join<'a>(&'a self, code: &'a LinkCodeText, device: &'a Device) -> Answer<'a, JoinAnswer> {
        Box::pin(async move {
            let mut script = self.script();
            script.joined.push(device.thumbprint());
            if let Some(error) = script.join_fails.pop_front() {
                return Err(error);
            }
            let number = device.actor.as_bytes()[0];
            assert_eq!(code.joins, Joins::Agent(device.actor));
            Ok(JoinAnswer {
                actor: device.actor,
                name: format!("alice//agent-{number}"),
                // Numbers a hundred apart are one label at different times.
                label: format!("agent-{}", number % 100).parse().unwrap(),
                device: device.thumbprint(),
                owner: ActorId::from_bytes([3; 32]),
                server_key: script.server_key.clone(),
                namespace: Some("main".parse().unwrap()),
                ledger_vkey: self.ledger.vkey().to_string(),
                server_signature: Vec::new(),
            })
        })
    }

    /// Nobody is at the usual address; at another a test may have put a server.
    fn ask_device_grant<'a>(
        &'a self,
        at: &'a ServerAt,
        host: &'a DisplayName,
        key: &'a SigningKey,
    ) -> Answer<'a, AskedGrant> {
        Box::pin(async move {
            if at.url == URL {
                return Err(unreachable());
            }
            let (clock, entropy) = (Arc::new(FixedClock), Arc::new(SystemEntropy));
            let http = HttpConnect::new(clock, entropy);
            http.ask_device_grant(at, host, key).await
        })
    }

    fn collect_device_grant<'a>(
        &'a self,
        _: &'a ServerAt,
        _: &'a AskedGrant,
        _: &'a SigningKey,
    ) -> Answer<'a, Look> {
        Box::pin(async { Err(unreachable()) })
    }

    fn server(&self, _: &Device) -> Result<Arc<dyn Server>, ClientError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Server for Fake {
    fn start_run<'a>(
        &'a self,
        _: &'a Namespace,
        _: &'a ProjectName,
        run: &'a RunRequest,
    ) -> Answer<'a, RunAnswer> {
        Box::pin(async move {
            let mut script = self.script();
            script.asked.push(run.clone());
            script.session += u64::from(script.sessions_end);
            if script.runs.len() > 1 {
                let next = script.runs.pop_front().unwrap();
                return answer(&next);
            }
            answer(script.runs.front().expect("a scripted run"))
        })
    }

    fn end_run<'a>(&'a self, _: &'a Namespace, _: &'a ProjectName, run: RunId) -> Answer<'a, ()> {
        Box::pin(async move {
            self.script().ended.push(run);
            Ok(())
        })
    }

    fn request_state<'a>(
        &'a self,
        _: &'a Namespace,
        request: RequestId,
    ) -> Answer<'a, RequestState> {
        Box::pin(async move {
            assert_eq!(request, REQUEST);
            let mut script = self.script();
            Ok(script.states.pop_front().unwrap_or(RequestState::Pending))
        })
    }

    fn session(&self) -> Answer<'_, u64> {
        Box::pin(async move { Ok(self.script().session) })
    }

    fn checkpoint(&self) -> Answer<'_, Vec<u8>> {
        Box::pin(async move {
            let mut script = self.script();
            script.checkpoints += 1;
            let shown = (script.entries, script.fork);
            let (size, fork) = match script.behind.is_empty() {
                true => shown,
                false => script.behind.remove(0),
            };
            let (frontier, _) = tree(size, fork);
            let checkpoint = Checkpoint {
                origin: origin(&INSTALLATION),
                size,
                root: frontier.root(),
                seq: None,
                set: None,
                extensions: Vec::new(),
            };
            let Some((key, beside)) = &script.turned else {
                return Ok(checkpoint.sign(&self.ledger).unwrap().into_bytes());
            };
            let former = script.retired.last().unwrap();
            let former = vec![(signer(former), procura_types::Timestamp::from_millis(0))];
            let signers = CheckpointSigners::new(signer(key), former);
            let note = signers.sign(checkpoint, crate::host::NOW, *beside);
            Ok(note.unwrap().into_bytes())
        })
    }

    fn handovers(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move { Ok(self.script().handovers.clone()) })
    }

    fn consistency(&self, from: u64, to: u64) -> Answer<'_, ConsistencyAnswer> {
        Box::pin(async move {
            let fork = self.script().fork;
            let (_, leaves) = tree(to, fork);
            let path = consistency_proof(&leaves, from, to).unwrap();
            Ok(ConsistencyAnswer {
                from,
                to,
                path: path.iter().map(ToString::to_string).collect(),
            })
        })
    }
}

fn signer(key: &[u8]) -> NoteSigner {
    let key = SigningKey::from_secret_bytes(key).unwrap();
    NoteSigner::new(&origin(&INSTALLATION), key).unwrap()
}

fn answer(scripted: &Scripted) -> Result<RunAnswer, ClientError> {
    let item = GrantItem {
        name: "A".parse().unwrap(),
        path: "db/a".parse().unwrap(),
    };
    let unmatched = vec![Unmatched {
        name: "X-Y".to_owned(),
        reason: procura_types::wire::UnmatchedReason::InvalidName,
    }];
    match scripted {
        Scripted::Values(values) => Ok(RunAnswer::Values(RunValues {
            run: RUN,
            grant: GrantId::from_bytes([6; 16]),
            values: values
                .iter()
                .map(|(name, value)| {
                    let value = RunValue {
                        path: "db/a".parse().unwrap(),
                        version: 1,
                        value_b64: ValueB64::encode(value),
                    };
                    (name.parse().unwrap(), value)
                })
                .collect(),
            unmatched,
        })),
        Scripted::Pending => Ok(RunAnswer::Pending(RunPending {
            request: REQUEST,
            asked: vec![item],
            unmatched,
        })),
        Scripted::Refused(status, code) => Err(refused(*status, code)),
        Scripted::Unreachable => Err(unreachable()),
    }
}

struct Leaves(Vec<Hash>);

impl HashTiles for Leaves {
    type Error = LedgerError;

    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, LedgerError> {
        assert_eq!((level, index), (0, 0), "small trees have one tile");
        Ok(self.0[..usize::from(width)].to_vec())
    }
}

/// A tree of that many entries; a forked one differs from its third entry on.
fn tree(size: u64, fork: bool) -> (Frontier, Leaves) {
    let mut frontier = Frontier::new();
    let mut leaves = Vec::new();
    for index in 0..size {
        let entry = format!("{index} {}", fork && index > 1);
        let leaf = leaf_hash(&sha256(entry.as_bytes()));
        frontier.push(leaf);
        leaves.push(leaf);
    }
    (frontier, Leaves(leaves))
}
