//! Following the server: what it says of directory, dial and keys is taken in as soon
//! as it changes.

use crate::checkpoint::{Record, RecordError, RecordFault};
use crate::feed::FeedFault;
use crate::remembered::remember;
use crate::verifying::Verifying;
use procura_client::{ClientError, FeedQuestion, SessionClient};
use procura_types::dial::{Dial, Mode};
use procura_types::wire::Feed;
use procura_types::{Clock, Duration, InstallationId, InstanceId, Label, Namespace};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// How long to wait after a question that brought nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the server may wait for news at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked at whether what is known is too old.
const LOOK: Duration = Duration::from_millis(500);

/// The file of the home that has the highest state of the directory that was seen.
const HIGHEST: &str = "directory-seen";

/// The server does not let the gate follow, or not now.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It was not reached, or it refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What it said is not taken in.
    #[error("what the server says is not used: {0}")]
    Feed(#[from] FeedFault),
    /// Its record does not go on from what was seen of it.
    #[error("what the server says is not used: {0}")]
    Record(#[from] RecordFault),
}

impl From<RecordError> for FollowError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Client(error) => error.into(),
            RecordError::Fault(fault) => fault.into(),
        }
    }
}

/// Whom to follow as what.
pub struct Following {
    /// The gate's device at the server.
    pub server: SessionClient,
    /// The installation that it joined.
    pub installation: InstallationId,
    /// Where the service is.
    pub namespace: Namespace,
    /// The service.
    pub service: Label,
    /// Of the gate's home.
    pub instance: InstanceId,
    /// The gate's home.
    pub home: PathBuf,
    /// The verification key of the server's ledger (C2SP vkey), as it was pinned on
    /// joining.
    pub ledger_vkey: String,
    /// Takes the server's record as it is now for what was seen of it: an operator said
    /// that it was put back on purpose.
    pub accept_rollback: bool,
}

/// Follows the server for one gate.
pub struct Follower {
    following: Following,
    verifying: Arc<Verifying>,
    clock: Arc<dyn Clock>,
    known: Option<(u64, String)>,
    record: Record,
    /// The session in which the record was looked at. In another one, or after an
    /// answer that did not come, the server may be another copy than before; and there
    /// is more to be remembered once the directory has moved.
    looked_at: Option<u64>,
}

/// The highest state of the directory that a gate of this home has seen; 0 when there
/// was none.
///
/// # Errors
/// When it cannot be read, or is not a number: a state that was put back could not be
/// told then. Its text names the file.
pub fn highest_seen(home: &Path) -> std::io::Result<u64> {
    let path = home.join(HIGHEST);
    let unusable = |kind, why: &dyn std::fmt::Display| {
        std::io::Error::new(kind, format!("{}: {why}", path.display()))
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| unusable(ErrorKind::InvalidData, &"it is not a number")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(unusable(error.kind(), &error)),
    }
}

impl Follower {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When what was seen of the server's record cannot be read.
    pub fn new(
        following: Following,
        verifying: Arc<Verifying>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FollowError> {
        let record = Record::open(
            &following.home,
            &following.ledger_vkey,
            following.accept_rollback,
        )?;
        Ok(Self {
            following,
            verifying,
            clock,
            known: None,
            record,
            looked_at: None,
        })
    }

    /// Asks once, and gives the dial. Before this nobody is let in.
    ///
    /// # Errors
    /// Also that another gate follows the service (`already_followed`).
    pub async fn ask(&mut self) -> Result<Dial, FollowError> {
        let Following {
            server,
            installation,
            namespace,
            service,
            instance,
            home,
            ..
        } = &self.following;
        let session = server.session_number().await?;
        if self.looked_at != Some(session) {
            self.record.check(server).await?;
            self.looked_at = Some(session);
        }
        // Three questions in the time after which what is known is too old.
        let wait = LONGEST_WAIT.min(self.verifying.max_stale() / 3);
        let asked = self.clock.steady();
        let question = FeedQuestion {
            installation,
            namespace,
            service,
            instance,
            known: self.known.as_ref().map(|(seq, mark)| (*seq, mark.as_str())),
            wait,
            guard: self.verifying.guard_generation(),
        };
        let feed = server.feed(&question).await?;
        self.verifying.take(&feed, asked)?;
        let Feed {
            seq,
            mark,
            mode,
            routes,
            ..
        } = feed;
        if self.known.as_ref().is_none_or(|(known, _)| *known != seq) {
            let (path, text) = (home.join(HIGHEST), seq.to_string());
            remember(&path, text.into_bytes(), "what was seen of the directory").await;
            // What is now in the record will not be missing from it unseen.
            self.looked_at = None;
        }
        self.known = Some((seq, mark));
        Ok(Dial { mode, routes })
    }

    /// Follows until `stopping` is true or its sender is gone, and has `turn` turn the
    /// dial as the server says. Answers that are under way end with whoever may not have
    /// them any more, and all of them when that cannot be told.
    pub async fn run(mut self, turn: impl Fn(Dial), mut stopping: watch::Receiver<bool>) {
        let mut told = false;
        loop {
            let verifying = Arc::clone(&self.verifying);
            let answer = tokio::select! {
                answer = self.ask() => answer,
                never = watch_age(&verifying) => match never {},
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            let error = match answer {
                Ok(dial) => {
                    if told {
                        tracing::info!("the server is followed again");
                    }
                    told = false;
                    turn(dial);
                    continue;
                }
                Err(error) => error,
            };
            self.looked_at = None;
            self.verifying.end_stale();
            self.known = self.known.filter(|_| self.verifying.is_fresh());
            if is_final(&error) {
                self.verifying.lose();
                self.known = None;
                // Nobody tells it any more how the dial is turned, so nothing may
                // stay open that was open last.
                turn(Dial {
                    mode: Some(Mode::Enforce),
                    ..Dial::default()
                });
            }
            if !told {
                tracing::warn!(%error, "the server cannot be followed");
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Looks from time to time whether what is known is too old; a question may wait longer
/// than that.
async fn watch_age(verifying: &Verifying) -> Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        verifying.end_stale();
    }
}

/// Whether the server says that this gate is none, or that another one is, or is not
/// the server that it was. To serve on until what is known is old would be to act on
/// what is known to be wrong.
fn is_final(error: &FollowError) -> bool {
    let error = match error {
        FollowError::Client(error) => error,
        FollowError::Feed(FeedFault::RolledBack { .. }) => return true,
        FollowError::Feed(_) => return false,
        FollowError::Record(_) => return true,
    };
    ["already_followed", "not_found", "revoked", "unknown_agent"]
        .iter()
        .any(|word| error.is_refusal(word))
}
