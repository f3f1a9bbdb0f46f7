//! Uses of project tokens: an agent's device shows one within a session and has the value
//! that it opens.

use crate::Outcome;
use crate::installation::{Device, Installation, with_fields};
use crate::load::{self, Expect, Run, Target};
use crate::prover::Prover;
use crate::report::{Figure, median, say};
use crate::values::{self, NAMESPACE, Values};
use procura_crypto::MacKey;
use procura_proof::sign::Signer;
use procura_types::wire::{ProjectPut, ProjectTokenIssue, ProjectTokenKind, RunAnswer, RunRequest};
use procura_types::{Delivery, EnvName, Label, Namespace, ProjectName, SecretPath};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

const AGENT: &str = "shows-tokens";
const PROJECT: &str = "tokens";
const NAME: &str = "SERVICE_KEY";
/// The secret that the tokens open.
const SECRET: u32 = 7;
const CONNECTIONS: usize = 32;
/// Sessions of the device that take turns.
const SESSIONS: usize = 4;

/// A token that is shown within a session, again and again.
pub(crate) struct Showing {
    path: String,
    authorization: String,
    session: String,
    mac_key: MacKey,
    counter: Cell<u64>,
}

impl Showing {
    /// The next request, by the real signer: its own cost is the generator's.
    pub(crate) fn request(&self, authority: &str) -> Outcome<Vec<u8>> {
        let counter = self.counter.get();
        self.counter.set(counter + 1);
        let signer = Signer::Session {
            id: &self.session,
            mac_key: &self.mac_key,
            counter,
        };
        let fields = [
            ("content-type", "application/json"),
            ("authorization", self.authorization.as_str()),
        ];
        with_fields(authority, "POST", &self.path, &fields, b"{}", signer)
    }
}

/// An agent with a device, and a project of one secret that it has a grant for.
pub(crate) struct Agent<'a> {
    installation: &'a Installation,
    device: Device,
    namespace: Namespace,
    project: ProjectName,
}

impl<'a> Agent<'a> {
    /// Makes all of it, with the yes of the owner.
    pub(crate) async fn make(installation: &'a Installation, owner: &Device) -> Outcome<Self> {
        let (namespace, project) = (NAMESPACE.parse::<Namespace>()?, PROJECT.parse()?);
        let code = installation.agent_code(AGENT)?;
        let device = installation.join_by(&code).await?;
        let mut path = Vec::new();
        values::append_path(&mut path, SECRET);
        let path: SecretPath = std::str::from_utf8(&path)?.parse()?;
        let put = ProjectPut {
            agents: vec![AGENT.parse::<Label>()?],
            env: BTreeMap::from([(NAME.parse::<EnvName>()?, path)]),
        };
        let calls = installation.calls_of(owner)?;
        calls.put_project(&namespace, &project, &put).await?;
        let run = RunRequest {
            names: Vec::new(),
            delivery: Delivery::Env,
            caller: None,
        };
        let calls = installation.calls_of(&device)?;
        match calls.start_run(&namespace, &project, &run).await? {
            RunAnswer::Pending(pending) => installation.approve(&pending.request.to_string())?,
            RunAnswer::Values(_) => return Err("an agent has values without a grant".into()),
        }
        Ok(Self {
            installation,
            device,
            namespace,
            project,
        })
    }

    /// Sessions in which a fresh token of this kind is shown.
    async fn showing(&self, kind: ProjectTokenKind) -> Outcome<Vec<Rc<Prover>>> {
        let calls = self.installation.calls_of(&self.device)?;
        let issue = ProjectTokenIssue {
            kind,
            names: Vec::new(),
            delivery: Delivery::Env,
            life: None,
        };
        let issued = calls
            .issue_project_token(&self.namespace, &self.project, &issue)
            .await?;
        let mut provers = Vec::new();
        for _ in 0..SESSIONS {
            let Prover::Session {
                id,
                mac_key,
                counter,
            } = self.installation.by_session(&self.device).await?
            else {
                return Err("not a session".into());
            };
            provers.push(Rc::new(Prover::Showing(Showing {
                path: format!(
                    "/v1/namespaces/{}/projects/{}/values",
                    self.namespace, self.project
                ),
                authorization: format!("Bearer {}", issued.token),
                session: id,
                mac_key,
                counter,
            })));
        }
        Ok(provers)
    }

    /// Uses a fresh token of this kind for so long.
    pub(crate) async fn run(&self, kind: ProjectTokenKind, time: Duration) -> Outcome<Run> {
        let target = Target {
            authority: self.installation.authority().to_owned(),
            pid: self.installation.pid(),
            provers: self.showing(kind).await?,
            connections: CONNECTIONS,
            secrets: 1,
            expect: Expect::Handed(Rc::new(Values::new()), SECRET),
        };
        load::run(target, time).await
    }
}

/// Uses tokens of both kinds in turns.
pub(crate) async fn measure(
    installation: &Installation,
    owner: &Device,
    runs: usize,
    time: Duration,
) -> Outcome<Vec<Figure>> {
    let agent = Agent::make(installation, owner).await?;
    let (mut opaque, mut signed): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (kind, several) in [
            (ProjectTokenKind::Opaque, &mut opaque),
            (ProjectTokenKind::Signed, &mut signed),
        ] {
            let run = agent.run(kind, time).await?;
            say(&format!(
                "{} token: {:.0}/s, {:.1} µs of the server, {:.1} µs here, others {:.0} %",
                kind.as_str(),
                run.per_second,
                run.cpu_us,
                run.generator_us,
                run.others_percent
            ));
            several.push(run);
        }
    }
    Ok(vec![
        figure("token_use_opaque", &opaque),
        figure("token_use_signed", &signed),
    ])
}

/// The medians of runs.
pub(crate) fn figure(name: &str, runs: &[Run]) -> Figure {
    let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Figure::plain(name, middle(|run| run.per_second).round(), "1/s")
        .latency(middle(|run| run.p50_us), middle(|run| run.p99_us))
        .cpu(middle(|run| run.cpu_us))
}
