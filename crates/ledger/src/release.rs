//! Releases: which programs a release key vouches for, as a signed note (C2SP signed-note,
//! `protocol.md` §3.7).

use crate::LedgerError;
use crate::note::{Note, NoteSigner, Vkey};
use procura_types::{BuildWord, ExeDigest};
use std::fmt::Write as _;

/// The first line: a note of another purpose by the same key is none.
const HEAD: &str = "procura-release/v1";
/// Most programs of one note.
const MAX_PROGRAMS: usize = 256;

const fn malformed(problem: &'static str) -> LedgerError {
    LedgerError::malformed("release", problem)
}

/// A program of a release: one line, `<sha256> <version> <target>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleasedProgram {
    /// The SHA-256 of the program.
    pub sha256: ExeDigest,
    /// Its version.
    pub version: BuildWord,
    /// What it is built for: `x86_64-linux`.
    pub target: BuildWord,
}

/// Reads lines of programs, as `sha256sum` and an editor make them: empty lines and what
/// follows a `#` are left out.
///
/// # Errors
/// [`LedgerError::Malformed`] for a line of another form, the same digest twice, no program,
/// and more than 256.
pub fn released_programs(text: &str) -> Result<Vec<ReleasedProgram>, LedgerError> {
    let mut programs = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let [sha256, version, target] = words.as_slice() else {
            if words.is_empty() {
                continue;
            }
            return Err(malformed("a line is not <sha256> <version> <target>"));
        };
        let word = |text: &str| {
            text.parse().map_err(|_| {
                malformed("a version or target has other characters than A-Z a-z 0-9 . _ + -")
            })
        };
        programs.push(ReleasedProgram {
            sha256: sha256
                .parse()
                .map_err(|_| malformed("a digest is not 64 hexadecimal digits in lower case"))?,
            version: word(version)?,
            target: word(target)?,
        });
        if programs.len() > MAX_PROGRAMS {
            return Err(malformed("has more than 256 programs"));
        }
    }
    programs.sort();
    if programs.is_empty() {
        return Err(malformed("has no program"));
    }
    if programs
        .windows(2)
        .any(|pair| matches!(pair, [one, next] if one.sha256 == next.sha256))
    {
        return Err(malformed("has the same digest twice"));
    }
    Ok(programs)
}

/// The note in which a release key vouches for these programs.
///
/// # Errors
/// [`LedgerError::SigningFailed`].
pub fn sign_release(
    programs: &[ReleasedProgram],
    signer: &NoteSigner,
) -> Result<String, LedgerError> {
    let mut text = format!("{HEAD}\n");
    for program in programs {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {}",
            program.sha256, program.version, program.target
        );
    }
    signer.sign(&text)
}

/// The programs that a note vouches for, and which of these keys signed it.
///
/// # Errors
/// [`LedgerError::Unsigned`] when none of the keys did, [`LedgerError::BadSignature`] when
/// a signature in the name of one is not its own, [`LedgerError::Malformed`], also when no
/// key is known.
pub fn open_release<'k>(
    note: &str,
    known: &'k [Vkey],
) -> Result<(Vec<ReleasedProgram>, &'k Vkey), LedgerError> {
    let parsed = Note::parse(note)?;
    if known.is_empty() {
        return Err(malformed("there is no key that could have signed it"));
    }
    // Nothing is said of a text that nobody signed.
    parsed.open(known)?;
    let by = known
        .iter()
        .find(|key| parsed.open(std::slice::from_ref(key)).is_ok())
        .ok_or(malformed("nobody signed it"))?;
    let text = parsed.open(std::slice::from_ref(by))?;
    let lines = text
        .strip_prefix(HEAD)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or(malformed("does not begin with procura-release/v1"))?;
    Ok((released_programs(lines)?, by))
}
