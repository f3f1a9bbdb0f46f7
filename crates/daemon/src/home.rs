//! Where the daemon's files and its socket are.

use crate::DaemonError;
use std::path::{Path, PathBuf};

/// The largest path that fits `sockaddr_un`, in bytes (unix(7)).
const SOCKET_PATH_LIMIT: usize = 107;

/// What the command line and the environment say about places. The programs
/// read both and pass them down.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `--home DIR`, or `PROCURA_HOME`.
    pub home: Option<PathBuf>,
    /// `--socket PATH`.
    pub socket: Option<PathBuf>,
    /// `HOME` of the environment.
    pub user_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR` of the environment.
    pub runtime_dir: Option<PathBuf>,
}

impl Places {
    /// The directory of devices: `<home>/daemon`, where home is what was said,
    /// or `~/.procura`.
    ///
    /// # Errors
    /// [`DaemonError::Config`] when nothing was said and there is no `HOME`.
    pub fn daemon_dir(&self) -> Result<PathBuf, DaemonError> {
        let home = match (&self.home, &self.user_home) {
            (Some(home), _) => home.clone(),
            (None, Some(user)) => user.join(".procura"),
            (None, None) => {
                return Err(DaemonError::Config(
                    "no home directory is known; give --home DIR or set PROCURA_HOME".to_owned(),
                ));
            }
        };
        Ok(home.join("daemon"))
    }

    /// Where the daemon listens: what was said, else
    /// `$XDG_RUNTIME_DIR/procura/agent.sock`, else `/run/procura/agent.sock`
    /// when that directory is there and writable, else
    /// `<home>/daemon/agent.sock`.
    ///
    /// # Errors
    /// [`DaemonError::Config`] when no place is known or its path is too long
    /// for a socket.
    pub fn listen_socket(&self) -> Result<PathBuf, DaemonError> {
        let path = match (&self.socket, &self.runtime_dir) {
            (Some(socket), _) => socket.clone(),
            (None, Some(dir)) => runtime_socket(dir),
            (None, None) if is_writable(Path::new(INSTALLED_DIR)) => installed_socket(),
            (None, None) => self.daemon_dir()?.join("agent.sock"),
        };
        checked(path)
    }

    /// What a command that shares the daemon's user has no part in: the directory of
    /// devices; an operator's key in the same home, with which it could say yes to
    /// itself; and the directory of each place where a daemon is looked for, also of
    /// those that are not used, because whoever could put a socket there would be taken
    /// for the daemon. These hold nothing else. `socket`, which was perhaps said, counts
    /// if its directory is called like them.
    ///
    /// # Errors
    /// As [`Places::daemon_dir`].
    pub fn hidden(&self, socket: &Path) -> Result<Vec<PathBuf>, DaemonError> {
        let devices = self.daemon_dir()?;
        let operator = devices.with_file_name("operator");
        let runtime = self.runtime_dir.as_ref().map(|dir| dir.join("procura"));
        let of_socket = socket
            .parent()
            .filter(|directory| directory.file_name().is_some_and(|name| name == "procura"));
        let mut hidden = Vec::new();
        for place in [devices, operator, PathBuf::from(INSTALLED_DIR)]
            .into_iter()
            .chain(runtime)
            .chain(of_socket.map(Path::to_owned))
        {
            let place = std::path::absolute(&place).map_err(|source| {
                DaemonError::io(format!("make {} absolute", place.display()), source)
            })?;
            if !hidden.contains(&place) {
                hidden.push(place);
            }
        }
        Ok(hidden)
    }

    /// Where a client finds the daemon: what was said, else the first of the
    /// default places that exists.
    ///
    /// # Errors
    /// As [`Places::listen_socket`].
    pub fn connect_socket(&self) -> Result<PathBuf, DaemonError> {
        if let Some(socket) = &self.socket {
            return checked(socket.clone());
        }
        let own = self.daemon_dir().map(|dir| dir.join("agent.sock"));
        let candidates = [
            self.runtime_dir.as_deref().map(runtime_socket),
            Some(installed_socket()),
            own.as_ref().ok().cloned(),
        ];
        match candidates.into_iter().flatten().find(|path| path.exists()) {
            Some(found) => checked(found),
            None => self.listen_socket(),
        }
    }
}

const INSTALLED_DIR: &str = "/run/procura";

fn installed_socket() -> PathBuf {
    Path::new(INSTALLED_DIR).join("agent.sock")
}

fn runtime_socket(dir: &Path) -> PathBuf {
    dir.join("procura").join("agent.sock")
}

fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok() && dir.is_dir()
}

fn checked(path: PathBuf) -> Result<PathBuf, DaemonError> {
    if path.as_os_str().len() > SOCKET_PATH_LIMIT {
        return Err(DaemonError::Config(format!(
            "{} is longer than the {SOCKET_PATH_LIMIT} bytes of a socket's path; give a shorter one with --socket",
            path.display()
        )));
    }
    // `procura run` changes no directory, but the daemon and its clients are
    // started in different ones.
    std::path::absolute(&path)
        .map_err(|source| DaemonError::io(format!("make {} absolute", path.display()), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_is_known_counts() {
        let said = |home: &str, socket: &str, user: &str, runtime: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
            Places {
                home: some(home),
                socket: some(socket),
                user_home: some(user),
                runtime_dir: some(runtime),
            }
        };
        for (places, dir, socket) in [
            (said("/h", "/s", "/u", "/r"), "/h/daemon", "/s"),
            (
                said("/h", "", "/u", "/r"),
                "/h/daemon",
                "/r/procura/agent.sock",
            ),
            (said("", "/s", "/u", ""), "/u/.procura/daemon", "/s"),
        ] {
            assert_eq!(places.daemon_dir().unwrap(), Path::new(dir));
            assert_eq!(places.listen_socket().unwrap(), Path::new(socket));
        }
        // Every place where a daemon is looked for, whichever it uses.
        for (runtime, socket, more) in [
            ("", "/r/procura/agent.sock", Some("/r/procura")),
            ("/r", "/r/procura/agent.sock", Some("/r/procura")),
            ("/r", "/h/daemon/agent.sock", Some("/r/procura")),
            ("/r", "/tmp/agent.sock", Some("/r/procura")),
            ("", "/h/daemon/agent.sock", None),
            ("", "/run/procura/agent.sock", None),
            ("", "/tmp/agent.sock", None),
        ] {
            let always = ["/h/daemon", "/h/operator", "/run/procura"];
            let hidden: Vec<PathBuf> = always.into_iter().chain(more).map(PathBuf::from).collect();
            let found = said("/h", "", "/u", runtime).hidden(Path::new(socket));
            assert_eq!(found.unwrap(), hidden, "{runtime} {socket}");
        }
        let nothing = Places::default().daemon_dir().unwrap_err();
        assert_eq!(nothing.exit(), procura_types::exit::CONFIG);
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        let places = Places {
            socket: Some(PathBuf::from(format!("/{}", "a".repeat(107)))),
            ..Places::default()
        };
        let error = places.listen_socket().unwrap_err();
        assert_eq!(error.exit(), procura_types::exit::CONFIG);
        assert!(error.to_string().contains("107 bytes"));
    }
}
