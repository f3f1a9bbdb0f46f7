//! How a command fails: what happened, why, what to type next, and the exit
//! code (`spec/exit-codes.md`).

use procura_client::ClientError;
use procura_daemon::DaemonError;
use procura_server::StartError;
use procura_types::wire::{Problem, RoleAssignment};
use procura_types::{EntropyError, Malformed, Role, exit};
use serde::Serialize;
use std::fmt;

/// Why a command did not do what was asked. Shown in words, or with `--json` as
/// it stands here.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// The exit code.
    exit: u8,
    /// What happened.
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What to type next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The server's own words, when it was the server that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<Problem>>,
}

impl Failure {
    fn new(exit: u8, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            why: None,
            next: None,
            problem: None,
        }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(exit::USAGE, what)
    }

    /// The home, or a file in it, is not as it should be.
    pub(crate) fn config(what: impl Into<String>) -> Self {
        Self::new(exit::CONFIG, what)
    }

    /// Somebody said no.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::new(exit::REFUSED, what)
    }

    /// Nobody answers.
    pub(crate) fn unreachable(what: impl Into<String>) -> Self {
        Self::new(exit::UNREACHABLE, what)
    }

    /// A file, socket or terminal failed.
    pub(crate) fn storage(what: impl Into<String>, cause: &dyn fmt::Display) -> Self {
        Self::new(exit::STORAGE, what).because(cause)
    }

    /// A signal ended a question at the terminal; shells count such an end as
    /// 128 and the signal.
    pub(crate) fn interrupted(signal: u8) -> Self {
        Self::new(signal.saturating_add(128), "interrupted")
    }

    /// The server cannot start; each reason has its exit code.
    pub(crate) fn start(error: &StartError) -> Self {
        Self::new(error.exit_code(), "the server cannot start").because(error)
    }

    /// Stored data is not what it should be.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::new(exit::STORAGE, what)
    }

    /// Adds the reason.
    pub(crate) fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Adds what to type next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Says what happened in other words; the server's own stay in the JSON.
    pub(crate) fn instead(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self.why = None;
        self
    }

    pub(crate) const fn exit(&self) -> u8 {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "procura: {}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        if let Some(next) = &self.next {
            write!(f, "\n  next: {next}")?;
        }
        Ok(())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem, _) => {
                let word = problem.reason.as_deref().unwrap_or(&problem.code);
                let code = match (problem.code.as_str(), problem.status) {
                    ("sealed", _) => exit::REFUSED,
                    ("not_initialised", _) => exit::CONFIG,
                    (_, 400 | 413) => exit::USAGE,
                    (_, 500 | 507) => exit::STORAGE,
                    (_, 429 | 502..=504) => exit::UNREACHABLE,
                    _ => exit::REFUSED,
                };
                let failure = Self::new(code, "the server refused")
                    .because(format_args!("{} ({word}, request {})", problem.detail, problem.request_id));
                Self {
                    next: role_wanted(&problem).or_else(|| advice(word).map(str::to_owned)),
                    problem: Some(problem),
                    ..failure
                }
            }
            ClientError::Unreachable { advice, .. } => Self::unreachable(error.to_string()).next(
                advice.unwrap_or("start it with procura server, or name another with --server URL"),
            ),
            ClientError::Impostor { .. } => Self::refused(error.to_string()).next(
                "find out what listens there; if the server was set up anew, join it from a new --home",
            ),
            ClientError::Address(_) => Self::usage(error.to_string())
                .next("--server http://127.0.0.1:7310, or PROCURA_SERVER"),
            ClientError::Certificates(_) => Self::config(error.to_string()).next("--ca FILE"),
            ClientError::Signer(_) => Self::refused(error.to_string()).next("procura login"),
            ClientError::Malformed(malformed) => malformed.into(),
            ClientError::NotUnderstood { .. } => Self::unreachable(error.to_string())
                .next("compare `procura --version` with the server's in `procura status`"),
            ClientError::Entropy(error) => error.into(),
            ClientError::Memory(_) => {
                Self::config("a key cannot be held").because(error).next("ulimit -l unlimited")
            }
        }
    }
}

/// Who may do what was forbidden, where the server says which role it takes.
fn role_wanted(problem: &Problem) -> Option<String> {
    // The least that opens it there: a steward has no namespace, and others only theirs.
    let fits = |role: &&Role| problem.namespace.is_none() == (**role == Role::Steward);
    let role = *problem
        .roles
        .iter()
        .find(fits)
        .or_else(|| problem.roles.first())?;
    let namespace = problem.namespace.clone().filter(|_| role != Role::Steward);
    let wanted = RoleAssignment { role, namespace };
    Some(format!(
        "the command again by an operator who is {wanted}; a steward makes one with procura operator roles NAME --role {wanted}, and --role for each that NAME keeps"
    ))
}

