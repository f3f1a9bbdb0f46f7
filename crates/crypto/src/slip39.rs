//! Threshold sharing as words (SLIP-0039): any threshold of the mnemonics of a set
//! give the master secret, with any other implementation of the standard too.
//!
//! Groups of groups are read ([`combine`]); what is made here is one group
//! ([`split`]). Unlike [`shamir`](crate::shamir), a set may be encrypted with a
//! passphrase, and nothing can tell whether a passphrase is the right one: every
//! one gives some secret.

mod encryption;
mod error;
mod mnemonic;
mod rs1024;
mod sharing;
mod words;

pub use error::Slip39Error;
pub use mnemonic::Mnemonic;

use crate::gf256::Point;
use encryption::Encryption;
use procura_types::{Entropy, Secret, SecretBytes};
use std::borrow::Borrow;
use std::collections::BTreeMap;

/// The most members of a group, as the standard numbers them with four bits.
const MOST_MEMBERS: u8 = 16;
/// With one mnemonic needed, each would be the encrypted secret itself.
const LEAST_THRESHOLD: u8 = 2;
/// Of the sets that are made here: 160,000 iterations, which keep who has enough
/// mnemonics from trying many passphrases and take less than a tenth of a second.
const EXPONENT: u8 = 4;

/// Splits `master` into `count` mnemonics of 33 words, of which any `threshold`
/// give it back with the same passphrase: 2 ≤ `threshold` ≤ `count` ≤ 16. It is one
/// group, and extendable: the encryption does not depend on the set's identifier.
///
/// The passphrase is printable ASCII, and empty where there is none.
///
/// # Errors
///
/// [`Slip39Error::Threshold`], [`Slip39Error::Count`], [`Slip39Error::Passphrase`]
/// or [`Slip39Error::Entropy`].
pub fn split(
    master: &Secret<[u8; 32]>,
    threshold: u8,
    count: u8,
    passphrase: &str,
    entropy: &dyn Entropy,
) -> Result<Vec<Mnemonic>, Slip39Error> {
    if threshold < LEAST_THRESHOLD {
        return Err(Slip39Error::Threshold);
    }
    if count < threshold || count > MOST_MEMBERS {
        return Err(Slip39Error::Count);
    }
    let mut identifier = [0; 2];
    entropy.fill(&mut identifier)?;
    let encryption = Encryption {
        identifier: u16::from_be_bytes(identifier) & mnemonic::MOST_IDENTIFIER,
        extendable: true,
        exponent: EXPONENT,
    };
    let encrypted = encryption.encrypt(master.expose(), passphrase)?;
    let members = sharing::split(&encrypted, threshold, count, entropy)?;
    Ok((0..)
        .zip(members)
        .map(|(member, value)| Mnemonic {
            encryption,
            group: 0,
            group_threshold: 1,
            group_count: 1,
            member,
            member_threshold: threshold,
            value,
        })
        .collect())
}

/// Gives the master secret of the mnemonics, in whatever order they are. As the
/// standard has it, they are exactly as many as are needed: as many groups as one
/// of them says, and of each group as many members.
///
/// Takes as long as the mnemonics say ([`Mnemonic::iterations`]), up to a minute and
/// more: whoever takes them from strangers asks first whether they are known
/// ([`Mnemonic::digest`]).
///
/// # Errors
///
/// Those of [`Slip39Error`] that are about several mnemonics, in the order in which
/// they stand there, and [`Slip39Error::Passphrase`]. That the passphrase is another
/// one than that of the splitting is no error: it gives another secret.
pub fn combine<M: Borrow<Mnemonic>>(
    mnemonics: &[M],
    passphrase: &str,
) -> Result<SecretBytes, Slip39Error> {
    let mnemonics: Vec<&Mnemonic> = mnemonics.iter().map(Borrow::borrow).collect();
    let first = mnemonics
        .first()
        .ok_or(Slip39Error::TooFewGroups { have: 0, need: 1 })?;
    for other in &mnemonics {
        first.check_same_set(other)?;
    }
    let mut groups = BTreeMap::<u8, Vec<&Mnemonic>>::new();
    for mnemonic in &mnemonics {
        groups.entry(mnemonic.group).or_default().push(mnemonic);
    }
    for (group, members) in &groups {
        check_members(*group, members)?;
    }
    let (have, need) = (groups.len(), first.group_threshold);
    if have < usize::from(need) {
        return Err(Slip39Error::TooFewGroups { have, need });
    }
    if have > usize::from(need) {
        return Err(Slip39Error::TooManyGroups { have, need });
    }
    let mut shares = Vec::with_capacity(have);
    for (group, members) in &groups {
        shares.push((*group, group_share(*group, members)?));
    }
    let points: Vec<Point<'_>> = shares.iter().map(|(x, y)| point(*x, y)).collect();
    let encrypted = sharing::recover(need, &points)?;
    first.encryption.decrypt(encrypted.expose(), passphrase)
}

/// Members of one group agree on their number, and none is there twice.
fn check_members(group: u8, members: &[&Mnemonic]) -> Result<(), Slip39Error> {
    let mut thresholds = members.iter().map(|member| member.member_threshold);
    let first = thresholds.next();
    if thresholds.any(|threshold| Some(threshold) != first) {
        return Err(Slip39Error::MemberThresholdsDisagree { group });
    }
    // A bit for each of the sixteen members that a group can have.
    let mut seen = 0u16;
    for member in members.iter().map(|member| member.member) {
        let bit = 1 << member;
        if seen & bit != 0 {
            return Err(Slip39Error::Repeated { group, member });
        }
        seen |= bit;
    }
    Ok(())
}

/// What the members of a group give together.
fn group_share(group: u8, members: &[&Mnemonic]) -> Result<SecretBytes, Slip39Error> {
    let (have, need) = (
        members.len(),
        members.first().map_or(1, |member| member.member_threshold),
    );
    if have < usize::from(need) {
        return Err(Slip39Error::TooFewMembers { group, have, need });
    }
    if have > usize::from(need) {
        return Err(Slip39Error::TooManyMembers { group, have, need });
    }
    let points: Vec<Point<'_>> = members
        .iter()
        .map(|member| point(member.member, &member.value))
        .collect();
    sharing::recover(need, &points)
}

fn point(x: u8, y: &SecretBytes) -> Point<'_> {
    Point { x, y: y.expose() }
}
