//! Memory for keys: locked against swapping, left out of core dumps and of
//! forked children, wiped when a key is dropped.
//!
//! Keys are 32 bytes. They live in slots of mapped chunks; a chunk is never
//! given back, since keys come and go in a process that lives long, and their
//! number at any time is small. Only here is `unsafe` allowed in this crate:
//! mapping, locking and advising memory are system calls on raw addresses, and
//! the slots are handed out of them. The argument that it is sound is short:
//!
//! 1. A slot is a distinct 32-byte range of a mapping that is readable,
//!    writable and never unmapped once its slots were given out.
//! 2. A slot is either in the free list or owned by exactly one [`LockedKey`]:
//!    it is popped to make one and pushed when that one drops, both under the
//!    mutex.
//! 3. A [`LockedKey`] gives out shared references only, bound to its own
//!    lifetime, and nothing writes to its slot between creation and drop.

#![allow(unsafe_code)]

use crate::LockError;
use procura_types::Secret;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use zeroize::Zeroize as _;

/// Small enough for the lowest usual limit on locked memory (64 KiB), and a
/// multiple of the usual page sizes; the kernel rounds up for larger ones.
const CHUNK_BYTES: usize = 16 * 1024;
const SLOT_BYTES: usize = 32;

/// Whether memory that cannot be locked is good enough. Unset means no.
static DANGER_UNLOCKED_MEMORY: OnceLock<bool> = OnceLock::new();
static FREE_SLOTS: Mutex<Vec<Slot>> = Mutex::new(Vec::new());

/// One 32-byte place for a key.
struct Slot(NonNull<[u8; SLOT_BYTES]>);

// SAFETY: a slot is memory that belongs to the process and to one owner at a
// time (points 1 and 2 above); no thread has a claim on it.
unsafe impl Send for Slot {}
// SAFETY: through a shared slot the bytes are only read (point 3 above).
unsafe impl Sync for Slot {}

/// Says once, at the start of the process, whether keys may live in memory that
/// is not locked, and proves that a chunk can be had under that policy.
///
/// With `danger_unlocked_memory` a kernel that will not lock memory is
/// tolerated; keys can then reach swap or a core dump. Without a call the
/// policy is strict.
///
/// # Errors
///
/// [`LockError::Refused`] when memory cannot be locked and must be: the process
/// should stop. [`LockError::PolicyAlreadySet`] when an earlier call said
/// otherwise.
pub fn lock_policy(danger_unlocked_memory: bool) -> Result<(), LockError> {
    if *DANGER_UNLOCKED_MEMORY.get_or_init(|| danger_unlocked_memory) != danger_unlocked_memory {
        return Err(LockError::PolicyAlreadySet);
    }
    let mut free = free_slots();
    if free.is_empty() {
        grow(&mut free)?;
    }
    Ok(())
}

/// A 32-byte key in locked memory; wiped on drop, never printed or cloned.
pub struct LockedKey(Slot);

impl LockedKey {
    /// Moves a key into locked memory; the original is wiped.
    ///
    /// # Errors
    ///
    /// [`LockError::Refused`] when all slots are taken and no further chunk can
    /// be locked, or mapped at all.
    pub fn new(key: Secret<[u8; 32]>) -> Result<Self, LockError> {
        let mut free = free_slots();
        let slot = loop {
            match free.pop() {
                Some(slot) => break slot,
                None => grow(&mut free)?,
            }
        };
        drop(free);
        // SAFETY: the slot was free, so nobody else reads or writes it, and its
        // memory is mapped and writable.
        unsafe { slot.0.write(*key.expose()) };
        Ok(Self(slot))
    }

    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        // SAFETY: the slot is ours, mapped, initialised in `new`, and not
        // written to before it drops.
        unsafe { self.0.0.as_ref() }
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        // SAFETY: the slot is ours and `&mut self` says that no reference from
        // `expose` is alive.
        unsafe { self.0.0.as_mut() }.zeroize();
        free_slots().push(Slot(self.0.0));
    }
}

