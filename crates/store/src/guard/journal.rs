//! A replay guard of this process alone: a journal in its home.
//!
//! Each fresh claim is written to a file before it is acknowledged. Nothing is
//! synced: what was written survives the death of the process in the kernel's
//! page cache, and after a restart of the machine, which the boot id tells, the
//! journal is not believed. Two segments take turns, so that the space stays
//! bounded by what is claimed in twice [`Windows::retain`].

mod segment;

use super::{Lost, Of, Start};
use procura_crypto::{LockError, MacKey, sha256};
use procura_proof::{
    Claim, GuardUnavailable, Limits, MemoryGuard, Outcome, Remembered, ReplayGuard, Windows,
};
use procura_types::{Duration, Entropy, EntropyError, Secret, Timestamp};
use segment::{FIRST, Header, RECORD, Segment};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The files of a journal: segments of even and odd generations, which take
/// turns, and one in the making.
struct Names {
    even: &'static str,
    odd: &'static str,
    new: &'static str,
}

impl Of {
    const fn names(self) -> Names {
        match self {
            Self::Native => Names {
                even: "replay.journal.0",
                odd: "replay.journal.1",
                new: "replay.journal.new",
            },
            Self::Foreign => Names {
                even: "replay-foreign.journal.0",
                odd: "replay-foreign.journal.1",
                new: "replay-foreign.journal.new",
            },
        }
    }
}

/// The files of a home's journal.
#[must_use]
pub fn journal_files(home: &Path, of: Of) -> [PathBuf; 2] {
    let Names { even, odd, .. } = of.names();
    [home.join(even), home.join(odd)]
}

