//! Reads by session where secrets have rules and decoys lie among them, beside the same
//! reads where there is neither.

use crate::Outcome;
use crate::installation::{Device, Installation};
use crate::load::{self, Expect, Run, Target};
use crate::report::{Figure, median, say};
use crate::values::{self, NAMESPACE, Values};
use procura_client::{SessionClient, SystemClock};
use procura_types::wire::{HoneyPlant, SecretSet};
use procura_types::{
    Clock as _, DeliveryRules, DeliveryWay, HoneyMode, HoneyShape, Namespace, SecretKind,
    SecretPath, Tags,
};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Secrets that are read.
const SECRETS: u32 = 1_000;
/// Devices that read.
const DEVICES: usize = 4;
const CONNECTIONS: usize = 32;
/// Decoys: as many as a namespace may have.
const DECOYS: usize = 256;

/// An installation with secrets, and who reads them.
pub(crate) struct Side {
    installation: Installation,
    devices: Vec<Device>,
    runs: Vec<Run>,
}

impl Side {
    pub(crate) async fn make(dir: &Path) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("side-").tempdir_in(dir)?;
        let installation = Installation::make(folder)?;
        let mut devices = Vec::new();
        for _ in 0..DEVICES {
            devices.push(installation.join().await?);
        }
        let writer = devices.first().ok_or("no device")?;
        installation.write(writer, 0..SECRETS).await?;
        Ok(Self {
            installation,
            devices,
            runs: Vec::new(),
        })
    }

    /// Calls by an operator of the installation.
    pub(crate) fn calls(&self) -> Outcome<SessionClient> {
        let device = self.devices.first().ok_or("no device")?;
        self.installation.calls_of(device)
    }

    /// The installation, and a device of its owner.
    pub(crate) fn owned(&self) -> Outcome<(&Installation, &Device)> {
        let device = self.devices.first().ok_or("no device")?;
        Ok((&self.installation, device))
    }

    /// CPU time of the server for a request of the newest run, in microseconds.
    pub(crate) fn last(&self) -> Option<f64> {
        self.runs.last().map(|run| run.cpu_us)
    }

    /// Says of each secret in which ways it may be handed over, and until when, and plants
    /// as many decoys as there may be.
    async fn rule(&self) -> Outcome<()> {
        let device = self.devices.first().ok_or("no device")?;
        let calls = self.installation.calls_of(device)?;
        let namespace: Namespace = NAMESPACE.parse()?;
        let later = |days: u64| {
            SystemClock
                .now()
                .plus(Duration::from_secs(days * 24 * 60 * 60))
        };
        let ways = vec![DeliveryWay::Env, DeliveryWay::Stdin];
        let set = SecretSet {
            tags: Some(Tags::try_from(vec!["team".parse()?, "live".parse()?])?),
            expires: Some(later(300)),
            rotate_by: Some(later(200)),
            delivery: Some(DeliveryRules::try_from(ways)?),
            ..SecretSet::default()
        };
        for secret in 0..SECRETS {
            let mut path = Vec::new();
            values::append_path(&mut path, secret);
            let path: SecretPath = std::str::from_utf8(&path)?.parse()?;
            calls.set_secret(&namespace, &path, &set).await?;
        }
        for (decoy, shape) in (0..DECOYS).zip(HoneyShape::ALL.into_iter().cycle()) {
            let path = format!("team-{:02}/service/backup-{decoy:03}", decoy % 50).parse()?;
            let plant = HoneyPlant {
                shape: Some(shape),
                value_b64: None,
                mode: HoneyMode::Deny,
                env: None,
                description: None,
                kind: SecretKind::default(),
                tags: Tags::default(),
            };
            calls.plant_honey(&namespace, &path, &plant).await?;
        }
        Ok(())
    }

    pub(crate) async fn run(&mut self, values: &Rc<Values>, time: Duration) -> Outcome<()> {
        let mut provers = Vec::new();
        for device in &self.devices {
            provers.push(Rc::new(self.installation.by_session(device).await?));
        }
        let target = Target {
            authority: self.installation.authority().to_owned(),
            pid: self.installation.pid(),
            provers,
            connections: CONNECTIONS,
            secrets: SECRETS,
            expect: Expect::Secret(Rc::clone(values)),
        };
        self.runs.push(load::run(target, time).await?);
        Ok(())
    }

    /// The median of the runs so far.
    pub(crate) fn middle(&self, figure: fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(figure).collect())
    }

    /// All that the runs say.
    pub(crate) fn figure(&self, name: &str) -> Figure {
        Figure::plain(name, self.middle(|run| run.per_second).round(), "1/s")
            .latency(self.middle(|run| run.p50_us), self.middle(|run| run.p99_us))
            .cpu(self.middle(|run| run.cpu_us))
    }
}

/// Reads from both in turns, so that both see the same machine; the floor of those with
/// rules and decoys is what the others cost.
pub(crate) async fn read(dir: &Path, runs: usize, time: Duration) -> Outcome<Vec<Figure>> {
    let values = Rc::new(Values::new());
    let mut plain = Side::make(dir).await?;
    let mut ruled = Side::make(dir).await?;
    ruled.rule().await?;
    for _ in 0..runs {
        plain.run(&values, time).await?;
        ruled.run(&values, time).await?;
        if let (Some(plain), Some(ruled)) = (plain.runs.last(), ruled.runs.last()) {
            say(&format!(
                "{:.1} µs of the server with neither rules nor decoys, {:.1} µs with both",
                plain.cpu_us, ruled.cpu_us
            ));
        }
    }
    let floor = plain.middle(|run| run.cpu_us);
    Ok(vec![
        plain.figure("honey_reads.without"),
        ruled.figure("honey_reads").floor(Some(floor)),
        Figure::plain(
            "honey_reads.generator",
            ruled.middle(|run| run.generator_us),
            "us",
        ),
        Figure::plain(
            "honey_reads.others",
            ruled.middle(|run| run.others_percent),
            "percent",
        ),
    ])
}
