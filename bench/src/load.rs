//! The load generator: one thread, so many connections, each with one request
//! under way. It checks every answer.

use crate::connection::{Answer, Connection};
use crate::histogram::Histogram;
use crate::process;
use crate::prover::{Draft, Prover};
use crate::values::{self, Values};
use crate::{Outcome, bare};
use procura_client::SystemClock;
use procura_types::Clock as _;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Not measured, so that connections, caches and branch predictors are warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is asked of whom.
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) authority: String,
    /// The server's process.
    pub(crate) pid: u32,
    /// Connections take turns with these.
    pub(crate) provers: Vec<Rc<Prover>>,
    pub(crate) connections: usize,
    /// Reads are spread evenly over the first so many secrets.
    pub(crate) secrets: u32,
    /// What the answers have to be.
    pub(crate) expect: Expect,
}

/// What the answers have to be.
#[derive(Clone)]
pub(crate) enum Expect {
    /// Version 1 of the secret that was asked for.
    Secret(Rc<Values>),
    /// The same for all.
    Bare,
    /// That the proof is good.
    Verified,
    /// The value of this one secret, by a project token.
    Handed(Rc<Values>, u32),
}

/// What one run gave.
pub(crate) struct Run {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the server, for one request.
    pub(crate) cpu_us: f64,
    /// Of this process, for one request.
    pub(crate) generator_us: f64,
    /// What all other processes and the kernel's own threads took of all cores.
    pub(crate) others_percent: f64,
}

struct Shared {
    measuring: Cell<bool>,
    stop: Cell<bool>,
    histogram: RefCell<Histogram>,
}

/// CPU times at one moment.
struct Reading {
    at: Instant,
    server: Duration,
    generator: Duration,
    machine: Duration,
}

impl Reading {
    fn take(pid: u32) -> Outcome<Self> {
        Ok(Self {
            server: process::cpu(pid)?,
            generator: process::cpu(std::process::id())?,
            machine: process::machine_cpu()?,
            at: Instant::now(),
        })
    }
}

/// Loads the target for so long. One wrong answer ends it with an error.
pub(crate) async fn run(target: Target, duration: Duration) -> Outcome<Run> {
    let shared = Rc::new(Shared {
        measuring: Cell::new(false),
        stop: Cell::new(false),
        histogram: RefCell::new(Histogram::new()),
    });
    let target = Rc::new(target);
    let mut workers = JoinSet::new();
    for number in 0..target.connections {
        let (target, shared) = (Rc::clone(&target), Rc::clone(&shared));
        workers.spawn_local(async move {
            work(&target, &shared, number)
                .await
                .map_err(|error| error.to_string())
        });
    }
    pause(&mut workers, WARM_UP).await?;
    let before = Reading::take(target.pid)?;
    shared.measuring.set(true);
    pause(&mut workers, duration).await?;
    shared.measuring.set(false);
    let after = Reading::take(target.pid)?;
    shared.stop.set(true);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let histogram = shared.histogram.borrow();
    let requests = f64::from(histogram.total());
    if histogram.total() == 0 {
        return Err("not one answer in the whole run".into());
    }
    let wall = (after.at - before.at).as_secs_f64();
    let (server, generator) = (
        after.server - before.server,
        after.generator - before.generator,
    );
    let others = (after.machine - before.machine).saturating_sub(server + generator);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / requests;
    Ok(Run {
        per_second: requests / wall,
        p50_us: f64::from(histogram.percentile(50)),
        p99_us: f64::from(histogram.percentile(99)),
        cpu_us: per_request(server),
        generator_us: per_request(generator),
        others_percent: others.as_secs_f64() * 100.0 / wall / f64::from(u32::try_from(cores)?),
    })
}

/// Lets the workers work. One that ends before it is told to has failed.
async fn pause(workers: &mut JoinSet<Result<(), String>>, time: Duration) -> Outcome<()> {
    match tokio::time::timeout(time, workers.join_next()).await {
        Err(_) => Ok(()),
        Ok(Some(ended)) => {
            ended??;
            Err("a connection ended early".into())
        }
        Ok(None) => Err("no connections".into()),
    }
}

