//! The pages, as a browser sees them and as whoever is none tries them.

mod account;
mod alarms;
mod answers;
mod browser;
mod ceremonies;
mod devices;
mod forms;
mod heads;
mod legacy_logins;
mod names;
mod off;
mod passkeys;
mod signing_in;

pub(crate) use browser::{Browser, LOGIN, ORIGIN, PASSWORD, Person};
pub(crate) use heads::assert_protected;
