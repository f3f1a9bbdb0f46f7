//! One message on its way: what waits still is read, written and sent.

use super::rows::{MessageRow, Place, WAITING};
use super::sending::{Failed, Sender};
use procura_store::Row;
use std::sync::Arc;

/// What became of a message.
pub(super) struct Sent {
    pub(super) place: Place,
    /// What it told of; not what was taken back meanwhile.
    pub(super) rows: Vec<(u64, Row<MessageRow>)>,
    /// What it was to tell of.
    pub(super) indexes: Vec<u64>,
    /// How much it said that nobody was told of one by one.
    pub(super) untold: u64,
    pub(super) result: Result<(), Failed>,
}

/// Writes a message about what waits still, and sends it.
pub(super) async fn on_its_way(
    sender: Arc<Sender>,
    place: Place,
    indexes: Vec<u64>,
    untold: u64,
) -> Sent {
    let mut sent = Sent {
        rows: Vec::new(),
        result: Ok(()),
        place,
        indexes,
        untold,
    };
    let result = write_and_send(&sender, &mut sent).await;
    sent.result = result;
    sent
}

async fn write_and_send(sender: &Sender, sent: &mut Sent) -> Result<(), Failed> {
    let unreadable = |_| Failed {
        reason: "what waits cannot be read now".to_owned(),
        lasts: false,
        asked: None,
    };
    let (scope, channel) = &sent.place;
    for index in &sent.indexes {
        let key = (scope.clone(), channel.clone(), *index);
        if let Some(row) = WAITING.get(&sender.store, &key).map_err(unreadable)? {
            sent.rows.push((*index, row));
        }
    }
    // A channel that was removed took with it what waited.
    let Some(row) = sender.channel(&sent.place)? else {
        return Ok(());
    };
    let writer = sender.writer(&sent.place, &row);
    let message = match sent.rows.as_slice() {
        [] => return Ok(()),
        [(_, only)] if sent.untold == 0 => writer.one(&only.value.facts),
        rows => {
            let facts: Vec<_> = rows.iter().map(|(_, row)| &row.value.facts).collect();
            writer.digest(&facts, sent.untold)
        }
    };
    sender.send(&sent.place, &row, &message).await
}
