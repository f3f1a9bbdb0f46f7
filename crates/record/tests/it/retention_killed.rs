//! A process that is killed while it forgets, on real stores: a file of its own, and a
//! database that another server goes on with.

use crate::retention_world::{BEGIN, DAY, Site, Turned};
use crate::world::{ID, clock, entropy, parts, store_over};
use procura_record::tables::LEDGER;
use procura_record::{Directory, Lease, Others, Publisher, first_kept};
use procura_store::{
    LocalPostgres, OpenError, PostgresEngine, PostgresOptions, SqliteEngine, SqliteOptions, Store,
};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What a process that is to be killed works on: the store and the home, a line each.
const CHILD: &str = "PROCURA_RECORD_TEST_CHILD";
/// What it says before it does something, once it has, and when there is nothing to do.
const BEFORE: &str = "child: next";
const DID: &str = "child: did";
const OVER: &str = "child: over";

/// Entries that are too old, and those of them in whole bundles: said at once, and taken
/// away in three commits.
const OLD: u64 = 10_300;
const GONE: u64 = 10_300 / 256 * 256;
/// What one of those commits takes.
const ONE: u64 = 16 * 256;

/// Bound on waiting for anything, in hundredths of a second.
const PATIENCE: u32 = 6000;
const HUNDREDTH: Duration = Duration::from_millis(10);

/// The words for a process that is to be killed; none in the test itself.
fn told() -> Option<(String, String)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the variable is this test's own, to tell the child from the parent"
    )]
    let words = std::env::var(CHILD).ok()?;
    let (store, home) = words.split_once('\n').unwrap();
    Some((store.to_owned(), home.to_owned()))
}

