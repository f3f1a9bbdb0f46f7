//! The pages, as a browser sees them and as whoever is none tries them.

mod account;
mod alarms;
mod answers;
mod browser;
mod ceremonies;
mod devices;
mod forms;
mod heads;
mod names;
mod off;
mod passkeys;
mod signing_in;

pub(crate) use browser::{Browser, PASSWORD, Person};
