//! Against a real server: what it takes, what it loses, and several engines on it.

mod backups;
mod conforming;
mod faults;
mod late;
mod proxy;
mod refusals;
mod several;
mod snapshots;
mod standbys;
mod stores;
mod tls;
mod world;
