//! What opens the vault, changed while it is open. A session is never enough for it:
//! each change begins with something that opens the vault today.

use super::socket_caller;
use super::unseal::{brought, refused, turn};
use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use procura_directory::ActorKind;
use procura_policy::{Op, Permit, authorize};
use procura_record::{Details, Origin, RECOVERY};
use procura_store::Batch;
use procura_types::wire::{
    NewUnsealSource, Opening, PassphraseChange, Recovery, ShareSet, UnsealSource, UnsealSourceList,
};
use procura_types::{Entropy, Label, Secret, TraceId};
use procura_vault::{
    Brought, Keeper, NewSource, SealError, SourceChange, UnsealSourceAdd, UnsealSourceRemove,
    UnsealSourceTest, Vault, VaultError,
};
use std::sync::Arc;

/// The sources, as they were added.
pub(super) fn list(app: &App) -> Result<UnsealSourceList, Failure> {
    let installation = app.installation()?;
    let sources = installation
        .sources
        .iter()
        .map(|source| {
            let (threshold, count) = match &source.keeper {
                Keeper::Shares {
                    threshold, shares, ..
                } => (Some(*threshold), u8::try_from(shares.len()).ok()),
                Keeper::Passphrase { .. } | Keeper::FirstFormat { .. } => (None, None),
            };
            UnsealSource {
                name: source.name.clone(),
                kind: source.keeper.kind().to_owned(),
                added: source.added,
                threshold,
                count,
            }
        })
        .collect();
    Ok(UnsealSourceList { sources })
}

/// A source that is to be, and the shares of it.
type Made = (NewSource, Vec<Secret<String>>);

/// Makes a source; takes as long as Argon2id takes.
fn make(name: Label, new: NewUnsealSource, entropy: &dyn Entropy) -> Result<Made, SealError> {
    match new {
        NewUnsealSource::Passphrase(passphrase) => {
            NewSource::passphrase(name, &passphrase, entropy).map(|source| (source, Vec::new()))
        }
        NewUnsealSource::Shares(ShareSet { threshold, count }) => {
            let (source, shares) = NewSource::shares(name, threshold, count, entropy)?;
            let texts = shares.iter().map(|share| share.encode()).collect();
            Ok((source, texts))
        }
    }
}

/// Shares let a few people open the vault without the others, so who is the only operator
/// makes them with the passphrase, and of several a quorum would have to agree, which
/// there is no way to say yet.
fn may_make_shares(open: &Open, new: &NewUnsealSource) -> Result<(), Failure> {
    let snapshot = open.directory.snapshot();
    let operators = snapshot
        .actors()
        .filter(|actor| matches!(actor.kind, ActorKind::Owner { .. }))
        .filter(|actor| snapshot.is_active(&actor.id))
        .count();
    if matches!(new, NewUnsealSource::Shares(_)) && operators > 1 {
        return Err(Failure::new(
            Code::Forbidden,
            "Shares are made where there is one operator; with several it takes a quorum of them, which cannot be asked for yet.",
        ));
    }
    Ok(())
}

/// Runs what takes as long as Argon2id takes; the async threads go on.
async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, SealError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Failure::internal)?
        .inspect(|_| app.forgive())
        .map_err(|error| refused(app, error))
}

fn permit<O: Op>(app: &App, open: &Open, op: O) -> Result<Permit<O>, Failure> {
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
    let brought = brought(opening)?;
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

/// Adds a source. The shares of one that is shares are in the answer, and nowhere else.
pub(super) async fn add(
    app: &App,
    request: procura_types::wire::UnsealSourceAdd,
    trace: TraceId,
) -> Result<Vec<Secret<String>>, Failure> {
    let brought = brought(request.open)?;
    app.open()?;
    let _turn = turn(app).await;
    let _one = app.ceremony.lock().await;
    let open = app.open()?;
    may_make_shares(&open, &request.source)?;
    let op = UnsealSourceAdd {
        name: request.name.clone(),
    };
    let recovery = recovery(app, &open, &brought)?;
    let vault = Arc::clone(&open.vault);
    let (clock, entropy) = (Arc::clone(&app.clock), Arc::clone(&app.entropy));
    let (next, shares) = blocking(app, move || {
        let (source, shares) = make(request.name, request.source, entropy.as_ref())?;
        let next = vault.next_sources(&brought, source, clock.as_ref())?;
        Ok((next, shares))
    })
    .await?;
    let permit = permit(app, &open, op)?;
    let details = Details {
        reason: recovery.as_ref().map(|_| RECOVERY.to_owned()),
        ..Details::default()
    };
    let tell = |_: &Permit<UnsealSourceAdd>, batch: &mut Batch| {
        if let Some(recovery) = &recovery {
            Vault::put_recovery(batch, recovery);
        }
        Ok::<(), VaultError>(())
    };
    let recorded = open
        .recorder
        .record_with(permit, Origin::new(trace), details, tell)
        .await?;
    if let Err(error) = open.vault.put_sources(next) {
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
    let change = SourceChange::Remove(request.name);
    turn_root(app, brought(request.open)?, change, op, trace).await
}

/// Changes the passphrase that was brought.
pub(super) async fn change_passphrase(
    app: &App,
    request: PassphraseChange,
    trace: TraceId,
) -> Result<(), Failure> {
    let change = SourceChange::Passphrase(request.new);
    let brought = Brought::Passphrase(request.current);
    turn_root(app, brought, change, procura_vault::PassphraseChange, trace).await
}

/// Turns the root, with the sources changed.
async fn turn_root<O: Op>(
    app: &App,
    brought: Brought,
    change: SourceChange,
    op: O,
    trace: TraceId,
) -> Result<(), Failure> {
    app.open()?;
    let _turn = turn(app).await;
    let _one = app.ceremony.lock().await;
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
            next.put(batch)
        })
        .await?;
    // What was gathered may be of a set that is another now.
    app.gatherings.forget();
    let turned = open.vault.turn_root(next);
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
