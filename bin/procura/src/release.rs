//! `release` and `release-key`: which programs count as releases of the daemon, and whose
//! signature says so.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::{files, proving};
use clap::Subcommand;
use procura_ledger::{NoteSigner, Vkey, released_programs, sign_release};
use procura_types::ExeDigest;
use procura_types::wire::{ReleaseKeyList, ReleaseList};
use std::path::{Path, PathBuf};

/// What shows the keys.
const KEYS: &str = "procura release-key list";

/// Say which programs are releases of procurad; for stewards
///
/// A release is a list of lines <sha256> <version> <target>, signed by a release key. A
/// daemon whose program is listed attests as signed-release.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign a list of programs with a release key; needs no server
    ///
    /// Each line of the file is <sha256> <version> <target>, such as what sha256sum prints
    /// with the version and x86_64-linux behind it. The signed list goes to stdout, the
    /// verifier key for procura release-key add to stderr.
    #[command(
        after_help = "Example:\n  echo \"$(sha256sum < procurad | cut -d' ' -f1) 0.5.0 x86_64-linux\" > programs\n  procura release sign programs --key ~/.ssh/release --name release.example.com > release.txt"
    )]
    Sign {
        /// The list
        file: PathBuf,
        /// An OpenSSH private key, Ed25519
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The name under which it signs
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Add the programs of a signed list
    #[command(after_help = "Example:\n  procura release add release.txt")]
    Add {
        /// The signed list
        file: PathBuf,
    },
    /// List the programs, withdrawn ones too
    #[command(after_help = "Example:\n  procura release list")]
    List,
    /// Withdraw a program for good: what attested by it stops at once
    #[command(
        after_help = "Example:\n  procura release withdraw 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    Withdraw {
        /// Its digest, as listed
        sha256: ExeDigest,
    },
}

/// Say whose signature makes a program a release of procurad; for stewards
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Enrol a release key
    #[command(
        after_help = "Example:\n  procura release-key add release.example.com+8ad7f3c1+AZ0e8p9gm0Zo4eGoqXzWf1vN5yrp2hWvT1s0ZkVd9cbe"
    )]
    Add {
        /// Its verifier key: <name>+<id>+<key>, as procura release sign prints it
        vkey: String,
    },
    /// List the release keys, removed ones too
    #[command(after_help = "Example:\n  procura release-key list")]
    List,
    /// Remove a release key for good, and all that it vouches for
    #[command(after_help = "Example:\n  procura release-key remove release.example.com")]
    Remove {
        /// Its name, as listed
        name: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let list = match self {
            Self::Sign { file, key, name } => return sign(context, &file, &key, &name).await,
            Self::Add { file } => {
                let note = text(&file)?;
                context.operator().await?.add_release(&note).await?
            }
            Self::List => context.operator().await?.releases().await?,
            Self::Withdraw { sha256 } => {
                context.confirm(&format!(
                    "Withdraw the program {sha256}? Daemons that attested by it count no more. This cannot be undone."
                ))?;
                context.operator().await?.withdraw_release(&sha256).await?
            }
        };
        show(context, &list)
    }
}

impl KeyCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let list = match self {
            Self::Add { vkey } => {
                let vkey: Vkey = vkey
                    .parse()
                    .map_err(|error| Failure::usage("that is not a verifier key").because(error))?;
                let server = context.operator().await?;
                server.add_release_key(&vkey.to_string()).await?
            }
            Self::List => context.operator().await?.release_keys().await?,
            Self::Remove { name } => {
                context.confirm(&format!(
                    "Remove the release key {}? What it vouches for counts no more. This cannot be undone.",
                    output::plain(&name)
                ))?;
                let server = context.operator().await?;
                server.remove_release_key(&name).await.map_err(|error| {
                    let is_unknown = error.is_refusal("not_found");
                    let failure = Failure::from(error);
                    if is_unknown {
                        failure.next(KEYS)
                    } else {
                        failure
                    }
                })?
            }
        };
        show_keys(context, &list)
    }
}

async fn sign(context: &Context, file: &Path, key: &Path, name: &str) -> Result<(), Failure> {
    let unfit = |error: procura_ledger::LedgerError| {
        Failure::usage("the list cannot be signed").because(error)
    };
    let programs = released_programs(&text(file)?).map_err(unfit)?;
    let key = proving::ssh_key(context, key).await?;
    let signer = NoteSigner::new(name, key).map_err(unfit)?;
    let note = sign_release(&programs, &signer).map_err(unfit)?;
    output::say(format!("verifier key: {}", signer.vkey()));
    output::bytes(note.as_bytes())
}

fn text(file: &Path) -> Result<String, Failure> {
    let bytes = files::read(file)?.ok_or_else(|| {
        Failure::usage(format!("there is no file {}", file.display())).next("the path of a list")
    })?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not UTF-8", file.display())))
}

fn show(context: &Context, list: &ReleaseList) -> Result<(), Failure> {
    if context.json {
        return output::json(list);
    }
    let mut table = Table::new(["SHA256", "VERSION", "TARGET", "SIGNED BY", "STATE"]);
    for release in &list.releases {
        table.row([
            release.sha256.to_string(),
            release.version.to_string(),
            release.target.to_string(),
            release.key.clone(),
            release
                .withdrawn
                .map_or_else(|| "added".to_owned(), |when| format!("withdrawn {when}")),
        ]);
    }
    table.print("no programs were added")
}

fn show_keys(context: &Context, list: &ReleaseKeyList) -> Result<(), Failure> {
    if context.json {
        return output::json(list);
    }
    let mut table = Table::new(["KEY", "STATE"]);
    for key in &list.keys {
        table.row([
            key.vkey.clone(),
            key.removed.map_or_else(
                || format!("enrolled {}", key.added),
                |when| format!("removed {when}"),
            ),
        ]);
    }
    table.print("no release key is enrolled")
}
