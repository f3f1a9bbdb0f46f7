//! What can be said of a process from outside. Advisory: none of it decides
//! anything, and a process of the same user can lie about some of it.

use crate::{Peer, executable};
use procura_types::wire::CallerReport;
use std::path::PathBuf;

use crate::socket::ExecAsk;

const CWD_LIMIT: usize = 4096;

/// Puts together what the process says of itself and what the kernel lets us
/// see of it. The stub says which program it becomes; of a process that does not,
/// the one that it is is looked at, where we may: `/proc/PID/exe` of one that is
/// not dumpable is for root.
pub(crate) async fn report(peer: &Peer, ask: &ExecAsk, same_uid: bool) -> CallerReport {
    let pid = peer.pid().as_raw_pid();
    let exe_sha256 = match &ask.exe_sha256 {
        Some(said) => Some(said.clone()).filter(|hash| is_hex(hash, &[64])),
        None => {
            let exe = PathBuf::from(format!("/proc/{pid}/exe"));
            let hash = tokio::task::spawn_blocking(move || executable::sha256(&exe)).await;
            hash.ok().flatten()
        }
    };
    CallerReport {
        pid: u32::try_from(pid).ok(),
        exe_sha256,
        argv_sha256: Some(ask.argv_sha256.clone()).filter(|hash| is_hex(hash, &[64])),
        cwd: ask
            .cwd
            .clone()
            .filter(|cwd| cwd.len() <= CWD_LIMIT && !cwd.contains(char::is_control)),
        git: ask.git.clone().filter(|commit| is_hex(commit, &[40, 64])),
        host: kernel_word("/proc/sys/kernel/hostname"),
        os: kernel_word("/proc/sys/kernel/ostype")
            .zip(kernel_word("/proc/sys/kernel/osrelease"))
            .map(|(name, release)| format!("{name} {release}")),
        traced: tracer(pid).map(|tracer| tracer != 0),
        danger_same_uid: Some(same_uid),
    }
}

/// `TracerPid` of proc(5): 0 when nobody traces it.
fn tracer(pid: i32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))?
        .trim()
        .parse()
        .ok()
}

fn kernel_word(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let word = text.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

fn is_hex(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
