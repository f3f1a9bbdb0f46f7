//! What waits and what was given up, for those who look after it.

use super::channel::resource;
use super::error::NotifyError;
use super::queue::{count_dead, queue_of};
use super::rows::{DEAD, MessageKey, MessageRow, SCOPES, UNTOLD, WAITING, changed};
use super::scope;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Row, Store};
use procura_types::wire::{
    ChannelQueue, NotifyDeadDone, NotifyDeadList, NotifyDeadPick, NotifyDelivery, NotifyQueue,
};
use procura_types::{Label, Malformed, Namespace, Timestamp};
use std::collections::BTreeSet;

/// Rows of one page, and of one change.
const PAGE: usize = 200;

/// A message that was given up.
type DeadRow = (MessageKey, Row<MessageRow>);

/// Shows what waits.
pub(crate) struct QueueReading {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
}

impl Op for QueueReading {
    const ACTION: Action = Action::NotifyRead;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl QueueReading {
    /// Channel by channel.
    pub(crate) fn run(permit: &Permit<Self>, store: &Store) -> Result<NotifyQueue, NotifyError> {
        let scope = scope(permit.op().namespace.as_ref());
        let names = SCOPES.get(store, &scope)?;
        let names = names.map(|row| row.value.channels).unwrap_or_default();
        let mut channels = Vec::new();
        for channel in names {
            let place = (scope.clone(), channel.clone());
            let (waiting, oldest, failure) = queue_of(store, &place)?;
            let untold = UNTOLD.get(store, &place)?;
            channels.push(ChannelQueue {
                channel,
                waiting,
                dead: count_dead(&store.snapshot()?, &place)?,
                oldest,
                failure,
                untold: untold.map_or(0, |row| row.value),
            });
        }
        Ok(NotifyQueue { channels })
    }
}

/// Lists what was given up.
pub(crate) struct DeadListing {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// After this one.
    pub(crate) after: Option<(Label, u64)>,
}

impl Op for DeadListing {
    const ACTION: Action = Action::NotifyRead;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl DeadListing {
    /// By channel and entry.
    pub(crate) fn run(permit: &Permit<Self>, store: &Store) -> Result<NotifyDeadList, NotifyError> {
        let op = permit.op();
        let scope = scope(op.namespace.as_ref());
        let after = op.after.as_ref();
        let after = after.map(|(channel, entry)| (scope.clone(), channel.clone(), *entry));
        let prefix = KeyPrefix::all().part(&scope);
        let mut rows = DEAD.scan(&store.snapshot()?, &prefix, after.as_ref(), PAGE + 1)?;
        let more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let deliveries: Vec<_> = rows.into_iter().map(shown).collect();
        let next = deliveries.last().filter(|_| more);
        Ok(NotifyDeadList {
            next: next.map(|last| last.id.clone()),
            deliveries,
        })
    }
}

/// Whether it names no more messages than one change takes.
pub(crate) fn fits(pick: NotifyDeadPick) -> Result<NotifyDeadPick, Malformed> {
    if pick.entries.len() > PAGE {
        return Err(Malformed::new("entries", "are at most 200 at once"));
    }
    Ok(pick)
}

/// Reads the id of a message: `ops/4711`.
pub(crate) fn parsed_id(text: &str) -> Result<(Label, u64), Malformed> {
    let rule = Malformed::new("after", "must be the id of a message, such as ops/4711");
    let (channel, entry) = text.split_once('/').ok_or_else(|| rule.clone())?;
    let channel = channel.parse().map_err(|_| rule.clone())?;
    Ok((channel, entry.parse().map_err(|_| rule)?))
}

fn shown(((_, channel, index), row): (MessageKey, Row<MessageRow>)) -> NotifyDelivery {
    let MessageRow {
        facts,
        tries,
        failure,
        ..
    } = row.value;
    NotifyDelivery {
        id: format!("{channel}/{index}"),
        event: facts.event,
        severity: facts.severity(),
        action: facts.action,
        entry: facts.entry,
        time: facts.time,
        tries,
        failure,
    }
}

/// Has what was given up tried again, or forgets it.
pub(crate) struct DeadRedeliver {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// Which.
    pub(crate) pick: NotifyDeadPick,
    /// Whether it is forgotten.
    pub(crate) drop: bool,
}

impl Op for DeadRedeliver {
    const ACTION: Action = Action::NotifyRedeliver;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl DeadRedeliver {
    /// Does it with those of the permit that are there.
    pub(crate) fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<NotifyDeadDone, NotifyError> {
        let op = batch.op();
        let scope = scope(op.namespace.as_ref());
        let names = SCOPES.get(batch.store(), &scope)?;
        let is_there = names.is_some_and(|row| row.value.channels.contains(&op.pick.channel));
        if !is_there {
            return Err(NotifyError::NoChannel(op.pick.channel.clone()));
        }
        let (rows, more) = op.picked(batch.store(), &scope)?;
        let word = if op.drop { "dropped" } else { "retried" };
        batch.details().with = Some(format!(
            "channel:{} {word} messages:{}",
            op.pick.channel,
            rows.len()
        ));
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let batch = batch.rows();
        for (key, row) in rows {
            DEAD.expect(batch, &key, Expected::At(row.version));
            DEAD.delete(batch, &key);
            if !op.drop {
                let again = MessageRow {
                    tries: 0,
                    next: now,
                    ..row.value
                };
                WAITING.put(batch, &key, &again);
            }
        }
        changed(batch);
        Ok(NotifyDeadDone { count, more })
    }

    /// The rows, and whether there are more.
    fn picked(&self, store: &Store, scope: &str) -> Result<(Vec<DeadRow>, bool), NotifyError> {
        let channel = &self.pick.channel;
        if self.pick.entries.is_empty() {
            let prefix = KeyPrefix::all().part(&scope.to_owned()).part(channel);
            let mut rows = DEAD.scan(&store.snapshot()?, &prefix, None, PAGE + 1)?;
            let more = rows.len() > PAGE;
            rows.truncate(PAGE);
            return Ok((rows, more));
        }
        let mut rows = Vec::new();
        // Each once, however often it was named.
        let entries: BTreeSet<u64> = self.pick.entries.iter().copied().collect();
        for entry in &entries {
            let key = (scope.to_owned(), channel.clone(), *entry);
            if let Some(row) = DEAD.get(store, &key)? {
                rows.push((key, row));
            }
        }
        Ok((rows, false))
    }
}
