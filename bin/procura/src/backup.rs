//! `backup`: copies of the installation that can be restored, and of what is new in its
//! record.

use crate::checkpoint;
use crate::context::Context;
use crate::failure::Failure;
use crate::restore::{self, refused};
use crate::restore_opening::With;
use crate::{files, output};
use clap::{Args, Subcommand};
use procura_server::restoring::{BackupFile, look};
use procura_types::wire::BackupKind;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How often the progress is shown.
const SHOW: u128 = 500;

/// Take a backup while the server works
///
/// The file holds everything that is stored, sealed as it is stored: it opens with what
/// opened the vault at the time of the backup, and with nothing else. It appears whole or
/// not at all. Try each with procura backup drill.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  procura backup /backups/monday.procura\n  procura backup /backups/ledger/tuesday.procura --ledger-since /backups/monday.procura\n  procura backup drill /backups/monday.procura\n  procura backup check /backups/monday.procura"
)]
pub(crate) struct Backup {
    #[command(subcommand)]
    command: Option<Command>,
    /// The file to write, which must not exist
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Only what the record has more than this backup or copy, or than all of them in a directory
    #[arg(long, value_name = "FILE|DIR")]
    ledger_since: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look whether a file is whole; needs no passphrase
    #[command(after_help = "Example:\n  procura backup check /backups/monday.procura")]
    Check {
        /// The backup, or the copy of the record
        file: PathBuf,
    },
    Drill(Drill),
}

/// Restore a backup into a place of its own, open all of it, say what is there, and remove it
///
/// Nothing is asked of a server, and no connection is made.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura backup drill /backups/monday.procura\n  procura backup drill /backups/monday.procura --in /var/tmp --passphrase-fd 3 3< passphrase.txt\n  procura backup drill /backups/monday.procura --source hsm --credentials pin --config procura.toml"
)]
struct Drill {
    /// The backup
    file: PathBuf,
    /// Where there is room for it [default: the directory of the backup]
    #[arg(long = "in", value_name = "DIR")]
    place: Option<PathBuf>,
    #[command(flatten)]
    with: With,
}

/// What `backup --json` prints.
#[derive(Serialize)]
struct Taken<'a> {
    file: &'a Path,
    kind: BackupKind,
    installation: String,
    bytes: u64,
    rows: u64,
    entries: u64,
    from: u64,
    until: u64,
    sha256: String,
}

impl<'a> Taken<'a> {
    fn of(file: &'a Path, found: &BackupFile) -> Self {
        Self {
            file,
            kind: found.head.kind,
            installation: found.head.id.to_string(),
            bytes: found.end.bytes,
            rows: found.end.rows,
            entries: found.end.entries,
            from: found.head.from,
            until: found.head.until,
            sha256: hex(&found.end.digest()),
        }
    }

    fn tell(&self, json: bool, what: &str) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let held = match self.kind {
            BackupKind::Full => format!("{} rows and {} entries", self.rows, self.entries),
            BackupKind::Ledger => format!(
                "the entries {} to {} of the record",
                self.from,
                self.until.saturating_sub(1)
            ),
        };
        output::say(format!(
            "{what}: {held} of installation {}, {} bytes, digest {}",
            self.installation, self.bytes, self.sha256
        ));
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Backup {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match (self.command, self.file) {
            (Some(Command::Check { file }), _) => {
                let found = look(&file).map_err(refused)?;
                Taken::of(&file, &found).tell(context.json, "it is whole")
            }
            (Some(Command::Drill(drill)), _) => drill.run(context).await,
            (None, Some(file)) => take(context, &file, self.ledger_since.as_deref()).await,
            (None, None) => Err(Failure::usage("no file was named").next("procura backup FILE")),
        }
    }
}

