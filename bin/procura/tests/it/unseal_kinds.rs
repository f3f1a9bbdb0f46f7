//! Every kind of unseal source goes through one suite, with real keepers: SoftHSM,
//! swtpm, moto and a second server.

mod auto;
mod kms;
mod people;
mod place;
mod softhsm;
mod suite;
mod swtpm;
mod transit;

use suite::conforms;

#[test]
fn passphrases_conform() {
    conforms::<people::Passphrases>();
}

#[test]
fn shares_conform() {
    conforms::<people::Shares>();
}

#[test]
fn tokens_conform() {
    conforms::<softhsm::Tokens>();
}

#[test]
fn chips_conform() {
    conforms::<swtpm::Chips>();
}

#[test]
fn the_key_management_service_conforms() {
    conforms::<kms::Service>();
}

#[test]
fn another_procura_conforms() {
    conforms::<transit::Other>();
}
