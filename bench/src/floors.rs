//! What the parts of a request cost by themselves on this machine.

use crate::Outcome;
use crate::histogram::Histogram;
use crate::process;
use crate::report::{Figure, median};
use procura_crypto::{
    Binding, Holder, MacKey, Purpose, SigningKey, SystemEntropy, XaesKey, open, seal,
};
use procura_types::InstallationId;
use rustix::time::{ClockId, clock_gettime};
use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long each of the three runs of a floor takes.
const TIME: Duration = Duration::from_millis(700);
const RUNS: usize = 3;

/// CPU time of the parts, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floors {
    mac: f64,
    verify: f64,
    xaes: f64,
    /// An HTTP request that does nothing; measured by the plan.
    pub(crate) http: f64,
}

impl Floors {
    /// HTTP, one MAC, and three envelopes of 1 KiB: the entry is sealed, the
    /// secret's row and its value are opened.
    pub(crate) fn read_session(&self) -> f64 {
        self.http + self.mac + 3.0 * self.xaes
    }

    /// The same with a signature in place of the MAC.
    pub(crate) fn read_ed25519(&self) -> f64 {
        self.http + self.verify + 3.0 * self.xaes
    }
}

/// Measures all but HTTP. Files are written in `dir`.
pub(crate) fn measure(dir: &Path) -> Outcome<(Floors, Vec<Figure>)> {
    let message = [7; 640];
    let mac_key = MacKey::from_bytes(&[1; 32])?;
    let tag = mac_key.sign(&[&message]);
    let mac = repeat(|| black_box(mac_key.verify(&[black_box(&message)], &tag)));

    let key = SigningKey::generate_ed25519(&SystemEntropy)?;
    let signature = key.sign(&message)?;
    let verify = repeat(|| black_box(key.public().verify(black_box(&message), &signature)));

    let xaes_key = XaesKey::generate(&SystemEntropy)?;
    let installation = InstallationId::from_bytes([1; 16]);
    let binding = Binding {
        holder: Holder::Installation(&installation),
        class: "bench",
        path: b"floor",
        version: 1,
        purpose: Purpose::Row,
    };
    let envelope = seal(&xaes_key, 1, &binding, &SystemEntropy, &[7; 1024])?;
    let xaes =
        repeat(|| black_box(open(|_| Some(&xaes_key), &binding, black_box(&envelope)).is_ok()));

    let floor = |name: &str, cpu: f64| Figure::plain(name, cpu, "us").cpu(cpu);
    let figures = vec![
        fdatasync(dir)?,
        handoff()?,
        oneshot()?,
        floor("floor_ed25519_verify", verify),
        floor("floor_hmac", mac),
        floor("floor_xaes_open_1k", xaes),
    ];
    Ok((
        Floors {
            mac,
            verify,
            xaes,
            http: 0.0,
        },
        figures,
    ))
}

/// Microseconds of CPU time that `part` takes. Batches are short and the median of many is
/// taken, so that what else runs on the machine falls out.
pub(crate) fn repeat(part: impl Fn() -> bool) -> f64 {
    const BATCH: u32 = 32;
    let mut batches = Vec::new();
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let began = cpu_of_thread();
        for _ in 0..BATCH {
            part();
        }
        let took = cpu_of_thread().saturating_sub(began);
        batches.push(took.as_secs_f64() * 1e6 / f64::from(BATCH));
    }
    median(batches)
}

/// CPU time of the thread that asks.
fn cpu_of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// Three runs of something that waits: mean, latencies, and CPU of this process.
fn wait_for(name: &str, mut part: impl FnMut() -> Outcome<()>) -> Outcome<Figure> {
    let mut runs = [const { Vec::new() }; 4];
    for _ in 0..RUNS {
        let mut histogram = Histogram::new();
        let cpu = process::cpu(std::process::id())?;
        let began = Instant::now();
        while began.elapsed() < TIME {
            let one = Instant::now();
            part()?;
            histogram.add(one.elapsed());
        }
        let count = f64::from(histogram.total());
        let wall = began.elapsed().as_secs_f64() * 1e6 / count;
        let cpu = (process::cpu(std::process::id())? - cpu).as_secs_f64() * 1e6 / count;
        let figures = [
            wall,
            f64::from(histogram.percentile(50)),
            f64::from(histogram.percentile(99)),
            cpu,
        ];
        for (run, figure) in runs.iter_mut().zip(figures) {
            run.push(figure);
        }
    }
    let [wall, p50, p99, cpu] = runs.map(median);
    Ok(Figure::plain(name, wall, "us").latency(p50, p99).cpu(cpu))
}

/// 4 KiB over 4 KiB that are there already, synced: what a log that was made
/// long enough before pays for one commit.
fn fdatasync(dir: &Path) -> Outcome<Figure> {
    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 4096;
    let path = dir.join("fdatasync");
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&path)?;
    for block in 0..BLOCKS {
        file.write_all_at(&[1; BLOCK], block * 4096)?;
    }
    file.sync_all()?;
    let mut block = 0;
    let figure = wait_for("floor_fdatasync_4k", || {
        block = (block + 1) % BLOCKS;
        file.write_all_at(&[2; BLOCK], block * 4096)?;
        Ok(file.sync_data()?)
    })?;
    std::fs::remove_file(path)?;
    Ok(figure)
}

/// To another thread and back, which are two hand-offs.
fn handoff() -> Outcome<Figure> {
    let (there, inbox) = mpsc::channel::<()>();
    let (back, answers) = mpsc::channel::<()>();
    let echo = std::thread::spawn(
        move || {
            while inbox.recv().is_ok() && back.send(()).is_ok() {}
        },
    );
    let figure = wait_for("floor_handoff_round_trip", || {
        there.send(())?;
        Ok(answers.recv()?)
    })?;
    drop(there);
    echo.join().map_err(|_| "the other thread panicked")?;
    Ok(figure)
}

/// From a task to a thread and back by waking the task: the way of a commit.
fn oneshot() -> Outcome<Figure> {
    let (there, inbox) = mpsc::channel::<tokio::sync::oneshot::Sender<()>>();
    let echo = std::thread::spawn(move || {
        for back in inbox {
            // Whoever asked waits for it.
            let _ = back.send(());
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let figure = wait_for("floor_oneshot_round_trip", || {
        let (back, answer) = tokio::sync::oneshot::channel();
        there.send(back)?;
        Ok(runtime.block_on(answer)?)
    })?;
    drop(there);
    echo.join().map_err(|_| "the other thread panicked")?;
    Ok(figure)
}
