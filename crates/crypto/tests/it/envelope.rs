use crate::entropies::{Broken, Constant};
use crate::vectors::unhex;
use procura_crypto::{
    Binding, Dek, Holder, KeyError, OpenError, Purpose, SealError, SystemEntropy, XaesKey,
    envelope_epoch, open, open_with_dek, seal, seal_with_dek,
};
use procura_types::{ActorId, EntropyError, InstallationId, Namespace, Secret};
use proptest::prelude::*;
use std::sync::Arc;

fn counting<const N: usize>() -> [u8; N] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn xaes_key() -> XaesKey {
    XaesKey::new(Secret::new(counting())).unwrap()
}

fn dek() -> Dek {
    Dek::from_bytes(Secret::new(counting())).unwrap()
}

/// Computed from `protocol.md` §5 with another implementation of AES-GCM.
#[test]
fn known_envelopes() {
    let key = xaes_key();
    let owner = ActorId::from_bytes(counting());
    let installation = InstallationId::from_bytes(counting());
    for (holder, envelope) in [
        (
            Holder::Owner(&owner),
            "0100000009ababababababababababababababababababababababababc154eb3a715913d97a4db9dcb48cbd4879feffc6a4805e2fd3",
        ),
        (
            Holder::Installation(&installation),
            "0100000009ababababababababababababababababababababababababc154eb3a715913d97aabb4b90099175726da66cd827c75f4eb",
        ),
    ] {
        let binding = Binding {
            holder,
            class: "owners",
            path: b"\0\xff",
            version: 1 << 40,
            purpose: Purpose::Row,
        };
        let sealed = seal(&key, 9, &binding, &Constant(0xab), b"row bytes").unwrap();
        assert_eq!(sealed, unhex(envelope));
        assert_eq!(envelope_epoch(&sealed), Ok(9));
        let opened = open(|epoch| (epoch == 9).then_some(&key), &binding, &sealed).unwrap();
        assert_eq!(opened.expose(), b"row bytes");
    }

    let namespace: Namespace = "dev".parse().unwrap();
    let binding = Binding {
        holder: Holder::Namespace(&namespace),
        class: "credentials",
        path: b"db/password",
        version: 7,
        purpose: Purpose::SecretBody,
    };
    let sealed = seal_with_dek(&dek(), &binding, &Constant(0xab), b"hunter2").unwrap();
    assert_eq!(
        sealed,
        unhex("0200000000ababababababababababababa4adda3dc16a23d4c379fb5a5083c9ffa9f8f696a58340")
    );
    assert_eq!(envelope_epoch(&sealed), Ok(0));
    let opened = open_with_dek(&dek(), &binding, &sealed).unwrap();
    assert_eq!(opened.expose(), b"hunter2");
}

/// A binding that owns its fields, to be made and changed at will.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    kind: u8,
    id: [u8; 32],
    class: String,
    path: Vec<u8>,
    version: u64,
    purpose: Purpose,
}

