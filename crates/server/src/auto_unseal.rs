//! Opening the vault at start without anybody, with sources that need nobody (`auto_unseal`
//! of the configuration): in their order, again and again with longer pauses while a
//! wrapper is not there, and beside all else: the listeners are up, and anybody who has
//! another source can open the vault meanwhile.
//!
//! Two things are kept in the home, across restarts. What somebody sealed on purpose stays
//! sealed until somebody unseals it. And a PIN that a token refused is not tried again by
//! itself, since a few wrong ones lock a token.

use crate::admin::{from_wrapper, unseal};
use crate::app::{App, Stage};
use crate::problem::{Code, Failure};
use crate::wrappers::{Late, configured};
use http::StatusCode;
use procura_edge::private_file;
use procura_types::wire::Wrapper;
use procura_types::{Duration, Label};
use procura_vault::{Brought, Keeper, PinTries, WrapError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, watch};

const FILE: &str = "auto-unseal.json";

/// Pauses between rounds: 1, 2, 4 … 60 s. So long rests what a service refused.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After so many rounds, most of a day, nobody waits for it any more.
const ROUNDS: u32 = 1200;

/// What is kept in the home.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Somebody sealed the vault on purpose.
    sealed: bool,
    /// Sources whose PIN was refused, or is being tried: what becomes of a process in the
    /// midst of a try nobody knows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    refused: BTreeSet<Label>,
}

struct State {
    kept: Kept,
    /// Sources whose PIN this process is trying.
    trying: BTreeSet<Label>,
    /// What is said about it while it is sealed.
    told: Option<String>,
}

/// How the vault opens by itself.
pub(crate) struct AutoUnseal {
    file: PathBuf,
    state: Mutex<State>,
    /// Somebody sealed on purpose: what is under way ends.
    held: Notify,
}

impl AutoUnseal {
    /// Of a home. What cannot be read there counts as sealed on purpose.
    pub(crate) fn of(home: &Path) -> Self {
        let file = home.join(FILE);
        let kept = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error.to_string()),
        };
        let kept = kept.unwrap_or_else(|error| {
            tracing::error!(%error, file = %file.display(), "what is kept of unsealing cannot be read: the vault waits for somebody");
            Kept {
                sealed: true,
                ..Kept::default()
            }
        });
        Self {
            file,
            state: Mutex::new(State {
                kept,
                trying: BTreeSet::new(),
                told: None,
            }),
            held: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept, on disk before it counts as done.
    fn keep(&self, change: impl FnOnce(&mut Kept)) {
        if let Err(error) = self.write(&mut self.state(), change) {
            tracing::error!(%error, file = %self.file.display(), "what is kept of unsealing could not be written: it is forgotten at the next start");
        }
    }

    fn write(&self, state: &mut State, change: impl FnOnce(&mut Kept)) -> Result<(), String> {
        let before = state.kept.clone();
        change(&mut state.kept);
        if state.kept == before {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&state.kept).map_err(|error| error.to_string())?;
        private_file::replace(&self.file, &bytes).map_err(|error| error.to_string())
    }

    /// A PIN is about to be tried. What cannot be written down is not tried.
    fn begin(&self, source: &Label) -> Result<(), WrapError> {
        let mut state = self.state();
        if state.kept.refused.contains(source) {
            return Err(WrapError::FewTriesLeft);
        }
        let written = self.write(&mut state, |kept| {
            kept.refused.insert(source.clone());
        });
        if let Err(error) = written {
            state.kept.refused.remove(source);
            return Err(WrapError::Own(format!(
                "that a PIN is tried could not be written down, so it was not tried: {error}"
            )));
        }
        state.trying.insert(source.clone());
        Ok(())
    }

    /// The try is over.
    fn end(&self, source: &Label, refused: bool) {
        self.state().trying.remove(source);
        if !refused {
            self.forgive(source);
        }
    }

    /// Whether the PIN of a source may be tried.
    fn standing(&self, source: &Label) -> Standing {
        let state = self.state();
        if state.trying.contains(source) {
            Standing::Trying
        } else if state.kept.refused.contains(source) {
            Standing::Refused
        } else {
            Standing::Free
        }
    }

    /// Somebody sealed on purpose.
    pub(crate) fn hold(&self) {
        self.keep(|kept| kept.sealed = true);
        self.state().told = None;
        self.held.notify_waiters();
    }

    /// Somebody unsealed.
    pub(crate) fn release(&self) {
        self.keep(|kept| kept.sealed = false);
        self.state().told = None;
    }

    /// A wrapper gave its key back to somebody.
    pub(crate) fn forgive(&self, source: &Label) {
        self.keep(|kept| {
            kept.refused.remove(source);
        });
    }

    /// Its PIN is not tried again without somebody.
    fn refuse(&self, source: &Label) {
        self.keep(|kept| {
            kept.refused.insert(source.clone());
        });
    }

    /// Whether it waits for somebody.
    pub(crate) fn is_held(&self) -> bool {
        self.state().kept.sealed
    }

    fn tell(&self, what: Option<String>) {
        self.state().told = what;
    }

    /// Why the vault has not opened by itself. Strangers see this: what a wrapper said is
    /// in the log alone.
    pub(crate) fn problem(&self, configured: bool) -> Option<String> {
        let state = self.state();
        if configured && state.kept.sealed {
            return Some(
                "auto_unseal: somebody sealed the vault on purpose; it waits for procura unseal"
                    .to_owned(),
            );
        }
        state.told.clone()
    }
}

