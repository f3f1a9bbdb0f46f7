//! A real PostgreSQL server for tests: on loopback and a socket, on a port of its own,
//! with a directory of its own, ended with the test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what tests stand on fails by panicking; it is compiled for tests only"
)]

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(180);
/// The user that its tests connect as, who may do everything.
const USER: &str = "procura";

/// A server with the defaults of its release, durable ones among them. It refuses to run
/// as root, so that root starts it as the user whom its Debian package makes.
pub struct LocalPostgres {
    dir: PathBuf,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    port: u16,
    process: Option<Child>,
}

impl LocalPostgres {
    /// Makes and starts one in `dir`, with these settings, each as `name=value`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(dir: &Path, settings: &[&str]) -> Self {
        let mut server = Self {
            dir: dir.to_owned(),
            programs: programs(),
            user: rustix::process::getuid().is_root().then(package_user),
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            port: 0,
            process: None,
        };
        server.give(dir);
        let made = server
            .command("initdb")
            .args(["--no-sync", "--no-instructions", "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C", "--username", USER, "-D"])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        // Another process may take the port before the server does.
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            server.port = free.local_addr().unwrap().port();
            drop(free);
            if server.run() {
                return server;
            }
        }
        panic!("no postgres starts here: {}", server.log());
    }

    /// Makes and starts a standby of it in `dir`, which repeats what it writes.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn standby(&self, dir: &Path, settings: &[&str]) -> Self {
        let mut standby = Self {
            dir: dir.to_owned(),
            programs: self.programs.clone(),
            user: self.user,
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            port: 0,
            process: None,
        };
        standby.give(dir);
        let data = standby.data();
        let data = data.to_str().unwrap();
        let copy = [
            "-D",
            data,
            "-R",
            "-X",
            "stream",
            "--checkpoint=fast",
            "--no-sync",
        ];
        let copied = self.beside("pg_basebackup", &copy).wait().unwrap();
        assert!(copied.success(), "pg_basebackup: {}", self.log());
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            standby.port = free.local_addr().unwrap().port();
            drop(free);
            if standby.run() {
                return standby;
            }
        }
        panic!("no standby starts here: {}", standby.log());
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], at the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let until = Instant::now() + PATIENCE;
        // Its port may be somebody else's for a moment.
        while !self.run() {
            assert!(
                Instant::now() < until,
                "it does not start again: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it is started and answers now.
    fn run(&mut self) -> bool {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.dir.display()),
            "shared_buffers=32MB".to_owned(),
        ];
        for setting in own.iter().chain(&self.settings) {
            command.arg("-c").arg(setting);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let until = Instant::now() + PATIENCE;
        while process.try_wait().unwrap().is_none() {
            let mut ready = self.command("pg_isready");
            ready.args(["-q", "-h"]).arg(&self.dir);
            ready.arg("-p").arg(self.port.to_string());
            // Asked on the socket, which nobody else has.
            if ready.status().unwrap().success() {
                self.process = Some(process);
                return true;
            }
            assert!(Instant::now() < until, "it does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// What it said of itself.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir("/");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Lets the server have a file or folder.
    ///
    /// # Panics
    /// When it cannot be given away.
    pub fn give(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    /// A program of the package that works beside the server, as a standby would.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn beside(&self, program: &str, words: &[&str]) -> Child {
        self.command(program)
            .arg("-h")
            .arg(&self.dir)
            .args(["-p", &self.port.to_string(), "-U", USER])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.dir.join(program)).unwrap())
            .spawn()
            .unwrap()
    }

    /// Ends all of its processes at once and without a word, as a loss of power would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        let children = children(process.id());
        process.kill().unwrap();
        process.wait().unwrap();
        for child in &children {
            // Most go by themselves when they see that the first one is gone.
            if let Some(child) = rustix::process::Pid::from_raw(*child) {
                let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
            }
        }
        let until = Instant::now() + PATIENCE;
        while children.iter().any(|child| runs(*child)) {
            assert!(Instant::now() < until, "its processes do not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops all of its processes where they are, as a machine that hangs: connections
    /// stay, and nothing is said on them. It goes on with [`Self::thaw`], and is ended by
    /// [`Self::kill`] or with the test.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on where it was.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let main = self.process.as_ref().unwrap().id();
        // The first one goes last, so that it makes no more meanwhile.
        let all = children(main).into_iter();
        for process in all.chain([i32::try_from(main).unwrap()]) {
            if let Some(process) = rustix::process::Pid::from_raw(process) {
                // One that has just ended is still enough.
                let _ = rustix::process::kill_process(process, signal);
            }
        }
    }

    /// Its address and that of one of its databases, over the network.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same by the socket.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.dir.display();
        let port = self.port;
        format!("postgres:///{database}?host={folder}&user={USER}&port={port}")
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn database(&self, name: &str) {
        let make = format!("CREATE DATABASE {name} TEMPLATE template0");
        self.tell("postgres", &make);
    }

    /// Has it carry out a statement; what it says.
    ///
    /// # Panics
    /// When it refuses.
    pub fn tell(&self, database: &str, statement: &str) -> String {
        let output = self
            .command("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER])
            .arg("-h")
            .arg(&self.dir)
            .args(["-p", &self.port.to_string(), "-d", database])
            .args(["-c", statement])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// Where the newest release on this machine has its programs.
fn programs() -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = releases
        .filter_map(|folder| {
            let folder = folder.ok()?;
            let release: u32 = folder.file_name().to_str()?.parse().ok()?;
            Some((release, folder.path().join("bin")))
        })
        .max();
    match newest {
        Some((_, programs)) => programs,
        None => panic!("no PostgreSQL is installed (./x setup installs it)"),
    }
}

fn package_user() -> (u32, u32) {
    let id = |option| {
        let output = Command::new("id").args([option, "postgres"]).output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        said.trim().parse().unwrap()
    };
    (id("-u"), id("-g"))
}

/// The state and the parent of a process (proc(5), `stat`).
fn state(process: &str) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children(of: u32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let child: i32 = name.parse().ok()?;
            (state(&name)?.1 == of).then_some(child)
        })
        .collect()
}

/// Whether it still does anything: what nobody waited for does not.
fn runs(process: i32) -> bool {
    state(&process.to_string()).is_some_and(|(state, _)| state != 'Z')
}
