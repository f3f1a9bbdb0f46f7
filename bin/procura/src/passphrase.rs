//! Where passphrases come from: the terminal, or a file descriptor. Never the
//! command line or the environment.

use crate::failure::Failure;
use crate::terminal;
use procura_types::{Secret, SecretBytes};
use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read as _};

/// Longer lines on the descriptor are refused, in bytes.
const LONGEST: usize = 1024;

/// New ones have so many characters at least, as the server requires too.
const SHORTEST: usize = 12;

/// The source of passphrases of one command.
pub(crate) struct Passphrases {
    fd: Option<u32>,
    /// Opened once, so that a second line is the second line of a file too.
    open: RefCell<Option<File>>,
}

impl Passphrases {
    pub(crate) const fn new(fd: Option<u32>) -> Self {
        Self {
            fd,
            open: RefCell::new(None),
        }
    }

    /// Whether they come from stdin.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.fd == Some(0)
    }

    /// Whether there is anywhere to get one from.
    pub(crate) fn can_be_had(&self) -> bool {
        self.fd.is_some() || terminal::is_there()
    }

    /// One passphrase.
    pub(crate) async fn ask(&self, question: &str) -> Result<Secret<String>, Failure> {
        let bytes = match self.fd {
            Some(fd) => self.line(fd, question)?,
            None if !terminal::is_there() => {
                return Err(Failure::usage("there is no terminal to ask at").next(
                    "--passphrase-fd N, which shares and PINs are read from as well, one a line",
                ));
            }
            None => terminal::hidden(&format!("{question}: ")).await?,
        };
        text(bytes)
    }

    /// A new passphrase, asked for twice at a terminal.
    pub(crate) async fn ask_new(&self, question: &str) -> Result<Secret<String>, Failure> {
        let first = self.ask(question).await?;
        if first.expose().chars().count() < SHORTEST {
            return Err(Failure::usage(
                "a new passphrase has at least 12 characters",
            ));
        }
        // No terminal gives them to a question, and a file with the line ends of
        // another system hides one.
        if first.expose().chars().any(char::is_control) {
            return Err(Failure::usage(
                "a new passphrase has no control characters, such as a carriage return",
            ));
        }
        if self.fd.is_none() {
            let again = self.ask("The same once more").await?;
            if first != again {
                return Err(Failure::usage("the two passphrases differ").next("try again"));
            }
        }
        Ok(first)
    }

    fn line(&self, fd: u32, question: &str) -> Result<SecretBytes, Failure> {
        let failed = |error: std::io::Error| {
            let what = format!("cannot read file descriptor {fd}");
            match error.kind() {
                ErrorKind::NotFound => Failure::usage(what).because("it is not open"),
                ErrorKind::IsADirectory => Failure::usage(what).because("it is a directory"),
                _ => Failure::storage(what, &error),
            }
            .next("--passphrase-fd 3 3< FILE")
        };
        let mut open = self.open.borrow_mut();
        let file = match open.as_mut() {
            Some(file) => file,
            None => open.insert(File::open(format!("/proc/self/fd/{fd}")).map_err(failed)?),
        };
        let mut line = Secret::new(Vec::with_capacity(LONGEST));
        let mut byte = [0u8; 1];
        // One byte at a time: what follows the newline is not ours to take.
        loop {
            let end = file.read(&mut byte).map_err(failed)? == 0;
            if end && line.expose().is_empty() {
                return Err(Failure::usage(format!(
                    "file descriptor {fd} has no line left for this"
                ))
                .because(question)
                .next("all that are asked for, one a line"));
            }
            if end || byte == *b"\n" {
                break;
            }
            if line.expose().len() == LONGEST {
                return Err(Failure::usage("the passphrase is longer than 1024 bytes"));
            }
            line.expose_mut().push(byte[0]);
        }
        Ok(line)
    }
}

fn text(mut bytes: SecretBytes) -> Result<Secret<String>, Failure> {
    if bytes.expose().is_empty() {
        return Err(Failure::usage("the passphrase is empty"));
    }
    String::from_utf8(std::mem::take(bytes.expose_mut()))
        .map(Secret::new)
        .map_err(|error| {
            drop(Secret::new(error.into_bytes()));
            Failure::usage("the passphrase is not UTF-8")
        })
}
