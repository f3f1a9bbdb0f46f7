//! Daemons attest which program they are: by themselves, by a signed release, and with the
//! TPM of their host. Programs as built, and a TPM by swtpm.

use crate::scene::{CANARY, PATIENCE, Scene};
use procura_acceptance::{Outcome, program, until};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The attestations of the namespace, newest first.
fn attestations(scene: &Scene) -> Vec<Value> {
    let words = ["-n", "shop", "--json", "device", "attestations"];
    let list = scene.server.cli(&words).ok().json();
    list["attestations"].as_array().unwrap().clone()
}

/// Waits for one that counts and has this grade; its id.
fn attested(scene: &Scene, grade: &str, but: &[String]) -> String {
    until(grade, PATIENCE, || {
        attestations(scene).into_iter().find_map(|found| {
            let id = found["id"].as_str().unwrap().to_owned();
            let fits = found["state"] == "live" && found["grade"] == grade && !but.contains(&id);
            fits.then_some(id)
        })
    })
}

fn require(scene: &Scene, grade: &str) {
    scene.set_orders(&["--require-grade", grade]);
}

/// A run that hands the value over.
fn handed(scene: &Scene) {
    let shown = scene.run(&["API_KEY"], &["sh", "-c", "printf %s \"$API_KEY\""]);
    assert_eq!(shown.ok().stdout, CANARY.as_bytes());
}

/// A run that hands nothing over, for the lack of an attestation.
fn refused(scene: &Scene) -> Outcome {
    let refused = scene.run(&["API_KEY"], &["sh", "-c", "echo started"]);
    let refused = refused.code(77);
    assert_eq!(refused.text(), "", "the command must not have started");
    refused.says("attestation")
}

/// What the daemon says of its own attestation.
fn own_words(scene: &Scene) -> Value {
    let list = scene
        .daemon
        .procura(&["--json", "device", "list", "--here"]);
    let list: Outcome = { list }.output().unwrap().into();
    list.ok().json()["devices"][0]["attested"].clone()
}

/// A release key made by `ssh-keygen`, and the daemon as its release; the digest of it.
fn release(scene: &Scene) -> String {
    let folder = scene.server.folder();
    let key = folder.join("release");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(made.success());
    let sum = Command::new("sha256sum")
        .arg(program("procurad"))
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let digest = sum.split(' ').next().unwrap().to_owned();
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let line = format!("{digest} {} {arch}-{os}\n", env!("CARGO_PKG_VERSION"));
    let list = folder.join("programs");
    std::fs::write(&list, line).unwrap();
    let (list, key) = (list.to_str().unwrap(), key.to_str().unwrap());
    let sign = [
        "release",
        "sign",
        list,
        "--key",
        key,
        "--name",
        "release.example.com",
    ];
    let signed = scene.server.cli(&sign).ok();
    let vkey = signed
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("verifier key: "))
        .unwrap()
        .to_owned();
    let note = folder.join("release.txt");
    std::fs::write(&note, &signed.stdout).unwrap();
    let note = note.to_str().unwrap();
    // Nobody is believed who was not enrolled.
    let _ = scene.server.cli(&["release", "add", note]).code(77);
    scene.server.cli(&["release-key", "add", &vkey]).ok();
    scene.server.cli(&["release", "add", note]).ok();
    digest
}

#[test]
fn a_daemon_attests_by_itself_and_a_better_grade_takes_a_signed_release() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let first = attested(&scene, "self-reported", &[]);
    require(&scene, "self-reported");
    handed(&scene);
    require(&scene, "signed-release");
    let _ = refused(&scene).says("procura release add");
    let digest = release(&scene);
    // The run that needs it has the daemon attest anew, and goes on.
    handed(&scene);
    assert_eq!(
        attested(&scene, "signed-release", &[]),
        first,
        "one process"
    );
    assert_eq!(own_words(&scene)["grade"], "signed-release");

    // Either may be killed at any time.
    scene.daemon.kill();
    scene.daemon.start_again();
    handed(&scene);
    let second = attested(&scene, "signed-release", std::slice::from_ref(&first));
    scene.server.kill();
    scene.server.start_again();
    scene.server.unseal().ok();
    handed(&scene);
    let known: Vec<Value> = attestations(&scene);
    assert_eq!(known.len(), 2, "{known:?}");

    // One process is revoked, and the next one is not.
    let revoke = ["-n", "shop", "device", "attestations", "revoke", &second];
    scene.server.cli(&revoke).ok();
    let _ = refused(&scene);
    let problem = own_words(&scene)["problem"].to_string();
    assert!(problem.contains("revoked"), "{problem}");
    scene.daemon.kill();
    scene.daemon.start_again();
    handed(&scene);

    // The release is withdrawn, and stops all of them at once.
    scene.server.cli(&["release", "withdraw", &digest]).ok();
    let _ = refused(&scene);
    require(&scene, "none");
    handed(&scene);
}

