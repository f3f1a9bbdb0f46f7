//! Envelopes: what opens was sealed, at this place, for this purpose.

use crate::Verdict;
use crate::world::{Counting, INSTALLATION};
use procura_crypto::{
    Binding, Dek, Holder, OpenError, Purpose, XaesKey, envelope_epoch, open, open_with_dek, seal,
    seal_with_dek,
};
use procura_types::Secret;
use std::sync::LazyLock;

const EPOCH: u32 = 3;
const PLAIN: &[u8] = b"correct horse";
const BINDING: Binding<'_> = Binding {
    holder: Holder::Installation(&INSTALLATION),
    class: "credentials",
    path: b"db/password",
    version: 2,
    purpose: Purpose::SecretBody,
};

/// Both keys and what was sealed with them.
pub(crate) struct Sealed {
    key: XaesKey,
    dek: Dek,
    pub(crate) under_key: Vec<u8>,
    pub(crate) under_dek: Vec<u8>,
}

pub(crate) static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let key = XaesKey::new(Secret::new([1; 32])).unwrap();
    let dek = Dek::from_bytes(Secret::new([2; 32])).unwrap();
    Sealed {
        under_key: seal(&key, EPOCH, &BINDING, &Counting::new(), PLAIN).unwrap(),
        under_dek: seal_with_dek(&dek, &BINDING, &Counting::new(), PLAIN).unwrap(),
        key,
        dek,
    }
});

pub(crate) fn envelope(data: &[u8]) -> Verdict {
    let sealed = &*SEALED;
    let under_key = |binding: &Binding<'_>| {
        open(
            |epoch| (epoch == EPOCH).then_some(&sealed.key),
            binding,
            data,
        )
    };
    let under_dek = |binding: &Binding<'_>| open_with_dek(&sealed.dek, binding, data);
    let epoch = envelope_epoch(data);
    let mut accepted = false;
    for (opened, whole, version) in [
        (under_key(&BINDING), &sealed.under_key, 1),
        (under_dek(&BINDING), &sealed.under_dek, 2),
    ] {
        match opened {
            Ok(plain) => {
                accepted = true;
                assert_eq!(plain.expose(), PLAIN);
                assert_eq!(data, whole, "never sealed");
                assert_eq!(epoch, Ok(if version == 1 { EPOCH } else { 0 }));
            }
            Err(OpenError::Malformed) => assert_ne!(data, whole),
            Err(OpenError::UnknownEpoch(found)) => {
                assert_eq!(epoch, Ok(found));
                assert!(version == 1 && found != EPOCH);
            }
            Err(OpenError::Refused) => assert!(epoch.is_ok() && data != whole),
        }
    }
    if accepted {
        let elsewhere = [
            Binding {
                class: "audit",
                ..BINDING
            },
            Binding {
                path: b"db/passwore",
                ..BINDING
            },
            Binding {
                version: 3,
                ..BINDING
            },
            Binding {
                purpose: Purpose::SecretDek,
                ..BINDING
            },
        ];
        for binding in elsewhere {
            assert!(under_key(&binding).is_err() && under_dek(&binding).is_err());
        }
    }
    Verdict::of(accepted)
}