/// The kernel's id of this boot: after another one, memory of used proofs that was
/// not synced is gone. Empty when it cannot be read.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// The journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Reading or writing a segment failed.
    #[error("the replay journal cannot be used")]
    Io(#[from] io::Error),
    /// No key to hash nonces with.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No locked memory for that key.
    #[error(transparent)]
    Key(#[from] LockError),
}

/// A [`ReplayGuard`] over a journal in the home. There may be one of each at a time,
/// which is for the caller to see to: the store's lock keeps other processes
/// out, and within one it has to be kept while the server is sealed.
pub struct JournalGuard {
    memory: MemoryGuard,
    journal: Mutex<Journal>,
    windows: Windows,
    lost: Option<Lost>,
    refuse_until: Option<Timestamp>,
}

impl JournalGuard {
    /// Opens a journal in `home` and takes in what it holds. `boot_id` is the
    /// text of `/proc/sys/kernel/random/boot_id`; an empty one is never that of
    /// the former process.
    ///
    /// When the claims of the former process are not known, proofs made up to
    /// the forward window after `now` are refused with [`GuardUnavailable`].
    ///
    /// # Errors
    /// [`GuardError`], when the segments can be neither read nor replaced.
    pub fn open(
        home: &Path,
        of: Of,
        boot_id: &str,
        start: Start,
        limits: Limits,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, GuardError> {
        let windows = of.windows();
        let place = Place {
            home: home.to_owned(),
            of,
        };
        let mut boot = [0; 16];
        if boot_id.trim().is_empty() {
            entropy.fill(&mut boot)?;
        } else {
            boot.copy_from_slice(sha256(boot_id.trim().as_bytes()).split_at(16).0);
        }
        let secs = now.as_secs();
        let lost = match (Found::read(&place, &boot)?, start) {
            (Found::Whole { current, older }, _) => {
                if let Some((memory, journal)) = resume(&place, *current, *older, limits, secs)? {
                    // Of a refusal that has not ended yet, or of a clock that
                    // was ahead for a while.
                    let horizon = journal.header.horizon;
                    return Ok(Self {
                        memory,
                        journal: Mutex::new(journal),
                        windows,
                        lost: None,
                        refuse_until: (horizon >= secs).then(|| Timestamp::from_secs(horizon)),
                    });
                }
                Some(Lost::Damaged)
            }
            (Found::Lost(lost), _) => Some(lost),
            (Found::Nothing, Start::Again) => Some(Lost::Damaged),
            (Found::Nothing, Start::FirstEver) => None,
        };
        let refuse_until = lost.map(|_| now.plus(Duration::from_secs(windows.forward)));
        // Written down, so that it holds when this process dies soon, too.
        let horizon = refuse_until.map_or(0, Timestamp::as_secs);
        let journal = Journal::begin(place, boot, secs, horizon, entropy)?;
        let key = MacKey::from_bytes(journal.header.key.expose())?;
        let memory = MemoryGuard::new(key, limits, windows);
        memory.refuse_created_until(horizon);
        Ok(Self {
            memory,
            journal: Mutex::new(journal),
            windows,
            lost,
            refuse_until,
        })
    }

    /// Why the claims of the former process are not known, if they are not.
    #[must_use]
    pub const fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// How many used proofs with nonces of their own are remembered.
    #[must_use]
    pub fn nonces(&self) -> usize {
        self.memory.nonces()
    }

    /// Proofs made at this moment or before are refused, because claims of former
    /// processes are not known. None when that moment had passed at the start.
    #[must_use]
    pub const fn refuse_until(&self) -> Option<Timestamp> {
        self.refuse_until
    }
}

impl ReplayGuard for JournalGuard {
    fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable> {
        let (outcome, remembered) = self.memory.remember(claim)?;
        if outcome == Outcome::Fresh {
            // A panic leaves no state half made here: the end moves after a write.
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.append(&remembered).map_err(|_| GuardUnavailable {
                retry_after: Duration::from_secs(self.windows.retain()),
            })?;
        }
        Ok(outcome)
    }
}

/// Takes a whole journal in and goes on writing to it; `None` when a record is
/// damaged.
fn resume(
    place: &Place,
    mut current: Segment,
    mut older: Segment,
    limits: Limits,
    now: u64,
) -> Result<Option<(MemoryGuard, Journal)>, GuardError> {
    let windows = place.of.windows();
    let key = MacKey::from_bytes(current.header.key.expose())?;
    let memory = MemoryGuard::new(key, limits, windows);
    memory.refuse_created_until(current.header.horizon);
    let replay = |segment: &mut Segment| {
        let replayed = segment.replay(|record| {
            // Older ones are too old for the clock as well.
            if record.claimed.saturating_add(windows.retain()) >= now {
                memory.restore(record, now);
            }
        });
        match replayed {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(error),
            Ok(replayed) => Ok(Some(replayed)),
        }
    };
    let Some(older) = replay(&mut older)? else {
        return Ok(None);
    };
    let Some(replayed) = replay(&mut current)? else {
        return Ok(None);
    };
    let path = place.segment(current.header.generation);
    let journal = Journal {
        place: place.clone(),
        header: current.header,
        file: OpenOptions::new().write(true).open(path)?,
        end: replayed.end,
        newest: replayed.newest,
        older_newest: older.newest,
    };
    Ok(Some((memory, journal)))
}

/// Where a journal lies.
#[derive(Clone)]
struct Place {
    home: PathBuf,
    of: Of,
}

impl Place {
    fn even(&self) -> PathBuf {
        self.home.join(self.of.names().even)
    }

    fn odd(&self) -> PathBuf {
        self.home.join(self.of.names().odd)
    }

    /// The file of a generation.
    fn segment(&self, generation: u64) -> PathBuf {
        if generation.is_multiple_of(2) {
            self.even()
        } else {
            self.odd()
        }
    }

    /// Makes a segment. It appears with its header or not at all, so a file that
    /// is shorter was damaged.
    fn create(&self, header: &Header) -> io::Result<File> {
        let new = self.home.join(self.of.names().new);
        remove(&new)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all_at(&header.encode(), 0)?;
        std::fs::rename(&new, self.segment(header.generation))?;
        Ok(file)
    }
}

struct Journal {
    place: Place,
    /// Of the segment that is written to.
    header: Header,
    file: File,
    /// Where the next record belongs.
    end: u64,
    /// The latest claim in this segment, and in the other one.
    newest: u64,
    older_newest: u64,
}

impl Journal {
    /// An empty journal in place of whatever was there. It has both segments
    /// from the beginning, so that one alone is damage.
    fn begin(
        place: Place,
        boot: [u8; 16],
        now: u64,
        horizon: u64,
        entropy: &dyn Entropy,
    ) -> Result<Self, GuardError> {
        for path in [place.even(), place.odd()] {
            remove(&path)?;
        }
        let mut key = Secret::new([0; 32]);
        entropy.fill_secret(key.expose_mut())?;
        let mut header = Header {
            generation: 1,
            began: now,
            horizon,
            boot,
            key,
            intact: true,
        };
        place.create(&header)?;
        header.generation = 2;
        let file = place.create(&header)?;
        Ok(Self {
            place,
            header,
            file,
            end: FIRST,
            newest: 0,
            older_newest: 0,
        })
    }

    /// Writes a claim. After an error it is not to be acknowledged.
    fn append(&mut self, remembered: &Remembered) -> io::Result<()> {
        let now = remembered.claimed;
        // After the clock was set back, count anew from here.
        self.header.began = self.header.began.min(now);
        let retain = self.place.of.windows().retain();
        if now > self.header.began.saturating_add(retain) && self.turn(now).is_err() {
            // Most likely there is no room for a new segment: the old one goes on.
            self.header.began = now;
        }
        self.newest = self.newest.max(now);
        if !self.header.intact {
            return Ok(());
        }
        let record = segment::encode(remembered, self.header.generation);
        if self.file.write_all_at(&record, self.end).is_ok() {
            self.end = self.end.saturating_add(RECORD);
            return Ok(());
        }
        // The disk is full. Revoking and deleting must still work, so claims go
        // on in memory, once the header says that after a restart this segment
        // is not to be believed. That takes no new space.
        self.header.intact = false;
        let marked = self.file.write_all_at(&self.header.encode(), 0);
        if marked.is_err() {
            self.header.intact = true;
        }
        marked
    }

    /// Begins a new segment in place of the older one, all of whose claims are
    /// too old by now for the clock.
    fn turn(&mut self, now: u64) -> io::Result<()> {
        let forward = self.place.of.windows().forward;
        let header = Header {
            generation: self.header.generation.saturating_add(1),
            began: now,
            // Should the clock be set back, they are not too old any more.
            horizon: match self.older_newest {
                0 => self.header.horizon,
                newest => self.header.horizon.max(newest.saturating_add(forward)),
            },
            boot: self.header.boot,
            key: Secret::new(*self.header.key.expose()),
            // A hole in this segment is one in what a restart would know, until
            // it is as old as the older one is now.
            intact: true,
        };
        self.file = self.place.create(&header)?;
        self.header = header;
        self.end = FIRST;
        self.older_newest = std::mem::take(&mut self.newest);
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is in the home.
enum Found {
    Nothing,
    Whole {
        current: Box<Segment>,
        older: Box<Segment>,
    },
    Lost(Lost),
}

impl Found {
    fn read(place: &Place, boot: &[u8; 16]) -> io::Result<Self> {
        let mut segments = Vec::with_capacity(2);
        for (path, parity) in [(place.even(), 0), (place.odd(), 1)] {
            match Segment::open(&path) {
                Ok(None) => {}
                Ok(Some(segment)) if segment.header.generation % 2 == parity => {
                    segments.push(Box::new(segment));
                }
                Ok(Some(_)) => return Ok(Self::Lost(Lost::Damaged)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Ok(Self::Lost(Lost::Damaged));
                }
                Err(error) => return Err(error),
            }
        }
        segments.sort_by_key(|segment| segment.header.generation);
        let (current, older) = match (segments.pop(), segments.pop()) {
            (None, _) => return Ok(Self::Nothing),
            (Some(_), None) => return Ok(Self::Lost(Lost::Damaged)),
            (Some(current), Some(older)) => (current, older),
        };
        if current.header.boot != *boot || older.header.boot != *boot {
            return Ok(Self::Lost(Lost::Restarted));
        }
        let follows = current.header.generation.saturating_sub(1) == older.header.generation
            && current.header.key == older.header.key;
        if !follows || !current.header.intact || !older.header.intact {
            return Ok(Self::Lost(Lost::Damaged));
        }
        Ok(Self::Whole { current, older })
    }
}

#[cfg(test)]
mod tests;
