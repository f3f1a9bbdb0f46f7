//! The offline verifier: every file of an exported log is recomputed from its
//! entries and held against the signed checkpoint.

use crate::audit::Audit;
use crate::forgetting::{Carried, FORGOTTEN, Said};
use crate::{
    BundleReader, Checkpoint, Finding, FindingKind, Forgotten, Frontier, Hash, LedgerError, Report,
    Succession, TILE_WIDTH, TileFile, TileKind, TilePath, TileWriter, Vkey, handover_name,
    leaf_hash,
};
use std::collections::HashSet;

const CHECKPOINT: &str = "checkpoint";

/// Why a file of an export could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// There is, and reading failed, for this reason.
    #[error("{0}")]
    Failed(String),
}

/// Gives the files of an exported log by name, such as `checkpoint` or
/// `tile/entries/x001/234.p/5`; always relative, with `/`, without `..`.
pub trait ReadFile {
    /// The whole file.
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError>;
}

/// Verifies an exported log: the checkpoint's signature, each entry and hash
/// against the signed root, the form and order of the entries, and every
/// receipt. With `after`, an older checkpoint of the same log that was
/// [opened](Succession::open) with the same key, also that the log continues it. Where
/// the key has turned since, the checkpoints that it turned with lead to the one that
/// signs now ([`succession_of`]), and the log must go through each of them.
///
/// A log may begin later: where the first bundle is not there, the hashes of what is
/// missing have to be, the file [`FORGOTTEN`] with what it left behind, and an entry that
/// says just this of it.
///
/// The first finding, in the order of the log, is returned; damage of files
/// comes before what intact entries say.
pub fn verify_export(
    dir: &dyn ReadFile,
    vkey: &Vkey,
    after: Option<&Checkpoint>,
) -> Result<Report, Finding> {
    let succession = succession_of(dir, vkey)?;
    let checkpoint = open_checkpoint(dir, vkey, &succession)?;
    if let Some(after) = after {
        not_shorter(&checkpoint, after)?;
    }
    through_handovers(&checkpoint, &succession)?;
    let base = Base::of(dir, checkpoint.size)?;
    let mut audit = match &base {
        Some(base) => Audit::after(&checkpoint.origin, &base.carried),
        None => Audit::new(&checkpoint.origin),
    };
    let through = after.into_iter().chain(succession.heads()).collect();
    let begun = Walk::new(dir, &checkpoint, through, base.as_ref(), &mut audit).run()?;
    statements_hold(dir, &checkpoint, base.as_ref(), begun, &audit.said)?;
    let forgotten = base.as_ref().and_then(|base| base.said_in(&audit.said));
    let (from, until) = audit.span.unzip();
    Ok(Report {
        origin: checkpoint.origin.clone(),
        entries: checkpoint.size,
        forgotten: forgotten.map(|said| Forgotten {
            entries: said.forgetting.until,
            said_by: said.entry,
            kept: said.forgetting.kept,
        }),
        root: checkpoint.root,
        seq: checkpoint.seq,
        from,
        until,
        receipts: audit.receipts,
        interrupted: audit.into_interrupted(),
        after: after.map(|after| after.size),
    })
}

/// The keys that follow `vkey`, by the checkpoints of the export that the keys turned
/// with.
///
/// # Errors
/// One of them cannot be read, or is no text.
pub fn succession_of(dir: &dyn ReadFile, vkey: &Vkey) -> Result<Succession, Finding> {
    let mut notes = Vec::new();
    loop {
        let name = handover_name(notes.len());
        match dir.read(&name) {
            Err(ReadError::Missing) => break,
            _ => {
                let note = String::from_utf8(read(dir, &name)?).map_err(|error| {
                    finding(FindingKind::CheckpointMalformed)
                        .in_file(&name)
                        .found(error.utf8_error())
                })?;
                notes.push(note);
            }
        }
    }
    Ok(Succession::of(vkey.clone()).follow(notes.iter().map(String::as_str)))
}

