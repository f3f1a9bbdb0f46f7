//! The skill for coding agents: its form, and that every command in it does what it says,
//! against a server and a daemon.

use crate::host_setup::release;
use crate::scene::requests;
use procura_acceptance::{Daemon, Installation, Outcome, program};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

/// What makes the machine wait for an admin, who types [`LET_IN`].
const JOIN: &str = "procura join --device --server \"$PROCURA_SERVER\"";
const LET_IN: &str = "procura device approve \"$CODE\" --agent scribe";
const SOME: &str = "procura request approve \"$REQUEST\" --names DB_URL --for 12h";
const NO: &str = "procura request deny \"$REQUEST\"";

/// Those of a person, who is asked nothing in between.
const OF_A_PERSON: [&str; 18] = [
    "procura request list",
    "procura request show \"$REQUEST\"",
    "procura request approve \"$REQUEST\"",
    SOME,
    NO,
    "procura grant list",
    "procura audit list --action run.deliver",
    "procura grant withdraw \"$REQUEST\"",
    "procura secret put new/key --env NEW_KEY",
    "procura project set shop --env OTHER_KEY=new/key",
    "procura secret import .env",
    "rm .env",
    JOIN,
    "procura device pending",
    LET_IN,
    "procura agent code scribe > code.txt",
    "procura join < code.txt",
    "sudo procura setup agent-host --user \"$USER\"",
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

    /// A line in a shell, with these variables and no others.
    fn shell(&self, line: &str, home: &Path, request: &str, code: &str) -> Command {
        let programs = program("procura").parent().unwrap().to_owned();
        let stand_in = self.work.join("stand-in");
        let path = [&stand_in, &programs].map(|place| place.display());
        let mut command = Command::new("bash");
        command
            .args(["-uc", line])
            .env_clear()
            .env("PATH", format!("{}:{}:/usr/bin:/bin", path[0], path[1]))
            .env("PROCURA_HOME", home)
            .env("PROCURA_SOCKET", self.daemon.socket())
            .env("PROCURA_SERVER", self.server.url())
            .env("REQUEST", request)
            .env("CODE", code)
            .env("USER", "alice")
            .current_dir(&self.work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Types it.
    fn type_in(&self, mut line: Command, input: &str) -> Outcome {
        let mut child = line.spawn().unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// Puts a `sudo` before the machine's, which sets up the image of a machine with
    /// programs that nobody else could have replaced; on the machine itself it is typed in
    /// `host_setup.rs`.
    fn stand_in_for_sudo(&self, programs: &Path) -> PathBuf {
        let image = self.server.folder().join("image");
        fs::create_dir_all(image.join("etc")).unwrap();
        let keep = |name: &str, text: &str| fs::write(image.join("etc").join(name), text).unwrap();
        keep(
            "passwd",
            "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
        );
        keep("group", "root:x:0:\nalice:x:1000:\n");
        let folder = self.work.join("stand-in");
        fs::create_dir(&folder).unwrap();
        let sudo = folder.join("sudo");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = procura ] || exit 64\nshift\nexec '{}' \"$@\" --root '{}'\n",
            programs.join("procura").display(),
            image.display()
        );
        fs::write(&sudo, text).unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
        image
    }

    fn agent(&self, line: &str) -> Outcome {
        self.type_in(self.shell(line, &self.daemon.home(), "", ""), "")
    }

    /// Has the agent ask for what it has no grant for; the request.
    fn asked(&self, what: &str) -> String {
        let asked = self.agent(&format!("procura run --project shop {what} -- true"));
        assert_eq!(asked.code, 75, "{what}: {}", asked.stderr);
        self.waiting()
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

/// A machine that waits for an admin, and the code that it shows.
struct Joining {
    child: Child,
    code: String,
}

impl Joining {
    fn begin(mut line: Command) -> Self {
        let mut child = line.stdin(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut lines = said.lines().map(Result::unwrap);
        let code =
            lines.find_map(|line| Some(line.trim().strip_prefix("code ")?.trim().to_owned()));
        // Whatever it says later is read away, so that it never waits for that.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            code: code.expect("it shows a code"),
        }
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

    of_a_person(&desk);
    let withdrawn =
        desk.agent("procura run --project shop --delivery file --name STRIPE_KEY -- true");
    assert_eq!(withdrawn.code, 75, "what was withdrawn is asked for anew");
}

/// What a person types, on both sides.
fn of_a_person(desk: &Desk) {
    for (path, name) in [("db/url", "DB_URL"), ("mail/key", "MAIL_KEY")] {
        let put = ["secret", "put", path, "--env", name];
        desk.server.cli_with(&put, b"a value").ok();
    }
    let env = desk.work.join(".env");
    fs::write(&env, "IMPORTED_KEY=imported-value\n").unwrap();
    let programs = release();
    let image = desk.stand_in_for_sudo(programs.path());
    let first = desk.asked("--delivery file --name STRIPE_KEY");
    let mut joining = None;
    for line in OF_A_PERSON {
        // Each answer is to a request of its own.
        let request = match line {
            SOME => desk.asked("--name DB_URL --name MAIL_KEY"),
            NO => desk.asked("--name MAIL_KEY"),
            _ => first.clone(),
        };
        // Whom a terminal would ask is asked nothing.
        let typed = line.replacen("procura", "procura --yes", 1);
        let code = joining.as_ref().map_or("", |it: &Joining| it.code.as_str());
        let shell = desk.shell(&typed, &desk.server.home(), &request, code);
        if line == JOIN {
            joining = Some(Joining::begin(shell));
            continue;
        }
        let outcome = desk.type_in(shell, "new-value");
        assert_eq!(
            outcome.code,
            0,
            "{line}: {}{}",
            outcome.text(),
            outcome.stderr
        );
        match line {
            SOME => {
                let ran = desk.agent("procura run --project shop --name DB_URL -- true");
                assert_eq!(ran.code, 0, "{}", ran.stderr);
            }
            LET_IN => {
                let mut joined = joining.take().unwrap();
                assert!(joined.child.wait().unwrap().success());
            }
            _ => {}
        }
    }
    let denied = ["request", "list", "--all"];
    let denied = desk.server.cli(&denied).ok().text();
    assert!(denied.contains("denied"), "{denied}");
    let imported = desk.server.cli(&["secret", "get", "imported_key"]).ok();
    assert_eq!(imported.text(), "imported-value");
    assert!(!env.exists());
    assert!(image.join("usr/bin/procurad").is_file());
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
    assert!((1..=64).contains(&field("name").len()));
    let parts: Vec<String> = field("name").split('-').map(str::to_owned).collect();
    for part in parts {
        // No hyphen at an end, and no two together.
        assert!(!part.is_empty());
        assert!(
            part.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
        );
    }
    assert!((1..=1024).contains(&field("description").chars().count()));
    assert!((1..=500).contains(&field("compatibility").chars().count()));
    // The licence is the project's.
    let workspace = folder().join("../../Cargo.toml");
    let licence = format!("license = \"{}\"\n", field("license"));
    assert!(fs::read_to_string(workspace).unwrap().contains(&licence));
    // These are the fields that the format has, each a plain scalar of YAML.
    for line in front.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let fields = [
            "name",
            "description",
            "license",
            "compatibility",
            "metadata",
            "allowed-tools",
        ];
        assert!(fields.contains(&name), "{line}");
        assert!(!value.contains(": ") && !value.contains(" #"), "{line}");
        let begins = value.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        assert!(begins, "{line}");
    }
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
