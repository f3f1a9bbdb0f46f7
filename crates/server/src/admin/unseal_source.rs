//! What opens the vault, changed while it is open. A session is never enough for it:
//! each change begins with something that opens the vault today.

use super::shares::{Shares, Terms};
use super::socket_caller;
use super::unseal::{brought, refused, refused_by_wrapper, turn};
use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use crate::wrappers;
use procura_policy::{Op, Permit, authorize};
use procura_record::{Details, Origin, RECOVERY, RecordError};
use procura_store::{Batch, CommitError};
use procura_types::wire::{
    NewUnsealSource, Opening, PassphraseChange, Recovery, RootTurn, ShareScheme, ShareSet,
    UnsealSource, UnsealSourceList,
};
use procura_types::{Entropy, InstallationId, Label, Secret, TraceId};
use procura_vault::{
    Brought, MAX_SOURCES, NewSource, SealError, SourceChange, UnsealSourceAdd, UnsealSourceRemove,
    UnsealSourceTest, Vault,
};
use std::sync::Arc;

/// The sources, as they were added.
pub(super) fn list(app: &App) -> Result<UnsealSourceList, Failure> {
    let installation = app.installation()?;
    // Before that nothing vouches for the list, and nobody is to type what it says.
    let is_open = app.open().is_ok();
    let sources = installation
        .sources
        .iter()
        .map(|source| {
            let configure = source
                .wrapper()
                .filter(|_| is_open)
                .and_then(|wrapper| app.places.lines(&source.name, wrapper));
            let set = source.keeper.shares().map(|(_, set)| set);
            UnsealSource {
                name: source.name.clone(),
                kind: source.keeper.kind().to_owned(),
                added: source.added,
                threshold: set.map(|set| set.threshold),
                count: set.map(|set| set.count),
                wrapper: source.wrapper().cloned(),
                needs: wrappers::needs(&source.keeper),
                configure,
            }
        })
        .collect();
    Ok(UnsealSourceList { sources })
}

/// A source that is to be.
enum Wanted {
    Passphrase(Secret<String>),
    Shares(ShareScheme, ShareSet),
    /// Its key is wrapped already.
    Wrapped(NewSource),
}

impl Wanted {
    /// Makes it, and the shares of it; takes as long as Argon2id takes.
    fn make(
        self,
        name: Label,
        entropy: &dyn Entropy,
    ) -> Result<(NewSource, Vec<Secret<String>>), SealError> {
        match self {
            Self::Passphrase(passphrase) => {
                NewSource::passphrase(name, &passphrase, entropy).map(|source| (source, Vec::new()))
            }
            Self::Shares(ShareScheme::Shamir, ShareSet { threshold, count }) => {
                let (source, shares) = NewSource::shares(name, threshold, count, entropy)?;
                let texts = shares.iter().map(|share| share.encode()).collect();
                Ok((source, texts))
            }
            Self::Shares(ShareScheme::Slip39, ShareSet { threshold, count }) => {
                let (source, words) = NewSource::slip39(name, threshold, count, entropy)?;
                let texts = words.iter().map(|words| words.encode()).collect();
                Ok((source, texts))
            }
            Self::Wrapped(source) => Ok((source, Vec::new())),
        }
    }
}

/// The turn of a change, of which there is one at a time: nothing of what a change goes by
/// is another's meanwhile.
pub(super) struct Turn<'a> {
    _try: tokio::sync::MutexGuard<'a, ()>,
    _one: tokio::sync::MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    pub(super) async fn of(app: &'a App) -> Self {
        Self {
            _try: turn(app).await,
            _one: app.ceremony.lock().await,
        }
    }
}

/// Runs what takes as long as Argon2id takes; the async threads go on.
pub(super) async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, SealError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Failure::internal)?
        .inspect(|_| app.forgive())
        .map_err(|error| refused(app, error))
}

/// The permit of the socket's caller.
pub(super) fn permit<O: Op>(app: &App, open: &Open, op: O) -> Result<Permit<O>, Failure> {
    authorize(
        open.recorder.decider(),
        &open.directory.snapshot(),
        socket_caller(app)?,
        op,
        app.clock.now(),
    )
    .map_err(|(denied, _, _)| Failure::internal(denied))
}