impl Place {
    /// Calls `then` with the binding. A namespace is named by its id's digits.
    fn with<T>(&self, then: impl FnOnce(&Binding<'_>) -> T) -> T {
        let digits = procura_types::encoding::hex(&self.id[..16]);
        let namespace: Namespace = digits.parse().unwrap();
        let owner = ActorId::from_bytes(self.id);
        let installation = InstallationId::from_bytes(self.id[..16].try_into().unwrap());
        then(&Binding {
            holder: match self.kind {
                1 => Holder::Namespace(&namespace),
                2 => Holder::Owner(&owner),
                _ => Holder::Installation(&installation),
            },
            class: &self.class,
            path: &self.path,
            version: self.version,
            purpose: self.purpose,
        })
    }

    /// The same place with each field changed, one at a time.
    fn neighbours(&self) -> Vec<(&'static str, Self)> {
        let changed = |what, change: &dyn Fn(&mut Self)| {
            let mut other = self.clone();
            change(&mut other);
            (what, other)
        };
        let mut all = vec![
            changed("kind", &|place| place.kind = place.kind % 3 + 1),
            changed("id", &|place| place.id[0] ^= 1),
            changed("class", &|place| place.class.push('x')),
            changed("path", &|place| place.path.push(0)),
            changed("older version", &|place| {
                place.version = place.version.wrapping_sub(1);
            }),
            changed("newer version", &|place| {
                place.version = place.version.wrapping_add(1);
            }),
        ];
        // A byte that moves from one field to the next.
        if let Some(last) = self.class.chars().last().filter(char::is_ascii) {
            all.push(changed("boundary", &|place| {
                place.class.pop();
                place.path.insert(0, u8::try_from(last).unwrap());
            }));
        }
        all.extend(
            Purpose::ALL
                .into_iter()
                .filter(|purpose| *purpose != self.purpose)
                .map(|purpose| changed(purpose.as_str(), &|place| place.purpose = purpose)),
        );
        all
    }
}

fn place() -> impl Strategy<Value = Place> {
    (
        1u8..=3,
        any::<[u8; 32]>(),
        "[a-z]{0,12}",
        prop::collection::vec(any::<u8>(), 0..40),
        any::<u64>(),
        prop::sample::select(&Purpose::ALL[..]),
    )
        .prop_map(|(kind, id, class, path, version, purpose)| Place {
            kind,
            id,
            class,
            path,
            version,
            purpose,
        })
}

fn plain() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_envelope_opens_in_its_place_only(
        place in place(),
        epoch in any::<u32>(),
        plain in plain(),
        key in any::<[u8; 32]>(),
    ) {
        let key = XaesKey::new(Secret::new(key)).unwrap();
        let sealed = place
            .with(|binding| seal(&key, epoch, binding, &SystemEntropy, &plain))
            .unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + 45);
        prop_assert_eq!(envelope_epoch(&sealed), Ok(epoch));
        let opened = place.with(|binding| open(|_| Some(&key), binding, &sealed));
        let opened = opened.unwrap();
        prop_assert_eq!(opened.expose(), &plain);

        for (what, other) in place.neighbours() {
            let opened = other.with(|binding| open(|_| Some(&key), binding, &sealed));
            prop_assert_eq!(opened.err(), Some(OpenError::Refused), "{}", what);
        }
        let none = place.with(|binding| open(|_| None::<&XaesKey>, binding, &sealed));
        prop_assert_eq!(none.err(), Some(OpenError::UnknownEpoch(epoch)));
        let other_key = Arc::new(XaesKey::new(Secret::new([1; 32])).unwrap());
        let other = place.with(|binding| open(|_| Some(other_key), binding, &sealed));
        prop_assert_eq!(other.err(), Some(OpenError::Refused));
    }

    #[test]
    fn a_secret_opens_in_its_place_only(
        place in place(),
        plain in plain(),
        key in any::<[u8; 32]>(),
    ) {
        let dek = Dek::from_bytes(Secret::new(key)).unwrap();
        let sealed = place
            .with(|binding| seal_with_dek(&dek, binding, &SystemEntropy, &plain))
            .unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + 33);
        let opened = place.with(|binding| open_with_dek(&dek, binding, &sealed));
        let opened = opened.unwrap();
        prop_assert_eq!(opened.expose(), &plain);
        for (what, other) in place.neighbours() {
            let opened = other.with(|binding| open_with_dek(&dek, binding, &sealed));
            prop_assert_eq!(opened.err(), Some(OpenError::Refused), "{}", what);
        }
    }

    /// Each byte of an envelope counts, and so does its length.
    #[test]
    fn a_changed_envelope_never_opens(place in place(), plain in plain(), flip in 1u8..) {
        let (key, dek) = (xaes_key(), dek());
        let under_key = place
            .with(|binding| seal(&key, 3, binding, &SystemEntropy, &plain))
            .unwrap();
        let under_dek = place
            .with(|binding| seal_with_dek(&dek, binding, &SystemEntropy, &plain))
            .unwrap();
        place.with(|binding| {
            // Whatever the epoch says, the same key is offered: the epoch is
            // bound as well as looked up.
            let opens = |envelope: &[u8]| open(|_| Some(&key), binding, envelope).err();
            let opens_dek = |envelope: &[u8]| open_with_dek(&dek, binding, envelope).err();
            for at in 0..under_key.len() {
                let mut changed = under_key.clone();
                changed[at] ^= flip;
                let expected = if at == 0 { OpenError::Malformed } else { OpenError::Refused };
                prop_assert_eq!(opens(&changed), Some(expected), "byte {}", at);
                let expected = if at < 45 { OpenError::Malformed } else { OpenError::Refused };
                prop_assert_eq!(opens(&under_key[..at]), Some(expected), "cut at {}", at);
            }
            for at in 0..under_dek.len() {
                let mut changed = under_dek.clone();
                changed[at] ^= flip;
                let expected = if at < 5 { OpenError::Malformed } else { OpenError::Refused };
                prop_assert_eq!(opens_dek(&changed), Some(expected), "byte {}", at);
                let expected = if at < 33 { OpenError::Malformed } else { OpenError::Refused };
                prop_assert_eq!(opens_dek(&under_dek[..at]), Some(expected), "cut at {}", at);
            }
            let longer = [&under_key[..], &[flip]].concat();
            prop_assert_eq!(opens(&longer), Some(OpenError::Refused));
            // Neither passes for the other.
            prop_assert_eq!(opens_dek(&under_key), Some(OpenError::Malformed));
            let mut long_enough = under_dek.clone();
            long_enough.resize(under_dek.len() + 12, 0);
            prop_assert_eq!(opens(&long_enough), Some(OpenError::Malformed));
            Ok(())
        })?;
    }

    #[test]
    fn strangers_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let key = xaes_key();
        let epoch = envelope_epoch(&bytes);
        let opened = place_of_nothing().with(|binding| open(|_| Some(&key), binding, &bytes));
        match epoch {
            Ok(_) => prop_assert!(opened.is_err()),
            Err(error) => prop_assert_eq!(opened.err(), Some(error)),
        }
    }
}