/// The files below `tile/` that a checkpoint over `size` entries does not call
/// for, of all that are there: [`verify_export`] reads none of them, so whatever
/// they say is not vouched for. `names` are relative, with `/`, as in [`ReadFile`].
pub fn not_signed(size: u64, names: impl IntoIterator<Item = String>) -> Result<(), Finding> {
    let called: HashSet<String> = crate::layout(size).map(|path| path.to_string()).collect();
    let mut strays: Vec<String> = names
        .into_iter()
        .filter(|name| !called.contains(name))
        .collect();
    strays.sort();
    match strays.as_slice() {
        [] => Ok(()),
        [one] => Err(finding(FindingKind::FileNotSigned).in_file(one)),
        [first, ..] => Err(finding(FindingKind::FileNotSigned)
            .in_file(first)
            .found(format_args!(
                "{} such files: {}",
                strays.len(),
                strays.join(", ")
            ))),
    }
}

fn read(dir: &dyn ReadFile, name: &str) -> Result<Vec<u8>, Finding> {
    dir.read(name).map_err(|error| match error {
        ReadError::Missing => Finding::new(FindingKind::FileMissing).in_file(name),
        ReadError::Failed(cause) => Finding::new(FindingKind::FileUnreadable)
            .in_file(name)
            .found(cause),
    })
}

fn open_checkpoint(
    dir: &dyn ReadFile,
    vkey: &Vkey,
    succession: &Succession,
) -> Result<Checkpoint, Finding> {
    let bytes = read(dir, CHECKPOINT)?;
    let malformed =
        |cause: &dyn std::fmt::Display| at(FindingKind::CheckpointMalformed).found(cause);
    let note = std::str::from_utf8(&bytes).map_err(|error| {
        let offset = u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX);
        malformed(&"bytes that are not UTF-8").at_offset(offset)
    })?;
    succession.open(note).map_err(|error| match error {
        LedgerError::Unsigned { .. } | LedgerError::BadSignature { .. } => {
            at(FindingKind::CheckpointNotSigned)
                .expected(format_args!("a signature by {vkey}"))
                .found(error)
        }
        LedgerError::WrongOrigin { expected, found } => {
            at(FindingKind::WrongLog).expected(expected).found(found)
        }
        other => malformed(&other),
    })
}

const fn finding(kind: FindingKind) -> Finding {
    Finding::new(kind)
}

fn at(kind: FindingKind) -> Finding {
    finding(kind).in_file(CHECKPOINT)
}

fn not_shorter(checkpoint: &Checkpoint, after: &Checkpoint) -> Result<(), Finding> {
    if after.origin != checkpoint.origin {
        return Err(at(FindingKind::WrongLog)
            .expected(&after.origin)
            .found(&checkpoint.origin));
    }
    if checkpoint.size < after.size {
        return Err(at(FindingKind::Shortened)
            .at_entry(checkpoint.size)
            .expected(format_args!("at least {} entries", after.size))
            .found(format_args!("{} entries", checkpoint.size)));
    }
    // The store's sequence only grows, so a later head with an earlier
    // sequence comes from a store that was put back.
    if let (Some(now), Some(then)) = (checkpoint.seq, after.seq)
        && now < then
    {
        return Err(at(FindingKind::Forked)
            .expected(format_args!("a store sequence of at least {then}"))
            .found(now));
    }
    Ok(())
}

/// A key is believed because the log went through the head that it turned with. One that
/// lies beyond the checkpoint shows nothing of the kind: the newest entries were removed,
/// the export was broken off, or whoever has the old key leads on to a key of their own.
fn through_handovers(checkpoint: &Checkpoint, succession: &Succession) -> Result<(), Finding> {
    let beyond = succession
        .heads()
        .iter()
        .find(|head| head.size > checkpoint.size);
    beyond.map_or(Ok(()), |head| {
        Err(at(FindingKind::Shortened)
            .at_entry(checkpoint.size)
            .expected(format_args!(
                "at least the {} entries that the key turned after",
                head.size
            ))
            .found(format_args!("{} entries", checkpoint.size)))
    })
}

/// The beginning of a log that is forgotten, as an export has it.
struct Base {
    carried: Carried,
    /// Of its bytes.
    digest: Hash,
}

