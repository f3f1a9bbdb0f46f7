//! Trying the sources in rounds, until one opens the vault, somebody does, or none can.

use super::tries::Standing;
use crate::admin::{from_wrapper, unseal};
use crate::app::{App, Stage};
use crate::problem::{Code, Failure};
use crate::wrappers::configured;
use http::StatusCode;
use procura_types::wire::Wrapper;
use procura_types::{Duration, Label};
use procura_vault::{Brought, Keeper};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Pauses between rounds: 1, 2, 4 … 60 s. So long rests what a service refused.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After so many rounds, most of a day, nobody waits for it any more.
const ROUNDS: u32 = 1200;

/// What came of one try.
enum Tried {
    Opened,
    /// It may be different in a moment.
    Later,
    /// A service said no, which may be mended while nobody is here: a right that is given
    /// late, credentials that are written late.
    Slowly,
    /// It takes somebody.
    Never,
}

/// A source that is not given up.
struct Waiting {
    source: Label,
    /// It is not tried before then.
    rests_until: Option<Instant>,
}

impl Waiting {
    const fn of(source: Label) -> Self {
        Self {
            source,
            rests_until: None,
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// What becomes of it after a try; nothing when it is given up.
    fn after(self, tried: &Tried, now: Instant) -> Option<Self> {
        let rests_until = match tried {
            Tried::Later => None,
            Tried::Slowly => now.checked_add(LONGEST_PAUSE),
            Tried::Opened | Tried::Never => return None,
        };
        Some(Self {
            rests_until,
            ..self
        })
    }
}

/// Tries the sources until one opens the vault, somebody does, or none can.
pub(crate) async fn run(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let auto = &app.auto_unseal;
    if app.config.auto_unseal.is_empty() || auto.is_held() {
        return;
    }
    let held = auto.held.notified();
    tokio::pin!(held);
    held.as_mut().enable();
    tokio::select! {
        () = rounds(&app) => {}
        () = held => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

async fn rounds(app: &Arc<App>) {
    let auto = &app.auto_unseal;
    let sources = app.config.auto_unseal.iter().cloned();
    let mut left: Vec<Waiting> = sources.map(Waiting::of).collect();
    let mut pause = Duration::from_secs(1);
    for _ in 0..ROUNDS {
        let mut later = Vec::new();
        for waiting in left {
            if !matches!(app.stage().as_ref(), Stage::Sealed(..)) {
                auto.tell(None);
                return;
            }
            if waiting.rests(app.clock.steady()) {
                later.push(waiting);
                continue;
            }
            let tried = attempt(app, &waiting.source).await;
            if matches!(tried, Tried::Opened) {
                tracing::info!(source = %waiting.source, "the vault opened by itself");
                auto.tell(None);
                return;
            }
            later.extend(waiting.after(&tried, app.clock.steady()));
        }
        if later.is_empty() {
            auto.tell(Some(
                "auto_unseal: no source opens the vault by itself, the log says why; it waits for procura unseal".to_owned(),
            ));
            return;
        }
        let names: Vec<&str> = later.iter().map(|one| one.source.as_str()).collect();
        auto.tell(Some(format!(
            "auto_unseal: what {} needs is not there, the log says why; it is tried again",
            names.join(", ")
        )));
        left = later;
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
    auto.tell(Some(
        "auto_unseal: it was tried for most of a day and is not tried any more; it waits for procura unseal".to_owned(),
    ));
}

/// Tries one source.
async fn attempt(app: &Arc<App>, name: &Label) -> Tried {
    match app.auto_unseal.standing(name) {
        Standing::Free => {}
        Standing::Trying => {
            tracing::warn!(source = %name, "its token has not answered yet");
            return Tried::Later;
        }
        Standing::Refused => {
            tracing::error!(source = %name, "its PIN was refused before, or nothing was heard of it, and is not tried again by itself; open the vault with it once: procura unseal --source");
            return Tried::Never;
        }
    }
    match bring(app, name).await {
        Ok(brought) => {
            // To its end, whoever seals meanwhile: given up midway it would leave keys in
            // the memory of a server that says it is sealed.
            let opening = Arc::clone(app);
            let opened = tokio::spawn(async move { unseal(&opening, brought).await.map(drop) });
            match opened.await.map_err(Failure::internal).flatten() {
                Ok(()) => Tried::Opened,
                Err(failure) => failed(app, name, &failure),
            }
        }
        Err(failure) => failed(app, name, &failure),
    }
}

async fn bring(app: &App, name: &Label) -> Result<Brought, Failure> {
    let installation = app.installation()?;
    let source = installation.source(name);
    let by_itself = |what: &str| Failure::new(Code::Conflict, what);
    match source.map(|source| &source.keeper) {
        None => Err(by_itself("there is no unseal source of this name")),
        Some(Keeper::Shares { .. } | Keeper::Slip39 { .. }) => {
            Err(by_itself("shares are brought by people"))
        }
        Some(Keeper::Wrapped { .. }) => from_wrapper(app, name, None, true).await,
        Some(Keeper::Passphrase { .. } | Keeper::FirstFormat { .. }) => {
            let passphrase = configured(&app.config, name, true)
                .map_err(|error| crate::wrappers::told(name, error))?
                .ok_or_else(|| by_itself("unseal_credentials names no file for its passphrase"))?;
            Ok(Brought::Passphrase(passphrase))
        }
    }
}

fn failed(app: &App, source: &Label, failure: &Failure) -> Tried {
    tracing::error!(%source, detail = %failure.detail, cause = ?failure.cause, "the vault does not open by itself with it");
    if matches!(failure.code, Code::WrongPin | Code::PinLocked) {
        app.auto_unseal.refuse(source);
    }
    if failure.code.status() == StatusCode::SERVICE_UNAVAILABLE {
        Tried::Later
    } else if may_be_mended(app, source, failure.code) {
        Tried::Slowly
    } else {
        Tried::Never
    }
}

/// Whether what was refused may be mended by others than who sits here, and trying again
/// locks nothing: what a service says of credentials, a file of them that is not whole
/// yet, or a service that does not show that it is the one, as one whose certificate is
/// not valid by a clock that is not right yet.
fn may_be_mended(app: &App, name: &Label, code: Code) -> bool {
    let is_service = app.installation().is_ok_and(|installation| {
        installation
            .sources
            .iter()
            .filter(|source| source.name == *name)
            .filter_map(|source| source.wrapper())
            .any(Wrapper::is_service)
    });
    is_service
        && match code {
            Code::CredentialsRefused | Code::AnotherWrapper => true,
            Code::CredentialsNeeded => app.config.unseal_credentials.contains_key(name),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_service_refuses_rests_for_the_longest_pause() {
        let now = Instant::now();
        let waiting = || Waiting::of(label("cloud"));
        assert!(!waiting().rests(now));
        assert!(!waiting().after(&Tried::Later, now).unwrap().rests(now));
        let resting = waiting().after(&Tried::Slowly, now).unwrap();
        assert_eq!(resting.source, label("cloud"));
        assert!(resting.rests(now + LONGEST_PAUSE - Duration::from_millis(1)));
        assert!(!resting.rests(now + LONGEST_PAUSE));
        // Its next try may find it away.
        let away = resting.after(&Tried::Later, now).unwrap();
        assert!(!away.rests(now));
        assert!(away.after(&Tried::Never, now).is_none());
    }
}
