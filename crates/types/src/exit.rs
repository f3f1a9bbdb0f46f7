//! Exit codes of the programs: the table of `spec/exit-codes.md`.
//!
//! `procura run` ends with one of these only when the command was not started;
//! once it was, the exit code is the command's own.

/// Done.
pub const OK: u8 = 0;
/// The command line cannot be understood, or names what does not exist here
/// (an unknown option, a project name of the wrong form, a file to read names
/// from that is not one). sysexits `EX_USAGE`.
pub const USAGE: u8 = 64;
/// The server or the daemon cannot be reached, or has no place for one more.
/// sysexits `EX_UNAVAILABLE`.
pub const UNREACHABLE: u8 = 69;
/// Files could not be read or written, or the store failed. sysexits
/// `EX_IOERR`.
pub const STORAGE: u8 = 74;
/// A person has to say yes first; a request waits. sysexits `EX_TEMPFAIL`.
pub const PENDING: u8 = 75;
/// Refused: the proof, the policy, the vault's seal, or a check of ours said
/// no. sysexits `EX_NOPERM`.
pub const REFUSED: u8 = 77;
/// The configuration or the set-up of this host is wrong. sysexits
/// `EX_CONFIG`.
pub const CONFIG: u8 = 78;
/// `procura run`: the command was found and cannot be executed (POSIX XCU
/// §2.8.2).
pub const CANNOT_EXECUTE: u8 = 126;
/// `procura run`: the command was not found (POSIX XCU §2.8.2).
pub const NOT_FOUND: u8 = 127;
/// Ctrl-C ended a question at the terminal: 128 and the signal, as shells count.
/// A hang-up or a termination gives 129 or 143.
pub const INTERRUPTED: u8 = 130;
/// The server does not start: the home cannot be used.
pub const START_HOME: u8 = 80;
/// The server does not start: another process uses the home.
pub const START_IN_USE: u8 = 81;
/// The server does not start: a newer program wrote the home.
pub const START_NEWER_FORMAT: u8 = 82;
/// The server does not start: the database belongs to another installation.
pub const START_OTHER_INSTALLATION: u8 = 83;
/// The server does not start: the database or `installation.json` is damaged.
pub const START_DAMAGED: u8 = 84;
/// The server does not start: what is stored is older than what was signed.
pub const START_ROLLED_BACK: u8 = 85;
/// The server does not start: an address cannot be listened on.
pub const START_LISTEN: u8 = 86;
/// The server does not start: certificate or key cannot be used, or others can
/// read the key.
pub const START_TLS: u8 = 87;
/// The server does not start: keys cannot be locked in memory.
pub const START_MEMORY: u8 = 88;
/// The server does not start: the passphrase file cannot be read, is open to
/// others, or does not open the vault.
pub const START_PASSPHRASE: u8 = 89;
