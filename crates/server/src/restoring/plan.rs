//! What an activation is to do. It is decided before anything is changed, and kept in
//! `restored.json` until all of it is done: whatever breaks off in between, the next run
//! does the same, and reads what was taken away after the backup from where the backup
//! ends, not from where the record ends by then.

use super::activate::{Activation, Going, Way};
use super::copies::{self, Known, Record};
use super::error::RestoreError;
use super::load::BackupFile;
use super::marker::{Begun, Marker, Seat};
use super::measures::{Measures, is_steward};
use super::verify::Sandbox;
use procura_crypto::PublicKey;
use procura_directory::Suspect;
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_types::{ActorId, Thumbprint};
use std::collections::BTreeSet;

/// So far ahead of everything that is known of it goes the sequence of a restored store
/// on, so that nobody who saw a later state than is known here takes it for an older.
const AHEAD: u64 = 1 << 32;

/// What is to be done.
pub(super) struct Plan {
    pub(super) begun: Begun,
    /// What is appended to the record.
    pub(super) copies: Vec<BackupFile>,
    pub(super) measures: Measures,
    /// The record has entries of the activation already.
    pub(super) under_way: bool,
}

impl Plan {
    /// Decides, or goes on by what was decided.
    ///
    /// # Errors
    /// Why it cannot be activated this way.
    pub(super) fn make(sandbox: &Sandbox, wish: &Activation) -> Result<Self, RestoreError> {
        let length = sandbox.vault.store().log_len(LEDGER)?;
        match &sandbox.marker.begun {
            Some(begun) if length > begun.reached => Self::go_on(sandbox, wish, begun),
            // Nothing of its own is in the record yet: with other copies it may be another.
            Some(_) => Self::decide(sandbox, wish),
            None if length == sandbox.marker.length => Self::decide(sandbox, wish),
            None => Err(RestoreError::NotWhole(vec![format!(
                "the record has {length} entries, and the backup had {}",
                sandbox.marker.length
            )])),
        }
    }

    fn decide(sandbox: &Sandbox, wish: &Activation) -> Result<Self, RestoreError> {
        let vault = &sandbox.vault;
        let marker = &sandbox.marker;
        let (mut known, set_aside) = remembered(sandbox, wish)?;
        let copies = match &wish.way {
            Way::Reach(places, going) => {
                if let Going::Named(device) = going {
                    usable(sandbox, device)?;
                }
                copies::look(vault, places, vault.store().log_len(LEDGER)?)?
            }
            Way::NewOrigin(device) => {
                if wish.seat.is_none() {
                    usable(sandbox, device)?;
                }
                Vec::new()
            }
        };
        for copy in &copies {
            if let Some(note) = &copy.head.checkpoint {
                known.push(Known::open(vault, &copy.path.display().to_string(), note)?);
            }
        }
        if let Some(note) = &marker.checkpoint {
            known.push(Known::open(vault, "the backup", note)?);
        }
        let sizes: BTreeSet<u64> = known.iter().map(|known| known.checkpoint.size).collect();
        let mut measures = Measures::default();
        // What a run before this one appended is in the store, and not in the backup.
        let mut record = Record::of(vault, &sizes, |stored, entry| {
            behind(sandbox, stored.index, stored.seq.get())?;
            if stored.index >= marker.length {
                measures.read(stored.index, entry);
            }
            Ok(())
        })?;
        let mut seq = marker.seq;
        for copy in &copies {
            copies::each_entry(vault, copy, |entry, bytes| {
                seq = seq.max(entry.version.get());
                if entry.index == record.heads.size() {
                    record.heads.push(bytes, &sizes);
                    let parsed = Entry::parse(bytes).map_err(RestoreError::internal)?;
                    measures.read(entry.index, &parsed);
                }
                Ok(())
            })?;
        }
        let mut stated = false;
        match wish.way {
            Way::Reach(..) => {
                for known in &known {
                    record.heads.hold(known)?;
                }
                goes_as_far(marker, vault.store().log_len(LEDGER)?, record.heads.size())?;
                stated = record.heads.size() <= marker.length;
                if stated && !wish.nothing_after {
                    return Err(RestoreError::NothingKnown(marker.length));
                }
            }
            Way::NewOrigin(_) => measures.all = true,
        }
        for known in &known {
            seq = seq.max(known.checkpoint.seq.unwrap_or(0));
        }
        let (origin, device) = match &wish.way {
            Way::Reach(_, going) => (None, freed(sandbox, &measures, going)),
            Way::NewOrigin(device) => {
                // A name that was chosen already is kept: nothing is told twice.
                let chosen = marker.begun.as_ref().and_then(|begun| begun.origin.clone());
                let origin = chosen.map_or_else(|| vault.another_origin(), Ok)?;
                (Some(origin), Some(*device))
            }
        };
        let seated = match &wish.seat {
            None => {
                somebody_left(sandbox, &measures, device.as_ref())?;
                None
            }
            Some(seat) => Some(seatable(sandbox, &measures, seat)?.0.thumbprint()),
        };
        let device = seated.or(device);
        let reached = record.heads.size();
        let root = record.heads.root().to_string();
        let mut words = format!(
            "backup:{} after:{}@{reached}:{root}",
            marker.seq,
            vault.origin()
        );
        if let Some(known) = known.iter().max_by_key(|known| known.checkpoint.size) {
            let checkpoint = &known.checkpoint;
            words.push_str(&format!(
                " known:{}@{}:{}",
                checkpoint.origin, checkpoint.size, checkpoint.root
            ));
        }
        if let Some(device) = device.filter(|_| origin.is_none()) {
            words.push_str(&format!(" device:{device}"));
        }
        if let Some((seat, device)) = wish.seat.as_ref().zip(device) {
            words.push_str(&seats(seat, &device));
        }
        if stated {
            words.push_str(" nothing_after:stated");
        }
        if set_aside > 0 {
            words.push_str(&format!(" set_aside:{set_aside}"));
        }
        if let Some(origin) = &origin {
            words.push_str(&format!(" origin:{origin}"));
        }
        Ok(Self {
            begun: Begun {
                reached,
                root,
                seq: seq.saturating_add(AHEAD),
                words,
                origin,
                device,
                seat: wish.seat.clone(),
            },
            copies,
            measures,
            under_way: false,
        })
    }

