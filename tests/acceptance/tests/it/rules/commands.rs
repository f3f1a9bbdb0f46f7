//! Every command that a document names is one of the command line, with options that it has:
//! in blocks, in sentences, and in the skill of coding agents. What the command line has is
//! `schema/cli.md`, which is held against the programs.

use super::{documents, read, root};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What begins as a command does, and is a text of the formats.
const CONSTANTS: [&str; 1] = ["sentinel v1"];

/// Option → whether a word of its own follows it.
type Options = BTreeMap<String, bool>;

struct Section {
    options: Options,
    /// Whether it is a command by itself, and not just the name of a group.
    is_typed: bool,
}

/// What the command line has.
struct Reference {
    sections: BTreeMap<String, Section>,
    everywhere: Options,
}

impl Reference {
    fn read() -> Self {
        let text = read("schema/cli.md");
        let mut sections = BTreeMap::new();
        for section in text.split("\n## ").skip(1) {
            let (title, body) = section.split_once('\n').unwrap_or((section, ""));
            let section = Section {
                options: options(body),
                is_typed: body.contains(&format!("\n```\n{title}")),
            };
            sections.insert(title.to_owned(), section);
        }
        let everywhere = sections.remove("Options of every command").unwrap().options;
        assert!(sections.len() > 100 && everywhere.len() > 5);
        Self {
            sections,
            everywhere,
        }
    }

    fn option(&self, title: &str, name: &str) -> Option<bool> {
        let own = self.sections.get(title);
        let own = own.and_then(|section| section.options.get(name));
        own.or_else(|| self.everywhere.get(name)).copied()
    }

    /// What is wrong with a command.
    fn problem(&self, words: &[&str]) -> Option<String> {
        let mut words = words.iter().copied();
        let mut title = words.next().unwrap_or_default().to_owned();
        let mut named: Vec<&str> = Vec::new();
        let mut is_argument = false;
        while let Some(word) = words.next() {
            if let Some(name) = option_in(word) {
                let (name, is_apart) = match name.split_once('=') {
                    Some((name, _)) => (name, false),
                    None => (name, true),
                };
                named.push(name);
                if is_apart && self.option(&title, name) == Some(true) {
                    words.next();
                }
                continue;
            }
            let below = format!("{title} {word}");
            if !is_argument && self.sections.contains_key(&below) {
                title = below;
                continue;
            }
            is_argument = true;
            let here = self.sections.get(&title);
            if !here.is_some_and(|section| section.is_typed) {
                return Some(format!("{title} has no {word}"));
            }
        }
        if !self.sections.contains_key(&title) {
            return Some(format!("{title} is no command"));
        }
        let lost = named
            .into_iter()
            .find(|name| *name != "--help" && self.option(&title, name).is_none());
        lost.map(|name| format!("{title} has no {name}"))
    }
}

/// The options of a section.
fn options(body: &str) -> Options {
    let mut found = Options::new();
    for line in body.lines().filter(|line| line.starts_with("- `-")) {
        let form = line.split('`').nth(1).unwrap();
        let takes = form.contains('<');
        for word in form.split([' ', ',', '=']) {
            if word.starts_with('-') {
                found.insert(word.to_owned(), takes);
            }
        }
    }
    found
}

/// The option that a word is: letters behind one hyphen or two.
fn option_in(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    begins.then_some(word)
}

/// What a text has as code: in sentences, and the blocks of commands.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (place, part) in text.split("```").enumerate() {
        if place % 2 == 0 {
            let spans = part.split('`').skip(1).step_by(2);
            found.extend(spans.map(str::to_owned));
            continue;
        }
        let (language, block) = part.split_once('\n').unwrap_or((part, ""));
        if ["sh", "console", ""].contains(&language) {
            let whole = block.replace("\\\n", " ");
            found.extend(whole.lines().map(str::to_owned));
        }
    }
    found
}

