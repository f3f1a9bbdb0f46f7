//! Checkpoints (C2SP tlog-checkpoint) with two extension lines of ours.

use crate::{Hash, LedgerError, Note, NoteSigner, Vkey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_types::InstallationId;
use procura_types::encoding::{from_hex_fixed, hex};

const SEQ: &str = "procura-seq ";
const SET: &str = "procura-set ";

const fn malformed(problem: &'static str) -> LedgerError {
    LedgerError::malformed("checkpoint", problem)
}

/// The origin of an installation's log, and the name of the key that signs it.
#[must_use]
pub fn origin(installation: &InstallationId) -> String {
    format!("procura/{installation}")
}

/// The head of a log: what a signature stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `procura/<installation id>`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Commit sequence of the store when this was signed (`protocol.md` §5).
    pub seq: Option<u64>,
    /// Set digest of the directory at that sequence (`protocol.md` §5).
    pub set: Option<[u8; 32]>,
    /// Extension lines of others, in order.
    pub extensions: Vec<String>,
}

/// Random bytes in the name of a later origin: two restored stores that go on apart from
/// each other never have one name.
const APART: usize = 8;

/// The name of a later origin, that a restored store goes on under:
/// `procura/<installation id>/<number>-<16 hexadecimal digits>`. The number, from 2 on,
/// is for people; what tells two of them apart is what follows it.
#[must_use]
pub fn later_origin(installation: &InstallationId, number: u64, apart: &[u8; APART]) -> String {
    format!("{}/{number}-{}", origin(installation), hex(apart))
}

/// The number of an origin of this installation: 1 for the first; `None` for what is no
/// origin of it. Stores went on under a number alone before names had random digits.
#[must_use]
pub fn origin_number(name: &str, installation: &InstallationId) -> Option<u64> {
    let rest = name.strip_prefix(origin(installation).as_str())?;
    if rest.is_empty() {
        return Some(1);
    }
    let rest = rest.strip_prefix('/')?;
    let (number, apart) = match rest.split_once('-') {
        Some((number, apart)) => (number, Some(apart)),
        None => (rest, None),
    };
    let told_apart = apart.is_none_or(|apart| {
        from_hex_fixed::<APART>(apart).is_some_and(|bytes| hex(&bytes) == apart)
    });
    decimal(number).filter(|number| told_apart && *number > 1)
}

/// Whether an origin is one of this installation's: the first, or a later one that a
/// restored store went on under.
#[must_use]
pub fn is_origin_of(name: &str, installation: &InstallationId) -> bool {
    origin_number(name, installation).is_some()
}

impl Checkpoint {
    /// The note text: origin, size, root, then the extension lines.
    pub fn body(&self) -> Result<String, LedgerError> {
        use std::fmt::Write as _;
        let mut body = format!("{}\n{}\n{}\n", self.origin, self.size, self.root);
        // Writing to a String cannot fail.
        if let Some(seq) = self.seq {
            let _ = writeln!(body, "{SEQ}{seq}");
        }
        if let Some(set) = &self.set {
            let _ = writeln!(body, "{SET}{}", STANDARD.encode(set));
        }
        for line in &self.extensions {
            let _ = writeln!(body, "{line}");
        }
        // What would read back differently is never signed: empty lines, line
        // breaks within one, extension lines that pose as ours.
        if Self::parse_body(&body)? == *self {
            Ok(body)
        } else {
            Err(malformed("its lines do not read back as they are"))
        }
    }

    /// Reads a note text that [`Note::open`] has let through.
    pub fn parse_body(body: &str) -> Result<Self, LedgerError> {
        let mut lines = body
            .strip_suffix('\n')
            .ok_or(malformed("does not end with a newline"))?
            .split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(malformed("the origin is empty"));
        }
        let mut checkpoint = Self {
            origin: origin.to_owned(),
            size: decimal(size).ok_or(malformed("the size is not a decimal number"))?,
            root: root
                .parse()
                .map_err(|_| malformed("the root is not 32 bytes in base64"))?,
            seq: None,
            set: None,
            extensions: Vec::new(),
        };
        for line in lines {
            checkpoint.extension(line)?;
        }
        Ok(checkpoint)
    }

    fn extension(&mut self, line: &str) -> Result<(), LedgerError> {
        if line.is_empty() {
            return Err(malformed("an extension line is empty"));
        }
        if let Some(seq) = line.strip_prefix(SEQ) {
            let seq = decimal(seq).ok_or(malformed("procura-seq is not a decimal number"))?;
            return match self.seq.replace(seq) {
                None => Ok(()),
                Some(_) => Err(malformed("procura-seq stands twice")),
            };
        }
        if let Some(set) = line.strip_prefix(SET) {
            let set = STANDARD
                .decode(set)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(malformed("procura-set is not 32 bytes in base64"))?;
            return match self.set.replace(set) {
                None => Ok(()),
                Some(_) => Err(malformed("procura-set stands twice")),
            };
        }
        self.extensions.push(line.to_owned());
        Ok(())
    }

    /// The signed note. Refused when the signer's name is not the origin.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String, LedgerError> {
        self.check_origin(signer.vkey())?;
        signer.sign(&self.body()?)
    }

    /// The checkpoint in a signed note, if the log's own key has signed it.
    pub fn open(note: &str, vkey: &Vkey) -> Result<Self, LedgerError> {
        let text = Note::parse(note)?.open(std::slice::from_ref(vkey))?;
        let checkpoint = Self::parse_body(text)?;
        checkpoint.check_origin(vkey)?;
        Ok(checkpoint)
    }

    fn check_origin(&self, vkey: &Vkey) -> Result<(), LedgerError> {
        if vkey.name() == self.origin {
            Ok(())
        } else {
            Err(LedgerError::WrongOrigin {
                expected: vkey.name().to_owned(),
                found: self.origin.clone(),
            })
        }
    }
}

/// A decimal number without leading zeros or signs.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty()
        && text.bytes().all(|digit| digit.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}
