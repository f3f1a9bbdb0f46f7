//! A segment of the replay journal: a header and records of fixed size, each
//! with a check.
//!
//! Header: magic (16) ‖ u64be generation ‖ u64be began ‖ u64be horizon ‖ boot
//! (16) ‖ key (32) ‖ u8 intact ‖ check (8), padded with zeros to 128 bytes; the
//! check is the first bytes of the SHA-256 of what stands before it.
//! Record: u8 kind ‖ 7 zeros ‖ u64be claimed ‖ device (16) ‖ content (28) ‖ check
//! (4), where the content is the hash of a nonce (16 ‖ 12 zeros) or session (16)
//! ‖ u64be counter ‖ u32be seconds from `claimed` to the session's end. The check
//! is the CRC-32 of u64be generation and what stands before it: it tells damage
//! from a record, not who wrote it, and a start checks millions of them.

use crc32fast::Hasher;
use procura_crypto::sha256;
use procura_proof::{Remembered, RememberedOnce};
use procura_types::Secret;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const MAGIC: &[u8; 16] = b"procura-replay-1";
const HEADER_BYTES: usize = 128;
const CHECKED_HEADER_BYTES: usize = 89;
/// Divides a page, so that a record lies in one.
const RECORD_BYTES: usize = 64;
/// Kind and zeros.
const HEAD_BYTES: usize = 8;
/// Between the zeros and the check.
const FIELDS_BYTES: usize = 52;
/// Where the first record belongs, and how far it is to the next.
pub(super) const FIRST: u64 = 128;
pub(super) const RECORD: u64 = 64;
const NONCE: u8 = 1;
const COUNTER: u8 = 2;

/// What stands at the head of a segment.
pub(super) struct Header {
    /// 1 for the first segment of a journal, and one more for each that follows.
    pub(super) generation: u64,
    /// When it was begun, in seconds since 1970.
    pub(super) began: u64,
    /// Proofs made at this second or before may have been claimed in segments
    /// that are gone.
    pub(super) horizon: u64,
    /// The first half of the SHA-256 of the boot id.
    pub(super) boot: [u8; 16],
    /// The key that nonces are hashed with.
    pub(super) key: Secret<[u8; 32]>,
    /// False when claims of its time are missing from it.
    pub(super) intact: bool,
}

/// A segment whose header was read.
pub(super) struct Segment {
    pub(super) header: Header,
    rest: BufReader<File>,
}

/// What became of reading the records.
pub(super) struct Replayed {
    /// Where the next record belongs.
    pub(super) end: u64,
    /// When the latest claim was made; 0 for none.
    pub(super) newest: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        for number in [self.generation, self.began, self.horizon] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.boot);
        bytes.extend_from_slice(self.key.expose());
        bytes.push(u8::from(self.intact));
        let check = sha256(&bytes);
        bytes.extend_from_slice(check.split_at(8).0);
        let mut out = [0; HEADER_BYTES];
        for (to, from) in out.iter_mut().zip(&bytes) {
            *to = *from;
        }
        zeroize::Zeroize::zeroize(&mut bytes);
        out
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (checked, rest) = bytes.split_at(CHECKED_HEADER_BYTES);
        let (check, padding) = rest.split_at(8);
        if sha256(checked).split_at(8).0 != check || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let mut fields = Fields(checked);
        if fields.take::<16>()? != *MAGIC {
            return None;
        }
        Some(Self {
            generation: fields.number()?,
            began: fields.number()?,
            horizon: fields.number()?,
            boot: fields.take()?,
            key: Secret::new(fields.take()?),
            intact: fields.take::<1>()? == [1],
        })
    }
}

