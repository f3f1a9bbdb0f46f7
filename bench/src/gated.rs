//! Requests through a gate, beside the same through a proxy that does nothing.

use crate::Outcome;
use crate::installation::{Device, Installation};
use crate::load::{self, Expect, Run, SECRETS, Target};
use crate::presigned::{Presigned, Shown};
use crate::process::Running;
use crate::prover::Prover;
use crate::report::{Figure, median, say};
use crate::values;
use procura_crypto::{MacKey, SigningKey};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

/// What a gate is of.
const SERVICE: &str = "web";
const AGENT: &str = "door";
/// Connections where throughput is measured; latency is measured on one.
const MANY: usize = 32;
/// More than any machine answers in a second, so that no pool runs dry.
const MOST_PER_SECOND: usize = 40_000;

/// The service behind, and what stands in front of it.
pub(crate) struct Gated<'a> {
    installation: &'a Installation,
    devices: &'a [Device],
    runs: usize,
    time: Duration,
    upstream: Running,
    code: String,
}

/// A way to the service.
struct Way {
    process: Running,
    authority: String,
}

impl<'a> Gated<'a> {
    /// Starts the service, and makes a gate's agent.
    pub(crate) fn make(
        installation: &'a Installation,
        devices: &'a [Device],
        runs: usize,
        time: Duration,
    ) -> Outcome<Self> {
        Ok(Self {
            installation,
            devices,
            runs,
            time,
            upstream: Running::start(Command::new(std::env::current_exe()?).arg("--bare-http"))?,
            code: installation.make_service(SERVICE, AGENT)?,
        })
    }

    fn upstream_authority(&self) -> &str {
        self.upstream
            .first_line
            .trim()
            .trim_start_matches("http://")
    }

    /// A proxy that passes everything on.
    fn forward(&self) -> Outcome<Way> {
        let port = self.upstream_authority().rsplit(':').next();
        let port = port.ok_or("the service has no port")?;
        let process =
            Running::start(Command::new(std::env::current_exe()?).args(["--forward", port]))?;
        let authority = process
            .first_line
            .trim()
            .trim_start_matches("http://")
            .to_owned();
        Ok(Way { process, authority })
    }

    /// A gate; with `mode` over its dial.
    fn gate(&self, mode: Option<&str>) -> Outcome<Way> {
        let mut command = self.installation.command("gate")?;
        command
            .args(["gate", "--service", SERVICE, "--listen", "127.0.0.1:0"])
            .args(["--upstream", self.upstream.first_line.trim()])
            // Not looked at once the home has joined.
            .args(["--join", &self.code]);
        if let Some(mode) = mode {
            command.env("AUTH_MODE", mode);
        }
        let process = Running::start(&mut command)?;
        let ready: serde_json::Value = serde_json::from_str(&process.first_line)?;
        let authority = ready
            .get("listen")
            .and_then(serde_json::Value::as_str)
            .ok_or("the gate says no address")?
            .trim_start_matches("http://")
            .to_owned();
        Ok(Way { process, authority })
    }

    async fn run(&self, way: &Way, provers: Vec<Rc<Prover>>, connections: usize) -> Outcome<Run> {
        let target = Target {
            authority: way.authority.clone(),
            pid: way.process.id(),
            provers,
            connections,
            secrets: 1,
            expect: Expect::Bare,
        };
        load::run(target, self.time).await
    }

    /// As many bytes as a session's proof, which nobody looks at.
    fn unseen() -> Outcome<Vec<Rc<Prover>>> {
        let key = MacKey::from_bytes(&[1; 32])?;
        Ok(vec![Rc::new(Prover::session("A".repeat(167), key))])
    }

    async fn sessions(&self) -> Outcome<Vec<Rc<Prover>>> {
        let audience = format!("gate:{}/{SERVICE}", values::NAMESPACE);
        let mut provers = Vec::new();
        for device in self.devices {
            let prover = self.installation.by_session_with(device, &audience);
            provers.push(Rc::new(prover.await?));
        }
        Ok(provers)
    }