async fn work(target: &Target, shared: &Shared, number: usize) -> Outcome<()> {
    let mut connection = Connection::open(&target.authority).await?;
    let prover = target
        .provers
        .get(number % target.provers.len().max(1))
        .ok_or("nobody to prove requests")?;
    let mut numbers = Numbers(u64::try_from(number)? + 1);
    let mut draft = Draft::default();
    let mut path = Vec::new();
    while !shared.stop.get() {
        let secret = numbers.below(target.secrets);
        path.clear();
        path.extend_from_slice(SECRETS.as_bytes());
        values::append_path(&mut path, secret);
        prover.get(
            &mut draft,
            &target.authority,
            &path,
            SystemClock.now().as_secs(),
        )?;
        let began = Instant::now();
        let answer = connection.exchange(&draft.request).await?;
        let took = began.elapsed();
        check(&answer, secret, &target.expect)?;
        if shared.measuring.get() {
            shared.histogram.borrow_mut().add(took);
        }
    }
    Ok(())
}

/// Where the secrets are.
pub(crate) const SECRETS: &str = "/v1/namespaces/bench/secrets/";

fn check(answer: &Answer<'_>, secret: u32, expect: &Expect) -> Outcome<()> {
    if answer.status != 200 {
        // Refusals hold no value.
        let said = String::from_utf8_lossy(answer.body);
        return Err(format!(
            "wrong answer: status {} to secret {secret}: {said}",
            answer.status
        )
        .into());
    }
    let right = match expect {
        Expect::Bare => answer.body == bare::ANSWER.as_bytes(),
        Expect::Verified => answer.body.starts_with(br#"{"valid":true,"#),
        Expect::Secret(values) => is_right(answer.body, secret, values).is_some(),
        Expect::Handed(values, handed) => has_value(answer.body, *handed, values),
    };
    if right {
        Ok(())
    } else {
        Err(format!("wrong answer: not what was asked for ({secret})").into())
    }
}

fn is_right(body: &[u8], secret: u32, values: &Values) -> Option<()> {
    let mut beginning = br#"{"path":""#.to_vec();
    values::append_path(&mut beginning, secret);
    beginning.extend_from_slice(br#"","version":1,"value_b64":""#);
    let rest = body.strip_prefix(beginning.as_slice())?;
    let quote = rest.iter().position(|byte| *byte == b'"')?;
    let (value, rest) = rest.split_at_checked(quote)?;
    (values.is(secret, value) && rest.starts_with(br#"","created":""#)).then_some(())
}

/// Whether version 1 of the secret is handed over, and nothing else.
fn has_value(body: &[u8], secret: u32, values: &Values) -> bool {
    let mut right = br#"{"path":""#.to_vec();
    values::append_path(&mut right, secret);
    right.extend_from_slice(br#"","version":1,"value_b64":""#);
    values.append(&mut right, secret);
    right.extend_from_slice(br#""}}}"#);
    body.starts_with(br#"{"run":""#) && body.ends_with(&right)
}

/// SplitMix64: numbers without a pattern that caches could learn.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % u64::from(end.max(1))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_1_of_the_secret_asked_for_is_right() {
        let values = Values::new();
        let answer = |path: &str, version: u32, value: u32| {
            let mut body =
                format!(r#"{{"path":"{path}","version":{version},"value_b64":""#).into_bytes();
            values.append(&mut body, value);
            body.extend_from_slice(br#"","created":"2026-01-01T00:00:00.000Z"}"#);
            body
        };
        let path = "team-07/service/key-000007";
        assert!(is_right(&answer(path, 1, 7), 7, &values).is_some());
        assert!(is_right(&answer(path, 2, 7), 7, &values).is_none());
        assert!(is_right(&answer(path, 1, 8), 7, &values).is_none());
        assert!(is_right(&answer("team-08/service/key-000008", 1, 7), 7, &values).is_none());
    }

    #[test]
    fn only_the_value_that_a_token_opens_is_right() {
        let values = Values::new();
        let answer = |value: u32, end: &str| {
            let mut body = br#"{"run":"r","token":"t","grant":"g","values":{"A":{"path":"team-07/service/key-000007","version":1,"value_b64":""#.to_vec();
            values.append(&mut body, value);
            body.extend_from_slice(end.as_bytes());
            body
        };
        assert!(has_value(&answer(7, r#""}}}"#), 7, &values));
        assert!(!has_value(&answer(8, r#""}}}"#), 7, &values));
        assert!(!has_value(&answer(7, r#""},"B":{}}}"#), 7, &values));
    }

    #[test]
    fn all_secrets_are_asked_for() {
        let mut numbers = Numbers(1);
        let mut seen = [false; 100];
        for _ in 0..2000 {
            seen[usize::try_from(numbers.below(100)).unwrap()] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}
