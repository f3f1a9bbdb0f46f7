//! Keys, credentials and quotes by swtpm.

use procura_crypto::SystemEntropy;
use procura_tpm::{AttestationKey, Channel, Chip, Credential, EndorsementKey, Quote, TpmError};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An emulated chip in a folder.
struct Emulated {
    dir: PathBuf,
    child: Child,
}

impl Emulated {
    fn boot(dir: &Path) -> Self {
        std::fs::create_dir_all(dir.join("state")).unwrap();
        let socket = dir.join("tpm.sock");
        let _ = std::fs::remove_file(&socket);
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
        Self {
            dir: dir.to_owned(),
            child,
        }
    }

    fn chip(&self) -> Chip {
        Chip::new(Channel::open(&self.dir.join("tpm.sock")).unwrap())
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_are_the_chips_own_and_the_same_at_each_start() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |emulated: &Emulated| {
        let mut chip = emulated.chip();
        let ek = chip.endorsement_key().unwrap().public;
        let ak = chip.attestation_key().unwrap().public;
        (
            EndorsementKey::read(&ek).unwrap().sha256(),
            AttestationKey::read(&ak).unwrap().sha256(),
        )
    };
    let emulated = Emulated::boot(dir.path());
    let first = keys(&emulated);
    assert_eq!(keys(&emulated), first);
    drop(emulated);
    assert_eq!(keys(&Emulated::boot(dir.path())), first);
    let other = tempfile::tempdir().unwrap();
    let other = keys(&Emulated::boot(other.path()));
    assert!(other.0 != first.0 && other.1 != first.1);
}

#[test]
fn a_credential_opens_in_the_chip_that_has_both_keys_and_in_no_other() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = dirs.each_ref().map(|dir| Emulated::boot(dir.path()));
    let (mut chip, mut other) = (one.chip(), two.chip());
    let (ek, ak) = (
        chip.endorsement_key().unwrap(),
        chip.attestation_key().unwrap(),
    );
    let (other_ek, other_ak) = (
        other.endorsement_key().unwrap(),
        other.attestation_key().unwrap(),
    );
    let read_ek = EndorsementKey::read(&ek.public).unwrap();
    let read_ak = AttestationKey::read(&ak.public).unwrap();
    let make = |ak: &AttestationKey| Credential::make(&read_ek, ak, &SystemEntropy).unwrap();
    let (credential, held) = make(&read_ak);
    let opened = chip
        .activate(&ak, &ek, &credential, &SystemEntropy)
        .unwrap();
    assert!(opened == held);
    // As often as it is asked: nothing stays in the chip. The emulator serves one at a time.
    drop(chip);
    for _ in 0..4 {
        let mut chip = one.chip();
        let (ek, ak) = (
            chip.endorsement_key().unwrap(),
            chip.attestation_key().unwrap(),
        );
        let opened = chip
            .activate(&ak, &ek, &credential, &SystemEntropy)
            .unwrap();
        assert!(opened == held);
    }
    // For the key of another chip, in another chip, and changed.
    let mut chip = one.chip();
    let (ek, ak) = (
        chip.endorsement_key().unwrap(),
        chip.attestation_key().unwrap(),
    );
    let (foreign, _) = make(&AttestationKey::read(&other_ak.public).unwrap());
    let refused = chip.activate(&ak, &ek, &foreign, &SystemEntropy);
    assert!(
        matches!(refused, Err(TpmError::Refused)),
        "{:?}",
        refused.err()
    );
    let refused = other.activate(&other_ak, &other_ek, &credential, &SystemEntropy);
    assert!(
        matches!(refused, Err(TpmError::Refused)),
        "{:?}",
        refused.err()
    );
    let mut changed = credential.clone();
    *changed.blob.last_mut().unwrap() ^= 1;
    let refused = chip.activate(&ak, &ek, &changed, &SystemEntropy);
    assert!(
        matches!(refused, Err(TpmError::Refused)),
        "{:?}",
        refused.err()
    );
}

#[test]
fn a_quote_says_what_is_in_the_registers_and_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let emulated = Emulated::boot(dir.path());
    let mut chip = emulated.chip();
    let ak = chip.attestation_key().unwrap();
    let key = AttestationKey::read(&ak.public).unwrap();
    let extra = [7; 32];
    let (quoted, signature) = chip.quote(&ak, &extra, &[0, 2, 7]).unwrap();
    assert!(key.has_signed(&quoted, &signature));
    let quote = Quote::read(&quoted).unwrap();
    assert_eq!(
        (quote.extra.as_slice(), quote.pcrs.as_slice()),
        (&extra[..], &[0, 2, 7][..])
    );
    let registers = chip.read_registers(&[0, 2, 7]).unwrap();
    assert_eq!(
        quote.pcr_digest,
        procura_crypto::sha256(&registers.concat())
    );
    // Any change ends the signature.
    for position in 0..quoted.len() {
        let mut changed = quoted.clone();
        changed[position] ^= 1;
        assert!(!key.has_signed(&changed, &signature), "byte {position}");
    }
    for length in 0..signature.len() {
        assert!(
            !key.has_signed(&quoted, &signature[..length]),
            "{length} bytes"
        );
    }
    // The machine was started once more.
    drop(chip);
    drop(emulated);
    let emulated = Emulated::boot(dir.path());
    let mut chip = emulated.chip();
    let ak = chip.attestation_key().unwrap();
    let (quoted, _) = chip.quote(&ak, &extra, &[0, 2, 7]).unwrap();
    let again = Quote::read(&quoted).unwrap();
    assert!(again.reset_count > quote.reset_count, "{again:?}");
    assert_eq!(again.pcr_digest, quote.pcr_digest);
}