/// The commands of ours in a line of code, as words without where they read and write.
fn commands(line: &str) -> Vec<Vec<String>> {
    const BEFORE: [&str; 9] = [
        "$ ",
        "sudo ",
        "until ",
        "if ",
        "! ",
        "do ",
        "then ",
        "else ",
        "runuser -u procura -- ",
    ];
    let parts = line.replace("$(", "|");
    let mut found = Vec::new();
    for part in parts.split(['|', ';', '&', '(', ')']) {
        let mut part = part.trim();
        loop {
            let rest = BEFORE.iter().find_map(|word| part.strip_prefix(word));
            let set = part.split_once(' ').filter(|(word, _)| is_variable(word));
            match rest.or(set.map(|(_, rest)| rest)) {
                Some(rest) => part = rest.trim(),
                None => break,
            }
        }
        let program = ["procura", "procurad"].into_iter().find_map(|program| {
            let rest = part.strip_prefix(program)?.strip_prefix(' ')?;
            Some((program, rest))
        });
        let Some((program, ours)) = program else {
            continue;
        };
        // What stands behind the dashes is somebody else's.
        let ours = ours.split(" -- ").next().unwrap_or(ours);
        let begins = ours.starts_with(|letter: char| letter == '-' || letter.is_ascii_lowercase());
        if begins && !CONSTANTS.contains(&ours) {
            let mut command = vec![program.to_owned()];
            command.extend(words(ours));
            found.push(command);
        }
    }
    found
}

/// Whether a word sets a variable for a command.
fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    let mut letters = name.bytes();
    !name.is_empty() && letters.all(|letter| letter.is_ascii_uppercase() || letter == b'_')
}

fn words(command: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        let bare = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if bare.starts_with(['<', '>']) {
            if bare.trim_start_matches(['<', '>']).is_empty() {
                words.next();
            }
            continue;
        }
        if word.starts_with('#') || word == "…" {
            break;
        }
        let word = word.trim_end_matches([',', '.', ':']);
        found.push(word.trim_matches(['[', ']']).to_owned());
    }
    found
}

#[test]
fn every_command_that_a_document_names_is_one_of_the_program() {
    let reference = Reference::read();
    let mut named = 0;
    let mut lost = Vec::new();
    // The history of changes is about commands of its time.
    let is_of_today = |page: &PathBuf| !page.ends_with("CHANGELOG.md");
    for page in documents().into_iter().filter(is_of_today) {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in code(&text).iter().flat_map(|line| commands(line)) {
            named += 1;
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            if let Some(problem) = reference.problem(&words) {
                let page = page.strip_prefix(root()).unwrap_or(&page);
                lost.push(format!(
                    "{}: {problem}: {}",
                    page.display(),
                    command.join(" ")
                ));
            }
        }
    }
    assert!(named > 400, "{named}");
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn a_command_that_is_none_is_found() {
    let reference = Reference::read();
    let problem = |line: &str| {
        let found = commands(line);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        let words: Vec<&str> = found[0].iter().map(String::as_str).collect();
        reference.problem(&words)
    };
    for good in [
        "procura --home one -n shop secret put db/password --env DB < value.txt",
        "$ procura run --project shop --name KEY -- sh -c 'echo --no-such'",
        "until procura status; do sleep 1; done",
        "PROCURA_SOCKET=\"$PWD/a.sock\" procura join < code.txt",
        "procura agent list | grep bot",
        "procura init --owner alice --passphrase-fd 3 3< passphrase.txt > key.txt",
        "procura server",
        "procura backup monday.procura",
        "procura backup check monday.procura",
        "procurad --home one --tpm /dev/tpmrm0 > daemon.log 2>&1",
    ] {
        assert_eq!(problem(good), None, "{good}");
    }
    for (bad, why) in [
        ("procura secrets list", "procura has no secrets"),
        ("procura secret puts a/b", "procura secret has no puts"),
        (
            "procura secret put a/b --envs A",
            "procura secret put has no --envs",
        ),
        (
            "x=$(procura status --hom=one)",
            "procura status has no --hom",
        ),
        ("procurad --sockets a.sock", "procurad has no --sockets"),
    ] {
        assert_eq!(problem(bad).as_deref(), Some(why), "{bad}");
    }
}
