//! The socket's place in the file system.

use crate::DaemonError;
use crate::socket::packet;
use rustix::fs::{Gid, Mode, chmod, chown};
use rustix::net::{SocketAddrUnix, SocketFlags, bind, connect, listen};
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

const BACKLOG: i32 = 128;

/// Where to listen, and for whom.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// The socket's path.
    pub path: PathBuf,
    /// A group whose members may connect: the socket is 0660 and its directory
    /// 0750, instead of 0600 and 0700.
    pub group: Option<u32>,
}

/// The listening socket; its file goes with it.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

impl Listener {
    /// Makes the socket. One that a daemon left behind is replaced; one that
    /// somebody answers on is not. Call this within the runtime, with a umask
    /// that keeps others out.
    ///
    /// # Errors
    /// [`DaemonError::Config`] when another daemon answers there, or others
    /// could replace the socket; [`DaemonError::Io`] when it cannot be made.
    pub fn bind(options: &SocketOptions) -> Result<Self, DaemonError> {
        let path = &options.path;
        let failed =
            |source: io::Error| DaemonError::io(format!("listen on {}", path.display()), source);
        prepare_dir(path, options.group)?;
        remove_stale(path)?;
        let socket = packet::new_socket(SocketFlags::NONBLOCK).map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
        bind(&socket, &address).map_err(|error| failed(error.into()))?;
        let mode = match options.group {
            Some(group) => {
                chown(path, None, Some(Gid::from_raw(group))).map_err(|error| {
                    DaemonError::Config(format!(
                        "cannot give {} to group {group}: {error}; procurad's user must be a member of it",
                        path.display()
                    ))
                })?;
                0o660
            }
            None => 0o600,
        };
        chmod(path, Mode::from_raw_mode(mode)).map_err(|error| failed(error.into()))?;
        listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
        let made = std::fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            // Only the type's name says stream; the sockets keep packets.
            socket: UnixListener::from_std(socket.into()).map_err(failed)?,
            path: path.clone(),
            file: identity(&made),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection.
    ///
    /// # Errors
    /// What accept(2) says; the listener stays usable.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let (connection, _) = self.socket.accept().await?;
        packet::allow_large(&connection);
        Ok(connection)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Not one that has taken this one's place.
        let ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.file);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn prepare_dir(socket: &Path, group: Option<u32>) -> Result<(), DaemonError> {
    let dir = socket.parent().unwrap_or(Path::new("/"));
    let failed = |source: io::Error| DaemonError::io(format!("make {}", dir.display()), source);
    let mode = if group.is_some() { 0o750 } else { 0o700 };
    if !dir.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(dir)
            .map_err(failed)?;
        if let Some(group) = group {
            chown(dir, None, Some(Gid::from_raw(group))).map_err(|error| failed(error.into()))?;
            chmod(dir, Mode::from_raw_mode(mode)).map_err(|error| failed(error.into()))?;
        }
    }
    let found = std::fs::metadata(dir).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    let writable_by_others = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
    if (found.uid() != me && found.uid() != 0) || writable_by_others {
        return Err(DaemonError::Config(format!(
            "others could replace the socket in {}; choose a directory that only procurad's user can write, with --socket",
            dir.display()
        )));
    }
    Ok(())
}

fn remove_stale(path: &Path) -> Result<(), DaemonError> {
    let failed = |source: io::Error| {
        DaemonError::io(format!("replace the old socket {}", path.display()), source)
    };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(DaemonError::Config(format!(
            "{} is there and is no socket; remove it, or choose another with --socket",
            path.display()
        )));
    }
    let probe = packet::new_socket(SocketFlags::NONBLOCK).map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
    match connect(&probe, &address) {
        Err(rustix::io::Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed),
        // A full backlog (EAGAIN) and another type (EPROTOTYPE) are somebody too.
        Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::PROTOTYPE) => {
            Err(DaemonError::Config(format!(
                "another daemon answers on {}; stop it, or choose another place with --socket",
                path.display()
            )))
        }
        Err(error) => Err(failed(error.into())),
    }
}
