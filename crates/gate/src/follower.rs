//! Following the server: what it says of directory, dial and keys is taken in as soon
//! as it changes.

use crate::Gate;
use crate::verifying::{FeedFault, Verifying};
use procura_client::{ClientError, FeedQuestion, SessionClient};
use procura_types::dial::{Dial, Mode};
use procura_types::wire::Feed;
use procura_types::{Clock, Duration, InstallationId, InstanceId, Label, Namespace};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// How long to wait after a question that brought nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the server may wait for news at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
}

/// Follows the server for one gate.
pub struct Follower {
    following: Following,
    verifying: Arc<Verifying>,
    clock: Arc<dyn Clock>,
    known: Option<(u64, String)>,
}

/// The highest state of the directory that a gate of this home has seen; 0 when there
/// was none.
///
/// # Errors
/// When it cannot be read, or is not a number: a state that was put back could not be
/// told then.
pub fn highest_seen(home: &Path) -> std::io::Result<u64> {
    match std::fs::read_to_string(home.join(HIGHEST)) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| std::io::Error::other("it is not a number")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

impl Follower {
    /// Nothing is asked yet.
    #[must_use]
    pub const fn new(
        following: Following,
        verifying: Arc<Verifying>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            following,
            verifying,
            clock,
            known: None,
        }
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
        } = &self.following;
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
            remember(home, seq);
        }
        self.known = Some((seq, mark));
        Ok(Dial { mode, routes })
    }

    /// Follows until `stopping` is true or its sender is gone, and turns the dial of
    /// `gate` as the server says.
    pub async fn run(mut self, gate: Gate, mut stopping: watch::Receiver<bool>) {
        let mut told = false;
        loop {
            let answer = tokio::select! {
                answer = self.ask() => answer,
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            let error = match answer {
                Ok(dial) => {
                    if told {
                        tracing::info!("the server is followed again");
                    }
                    told = false;
                    gate.set_dial(dial);
                    continue;
                }
                Err(error) => error,
            };
            self.known = self.known.filter(|_| self.verifying.is_fresh());
            if is_final(&error) {
                self.verifying.lose();
                self.known = None;
                // Nobody tells it any more how the dial is turned, so nothing may
                // stay open that was open last.
                gate.set_dial(Dial {
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

/// Whether the server says that this gate is none, or that another one is. To serve
/// on until what is known is old would be to act on what is known to be wrong.
fn is_final(error: &FollowError) -> bool {
    let FollowError::Client(error) = error else {
        return false;
    };
    ["already_followed", "not_found", "revoked", "unknown_agent"]
        .iter()
        .any(|word| error.is_refusal(word))
}

/// Remembers the highest state seen, for the next process.
fn remember(home: &Path, seq: u64) {
    let (new, path) = (home.join("directory-seen.new"), home.join(HIGHEST));
    let written = std::fs::write(&new, seq.to_string()).and_then(|()| std::fs::rename(&new, &path));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "what was seen of the directory could not be remembered");
    }
}
