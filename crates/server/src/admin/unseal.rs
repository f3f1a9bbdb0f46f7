//! Opening the vault: with a passphrase, with shares that several people bring one after
//! the other, or with a source whose wrapper gives its key back. What is wrong is counted
//! and slows the next try down.

mod gathering;

pub(crate) use gathering::Gatherings;
use gathering::PATIENCE;

use crate::app::{App, Open, Stage};
use crate::database;
use crate::opening::{OpeningError, open_services};
use crate::problem::{Code, Failure};
use crate::wrappers;
use procura_crypto::shamir::ShareError;
use procura_crypto::slip39::Slip39Error;
use procura_ledger::{Decision, Entry};
use procura_policy::{Action, Resource};
use procura_proof::Profile;
use procura_record::{Recorder, Refusal};
use procura_store::guard::Start;
use procura_types::wire::{Opening, ShareBrought, ShareProgress, SourceOpening, Wrapper};
use procura_types::{Duration, Label, Secret, TraceId};
use procura_vault::{Brought, Installation, SealError, Share, Vault, WrapError};
use std::sync::Arc;

/// How long the next try waits after so many wrong ones: 1, 2, 4 … 60 s.
#[must_use]
pub fn penalty(wrong: u32) -> Duration {
    Duration::from_secs(
        1u64.checked_shl(wrong.saturating_sub(1))
            .unwrap_or(60)
            .min(60),
    )
}

/// What was brought, as the vault takes it: the wrapper of a source is asked for its key.
pub(super) async fn brought(app: &App, opening: Opening) -> Result<Brought, Failure> {
    match opening {
        Opening::Passphrase(passphrase) => Ok(Brought::Passphrase(passphrase)),
        Opening::Shares(texts) => Ok(Brought::Shares(Share::parse_all(&texts)?)),
        Opening::Source(SourceOpening { name, credentials }) => {
            // Guesses wait for their turn. One that hangs keeps nobody from sealing, nor
            // from trying another source.
            let _turn = app.wrapper_tries.lock().await;
            if app.wrong_tries() > 0 {
                tokio::time::sleep(penalty(app.wrong_tries())).await;
            }
            let brought = from_wrapper(app, &name, credentials, false).await?;
            app.auto_unseal.forgive(&name);
            Ok(brought)
        }
    }
}

/// Has the wrapper of a source give its key back. What it refuses is counted and recorded,
/// as a wrong passphrase is.
pub(crate) async fn from_wrapper(
    app: &App,
    name: &Label,
    credentials: Option<Secret<String>>,
    unattended: bool,
) -> Result<Brought, Failure> {
    let installation = app.installation()?;
    let source = installation
        .source(name)
        .ok_or_else(|| SealError::NoSource(name.clone()))?;
    if source.wrapper().is_none() {
        let needs = wrappers::needs(&source.keeper);
        return Err(Failure::new(
            Code::Conflict,
            format!("{name} is opened with {needs}; bring that."),
        ));
    }
    let asked = wrappers::unwrapped(
        app,
        installation.id,
        source.clone(),
        credentials,
        unattended,
    );
    let of_service = source.wrapper().is_some_and(Wrapper::is_service);
    asked
        .await
        .map_err(|error| refused_by_wrapper(app, name, of_service, error))
}

/// What a try is told that a wrapper refused. One that says nothing of who asked is
/// neither counted nor recorded. What a service refuses is recorded and not counted:
/// there is nothing at it to guess, and nobody is slowed for what a program was denied.
pub(super) fn refused_by_wrapper(
    app: &App,
    source: &Label,
    of_service: bool,
    error: WrapError,
) -> Failure {
    let (reason, word) = (error.reason(), error.word());
    app.refusals.count(word);
    let failure = wrappers::told(source, error);
    match reason {
        Some(reason) if of_service => {
            recorded(app, reason, Some(source));
            failure
        }
        Some(reason) => counted(app, reason, Some(source), failure),
        None => {
            // Nobody is to be held for it, and whoever finds the vault sealed in the
            // morning wants to know why.
            let sealed = matches!(app.stage().as_ref(), Stage::Sealed(..));
            if sealed && failure.code != Code::CredentialsNeeded {
                keep(app, source, word);
            }
            failure
        }
    }
}

