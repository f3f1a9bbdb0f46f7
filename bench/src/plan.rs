//! What is measured, in which order.

use crate::Outcome;
use crate::at_once;
use crate::backups::Taking;
use crate::device_codes;
use crate::floors::{self, Floors};
use crate::gated::{self, Gated};
use crate::honey_reads;
use crate::installation::{Device, Installation, PASSPHRASE};
use crate::load::{self, Expect, Run, Target};
use crate::notifications;
use crate::pages;
use crate::policies;
use crate::process::{self, Running};
use crate::prover::Prover;
use crate::report::{Figure, median, say};
use crate::rotations::Turning;
use crate::servers;
use crate::shared;
use crate::sign_ins;
use crate::streams::{self, Crowd};
use crate::token_use;
use crate::values::Values;
use procura_crypto::{Argon2Params, SystemEntropy, derive_passphrase_key, lock_policy};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// Runs of each figure; the one in the middle counts.
const RUNS: usize = 3;
/// The replay guard keeps at most 2^20 nonces of one device, some 11,000 a
/// second; four devices stay below that whatever the server can do.
const DEVICES: usize = 4;
const CONNECTIONS: usize = 32;
const FEW: u32 = 1_000;
const MANY: u32 = 100_000;
const AGENTS: u32 = 1_000;
/// Agents of another system: one key may use 2^20 nonces in seven minutes.
const KEY_AGENTS: usize = 8;

/// What can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Part {
    Floors,
    ReadSession,
    #[value(name = "read_session_8")]
    ReadSession8,
    ReadEd25519,
    Flat,
    Ready,
    Streams,
    VerifyApi,
    VerifyShared,
    Servers,
    Backup,
    Rotate,
    AtOnce,
    HoneyReads,
    Policies,
    TokenUse,
    DeviceCodes,
    SignIns,
    Notifications,
    Pages,
    GateSession,
    GateKeyServer,
}

/// What to measure, and for how long.
pub(crate) struct Plan {
    /// Only these; all when empty.
    pub(crate) only: Vec<Part>,
    /// Each run of the two headline figures.
    pub(crate) headline: Duration,
    /// Each other run.
    pub(crate) other: Duration,
    /// Where the home is made.
    pub(crate) dir: Option<PathBuf>,
}

/// The server under test and all that is known so far.
struct Bench<'a> {
    plan: &'a Plan,
    installation: Installation,
    devices: Vec<Device>,
    values: Rc<Values>,
    floors: Option<Floors>,
    figures: Vec<Figure>,
}

impl Plan {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Measures everything.
    pub(crate) fn run(&self) -> Outcome<Vec<Figure>> {
        // Keys that protect nothing may lie anywhere.
        lock_policy(true)?;
        let beside = std::env::current_exe()?;
        let dir = self
            .dir
            .as_deref()
            .or(beside.parent())
            .ok_or("no directory for the home")?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        let floors = if self.wants(Part::Floors) {
            say("floors");
            Some(floors::measure(folder.path())?)
        } else {
            None
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let mut terminate = signal(SignalKind::terminate())?;
            // What was begun is dropped: the server ends, its home is removed.
            tokio::select! {
                measured = self.measure(folder, floors) => measured,
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
                _ = terminate.recv() => Err("terminated".into()),
            }
        })
    }

    async fn measure(
        &self,
        folder: TempDir,
        floors: Option<(Floors, Vec<Figure>)>,
    ) -> Outcome<Vec<Figure>> {
        let (floors, figures) = match floors {
            None => (None, Vec::new()),
            Some((mut floors, mut figures)) => {
                let (http, figure) = self.bare_http().await?;
                floors.http = http;
                figures.push(figure);
                (Some(floors), figures)
            }
        };
        if self.only == [Part::Floors] {
            return Ok(figures);
        }
        let installation = Installation::make(folder)?;
        say(&format!("the server is process {}", installation.pid()));
        let mut devices = Vec::new();
        for _ in 0..DEVICES {
            devices.push(installation.join().await?);
        }
        let mut bench = Bench {
            plan: self,
            installation,
            devices,
            values: Rc::new(Values::new()),
            floors,
            figures,
        };
        bench.measure().await?;
        Ok(bench.figures)
    }

    /// HTTP that does nothing, on the same stack and under the same load.
    async fn bare_http(&self) -> Outcome<(f64, Figure)> {
        let server = Running::start(Command::new(std::env::current_exe()?).arg("--bare-http"))?;
        let authority = server
            .first_line
            .trim()
            .trim_start_matches("http://")
            .to_owned();
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            // As long as the id of a session.
            let prover = Prover::session(
                "A".repeat(167),
                procura_crypto::MacKey::from_bytes(&[1; 32])?,
            );
            let target = Target {
                authority: authority.clone(),
                pid: server.id(),
                provers: vec![Rc::new(prover)],
                connections: CONNECTIONS,
                secrets: FEW,
                expect: Expect::Bare,
            };
            runs.push(load::run(target, self.other).await?);
        }
        let summary = Summary::of(&runs);
        Ok((summary.cpu_us, summary.figure("floor_http")))
    }
}