    /// By what was decided: all copies are in the record, and its own entries follow.
    fn go_on(sandbox: &Sandbox, wish: &Activation, begun: &Begun) -> Result<Self, RestoreError> {
        let as_it_was = match &wish.way {
            Way::Reach(_, Going::Named(device)) => {
                begun.origin.is_none() && begun.device.is_none_or(|freed| freed == *device)
            }
            Way::Reach(..) => begun.origin.is_none(),
            Way::NewOrigin(device) => begun.origin.is_some() && begun.device == Some(*device),
        };
        if begun.seat != wish.seat {
            return Err(RestoreError::Begun(match &begun.seat {
                None => {
                    "run it again as it was, without --steward-key, or restore the backup once more"
                        .to_owned()
                }
                Some(seat) => format!(
                    "run it again as it was, with --steward-key {}, or restore the backup once more",
                    seat.steward
                ),
            }));
        }
        if !as_it_was {
            let how = match (&begun.origin, &begun.device) {
                (None, None) => "with --ledger, not with --new-origin or --device".to_owned(),
                (None, Some(device)) => {
                    format!("with --ledger and --device {device}, not with --new-origin")
                }
                (Some(_), Some(device)) => format!("with --new-origin --device {device}"),
                (Some(_), None) => "with --new-origin".to_owned(),
            };
            return Err(RestoreError::Begun(format!(
                "run it again as it was, {how}, or restore the backup once more"
            )));
        }
        // Where the backup ends stands in the record, and whom it lets go on.
        let taken = format!("backup:{} ", sandbox.marker.seq);
        if !begun.words.starts_with(&taken) {
            return Err(other_marker(sandbox));
        }
        let said = begun.device.map(|device| format!(" device:{device}"));
        let is_said = said.is_none_or(|said| begun.words.contains(&said));
        let seat = begun.seat.as_ref().zip(begun.device);
        let is_seat_said =
            seat.is_none_or(|(seat, device)| begun.words.contains(&seats(seat, &device)));
        if (begun.origin.is_none() && !is_said) || !is_seat_said {
            return Err(other_marker(sandbox));
        }
        let mut measures = Measures::default();
        measures.all = begun.origin.is_some();
        let marker = &sandbox.marker;
        let sizes = BTreeSet::from([begun.reached]);
        let record = Record::of(&sandbox.vault, &sizes, |stored, entry| {
            behind(sandbox, stored.index, stored.seq.get())?;
            if (marker.length..begun.reached).contains(&stored.index) {
                measures.read(stored.index, entry);
            }
            Ok(())
        })?;
        let root = record.heads.root_at(begun.reached);
        if root.map(|root| root.to_string()).as_ref() != Some(&begun.root) {
            return Err(other_marker(sandbox));
        }
        Ok(Self {
            begun: begun.clone(),
            copies: Vec::new(),
            measures,
            under_way: true,
        })
    }
}

/// Once entries of copies are in the record, what those copies led to is known: a run that
/// leaves the rest of them away would pass over what was taken away in them.
fn goes_as_far(marker: &Marker, length: u64, reached: u64) -> Result<(), RestoreError> {
    let begun = marker.begun.as_ref().filter(|_| length > marker.length);
    match begun {
        Some(begun) if reached < begun.reached => Err(RestoreError::Begun(format!(
            "it had copies of the ledger up to entry {}, and these lead to {reached}; run it again with all of them, or restore the backup once more",
            begun.reached
        ))),
        _ => Ok(()),
    }
}

