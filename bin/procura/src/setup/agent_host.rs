//! `setup agent-host`: the daemon under a user of its own, with a group that opens its
//! socket, so that no agent reads a device key.

use super::source;
use super::step::{Content, Step};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use clap::Args;
use procura_daemon::Accounts;
use rustix::process::geteuid;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The daemon's user. The server's is `procura`, with a group of that name, which agents
/// have no part in: so theirs is called otherwise.
const USER: &str = "procurad";
pub(crate) const GROUP: &str = "procura-agents";
const SERVICE: &str = "procurad.service";
/// The unit that is installed, as it stands in the repository.
pub(crate) const UNIT: &str = include_str!("../../../../deploy/systemd/procurad.service");
const PROGRAMS: [&str; 2] = ["procura", "procurad"];
const SYSUSERS: &str = "/usr/bin/systemd-sysusers";
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Install the daemon on this host of agents, under a user of its own
///
/// Makes the user procurad and the group procura-agents, puts procura and procurad into
/// /usr/bin, the daemon's directory and its systemd unit into their places, and starts it.
/// What is there already as it should be is left; typed again it changes nothing. Each
/// user whose agents are served has to be in the group: --user adds one.
/// Nothing is installed from a directory that others than root and you can write.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sudo procura setup agent-host --user \"$USER\"\n  procura setup agent-host --dry-run\n  procura setup agent-host --root /mnt/image"
)]
pub(crate) struct AgentHost {
    /// A user of this host whose agents are served; may be given again
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Print each step, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Set up what is below this directory, such as the image of a machine; nothing is started
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Who became root for this
    #[arg(long, hide = true, env = "SUDO_UID", hide_env = true)]
    invoker: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    ToDo,
    Done,
    WasDone,
}

#[derive(Debug, Serialize)]
struct Report {
    command: String,
    state: State,
}

impl AgentHost {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let is_root = geteuid().is_root();
        if !is_root && !self.dry_run && self.root.is_none() {
            let users: String = self
                .user
                .iter()
                .map(|user| format!(" --user {user}"))
                .collect();
            return Err(
                Failure::refused("only root can make users and install services")
                    .next(format!("sudo procura setup agent-host{users}")),
            );
        }
        let host = Host::find(self.root.as_deref(), &self.user)?;
        let own = geteuid().as_raw();
        let owners: Vec<u32> = [own]
            .into_iter()
            .chain(self.invoker.filter(|_| is_root))
            .collect();
        for name in PROGRAMS {
            source::check(&host.programs.join(name), &owners)?;
        }
        let mut reports = Vec::new();
        let mut changed = false;
        for part in Part::ALL {
            // Each after what is before it: whom the directory is given to is known
            // once the user was made.
            for step in host.steps(part, changed)? {
                host.holds(&step)?;
                let done = step.is_done(is_root)?;
                changed |= !done && part.is_the_programs();
                let state = match (done, self.dry_run) {
                    (true, _) => State::WasDone,
                    (false, true) => State::ToDo,
                    (false, false) => {
                        step.perform(is_root)?;
                        State::Done
                    }
                };
                let report = Report {
                    command: step.command(),
                    state,
                };
                if !context.json {
                    say(&report)?;
                }
                reports.push(report);
            }
        }
        if context.json {
            return output::json(&serde_json::json!({ "steps": reports }));
        }
        if !self.dry_run {
            if !is_root {
                output::say(
                    "all of it belongs to you: only root can give it to root and procurad. systemd gives the directory to the daemon when it starts it",
                );
            }
            output::say(format!(
                "next: {}each user of group {GROUP}, after their next sign-in: procura join; then procura doctor",
                if host.is_running {
                    ""
                } else {
                    "start the host; then "
                }
            ));
        }
        Ok(())
    }
}

fn say(report: &Report) -> Result<(), Failure> {
    let word = match report.state {
        State::ToDo => "to do",
        State::Done => "done",
        State::WasDone => "there already",
    };
    output::line(format!("{word}: {}", report.command))
}

/// The parts of the set-up, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Accounts,
    Programs,
    Directory,
    Unit,
    Service,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Accounts,
        Self::Programs,
        Self::Directory,
        Self::Unit,
        Self::Service,
    ];

    /// Whether a daemon that runs has to be started anew when this changed.
    const fn is_the_programs(self) -> bool {
        matches!(self, Self::Programs | Self::Unit)
    }
}

/// The host that is set up.
struct Host {
    root: PathBuf,
    users: Vec<String>,
    /// The directory of this program, where procurad is as well.
    programs: PathBuf,
    /// It is this machine, and systemd runs it.
    is_running: bool,
}