/// A process that forgets step by step, each when it is let.
struct Forgetting {
    process: Child,
    go: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Forgetting {
    fn start(test: &str, store: &str, home: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, format!("{store}\n{}", home.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            go: process.stdin.take().unwrap(),
            said: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// What it says next.
    fn says(&mut self) -> String {
        loop {
            let mut line = String::new();
            let length = self.said.read_line(&mut line).unwrap();
            assert!(length > 0, "it ended by itself");
            if let Some(at) = line.find("child: ") {
                return line[at..].trim().to_owned();
            }
        }
    }

    fn go(&mut self) {
        self.go.write_all(b"go\n").unwrap();
    }

    /// Lets it do one thing, and waits until it has.
    fn does(&mut self) {
        assert_eq!(self.says(), BEFORE);
        self.go();
        assert_eq!(self.says(), DID);
    }

    /// Lets it do one thing, and kills it so long after.
    fn killed_in(mut self, wait: Duration) {
        assert_eq!(self.says(), BEFORE);
        self.go();
        std::thread::sleep(wait);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it do what is left.
    fn ends(mut self) {
        for _ in 0..100 {
            let said = self.says();
            if said == OVER {
                return;
            }
            if said == BEFORE {
                self.go();
            }
        }
        panic!("it comes to no end");
    }
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Whether it is let do the next thing; not when the test has ended.
fn let_go() -> bool {
    say(BEFORE);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap() > 0
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

/// As the other process has it, eight days after the old entries.
fn late() -> Arc<Turned> {
    let week = u64::try_from((DAY * 8).as_millis()).unwrap();
    Arc::new(Turned(AtomicU64::new(BEGIN + week)))
}

/// The embedded store of a file. Whoever was killed has let go of it in a moment.
fn in_file(path: &Path) -> Store {
    let options = SqliteOptions::default();
    for _ in 0..PATIENCE {
        match SqliteEngine::open(path, &ID, &options) {
            Ok(engine) => return store_over(Arc::new(engine)),
            Err(OpenError::InUse(_)) => std::thread::sleep(HUNDREDTH),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("somebody has it open");
}

fn in_database(url: &str) -> Store {
    let options = PostgresOptions::new(url.parse().unwrap());
    store_over(Arc::new(PostgresEngine::open(options, &ID).unwrap()))
}

/// A record over a real store.
type Real = Site<()>;

impl Real {
    /// One of a process that others kill, whose files are not its own.
    fn of_another(publisher: Publisher, store: Store) -> Self {
        Self {
            disk: (),
            home: tempfile::tempdir().unwrap(),
            clock: late(),
            publisher,
            store,
            seen: Vec::new(),
        }
    }

    /// A new one, with old entries that nobody forgot yet.
    async fn old(store: Store) -> Self {
        let mut site = Self::over((), store).await;
        for _ in 0..10 {
            site.write(OLD / 10).await;
        }
        site.later(DAY * 8);
        site.write(10).await;
        site.keep(7).await;
        site.holds().await;
        site
    }

    /// Lets go of the store while something else has it, and looks at all of it after.
    async fn apart(self, between: impl FnOnce(&Path), open: impl FnOnce() -> Store) -> Self {
        let mut site = self.reopened(between, |()| open()).await;
        let (said, there) = site.where_it_is();
        assert!(there <= said, "entries went that nobody said so of");
        site.holds().await;
        site.export().await.unwrap();
        site
    }

    /// How many entries are said to be forgotten, and how many are gone.
    fn where_it_is(&self) -> (u64, u64) {
        let said = first_kept(&self.store).unwrap();
        (said, self.store.log_start(LEDGER).unwrap())
    }
}

/// Forgets in a file of its own until it is killed.
async fn alone(store: &str, home: &str) {
    let store = in_file(Path::new(store));
    let publisher = Publisher::start(parts(&store, Path::new(home)));
    let site = Real::of_another(publisher.await.unwrap(), store);
    let (retention, due) = (site.retention(), site.now());
    while let_go() {
        match retention.step(Some(due)).await.unwrap() {
            true => say(DID),
            false => return say(OVER),
        }
    }
}

#[test]
fn whoever_is_killed_while_forgetting_is_gone_on_with() {
    const TEST: &str = "retention_killed::whoever_is_killed_while_forgetting_is_gone_on_with";
    if let Some((store, home)) = told() {
        return runtime().block_on(alone(&store, &home));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("procura.db");
    let made = SqliteEngine::create(&file, &ID, &SqliteOptions::default()).unwrap();
    let start = |home: &Path| Forgetting::start(TEST, file.to_str().unwrap(), home);
    runtime().block_on(async {
        let mut site = Real::old(store_over(Arc::new(made))).await;
        assert_eq!(site.where_it_is(), (0, 0));
        // In between: it is said and nothing is gone, then the first of it is.
        for wanted in [(GONE, 0), (GONE, ONE)] {
            site = site
                .apart(|home| start(home).does(), || in_file(&file))
                .await;
            assert_eq!(site.where_it_is(), wanted);
        }
        // And in the middle, whatever it is at then.
        for wait in [0, 20, 60, 120, 240] {
            let wait = Duration::from_millis(wait);
            let (_, before) = site.where_it_is();
            if before == GONE {
                break;
            }
            let between = |home: &Path| start(home).killed_in(wait);
            site = site.apart(between, || in_file(&file)).await;
            let (said, there) = site.where_it_is();
            assert_eq!(said, GONE, "{wait:?}");
            let whole = there == before || there == (before + ONE).min(GONE);
            assert!(whole, "{wait:?}: from {before} to {there}");
        }
        site = site
            .apart(|home| start(home).ends(), || in_file(&file))
            .await;
        assert_eq!(site.where_it_is(), (GONE, GONE));
        let report = site.export().await.unwrap();
        assert_eq!(report.forgotten.unwrap().entries, GONE);
        site.publisher.stop().await;
    });
}

/// Forgets in a database that others use too, while it has the lease, until it is killed.
async fn among_others(url: &str, home: &str) {
    let store = in_database(url);
    let directory = Directory::load(&store).unwrap();
    let others = Others::start(&store, &directory, "installation", Box::new(|| Ok(())));
    let others = others.unwrap().unwrap();
    let lease = Lease::start(&store, "own-work", &clock(), &entropy()).unwrap();
    let beside = Arc::clone(&lease);
    let publisher = Publisher::start_beside(parts(&store, Path::new(home)), &others, beside);
    let site = Real::of_another(publisher.await.unwrap(), store);
    let (retention, due) = (site.retention_under(Some(Arc::clone(&lease))), site.now());
    let mut may = false;
    for _ in 0..PATIENCE {
        let (_, there) = site.where_it_is();
        if there == GONE {
            return say(OVER);
        }
        if lease.is_held() {
            may = may || let_go();
            if !may {
                return;
            }
            // The files of this home may lag behind what is signed.
            if retention.step(Some(due)).await.unwrap() {
                say(DID);
                may = false;
                continue;
            }
        }
        tokio::time::sleep(HUNDREDTH).await;
    }
}

#[test]
fn of_two_servers_one_goes_on_with_what_the_other_was_killed_at() {
    const TEST: &str =
        "retention_killed::of_two_servers_one_goes_on_with_what_the_other_was_killed_at";
    if let Some((url, home)) = told() {
        return runtime().block_on(among_others(&url, &home));
    }
    let dirs = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let postgres = LocalPostgres::start(dirs[0].path(), &[]);
    postgres.database("procura");
    let url = postgres.url("procura");
    let options = PostgresOptions::new(url.parse().unwrap());
    let made = PostgresEngine::create(options, &ID).unwrap();
    let start = |number: usize| Forgetting::start(TEST, &url, dirs[number].path());
    runtime().block_on(async {
        let mut site = Real::old(store_over(Arc::new(made))).await;
        // Without what a store of before has in its memory.
        let look = || {
            let store = in_database(&url);
            let said = first_kept(&store).unwrap();
            (said, store.log_start(LEDGER).unwrap())
        };
        let between = |_: &Path| {
            let mut one = start(1);
            // It has the lease before the other is there.
            one.does();
            assert_eq!(look(), (GONE, 0));
            let mut two = start(2);
            one.killed_in(Duration::from_millis(40));
            two.does();
            // The database may have ended what the first had sent.
            let (said, there) = look();
            assert_eq!(said, GONE);
            assert!([ONE, ONE * 2].contains(&there), "{there}");
            let three = start(3);
            two.killed_in(Duration::from_millis(120));
            three.ends();
        };
        site = site.apart(between, || in_database(&url)).await;
        assert_eq!(site.where_it_is(), (GONE, GONE));
        // A server that joins makes every hash from what is left.
        let tiles = |home: &Path| std::fs::remove_dir_all(home.join("ledger/tile")).unwrap();
        site = site.apart(tiles, || in_database(&url)).await;
        let report = site.export().await.unwrap();
        assert_eq!(report.forgotten.unwrap().entries, GONE);
        site.publisher.stop().await;
    });
}
