//! A TPM: swtpm, at a socket.

use super::place::{Bring, Kind, Place, first, owned, placed, wrapped};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An emulated chip, and its folder.
pub(super) struct Chips {
    dir: PathBuf,
    running: Option<Child>,
}

impl Chips {
    fn socket(&self) -> PathBuf {
        self.dir.join("tpm.sock")
    }

    /// Starts it as a machine that boots: the registers are empty.
    fn boot(&mut self) {
        let state = self.dir.join("state");
        std::fs::create_dir_all(&state).unwrap();
        // A stale one would be connected to.
        let _ = std::fs::remove_file(self.socket());
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", self.socket().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm, of the package swtpm");
        self.running = Some(child);
        let end = Instant::now() + Duration::from_secs(60);
        // It is there before anybody listens at it.
        while UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < end, "swtpm does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn halt(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    fn command(&self, command: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(command).unwrap();
        let mut header = [0; 10];
        stream.read_exact(&mut header).unwrap();
        let length = u32::from_be_bytes(header[2..6].try_into().unwrap());
        let mut rest = vec![0; usize::try_from(length).unwrap() - 10];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(&header[6..10], [0; 4], "{header:?}");
        rest
    }

    /// Something else was started: `TPM2_PCR_Extend` with a digest.
    pub(super) fn extend(&self, register: u8) {
        let mut command = vec![0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, register];
        command.extend([0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0]);
        command.extend([0, 0, 0, 1, 0x00, 0x0B]);
        command.extend([7; 32]);
        assert_eq!(command.len(), 65);
        self.command(&command);
    }

    /// Handles of a range that are in use: `TPM2_GetCapability`.
    fn handles(&self, first: u32) -> u32 {
        let mut command = vec![0x80, 0x01, 0, 0, 0, 22, 0, 0, 0x01, 0x7A, 0, 0, 0, 1];
        command.extend(first.to_be_bytes());
        command.extend([0, 0, 0, 64]);
        let answer = self.command(&command);
        u32::from_be_bytes(answer[5..9].try_into().unwrap())
    }
}

impl Drop for Chips {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Kind for Chips {
    const REFUSED: &'static str = "wrapped_key_refused";
    const GONE: &'static str = "there is no unseal source two";

    fn new(dir: &Path) -> Self {
        let mut kind = Self {
            dir: dir.join("tpm"),
            running: None,
        };
        kind.boot();
        kind
    }

    fn environment(&self) -> Vec<(String, String)> {
        vec![placed(&format!("{{ device = {:?} }}", self.socket()))]
    }

    fn place(&self) -> Option<(String, (&'static str, String))> {
        let evil = self.dir.join("evil.sock");
        let at = format!("device = {:?}", self.socket());
        Some((at, ("device", evil.display().to_string())))
    }

    fn word(&self, _: &str) -> &'static str {
        "tpm"
    }

    fn add(&self, _: &str, _: &str) -> (Vec<String>, Vec<String>) {
        let socket = self.socket();
        let args = owned(&["--tpm", socket.to_str().unwrap(), "--pcrs", "0,7"]);
        (args, Vec::new())
    }

    fn bring(&self, _: &str, name: &str) -> Bring {
        wrapped(name, None)
    }

    fn wrong(&self, _: &str) -> Option<(Bring, &'static str)> {
        None
    }

    fn away(&mut self) -> bool {
        self.halt();
        true
    }

    fn back(&mut self) {
        self.boot();
    }

    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}

#[test]
fn another_start_of_the_machine_is_named_and_nothing_stays_in_the_chip() {
    let dir = tempfile::tempdir().unwrap();
    let mut chip = Chips::new(dir.path());
    let place = Place::new(dir.path(), "home", Vec::new());
    chip.extend(7);
    place.add(&mut chip, "machine");
    let machine = wrapped("machine", None);
    for _ in 0..8 {
        place.test(&machine);
    }
    // Registers that were not named may change.
    chip.extend(4);
    place.test(&machine);
    chip.extend(7);
    let (args, lines) = place.with(&["unseal-source", "test"], &machine);
    let refused = place.run(&args, &lines);
    assert!(
        refused.err.contains("registers 7 are not as they were"),
        "{}",
        refused.err
    );
    place.seal();
    place.not_unsealed(&machine, "pcrs_changed");
    chip.halt();
    chip.boot();
    place.not_unsealed(&machine, "pcrs_changed");
    chip.extend(7);
    place.unseal(&machine);
    // Transient objects and sessions, HMAC ones and those of policies.
    for first in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        assert_eq!(chip.handles(first), 0, "{first:#x}");
    }

    // Another chip opens nothing, and says that it is another.
    chip.halt();
    std::fs::remove_dir_all(chip.dir.join("state")).unwrap();
    chip.boot();
    chip.extend(7);
    place.not_tested(&machine, "another_wrapper");

    // There is no such register.
    let (mut args, lines) = place.with(&["unseal-source", "add", "late"], &first());
    let socket = chip.socket();
    args.extend(owned(&["--tpm", socket.to_str().unwrap(), "--pcrs", "24"]));
    place.refused(&args, &lines, "wrapper_unfit");
}
