//! A backup of a large store, alone and beside reads, each of which is a durable write of
//! the record.

use crate::Outcome;
use crate::installation::PASSPHRASE;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

/// A backup on its way to a file.
pub(crate) struct Taking(JoinHandle<Result<f64, String>>);

impl Taking {
    /// Begins. `procura` is the command line as the owner, who unlocks their key first.
    pub(crate) fn begin(mut procura: Command, folder: &Path, name: &str) -> Self {
        let file = folder.join(name);
        Self(std::thread::spawn(move || {
            run(&mut procura, &file).map_err(|error| error.to_string())
        }))
    }

    /// How many MB/s it came to, from its first byte to when it is on disk under its name.
    pub(crate) fn end(self) -> Outcome<f64> {
        let taken = self.0.join().map_err(|_| "the backup's thread died")?;
        Ok(taken?)
    }
}

fn run(procura: &mut Command, file: &Path) -> Outcome<f64> {
    let mut partial = PathBuf::from(file).into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut child = procura
        .args(["--passphrase-fd", "0", "backup"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no pipe to the program")?;
    writeln!(stdin, "{PASSPHRASE}")?;
    drop(stdin);
    // Until the first bytes it derives a key and starts a session.
    let mut began = None;
    let status = loop {
        if began.is_none() && partial.metadata().is_ok_and(|found| found.len() > 0) {
            began = Some(Instant::now());
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    if !status.success() {
        return Err(format!("procura backup: {status}").into());
    }
    let seconds = began.ok_or("the backup was not seen")?.elapsed();
    let bytes = u32::try_from(file.metadata()?.len() / 1024)?;
    std::fs::remove_file(file)?;
    Ok(f64::from(bytes) * 1024.0 / 1e6 / seconds.as_secs_f64())
}