/// Tries whether something opens the vault; what does is recorded, what does not too.
pub(super) async fn test(
    app: &App,
    opening: Opening,
    trace: TraceId,
) -> Result<UnsealSource, Failure> {
    let brought = brought(app, opening).await?;
    app.open()?;
    let _turn = turn(app).await;
    let _one = app.ceremony.lock().await;
    let open = app.open()?;
    let vault = Arc::clone(&open.vault);
    let by = blocking(app, move || vault.try_source(&brought)).await?;
    let op = UnsealSourceTest {
        name: by.source.clone(),
    };
    let permit = permit(app, &open, op)?;
    open.recorder
        .record(permit, Origin::new(trace), Details::default())
        .await?;
    list(app)?
        .sources
        .into_iter()
        .find(|source| source.name == by.source)
        .ok_or_else(|| SealError::NoSource(by.source).into())
}

/// What operators are to be told when it was shares that a change was made with: their
/// holders need none of them for it.
fn recovery(app: &App, open: &Open, brought: &Brought) -> Result<Option<Recovery>, Failure> {
    let Brought::Shares(shares) = brought else {
        return Ok(None);
    };
    let Some(first) = shares.first() else {
        return Ok(None);
    };
    let source = open
        .vault
        .installation()
        .source_of(first)
        .map_err(|error| refused(app, error))?;
    Ok(Some(open.vault.recovery(&source, app.clock.now())?))
}

/// A source that was added.
pub(super) struct Added {
    /// The shares of one that is shares: here, and nowhere else.
    pub(super) shares: Vec<Secret<String>>,
    /// Sources that open nothing any more.
    pub(super) retired: Vec<Label>,
}

impl Added {
    const fn beside(shares: Vec<Secret<String>>) -> Self {
        Self {
            shares,
            retired: Vec::new(),
        }
    }
}

/// Adds a source.
pub(super) async fn add(
    app: &App,
    request: procura_types::wire::UnsealSourceAdd,
    trace: TraceId,
) -> Result<Added, Failure> {
    let (name, proposal) = (request.name, request.proposal);
    match request.source {
        NewUnsealSource::Shares(set) => {
            let wanted = Shares::new(name, ShareScheme::Shamir, set, proposal);
            add_shares(app, request.open, wanted, trace).await
        }
        NewUnsealSource::Slip39(set) => {
            let wanted = Shares::new(name, ShareScheme::Slip39, set, proposal);
            add_shares(app, request.open, wanted, trace).await
        }
        NewUnsealSource::Passphrase(passphrase) => {
            app.open()?;
            let brought = Arc::new(brought(app, request.open).await?);
            let (turn, terms) = (Turn::of(app).await, Terms::default());
            let wanted = Wanted::Passphrase(passphrase);
            let shares = put(app, &turn, brought, name, wanted, &terms, trace).await?;
            Ok(Added::beside(shares))
        }
        NewUnsealSource::Wrapped(new) => {
            let open = app.open()?;
            let brought = Arc::new(brought(app, request.open).await?);
            // Keys are made on tokens for those who may add a source, and before the
            // ceremony: a wrapper that hangs keeps nobody from sealing.
            let id = addable(app, &open, &brought, &name).await?;
            drop(open);
            let of_service = new.by.is_service();
            let wrapping = wrappers::wrapped(app, id, name.clone(), new.by, new.credentials);
            let (source, made) = wrapping
                .await
                .map_err(|error| refused_by_wrapper(app, &name, of_service, error))?;
            let (turn, terms) = (Turn::of(app).await, Terms::default());
            let (wanted, by) = (Wanted::Wrapped(source), made.by().cloned());
            let added = put(app, &turn, brought, name.clone(), wanted, &terms, trace).await;
            match (&added, by) {
                (Ok(_), Some(by)) => {
                    app.places.learn(&name, &by);
                    // Whatever was refused before was of another source of this name.
                    app.auto_unseal.forgive(&name);
                }
                (Ok(_), None) => {}
                (Err(_), _) => made.forget().await,
            }
            added.map(Added::beside)
        }
    }
}