/// Holds an entry of the store against where the backup ends: those of the backup were
/// committed before, and what an activation appends far behind it. So nobody who edits
/// `restored.json` has an activation pass over what was taken away.
fn behind(sandbox: &Sandbox, index: u64, seq: u64) -> Result<(), RestoreError> {
    if (index < sandbox.marker.length) == (seq <= sandbox.marker.seq) {
        return Ok(());
    }
    Err(other_marker(sandbox))
}

fn other_marker(sandbox: &Sandbox) -> RestoreError {
    RestoreError::Home {
        path: sandbox.home.clone(),
        problem: "restored.json does not say what is in the store; restore the backup once more"
            .to_owned(),
    }
}

/// The checkpoints that were brought, and how many of them were set aside.
fn remembered(sandbox: &Sandbox, wish: &Activation) -> Result<(Vec<Known>, usize), RestoreError> {
    let mut known = Vec::new();
    let mut set_aside = 0usize;
    let sets_aside = wish.set_aside && matches!(wish.way, Way::NewOrigin(_));
    for (from, note) in &wish.checkpoints {
        match Known::open(&sandbox.vault, from, note) {
            Ok(found) => known.push(found),
            Err(RestoreError::Checkpoint { .. }) if sets_aside => {
                set_aside = set_aside.saturating_add(1);
            }
            Err(RestoreError::Checkpoint { from, problem }) => {
                return Err(RestoreError::Unread { from, problem });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((known, set_aside))
}

/// The one device that goes on has to be a steward's, or nobody could let go on anybody.
fn usable(sandbox: &Sandbox, device: &Thumbprint) -> Result<(), RestoreError> {
    let snapshot = sandbox.directory.snapshot();
    let steward = snapshot
        .device(device)
        .is_some_and(|found| snapshot.may_act(device) && is_steward(&snapshot, &found.actor));
    if steward {
        return Ok(());
    }
    Err(RestoreError::NotChosen(format!(
        "{device} is no device of a steward in what was restored; name one that is, with --device"
    )))
}

/// The device that is not held on the way that leads the record on: the one that was named;
/// or that of whoever activates, if only everybody's being held would hold it. Whom an
/// entry names is let go on by name alone. None where nothing holds it.
fn freed(sandbox: &Sandbox, measures: &Measures, going: &Going) -> Option<Thumbprint> {
    let snapshot = sandbox.directory.snapshot();
    let device = match going {
        Going::Nobody => return None,
        Going::Named(device) => *device,
        Going::Own(device) => {
            if usable(sandbox, device).is_err() || measures.names(&snapshot, device) {
                return None;
            }
            *device
        }
    };
    let held = measures.held(&snapshot, None);
    held.iter()
        .any(|held| held.suspect == Suspect::Device(device))
        .then_some(device)
}

/// Whether a steward has a device that can act when all is done. It is looked at before
/// anything is changed: who is held is let go by a steward alone.
fn somebody_left(
    sandbox: &Sandbox,
    measures: &Measures,
    free: Option<&Thumbprint>,
) -> Result<(), RestoreError> {
    let stewards = measures.stewards(&sandbox.directory.snapshot(), free);
    if stewards.iter().any(|steward| steward.is_free) {
        return Ok(());
    }
    Err(RestoreError::NobodyLeft {
        because: measures.because.clone(),
        held: stewards
            .iter()
            .map(|steward| format!("{} ({})", steward.device, steward.name))
            .collect(),
    })
}

/// The words for a key that becomes a device of a steward.
fn seats(seat: &Seat, device: &Thumbprint) -> String {
    format!(" seats:{}:{device}", seat.steward)
}

/// The key that is to be a device of a steward, and whose it is then: one of the stewards
/// of what was restored that nobody revoked since, and a key that nobody has.
pub(super) fn seatable(
    sandbox: &Sandbox,
    measures: &Measures,
    seat: &Seat,
) -> Result<(PublicKey, ActorId), RestoreError> {
    let snapshot = sandbox.directory.snapshot();
    let refused = |why: String| Err(RestoreError::NotChosen(why));
    let key = PublicKey::from_jwk(&seat.key)
        .map_err(|error| RestoreError::NotChosen(format!("the steward's key: {error}")))?;
    let name = &seat.steward;
    let steward = snapshot
        .owner_named(name)
        .filter(|found| snapshot.is_active(&found.id) && is_steward(&snapshot, &found.id));
    let Some(steward) = steward else {
        return refused(format!(
            "{name} is no steward in what was restored; name one that is, with --steward-key"
        ));
    };
    if measures.operators.contains(name) {
        return refused(format!(
            "{name} was revoked after the backup; name another steward of it, with --steward-key. If all of them were, a backup from after that; or --new-origin with --steward-key {name}, which goes by the backup alone: everybody else is held"
        ));
    }
    let device = key.thumbprint();
    if snapshot.device(&device).is_some() {
        return refused(format!(
            "{device} is a device in what was restored already; leave --steward-key away, or bring another key"
        ));
    }
    if let Some(why) = measures.unseatable(&device, &steward.id) {
        return refused(format!("{device} cannot act for {name}: {why}"));
    }
    Ok((key, steward.id))
}