impl Bench<'_> {
    async fn measure(&mut self) -> Outcome<()> {
        let plan = self.plan;
        self.write(0..FEW).await?;
        if plan.wants(Part::ReadSession) {
            let summary = self
                .read(By::Session, CONNECTIONS, FEW, plan.headline)
                .await?;
            self.add(
                "read_session",
                &summary,
                self.floors.map(|floors| floors.read_session()),
            );
        }
        if plan.wants(Part::ReadSession8) {
            let summary = self.read(By::Session, 8, FEW, plan.other).await?;
            self.add(
                "read_session_8",
                &summary,
                self.floors.map(|floors| floors.read_session()),
            );
        }
        if plan.wants(Part::ReadEd25519) {
            let summary = self.read(By::Key, CONNECTIONS, FEW, plan.headline).await?;
            self.add(
                "read_ed25519",
                &summary,
                self.floors.map(|floors| floors.read_ed25519()),
            );
            self.memory("rss_mb_after_ed25519")?;
        }
        if plan.wants(Part::Flat) {
            self.flat().await?;
        }
        if plan.wants(Part::Ready) {
            self.ready()?;
        }
        if plan.wants(Part::Streams) {
            self.streams().await?;
        }
        if plan.wants(Part::Backup) {
            self.backups().await?;
        }
        if plan.wants(Part::Rotate) {
            self.rotations().await?;
        }
        if plan.wants(Part::AtOnce) {
            let device = self.devices.first().ok_or("no device")?;
            let calls = self.installation.calls_of(device)?;
            self.figures.extend(at_once::measure(&calls).await?);
        }
        if plan.wants(Part::TokenUse) {
            let owner = self.devices.first().ok_or("no device")?;
            let used = token_use::measure(&self.installation, owner, RUNS, plan.other);
            self.figures.extend(used.await?);
        }
        if plan.wants(Part::DeviceCodes) {
            let beside = device_codes::measure(&self.installation, &self.devices, plan.other);
            self.figures.extend(beside.await?);
        }
        if plan.wants(Part::SignIns) {
            let folder = self.installation.folder();
            let figures = sign_ins::measure(folder, plan.other).await?;
            self.figures.extend(figures);
        }
        if plan.wants(Part::Notifications) {
            let figures = notifications::measure(self.installation.folder()).await?;
            self.figures.extend(figures);
        }
        if plan.wants(Part::Pages) {
            let figures = pages::measure(self.installation.folder()).await?;
            self.figures.extend(figures);
        }
        if plan.wants(Part::HoneyReads) {
            let folder = self.installation.folder();
            let figures = honey_reads::read(folder, RUNS, plan.other).await?;
            self.figures.extend(figures);
        }
        if plan.wants(Part::Policies) {
            let folder = self.installation.folder();
            let figures = policies::measure(folder, RUNS, plan.other).await?;
            self.figures.extend(figures);
        }
        self.foreign().await
    }

    /// A store of many secrets is backed up, alone and while it is read from: each read is
    /// a durable write of the record.
    async fn backups(&mut self) -> Outcome<()> {
        self.write(FEW..MANY).await?;
        let folder = self.installation.folder().to_owned();
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for run in 0..RUNS {
            let name = format!("alone-{run}");
            let taking = Taking::begin(self.installation.owner(), &folder, &name);
            alone.push(taking.end()?);
        }
        let mut reads = None;
        for run in 0..RUNS {
            let name = format!("beside-{run}");
            let taking = Taking::begin(self.installation.owner(), &folder, &name);
            let time = self.plan.other;
            let summary = self.read(By::Session, CONNECTIONS, FEW, time).await?;
            beside.push(taking.end()?);
            reads = Some(summary);
        }
        if let Some(reads) = reads {
            self.add("backup.reads_beside", &reads, None);
        }
        self.figures
            .push(Figure::plain("backup_alone", median(alone), "MB/s"));
        self.figures
            .push(Figure::plain("backup", median(beside), "MB/s"));
        Ok(())
    }

    /// The key of a namespace of many secrets turns, alone and while it is read from.
    async fn rotations(&mut self) -> Outcome<()> {
        self.write(FEW..MANY).await?;
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            alone.push(self.turning().end()?);
        }
        let mut reads = None;
        for _ in 0..RUNS {
            let turning = self.turning();
            let time = self.plan.other;
            let summary = self.read(By::Session, CONNECTIONS, FEW, time).await?;
            beside.push(turning.end()?);
            reads = Some(summary);
        }
        if let Some(reads) = reads {
            self.add("rotate.reads_beside", &reads, None);
        }
        self.figures
            .push(Figure::plain("rotate_alone", median(alone), "s"));
        self.figures
            .push(Figure::plain("rotate_beside", median(beside), "s"));
        Ok(())
    }

    fn turning(&self) -> Turning {
        let asking = self.installation.asking();
        Turning::begin(self.installation.owner(), asking)
    }

    /// What services ask about their callers, and what a gate does in their place.
    async fn foreign(&mut self) -> Outcome<()> {
        let plan = self.plan;
        let [verify, session, key_server] =
            [Part::VerifyApi, Part::GateSession, Part::GateKeyServer].map(|part| plan.wants(part));
        let agents = if verify || key_server {
            self.installation.key_agents(KEY_AGENTS)?
        } else {
            Vec::new()
        };
        if verify {
            let figure =
                gated::verify_api("verify_api", &self.installation, &agents, RUNS, plan.other);
            self.figures.push(figure.await?);
        }
        if plan.wants(Part::VerifyShared) {
            let folder = self.installation.folder();
            let figure = shared::verify(folder, RUNS, plan.other).await?;
            self.figures.push(figure);
        }
        if plan.wants(Part::Servers) {
            let folder = self.installation.folder();
            let figures = servers::read(folder, RUNS, plan.other).await?;
            self.figures.extend(figures);
        }
        if session || key_server {
            let gated = Gated::make(&self.installation, &self.devices, RUNS, plan.other)?;
            if session {
                self.figures.extend(gated.sessions_beside_a_proxy().await?);
            }
            if key_server {
                self.figures.push(gated.by_key_server_v1(&agents).await?);
            }
        }
        Ok(())
    }

    /// The same reads among few and among many secrets; the floor of the many is
    /// what the few cost.
    async fn flat(&mut self) -> Outcome<()> {
        let few = self
            .read(By::Session, CONNECTIONS, FEW, self.plan.other)
            .await?;
        self.add("flat_1k", &few, None);
        self.write(FEW..MANY).await?;
        let many = self
            .read(By::Session, CONNECTIONS, MANY, self.plan.other)
            .await?;
        self.add("flat_100k", &many, Some(few.cpu_us));
        // As many again, but those few that a cache can hold.
        let hot = self
            .read(By::Session, CONNECTIONS, FEW, self.plan.other)
            .await?;
        self.add("flat_100k_hot", &hot, Some(few.cpu_us));
        let device = self.devices.first().ok_or("no device")?;
        self.installation.make_agents(device, AGENTS).await?;
        self.memory("rss_mb")
    }

    fn ready(&mut self) -> Outcome<()> {
        let (mut beside, mut whole, mut kdf) = (Vec::new(), Vec::new(), Vec::new());
        let params = Argon2Params::generate(&SystemEntropy)?;
        for _ in 0..RUNS {
            let began = Instant::now();
            derive_passphrase_key(PASSPHRASE, &params)?;
            let derived = began.elapsed();
            let took = self.installation.restart()?;
            whole.push(took.as_secs_f64() * 1e3);
            kdf.push(derived.as_secs_f64() * 1e3);
            beside.push(took.saturating_sub(derived).as_secs_f64() * 1e3);
        }
        self.figures
            .push(Figure::plain("ready_ms", median(beside), "ms"));
        self.figures
            .push(Figure::plain("ready_ms_with_kdf", median(whole), "ms"));
        self.figures
            .push(Figure::plain("floor_argon2id_ms", median(kdf), "ms"));
        self.memory("rss_mb_restarted")
    }

    /// Thousands who follow events.
    async fn streams(&mut self) -> Outcome<()> {
        // A place for each stream, and some to work with.
        self.installation.restart_for(streams::STREAMS + 500)?;
        let own = self.installation.join().await?;
        let theirs = self.installation.join().await?;
        let pid = self.installation.pid();
        let before = process::anonymous_kib(pid)?;
        let folder = self.installation.folder().to_owned();
        let authority = self.installation.authority().to_owned();
        let mut crowd = Crowd::gather(&folder, &authority, theirs.key())?;
        let with = process::anonymous_kib(pid)?;
        let mut told = Vec::new();
        for run in 0..streams::RUNS {
            let agent = format!("told-{run}").parse()?;
            self.installation.make_agent(&own, &agent).await?;
            let began = streams::millis();
            self.installation.revoke_agent(&own, &agent).await?;
            told.push(streams::between(began, crowd.last_told()?)?);
        }
        let began = streams::millis();
        self.installation.revoke_device(&own, &theirs).await?;
        let cut = streams::between(began, crowd.last_cut()?)?;
        self.figures
            .extend(streams::figures(before, with, told, cut));
        Ok(())
    }

    async fn write(&self, secrets: std::ops::Range<u32>) -> Outcome<()> {
        let device = self.devices.first().ok_or("no device")?;
        self.installation.write(device, secrets).await
    }

    /// Three runs of reads.
    async fn read(
        &self,
        by: By,
        connections: usize,
        secrets: u32,
        time: Duration,
    ) -> Outcome<Summary> {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let mut provers = Vec::new();
            for device in &self.devices {
                provers.push(Rc::new(match by {
                    By::Session => self.installation.by_session(device).await?,
                    By::Key => Installation::by_key(device)?,
                }));
            }
            let target = Target {
                authority: self.installation.authority().to_owned(),
                pid: self.installation.pid(),
                provers,
                connections,
                secrets,
                expect: Expect::Secret(Rc::clone(&self.values)),
            };
            let run = load::run(target, time).await?;
            say(&format!(
                "{by:?}, {connections} connections, {secrets} secrets: {:.0}/s, {:.1} µs of the server, {:.1} µs here, others {:.0} %",
                run.per_second, run.cpu_us, run.generator_us, run.others_percent
            ));
            runs.push(run);
        }
        Ok(Summary::of(&runs))
    }

    fn add(&mut self, name: &str, summary: &Summary, floor: Option<f64>) {
        self.figures.push(summary.figure(name).floor(floor));
        self.figures.push(Figure::plain(
            format!("{name}.generator"),
            summary.generator_us,
            "us",
        ));
        self.figures.push(Figure::plain(
            format!("{name}.others"),
            summary.others_percent,
            "percent",
        ));
    }

    fn memory(&mut self, name: &str) -> Outcome<()> {
        let kib = process::anonymous_kib(self.installation.pid())?;
        self.figures
            .push(Figure::plain(name, f64::from(kib) / 1024.0, "MB"));
        Ok(())
    }
}

/// How requests are proven.
#[derive(Debug, Clone, Copy)]
enum By {
    Session,
    Key,
}

/// The medians of runs, each figure by itself.
struct Summary {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    generator_us: f64,
    others_percent: f64,
}

impl Summary {
    fn of(runs: &[Run]) -> Self {
        let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        Self {
            per_second: middle(|run| run.per_second),
            p50_us: middle(|run| run.p50_us),
            p99_us: middle(|run| run.p99_us),
            cpu_us: middle(|run| run.cpu_us),
            generator_us: middle(|run| run.generator_us),
            others_percent: middle(|run| run.others_percent),
        }
    }

    fn figure(&self, name: &str) -> Figure {
        Figure::plain(name, self.per_second.round(), "1/s")
            .latency(self.p50_us, self.p99_us)
            .cpu(self.cpu_us)
    }
}
