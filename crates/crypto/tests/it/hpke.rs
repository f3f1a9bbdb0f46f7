//! Values sealed to a public key.

use crate::vectors::unhex;
use procura_crypto::{
    Binding, Holder, OpenError, OpeningKey, Purpose, SealError, SealingKey, SystemEntropy,
};
use procura_types::{InstallationId, Secret};

fn counting<const N: usize>() -> [u8; N] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn binding<'a>(id: &'a InstallationId, path: &'a str, version: u64) -> Binding<'a> {
    Binding {
        holder: Holder::Installation(id),
        class: "credentials",
        path: path.as_bytes(),
        version,
        purpose: Purpose::RootWrap,
    }
}

/// Sealed by another implementation of RFC 9180.
#[test]
fn what_another_implementation_sealed_opens() {
    let key = OpeningKey::new(Secret::new(counting())).unwrap();
    assert_eq!(
        key.sealing_key().unwrap().as_bytes(),
        unhex("8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f")
    );
    let id = InstallationId::from_bytes(counting());
    let envelope = unhex(
        "0300000009540546e04846619c36eab1602876eec432cc7512dab1b626ed17750f0ff9ef4b3d9a0370546977ce69c304fddc2e9e69c0d90c2a4295df2ed282a43fe27cf49bc2",
    );
    let (epoch, plain) = key.open(&binding(&id, "laptop", 9), &envelope).unwrap();
    assert_eq!(epoch, 9);
    assert_eq!(plain.expose().as_slice(), b"seventeen bytes !");
}

#[test]
fn it_opens_with_its_key_at_its_place_and_whole() {
    let entropy = &SystemEntropy;
    let (key, other) = (
        OpeningKey::generate(entropy).unwrap(),
        OpeningKey::generate(entropy).unwrap(),
    );
    let id = InstallationId::from_bytes([1; 16]);
    let place = binding(&id, "laptop", 7);
    let to = key.sealing_key().unwrap();
    let envelope = to.seal(7, &place, b"value").unwrap();
    assert_eq!(key.open(&place, &envelope).unwrap().0, 7);
    assert_ne!(
        envelope,
        to.seal(7, &place, b"value").unwrap(),
        "the ephemeral key is fresh each time"
    );
    let refused = |key: &OpeningKey, place: &Binding<'_>, envelope: &[u8]| {
        key.open(place, envelope).err().unwrap()
    };
    assert_eq!(refused(&other, &place, &envelope), OpenError::Refused);
    for moved in [
        binding(&id, "desktop", 7),
        binding(&id, "laptop", 8),
        binding(&InstallationId::from_bytes([2; 16]), "laptop", 7),
    ] {
        assert_eq!(refused(&key, &moved, &envelope), OpenError::Refused);
    }
    for at in 0..envelope.len() {
        let mut changed = envelope.clone();
        changed[at] ^= 1;
        let expected = if at == 0 {
            OpenError::Malformed
        } else {
            OpenError::Refused
        };
        assert_eq!(refused(&key, &place, &changed), expected, "byte {at}");
    }
    for length in 0..envelope.len() {
        let short = refused(&key, &place, &envelope[..length]);
        let expected = if length < 5 + 32 + 16 {
            OpenError::Malformed
        } else {
            OpenError::Refused
        };
        assert_eq!(short, expected, "{length} bytes");
    }
}

#[test]
fn nothing_is_sealed_to_what_is_no_key() {
    let id = InstallationId::from_bytes([1; 16]);
    // Of small order: the shared secret would be one that everybody knows.
    for bytes in ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAA", ""] {
        let key: SealingKey = serde_json::from_value(bytes.into()).unwrap();
        let refused = key.seal(1, &binding(&id, "laptop", 1), b"value");
        assert!(matches!(refused, Err(SealError::NoRecipient)), "{bytes}");
    }
}