/// How it stands with the PIN of a source.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Free,
    /// A try has not come back.
    Trying,
    /// It was refused, or nothing was heard of it.
    Refused,
}

/// Keeps account of the tries of one PIN.
pub(crate) struct Tries {
    auto: Arc<AutoUnseal>,
    source: Label,
    late: Late,
    /// Nobody waits for the answer any more.
    left: AtomicBool,
}

impl Tries {
    pub(crate) fn of(auto: &Arc<AutoUnseal>, source: &Label, late: Late) -> Self {
        Self {
            auto: Arc::clone(auto),
            source: source.clone(),
            late,
            left: AtomicBool::new(false),
        }
    }

    /// Whoever asked was told that there is no answer: one that still comes is told here.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }
}

impl PinTries for Tries {
    fn begin(&self) -> Result<(), WrapError> {
        self.auto.begin(&self.source)
    }

    fn end(&self, refused: Option<&WrapError>) {
        let refused = refused.filter(|error| {
            matches!(
                error,
                WrapError::WrongPin | WrapError::PinLocked | WrapError::Denied(_)
            )
        });
        self.auto.end(&self.source, refused.is_some());
        if let (Some(error), true) = (refused, self.left.load(Ordering::Acquire)) {
            self.late.refused(&self.source, error);
        }
    }
}

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
    use crate::wrappers::Refusals;
    use procura_crypto::SystemEntropy;
    use procura_types::{Clock, Entropy, Timestamp};

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_800_000_000)
        }
        fn steady(&self) -> Instant {
            Instant::now()
        }
    }

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_sealed_on_purpose_stays_so_across_restarts() {
        let home = tempfile::tempdir().unwrap();
        let auto = AutoUnseal::of(home.path());
        assert!(!auto.is_held());
        assert_eq!(auto.problem(true), None);
        auto.hold();
        let again = AutoUnseal::of(home.path());
        assert!(again.is_held());
        assert_eq!(
            again.problem(true).unwrap(),
            "auto_unseal: somebody sealed the vault on purpose; it waits for procura unseal"
        );
        assert_eq!(again.problem(false), None);
        again.release();
        assert!(!AutoUnseal::of(home.path()).is_held());
    }

    #[test]
    fn a_refused_pin_is_remembered_until_it_was_right() {
        let home = tempfile::tempdir().unwrap();
        AutoUnseal::of(home.path()).refuse(&label("hsm"));
        let auto = AutoUnseal::of(home.path());
        assert!(auto.state().kept.refused.contains(&label("hsm")));
        auto.forgive(&label("other"));
        assert!(auto.state().kept.refused.contains(&label("hsm")));
        auto.forgive(&label("hsm"));
        assert!(AutoUnseal::of(home.path()).state().kept.refused.is_empty());
    }

    /// What keeps account of the tries of a source, in a home.
    fn tries(home: &Path, source: &str) -> (Arc<AutoUnseal>, Tries, Arc<Refusals>) {
        let auto = Arc::new(AutoUnseal::of(home));
        let refusals = Arc::new(Refusals::new(home, &crate::metrics::Metrics::default()));
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(Noon), Arc::new(SystemEntropy));
        let late = Late::new(&refusals, &clock, &entropy);
        let tries = Tries::of(&auto, &label(source), late);
        (auto, tries, refusals)
    }

    #[test]
    fn a_try_counts_as_refused_until_it_is_known_to_be_none() {
        use Standing::{Free, Refused, Trying};
        let refused = WrapError::Denied("expired".to_owned());
        let away = WrapError::Unavailable("away".to_owned());
        for (outcome, after) in [
            (None, Free),
            (Some(&away), Free),
            (Some(&WrapError::WrongPin), Refused),
            (Some(&WrapError::PinLocked), Refused),
            (Some(&refused), Refused),
        ] {
            let home = tempfile::tempdir().unwrap();
            let (auto, tries, _) = tries(home.path(), "hsm");
            tries.begin().unwrap();
            assert_eq!(auto.standing(&label("hsm")), Trying);
            // Another process, after this one was killed in its midst.
            let again = AutoUnseal::of(home.path());
            assert_eq!(again.standing(&label("hsm")), Refused);
            assert_eq!(again.standing(&label("other")), Free);
            tries.end(outcome);
            assert_eq!(auto.standing(&label("hsm")), after, "{outcome:?}");
            let again = AutoUnseal::of(home.path());
            assert_eq!(again.standing(&label("hsm")), after, "{outcome:?}");
        }
    }

    #[test]
    fn a_refused_pin_begins_no_other_try() {
        let home = tempfile::tempdir().unwrap();
        let (_, tries, _) = tries(home.path(), "hsm");
        tries.begin().unwrap();
        tries.end(Some(&WrapError::WrongPin));
        assert_eq!(tries.begin().unwrap_err(), WrapError::FewTriesLeft);
    }

    #[test]
    fn what_cannot_be_written_down_is_not_tried() {
        let home = tempfile::tempdir().unwrap();
        let (auto, tries, _) = tries(&home.path().join("gone"), "hsm");
        let error = tries.begin().unwrap_err().to_string();
        assert!(
            error.starts_with("that a PIN is tried could not be written down"),
            "{error}"
        );
        assert_eq!(auto.standing(&label("hsm")), Standing::Free);
    }

    #[test]
    fn a_refusal_after_its_time_is_kept_for_the_record() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("unseal-refusals.json");
        let (_, tries, _refusals) = tries(home.path(), "hsm");
        tries.begin().unwrap();
        tries.leave();
        tries.end(Some(&WrapError::WrongPin));
        let kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let refused = &kept["refused"][0];
        assert_eq!(
            (&refused["source"], &refused["reason"], &refused["count"]),
            (
                &serde_json::json!("hsm"),
                &serde_json::json!("wrong_pin"),
                &serde_json::json!(1)
            )
        );
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

    #[test]
    fn what_cannot_be_read_waits_for_somebody() {
        let home = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"sealed\":0}", "{\"sealed\":false,\"x\":1}"] {
            std::fs::write(home.path().join(FILE), text).unwrap();
            assert!(AutoUnseal::of(home.path()).is_held(), "{text}");
        }
    }
}