/// An emulated TPM.
pub(crate) struct Chip {
    dir: PathBuf,
    child: Child,
}

impl Chip {
    pub(crate) fn boot(folder: &Path) -> Self {
        let dir = folder.join("tpm");
        std::fs::create_dir_all(dir.join("state")).unwrap();
        let socket = dir.join("tpm.sock");
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", dir.join("state").display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm, of the package swtpm");
        let end = Instant::now() + Duration::from_secs(60);
        // It is there before anybody listens at it.
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "swtpm does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { dir, child }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("tpm.sock")
    }

    /// Something else was started: `TPM2_PCR_Extend` with a digest.
    fn extend(&self, register: u8) {
        let mut command = vec![0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, register];
        command.extend([0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0]);
        command.extend([0, 0, 0, 1, 0x00, 0x0B]);
        command.extend([7; 32]);
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(&command).unwrap();
        let mut header = [0; 10];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(&header[6..10], [0; 4], "{header:?}");
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tpm_vouches_for_the_host_until_it_starts_otherwise() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    release(&scene);
    let chip = Chip::boot(scene.server.folder());
    let tpm = chip.socket();
    let restart = |scene: &mut Scene| {
        scene.daemon.kill();
        scene
            .daemon
            .start_again_with(&["--tpm", tpm.to_str().unwrap()], &[]);
    };
    restart(&mut scene);
    // Nobody has accepted how the host starts, so it counts as before, and is shown.
    let said = until("a quote", PATIENCE, || {
        let found = attestations(&scene);
        found.into_iter().find(|found| found["quote"].is_object())
    });
    assert_eq!(said["grade"], "signed-release", "{said}");
    assert_eq!(said["quote"]["pcrs"], serde_json::json!([0, 2, 4, 7]));
    require(&scene, "quoted");
    let _ = refused(&scene).says("procura device baseline");
    let device = said["device"].as_str().unwrap();
    let baseline = |words: &[&str]| {
        let of = ["-n", "shop", "device", "baseline", device];
        scene.server.cli(&[&of[..], words].concat())
    };
    let _ = baseline(&["--accept", "--digest", &"0".repeat(64)]).code(77);
    let _ = baseline(&["--accept", "--tpm", &"0".repeat(64)]).code(77);
    let digest = said["quote"]["pcr_digest"].as_str().unwrap();
    // The host says which TPM it is, and the admin compares.
    let own = own_words(&scene);
    let tpm_says = own["tpm"].as_str().unwrap();
    assert_eq!(said["quote"]["ek_sha256"], tpm_says);
    baseline(&["--accept", "--digest", digest, "--tpm", tpm_says]).ok();
    handed(&scene);
    let quoted = attested(&scene, "quoted", &[]);
    let entries = [
        "-n",
        "shop",
        "--json",
        "audit",
        "list",
        "--action",
        "attestation.make",
    ];
    let entries = scene.server.cli(&entries).ok().text();
    assert!(entries.contains("quoted"), "the grade is in the record");

    // Something else is started: the daemon attests no more, and is handed nothing.
    chip.extend(7);
    restart(&mut scene);
    let _ = refused(&scene);
    let problem = own_words(&scene)["problem"].to_string();
    assert!(
        problem.contains("has not started as was accepted"),
        "{problem}"
    );
    // Which of the checks it failed is in the record, as a refusal of this device.
    let of_attesting = ["--json", "audit", "list", "--everywhere"];
    let of_attesting = [&of_attesting[..], &["--action", "attestation.make"]].concat();
    let denied = until("the refusal in the record", PATIENCE, || {
        let list = scene.server.cli(&of_attesting).ok().json();
        let rows = list["entries"].as_array().unwrap().iter();
        let mut entries = rows
            .map(|row| -> Value { serde_json::from_str(row["entry"].as_str().unwrap()).unwrap() });
        entries.find(|entry| entry["decision"] == "deny")
    });
    assert_eq!(denied["reason"], "wrong_pcr", "{denied}");
    assert_eq!(denied["device"], device, "{denied}");
    // It shows the process before, which is over for nobody but those who had it.
    assert!(
        attestations(&scene)
            .iter()
            .any(|found| found["id"] == quoted.as_str())
    );
    require(&scene, "none");
    handed(&scene);
}
