//! Decoys that are handed to whoever asks for them. Where one is denied and where
//! nothing is, nothing here finds anything, in the same way.

use crate::app::Open;
use crate::attested::attesting;
use crate::honey::asked::{Who, names_asked};
use crate::input::Input;
use crate::problem::Failure;
use crate::reply::Reply;
use crate::serve::{Context, permitted};
use procura_directory::{HoneyRecord, Snapshot};
use procura_policy::{Action, Permit};
use procura_proof::Caller;
use procura_record::{Details, Origin};
use procura_types::wire::{RunValue, RunValues, SecretValue, Unmatched, UnmatchedReason, ValueB64};
use procura_types::{EnvName, GrantId, Namespace, RunId, SecretPath};
use procura_vault::{HoneyBait, Released, SecretRead, VaultError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Answers an operator's read that found nothing.
///
/// # Errors
/// [`VaultError::NotFound`] where no decoy is handed out.
pub(crate) async fn bait_of_read(
    context: &Context<'_>,
    permit: Permit<SecretRead>,
) -> Result<Reply, Failure> {
    let Context { open, input, .. } = context;
    let op = permit.op();
    let snapshot = open.directory.snapshot();
    let honey = snapshot.bait_at(&op.namespace, &op.path).filter(|honey| {
        op.version
            .is_none_or(|version| version == HoneyRecord::VERSION)
            && op.at.is_none_or(|at| at >= honey.planted)
    });
    let Some(honey) = honey else {
        return Err(VaultError::NotFound(op.path.clone()).into());
    };
    let details = Details {
        with: Some(format!("@{}", HoneyRecord::VERSION)),
        ..Details::default()
    };
    let recorded = open
        .recorder
        .record(permit, context.origin(), details)
        .await?;
    let value = open.vault.release_bait_read(&recorded, honey)?;
    if let Some(who) = Who::of(recorded.permit().caller()) {
        let place = (honey.namespace.clone(), honey.path.clone());
        open.honey
            .missed(who, Action::SecretRead, place, input)
            .await?;
    }
    let value_b64 = ValueB64::encode(value.expose());
    let length = value_b64.len();
    let answer = SecretValue {
        path: honey.path.clone(),
        version: HoneyRecord::VERSION,
        value_b64,
        created: honey.planted,
    };
    Reply::secret(&answer, length)
}

/// The decoys that a run is handed, and what else it asks for.
pub(crate) struct Baits {
    found: Vec<(EnvName, Arc<HoneyRecord>)>,
    others: Vec<String>,
}

/// Which decoys a run is handed, if any.
///
/// # Errors
/// When the store cannot tell.
pub(crate) fn bait_run(
    open: &Open,
    snapshot: &Snapshot,
    caller: &Caller,
    input: &Input,
) -> Result<Option<Baits>, Failure> {
    if !snapshot.has_honey() {
        return Ok(None);
    }
    let Some(query) = names_asked(input) else {
        return Ok(None);
    };
    let shown = attesting(open, caller, input.now);
    let found = query.baits(&open.vault, snapshot, caller.actor(), shown, input.now)?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut others = query.names;
    others.retain(|text| found.iter().all(|(name, _)| name.as_str() != text));
    others.sort();
    others.dedup();
    Ok(Some(Baits { found, others }))
}

impl Baits {
    /// Hands the decoys to the process, and nothing else: what asked for a decoy gets
    /// no value of a secret any more.
    pub(crate) async fn hand(
        self,
        context: &Context<'_>,
        snapshot: &Snapshot,
        caller: Caller,
    ) -> Result<Reply, Failure> {
        let input = context.input;
        // It is a touch, whatever else is answered.
        input.progress.unfound.store(true, Ordering::Relaxed);
        let entropy = context.app.entropy.as_ref();
        let run = RunId::generate(input.now, entropy).map_err(Failure::internal)?;
        let grant = GrantId::generate(input.now, entropy).map_err(Failure::internal)?;
        let handed = release(context, snapshot, caller, self.found).await?;
        let values: BTreeMap<EnvName, RunValue> = handed
            .into_iter()
            .map(|(name, honey, value)| {
                let value = RunValue {
                    path: honey.path.clone(),
                    version: HoneyRecord::VERSION,
                    value_b64: ValueB64::encode(value.expose()),
                };
                (name, value)
            })
            .collect();
        let length = values.values().map(|value| value.value_b64.len()).sum();
        let unmatched = self
            .others
            .into_iter()
            .map(|name| Unmatched {
                name,
                reason: UnmatchedReason::NoMatch,
            })
            .collect();
        let answer = RunValues {
            run,
            grant,
            values,
            unmatched,
        };
        Reply::secret(&answer, length)
    }
}

type Handed = Vec<(EnvName, Arc<HoneyRecord>, procura_types::SecretBytes)>;

/// Opens decoys, once the intent is durable.
async fn release(
    context: &Context<'_>,
    snapshot: &Snapshot,
    caller: Caller,
    found: Vec<(EnvName, Arc<HoneyRecord>)>,
) -> Result<Handed, Failure> {
    let open = context.open;
    let op = HoneyBait {
        agent: *caller.actor(),
        honey: found,
    };
    let permit = permitted(context, snapshot, caller, op)?;
    let details = permit.op().details();
    let origin: Origin = context.origin();
    let recorded = open.recorder.record(permit, origin, details).await?;
    let values = open.vault.release_bait(&recorded)?;
    let found = recorded.op().honey.iter().cloned();
    Ok(found
        .zip(values)
        .map(|((name, honey), value)| (name, honey, value))
        .collect())
}

/// The decoy that an agent is handed as a key, if there is one at the path.
pub(crate) fn bait_key(
    snapshot: &Snapshot,
    caller: &Caller,
    path: Option<&SecretPath>,
) -> Option<Arc<HoneyRecord>> {
    let namespace = snapshot.actor(caller.actor())?.namespace()?;
    snapshot.bait_at(namespace, path?).cloned()
}

/// Hands it out.
pub(crate) async fn hand_key(
    context: &Context<'_>,
    snapshot: &Snapshot,
    caller: Caller,
    honey: Arc<HoneyRecord>,
) -> Result<Released, Failure> {
    let created = honey.planted;
    let who = Who::of(&caller);
    let place: (Namespace, SecretPath) = (honey.namespace.clone(), honey.path.clone());
    let name: EnvName = "KEY".parse()?;
    let values = release(context, snapshot, caller, vec![(name, honey)]).await?;
    if let Some(who) = who {
        let watch = &context.open.honey;
        watch
            .missed(who, Action::KeyRead, place, context.input)
            .await?;
    }
    let value = values.into_iter().next().map(|(_, _, value)| value);
    Ok(Released {
        version: HoneyRecord::VERSION,
        created,
        value: value.ok_or_else(|| Failure::internal("no decoy was released"))?,
    })
}
