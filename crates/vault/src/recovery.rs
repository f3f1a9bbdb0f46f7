//! Uses of shares, to open the vault or to change what opens it, other keys of operators that
//! joined by what opens it, and uses of break-glass accounts. Every operator hears of them at
//! their next use: whoever has enough shares, or such an account, needs none of them.
//!
//! Each device of an operator is told by itself. Another key of theirs may be in the hands
//! of somebody who is not them, and what that one says it knows keeps nothing from them.

use crate::secret_rows::all_rows;
use crate::vault::Vault;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, KeyPrefix, Kind, StoreError, Table};
use procura_types::wire::Recovery;
use procura_types::{Label, Thumbprint, Timestamp};

/// The most that are told at once; the record has all of them.
const TOLD: usize = 16;

/// Time of the unseal in ms → what opened the vault.
const RECOVERIES: Table<u64, Recovery> = Table::new("recovery", Kind::Ordinary);

/// Device of an operator → the time of the last of them that it was told of, in ms.
const SEEN: Table<Thumbprint, u64> = Table::new("recovery-seen", Kind::Ordinary);

/// Says that a device of an operator was told of the unseals with shares until a time.
pub struct RecoverySeen {
    /// The time of the last of them.
    pub until: Timestamp,
}

impl Op for RecoverySeen {
    const ACTION: Action = Action::RecoverySeen;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl RecoverySeen {
    /// Puts it down for the device that calls, and for no other of its operator.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) {
        let until = batch.op().until.as_millis();
        if let Some(device) = batch.permit().caller().device().copied() {
            SEEN.put(batch.rows(), &device, &until);
        }
    }
}

impl Vault {
    /// What operators are to be told of a use of shares, for the commit that says so. Its
    /// time is after that of the one before, though the clock may have gone back: what is
    /// told is what comes after what was told.
    ///
    /// # Errors
    /// The store.
    pub fn recovery(&self, source: &Label, now: Timestamp) -> Result<Recovery, StoreError> {
        let last = all_rows(&RECOVERIES, &self.store, &KeyPrefix::all())?.pop();
        let after = last.map_or(0, |(time, _)| time.saturating_add(1));
        Ok(Recovery {
            time: Timestamp::from_millis(after.max(now.as_millis())),
            source: source.clone(),
            operator: None,
            break_glass: false,
        })
    }

    /// Puts it into the commit.
    pub fn put_recovery(batch: &mut Batch, recovery: &Recovery) {
        RECOVERIES.put(batch, &recovery.time.as_millis(), recovery);
    }

    /// The unseals with shares that a device of an operator was not told of, oldest first,
    /// 16 at the most.
    ///
    /// # Errors
    /// The store.
    pub fn recoveries(&self, device: &Thumbprint) -> Result<Vec<Recovery>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let seen = SEEN.get_at(&snapshot, device)?.map(|row| row.value);
        let rows = RECOVERIES.scan(&snapshot, &KeyPrefix::all(), seen.as_ref(), TOLD)?;
        Ok(rows.into_iter().map(|(_, row)| row.value).collect())
    }
}
