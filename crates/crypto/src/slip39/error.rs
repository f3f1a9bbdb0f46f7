//! What can go wrong with a set of mnemonics.

use procura_types::EntropyError;

/// A secret was not split, a mnemonic was not read, or mnemonics do not give a
/// secret. Groups and members are counted from 0 as the standard does; the messages
/// count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Slip39Error {
    /// Fewer than two mnemonics are to be needed.
    #[error("the threshold of mnemonics is 2 at the least")]
    Threshold,
    /// Fewer mnemonics are to be made than are needed, or more than the standard
    /// knows.
    #[error("there are to be as many mnemonics as are needed at the least, and 16 at the most")]
    Count,
    /// A passphrase of other characters, which two systems may write differently.
    #[error("the passphrase of mnemonics is printable ASCII")]
    Passphrase,
    /// No mnemonics without random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),

    /// A word is not in the list of the standard.
    #[error("word {position} of the mnemonic is not in the list")]
    UnknownWord {
        /// Which one, counted from 1.
        position: usize,
    },
    /// No secret has mnemonics of so many words: 20 are for 128 bits and 33 for 256.
    #[error("no mnemonic has {words} words")]
    Length {
        /// How many there are; one more than the longest mnemonic has stands for
        /// any more.
        words: usize,
    },
    /// It was mistyped: the last three words do not follow from the others.
    #[error("the mnemonic is mistyped: its checksum does not match")]
    Checksum,
    /// Bits that say nothing are not zero.
    #[error("the mnemonic is damaged: its padding is not zero")]
    Padding,
    /// It says that more groups are needed than there are.
    #[error("the mnemonic needs more groups than there are")]
    GroupThreshold,
    /// It says to be of a group that there is not.
    #[error("the mnemonic is of a group that there is not")]
    GroupIndex,

    /// They were made at different times, of whatever secrets.
    #[error("the mnemonics are of different sets")]
    OtherIdentifier,
    /// Of one set, and not all of them say that it is extendable.
    #[error("the mnemonics disagree on whether their set is extendable")]
    FlagsDisagree,
    /// Of one set with different iteration exponents.
    #[error("the mnemonics disagree on the number of iterations")]
    ExponentsDisagree,
    /// Of one set with different numbers of groups that are needed.
    #[error("the mnemonics disagree on how many groups are needed")]
    GroupThresholdsDisagree,
    /// Of one set with different numbers of groups.
    #[error("the mnemonics disagree on how many groups there are")]
    GroupCountsDisagree,
    /// Of one set and for secrets of different lengths.
    #[error("the mnemonics are of different lengths")]
    LengthsDisagree,
    /// Of one group with different numbers of members that are needed.
    #[error("the mnemonics of group {} disagree on how many of them are needed", .group + 1)]
    MemberThresholdsDisagree {
        /// The group.
        group: u8,
    },
    /// Two mnemonics of a group have one index: one twice, or a forged one.
    #[error("mnemonic {} of group {} is there twice", .member + 1, .group + 1)]
    Repeated {
        /// The group.
        group: u8,
        /// The index that both have.
        member: u8,
    },
    /// Mnemonics of more groups are needed.
    #[error("mnemonics of {have} of {need} groups that are needed")]
    TooFewGroups {
        /// Of how many groups there are any.
        have: usize,
        /// Of how many they are needed.
        need: u8,
    },
    /// Mnemonics of fewer groups are needed: leave one group out.
    #[error("mnemonics of {have} groups where those of {need} are needed")]
    TooManyGroups {
        /// Of how many groups there are any.
        have: usize,
        /// Of how many they are needed.
        need: u8,
    },
    /// More mnemonics of a group are needed.
    #[error("{have} of {need} mnemonics of group {} that are needed", .group + 1)]
    TooFewMembers {
        /// The group.
        group: u8,
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: u8,
    },
    /// Fewer mnemonics of a group are needed: leave one out.
    #[error("{have} mnemonics of group {} where {need} are needed", .group + 1)]
    TooManyMembers {
        /// The group.
        group: u8,
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: u8,
    },
    /// They fit together and do not give what was split: at least one is forged.
    #[error("the mnemonics do not fit together: at least one of them is wrong")]
    Digest,
}
