//! What remembers which proofs were used at a gate: a journal of its home, or the memory
//! that it shares with other gates and with the server.

use crate::failure::Failure;
use clap::Args;
use procura_edge::private_file::read_private_file;
use procura_proof::Guard;
use procura_store::guard::{
    GuardServer, GuardUrl, JournalGuard, Of, SharedMemory, Sharing, Start, boot_id, journal_files,
};
use procura_types::{Clock, Entropy, InstallationId, Secret};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The replay guard of a gate.
#[derive(Debug, Args)]
pub(crate) struct GateGuard {
    /// A Valkey or Redis server that remembers which proofs were used, redis://host:port or unix:/path: gates of one service that name the same one can run at once [default: the gate's own memory, and one gate at a time]
    #[arg(long, value_name = "URL")]
    guard_url: Option<GuardUrl>,
    /// A file whose first line is the password of that server; nobody else may read it
    #[arg(long, value_name = "FILE", requires = "guard_url")]
    guard_password_file: Option<PathBuf>,
    /// Use that server at an address that is not of this machine, without TLS: whoever is on the way can let proofs be used again, and reads its password
    #[arg(long, requires = "guard_url")]
    danger_plain_guard: bool,
}

impl GateGuard {
    /// The guard of a gate with this home, which was used before or not.
    pub(crate) async fn open(
        &self,
        home: &Path,
        installation: InstallationId,
        start: Start,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Guard, Failure> {
        match self.server()? {
            Some(server) => shared(server, home, installation, clock, entropy).await,
            None => own(home, start, clock.as_ref(), entropy.as_ref()),
        }
    }

    fn server(&self) -> Result<Option<GuardServer>, Failure> {
        let Some(url) = self.guard_url.clone() else {
            return Ok(None);
        };
        if !url.is_local() && !self.danger_plain_guard {
            return Err(Failure::usage(format!(
                "what is said to {url} is not encrypted, and it is not an address of this machine"
            ))
            .next("an address where a tunnel begins (stunnel, ssh -L), or --danger-plain-guard"));
        }
        let password = match &self.guard_password_file {
            Some(path) => Some(password(path)?),
            None => None,
        };
        Ok(Some(GuardServer { url, password }))
    }
}

fn password(path: &Path) -> Result<Secret<String>, Failure> {
    let bytes = read_private_file(path, rustix::process::getuid().as_raw()).map_err(|error| {
        Failure::config("cannot use the password of the shared guard").because(error)
    })?;
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| Failure::config(format!("{} is not UTF-8", path.display())))?;
    Ok(Secret::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// The memory that is shared. A gate that could not use anything up would let nobody in,
/// so it does not begin before it is there.
async fn shared(
    server: GuardServer,
    home: &Path,
    installation: InstallationId,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Guard, Failure> {
    let unfit = |error| Failure::config("cannot use the shared guard").because(error);
    SharedMemory::check(&server).await.map_err(unfit)?;
    let sharing = Sharing {
        server,
        installation,
        // Others may have used proofs up before this gate was made.
        first: false,
        retires: journal_files(home, Of::Native).into(),
    };
    let memory = SharedMemory::start(sharing, Arc::clone(clock), Arc::clone(entropy));
    let memory = memory.map_err(unfit)?;
    memory.settled().await.map_err(unfit)?;
    Ok(memory.guard(Of::Native, Of::Native.limits()))
}

fn own(
    home: &Path,
    start: Start,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Guard, Failure> {
    let of = Of::Native;
    let guard = JournalGuard::open(
        home,
        of,
        &boot_id(),
        start,
        of.limits(),
        clock.now(),
        entropy,
    )
    .map_err(|error| Failure::storage("cannot use the journal of used proofs", &error))?;
    if let Some(until) = guard.refuse_until() {
        tracing::warn!(%until, "proofs made before are refused: what was used before is not known");
    }
    Ok(Guard::from(Arc::new(guard)))
}