    /// Requests by sessions through a gate, beside a proxy and a gate that is off.
    pub(crate) async fn sessions_beside_a_proxy(&self) -> Outcome<Vec<Figure>> {
        let mut forward = Several::default();
        let mut off = Several::default();
        let mut session = Several::default();
        for number in 1..=self.runs {
            // One after the other, so that all see the same machine.
            let way = self.forward()?;
            forward.add(
                self.run(&way, Self::unseen()?, MANY).await?,
                self.run(&way, Self::unseen()?, 1).await?,
            );
            drop(way);
            let mut way = self.gate(Some("off"))?;
            off.add(
                self.run(&way, Self::unseen()?, MANY).await?,
                self.run(&way, Self::unseen()?, 1).await?,
            );
            way.process.stop()?;
            let mut way = self.gate(None)?;
            session.add(
                self.run(&way, self.sessions().await?, MANY).await?,
                self.run(&way, self.sessions().await?, 1).await?,
            );
            way.process.stop()?;
            say(&format!(
                "gate, run {number}: {:.0}/s through a proxy, {:.0}/s through a gate that is off, {:.0}/s by sessions",
                forward.last(),
                off.last(),
                session.last()
            ));
        }
        let percent =
            |of: &Several| session.per_second() * 100.0 / of.per_second().max(f64::MIN_POSITIVE);
        Ok(vec![
            forward.figure("gate_forward"),
            off.figure("gate_off"),
            session.figure("gate_session"),
            Figure::plain("gate_session.of_forward", percent(&forward), "percent"),
            Figure::plain("gate_session.of_off", percent(&off), "percent"),
            Figure::plain(
                "gate_session.added_p50",
                session.alone_p50() - forward.alone_p50(),
                "us",
            ),
        ])
    }

    /// Requests by `key-server-v1` through a gate, which asks the server about each.
    pub(crate) async fn by_key_server_v1(
        &self,
        agents: &[(String, SigningKey)],
    ) -> Outcome<Figure> {
        let mut path = SECRETS.as_bytes().to_vec();
        values::append_path(&mut path, 0);
        let path = std::str::from_utf8(&path)?.to_owned();
        let mut runs = Several::default();
        let mut way = self.gate(None)?;
        for _ in 0..self.runs {
            let provers = pool(Shown::Gate, agents, &path, self.time)?;
            let alone = pool(Shown::Gate, agents, &path, self.time)?;
            runs.add(
                self.run(&way, provers, MANY).await?,
                self.run(&way, alone, 1).await?,
            );
        }
        way.process.stop()?;
        Ok(runs.figure("gate_key_server"))
    }
}

/// Asks `POST /api/verify` about proofs that were made before; the median of the runs.
pub(crate) async fn verify_api(
    name: &str,
    installation: &Installation,
    agents: &[(String, SigningKey)],
    runs: usize,
    time: Duration,
) -> Outcome<Figure> {
    let mut several = Vec::new();
    for _ in 0..runs {
        let target = Target {
            authority: installation.authority().to_owned(),
            pid: installation.pid(),
            provers: pool(Shown::Verify, agents, "", time)?,
            connections: MANY,
            secrets: 1,
            expect: Expect::Verified,
        };
        let run = load::run(target, time).await?;
        say(&format!(
            "{name}: {:.0}/s, {:.1} µs of the server, {:.1} µs here, others {:.0} %",
            run.per_second, run.cpu_us, run.generator_us, run.others_percent
        ));
        several.push(run);
    }
    Ok(figure(name, &several))
}

/// Proofs for one run, of all agents together enough for whatever the machine can do.
fn pool(
    shown: Shown,
    agents: &[(String, SigningKey)],
    path: &str,
    time: Duration,
) -> Outcome<Vec<Rc<Prover>>> {
    // And for the second before it is measured.
    let seconds = usize::try_from(time.as_secs())?.saturating_add(2);
    let each = (MOST_PER_SECOND * seconds / agents.len().max(1)).max(1);
    agents
        .iter()
        .map(|(agent, key)| {
            let presigned = Presigned::make(shown, agent, key, path, each)?;
            Ok(Rc::new(Prover::Presigned(presigned)))
        })
        .collect()
}

/// Runs under load, each with one without.
#[derive(Default)]
struct Several {
    loaded: Vec<Run>,
    alone: Vec<Run>,
}

impl Several {
    fn add(&mut self, loaded: Run, alone: Run) {
        self.loaded.push(loaded);
        self.alone.push(alone);
    }

    fn last(&self) -> f64 {
        self.loaded.last().map_or(0.0, |run| run.per_second)
    }

    fn per_second(&self) -> f64 {
        median(self.loaded.iter().map(|run| run.per_second).collect())
    }

    /// The median latency on one connection.
    fn alone_p50(&self) -> f64 {
        median(self.alone.iter().map(|run| run.p50_us).collect())
    }

    fn figure(&self, name: &str) -> Figure {
        figure(name, &self.loaded)
    }
}

fn figure(name: &str, runs: &[Run]) -> Figure {
    let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Figure::plain(name, middle(|run| run.per_second).round(), "1/s")
        .latency(middle(|run| run.p50_us), middle(|run| run.p99_us))
        .cpu(middle(|run| run.cpu_us))
}
