//! Every kind of unseal source goes through one suite, with real keepers: SoftHSM,
//! swtpm, moto and a second server.

mod auto;
mod clock;
mod kms;
mod kms_tls;
mod people;
mod place;
mod refused;
mod restored;
mod softhsm;
mod steps;
mod suite;
mod swtpm;
mod transit;
mod vouched;

use suite::conforms;

#[test]
fn passphrases_conform() {
    conforms::<people::Passphrases>();
}

#[test]
fn shares_conform() {
    conforms::<people::Shares<people::Text>>();
}

#[test]
fn words_conform() {
    conforms::<people::Shares<people::Words>>();
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
