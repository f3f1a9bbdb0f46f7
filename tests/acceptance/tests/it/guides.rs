//! What the guides say to type is typed, where it takes a server and a host of agents.

use crate::attestation::Chip;
use crate::scene::{PATIENCE, requests};
use procura_acceptance::{Daemon, Guide, Installation, Outcome, program, until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const VALUE: &str = "value-canary-of-the-guides-08";

/// One laptop as the guide for one leaves it: the agent `scribe` with a machine, and a
/// project that had its key approved.
struct Laptop {
    daemon: Daemon,
    server: Installation,
    project: &'static str,
}

impl Laptop {
    fn set(project: &'static str) -> Self {
        let server = Installation::ready();
        server.put("default", "shop/key", VALUE.as_bytes());
        let daemon = Daemon::start(server.folder(), "host");
        fs::set_permissions(daemon.home(), fs::Permissions::from_mode(0o700)).unwrap();
        let code = server.cli(&["agent", "add", "scribe"]).ok().text();
        daemon.join(&code).ok();
        let set = ["project", "set", project, "--agent", "scribe"];
        let maps = ["--env", "KEY=shop/key"];
        server.cli(&[&set[..], &maps].concat()).ok();
        let laptop = Self {
            daemon,
            server,
            project,
        };
        let _ = laptop.run().code(75);
        let request = requests(&laptop.server, "default")[0]["id"].clone();
        let approve = ["request", "approve", request.as_str().unwrap()];
        laptop.server.cli(&approve).ok();
        laptop.handed();
        laptop
    }

    fn run(&self) -> Outcome {
        let show = ["sh", "-c", "printf %s \"$KEY\""];
        self.daemon
            .run_for(self.server.folder(), self.project, &["KEY"], &show)
    }

    fn handed(&self) {
        assert_eq!(self.run().ok().text(), VALUE);
    }

    fn guide(&self, name: &str) -> Guide {
        let mut guide = Guide::open(name, self.server.folder());
        guide.set("PROCURA_HOME", self.server.home().to_str().unwrap());
        guide.set("PROCURA_SERVER", self.server.url());
        guide.set("PROCURA_SOCKET", self.daemon.socket().to_str().unwrap());
        guide
    }

    /// The attestations, newest first.
    fn attestations(&self) -> Vec<Value> {
        let list = ["--json", "device", "attestations"];
        let list = self.server.cli(&list).ok().json();
        list["attestations"].as_array().unwrap().clone()
    }

    /// The first attestation that counts and is as asked.
    fn attested(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(what, PATIENCE, || {
            let mut all = self.attestations().into_iter();
            all.find(|found| found["state"] == "live" && fits(found))
        })
    }
}

#[test]
fn a_daemon_attests_by_each_grade_of_the_guide() {
    let mut laptop = Laptop::set("shop");
    let folder = laptop.server.folder().to_owned();
    laptop.attested("its own word", |found| found["grade"] == "self-reported");
    let mut guide = laptop.guide("guides/attestation.md");
    let said = guide.block();
    assert!(said.contains("self-reported"), "{said}");
    guide.block();
    laptop.handed();

    fs::write(folder.join("release-passphrase.txt"), "of the release 3\n").unwrap();
    let key = ["-q", "-t", "ed25519", "-N", "of the release 3", "-f"];
    let made = Command::new("ssh-keygen")
        .args(key)
        .arg(folder.join("release"))
        .status();
    assert!(made.unwrap().success());
    guide.set("PROCURAD", program("procurad").to_str().unwrap());
    guide.block();
    guide.block();
    laptop.handed();
    laptop.attested("a release", |found| found["grade"] == "signed-release");

    let chip = Chip::boot(&folder);
    let tpm = chip.socket();
    let restart = |laptop: &mut Laptop| {
        laptop.daemon.kill();
        let options = ["--tpm", tpm.to_str().unwrap()];
        laptop.daemon.start_again_with(&options, &[]);
    };
    restart(&mut laptop);
    let quoted = laptop.attested("what its TPM said", |found| found["quote"].is_object());
    guide.set("DEVICE", quoted["device"].as_str().unwrap());
    let digest = quoted["quote"]["pcr_digest"].as_str().unwrap();
    let said = guide.block();
    assert!(said.contains(digest), "{said}");
    let here = ["--json", "device", "list", "--here"];
    let here: Outcome = laptop.daemon.procura(&here).output().unwrap().into();
    let own = here.ok().json()["devices"][0]["attested"]["tpm"].clone();
    guide.set("TPM", own.as_str().unwrap());
    guide.block();
    restart(&mut laptop);
    guide.block();
    laptop.handed();
    let last = laptop.attested("a quote", |found| found["grade"] == "quoted");

    guide.set("ATTESTATION", last["id"].as_str().unwrap());
    guide.block();
    let _ = laptop.run().code(77).says("attestation");
    guide.block();
    guide.is_done();
    // Whatever is started now is that program as well.
    restart(&mut laptop);
    let _ = laptop.run().code(77).says("attestation");
    let released = laptop.server.cli(&["--json", "release", "list"]).ok();
    let released = released.json();
    assert!(released["releases"][0]["withdrawn"].is_string());
}

#[test]
fn policies_are_tried_before_they_decide_as_the_guide_says() {
    let laptop = Laptop::set("web");
    laptop
        .server
        .cli(&["agent", "add", "ci-1", "--no-code"])
        .ok();
    let mut guide = laptop.guide("guides/policies.md");
    guide.block();
    let said = guide.block();
    assert_eq!(said.matches(" ok ").count(), 2, "{said}");
    guide.block();
    // What is observed decides nothing.
    laptop.handed();
    let said = guide.block();
    let line = said.lines().find(|line| line.contains("would_deny"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in ["alice", "scribe", "run.deliver", "no_policy_permits"] {
        assert!(line.contains(part), "{part}: {said}");
    }
    // And what one asks for oneself.
    let line = said.lines().find(|line| line.starts_with("default@1"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in ["observe", "deny", "no_policy_permits"] {
        assert!(line.contains(part), "{part}: {said}");
    }
    laptop.server.cli(&["policy", "enforce", "1"]).ok();
    let _ = laptop.run().code(77).says("none of them permits this");
    let said = guide.block();
    assert!(said.contains("paths.scribe.shop-x: added"), "{said}");
    let said = guide.block();
    assert!(said.contains("enforce"), "{said}");
    laptop.handed();
    guide.block();
    guide.is_done();
    laptop.handed();
    let list = laptop.server.cli(&["--json", "policy", "list"]).ok().json();
    let states = list["versions"].as_array().unwrap().iter();
    let states: Vec<&str> = states
        .map(|version| version["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["draft", "draft", "draft"], "{list}");
}