/// From which entry on the record is new, to whoever has these files.
fn since(earlier: &Path, context: &Context) -> Result<u64, Failure> {
    let known = context.known()?;
    let failed = |error: std::io::Error| {
        Failure::storage(format!("cannot list {}", earlier.display()), &error)
    };
    let mut files = Vec::new();
    if earlier.is_dir() {
        for entry in std::fs::read_dir(earlier).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let partial = path.extension().is_some_and(|end| end == "partial");
            if path.is_file() && !partial {
                files.push(path);
            }
        }
    } else {
        files.push(earlier.to_owned());
    }
    let mut until = 0;
    for path in files {
        let found = look(&path).map_err(refused)?;
        if found.head.id != known.installation {
            return Err(Failure::refused(format!(
                "{} is of installation {}",
                path.display(),
                found.head.id
            ))
            .because(format_args!("this home belongs to {}", known.installation)));
        }
        until = until.max(found.head.until);
    }
    Ok(until)
}

/// A file that is being written beside where it will be.
struct Partial {
    file: File,
    path: PathBuf,
    done: bool,
}

impl Partial {
    fn create(file: &Path) -> Result<Self, Failure> {
        if file.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{} exists already", file.display()))
                .because("a backup replaces none")
                .next("procura backup FILE, with another name"));
        }
        let path = file.with_added_extension("partial");
        // What a backup that was killed left goes; whatever lies there, no link is followed.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(written(&path, &error));
            }
            _ => {}
        }
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        Ok(Self {
            file: opened.map_err(|error| written(&path, &error))?,
            path,
            done: false,
        })
    }

    /// On disk, and under its name.
    fn put(mut self, file: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| written(file, &error);
        self.file.sync_all().map_err(failed)?;
        rename_to_new(&self.path, file).map_err(failed)?;
        self.done = true;
        let folder = file.parent().filter(|parent| *parent != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}

/// Renames without replacing a file that came meanwhile, where the file system can.
fn rename_to_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(from, to),
        other => Ok(other?),
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // What stays is named as what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn written(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::storage(format!("cannot write {}", path.display()), error);
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            failure.next("make room, or procura backup FILE on another disk")
        }
        ErrorKind::NotFound => failure.next("procura backup FILE, in a directory that is there"),
        _ => failure,
    }
}

async fn take(context: &Context, file: &Path, earlier: Option<&Path>) -> Result<(), Failure> {
    let since = earlier.map(|earlier| since(earlier, context)).transpose()?;
    let known = context.known()?;
    let mut partial = Partial::create(file)?;
    let server = context.operator().await?;
    let mut stream = server.backup(since).await?;
    let watched = std::io::stderr().is_terminal();
    let (mut bytes, mut shown) = (0u64, Instant::now());
    while let Some(piece) = stream.next().await? {
        partial
            .file
            .write_all(&piece)
            .map_err(|error| written(&partial.path, &error))?;
        bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if watched && shown.elapsed().as_millis() >= SHOW {
            shown = Instant::now();
            output::say(format!("{} MB", bytes / 1_000_000));
        }
    }
    // What came is not believed before it is found whole.
    let found = look(&partial.path).map_err(|error| {
        Failure::unreachable("the backup broke off")
            .because(error)
            .next("procura backup FILE once more; the server's log says why it broke off")
    })?;
    if found.head.id != known.installation {
        return Err(Failure::refused(
            "the server sent a backup of another installation",
        ));
    }
    if let Some(note) = &found.head.checkpoint {
        // What the backup goes back to is what this home remembers, at least.
        checkpoint::accept(context, &known, &server, note.clone()).await?;
    }
    partial.put(file)?;
    Taken::of(file, &found).tell(context.json, "backed up")
}

/// A directory that goes when the drill is over, however it ends.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            output::say(format!(
                "{} could not be removed: {error}",
                self.0.display()
            ));
        }
    }
}

impl Drill {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let place = match &self.place {
            Some(place) => place.clone(),
            None => {
                let folder = self.file.parent().filter(|parent| *parent != Path::new(""));
                folder.unwrap_or(Path::new(".")).to_owned()
            }
        };
        let name = format!("procura-drill.{}", std::process::id());
        let drill = Temporary(place.join(name));
        files::private_dir(&drill.0)?;
        restore::verified(context, &self.file, &drill.0.join("home"), &self.with).await?;
        drop(drill);
        if !context.json {
            output::say(
                "the drill is over: the backup opens, and what it was restored to is removed",
            );
        }
        Ok(())
    }
}
