//! The skill for coding agents: its form, and that every command in it does what it says,
//! against a server and a daemon.

use crate::scene::requests;
use procura_acceptance::{Daemon, Installation, Outcome, program};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skills/procura")
}

fn page(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const AGENTS: [&str; 2] = ["SKILL.md", "references/commands.md"];
const PEOPLE: &str = "references/people.md";

/// The lines of a page's blocks of commands.
fn commands(name: &str) -> Vec<String> {
    let text = page(name);
    let mut parts = text.split("```");
    let mut found = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        if let Some(lines) = block.strip_prefix("sh\n") {
            found.extend(lines.lines().map(str::to_owned));
        }
    }
    found
}

/// The commands of an agent, with the exit code of each: 75 where somebody says yes
/// meanwhile, and then 0 of the same again.
const OF_THE_AGENT: [(&str, i32); 12] = [
    ("procura device list --here", 0),
    (
        "procura run --project shop --env-file .env.example -- true",
        75,
    ),
    (
        "procura run --project shop --env-file .env.example --wait -- python3 app.py",
        0,
    ),
    (
        "procura run --project shop --env-file .env.example -- python3 app.py",
        0,
    ),
    (
        "procura run --project shop --name STRIPE_KEY -- python3 app.py",
        0,
    ),
    (
        "procura run --project shop --delivery file --name TLS_KEY -- python3 -c 'import os; print(os.path.exists(os.environ[\"TLS_KEY\"]))'",
        75,
    ),
    (
        "procura run --project shop --delivery stdin --name STRIPE_KEY -- sh -c 'wc -c'",
        75,
    ),
    (
        "procura run --project shop --agent scribe --name STRIPE_KEY -- true",
        0,
    ),
    (
        "procura run --project shop --namespace default --name STRIPE_KEY -- true",
        0,
    ),
    ("procura run --project shop -- true", 75),
    (
        "procura --json run --project shop --name UNKNOWN_KEY -- true",
        77,
    ),
    ("procura doctor", 0),
];

/// Those of a person, who is asked nothing in between.
const OF_A_PERSON: [&str; 10] = [
    "procura request list",
    "procura request show \"$REQUEST\"",
    "procura request approve \"$REQUEST\"",
    "procura grant list",
    "procura audit list --action run.deliver",
    "procura grant withdraw \"$REQUEST\"",
    "procura secret put new/key --env NEW_KEY",
    "procura project set shop --env OTHER_KEY=new/key",
    "procura agent code scribe > code.txt",
    "procura join < code.txt",
];

struct Desk {
    daemon: Daemon,
    server: Installation,
    work: PathBuf,
}

const VALUE: &str = "sk-canary-of-the-skill-51";

