//! Reads from two servers at once that share a PostgreSQL database and a replay guard,
//! all on this machine: each read has its intent durable in the database first.

use crate::Outcome;
use crate::installation::{Device, Installation};
use crate::load::{self, Expect, Run, Target};
use crate::report::{Figure, median, say};
use crate::shared::Redis;
use crate::values::Values;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Secrets that are read.
const SECRETS: u32 = 1_000;
/// Devices that read, at each server.
const DEVICES: usize = 4;
/// Connections to each server.
const CONNECTIONS: usize = 32;
/// How long the database may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database server with the settings of its release, durable ones among them, until it
/// is dropped.
struct Postgres {
    process: Child,
    port: u16,
}

impl Postgres {
    fn start(dir: &Path) -> Outcome<Self> {
        let programs = programs()?;
        let data = dir.join("data");
        let user = rustix::process::getuid().is_root().then(package_user);
        let user = user.transpose()?;
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir("/").stdout(Stdio::null());
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command
        };
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(dir, Some(user), Some(group))?;
        }
        let made = command("initdb")
            .args(["--no-instructions", "--auth=trust", "--locale=C"])
            .args(["--encoding=UTF8", "--username", "procura", "-D"])
            .arg(&data)
            .status()?;
        if !made.success() {
            return Err("initdb failed".into());
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1"])
            .arg("-c")
            .arg(format!("port={port}"))
            .arg("-c")
            .arg(format!("unix_socket_directories={}", dir.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let postgres = Self { process, port };
        let until = Instant::now() + PATIENCE;
        loop {
            let made = command("createdb")
                .args(["-h", "127.0.0.1", "-U", "procura"])
                .args(["-p", &port.to_string(), "procura"])
                .stderr(Stdio::null())
                .status()?;
            if made.success() {
                return Ok(postgres);
            }
            if Instant::now() > until {
                return Err("PostgreSQL does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn url(&self) -> String {
        format!("postgres://procura@127.0.0.1:{}/procura", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = i32::try_from(self.process.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // A fast end: its other processes go with it.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::INT);
        }
        let _ = self.process.wait();
    }
}

/// Where the newest release on this machine has its programs.
fn programs() -> Outcome<PathBuf> {
    let mut newest: Option<(u32, PathBuf)> = None;
    for folder in std::fs::read_dir("/usr/lib/postgresql")? {
        let folder = folder?;
        let release = folder
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(release) = release
            && newest.as_ref().is_none_or(|(known, _)| *known < release)
        {
            newest = Some((release, folder.path().join("bin")));
        }
    }
    let (_, programs) = newest.ok_or("no PostgreSQL is installed; ./x setup installs it")?;
    Ok(programs)
}

/// The user whom the package makes; it refuses to run as root.
fn package_user() -> Outcome<(u32, u32)> {
    let id = |option| -> Outcome<u32> {
        let output = Command::new("id").args([option, "postgres"]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    Ok((id("-u")?, id("-g")?))
}

/// Reads by session from two servers at once, all that both answer.
pub(crate) async fn read(dir: &Path, runs: usize, time: Duration) -> Outcome<Vec<Figure>> {
    let folder = || tempfile::Builder::new().prefix("servers-").tempdir_in(dir);
    // Where the database's own user can go.
    let database = tempfile::tempdir()?;
    let postgres = Postgres::start(database.path())?;
    let guard = folder()?;
    let redis = Redis::start(guard.path())?;
    let (url, guard_url) = (postgres.url(), redis.url());
    let settings = [
        ("PROCURA_DATABASE_URL", url.as_str()),
        ("PROCURA_GUARD_URL", guard_url.as_str()),
    ];
    let one = Installation::make_with(folder()?, &settings)?;
    let two = Installation::beside(folder()?, &settings)?;
    say(&format!(
        "the servers are processes {} and {}",
        one.pid(),
        two.pid()
    ));
    let values = Rc::new(Values::new());
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(one.join().await?);
    }
    let writer = devices.first().ok_or("no device")?;
    one.write(writer, 0..SECRETS).await?;
    let (mut both, mut p99) = (Vec::new(), Vec::new());
    let mut p50 = Vec::new();
    for _ in 0..runs {
        let targets = (
            target(&one, &devices, &values).await?,
            target(&two, &devices, &values).await?,
        );
        let (here, there) = tokio::join!(load::run(targets.0, time), load::run(targets.1, time));
        let (here, there): (Run, Run) = (here?, there?);
        say(&format!(
            "two servers: {:.0}/s and {:.0}/s, p99 {:.0} µs and {:.0} µs",
            here.per_second, there.per_second, here.p99_us, there.p99_us
        ));
        both.push(here.per_second + there.per_second);
        p50.push(here.p50_us.max(there.p50_us));
        p99.push(here.p99_us.max(there.p99_us));
    }
    let figure = Figure::plain("servers_read_session", median(both).round(), "1/s");
    Ok(vec![figure.latency(median(p50), median(p99))])
}

async fn target(server: &Installation, devices: &[Device], values: &Rc<Values>) -> Outcome<Target> {
    let mut provers = Vec::new();
    for device in devices {
        provers.push(Rc::new(server.by_session(device).await?));
    }
    Ok(Target {
        authority: server.authority().to_owned(),
        pid: server.pid(),
        provers,
        connections: CONNECTIONS,
        secrets: SECRETS,
        expect: Expect::Secret(Rc::clone(values)),
    })
}
