//! Reads by session while something else goes on, in turns with reads while nothing does,
//! so that both see the same machine.

use crate::Outcome;
use crate::installation::{Device, Installation};
use crate::load::{self, Expect, Run, Target};
use crate::report::{Figure, median};
use crate::values::Values;
use std::rc::Rc;
use std::time::Duration;

/// Runs of each.
pub(crate) const RUNS: usize = 5;
/// Secrets that are read, which have to be there.
pub(crate) const SECRETS: u32 = 1_000;
const CONNECTIONS: usize = 32;

/// Who reads from where, and what came of it so far.
pub(crate) struct Turns<'a> {
    installation: &'a Installation,
    devices: &'a [Device],
    time: Duration,
    values: Rc<Values>,
    alone: Vec<Run>,
    beside: Vec<Run>,
}

impl<'a> Turns<'a> {
    /// Nothing was read yet; each run takes `time`.
    pub(crate) fn new(
        installation: &'a Installation,
        devices: &'a [Device],
        time: Duration,
    ) -> Self {
        Self {
            installation,
            devices,
            time,
            values: Rc::new(Values::new()),
            alone: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// Reads while nothing else goes on: half of the answers came within so many
    /// microseconds.
    pub(crate) async fn alone(&mut self) -> Outcome<f64> {
        let run = self.read().await?;
        let p50 = run.p50_us;
        self.alone.push(run);
        Ok(p50)
    }

    /// Reads beside what the caller has begun: half of the answers came within so many
    /// microseconds.
    pub(crate) async fn beside(&mut self) -> Outcome<f64> {
        let run = self.read().await?;
        let p50 = run.p50_us;
        self.beside.push(run);
        Ok(p50)
    }

    async fn read(&self) -> Outcome<Run> {
        let mut provers = Vec::new();
        for device in self.devices {
            provers.push(Rc::new(self.installation.by_session(device).await?));
        }
        let target = Target {
            authority: self.installation.authority().to_owned(),
            pid: self.installation.pid(),
            provers,
            connections: CONNECTIONS,
            secrets: SECRETS,
            expect: Expect::Secret(Rc::clone(&self.values)),
        };
        load::run(target, self.time).await
    }

    /// Reads beside it under `name`, those alone under `name.without`, and by how much the
    /// first's p50 is higher.
    pub(crate) fn figures(&self, name: &str) -> Vec<Figure> {
        let p50 = |runs: &[Run]| middle(runs, |run| run.p50_us);
        let more = (p50(&self.beside) / p50(&self.alone) - 1.0) * 100.0;
        let others = middle(&self.beside, |run| run.others_percent);
        vec![
            figure(&format!("{name}.without"), &self.alone),
            figure(name, &self.beside),
            Figure::plain(format!("{name}.p50_more"), more, "percent"),
            Figure::plain(format!("{name}.others"), others, "percent"),
        ]
    }
}

fn middle(runs: &[Run], figure: fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(figure).collect())
}

fn figure(name: &str, runs: &[Run]) -> Figure {
    Figure::plain(name, middle(runs, |run| run.per_second).round(), "1/s")
        .latency(
            middle(runs, |run| run.p50_us),
            middle(runs, |run| run.p99_us),
        )
        .cpu(middle(runs, |run| run.cpu_us))
}
