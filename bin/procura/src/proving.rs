//! With what a request to any service is proven: the operator's key, a key of
//! OpenSSH, or a secret that is shared with the service.

use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use procura_client::RequestSigner;
use procura_crypto::ssh::{self, SshKeyError, SshPublicKey};
use procura_crypto::{KeyError, SigningKey};
use procura_proof::RequestView;
use procura_proof::foreign::{self, AgentSecret, ForeignSigner};
use procura_proof::sign::{Draft, SignError};
use procura_types::{ForeignId, Secret, SecretBytes};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the longest file with a key or a secret; a byte more than the reader
/// of keys takes.
const LONGEST: u64 = 16 * 1024 + 1;
/// Bytes of the longest secret.
const LONGEST_SECRET: usize = 1024;

/// How the proof is written; `spec/protocol.md` §3 has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// RFC 9421 over the whole request
    Native,
    /// X-Agent-Id with an ISO timestamp: Ed25519, by --key
    KeyServerV1,
    /// X-Agent: Ed25519, by --key
    GuideV1,
    /// HMAC over the body alone, weak
    HmacV1,
    /// HMAC over the request
    HmacV2,
}

/// The options that say how a request is proven.
#[derive(Debug, Args)]
#[command(next_help_heading = "Proof")]
pub(crate) struct Proving {
    /// How the proof is written: native (RFC 9421), key-server-v1, guide-v1, hmac-v1, hmac-v2
    #[arg(long, value_enum, value_name = "PROFILE", default_value = "native")]
    profile: Profile,
    /// Sign with this OpenSSH private key, Ed25519 [default for native: the operator's key]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What the service calls the agent; for the profiles other than native
    #[arg(long, value_name = "ID")]
    agent_id: Option<ForeignId>,
    /// Read the secret of hmac-v1 and hmac-v2 from this file
    #[arg(long, value_name = "FILE", conflicts_with = "secret_fd")]
    secret_file: Option<PathBuf>,
    /// Read it from this file descriptor
    #[arg(long, value_name = "N", value_parser = whole::<u32>)]
    secret_fd: Option<u32>,
}

impl Proving {
    /// Whether nothing of it was typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.profile == Profile::Native
            && self.key.is_none()
            && self.agent_id.is_none()
            && self.secret_file.is_none()
            && self.secret_fd.is_none()
    }

    /// Whether it is a proof by a device of this system, and not in the name of an id.
    pub(crate) fn is_native(&self) -> bool {
        self.profile == Profile::Native
    }

    /// Whether the secret is to be read from stdin.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.secret_fd == Some(0)
    }

    /// The header fields of the proof.
    pub(crate) async fn prove(
        &self,
        context: &Context,
        request: &RequestView<'_>,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        // The time is taken last: a passphrase may have been typed before.
        let foreign = |agent, signer| {
            foreign::sign(request, agent, signer, context.now(), context.entropy())
                .map_err(unsigned)
        };
        match self.profile {
            Profile::Native => self.native(context, request).await,
            Profile::KeyServerV1 => {
                let (agent, key) = self.agent_with_key(context).await?;
                foreign(agent, ForeignSigner::KeyServerV1(&key))
            }
            Profile::GuideV1 => {
                let (agent, key) = self.agent_with_key(context).await?;
                foreign(agent, ForeignSigner::GuideV1(&key))
            }
            Profile::HmacV1 => {
                let (agent, secret) = self.agent_with_secret()?;
                foreign(agent, ForeignSigner::HmacV1(&secret))
            }
            Profile::HmacV2 => {
                let (agent, secret) = self.agent_with_secret()?;
                foreign(agent, ForeignSigner::HmacV2(&secret))
            }
        }
    }

    async fn native(
        &self,
        context: &Context,
        request: &RequestView<'_>,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        if self.agent_id.is_some() {
            return Err(Failure::usage("the native profile has no --agent-id")
                .because("the key says whose it is")
                .next("--profile key-server-v1, or another that has one"));
        }
        self.no_secret()?;
        let signer: Arc<dyn RequestSigner> = match &self.key {
            Some(path) => Arc::new(ssh_key(context, path).await?),
            None => context.signer().await?,
        };
        let draft = Draft::for_device(request, signer.public(), context.now(), context.entropy())
            .map_err(unsigned)?;
        let signature = signer
            .sign(draft.message())
            .map_err(|error| Failure::refused(error.to_string()).next("procura login"))?;
        Ok(draft.finish(&signature).headers)
    }

    async fn agent_with_key(&self, context: &Context) -> Result<(&ForeignId, SigningKey), Failure> {
        self.no_secret()?;
        let agent = self.agent()?;
        let path = self.key.as_ref().ok_or_else(|| {
            Failure::usage("this profile signs with the agent's own key").next("--key FILE")
        })?;
        Ok((agent, ssh_key(context, path).await?))
    }

    fn agent_with_secret(&self) -> Result<(&ForeignId, AgentSecret), Failure> {
        if self.key.is_some() {
            return Err(Failure::usage("the profiles with HMAC take no --key")
                .next("--secret-file FILE or --secret-fd N"));
        }
        let agent = self.agent()?;
        let text = match (&self.secret_file, self.secret_fd) {
            (Some(path), _) => {
                let (file, mode) = contents(&format!("--secret-file {}", path.display()), path)?;
                owner_only(path, mode)?;
                secret_text(&file)?
            }
            (None, Some(fd)) => {
                let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
                secret_text(&contents(&format!("--secret-fd {fd}"), &path)?.0)?
            }
            (None, None) => {
                return Err(Failure::usage("this profile needs the agent's secret")
                    .next("--secret-file FILE or --secret-fd N"));
            }
        };
        let secret = AgentSecret::new(text.expose()).map_err(|error| {
            Failure::config("the secret cannot be held")
                .because(error)
                .next("ulimit -l unlimited")
        })?;
        Ok((agent, secret))
    }

    fn agent(&self) -> Result<&ForeignId, Failure> {
        self.agent_id.as_ref().ok_or_else(|| {
            Failure::usage("this profile names the agent in the request").next("--agent-id ID")
        })
    }

    fn no_secret(&self) -> Result<(), Failure> {
        if self.secret_file.is_some() || self.secret_fd.is_some() {
            return Err(
                Failure::usage("this profile signs with a key and takes no secret")
                    .next("--profile hmac-v2, or --key FILE"),
            );
        }
        Ok(())
    }
}

