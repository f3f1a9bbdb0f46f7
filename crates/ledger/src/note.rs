//! Signed notes (C2SP signed-note) with Ed25519 keys.

use crate::LedgerError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_crypto::{PublicKey, SignatureAlgorithm, SigningKey, sha256};
use procura_types::encoding;
use std::fmt;
use std::str::FromStr;

/// The byte that names Ed25519 among the kinds of keys.
const ED25519: u8 = 1;
/// Beyond these a note is refused unread; the standard asks for at least 16.
const MAX_SIGNATURES: usize = 64;
const MAX_NOTE: usize = 64 * 1024;

const fn malformed(problem: &'static str) -> LedgerError {
    LedgerError::malformed("signed note", problem)
}

/// A verifier key: `<name>+<key id, hexadecimal>+<base64 of 0x01 ‖ key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vkey {
    name: String,
    id: [u8; 4],
    key: PublicKey,
}

impl Vkey {
    /// The verifier key of an Ed25519 key under a name. Names have no spaces
    /// and no `+`; other kinds of keys are refused.
    pub fn new(name: &str, key: &PublicKey) -> Result<Self, LedgerError> {
        if key.algorithm() != SignatureAlgorithm::Ed25519 {
            return Err(wrong_key("is no Ed25519 key"));
        }
        if !is_key_name(name) {
            return Err(wrong_key("the name is empty or has spaces or +"));
        }
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, key.as_bytes()),
            key: key.clone(),
        })
    }

    /// Whose key it is; of a log, its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key).
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

const fn wrong_key(problem: &'static str) -> LedgerError {
    LedgerError::malformed("verifier key", problem)
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.as_bytes()].concat();
        let id = encoding::hex(&self.id);
        write!(f, "{}+{id}+{}", self.name, STANDARD.encode(key))
    }
}

impl FromStr for Vkey {
    type Err = LedgerError;
    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let (name, rest) = text
            .split_once('+')
            .ok_or(wrong_key("is not <name>+<id>+<key>"))?;
        let (id, key) = rest
            .split_once('+')
            .ok_or(wrong_key("is not <name>+<id>+<key>"))?;
        let key = STANDARD
            .decode(key)
            .map_err(|_| wrong_key("the key is not base64"))?;
        let raw = match key.split_first() {
            Some((&ED25519, raw)) => raw,
            _ => return Err(wrong_key("is no Ed25519 key")),
        };
        let key = PublicKey::from_ed25519(raw).map_err(|_| wrong_key("is no valid Ed25519 key"))?;
        let parsed = Self::new(name, &key)?;
        if encoding::hex(&parsed.id) == id {
            Ok(parsed)
        } else {
            Err(wrong_key("the id is not of this name and key"))
        }
    }
}

/// Signs notes under one name.
pub struct NoteSigner {
    vkey: Vkey,
    key: SigningKey,
}

impl NoteSigner {
    /// Takes an Ed25519 key and its name.
    pub fn new(name: &str, key: SigningKey) -> Result<Self, LedgerError> {
        let vkey = Vkey::new(name, key.public())?;
        Ok(Self { vkey, key })
    }

    /// What others verify with.
    #[must_use]
    pub const fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// The note: `text`, which must end with a newline and have no control
    /// characters, and one signature.
    pub fn sign(&self, text: &str) -> Result<String, LedgerError> {
        check_text(text)?;
        let line = self.line(text)?;
        Ok(format!("{text}\n{line}"))
    }

    /// The signature line of a text that was checked.
    pub(crate) fn line(&self, text: &str) -> Result<String, LedgerError> {
        let signature = self
            .key
            .sign(text.as_bytes())
            .map_err(|_| LedgerError::SigningFailed)?;
        let bytes = [&self.vkey.id[..], &signature].concat();
        let (name, line) = (&self.vkey.name, STANDARD.encode(bytes));
        Ok(format!("\u{2014} {name} {line}\n"))
    }
}

/// A note that parsed; its text counts only after [`Note::open`].
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<NoteSignature<'a>>,
}

struct NoteSignature<'a> {
    name: &'a str,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Reads text and signature lines, verifying nothing.
    pub fn parse(note: &'a str) -> Result<Self, LedgerError> {
        if note.len() > MAX_NOTE {
            return Err(malformed("is longer than 64 KiB"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(malformed("has control characters"));
        }
        // The last empty line separates; the text keeps its own final newline.
        let end = note
            .rfind("\n\n")
            .ok_or(malformed("has no signature block"))?;
        let (text, block) = note
            .split_at_checked(end + 1)
            .ok_or(malformed("has no signature block"))?;
        check_text(text)?;
        let lines = block
            .strip_prefix('\n')
            .and_then(|block| block.strip_suffix('\n'))
            .ok_or(malformed("does not end with a newline"))?;
        let signatures = lines
            .split('\n')
            .map(parse_signature)
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(malformed("has more than 64 signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// The text, if a known key has signed it. Signatures of unknown keys are
    /// ignored; one in the name and id of a known key must verify.
    pub fn open(&self, known: &[Vkey]) -> Result<&'a str, LedgerError> {
        let mut signed = false;
        for line in &self.signatures {
            let of = |key: &&Vkey| key.name == line.name && key.id == line.id;
            let Some(key) = known.iter().find(of) else {
                continue;
            };
            if !key.key.verify(self.text.as_bytes(), &line.signature) {
                return Err(LedgerError::BadSignature {
                    name: key.name.clone(),
                });
            }
            signed = true;
        }
        if signed {
            Ok(self.text)
        } else {
            let names: Vec<&str> = known.iter().map(Vkey::name).collect();
            Err(LedgerError::Unsigned {
                name: names.join(" or "),
            })
        }
    }
}

fn check_text(text: &str) -> Result<(), LedgerError> {
    if !text.ends_with('\n') {
        return Err(malformed("its text does not end with a newline"));
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(malformed("has control characters"));
    }
    Ok(())
}

fn parse_signature(line: &str) -> Result<NoteSignature<'_>, LedgerError> {
    let shape = malformed("a signature line is not — <name> <base64>");
    let Some((name, signature)) = line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.split_once(' '))
    else {
        return Err(shape);
    };
    if !is_key_name(name) {
        return Err(shape);
    }
    let bytes = STANDARD
        .decode(signature)
        .map_err(|_| malformed("a signature is not base64"))?;
    match bytes.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => Ok(NoteSignature {
            name,
            id: *id,
            signature: signature.to_vec(),
        }),
        _ => Err(malformed("a signature is too short")),
    }
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c == '+' || c.is_control())
}

fn key_id(name: &str, key: &[u8]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), &[b'\n', ED25519], key].concat());
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}
