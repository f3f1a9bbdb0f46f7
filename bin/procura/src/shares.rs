//! Shares on their way to those who keep them, and whether one is genuine.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use procura_crypto::SystemEntropy;
use procura_crypto::age::{Recipient, encrypt};
use procura_types::Secret;
use procura_types::encoding::b64_standard;
use procura_types::wire::ShareSet;
use procura_vault::{Installation, SealError, Share};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use std::io::IsTerminal as _;

/// Colours of a terminal (ECMA-48 §8.3.117).
const BLACK_ON_WHITE: &str = "\x1b[30;107m";
const RESET: &str = "\x1b[0m";

/// A file with a recipient is no longer than this.
const RECIPIENT_LIMIT: u64 = 4096;

/// How shares leave this process.
pub(crate) struct HandOut {
    /// One holder for each share, or nobody: then they are shown as they are.
    holders: Vec<Recipient>,
    qr: bool,
}

impl HandOut {
    /// Reads whom the shares of a set are for, before any is made.
    pub(crate) fn new(to: &[String], qr: bool, set: Option<ShareSet>) -> Result<Self, Failure> {
        let holders: Vec<Recipient> = to
            .iter()
            .map(|to| recipient(to))
            .collect::<Result<_, _>>()?;
        // Shares are made once: whom nothing can be encrypted to is found out before.
        for (holder, to) in holders.iter().zip(to) {
            sealed(holder, &Secret::new(String::new())).map_err(|failure| {
                Failure::usage(format!(
                    "--to {to}: nothing can be encrypted to this key, so no shares were made"
                ))
                .because(failure)
            })?;
        }
        let count = set.map_or(0, |set| usize::from(set.count));
        if !holders.is_empty() && holders.len() != count {
            return Err(Failure::usage(format!(
                "there are {count} shares and {} holders",
                holders.len()
            ))
            .next(format!("--to {count} times, once for each holder")));
        }
        let mut names: Vec<String> = holders.iter().map(Recipient::fingerprint).collect();
        names.sort();
        names.dedup();
        if names.len() != holders.len() {
            return Err(Failure::usage(
                "the same holder is named twice, who would have two shares",
            ));
        }
        Ok(Self { holders, qr })
    }

    /// Prints the shares, once: as they are, or each for its holder alone. Words are
    /// numbered for a person, and on one line for a program.
    pub(crate) fn give(&self, shares: &[Secret<String>]) -> Result<(), Failure> {
        if self.holders.is_empty() {
            if !shares.is_empty() {
                output::say(
                    "each share goes to somebody else, who writes it down; they are shown this once",
                );
            }
            for share in shares {
                if self.qr {
                    // Upper case is a mode of its own with less to print; no scheme minds the case.
                    output::line(qr(&share.expose().to_ascii_uppercase())?)?;
                }
                if std::io::stdout().is_terminal() {
                    output::line(numbered(share.expose()))?;
                } else {
                    output::line(share.expose())?;
                }
            }
            return Ok(());
        }
        output::say("each share can be read by its holder alone: age --decrypt -i KEY");
        for (holder, share) in self.holders.iter().zip(shares) {
            output::say(format!("for {}", holder.fingerprint()));
            output::line(sealed(holder, share)?)?;
        }
        Ok(())
    }

    /// The same for programs: a text for each share.
    pub(crate) fn texts(&self, shares: &[Secret<String>]) -> Result<Vec<String>, Failure> {
        if self.holders.is_empty() {
            return Ok(shares.iter().map(|share| share.expose().clone()).collect());
        }
        let holders = self.holders.iter().zip(shares);
        holders
            .map(|(holder, share)| sealed(holder, share))
            .collect()
    }
}

/// Words that stand in one row of a terminal.
const WORDS_IN_A_ROW: usize = 4;

