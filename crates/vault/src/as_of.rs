//! What was there at a time. Versions and the times at which they were deleted and
//! came back say it; what was destroyed since is gone for every time.

use crate::error::VaultError;
use crate::secret_rows::{HeadRow, VersionRow, older_versions};
use procura_store::Store;
use procura_types::wire::VersionState;
use procura_types::{Namespace, SecretPath, Timestamp};
use serde::{Deserialize, Serialize};

/// Most times that a version keeps at which it was away. Of more, the two oldest become
/// one, and what was between them counts as away: never the other way round.
const MOST: usize = 64;

/// A time in which a version was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Away {
    from: Timestamp,
    /// When it came back; it has not when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl Away {
    fn holds(self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A live version is deleted.
pub(crate) fn leaves(row: &mut VersionRow, now: Timestamp) {
    row.away.push(Away {
        from: now,
        until: None,
    });
    if row.away.len() > MOST {
        let first = row.away.remove(0);
        if let Some(next) = row.away.first_mut() {
            next.from = first.from;
        }
    }
}

/// A deleted version comes back.
pub(crate) fn returns(row: &mut VersionRow, now: Timestamp) {
    match row.away.last_mut().filter(|away| away.until.is_none()) {
        Some(away) => away.until = Some(now),
        // It was deleted when the time of that was not kept: since it was written.
        None => row.away.push(Away {
            from: row.created,
            until: Some(now),
        }),
    }
}

/// Whether a version that was the newest could be read then.
fn was_readable(row: &VersionRow, at: Timestamp) -> bool {
    let known = match row.state {
        VersionState::Live => true,
        // Of what was deleted before such times were kept it is not known when.
        VersionState::Deleted => row.away.last().is_some_and(|away| away.until.is_none()),
        VersionState::Destroyed => false,
    };
    known && !row.away.iter().any(|away| away.holds(at))
}

/// What was at a path.
pub(crate) enum AsOf {
    /// This version could be read.
    There(VersionRow),
    /// This version was the newest, and has been destroyed since.
    Destroyed(u64),
}

/// What was at a path at a time; none where nothing could be read.
pub(crate) fn version(
    store: &Store,
    namespace: &Namespace,
    path: &SecretPath,
    head: HeadRow,
    at: Timestamp,
) -> Result<Option<AsOf>, VaultError> {
    let row = if head.latest.created <= at {
        Some(head.latest)
    } else if head.latest.version == 1 {
        None
    } else {
        older_versions(store, namespace, path)?
            .into_iter()
            .map(|row| row.value)
            .rfind(|row| row.created <= at)
    };
    Ok(row.and_then(|row| match row.state {
        VersionState::Destroyed if row.away.iter().any(|away| away.holds(at)) => None,
        VersionState::Destroyed => Some(AsOf::Destroyed(row.version)),
        _ => was_readable(&row, at).then_some(AsOf::There(row)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn row(state: VersionState) -> VersionRow {
        VersionRow {
            version: 1,
            created: at(10),
            size: 0,
            state,
            dek: Vec::new(),
            variables: Vec::new(),
            away: Vec::new(),
        }
    }

    #[test]
    fn a_version_was_there_but_for_the_times_in_which_it_was_deleted() {
        let mut row = row(VersionState::Live);
        leaves(&mut row, at(20));
        row.state = VersionState::Deleted;
        let there = |row: &VersionRow, times: &[u64]| -> Vec<bool> {
            times
                .iter()
                .map(|time| was_readable(row, at(*time)))
                .collect()
        };
        assert_eq!(there(&row, &[10, 19, 20, 30]), [true, true, false, false]);
        returns(&mut row, at(30));
        row.state = VersionState::Live;
        assert_eq!(there(&row, &[19, 20, 29, 30]), [true, false, false, true]);
        row.state = VersionState::Destroyed;
        assert_eq!(there(&row, &[10, 30]), [false, false]);
    }

    #[test]
    fn of_what_was_deleted_without_a_time_nothing_is_known() {
        let mut row = row(VersionState::Deleted);
        assert!(!was_readable(&row, at(10)));
        returns(&mut row, at(30));
        row.state = VersionState::Live;
        assert!(!was_readable(&row, at(10)) && !was_readable(&row, at(29)));
        assert!(was_readable(&row, at(30)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgets_towards_away() {
        let mut row = row(VersionState::Live);
        for turn in 0..200 {
            leaves(&mut row, at(100 + turn * 10));
            returns(&mut row, at(105 + turn * 10));
        }
        assert_eq!(row.away.len(), MOST);
        assert!(was_readable(&row, at(99)));
        assert!(!was_readable(&row, at(105)));
        assert!(was_readable(&row, at(2095)) && !was_readable(&row, at(2094)));
    }
}