/// Keeps for the record what was refused of a source while the vault is sealed.
fn keep(app: &App, source: &Label, word: &'static str) {
    let (now, entropy) = (app.clock.now(), app.entropy.as_ref());
    if let Err(error) = app.refusals.keep(source, word, now, entropy) {
        tracing::error!(%error, "a try to open the vault could not be kept for the record");
    }
}

/// Opens the vault for somebody who sits there: from now on it may open by itself again.
pub(super) async fn by_hand(app: &App, brought: Brought) -> Result<Arc<Open>, Failure> {
    open_with(app, brought, By::Hand).await
}

/// Opens the vault by itself, unless somebody sealed it on purpose.
///
/// # Errors
/// As for somebody; a conflict when it waits for somebody.
pub async fn unseal(app: &App, brought: Brought) -> Result<Arc<Open>, Failure> {
    open_with(app, brought, By::Itself).await
}

/// Who opens it.
enum By {
    Hand,
    Itself,
}

/// Waits for the turn of a try: there is one at a time, and after wrong ones the next is
/// slowed down. Nothing but tries wait here: whoever seals must not wait for somebody
/// who guesses.
pub(super) async fn turn(app: &App) -> tokio::sync::MutexGuard<'_, ()> {
    let turn = app.tries.lock().await;
    if app.wrong_tries() > 0 {
        tokio::time::sleep(penalty(app.wrong_tries())).await;
    }
    turn
}

/// Opens the vault. What is wrong is counted, recorded, and slows the next try down.
///
/// # Errors
/// A wrong passphrase, what is wrong with shares, what is damaged.
async fn open_with(app: &App, brought: Brought, by: By) -> Result<Arc<Open>, Failure> {
    database::look_again(app)?;
    // Where there is nothing to try, nobody waits for a turn.
    match app.stage().as_ref() {
        Stage::Open(open) => return Ok(Arc::clone(open)),
        Stage::Uninitialised => return Err(SealError::NotInitialised.into()),
        Stage::Sealed(..) => {}
    }
    let _turn = turn(app).await;
    let _one = app.ceremony.lock().await;
    let (store, installation) = match app.stage().as_ref() {
        Stage::Open(open) => return Ok(Arc::clone(open)),
        Stage::Uninitialised => return Err(SealError::NotInitialised.into()),
        Stage::Sealed(store, installation) => (store.clone(), Installation::clone(installation)),
    };
    // Whoever seals on purpose does so under the same lock.
    if matches!(by, By::Itself) && app.auto_unseal.is_held() {
        return Err(Failure::new(
            Code::Conflict,
            "Somebody sealed the vault on purpose: it waits for procura unseal.",
        ));
    }
    let (home, entropy, sealable) = (
        app.config.home.clone(),
        Arc::clone(&app.entropy),
        store.clone(),
    );
    let opened = tokio::task::spawn_blocking(move || {
        Vault::unseal(&home, store, installation, &brought, entropy)
    })
    .await
    .map_err(Failure::internal)?;
    let vault = opened.map(Arc::new).map_err(|error| refused(app, error))?;
    let opened: Result<Arc<Open>, OpeningError> =
        open_services(app, vault, Start::Again, async |_: &Recorder| Ok(())).await;
    match opened {
        Ok(open) => {
            app.forgive();
            app.gatherings.forget();
            if matches!(by, By::Hand) {
                app.auto_unseal.release();
            }
            app.set_stage(Stage::Open(Arc::clone(&open)));
            Ok(open)
        }
        Err(error) => {
            // What cannot be served must not stay open.
            sealable.seal();
            Err(error.into())
        }
    }
}