fn free_slots() -> MutexGuard<'static, Vec<Slot>> {
    // A panic elsewhere cannot leave the list half changed: push and pop are
    // all that happens to it.
    FREE_SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Maps one more chunk and adds its slots to the free list.
fn grow(free: &mut Vec<Slot>) -> Result<(), LockError> {
    let refused = |errno| LockError::Refused(std::io::Error::from(errno));
    let tolerant = DANGER_UNLOCKED_MEMORY.get().copied().unwrap_or(false);

    // SAFETY: a fresh private mapping at an address of the kernel's choice
    // touches no memory that exists.
    let start = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            CHUNK_BYTES,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    }
    .map_err(refused)?;

    // SAFETY: the range is the mapping just made, which nothing points into.
    // Neither call changes what it contains.
    let guards = unsafe {
        [
            mlock(start, CHUNK_BYTES),
            madvise(start, CHUNK_BYTES, Advice::LinuxDontDump),
            // A child that execs needs no keys; one that does not would hold
            // an unlocked copy.
            madvise(start, CHUNK_BYTES, Advice::LinuxDontFork),
        ]
    };
    if !tolerant && let Some(errno) = guards.into_iter().find_map(Result::err) {
        // SAFETY: no slot of this mapping was handed out. That unmapping might
        // fail only leaks the range.
        let _ = unsafe { munmap(start, CHUNK_BYTES) };
        return Err(refused(errno));
    }

    free.reserve(CHUNK_BYTES / SLOT_BYTES);
    for index in 0..CHUNK_BYTES / SLOT_BYTES {
        // SAFETY: the offset is below the length of the mapping.
        let place = unsafe { start.cast::<[u8; SLOT_BYTES]>().add(index) };
        free.extend(NonNull::new(place).map(Slot));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> LockedKey {
        LockedKey::new(Secret::new([byte; 32])).unwrap()
    }

    /// The `VmFlags` of the mapping that holds `address` (proc(5), smaps).
    fn flags_of(address: usize) -> String {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in smaps.lines() {
            if let Some((range, _)) = line.split_once(' ')
                && let Some((from, to)) = range.split_once('-')
                && let (Ok(from), Ok(to)) = (
                    usize::from_str_radix(from, 16),
                    usize::from_str_radix(to, 16),
                )
            {
                inside = (from..to).contains(&address);
            } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.to_owned();
            }
        }
        panic!("no mapping holds the address");
    }

    #[test]
    fn keys_live_in_locked_memory_that_is_neither_dumped_nor_forked() {
        let key = key(7);
        let flags = flags_of(key.expose().as_ptr().addr());
        for flag in ["lo", "dd", "dc"] {
            assert!(
                flags.split_whitespace().any(|word| word == flag),
                "{flag} not in {flags}"
            );
        }
    }

    #[test]
    fn many_keys_keep_apart_and_the_arena_grows() {
        let keys: Vec<_> = (0..2000u32)
            .map(|number| {
                let mut bytes = [0; 32];
                bytes[..4].copy_from_slice(&number.to_be_bytes());
                LockedKey::new(Secret::new(bytes)).unwrap()
            })
            .collect();
        for (number, key) in (0..2000u32).zip(&keys) {
            assert_eq!(key.expose()[..4], number.to_be_bytes());
        }
    }

    #[test]
    fn a_slot_is_wiped_when_its_key_drops() {
        // Another test's thread may take the slot before we look, so a few
        // attempts; while the list is locked nobody takes it.
        for _ in 0..100 {
            let dropped = key(9);
            let place = dropped.0.0;
            drop(dropped);
            let free = free_slots();
            if free.iter().any(|slot| slot.0 == place) {
                // SAFETY: the slot is free, and mapped like all of them.
                assert_eq!(unsafe { place.read() }, [0; 32]);
                return;
            }
        }
        panic!("a dropped key's slot never was free");
    }

    #[test]
    fn the_policy_is_set_once() {
        lock_policy(false).unwrap();
        lock_policy(false).unwrap();
        assert!(matches!(
            lock_policy(true),
            Err(LockError::PolicyAlreadySet)
        ));
    }
}