impl Segment {
    /// Reads the header. `None` when there is no file; an error of kind
    /// `InvalidData` when it is damaged.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut rest = BufReader::with_capacity(64 * 1024, file);
        let mut head = [0; HEADER_BYTES];
        if fill(&mut rest, &mut head)? < HEADER_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let header = Header::decode(&head);
        zeroize::Zeroize::zeroize(&mut head);
        let header = header.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some(Self { header, rest }))
    }

    /// Shows each record. An error of kind `InvalidData` when one is damaged.
    pub(super) fn replay(&mut self, mut visit: impl FnMut(&Remembered)) -> io::Result<Replayed> {
        let mut replayed = Replayed {
            end: FIRST,
            newest: 0,
        };
        let mut bytes = [0; RECORD_BYTES];
        loop {
            let read = fill(&mut self.rest, &mut bytes)?;
            if read == 0 {
                return Ok(replayed);
            }
            let record = if read == RECORD_BYTES {
                decode(&bytes, self.header.generation)
            } else {
                None
            };
            if let Some(record) = record {
                visit(&record);
                replayed.newest = replayed.newest.max(record.claimed);
                replayed.end = replayed.end.saturating_add(RECORD);
            } else if fill(&mut self.rest, &mut bytes)? == 0 {
                // Nobody was told of the last record when the process died while
                // it was being written.
                return Ok(replayed);
            } else {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// Reads until `out` is full or the file ends.
fn fill(from: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = out.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// A claim as a record.
pub(super) fn encode(remembered: &Remembered, generation: u64) -> [u8; RECORD_BYTES] {
    let mut fields = [0; FIELDS_BYTES];
    let mut rest = &mut fields[..];
    let mut put = |bytes: &[u8]| {
        // The fields below fill the record, as the tests show.
        if let Some((place, after)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
            place.copy_from_slice(bytes);
            rest = after;
        }
    };
    put(&remembered.claimed.to_be_bytes());
    put(&remembered.device);
    let kind = match &remembered.what {
        RememberedOnce::Nonce(hash) => {
            put(hash);
            NONCE
        }
        RememberedOnce::Counter {
            session,
            counter,
            expires,
        } => {
            put(session);
            put(&counter.to_be_bytes());
            let left = expires.saturating_sub(remembered.claimed);
            put(&u32::try_from(left).unwrap_or(u32::MAX).to_be_bytes());
            COUNTER
        }
    };
    let mut record = [0; RECORD_BYTES];
    let (head, body) = record.split_at_mut(HEAD_BYTES);
    head.copy_from_slice(&head_of(kind));
    let (body, end) = body.split_at_mut(FIELDS_BYTES);
    body.copy_from_slice(&fields);
    end.copy_from_slice(&check(generation, kind, &fields));
    record
}

fn decode(record: &[u8; RECORD_BYTES], generation: u64) -> Option<Remembered> {
    let (head, rest) = record.split_first_chunk::<HEAD_BYTES>()?;
    let (fields, stored) = rest.split_first_chunk()?;
    let [kind, ..] = *head;
    if *head != head_of(kind) || check(generation, kind, fields) != stored {
        return None;
    }
    let mut fields = Fields(fields);
    let claimed = fields.number()?;
    let device = fields.take()?;
    let what = match kind {
        NONCE => RememberedOnce::Nonce(fields.take()?),
        COUNTER => RememberedOnce::Counter {
            session: fields.take()?,
            counter: fields.number()?,
            expires: claimed.saturating_add(u64::from(u32::from_be_bytes(fields.take()?))),
        },
        _ => return None,
    };
    Some(Remembered {
        device,
        claimed,
        what,
    })
}

const fn head_of(kind: u8) -> [u8; HEAD_BYTES] {
    [kind, 0, 0, 0, 0, 0, 0, 0]
}

fn check(generation: u64, kind: u8, fields: &[u8; FIELDS_BYTES]) -> [u8; 4] {
    let mut hasher = Hasher::new();
    hasher.update(&generation.to_be_bytes());
    hasher.update(&head_of(kind));
    hasher.update(fields);
    hasher.finalize().to_be_bytes()
}

/// Reads fields of fixed size from front to end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}