impl Base {
    /// What the export says was forgotten; `None` when it has its first bundle, or says
    /// nothing: then a bundle that is not there is missing.
    fn of(dir: &dyn ReadFile, size: u64) -> Result<Option<Self>, Finding> {
        let first = TilePath::width_in(size, 0, 0);
        let bundle = crate::tile::path(TileKind::Entries, 0, first).to_string();
        if first == 0 || dir.read(&bundle) != Err(ReadError::Missing) {
            return Ok(None);
        }
        if dir.read(FORGOTTEN) == Err(ReadError::Missing) {
            return Ok(None);
        }
        let bytes = read(dir, FORGOTTEN)?;
        let malformed = |found: &dyn std::fmt::Display| {
            finding(FindingKind::ForgottenMalformed)
                .in_file(FORGOTTEN)
                .found(found)
        };
        let carried = Carried::from_bytes(&bytes).map_err(|error| malformed(&error))?;
        if carried.entries >= size {
            return Err(malformed(&format_args!("{} entries", carried.entries))
                .expected(format_args!("fewer than the {size} of the checkpoint")));
        }
        let digest = Carried::digest(&bytes);
        Ok(Some(Self { carried, digest }))
    }

    /// The entry that says that just this was forgotten.
    fn said_in<'a>(&self, said: &'a [Said]) -> Option<&'a Said> {
        let entries = self.carried.entries;
        said.iter().find(|said| said.forgetting.until == entries)
    }
}

/// Holds what entries say was forgotten against the entries, as far as these are here
/// nevertheless: who has a copy from before is not told otherwise unnoticed.
fn statements_hold(
    dir: &dyn ReadFile,
    checkpoint: &Checkpoint,
    base: Option<&Base>,
    begun: Frontier,
    said: &[Said],
) -> Result<(), Finding> {
    let mut said: Vec<&Said> = said
        .iter()
        .filter(|said| said.forgetting.until > begun.size())
        .collect();
    said.sort_by_key(|said| said.forgetting.until);
    let mut said = said.into_iter().peekable();
    let mut audit = match base {
        Some(base) => Audit::after(&checkpoint.origin, &base.carried),
        None => Audit::new(&checkpoint.origin),
    };
    let mut tree = begun;
    while said.peek().is_some() {
        let index = tree.size() / TILE_WIDTH;
        let name = crate::tile::path(TileKind::Entries, index, crate::FULL_TILE).to_string();
        let bytes = read(dir, &name)?;
        for entry in BundleReader::new(&bytes) {
            let entry = entry.map_err(|error| {
                finding(FindingKind::BundleMalformed)
                    .in_file(&name)
                    .found(error)
            })?;
            audit.read(tree.size(), entry.bytes)?;
            tree.push(leaf_hash(entry.bytes));
        }
        while let Some(next) = said.next_if(|next| next.forgetting.until <= tree.size()) {
            let carried = audit.carried(tree.size());
            let bytes = carried.to_bytes().map_err(|error| {
                finding(FindingKind::ForgottenMalformed)
                    .at_entry(next.entry)
                    .found(error)
            })?;
            next.holds(&tree.root(), &carried, &Carried::digest(&bytes))?;
        }
    }
    Ok(())
}

/// One walk over all files, in the order of the entries.
struct Walk<'a> {
    dir: &'a dyn ReadFile,
    checkpoint: &'a Checkpoint,
    /// Older heads of the log, which it must have had.
    through: Vec<&'a Checkpoint>,
    /// What is forgotten of it.
    base: Option<&'a Base>,
    audit: &'a mut Audit,
    /// The tree as the entries make it.
    writer: TileWriter,
    /// First entry that does not hash to what its tile holds.
    differs: Option<Difference>,
    /// The tree of an older head's size has another root than was signed.
    forked: Option<Finding>,
    /// First thing wrong in what the entries say.
    wrong: Option<Finding>,
    /// First tile of a higher level that the entries do not make.
    upper: Option<Finding>,
    /// The tree over what is forgotten.
    begun: Frontier,
}

/// An entry and its hash in the tile of level 0 that do not belong together.
struct Difference {
    bundle: TilePath,
    tile: TilePath,
    entry: u64,
    offset: u64,
    recorded: Hash,
    made: Hash,
}

impl Difference {
    fn entry_changed(&self) -> Finding {
        finding(FindingKind::EntryChanged)
            .in_file(self.bundle)
            .at_entry(self.entry)
            .at_offset(self.offset)
            .expected(format_args!("bytes with hash {}", self.recorded))
            .found(format_args!("bytes with hash {}", self.made))
    }

    fn tile_changed(&self) -> Finding {
        let place = self.entry % TILE_WIDTH;
        Finding::tile(&self.tile, place, &self.made, &self.recorded).at_entry(self.entry)
    }
}