fn place_of_nothing() -> Place {
    Place {
        kind: 3,
        id: [0; 32],
        class: String::new(),
        path: Vec::new(),
        version: 0,
        purpose: Purpose::Row,
    }
}

/// The words are in what was sealed, so the list in `spec/` and the code agree.
#[test]
fn purposes_are_those_of_the_specification() {
    let page = include_str!("../../../../spec/purposes.md");
    let listed: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(word, _)| word)
        .collect();
    assert_eq!(listed, Purpose::ALL.map(Purpose::as_str));
    for (at, word) in listed.iter().enumerate() {
        assert!(!listed[..at].contains(word), "{word}");
    }
}

#[test]
fn one_value_never_seals_to_the_same_bytes() {
    let (key, dek) = (xaes_key(), dek());
    place_of_nothing().with(|binding| {
        let [one, two] = [(), ()].map(|()| seal(&key, 1, binding, &SystemEntropy, b"v").unwrap());
        assert_ne!(one, two);
        let [one, two] =
            [(), ()].map(|()| seal_with_dek(&dek, binding, &SystemEntropy, b"v").unwrap());
        assert_ne!(one, two);
    });
}

#[test]
fn without_entropy_nothing_is_sealed() {
    place_of_nothing().with(|binding| {
        for result in [
            seal(&xaes_key(), 1, binding, &Broken, b"v"),
            seal_with_dek(&dek(), binding, &Broken, b"v"),
        ] {
            assert!(matches!(result, Err(SealError::Entropy(EntropyError))));
        }
    });
    assert!(matches!(
        Dek::generate(&Broken),
        Err(KeyError::Entropy(EntropyError))
    ));
    assert!(matches!(
        XaesKey::generate(&Broken),
        Err(KeyError::Entropy(EntropyError))
    ));
}

#[test]
fn fresh_keys_come_from_the_entropy_given() {
    assert_eq!(Dek::generate(&Constant(5)).unwrap().expose(), &[5; 32]);
    assert_eq!(XaesKey::generate(&Constant(6)).unwrap().expose(), &[6; 32]);
}