/// Adds shares, in the place of those that there are. Who keeps what is retired must not
/// open what comes, so the root turns then.
async fn add_shares(
    app: &App,
    opening: Opening,
    wanted: Shares,
    trace: TraceId,
) -> Result<Added, Failure> {
    // Nobody types anything for what will not be.
    wanted.terms(app, &*app.open()?)?;
    let brought = brought(app, opening).await?;
    let turn = Turn::of(app).await;
    // Another set may have come meanwhile, or the proposal been used up: what is done goes
    // by what there is now, and nobody else changes it.
    let terms = wanted.terms(app, &*app.open()?)?;
    let Shares {
        name, scheme, set, ..
    } = wanted;
    let new = Wanted::Shares(scheme, set);
    if terms.retired.is_empty() {
        let shares = put(app, &turn, Arc::new(brought), name, new, &terms, trace).await?;
        return Ok(Added::beside(shares));
    }
    let sources = app.installation()?.sources;
    if sources
        .iter()
        .all(|source| terms.retired.contains(&source.name) || source.wrapper().is_some())
    {
        return Err(Failure::new(
            Code::Conflict,
            "Shares are all that people open the vault with, and the new ones exist in the answer to this alone: if it were lost on its way, nobody would open the vault any more. Add a passphrase first.",
        ));
    }
    let op = UnsealSourceAdd { name: name.clone() };
    let (source, shares) = new.make(name, app.entropy.as_ref())?;
    let change = SourceChange::Replace(terms.retired.clone(), source);
    turn_root(app, &turn, brought, change, op, &terms, trace).await?;
    let retired = terms.retired;
    Ok(Added { shares, retired })
}

/// Whether a source of this name can be added by whoever brings this: the installation
/// that it is for.
async fn addable(
    app: &App,
    open: &Open,
    brought: &Arc<Brought>,
    name: &Label,
) -> Result<InstallationId, Failure> {
    let _turn = turn(app).await;
    let (vault, brought) = (Arc::clone(&open.vault), Arc::clone(brought));
    blocking(app, move || vault.try_source(&brought)).await?;
    let installation = open.vault.installation();
    if installation
        .sources
        .iter()
        .any(|source| source.name == *name)
    {
        return Err(SealError::SourceExists(name.clone()).into());
    }
    if installation.sources.len() >= MAX_SOURCES {
        return Err(SealError::TooManySources.into());
    }
    Ok(installation.id)
}

/// Puts it in force.
async fn put(
    app: &App,
    _turn: &Turn<'_>,
    brought: Arc<Brought>,
    name: Label,
    wanted: Wanted,
    terms: &Terms,
    trace: TraceId,
) -> Result<Vec<Secret<String>>, Failure> {
    let open = app.open()?;
    let op = UnsealSourceAdd { name: name.clone() };
    let recovery = recovery(app, &open, &brought)?;
    let vault = Arc::clone(&open.vault);
    let (clock, entropy) = (Arc::clone(&app.clock), Arc::clone(&app.entropy));
    let (next, shares) = blocking(app, move || {
        let (source, shares) = wanted.make(name, entropy.as_ref())?;
        let next = vault.next_sources(&brought, source, clock.as_ref())?;
        Ok((next, shares))
    })
    .await?;
    let permit = permit(app, &open, op)?;
    let details = Details {
        reason: recovery.as_ref().map(|_| RECOVERY.to_owned()),
        with: terms.words(),
        ..Details::default()
    };
    let tell = |_: &Permit<UnsealSourceAdd>, batch: &mut Batch| {
        if let Some(recovery) = &recovery {
            Vault::put_recovery(batch, recovery);
        }
        terms.put(app, &open, batch)
    };
    let recorded = open
        .recorder
        .record_with(permit, Origin::new(trace), details, tell)
        .await?;
    let put = match open.others {
        Some(_) => {
            open.vault
                .put_sources_beside(next, app.clock.as_ref())
                .await
        }
        None => open.vault.put_sources(next),
    };
    if let Err(error) = put {
        let told = open.recorder.failed(&recorded, "not_written").await;
        if let Err(error) = told {
            tracing::error!(%error, "that an unseal source was not added could not be recorded");
        }
        return Err(error.into());
    }
    Ok(shares)
}

/// Removes a source: the root turns, so that what it opened is of before.
pub(super) async fn remove(
    app: &App,
    request: procura_types::wire::UnsealSourceRemove,
    trace: TraceId,
) -> Result<(), Failure> {
    let op = UnsealSourceRemove {
        name: request.name.clone(),
    };
    let change = SourceChange::Remove {
        name: request.name.clone(),
        wrappers_alone: request.danger_wrappers_alone,
    };
    let (proposal, source) = (request.proposal, request.name.clone());
    let how = || RootTurn::Remove {
        source: source.clone(),
    };
    // Nobody types anything for what will not be, and nothing of what the change goes by is
    // of before its turn.
    Terms::of_turn(app, &*app.open()?, how(), proposal)?;
    let brought = brought(app, request.open).await?;
    let turn = Turn::of(app).await;
    let terms = Terms::of_turn(app, &*app.open()?, how(), proposal)?;
    turn_root(app, &turn, brought, change, op, &terms, trace).await?;
    app.places.forget(&request.name);
    // Whatever was refused before was of this source, and not of a later one of its name.
    app.auto_unseal.forgive(&request.name);
    Ok(())
}

