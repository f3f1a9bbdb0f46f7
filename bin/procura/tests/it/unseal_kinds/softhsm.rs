//! A PKCS#11 token: SoftHSM, in a folder of the test's own.

use super::place::{Bring, Kind, Place, first, owned, placed, private, wrapped};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "canary-pin-8364";

pub(super) struct Tokens {
    dir: PathBuf,
}

impl Tokens {
    fn conf(&self) -> PathBuf {
        self.dir.join("softhsm2.conf")
    }

    fn tokens(&self) -> PathBuf {
        self.dir.join("tokens")
    }

    /// What SoftHSM keeps of the token itself.
    fn token_object(&self) -> PathBuf {
        let mut found = std::fs::read_dir(self.tokens()).unwrap();
        found.next().unwrap().unwrap().path().join("token.object")
    }

    fn util(&self, args: &[&str]) {
        let done = Command::new("softhsm2-util")
            .args(args)
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .expect("softhsm2-util, of the package softhsm2");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// The lines of `pkcs11-tool` about the keys on the token.
    fn objects(&self) -> String {
        let listed = Command::new("pkcs11-tool")
            .args(["--module", MODULE, "--login", "--pin", PIN, "-O"])
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .expect("pkcs11-tool, of the package opensc");
        String::from_utf8_lossy(&listed.stdout).into_owned()
    }
}

impl Kind for Tokens {
    const REFUSED: &'static str = "wrapped_key_refused";
    const GONE: &'static str = "there is no unseal source two";

    fn new(dir: &Path) -> Self {
        let kind = Self {
            dir: dir.join("softhsm"),
        };
        std::fs::create_dir_all(kind.tokens()).unwrap();
        std::fs::write(
            kind.conf(),
            format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                kind.tokens().display()
            ),
        )
        .unwrap();
        kind.util(&[
            "--init-token",
            "--free",
            "--label",
            "vault",
            "--pin",
            PIN,
            "--so-pin",
            "canary-so-pin-1",
        ]);
        private(&kind.dir.join("pin"), &format!("{PIN}\n"));
        private(&kind.dir.join("wrong"), "canary-wrong-pin\n");
        kind
    }

    fn environment(&self) -> Vec<(String, String)> {
        let conf = self.conf().display().to_string();
        vec![
            ("SOFTHSM2_CONF".to_owned(), conf),
            placed(&format!("{{ module = \"{MODULE}\" }}")),
        ]
    }

    fn place(&self) -> Option<(String, (&'static str, String))> {
        let evil = self.dir.join("evil.so");
        let at = format!("module = \"{MODULE}\"");
        Some((at, ("module", evil.display().to_string())))
    }

    fn word(&self, _: &str) -> &'static str {
        "pkcs11"
    }

    fn add(&self, tag: &str, name: &str) -> (Vec<String>, Vec<String>) {
        let key = format!("{tag}-{name}");
        let pin = self.dir.join("pin");
        let args = owned(&[
            "--pkcs11",
            MODULE,
            "--token",
            "vault",
            "--key",
            &key,
            "--credentials",
            pin.to_str().unwrap(),
        ]);
        (args, Vec::new())
    }

    fn bring(&self, _: &str, name: &str) -> Bring {
        wrapped(name, Some(&self.dir.join("pin")))
    }

    fn wrong(&self, name: &str) -> Option<(Bring, &'static str)> {
        Some((wrapped(name, Some(&self.dir.join("wrong"))), "wrong_pin"))
    }

    fn away(&mut self) -> bool {
        std::fs::rename(self.tokens(), self.dir.join("drawer")).unwrap();
        std::fs::create_dir(self.tokens()).unwrap();
        true
    }

    fn back(&mut self) {
        std::fs::remove_dir_all(self.tokens()).unwrap();
        std::fs::rename(self.dir.join("drawer"), self.tokens()).unwrap();
    }

    /// SoftHSM writes label and PIN of a token anew at each login, in place, so a kill can
    /// tear them. No chip does, so they are put back; the keys are other files, and stay
    /// as the kill left them.
    fn before_kill(&self) {
        std::fs::copy(self.token_object(), self.dir.join("token.object")).unwrap();
    }

    fn after_kill(&self) {
        std::fs::copy(self.dir.join("token.object"), self.token_object()).unwrap();
    }

    fn credentials(&self) -> Option<PathBuf> {
        Some(self.dir.join("pin"))
    }
}

/// Keys on tokens cannot be read out, in either of the ways to wrap; what was not added
/// leaves none; and a PIN is asked for at the terminal too.
#[test]
fn keys_stay_on_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let kind = Tokens::new(dir.path());
    let place = Place::new(dir.path(), "home", kind.environment());
    for (name, mechanism) in [
        ("aes", "aes-gcm"),
        ("rsa", "rsa-oaep-sha1"),
        ("best", "best"),
    ] {
        let (mut args, mut lines) = place.with(&["unseal-source", "add", name], &first());
        args.extend(owned(&["--pkcs11", MODULE, "--token", "vault"]));
        if mechanism != "best" {
            args.extend(owned(&["--mechanism", mechanism]));
        }
        lines.push(PIN.to_owned());
        place.ok(&args, &lines);
        let asked = Bring {
            lines: owned(&[PIN]),
            ..wrapped(name, None)
        };
        assert_eq!(place.test(&asked)["name"], name);
    }
    let list = place.ok(&owned(&["unseal-source", "list"]), &[]);
    let mechanisms: Vec<&str> = list["sources"].as_array().unwrap()[1..]
        .iter()
        .map(|source| source["wrapper"]["mechanism"].as_str().unwrap())
        .collect();
    assert_eq!(mechanisms, ["aes-gcm", "rsa-oaep-sha1", "aes-gcm"]);
    let objects = kind.objects();
    for key in ["procura-aes", "procura-rsa", "procura-best"] {
        assert!(objects.contains(key), "{objects}");
    }
    let marked = objects
        .replace("Public Key Object", "\0public")
        .replace("Secret Key Object", "\0kept")
        .replace("Private Key Object", "\0kept");
    let kept: Vec<&str> = marked
        .split('\0')
        .filter(|object| object.starts_with("kept"))
        .collect();
    assert_eq!(kept.len(), 3, "{objects}");
    for object in kept {
        assert!(
            object.contains("always sensitive, never extractable"),
            "{object}"
        );
    }

    let add = |name: &str, extra: &[&str], first_line: &str, code: &str| {
        let (mut args, _) = place.with(&["unseal-source", "add", name], &first());
        args.extend(owned(&["--pkcs11", MODULE, "--token", "vault"]));
        args.extend(owned(extra));
        place.refused(&args, &owned(&[first_line, PIN]), code);
    };
    let passphrase = first().lines[0].clone();
    add("late", &[], "not the passphrase", "wrong_passphrase");
    add("aes", &["--key", "late"], &passphrase, "already_exists");
    add(
        "late",
        &["--key", "procura-aes"],
        &passphrase,
        "wrapper_unfit",
    );
    add(
        "late",
        &["--mechanism", "rsa-oaep-sha256"],
        &passphrase,
        "wrapper_unfit",
    );
    assert!(!kind.objects().contains("late"), "{}", kind.objects());

    // A module that others could change is no code of the server.
    let module = dir.path().join("module.so");
    std::fs::copy(MODULE, &module).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&module, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (mut args, _) = place.with(&["unseal-source", "add", "late"], &first());
    args.extend(owned(&[
        "--pkcs11",
        module.to_str().unwrap(),
        "--token",
        "vault",
    ]));
    place.refused(&args, &owned(&[&passphrase, PIN]), "wrapper_unfit");
}
