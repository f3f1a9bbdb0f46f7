//! What the daemon attests of its own process (ADR 39): a key that is made when it starts
//! and never written, one attestation for each device, renewed long before it ends, and
//! never in the way of what needs none.

#[cfg(test)]
mod renewing;

use crate::chip::HostChip;
use crate::member::Member;
use crate::{DaemonError, executable};
use procura_client::{Attests, ClientError};
use procura_crypto::SigningKey;
use procura_proof::{attestation_message, attested_session_message};
use procura_types::wire::{
    AttestationAsk, AttestationGiven, AttestationPut, AttestationStatement, SessionAttestation,
};
use procura_types::{
    AttestationId, BuildWord, Clock, Entropy, ExeDigest, Grade, Thumbprint, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The first pause after a server did not take it, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How long one attempt may take for a run that waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// This process, as it attests itself.
pub(crate) struct Process {
    /// In locked memory; gone with the process.
    key: SigningKey,
    /// Read when it is first asked for: a program is large.
    exe: OnceLock<Option<ExeDigest>>,
    /// The TPM of this host, if it is to sign as well.
    tpm: Option<PathBuf>,
}

impl Process {
    /// Makes the key of this process.
    ///
    /// # Errors
    /// [`DaemonError::Config`] without randomness or locked memory for it.
    pub(crate) fn new(entropy: &dyn Entropy, tpm: Option<PathBuf>) -> Result<Self, DaemonError> {
        let key = SigningKey::generate_ed25519(entropy)
            .map_err(|error| DaemonError::Config(error.to_string()))?;
        Ok(Self {
            key,
            exe: OnceLock::new(),
            tpm,
        })
    }

    fn exe(&self) -> Option<ExeDigest> {
        *self.exe.get_or_init(|| {
            executable::sha256(Path::new("/proc/self/exe")).and_then(|hex| hex.parse().ok())
        })
    }
}

/// What the daemon attested for one device, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedSummary {
    /// Which attestation, once the server took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AttestationId>,
    /// How good it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    /// When it ends unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What a better grade takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// The TPM that signed along, by its endorsement key: what whoever accepts it elsewhere
    /// compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<ExeDigest>,
    /// Why there is none, or why it was not renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where the attestation for one device stands.
#[derive(Default)]
struct State {
    given: Option<AttestationGiven>,
    problem: Option<String>,
    tpm: Option<ExeDigest>,
}

/// Attests for one device, and shows it when sessions start.
pub(crate) struct Attestor {
    process: Arc<Process>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// One attempt at a time.
    attempt: tokio::sync::Mutex<()>,
    /// There is a reason to attest now.
    wanted: Notify,
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic while it was held has left whole words.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attestor {
    pub(crate) fn new(process: Arc<Process>, clock: Arc<dyn Clock>) -> Self {
        Self {
            process,
            clock,
            state: Mutex::default(),
            attempt: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// For people.
    pub(crate) fn summary(&self) -> AttestedSummary {
        let state = held(&self.state);
        let given = state.given.as_ref();
        AttestedSummary {
            id: given.map(|given| given.id),
            grade: given.map(|given| given.grade),
            until: given.map(|given| given.until),
            lacks: given.and_then(|given| given.lacks.clone()),
            tpm: state.tpm,
            problem: state.problem.clone(),
        }
    }

    /// What counts now.
    fn given(&self) -> Option<AttestationGiven> {
        let now = self.clock.now();
        let state = held(&self.state);
        state.given.clone().filter(|given| now < given.until)
    }

    /// Until the next attempt, after a success: two thirds of what is left of it.
    fn pause(&self) -> Option<Duration> {
        let given = self.given()?;
        Some(given.until.since(self.clock.now()) / 3 * 2)
    }

    fn learn(&self, made: Result<AttestationGiven, String>) {
        let mut state = held(&self.state);
        match made {
            Ok(given) => {
                state.given = Some(given);
                state.problem = None;
            }
            Err(problem) => state.problem = Some(problem),
        }
    }
}

impl Attests for Attestor {
    fn attest(&self, nonce: &str, audience: &str) -> Option<SessionAttestation> {
        let id = self.given()?.id;
        let message = attested_session_message(&id, nonce, audience);
        let signature = self.process.key.sign(&message).ok()?;
        Some(SessionAttestation { id, signature })
    }

    fn refused(&self, reason: &str) {
        {
            let mut state = held(&self.state);
            state.given = None;
            state.problem = Some(format!("the server takes it no more: {reason}"));
        }
        tracing::warn!(reason, "the attestation of this process counts no more");
        self.wanted.notify_one();
    }
}

/// Attests for a device again and again, as long as it is one of this daemon.
pub(crate) async fn keep_attested(member: Weak<Member>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let (wait, attestor) = {
            let Some(member) = member.upgrade() else {
                return;
            };
            let attestor = Arc::clone(&member.attestor);
            let wait = match attest(&member).await {
                true => {
                    pause = FIRST_PAUSE;
                    attestor.pause().unwrap_or(LONGEST_PAUSE)
                }
                false => {
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            (wait.max(FIRST_PAUSE), attestor)
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = attestor.wanted.notified() => {
                // Whatever took it away is not asked many times a second.
                tokio::time::sleep(pause.min(FIRST_PAUSE)).await;
            }
        }
    }
}

/// Attests once; false when it was not taken, or there is nowhere to attest to.
pub(crate) async fn attest(member: &Member) -> bool {
    let _one = member.attestor.attempt.lock().await;
    let made = made(member).await;
    let taken = made.is_ok();
    match &made {
        Ok(given) => {
            tracing::info!(grade = %given.grade, until = %given.until, "attested this process");
        }
        Err(error) => tracing::info!(%error, "this process is not attested"),
    }
    member
        .attestor
        .learn(made.map_err(|error| error.to_string()));
    if taken && let Some(server) = member.server.attesting() {
        // The session that is in use shows nothing of it yet.
        server.begin_anew().await;
    }
    taken
}

/// For a run that is refused for the lack of one: whether there is a better one now. Who
/// comes while another tries waits for that.
pub(crate) async fn attest_now(member: &Member) -> bool {
    let before = member.attestor.given();
    let attempt = async {
        let _one = member.attestor.attempt.lock().await;
    };
    let _ = tokio::time::timeout(PATIENCE, attempt).await;
    let grade = |given: &Option<AttestationGiven>| given.as_ref().map(|given| given.grade);
    if grade(&member.attestor.given()) > grade(&before) {
        return true;
    }
    let tried = tokio::time::timeout(PATIENCE, attest(member)).await;
    matches!(tried, Ok(true)) && grade(&member.attestor.given()) > grade(&before)
}

async fn made(member: &Member) -> Result<AttestationGiven, DaemonError> {
    let unable = |what: &str| DaemonError::Config(what.to_owned());
    let server = member
        .server
        .attesting()
        .ok_or_else(|| unable("this server takes no attestations"))?;
    let process = Arc::clone(&member.attestor.process);
    // A program is large, and the daemon has one thread.
    let read = tokio::task::spawn_blocking(move || process.exe()).await;
    let exe = read
        .ok()
        .flatten()
        .ok_or_else(|| unable("the program of this process cannot be read"))?;
    let mut chip = chip(&member.attestor.process).await;
    held(&member.attestor.state).tpm = chip.as_ref().map(HostChip::sha256);
    let ask = AttestationAsk {
        tpm: chip.as_ref().map(HostChip::keys),
    };
    let challenge = server
        .attestation_challenge(&ask)
        .await
        .map_err(unsupported)?;
    let key = &member.attestor.process.key;
    let statement = AttestationStatement {
        installation: member.device.installation,
        agent: member.device.actor,
        device: member.device.thumbprint(),
        key: key.public().to_jwk(),
        exe_sha256: exe,
        version: env!("CARGO_PKG_VERSION").parse()?,
        target: target()?,
        pid: std::process::id(),
        boot_id: boot_id()?,
        time: member.attestor.clock.now(),
        nonce: challenge.nonce.clone(),
    };
    let (mut put, message) = signed(&member.pinned, statement, key)?;
    if let Some(mut chip) = chip.take() {
        // The chip takes its time, and the daemon has one thread.
        let quoted = tokio::task::spawn_blocking(move || chip.quote(&challenge, &message)).await;
        put.quote = match quoted {
            Ok(quoted) => Some(quoted?),
            Err(_) => return Err(unable("the TPM did not finish")),
        };
    }
    Ok(server.attest(&put).await?)
}

fn signed(
    server: &Thumbprint,
    statement: AttestationStatement,
    key: &SigningKey,
) -> Result<(AttestationPut, Vec<u8>), DaemonError> {
    let message = attestation_message(server, &statement, key.public());
    let signature = key
        .sign(&message)
        .map_err(|error| DaemonError::Config(error.to_string()))?;
    let put = AttestationPut {
        statement,
        signature,
        quote: None,
    };
    Ok((put, message))
}

/// The chip of this host, if it is to sign as well. Without it the daemon attests all the
/// same: what it says then is of a lower grade, and says so.
async fn chip(process: &Arc<Process>) -> Option<HostChip> {
    let path = process.tpm.clone()?;
    let opened = tokio::task::spawn_blocking(move || HostChip::open(&path)).await;
    match opened.ok()? {
        Ok(chip) => Some(chip),
        Err(error) => {
            tracing::warn!(%error, "attesting without the TPM");
            None
        }
    }
}

/// A server of before there were attestations.
fn unsupported(error: ClientError) -> DaemonError {
    match error.problem() {
        Some(problem) if problem.status == 404 => {
            DaemonError::Config("this server takes no attestations".to_owned())
        }
        _ => error.into(),
    }
}

/// What this program is built for, as releases name it.
fn target() -> Result<BuildWord, DaemonError> {
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    Ok(target.parse()?)
}

/// The boot of this machine, as the kernel names it.
fn boot_id() -> Result<BuildWord, DaemonError> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(FILE)
        .map_err(|source| DaemonError::io(format!("read {FILE}"), source))?;
    Ok(text.trim_end().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use std::sync::atomic::{AtomicU64, Ordering};

    const ID: AttestationId = AttestationId::from_bytes([7; 16]);
    const HOUR: u64 = 60 * 60 * 1000;

    /// A clock that stands where it is put.
    #[derive(Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn attestor() -> (Attestor, Arc<Hands>) {
        let process = Process::new(&SystemEntropy, None).unwrap();
        let clock = Arc::new(Hands::default());
        let shown: Arc<dyn Clock> = Arc::<Hands>::clone(&clock);
        (Attestor::new(Arc::new(process), shown), clock)
    }

    fn given() -> AttestationGiven {
        AttestationGiven {
            id: ID,
            grade: Grade::SelfReported,
            until: Timestamp::from_millis(24 * HOUR),
            lacks: None,
        }
    }

    #[test]
    fn it_renews_when_two_thirds_are_over_and_shows_nothing_that_is_over() {
        let (attestor, clock) = attestor();
        assert_eq!(attestor.pause(), None);
        assert!(attestor.attest("nonce", "procura").is_none());
        attestor.learn(Ok(given()));
        assert_eq!(attestor.pause(), Some(Duration::from_millis(16 * HOUR)));
        clock.0.store(24 * HOUR - 1, Ordering::Relaxed);
        assert!(attestor.attest("nonce", "procura").is_some());
        clock.0.store(24 * HOUR, Ordering::Relaxed);
        assert!(attestor.attest("nonce", "procura").is_none());
        assert_eq!(attestor.pause(), None);
    }

    #[test]
    fn a_session_is_signed_for_by_the_key_of_the_process_alone() {
        let (attestor, _) = attestor();
        attestor.learn(Ok(given()));
        let shown = attestor.attest("nonce", "procura").unwrap();
        assert_eq!(shown.id, ID);
        let key = attestor.process.key.public();
        let signed = |nonce: &str| {
            key.verify(
                &attested_session_message(&ID, nonce, "procura"),
                &shown.signature,
            )
        };
        assert!(signed("nonce"));
        assert!(!signed("another"));
    }

    #[test]
    fn what_is_refused_is_shown_no_more_and_what_is_not_renewed_still_is() {
        let (attestor, _) = attestor();
        attestor.learn(Ok(given()));
        attestor.learn(Err("nobody answers".to_owned()));
        assert!(attestor.attest("nonce", "procura").is_some());
        assert_eq!(
            attestor.summary().problem.as_deref(),
            Some("nobody answers")
        );
        attestor.refused("attestation_revoked");
        assert!(attestor.attest("nonce", "procura").is_none());
        let summary = attestor.summary();
        assert_eq!(summary.id, None);
        assert_eq!(
            summary.problem.as_deref(),
            Some("the server takes it no more: attestation_revoked")
        );
        attestor.learn(Ok(given()));
        assert_eq!(attestor.summary().problem, None);
    }
}