/// Changes the passphrase that was brought.
pub(super) async fn change_passphrase(
    app: &App,
    request: PassphraseChange,
    trace: TraceId,
) -> Result<(), Failure> {
    let change = SourceChange::Passphrase(request.new);
    let brought = Brought::Passphrase(request.current);
    app.open()?;
    let turn = Turn::of(app).await;
    let how = RootTurn::Passphrase;
    let terms = Terms::of_turn(app, &*app.open()?, how, request.proposal)?;
    let op = procura_vault::PassphraseChange;
    turn_root(app, &turn, brought, change, op, &terms, trace).await
}

/// Turns the root, with the sources as they are.
pub(super) async fn rotate(
    app: &App,
    request: procura_types::wire::RootRotate,
    trace: TraceId,
) -> Result<(), Failure> {
    let change = SourceChange::None {
        sessions_go_on: request.sessions_go_on,
    };
    let how = || RootTurn::Keys {
        sessions_go_on: request.sessions_go_on,
    };
    Terms::of_turn(app, &*app.open()?, how(), request.proposal)?;
    let brought = brought(app, request.open).await?;
    let turn = Turn::of(app).await;
    let terms = Terms::of_turn(app, &*app.open()?, how(), request.proposal)?;
    let op = procura_vault::RootRotate;
    turn_root(app, &turn, brought, change, op, &terms, trace).await
}

/// Whether the fate of a commit is open.
fn is_unknown(error: &SealError) -> bool {
    matches!(
        error,
        SealError::Record(RecordError::Commit(CommitError::Unknown))
    )
}

/// Turns the root, with the sources changed.
async fn turn_root<O: Op>(
    app: &App,
    _turn: &Turn<'_>,
    brought: Brought,
    change: SourceChange,
    op: O,
    terms: &Terms,
    trace: TraceId,
) -> Result<(), Failure> {
    // It may have been sealed meanwhile.
    let open = app.open()?;
    let permit = permit(app, &open, op)?;
    // What a change before this one left would be in its way.
    open.vault.settle_root(app.clock.as_ref()).await?;
    let recovery = recovery(app, &open, &brought)?;
    let (vault, clock) = (Arc::clone(&open.vault), Arc::clone(&app.clock));
    let next = blocking(app, move || {
        vault.next_root(&brought, change, clock.as_ref())
    })
    .await?;
    open.recorder
        .change(permit, &Origin::new(trace), |batch| {
            if let Some(recovery) = &recovery {
                batch.details().reason = Some(RECOVERY.to_owned());
                Vault::put_recovery(batch.rows(), recovery);
            }
            if let Some(words) = terms.words() {
                batch.details().with = Some(words);
            }
            terms.put(app, &open, batch.rows())?;
            next.put(batch).map_err(Failure::from)
        })
        .await?;
    // What was gathered may be of a set that is another now.
    app.gatherings.forget();
    let turned = match open.others {
        Some(_) => open.vault.turn_root_beside(next, app.clock.as_ref()).await,
        None => open.vault.turn_root(next),
    };
    // The change is over, one way or the other. What is left of the root that is
    // not in force is taken away now, or by the upkeep.
    let settled = open.vault.settle_root(app.clock.as_ref()).await;
    if let Err(error) = &settled {
        tracing::warn!(%error, "the other root could not be taken away yet");
    }
    open.upkeep.wake();
    // Sessions of before have ended, and so do their streams.
    open.notices.wake();
    turned.map_err(|error| match settled {
        Ok(()) if is_unknown(&error) => Failure::new(
            Code::Unknown,
            "It is not known whether the change was stored. When the database answers, the servers go by what it holds: try with what should open the vault now, then with what did.",
        ),
        Ok(()) => Failure::new(
            Code::Internal,
            "Nothing was changed: installation.json could not be replaced, or the new keys not be used. What opened the vault before opens it.",
        ),
        Err(_) => Failure::new(
            Code::Unknown,
            "The new keys could not be used, nor installation.json made sure of. What opened the vault before opens it unless the server stops before that succeeds; then it may be what should have from now on.",
        ),
    }
    .because(error))
}