/// A secret as the service gave it out: its text without the end of the line.
fn secret_text(bytes: &SecretBytes) -> Result<Secret<String>, Failure> {
    let line = bytes.expose().as_slice();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| Failure::usage("the secret is not UTF-8"))?;
    if text.is_empty() {
        return Err(Failure::usage("the secret is empty"));
    }
    if text.len() > LONGEST_SECRET || text.chars().any(char::is_control) {
        return Err(Failure::usage(
            "the secret is not one line of at most 1024 bytes",
        ));
    }
    Ok(Secret::new(text.to_owned()))
}

fn unsigned(error: SignError) -> Failure {
    match error {
        SignError::Request(_) | SignError::WrongKey => Failure::usage(error.to_string()),
        SignError::Entropy(error) => error.into(),
        SignError::Key(error) => Failure::storage("the key does not sign", &error),
    }
}

/// The private key in a file of OpenSSH; asks for its passphrase when it has one.
pub(crate) async fn ssh_key(context: &Context, path: &Path) -> Result<SigningKey, Failure> {
    let (file, mode) = contents(&format!("--key {}", path.display()), path)?;
    if SshPublicKey::parse(file.expose()).is_ok() {
        return Err(Failure::config(format!("cannot use {}", path.display()))
            .because("it is the public half of a key")
            .next("--key with the private half, which ssh-keygen writes beside the .pub"));
    }
    owner_only(path, mode)?;
    let read = match ssh::read_private(file.expose(), None) {
        Err(SshKeyError::PassphraseNeeded) => {
            let question = format!("Passphrase of {}", path.display());
            let passphrase = context.passphrases.ask(&question).await?;
            ssh::read_private(file.expose(), Some(&passphrase))
        }
        read => read,
    };
    read.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &SshKeyError) -> Failure {
    let name = path.display();
    let cannot = Failure::config(format!("cannot use {name}")).because(error);
    match error {
        SshKeyError::WrongPassphrase => Failure::refused(format!("cannot use {name}"))
            .because(error)
            .next("the command again, with the passphrase that was given to ssh-keygen"),
        SshKeyError::NotAKey => {
            cannot.next("--key with a file that ssh-keygen -t ed25519 has written")
        }
        SshKeyError::OtherType => cannot.next("ssh-keygen -t ed25519 -f FILE"),
        SshKeyError::Cipher | SshKeyError::TooCostly => {
            cannot.next(format!("ssh-keygen -p -Z aes256-ctr -a 24 -f {name}"))
        }
        SshKeyError::Key(KeyError::Memory(_)) => cannot.next("ulimit -l unlimited"),
        _ => cannot.next("put it back from a backup, or make a new one: ssh-keygen -t ed25519"),
    }
}

/// The bytes of a file, as far as they are looked at, and its mode.
fn contents(what: &str, path: &Path) -> Result<(SecretBytes, u32), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::usage(format!("{what}: it is not there")),
        ErrorKind::IsADirectory => Failure::usage(format!("{what}: it is a directory")),
        _ => Failure::storage(format!("{what} cannot be read"), &error),
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    // Room for all of it at once: nothing is left behind in memory that was grown
    // out of.
    let mut bytes = Secret::new(Vec::with_capacity(20 * 1024));
    file.take(LONGEST)
        .read_to_end(bytes.expose_mut())
        .map_err(failed)?;
    Ok((bytes, mode & 0o777))
}

/// What only its owner may know is no secret when others may read it.
fn owner_only(path: &Path, mode: u32) -> Result<(), Failure> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let name = path.display();
    Err(Failure::config(format!("{name} is open to others"))
        .because(format_args!("its mode is {mode:03o}"))
        .next(format!("chmod 600 {name}")))
}
