//! Pages of the documentation: what they say to type is typed, in their order.

use crate::process::program;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What whoever types has in their environment, so that all that was started so can be
/// found, whoever its parent is by then.
const MARK: &str = "FOLDER_OF_THE_GUIDE";

/// The file in which a block leaves what it exported.
const EXPORTED: &str = ".exported";

/// How many seconds a block may take that waits for something.
const LONGEST: &str = "300";

/// Somebody who types what a page says, block by block, in one folder.
pub struct Guide {
    name: String,
    folder: PathBuf,
    blocks: std::vec::IntoIter<String>,
    variables: Vec<(String, String)>,
    /// The sessions of processes that blocks began.
    sessions: Vec<u32>,
}

impl Guide {
    /// Opens a page of `docs`, such as `guides/solo.md`, to type it in `folder`.
    ///
    /// # Panics
    /// When it has a block that is neither commands nor code that another test runs.
    #[must_use]
    pub fn open(name: &str, folder: &Path) -> Self {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let text = std::fs::read_to_string(docs.join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut parts = text.split("\n```");
        let mut blocks = Vec::new();
        while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
            match block.split_once('\n') {
                Some(("sh", commands)) => blocks.push(commands.to_owned()),
                // Receivers of webhooks run it (`tests/acceptance/clients/webhook_receiver.py`),
                // and hosts that join (`tests/acceptance/tests/it/outside/device_grant.rs`).
                Some(("python", _)) => {}
                _ => panic!("{name} has a block that nobody can type: {block}"),
            }
        }
        let mut guide = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            blocks: blocks.into_iter(),
            variables: Vec::new(),
            sessions: Vec::new(),
        };
        let programs = program("procura").parent().unwrap().to_owned();
        guide.set("PATH", &format!("{}:/usr/bin:/bin", programs.display()));
        guide.set(MARK, folder.to_str().unwrap());
        guide
    }

    /// From here on, whoever types has this in their environment. There is nothing else in
    /// it but what blocks export: the page is typed in one shell.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Types the next block, which must succeed; what it printed.
    ///
    /// # Panics
    /// When it fails, or there is none.
    #[track_caller]
    pub fn block(&mut self) -> String {
        let block = self.blocks.next().expect("another block of the page");
        let exported = self.folder.join(EXPORTED);
        let script = format!("{block}\nenv -0 > '{}'", exported.display());
        let child = Command::new("setsid")
            .args(["--wait", "timeout", "--foreground", LONGEST])
            .args(["bash", "-euc", &script])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.sessions.push(child.id());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}: {block}\n{printed}\n{said}",
            self.name
        );
        self.keep_exported(&exported);
        printed.into_owned()
    }

    /// Takes over the environment that a block ended with, without what each shell sets by
    /// itself. The file goes: it is none of the page's.
    fn keep_exported(&mut self, file: &Path) {
        const OF_EACH_SHELL: [&str; 4] = ["OLDPWD", "PWD", "SHLVL", "_"];
        let text = std::fs::read(file)
            .unwrap_or_else(|error| panic!("{}: {}: {error}", self.name, file.display()));
        std::fs::remove_file(file).unwrap();
        self.variables = String::from_utf8(text)
            .unwrap()
            .split('\0')
            .filter_map(|variable| variable.split_once('='))
            .filter(|(name, _)| !OF_EACH_SHELL.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }

    /// A file that a block made.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name))
            .unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name))
    }

    /// The page has no more blocks.
    ///
    /// # Panics
    /// When it has one.
    #[track_caller]
    pub fn is_done(&self) {
        let left = self.blocks.as_slice();
        assert!(left.is_empty(), "{}: {left:?}", self.name);
    }

    /// Whether a process was begun by a block: it is in a session of one, or has what only
    /// those have in their environment.
    fn began(&self, process: &Path) -> bool {
        let mark = format!("{MARK}={}", self.folder.display());
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        let marked = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes());
        // pid (name) state parent group session …, where a name may have anything in it.
        let state = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        let session = state
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(3)?.parse::<u32>().ok());
        marked || session.is_some_and(|session| self.sessions.contains(&session))
    }
}

impl Drop for Guide {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            if entry.file_name().to_string_lossy().parse::<u32>().is_ok()
                && self.began(&entry.path())
            {
                // It may have ended by itself.
                let pid = entry.file_name();
                let _ = Command::new("kill").arg("-KILL").arg(pid).status();
            }
        }
    }
}
