//! A home with a server whose unseal sources are tried, and what a kind is to the suite.

use crate::Ran;
use crate::installed::{Cli, PASSPHRASE, Running};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is typed to bring a source: arguments of `unseal`, arguments of other commands,
/// and lines for their questions.
#[derive(Clone, Default)]
pub(super) struct Bring {
    pub(super) unseal: Vec<String>,
    pub(super) with: Vec<String>,
    pub(super) lines: Vec<String>,
}

/// One kind of unseal source.
pub(super) trait Kind {
    /// The word in the list.
    fn word(&self, name: &str) -> &'static str;
    /// The code for a key that is not this source's: of another source, of another
    /// installation, or changed.
    const REFUSED: &'static str;
    /// The code for bringing the second one when it was removed; the command line's words
    /// where it asks for nothing then.
    const GONE: &'static str;

    /// Its keeper, in a folder of the test's own.
    fn new(dir: &Path) -> Self;

    /// The environment of a server that is to reach the keeper.
    fn environment(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Where the keeper is, as `unseal_at` says it, and where somebody else could have it
    /// sought: a member of the source's wrapper and its value.
    fn place(&self) -> Option<(String, (&'static str, String))> {
        None
    }

    /// Arguments of `unseal-source add` after the name, and lines for its questions.
    /// `tag` tells the homes apart.
    fn add(&self, tag: &str, name: &str) -> (Vec<String>, Vec<String>);

    /// What `add` printed.
    fn added(&mut self, _: &str, _: &str, _: &Value) {}

    /// What opens a source.
    fn bring(&self, tag: &str, name: &str) -> Bring;

    /// What is wrong, and its code; chips ask for nothing.
    fn wrong(&self, name: &str) -> Option<(Bring, &'static str)>;

    /// Takes the keeper away; false where there is none.
    fn away(&mut self) -> bool {
        false
    }

    /// Brings it back.
    fn back(&mut self) {}

    /// The server, which may be using the keeper, is about to be killed.
    fn before_kill(&self) {}

    /// It was.
    fn after_kill(&self) {}

    /// Where what is stored of a source can be changed, as a JSON pointer in its keeper.
    const CHANGE: &'static str = "/wrapped";

    /// The file that `unseal_credentials` may name.
    fn credentials(&self) -> Option<PathBuf>;
}

/// Names that sources have in the suite.
const NAMES: [&str; 9] = [
    "one", "two", "late0", "late1", "late2", "three", "four", "hsm", "machine",
];

/// Says to a server, as its configuration, where the keepers of all sources are.
pub(super) fn placed(at: &str) -> (String, String) {
    let all: Vec<String> = NAMES.iter().map(|name| format!("{name} = {at}")).collect();
    (
        "PROCURA_UNSEAL_AT".to_owned(),
        format!("{{ {} }}", all.join(", ")),
    )
}

pub(super) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What a source with a wrapper is brought with.
pub(super) fn wrapped(name: &str, credentials: Option<&Path>) -> Bring {
    let mut unseal = owned(&["--source", name]);
    let mut with = owned(&["--with", &format!("source:{name}")]);
    if let Some(path) = credentials {
        let path = path.to_str().unwrap();
        unseal.extend(owned(&["--credentials", path]));
        with.extend(owned(&["--with-credentials", path]));
    }
    Bring {
        unseal,
        with,
        lines: Vec::new(),
    }
}

/// Writes a file for one user alone.
pub(super) fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What the first source takes.
pub(super) fn first() -> Bring {
    let passphrase = std::str::from_utf8(PASSPHRASE).unwrap().trim_end();
    Bring {
        lines: owned(&[passphrase]),
        ..Bring::default()
    }
}

/// A home and its server.
pub(super) struct Place {
    pub(super) cli: Cli,
    pub(super) server: Option<Running>,
    pub(super) tag: &'static str,
    pub(super) environment: Vec<(String, String)>,
}

impl Place {
    pub(super) fn new(dir: &Path, tag: &'static str, environment: Vec<(String, String)>) -> Self {
        let cli = Cli {
            home: dir.join(tag),
            url: None,
        };
        cli.ok(
            &["init", "--owner", "alice", "--passphrase-fd", "0"],
            PASSPHRASE,
        );
        let mut place = Self {
            cli,
            server: None,
            tag,
            environment,
        };
        place.start();
        place.unseal(&first());
        place
    }

    pub(super) fn start(&mut self) {
        let server = Running::start_with(&self.cli.home, &self.environment);
        self.cli.url = Some(server.url.clone());
        self.server = Some(server);
    }

    pub(super) fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        drop(self.server.take());
    }

    pub(super) fn run(&self, args: &[String], lines: &[String]) -> Ran {
        let mut all = owned(&["--json", "--yes", "--passphrase-fd", "0"]);
        all.extend_from_slice(args);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.cli
            .run(&all, format!("{}\n", lines.join("\n")).as_bytes())
    }

    pub(super) fn ok(&self, args: &[String], lines: &[String]) -> Value {
        let ran = self.run(args, lines);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap_or(Value::Null)
    }

    /// The code of a refusal.
    pub(super) fn refused(&self, args: &[String], lines: &[String], code: &str) {
        self.refused_for("refused", args, lines, code);
    }

    pub(super) fn refused_for(&self, what: &str, args: &[String], lines: &[String], code: &str) {
        let ran = self.run(args, lines);
        assert_ne!(ran.code, 0, "{what}: {args:?}: {}", ran.out);
        let failure: Value = serde_json::from_str(ran.err.lines().last().unwrap())
            .unwrap_or_else(|_| panic!("{args:?}: {}", ran.err));
        // What is not even asked for has no code.
        let found = match &failure["problem"]["code"] {
            Value::Null => &failure["what"],
            code => code,
        };
        assert_eq!(found, code, "{what}: {args:?}: {}", ran.err);
    }

    pub(super) fn unseal(&self, bring: &Bring) {
        let args = [owned(&["unseal"]), bring.unseal.clone()].concat();
        self.ok(&args, &bring.lines);
        assert!(!self.is_sealed());
    }

    pub(super) fn not_unsealed(&self, bring: &Bring, code: &str) {
        self.not_unsealed_for("unseal", bring, code);
    }

    pub(super) fn not_unsealed_for(&self, what: &str, bring: &Bring, code: &str) {
        let args = [owned(&["unseal"]), bring.unseal.clone()].concat();
        self.refused_for(what, &args, &bring.lines, code);
        assert!(self.is_sealed(), "{what}");
    }

    pub(super) fn with(&self, command: &[&str], bring: &Bring) -> (Vec<String>, Vec<String>) {
        (
            [owned(command), bring.with.clone()].concat(),
            bring.lines.clone(),
        )
    }

    /// Adds a source of a kind, opened with the first one.
    pub(super) fn add<K: Kind>(&self, kind: &mut K, name: &str) {
        let (args, lines) = kind.add(self.tag, name);
        let (mut all, mut typed) = self.with(&["unseal-source", "add", name], &first());
        all.extend(args);
        typed.extend(lines);
        let printed = self.ok(&all, &typed);
        kind.added(self.tag, name, &printed);
    }

    pub(super) fn test(&self, bring: &Bring) -> Value {
        let (args, lines) = self.with(&["unseal-source", "test"], bring);
        self.ok(&args, &lines)
    }

    pub(super) fn not_tested(&self, bring: &Bring, code: &str) {
        let (args, lines) = self.with(&["unseal-source", "test"], bring);
        self.refused(&args, &lines, code);
    }

    pub(super) fn names(&self) -> Vec<String> {
        let list = self.ok(&owned(&["unseal-source", "list"]), &[]);
        let sources = list["sources"].as_array().unwrap().iter();
        sources
            .map(|source| source["name"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn seal(&self) {
        self.ok(&owned(&["seal"]), &first().lines);
        assert!(self.is_sealed());
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.ok(&owned(&["status"]), &[])["sealed"] == Value::Bool(true)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.cli.home.join("installation.json")
    }

    /// The value of a metric.
    pub(super) fn metric(&self, name: &str) -> String {
        let text = self.server.as_ref().unwrap().metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {text}"))
            .trim()
            .to_owned()
    }

    /// What `/health` says.
    pub(super) fn health(&self) -> Value {
        self.server.as_ref().unwrap().health()
    }

    /// Waits until `/health` is as expected.
    pub(super) fn wait(&self, what: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(180);
        loop {
            let health = self.health();
            if expected(&health) {
                return health;
            }
            assert!(Instant::now() < end, "{what}: {health}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