/// A share for a person who writes it down: words with their numbers, some in a row, and
/// text of ours as it is.
fn numbered(share: &str) -> String {
    let words: Vec<&str> = share.split(' ').collect();
    if words.len() == 1 {
        return share.to_owned();
    }
    let mut numbers = 1u32..;
    let rows: Vec<String> = words
        .chunks(WORDS_IN_A_ROW)
        .map(|row| {
            let cells = row.iter().zip(numbers.by_ref());
            let cells: Vec<String> = cells
                .map(|(word, number)| format!("{number:>3} {word:<8}"))
                .collect();
            cells.join(" ").trim_end().to_owned()
        })
        .collect();
    format!("{}\n", rows.join("\n"))
}

/// A holder: the text of a recipient, or a file with one.
fn recipient(text: &str) -> Result<Recipient, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("--to {text}: {why}"))
            .next("age1…, 'ssh-ed25519 AAAA…', 'ssh-rsa AAAA…', or a file with one")
    };
    if text.starts_with("age1") || text.starts_with("ssh-") {
        return Recipient::parse(text).map_err(|error| wrong(error.to_string()));
    }
    let length = std::fs::metadata(text)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if length > RECIPIENT_LIMIT {
        return Err(wrong("it is too long for a public key".to_owned()));
    }
    let file = std::fs::read_to_string(text).map_err(|error| wrong(error.to_string()))?;
    Recipient::parse(&file).map_err(|error| wrong(error.to_string()))
}

/// A share encrypted to its holder, in the text form of age.
fn sealed(holder: &Recipient, share: &Secret<String>) -> Result<String, Failure> {
    let line = Secret::new(format!("{}\n", share.expose()));
    let file = encrypt(
        std::slice::from_ref(holder),
        line.expose().as_bytes(),
        &SystemEntropy,
    )
    .map_err(|error| Failure::refused("the share was not encrypted").because(error))?;
    Ok(armored(&file))
}

/// The text form of an age file: strict PEM (RFC 7468 §2) of 64 columns.
fn armored(file: &[u8]) -> String {
    let text = b64_standard(file);
    let mut lines = vec!["-----BEGIN AGE ENCRYPTED FILE-----".to_owned()];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        lines.push(line.to_owned());
        rest = after;
    }
    lines.push("-----END AGE ENCRYPTED FILE-----".to_owned());
    lines.join("\n")
}

/// The QR code of a text. A terminal is told its colours: read the wrong way round, few
/// cameras know it.
pub(crate) fn qr(text: &str) -> Result<String, Failure> {
    let code = QrCode::new(text)
        .map_err(|error| Failure::usage("the text fits no QR code").because(error.to_string()))?;
    let drawn = code.render::<Dense1x2>().build();
    if !std::io::stdout().is_terminal() {
        return Ok(drawn);
    }
    let rows = drawn
        .lines()
        .map(|row| format!("{BLACK_ON_WHITE}{row}{RESET}"));
    Ok(rows.collect::<Vec<_>>().join("\n"))
}

/// Says whether a share is one of this vault's. It is held against the digests in
/// `installation.json`: nothing is opened with it, sent or recorded.
pub(crate) async fn verify(context: &Context) -> Result<(), Failure> {
    let installation = Installation::read(context.home.dir()).map_err(|error| {
        Failure::refused(error.to_string()).next("the home of the server: --home DIR")
    })?;
    let share = context.passphrases.ask("The share").await?;
    let share = Share::parse(share.expose()).map_err(|error| {
        Failure::refused(error.to_string()).next("the share as it was written down")
    })?;
    let source = installation
        .source_of(&share)
        .map_err(|error| match error {
            SealError::OtherShare => Failure::refused(
                "it is a share of a set that opens this vault no more, or of another vault",
            ),
            other => Failure::refused(other.to_string()),
        })?;
    let count = installation
        .sources
        .iter()
        .find(|found| found.name == source)
        .and_then(|found| found.keeper.shares())
        .map_or(0, |(_, set)| set.count);
    let answer = serde_json::json!({
        "source": source,
        "index": share.index(),
        "threshold": share.threshold(),
        "count": count,
    });
    let words = format!(
        "genuine: share {} of the {count} of {source}, of which {} open the vault; it was not used",
        share.index(),
        share.threshold()
    );
    output::done(context.json, &answer, &words)
}