impl<'a> Walk<'a> {
    fn new(
        dir: &'a dyn ReadFile,
        checkpoint: &'a Checkpoint,
        through: Vec<&'a Checkpoint>,
        base: Option<&'a Base>,
        audit: &'a mut Audit,
    ) -> Self {
        Self {
            dir,
            checkpoint,
            through,
            base,
            audit,
            writer: TileWriter::new(),
            differs: None,
            forked: None,
            wrong: None,
            upper: None,
            begun: Frontier::new(),
        }
    }

    /// Gives the tree over what is forgotten.
    fn run(mut self) -> Result<Frontier, Finding> {
        self.continues();
        let first = self
            .base
            .map_or(0, |base| base.carried.entries / TILE_WIDTH);
        for index in 0..first {
            self.forgotten(index)?;
            let files = self.writer.take_complete();
            self.compare_upper(files)?;
        }
        self.begun = self.writer.frontier();
        for index in first..self.checkpoint.size.div_ceil(TILE_WIDTH) {
            self.bundle(index)?;
            let files = self.writer.take_complete();
            self.compare_upper(files)?;
        }
        let files = self.writer.flush().files;
        self.compare_upper(files)?;
        self.judge()
    }

    fn tile(&self, path: &TilePath) -> Result<Vec<Hash>, Finding> {
        let bytes = read(self.dir, &path.to_string())?;
        if bytes.len() != usize::from(path.width()) * 32 {
            return Err(finding(FindingKind::TileChanged)
                .in_file(path)
                .expected(format_args!("{} bytes", u32::from(path.width()) * 32))
                .found(format_args!("{} bytes", bytes.len())));
        }
        Hash::from_tile(&bytes)
            .map_err(|error| finding(FindingKind::TileChanged).in_file(path).found(error))
    }

    /// The name of a file at the signed size.
    fn path(&self, kind: TileKind, index: u64) -> TilePath {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let width = TilePath::width_in(self.checkpoint.size, level, index);
        crate::tile::path(kind, index, width)
    }

    /// The hashes of a bundle that is forgotten. Where it is there all the same, it has to
    /// be the one that they are of.
    fn forgotten(&mut self, index: u64) -> Result<(), Finding> {
        let tile_path = self.path(TileKind::Hashes(0), index);
        let leaves = self.tile(&tile_path)?;
        let path = self.path(TileKind::Entries, index);
        let bundle = match self.dir.read(&path.to_string()) {
            Err(ReadError::Missing) => None,
            _ => Some(read(self.dir, &path.to_string())?),
        };
        if let Some(bytes) = bundle {
            let mut entries = BundleReader::new(&bytes);
            for (entry, recorded) in (index * TILE_WIDTH..).zip(&leaves) {
                let start = entries.offset();
                let made = entries.next().and_then(Result::ok);
                let made = made.map(|found| leaf_hash(found.bytes));
                if made != Some(*recorded) {
                    return Err(finding(FindingKind::EntryChanged)
                        .in_file(path)
                        .at_entry(entry)
                        .at_offset(start)
                        .expected(format_args!("bytes with hash {recorded}")));
                }
            }
            if entries.next().is_some() {
                let cause = "more bytes after them".to_owned();
                return Err(self.broken(&path, entries.offset(), None, cause));
            }
        }
        for leaf in leaves {
            self.writer.push_forgotten(leaf);
            self.continues();
        }
        Ok(())
    }

    fn bundle(&mut self, index: u64) -> Result<(), Finding> {
        let path = self.path(TileKind::Entries, index);
        let tile_path = self.path(TileKind::Hashes(0), index);
        let tile = self.tile(&tile_path)?;
        let bytes = read(self.dir, &path.to_string())?;
        let mut entries = BundleReader::new(&bytes);
        for (entry, recorded) in (index * TILE_WIDTH..).zip(tile) {
            let start = entries.offset();
            let cause = match entries.next() {
                Some(Ok(next)) => {
                    let made = self.append(entry, next.bytes, next.offset, &path)?;
                    if made != recorded && self.differs.is_none() {
                        self.differs = Some(Difference {
                            bundle: path,
                            tile: tile_path,
                            entry,
                            offset: next.offset,
                            recorded,
                            made,
                        });
                    }
                    continue;
                }
                Some(Err(LedgerError::Bundle { problem, .. })) => format!("a file that {problem}"),
                Some(Err(other)) => other.to_string(),
                None => "the end of the file".to_owned(),
            };
            return Err(self.broken(&path, start, Some(entry), cause));
        }
        if entries.next().is_some() {
            let cause = "more bytes after them".to_owned();
            return Err(self.broken(&path, entries.offset(), None, cause));
        }
        Ok(())
    }

