//! What each profile makes of a request.

use crate::message::Fields;
use crate::reason::Case;
use procura_types::{ForeignId, Timestamp};
use std::borrow::Cow;

/// The id of the agent, in all profiles but one.
pub(super) const AGENT_ID: &str = "x-agent-id";
/// The id of the agent in `guide-v1`.
pub(super) const AGENT: &str = "x-agent";
pub(super) const TIMESTAMP: &str = "x-timestamp";
pub(super) const NONCE: &str = "x-nonce";
pub(super) const SIGNATURE: &str = "x-signature";
pub(super) const SESSION: &str = "x-session-id";
pub(super) const VERSION: &str = "x-signature-version";

/// The header fields, in lower case, that tell profiles apart and that proofs of other
/// systems are read from. Whoever hands such a proof on hands on every line of these.
pub const FIELDS: [&str; 9] = [
    AGENT_ID,
    AGENT,
    TIMESTAMP,
    NONCE,
    SIGNATURE,
    SESSION,
    VERSION,
    "signature-input",
    "signature",
];

/// The longest signature that is looked at, in characters. One that cannot be
/// decoded is a bad one, found after the look-up of the key; a longer one has no
/// form.
const LONGEST_SIGNATURE: usize = 256;

/// A proof of good form. Nothing of it is verified yet.
pub(super) struct Parsed<'a> {
    pub(super) agent: ForeignId,
    pub(super) created: Timestamp,
    pub(super) nonce: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    /// As sent.
    pub(super) signature: &'a str,
    /// What the signature is over.
    pub(super) message: Cow<'a, [u8]>,
}

/// The one line of a field, without the space around it; `form` when it has
/// other than printable characters.
pub(super) fn line<'a>(
    fields: &Fields<'a>,
    name: &str,
    form: Case,
) -> Result<Option<&'a str>, Case> {
    let mut lines = fields.lines(name);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Case::ForeignDoubled);
    }
    let text = std::str::from_utf8(line.trim_ascii()).map_err(|_| form)?;
    if text.bytes().all(is_printable) {
        Ok(Some(text))
    } else {
        Err(form)
    }
}

/// The same of a field that has to be there.
pub(super) fn required<'a>(fields: &Fields<'a>, name: &str, form: Case) -> Result<&'a str, Case> {
    line(fields, name, form)?.ok_or(Case::ForeignMissing)
}

/// The agent that a field names.
pub(super) fn agent(fields: &Fields<'_>, name: &str) -> Result<ForeignId, Case> {
    required(fields, name, Case::AgentIdForm)?
        .parse()
        .map_err(|_| Case::AgentIdForm)
}

/// The signature as sent.
pub(super) fn signature<'a>(fields: &Fields<'a>) -> Result<&'a str, Case> {
    let text = required(fields, SIGNATURE, Case::AgentSignatureForm)?;
    check_signature(text)?;
    Ok(text)
}

/// Whether a signature is one that will be looked at.
pub(super) fn check_signature(text: &str) -> Result<(), Case> {
    if (1..=LONGEST_SIGNATURE).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(Case::AgentSignatureForm)
    }
}

/// A character that a line which is signed may have: ASCII from space to tilde.
fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// Lines joined by line feeds, with none at the end.
pub(super) fn lines(lines: &[&str]) -> Vec<u8> {
    lines.join("\n").into_bytes()
}
