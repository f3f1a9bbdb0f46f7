//! What every command has: the global flags made into things to use.

use crate::checkpoint;
use crate::cli::Global;
use crate::failure::Failure;
use crate::home::{Home, Known};
use crate::key_agent::AgentSigner;
use crate::passphrase::Passphrases;
use crate::{files, operator_key, output, terminal, unseal_source};
use procura_client::{
    AdminClient, Client, ClientOptions, RequestSigner, SessionClient, SystemClock,
};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::{Clock as _, Duration, Entropy, LinkCodeText, Namespace, Timestamp};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Where a server is when nothing else says so.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7310";
/// The namespace when nothing else says so.
const DEFAULT_NAMESPACE: &str = "default";
/// Longer than the server's own limit for deriving a key from a passphrase
/// while others wait for theirs.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(60);

/// What every command has.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) namespace: Namespace,
    pub(crate) json: bool,
    pub(crate) passphrases: Passphrases,
    pub(crate) danger_accept_rollback: bool,
    typed_namespace: Option<Namespace>,
    server: Option<String>,
    server_typed: bool,
    ca: Option<PathBuf>,
    yes: bool,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self, Failure> {
        Ok(Self {
            home: Home::new(global.home)?,
            namespace: match &global.namespace {
                Some(typed) => typed.clone(),
                None => DEFAULT_NAMESPACE.parse()?,
            },
            typed_namespace: global.namespace,
            json: global.json,
            passphrases: Passphrases::new(global.passphrase_fd),
            danger_accept_rollback: global.danger_accept_rollback,
            server: global.server,
            server_typed: global.server_typed,
            ca: global.ca,
            yes: global.yes,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    pub(crate) const fn entropy(&self) -> &dyn Entropy {
        &SystemEntropy
    }

    /// Where to join by a code: where it says. The environment speaks of the server that
    /// one works with, which need not be the one that made the code.
    pub(crate) fn server_of(&self, code: &LinkCodeText) -> Result<String, Failure> {
        let same = |typed: &&String| typed.trim_end_matches('/') == code.url.trim_end_matches('/');
        match self.server.as_ref().filter(|_| self.server_typed) {
            Some(typed) if !same(&typed) => Err(Failure::usage(format!(
                "the code is of {}, and you asked {}",
                output::plain(&code.url),
                output::plain(typed)
            ))
            .next("the same command without --server, or with a code of that server")),
            _ => Ok(code.url.clone()),
        }
    }

    /// The server's address as typed or set, if it was.
    pub(crate) fn typed_server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The namespace, if one was typed or set.
    pub(crate) const fn typed_namespace(&self) -> Option<&Namespace> {
        self.typed_namespace.as_ref()
    }

    /// The certificate authorities to trust: those named, else those kept from
    /// joining, else the machine's.
    pub(crate) fn ca_pem(&self) -> Result<Option<Vec<u8>>, Failure> {
        match &self.ca {
            Some(path) => files::read(path)?.map(Some).ok_or_else(|| {
                Failure::usage(format!("--ca {}: there is no such file", path.display()))
            }),
            None => files::read(&self.home.ca_file()),
        }
    }

    /// A client for `url` that expects the server to be `known`.
    pub(crate) fn client(&self, url: &str, known: Option<&Known>) -> Result<Client, Failure> {
        let options = ClientOptions {
            ca_pem: self.ca_pem()?,
            pinned_server_key: known.map(Known::pinned).transpose()?,
            ..ClientOptions::default()
        };
        Client::new(url, options, Arc::new(SystemClock), Arc::new(SystemEntropy))
            .map_err(Failure::from)
    }

    /// The server, to ask what it tells anybody.
    pub(crate) fn anybody(&self) -> Result<Client, Failure> {
        let known = Known::find(&self.home)?;
        self.client(&self.url(known.as_ref()), known.as_ref())
    }

    /// Where the server is: as typed, as known, or the default.
    pub(crate) fn url(&self, known: Option<&Known>) -> String {
        match (&self.server, known) {
            (Some(typed), _) => typed.clone(),
            (None, Some(known)) if !known.url.is_empty() => known.url.clone(),
            (None, _) => DEFAULT_SERVER.to_owned(),
        }
    }

    /// The server's administration socket.
    pub(crate) fn admin(&self) -> AdminClient {
        AdminClient::new(self.home.admin_socket(), ADMIN_TIMEOUT)
    }

    /// What is known of the server that was joined.
    pub(crate) fn known(&self) -> Result<Known, Failure> {
        Known::find(&self.home)?.ok_or_else(|| {
            // Where a server was restored, or runs as another user, nobody joined.
            if self.home.installation_file().exists() && !self.home.key_file().exists() {
                return Failure::config(format!(
                    "{} is a server's home, and no operator's key is in it",
                    self.home.dir().display()
                ))
                .next("the command with --home of the operator's own home (where none is named: ~/.procura)");
            }
            Failure::config(format!(
                "no server is known in {}",
                self.home.dir().display()
            ))
            .next("procura init for a new installation, procura operator join for an existing one")
        })
    }

    /// The operator's key, unlocked with its passphrase.
    pub(crate) async fn unlock(&self) -> Result<SigningKey, Failure> {
        if operator_key::public(&self.home)?.is_none() {
            // Fails with what to do about it, before anything is asked.
            self.known()?;
        }
        let passphrase = self
            .passphrases
            .ask("Passphrase of the operator's key")
            .await?;
        operator_key::unlock(&self.home, &passphrase)
    }

    /// Whoever signs with the operator's key: the key agent when it answers,
    /// else the key itself.
    pub(crate) async fn signer(&self) -> Result<Arc<dyn RequestSigner>, Failure> {
        if let Some(agent) = AgentSigner::find(&self.home) {
            // A key agent from before this home was made anew holds another key.
            if operator_key::public(&self.home)?.as_ref() == Some(agent.public()) {
                return Ok(Arc::new(agent));
            }
        }
        // A key that is not there has words of its own.
        if !self.passphrases.can_be_had() && operator_key::public(&self.home)?.is_some() {
            return Err(Failure::usage(
                "the operator's key is locked, and there is no terminal to ask for its passphrase at",
            )
            .next("procura login at a terminal, or --passphrase-fd N"));
        }
        Ok(Arc::new(self.unlock().await?))
    }

    /// The server, as the operator; refused when it is an older one than was
    /// seen before.
    pub(crate) async fn operator(&self) -> Result<SessionClient, Failure> {
        let known = self.known()?;
        let client = self.client(&self.url(Some(&known)), Some(&known))?;
        let client = SessionClient::new(client, self.signer().await?);
        checkpoint::check(self, &known, &client).await?;
        unseal_source::tell_recoveries(&client).await?;
        Ok(client)
    }

    /// Asks before what cannot be undone. Without a terminal, only `--yes` is
    /// a yes.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !terminal::is_there() {
            return Err(Failure::usage("not done without a yes")
                .because(format_args!("there is no terminal to ask at: {question}"))
                .next("the same command with --yes"));
        }
        self.ask(question)
    }

    /// Asks a person who sits there; goes on when nobody does, for what can be
    /// taken back.
    pub(crate) fn agree(&self, question: &str) -> Result<(), Failure> {
        if self.yes || !terminal::is_stdin_terminal() {
            return Ok(());
        }
        self.ask(question)
    }

    fn ask(&self, question: &str) -> Result<(), Failure> {
        if terminal::confirm(&output::plain(question))? {
            Ok(())
        } else {
            Err(Failure::refused("nothing was done").because("the answer was not yes"))
        }
    }
}

/// A span of time as typed: `90s`, `15m`, `12h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is a number and s, m, h or d, such as 12h";
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            _ => return Err(wrong),
        };
        let number: u64 = text
            .get(..text.len().saturating_sub(1))
            .and_then(|number| number.parse().ok())
            .filter(|number| *number > 0)
            .ok_or(wrong)?;
        number
            .checked_mul(unit)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("12h", 43_200),
            ("30d", 2_592_000),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().0.as_secs(), seconds);
        }
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "30",
            "30 d",
            "1w",
            "99999999999999999999d",
            "9999999999999999999d",
        ] {
            assert_eq!(
                text.parse::<Span>().unwrap_err(),
                "is a number and s, m, h or d, such as 12h",
                "{text}"
            );
        }
    }
}
