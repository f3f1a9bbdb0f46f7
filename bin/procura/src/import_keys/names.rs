//! What a thing of the tree is called here: by rule, so that the same tree gives the
//! same names each time.

use procura_crypto::sha256;
use procura_types::{EnvName, ForeignId, Label, Malformed, encoding};

/// Characters of the longest label.
const LONGEST: usize = 32;
/// Digits of the hash that stands for what a label leaves out.
const DIGITS: usize = 8;

/// The label of the agent that an id is bound to: the id in lower case, with one `-`
/// for each run of other characters than letters and digits, and none at the ends. Of
/// what is longer than a label can be, the first 23 characters, `-`, and 8 digits of
/// the SHA-256 of the id; of an id with neither letter nor digit, `agent-` and these.
pub(super) fn label(id: &ForeignId) -> Result<Label, Malformed> {
    let lower = id.as_str().to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let plain = words.join("-");
    if !plain.is_empty() && plain.len() <= LONGEST {
        return plain.parse();
    }
    let hash = encoding::hex(&sha256(id.as_str().as_bytes()));
    let digits = hash.get(..DIGITS).unwrap_or(&hash);
    let head: String = plain.chars().take(LONGEST - DIGITS - 1).collect();
    match head.trim_end_matches('-') {
        "" => format!("agent-{digits}"),
        head => format!("{head}-{digits}"),
    }
    .parse()
}

/// The name that the project has for a key: the folder and the name in capitals, with
/// `_` for what a name in an environment has not.
pub(super) fn env(folder: &str, name: &str) -> Result<EnvName, Malformed> {
    format!("{folder}_{name}")
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => character.to_ascii_uppercase(),
            _ => '_',
        })
        .collect::<String>()
        .parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> String {
        label(&id.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn labels_follow_from_ids() {
        for (id, label) in [
            ("scribe", "scribe"),
            ("Build_Agent.2", "build-agent-2"),
            ("--a__b--", "a-b"),
            ("a.b", "a-b"),
            ("0", "0"),
            (&"x".repeat(32), &"x".repeat(32)),
        ] {
            assert_eq!(of(id), label, "{id}");
        }
        // printf %s ID | sha256sum
        let thirty_four = format!("{}.v-1", "Agent_".repeat(5));
        assert_eq!(of(&thirty_four), "agent-agent-agent-agent-8dcb9c8d");
        assert_eq!(of("-"), "agent-3973e022");
        for id in ["y".repeat(33), "z".repeat(64), "-".repeat(64)] {
            assert!(of(&id).len() <= LONGEST, "{id}");
        }
        assert_ne!(of(&"y".repeat(33)), of(&"y".repeat(34)));
    }

    #[test]
    fn names_follow_from_folders_and_files() {
        for (folder, name, expected) in [
            ("ssh", "deploy-key.2", "SSH_DEPLOY_KEY_2"),
            ("api", "openai", "API_OPENAI"),
            ("api", "0", "API_0"),
        ] {
            assert_eq!(env(folder, name).unwrap().as_str(), expected);
        }
        assert!(env("ssh", &"x".repeat(125)).is_err());
    }
}