/// What helps against a refusal, where something typed does.
fn advice(word: &str) -> Option<&'static str> {
    match word {
        "sealed" => Some("procura unseal, on the server's machine"),
        "timestamp_out_of_window" => Some("procura doctor, which compares the clocks"),
        "unknown_agent" | "revoked" => {
            Some("procura --home DIR operator join CODE, with a code from a steward")
        }
        "device_quarantined" | "quarantined" => Some(
            "procura honey reinstate DEVICE, or procura restore release DEVICE if it is held since a restore, typed by a steward who knows what happened",
        ),
        "honey" => Some("another path, or procura honey remove PATH, typed by a steward"),
        "proof_unknown" | "proof_expired" => Some(
            "sign in by the provider on the sign-in page once more, and procura operator oidc link with what it shows then",
        ),
        "identity_taken" => Some(
            "procura operator oidc list --of NAME and procura operator oidc unlink ID --of NAME, typed by a steward, if it is not theirs",
        ),
        "no_totp_waits" => Some("procura operator totp, which sets up an app"),
        "wrong_totp" => Some("procura operator totp --confirm CODE, with what the app shows then"),
        "answered" => Some(
            "procura device pending, which lists who still asks; the host asks anew by procura join --device",
        ),
        "receiver_failed" => Some(
            "procura notify channel add NAME, which replaces the channel, if what it was given is wrong",
        ),
        "policies_flawed" => Some("procura policy check FILE, which needs no server"),
        "last_steward" => Some(
            "procura operator invite NAME --role steward, and this again when they have joined",
        ),
        "not_initialised" => Some("procura init"),
        "server_removed" => Some(
            "procura server list at another server, by a steward; a server on this machine takes a new home (--home DIR)",
        ),
        "own_server" => Some("the command with --server URL of another server"),
        "code_refused" | "unknown_code" => Some(
            "ask for a new link code: procura agent code LABEL; an operator makes their own, procura operator code NAME, or procura operator recover NAME on the server's machine",
        ),
        "forbidden" => Some(
            "procura operator roles NAME --role ROLE@NS, typed by a steward, gives the role that it takes",
        ),
        "not_found" => Some("check the name, and the namespace with -n NS"),
        "secret_expired" => Some(
            "procura secret put PATH, which writes a new version, with --expires TIME; secret set PATH --clear expires if it is still good",
        ),
        "delivery_not_allowed" => Some(
            "procura secret set PATH --deliver env,…, typed by an admin, if it may be handed over so",
        ),
        "already_exists" => Some("the command again with another name"),
        "secrets" | "versions_per_secret" | "versions" | "bytes" | "quota_exceeded" => Some(
            "procura namespace show NS, which shows the quota; procura secret destroy PATH makes room, procura namespace quota NS, typed by a steward, gives more",
        ),
        "version_mismatch" => Some("procura secret history PATH, which shows the newest version"),
        "share_malformed" | "checksum" | "unknown_word" | "no_share" => {
            Some("type the share again as it was written down")
        }
        "quorum_needed" => Some(
            "procura proposal make-steward NAME, remove-steward NAME or recover NAME, which more than half of the stewards sign",
        ),
        "approvals_needed" => Some(
            "procura proposal --help; when as many stewards as it takes have signed it, this again with --proposal ID",
        ),
        "api_key_missing" | "api_key_unknown" | "api_key_device" | "api_key_maker"
        | "api_key_expired" => Some(
            "procura api-key list, and procura api-key create NAME for another, typed by the operator",
        ),
        "api_key_scope" => Some(
            "procura api-key list, which shows what it was made for; another one does more: procura api-key create NAME",
        ),
        "break_glass_sealed" => {
            Some("procura break-glass use, with --home of where the account was made")
        }
        "break_glass_over" | "break_glass_used" | "maker_gone" => {
            Some("procura break-glass create NAME --renew, typed by a steward")
        }
        "maker_on_hold" => Some(
            "procura honey reinstate DEVICE, typed by a steward who knows why the device of whoever made it is on hold",
        ),
        "no_steward" => Some(
            "the command again by a steward, with their own key; about a break-glass account, by one who did not make it",
        ),
        "join_first" => Some(
            "procura operator invite NAME --role ROLE@NS; when they have joined, procura proposal make-steward NAME",
        ),
        "not_agreed" => Some(
            "procura proposal sign ID, by stewards who have not; procura proposal list shows how many have",
        ),
        "other_proposal" => Some(
            "procura proposal list, which shows what was signed: the same, or another proposal",
        ),
        "proposal_over" => Some(
            "another proposal (procura proposal --help), which more than half of the stewards sign within a day",
        ),
        "hold_instead" => Some("procura device hold DEVICE, which stops it at once"),
        "on_hold" => Some(
            "ask another steward; procura proposal refuse ID says no, procura proposal remove-steward NAME begins the removal of who put it on hold",
        ),
        "source_unavailable"
        | "another_wrapper"
        | "pcrs_changed"
        | "pin_locked"
        | "wrapped_key_refused" => Some("another source: procura unseal-source list"),
        "source_not_configured" => {
            Some("procura unseal-source list, which shows the lines for procura.toml")
        }
        "wrong_pin" => Some("look the PIN up before the next try: a token locks itself"),
        "credentials_refused" | "credentials_needed" => {
            Some("--credentials FILE, with what the source takes: procura unseal-source list")
        }
        "share_repeated" => Some("the command again, with another share of the set"),
        "share_other_set" | "share_forged" | "shares_too_few" => {
            Some("the command again, with as many shares of the newest set as it takes")
        }
        "wrong_passphrase" | "rate_limited" | "contended" | "verifier_unavailable" => {
            Some("the command again, in a moment")
        }
        "ledger_unavailable" | "internal" => Some("procura status, and the server's log"),
        "outcome_unknown" => {
            Some("read again what was to be changed; if that fails too, restart the server")
        }
        "storage_full" => Some("make room on the server's disk"),
        "damaged" => Some("procura status --deep, and a backup"),
        _ => None,
    }
}

impl From<DaemonError> for Failure {
    /// Its text says what to do already, and so does its exit code.
    fn from(error: DaemonError) -> Self {
        Self::new(error.exit(), error.to_string())
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<EntropyError> for Failure {
    fn from(error: EntropyError) -> Self {
        Self::storage("cannot go on", &error)
    }
}
