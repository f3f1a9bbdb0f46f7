//! A daemon on a host of its own: its home, its socket, its agents' commands.

use crate::Outcome;
use crate::process::{Background, program};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running `procurad`, with what its host's users type.
pub struct Daemon {
    folder: PathBuf,
    process: Option<Background>,
}

impl Daemon {
    /// Starts a daemon whose home is `name` in `folder`.
    #[must_use]
    pub fn start(folder: &Path, name: &str) -> Self {
        let mut daemon = Self {
            folder: folder.join(name),
            process: None,
        };
        std::fs::create_dir(&daemon.folder).unwrap();
        daemon.start_again();
        daemon
    }

    /// Starts it again after [`Daemon::kill`].
    pub fn start_again(&mut self) {
        self.start_again_under(&[]);
    }

    /// As [`Daemon::start_again`], under another program that becomes it.
    pub fn start_again_under(&mut self, wrapper: &[&str]) {
        self.start_again_with(&[], wrapper);
    }

    /// As [`Daemon::start_again_under`], with options.
    pub fn start_again_with(&mut self, options: &[&str], wrapper: &[&str]) {
        let daemon = program("procurad");
        let mut words = wrapper.to_vec();
        words.push(daemon.to_str().unwrap());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.args(["--home", self.home().to_str().unwrap()]);
        command.args(["--socket", self.socket().to_str().unwrap()]);
        command.args(options);
        self.process = Some(Background::start(
            &mut command,
            self.folder.join("daemon.log"),
        ));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("the daemon runs").kill();
    }

    /// SIGABRT; how it ended.
    pub fn abort(&mut self) -> ExitStatus {
        self.process.take().expect("the daemon runs").abort()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the daemon runs").child.id()
    }

    /// Its home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// What it said on stderr so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("daemon.log")).unwrap()
    }

    /// `procura …`, typed by a user of this host.
    #[must_use]
    pub fn procura(&self, arguments: &[&str]) -> Command {
        // What runs in the background of a script ignores SIGINT, and its children do.
        let mut command = Command::new("/usr/bin/env");
        command
            .arg("--default-signal=INT")
            .arg(program("procura"))
            .args(arguments)
            .env("PROCURA_HOME", self.home())
            .env("PROCURA_SOCKET", self.socket());
        command.env_remove("PROCURA_SERVER").stdin(Stdio::null());
        command
    }

    /// Joins with a link code, at the server that it names.
    #[must_use = "check how it ended"]
    pub fn join(&self, code: &str) -> Outcome {
        self.procura(&["join", code]).output().unwrap().into()
    }

    /// Joins with a link code, at another server than it names.
    #[must_use = "check how it ended"]
    pub fn join_at(&self, code: &str, url: &str) -> Outcome {
        self.procura(&["--server", url, "join", code])
            .output()
            .unwrap()
            .into()
    }

    /// The arguments of `procura run` for `project`, asking for `names` (for the
    /// whole mapping without any), up to and with the command.
    #[must_use]
    pub fn run_arguments(&self, project: &str, names: &[&str], command: &[&str]) -> Vec<String> {
        let mut words = vec!["run".to_owned(), "--project".to_owned(), project.to_owned()];
        if !names.is_empty() {
            let file = self.folder.join(format!("{}.env", names.join("+")));
            let lines: Vec<_> = names.iter().map(|name| format!("{name}=\n")).collect();
            std::fs::write(&file, lines.concat()).unwrap();
            words.extend(["--env-file".to_owned(), file.to_str().unwrap().to_owned()]);
        }
        words.push("--".to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
        words
    }

    fn run_command(&self, cwd: &Path, project: &str, names: &[&str], command: &[&str]) -> Command {
        let words = self.run_arguments(project, names, command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.procura(&words);
        command.current_dir(cwd);
        command
    }

    /// Runs a command for a project and waits.
    #[must_use = "check how it ended"]
    pub fn run_for(&self, cwd: &Path, project: &str, names: &[&str], command: &[&str]) -> Outcome {
        self.run_command(cwd, project, names, command)
            .output()
            .unwrap()
            .into()
    }

    /// Runs a command for a project in the background.
    #[must_use]
    pub fn spawn_for(&self, cwd: &Path, project: &str, names: &[&str], command: &[&str]) -> Child {
        self.run_command(cwd, project, names, command)
            .spawn()
            .unwrap()
    }
}