impl Desk {
    fn set() -> Self {
        let server = Installation::ready();
        let put = |path: &str, name: &str, value: &str| {
            let words = ["secret", "put", path, "--env", name];
            server.cli_with(&words, value.as_bytes()).ok();
        };
        put("stripe/key", "STRIPE_KEY", VALUE);
        put("tls/key", "TLS_KEY", "a key of TLS");
        let daemon = Daemon::start(server.folder(), "host");
        fs::set_permissions(daemon.home(), fs::Permissions::from_mode(0o700)).unwrap();
        let code = server.cli(&["agent", "add", "scribe"]).ok().text();
        daemon.join(&code).ok();
        let maps = ["--env", "STRIPE_KEY=stripe/key", "--env", "TLS_KEY=tls/key"];
        let set = ["project", "set", "shop", "--agent", "scribe"];
        server.cli(&[&set[..], &maps].concat()).ok();
        let work = server.folder().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join(".env.example"), "STRIPE_KEY=\n").unwrap();
        let app = "import os\nprint(len(os.environ['STRIPE_KEY']), 'characters')\n";
        fs::write(work.join("app.py"), app).unwrap();
        Self {
            daemon,
            server,
            work,
        }
    }

    /// Types one line in a shell, with these variables and no others.
    fn type_in(&self, line: &str, home: &Path, input: &str, request: &str) -> Outcome {
        let programs = program("procura").parent().unwrap().to_owned();
        let mut child = Command::new("bash")
            .args(["-uc", line])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("PROCURA_HOME", home)
            .env("PROCURA_SOCKET", self.daemon.socket())
            .env("PROCURA_SERVER", self.server.url())
            .env("REQUEST", request)
            .current_dir(&self.work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    fn agent(&self, line: &str) -> Outcome {
        self.type_in(line, &self.daemon.home(), "", "")
    }

    /// The one request that waits.
    fn waiting(&self) -> String {
        let all = requests(&self.server, "default");
        let mut waiting = all.iter().filter(|request| request["state"] == "pending");
        let id = waiting.next().unwrap()["id"].as_str().unwrap().to_owned();
        assert!(waiting.next().is_none(), "{all:?}");
        id
    }
}

#[test]
fn every_command_does_what_the_skill_says() {
    let found: Vec<String> = AGENTS.iter().flat_map(|name| commands(name)).collect();
    let known: Vec<&str> = OF_THE_AGENT.iter().map(|(line, _)| *line).collect();
    assert_eq!(found, known, "each command of the skill has its row here");
    assert_eq!(commands(PEOPLE), OF_A_PERSON);

    let desk = Desk::set();
    let mut said = String::new();
    let mut keep = |outcome: &Outcome| {
        said.push_str(&outcome.text());
        said.push_str(&outcome.stderr);
    };
    for (line, code) in OF_THE_AGENT {
        let outcome = desk.agent(line);
        assert_eq!(
            outcome.code,
            code,
            "{line}: {}{}",
            outcome.text(),
            outcome.stderr
        );
        keep(&outcome);
        if code == 75 {
            let id = desk.waiting();
            // The line for the person is in the output.
            let approve = format!("procura request approve {id} -n default");
            assert!(
                outcome.stderr.contains(&approve),
                "{line}: {}",
                outcome.stderr
            );
            desk.server.cli(&["request", "approve", &id]).ok();
            let again = desk.agent(line);
            assert_eq!(again.code, 0, "{line}: {}", again.stderr);
            keep(&again);
        }
    }
    let length = VALUE.len().to_string();
    let ran = format!("{length} characters");
    for (part, why) in [
        ("scribe in default", "who it is"),
        (ran.as_str(), "it ran with the value"),
        ("True", "the file was there"),
        (length.as_str(), "standard input was the value"),
        ("\"event\":\"refused\"", "JSON for programs"),
    ] {
        assert!(said.contains(part), "{why}: {said}");
    }
    assert!(!said.contains(VALUE), "no value is shown");

    let asked = desk.agent("procura run --project shop --delivery file --name STRIPE_KEY -- true");
    assert_eq!(asked.code, 75);
    let request = desk.waiting();
    for line in OF_A_PERSON {
        // Whom a terminal would ask is asked nothing.
        let typed = line.replacen("procura", "procura --yes", 1);
        let outcome = desk.type_in(&typed, &desk.server.home(), "new-value", &request);
        assert_eq!(
            outcome.code,
            0,
            "{line}: {}{}",
            outcome.text(),
            outcome.stderr
        );
    }
    let withdrawn =
        desk.agent("procura run --project shop --delivery file --name STRIPE_KEY -- true");
    assert_eq!(withdrawn.code, 75, "what was withdrawn is asked for anew");
}

#[test]
fn it_is_a_skill_by_the_open_format() {
    let text = page("SKILL.md");
    let (front, body) = text
        .strip_prefix("---\n")
        .and_then(|text| text.split_once("\n---\n"))
        .expect("front matter");
    let field = |name: &str| {
        let line = front
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    // Its name is its folder's: letters of ASCII in lower case, numbers and hyphens.
    assert_eq!(
        field("name"),
        folder()
            .canonicalize()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
    );
    assert!(
        field("name")
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    );
    let description = field("description");
    assert!((1..=1024).contains(&description.chars().count()));
    assert!(!description.contains(": "), "a plain scalar of YAML");
    assert!((1..=500).contains(&field("compatibility").chars().count()));
    assert!(
        body.lines().count() < 500,
        "the rest belongs into references"
    );
    // What it leads to is there.
    for name in [
        "SKILL.md",
        "references/commands.md",
        PEOPLE,
        "hooks/README.md",
    ] {
        let from = folder().join(name);
        for link in page(name).split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            assert!(
                from.parent().unwrap().join(target).is_file(),
                "{name}: {target}"
            );
        }
    }
}

#[test]
fn the_rules_that_an_agent_must_not_break_are_in_it() {
    let text = page("SKILL.md");
    for rule in [
        "Never read `.env`",
        "Never print an environment",
        "Never ask anybody for a value",
        "Never approve your own request",
        "Never write a value",
    ] {
        assert!(text.contains(rule), "{rule}");
    }
    // And its own commands keep them: none of them is one of a person's.
    let people: BTreeSet<String> = commands(PEOPLE).into_iter().collect();
    for name in AGENTS {
        for line in commands(name) {
            assert!(!people.contains(&line), "{line}");
            for word in ["approve", "secret", "grant"] {
                assert!(
                    !line.split_whitespace().any(|typed| typed == word),
                    "{line}"
                );
            }
        }
    }
}