/// Takes one share for a ceremony, and opens the vault with the last one that it takes.
/// Each share is held against its digest at once, so whoever brings a wrong one is told,
/// and not those after them.
///
/// # Errors
/// What is wrong with the share; a ceremony that there is not.
pub(super) async fn bring_share(
    app: &Arc<App>,
    ShareBrought { share, ceremony }: ShareBrought,
) -> Result<ShareProgress, Failure> {
    let installation = match app.stage().as_ref() {
        Stage::Sealed(_, installation) => Installation::clone(installation),
        Stage::Open(_) => {
            app.gatherings.forget();
            return Err(Failure::new(
                Code::Conflict,
                "The vault is open: no share is needed, and none is kept.",
            ));
        }
        Stage::Uninitialised => return Err(SealError::NotInitialised.into()),
    };
    let share = Share::parse(share.expose())?;
    let gathered = {
        // Shares that were never made are guesses, and wait for their turn.
        let _turn = turn(app).await;
        let source = installation
            .source_of(&share)
            .map_err(|error| refused(app, error))?;
        app.gatherings.bring(
            ceremony,
            share,
            &source,
            app.clock.steady(),
            app.entropy.as_ref(),
        )?
    };
    let Some(shares) = gathered.complete else {
        // Nobody may come any more: then the shares go by themselves.
        let app = Arc::downgrade(app);
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if let Some(app) = app.upgrade() {
                app.gatherings.expire(app.clock.steady());
            }
        });
        return Ok(gathered.progress);
    };
    by_hand(app, Brought::Shares(shares)).await?;
    Ok(ShareProgress {
        opened: true,
        ..gathered.progress
    })
}

/// What a try is told that was refused. Guesses are counted and recorded; what was merely
/// mistyped or left out is neither.
pub(super) fn refused(app: &App, error: SealError) -> Failure {
    let reason = match &error {
        SealError::WrongPassphrase => "wrong_passphrase",
        SealError::OtherShare => "share_other_set",
        SealError::ForgedShare { .. } => "share_forged",
        SealError::Shares(ShareError::Inconsistent | ShareError::Disagree)
        | SealError::Mnemonics(Slip39Error::Digest) => "share_forged",
        SealError::WrongKey(_) => "wrapped_key_refused",
        _ => return error.into(),
    };
    counted(app, reason, None, error.into())
}

/// Counts and records a refused try, and says how long the next one waits.
fn counted(
    app: &App,
    reason: &'static str,
    source: Option<&Label>,
    mut failure: Failure,
) -> Failure {
    let seconds = app.count_wrong_try();
    recorded(app, reason, source);
    // What a source is called stays as it is.
    let detail = match source {
        Some(_) => failure.detail,
        None => sentence(&failure.detail),
    };
    failure.detail = format!(
        "{detail} ({} refused since the last right one); the next try waits {seconds} s.",
        app.wrong_tries()
    );
    failure.retry_after = Some(seconds);
    failure
}

/// Records a refused try.
fn recorded(app: &App, reason: &'static str, source: Option<&Label>) {
    if let Err(error) = record(app, reason, source) {
        tracing::error!(%error, "a refused try to open the vault could not be recorded");
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// Puts a refused try into the record; while there is none to write to, into the spool,
/// or, of a source that is known, to what is kept of sources.
fn record(app: &App, reason: &'static str, source: Option<&Label>) -> Result<(), String> {
    let now = app.clock.now();
    let entropy = app.entropy.as_ref();
    let action = Action::InstallationUnseal.as_str();
    let trace = TraceId::generate(now, entropy).map_err(|error| error.to_string())?;
    if let Ok(open) = app.open() {
        let profile = Profile::AdminSocket.as_str();
        open.recorder.refuse(Refusal {
            resource: source.map(|name| Resource::UnsealSource(name.clone()).to_string()),
            ..Refusal::of_nobody(action, reason, now, profile, trace)
        });
        return Ok(());
    }
    if let Some(source) = source {
        return app.refusals.keep(source, reason, now, entropy);
    }
    let entry = Entry::new(now, entropy, action, trace).map_err(|error| error.to_string())?;
    let entry = Entry {
        decision: Decision::Deny,
        reason: Some(reason.into()),
        profile: Profile::AdminSocket.as_str().into(),
        ..entry
    };
    app.spool.push(&entry).map_err(|error| error.to_string())
}
