//! Several servers show one log, and each of them may be behind the others for a moment
//! ([ADR 24](../../../docs/adr/0024-postgresql.md)). One that shows fewer entries than were
//! seen may be that, or an older copy: whoever asks again finds out. One that shows other
//! entries is a fork, and is asked nothing more.

use crate::{Break, Checkpoint, Growth, Hash, Seen};
use std::time::Duration;

/// What was seen of a log, and what was shown of it since that is less.
#[derive(Debug, Clone)]
pub struct Lagging {
    seen: Seen,
    shorter: Vec<Seen>,
}

/// What a head means that was shown.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "until it is proven, the log may be any other"]
pub enum Shown {
    /// It goes on from what was seen, and so does what was seen from each shorter head that
    /// was shown before, once all of these are proven.
    GoesOn(Vec<Growth>),
    /// It has fewer entries.
    Behind {
        /// What it is, if it stays so.
        why: Break,
        /// That what was seen goes on from it, for whoever can prove that by now: proven
        /// false, it is a fork. Nothing when it was shown before, or has no entries.
        growth: Option<Growth>,
    },
}

impl Lagging {
    /// How long it is asked again, from the first head that is behind: twice the time that a
    /// server may be.
    pub const PATIENCE: Duration = Duration::from_secs(2);
    /// How long is waited before it is asked again.
    pub const PAUSE: Duration = Duration::from_millis(100);

    /// Nothing was shown since.
    #[must_use]
    pub const fn behind(seen: Seen) -> Self {
        Self {
            seen,
            shorter: Vec::new(),
        }
    }

    /// Takes in what is shown now.
    ///
    /// # Errors
    /// [`Break::Other`] when it is another log, by itself or beside what was shown before.
    pub fn show(&mut self, head: &Checkpoint) -> Result<Shown, Break> {
        let why = match head.after(&self.seen) {
            Ok(growth) => {
                let shorter = self.shorter.iter().map(|head| head.up_to(&self.seen));
                return Ok(Shown::GoesOn(shorter.chain(growth).collect()));
            }
            Err(why @ Break::Shorter { .. }) => why,
            Err(why) => return Err(why),
        };
        let head = Seen::from(head);
        let known = self.shorter.iter().find(|known| known.size == head.size);
        let is_other = match known {
            Some(known) => known.root != head.root,
            // Every log begins with the one of no entries, which has one root.
            None => head.size == 0 && head.root != Hash::empty_root(),
        };
        if is_other {
            return Err(Break::Other { size: head.size });
        }
        let growth = (known.is_none() && head.size > 0).then(|| {
            self.shorter.push(head);
            head.up_to(&self.seen)
        });
        Ok(Shown::Behind { why, growth })
    }
}