impl Host {
    fn find(root: Option<&Path>, users: &[String]) -> Result<Self, Failure> {
        let this = std::env::current_exe()
            .map_err(|error| Failure::storage("cannot find this program", &error))?;
        let programs = this.parent().unwrap_or(Path::new("/usr/bin")).to_owned();
        for (program, of) in [(SYSUSERS, "the user"), (SYSTEMCTL, "the service")] {
            if !Path::new(program).is_file() {
                return Err(Failure::config(format!(
                    "there is no {program}, which makes {of}: this host has no systemd"
                ))
                .next("docs/runbooks/install.md says what to make by hand"));
            }
        }
        let base = root.unwrap_or(Path::new("/"));
        let base = std::path::absolute(base)
            .map_err(|error| Failure::storage("cannot find the directory", &error))?;
        if !base.is_dir() {
            return Err(Failure::usage(format!(
                "{} is no directory",
                base.display()
            )));
        }
        let accounts = Accounts::of(&base)?;
        for user in users {
            // systemd-sysusers would make one.
            if accounts.user(user).is_none() {
                return Err(Failure::usage(format!(
                    "there is no user {user} in {}",
                    base.join("etc/passwd").display()
                ))
                .next(format!(
                    "one of a directory service is added by hand: usermod -a -G {GROUP} NAME"
                )));
            }
        }
        Ok(Self {
            is_running: root.is_none() && Path::new("/run/systemd/system").is_dir(),
            root: base,
            users: users.to_vec(),
            programs,
        })
    }

    fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Refuses what a link in the image would lead out of it: written by root, it would
    /// be this machine's.
    fn holds(&self, step: &Step) -> Result<(), Failure> {
        let (Some(path), false) = (step.path(), self.is_this_machine()) else {
            return Ok(());
        };
        let real = |path: &Path| path.canonicalize().ok();
        let above = path.ancestors().skip(1).find_map(real);
        let root = real(&self.root);
        match (above, root) {
            (Some(above), Some(root)) if above.starts_with(&root) => Ok(()),
            _ => Err(Failure::config(format!(
                "a symbolic link leads {} out of {}",
                path.display(),
                self.root.display()
            ))
            .next("look at that directory; set up an image that is its own")),
        }
    }

    /// A command of systemd for this host.
    fn systemd(&self, program: &str, arguments: &[&str]) -> Vec<String> {
        let root = (!self.is_this_machine()).then(|| format!("--root={}", self.root.display()));
        let arguments = arguments.iter().map(|&word| word.to_owned());
        [program.to_owned()]
            .into_iter()
            .chain(root)
            .chain(arguments)
            .collect()
    }

    fn steps(&self, part: Part, changed: bool) -> Result<Vec<Step>, Failure> {
        let accounts = Accounts::of(&self.root)?;
        Ok(match part {
            Part::Accounts => vec![self.accounts(&accounts)],
            Part::Programs => PROGRAMS
                .map(|name| Step::File {
                    path: self.at("usr/bin").join(name),
                    content: Content::CopyOf(self.programs.join(name)),
                    mode: 0o755,
                })
                .into(),
            Part::Directory => vec![Step::Directory {
                path: self.at("var/lib/procurad"),
                owner: USER,
                ids: accounts
                    .user(USER)
                    .zip(accounts.group(USER).map(|group| group.id)),
                mode: 0o700,
            }],
            Part::Unit => vec![Step::File {
                path: self.at("etc/systemd/system").join(SERVICE),
                content: Content::Text(UNIT),
                mode: 0o644,
            }],
            Part::Service => self.service(changed),
        })
    }

    fn accounts(&self, accounts: &Accounts) -> Step {
        let mut lines = vec![
            format!("u {USER} - \"Procura daemon\" /var/lib/procurad"),
            format!("g {GROUP} -"),
            format!("m {USER} {GROUP}"),
        ];
        lines.extend(self.users.iter().map(|user| format!("m {user} {GROUP}")));
        let members = accounts.group(GROUP).map(|group| group.members);
        let is_member = |name: &str| {
            members
                .as_ref()
                .is_some_and(|members| members.iter().any(|member| member == name))
        };
        let done = accounts.user(USER).is_some()
            && is_member(USER)
            && self.users.iter().all(|user| is_member(user));
        let mut words = self.systemd(SYSUSERS, &["--inline"]);
        words.extend(lines);
        Step::Run { words, done }
    }

    fn service(&self, changed: bool) -> Vec<Step> {
        let wanted = self
            .at("etc/systemd/system/multi-user.target.wants")
            .join(SERVICE);
        let enable = Step::Run {
            words: self.systemd(SYSTEMCTL, &["--quiet", "enable", SERVICE]),
            done: wanted.symlink_metadata().is_ok(),
        };
        if !self.is_running {
            return vec![enable];
        }
        let active = Command::new(SYSTEMCTL)
            .args(["--quiet", "is-active", SERVICE])
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        vec![
            Step::Run {
                words: self.systemd(SYSTEMCTL, &["daemon-reload"]),
                done: !changed && active,
            },
            enable,
            Step::Run {
                words: self.systemd(SYSTEMCTL, &["restart", SERVICE]),
                done: !changed && active,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_serves_the_group_as_the_user() {
        for line in [
            &format!("User={USER}"),
            &format!("SupplementaryGroups={GROUP}"),
            "StateDirectory=procurad",
            "StateDirectoryMode=0700",
            &format!(
                "ExecStart=/usr/bin/procurad --home /var/lib/procurad --socket /run/procura/agent.sock --group {GROUP}"
            ),
        ] {
            assert!(UNIT.lines().any(|there| there == line), "{line}");
        }
    }
}
