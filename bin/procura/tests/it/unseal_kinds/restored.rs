//! A home that was restored from a backup opens with every kind of source that opened the
//! vault when the backup was taken.

use super::place::{Bring, Kind, Place};
use crate::backup::path;
use crate::installed::PASSPHRASE;
use crate::{Ran, fed, procura};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Somebody who restores, with no home of their own.
struct Restoring<'a> {
    dir: &'a Path,
    file: PathBuf,
    environment: Vec<(String, String)>,
}

impl Restoring<'_> {
    fn run(&self, home: &Path, more: &[String], lines: &[String]) -> Ran {
        let mut command = procura(&self.dir.join("nobody"));
        command
            .args(["--json", "--passphrase-fd", "0", "restore"])
            .args([path(&self.file), "--to", path(home), "--verify"])
            .args(more)
            .envs(self.environment.iter().cloned());
        let typed = format!("{}\n", lines.join("\n"));
        fed(&mut command, typed.as_bytes())
    }

    /// That it opens, and by which source.
    fn opens(&self, name: &str, bring: &Bring, more: &[String]) {
        let home = self.dir.join(format!("restored-{name}"));
        let args = [bring.unseal.clone(), more.to_vec()].concat();
        let said = self.run(&home, &args, &bring.lines);
        assert_eq!(said.code, 0, "{name}: {}", said.err);
        let report: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(report["opened_by"], "one", "{name}: {report}");
        std::fs::remove_dir_all(home).unwrap();
    }

    /// That it does not, with these words in its reason and what to type.
    fn not_opened(&self, name: &str, bring: &Bring, words: &[&str]) {
        let home = self.dir.join(format!("restored-{name}"));
        let said = self.run(&home, &bring.unseal, &bring.lines);
        assert_ne!(said.code, 0, "{name}: {}", said.out);
        for words in words {
            assert!(said.err.contains(words), "{name}: {words}: {}", said.err);
        }
        std::fs::remove_dir_all(home).unwrap();
    }
}

/// Takes a backup of a vault that the kind's source `one` opens, and opens what is restored
/// of it.
pub(super) fn restores<K: Kind>(place: &Place, kind: &K, dir: &Path) {
    let one = kind.bring("home", "one");
    let login = ["login", "--passphrase-fd", "0"];
    place.cli.ok(&login, PASSPHRASE);
    let file = dir.join("monday.procura");
    place.cli.ok(&["backup", path(&file)], b"");
    let mut restoring = Restoring {
        dir,
        file,
        environment: kind.environment(),
    };
    restoring.opens("one", &one, &[]);
    if let Some((wrong, _)) = kind.wrong("one") {
        // What does open it is said; of a share that is none, what is wrong with it.
        let shares = wrong.unseal.iter().any(|arg| arg == "--shares");
        let words = ["what opened the vault when the backup was taken", "one ("];
        restoring.not_opened("wrong", &wrong, if shares { &[] } else { &words });
    }
    let named = Bring {
        unseal: vec!["--source".to_owned(), "nowhere".to_owned()],
        ..Bring::default()
    };
    let words = ["there is no unseal source nowhere in the backup", "one ("];
    restoring.not_opened("nowhere", &named, &words);
    let Some((at, _)) = kind.place() else {
        return;
    };
    // Where its keeper is the backup is not believed about; a configuration says it.
    restoring
        .environment
        .retain(|(name, _)| name != "PROCURA_UNSEAL_AT");
    let words = ["nothing says where the keeper of one is", "[unseal_at.one]"];
    restoring.not_opened("unplaced", &one, &words);
    let config = dir.join("restoring.toml");
    std::fs::write(&config, format!("[unseal_at.one]\n{at}\n")).unwrap();
    let config = ["--config", path(&config)].map(str::to_owned);
    restoring.opens("placed", &one, &config);
}