    /// A bundle that is not the right number of entries: an earlier difference
    /// says better where the damage begins.
    fn broken(&self, path: &TilePath, offset: u64, entry: Option<u64>, cause: String) -> Finding {
        if let Some(differs) = &self.differs {
            return differs.entry_changed();
        }
        let mut broken = finding(FindingKind::BundleMalformed)
            .in_file(path)
            .at_offset(offset)
            .expected(format_args!("{} entries", path.width()))
            .found(cause);
        broken.entry = entry;
        broken
    }

    fn append(
        &mut self,
        index: u64,
        bytes: &[u8],
        offset: u64,
        path: &TilePath,
    ) -> Result<Hash, Finding> {
        let place = |finding: Finding| finding.in_file(path).at_entry(index).at_offset(offset);
        let leaf = self
            .writer
            .push(bytes)
            .map_err(|error| place(finding(FindingKind::EntryMalformed).found(error)))?;
        // After a difference what follows may be shifted, and is not read.
        if self.wrong.is_none() && self.differs.is_none() {
            self.wrong = self.audit.read(index, bytes).err().map(place);
        }
        self.continues();
        Ok(leaf)
    }

    /// At the size of an older head the tree must have had its root.
    fn continues(&mut self) {
        let size = self.writer.size();
        for older in self.through.iter().filter(|older| older.size == size) {
            let (expected, found) = (older.root, self.writer.frontier().root());
            if expected != found && self.forked.is_none() {
                self.forked = Some(
                    at(FindingKind::Forked)
                        .expected(format_args!(
                            "root {expected} over the first {size} entries"
                        ))
                        .found(format_args!("root {found}")),
                );
            }
        }
    }

    /// Holds recomputed tiles above level 0 against those of the directory.
    fn compare_upper(&mut self, files: Vec<TileFile>) -> Result<(), Finding> {
        for file in files {
            // Level 0 was compared entry by entry.
            if matches!(file.path.kind(), TileKind::Entries | TileKind::Hashes(0)) {
                continue;
            }
            let found = self.tile(&file.path)?;
            let made = Hash::from_tile(&file.bytes).unwrap_or_default();
            let different = (0u64..)
                .zip(made.iter().zip(&found))
                .find(|(_, (made, found))| made != found);
            if let Some((place, (made, found))) = different
                && self.upper.is_none()
            {
                self.upper = Some(Finding::tile(&file.path, place, made, found));
            }
        }
        Ok(())
    }

    /// All files are read: says which of those that disagree is the wrong one.
    fn judge(self) -> Result<Frontier, Finding> {
        let stated = self.stated();
        let (made, signed) = (self.writer.frontier().root(), self.checkpoint.root);
        if let Some(differs) = self.differs {
            // Entries that lead to the signed root are intact.
            return Err(if made == signed {
                differs.tile_changed()
            } else {
                differs.entry_changed()
            });
        }
        if made != signed {
            // The entry that says what was forgotten tells whether it is that part.
            if let Err(forgotten) = stated
                && forgotten.kind == FindingKind::ForgottenDiffers
            {
                return Err(forgotten);
            }
            let mut differs = at(FindingKind::RootDiffers)
                .expected(format_args!("root {signed}"))
                .found(format_args!("root {made}"));
            // A higher tile that was left as it was tells where to look.
            if let Some(upper) = self.upper {
                differs.file = upper.file;
                differs.offset = upper.offset;
            }
            return Err(differs);
        }
        match self.upper.or(self.forked).or(self.wrong) {
            Some(finding) => Err(finding),
            None => stated.map(|()| self.begun),
        }
    }

    /// Whether an entry says that just what is not there was forgotten.
    fn stated(&self) -> Result<(), Finding> {
        let Some(base) = self.base else {
            return Ok(());
        };
        let entries = base.carried.entries;
        match base.said_in(&self.audit.said) {
            Some(said) => said.holds(&self.begun.root(), &base.carried, &base.digest),
            None => Err(finding(FindingKind::ForgottenUnstated)
                .in_file(FORGOTTEN)
                .at_entry(0)
                .expected(format_args!(
                    "an entry that says that the {entries} before it are forgotten"
                ))
                .found("none")),
        }
    }
}
