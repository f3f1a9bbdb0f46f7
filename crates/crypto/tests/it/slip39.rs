//! SLIP-0039: the vectors of the standard, what the reference implementation makes,
//! and what is refused.

use crate::entropies::{Broken, Constant};
use crate::vectors::{list, load, text, unhex};
use procura_crypto::slip39::{Mnemonic, Slip39Error, combine, split};
use procura_crypto::{SystemEntropy, sha256};
use procura_types::{EntropyError, FieldTuple, Secret, SecretBytes};
use proptest::prelude::*;
use std::collections::BTreeMap;

const WORDS: &str = include_str!("../../../../spec/vectors/shamir/slip39_wordlist.txt");

fn read(texts: &[&str]) -> Result<Vec<Mnemonic>, Slip39Error> {
    texts.iter().map(|text| Mnemonic::parse(text)).collect()
}

fn combined(texts: &[&str], passphrase: &str) -> Result<SecretBytes, Slip39Error> {
    combine(&read(texts)?, passphrase)
}

fn refusal(texts: &[&str]) -> Slip39Error {
    combined(texts, "")
        .err()
        .expect("a set that does not combine")
}

fn unread(text: &str) -> Slip39Error {
    Mnemonic::parse(text)
        .err()
        .expect("a text that is no mnemonic")
}

/// Why a vector fails, by the number in its description.
fn reason(number: u32) -> Slip39Error {
    match number {
        2 => Slip39Error::Checksum,
        3 => Slip39Error::Padding,
        5 => Slip39Error::TooFewMembers {
            group: 0,
            have: 1,
            need: 2,
        },
        6 => Slip39Error::OtherIdentifier,
        7 => Slip39Error::ExponentsDisagree,
        8 => Slip39Error::GroupThresholdsDisagree,
        9 => Slip39Error::GroupCountsDisagree,
        10 => Slip39Error::GroupThreshold,
        11 => Slip39Error::Repeated {
            group: 0,
            member: 2,
        },
        12 => Slip39Error::MemberThresholdsDisagree { group: 0 },
        13 => Slip39Error::Digest,
        14 | 15 => Slip39Error::TooFewGroups { have: 1, need: 2 },
        16 => Slip39Error::TooFewMembers {
            group: 3,
            have: 1,
            need: 2,
        },
        39 => Slip39Error::Length { words: 19 },
        40 => Slip39Error::Length { words: 21 },
        _ => panic!("vector {number} fails: decide why"),
    }
}

#[test]
fn vectors_of_the_standard() {
    let file = load("shamir/slip39_vectors_subset.json");
    let passphrase = text(&file["passphrase"]);
    let mut table = BTreeMap::<&str, u32>::new();
    for case in list(&file["vectors"]) {
        let (description, secret) = (text(&case[0]), text(&case[2]));
        let (number, _) = description.split_once('.').unwrap();
        let texts: Vec<_> = list(&case[1]).iter().map(text).collect();
        let result = combined(&texts, passphrase);
        let kind = if secret.is_empty() {
            let expected = reason(number.parse().unwrap());
            assert_eq!(result.err(), Some(expected), "{description}");
            "refused"
        } else {
            let master = result.unwrap_or_else(|error| panic!("{description}: {error}"));
            assert_eq!(*master.expose(), unhex(secret), "{description}");
            // What is read is written as it was.
            for (text, mnemonic) in texts.iter().zip(read(&texts).unwrap()) {
                assert_eq!(mnemonic.encode().expose(), text, "{description}");
            }
            "combined"
        };
        *table.entry(kind).or_default() += 1;
    }
    assert_eq!(table, BTreeMap::from([("combined", 10), ("refused", 16)]));
}

fn counted() -> Secret<[u8; 32]> {
    Secret::new(std::array::from_fn(|at| u8::try_from(at).unwrap()))
}

/// What the reference implementation makes of the same secret, passphrase and
/// randomness (shamir-mnemonic 0.3.0), with digests computed beside it.
#[test]
fn splits_as_the_reference_implementation() {
    let mnemonics = split(&counted(), 3, 5, "TREZOR", &Constant(0xab)).unwrap();
    let expected = [
        "flame fridge academic acne angel trouble preach prize repeat trouble preach prize repeat trouble preach prize repeat trouble preach prize repeat trouble preach prize repeat trouble preach prize repeat trouble plains seafood dough",
        "flame fridge academic agree already holy acrobat payroll mild deliver craft wrist making forecast closet floral volume lily yelp patrol venture maximum dynamic mineral being tadpole already crazy wits drove steady busy genuine",
        "flame fridge academic amazing argue broken pink exhaust blessing junior airline company gather alarm facility network scramble silent episode duke loud gather home hawk crush critical enforce lungs rich universe scramble wavy promise",
        "flame fridge academic arcade academic ounce admit element duration party loud involve eyebrow reaction tackle human lunch petition capacity demand slush again western findings lips carbon trust arena warn display radar class vintage",
        "flame fridge academic axle alarm diploma lobe makeup paper legal capture capacity square browser often hormone failure skunk engage scatter capture hearing smear soldier ladle mustang tension taxi smug elephant edge already uncover",
    ];
    for (at, (mnemonic, expected)) in mnemonics.iter().zip(expected).enumerate() {
        assert_eq!(mnemonic.encode().expose(), expected);
        assert_eq!(mnemonic.identifier(), 0x2bab);
        assert_eq!(mnemonic.iterations(), 160_000);
        let group = (
            mnemonic.group(),
            mnemonic.group_threshold(),
            mnemonic.group_count(),
        );
        assert_eq!(group, (0, 1, 1));
        let member = (usize::from(mnemonic.member()), mnemonic.member_threshold());
        assert_eq!(member, (at, 3));
    }
    assert_eq!(mnemonics.len(), 5);
    assert_eq!(
        mnemonics[0].digest()[..],
        unhex("183ae62af2d965ba30c2c569d5d7590d7131d2d1da09262ca810bf4deaed10b5")
    );
    // Without a passphrase the words differ in what is encrypted.
    let bare = split(&counted(), 3, 5, "", &Constant(0xab)).unwrap();
    assert_eq!(
        bare[4].encode().expose(),
        "flame fridge academic axle artist platform enforce debut staff aunt afraid ceiling credit pink carve flea health alcohol similar march device charity blessing angry vitamins marathon belong market lawsuit capacity sweater that material"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn as_many_mnemonics_as_are_needed_give_the_secret_and_no_other_number_does(
        master in any::<[u8; 32]>(),
        (threshold, count) in (2u8..=16).prop_flat_map(|threshold| {
            (Just(threshold), threshold..=16)
        }),
        order in Just((0..16usize).collect::<Vec<_>>()).prop_shuffle(),
        passphrase in "[ -~]{0,12}",
    ) {
        let mnemonics =
            split(&Secret::new(master), threshold, count, &passphrase, &SystemEntropy).unwrap();
        prop_assert_eq!(mnemonics.len(), usize::from(count));
        let texts: Vec<_> = mnemonics.iter().map(Mnemonic::encode).collect();
        let texts: Vec<_> = order
            .into_iter()
            .filter_map(|at| Some(texts.get(at)?.expose().as_str()))
            .collect();
        for text in &texts {
            prop_assert_eq!(text.split(' ').count(), 33);
        }
        let need = threshold;
        let needed = usize::from(need);
        let master_again = combined(&texts[..needed], &passphrase).unwrap();
        prop_assert_eq!(master_again.expose().as_slice(), &master[..]);
        let have = needed - 1;
        prop_assert_eq!(
            refusal(&texts[..have]),
            Slip39Error::TooFewMembers { group: 0, have, need }
        );
        if texts.len() > needed {
            let have = needed + 1;
            prop_assert_eq!(
                refusal(&texts[..have]),
                Slip39Error::TooManyMembers { group: 0, have, need }
            );
        }
    }
}

/// Any passphrase gives a secret; only that of the splitting gives the one.
#[test]
fn another_passphrase_gives_another_secret() {
    let mnemonics = split(&counted(), 2, 2, "TREZOR", &SystemEntropy).unwrap();
    for (passphrase, same) in [("TREZOR", true), ("trezor", false), ("", false)] {
        let master = combine(&mnemonics, passphrase).unwrap();
        assert_eq!(master.expose()[..] == counted().expose()[..], same);
    }
    let refused = combine(&mnemonics, "pässword").err();
    assert_eq!(refused, Some(Slip39Error::Passphrase));
}

#[test]
fn numbers_out_of_range_are_refused_before_anything_is_random() {
    for (threshold, count, expected) in [
        (0, 3, Slip39Error::Threshold),
        (1, 1, Slip39Error::Threshold),
        (2, 0, Slip39Error::Count),
        (3, 2, Slip39Error::Count),
        (2, 17, Slip39Error::Count),
        (17, 17, Slip39Error::Count),
        (255, 255, Slip39Error::Count),
        (2, 2, Slip39Error::Entropy(EntropyError)),
        (16, 16, Slip39Error::Entropy(EntropyError)),
    ] {
        let refused = split(&counted(), threshold, count, "", &Broken).err();
        assert_eq!(refused, Some(expected), "{threshold} of {count}");
    }
    for (passphrase, expected) in [("\n", Some(Slip39Error::Passphrase)), (" ~", None)] {
        let refused = split(&counted(), 2, 2, passphrase, &Constant(1)).err();
        assert_eq!(refused, expected, "{passphrase:?}");
    }
}

#[test]
fn a_mnemonic_reads_however_it_was_copied() {
    let mnemonic = &split(&counted(), 2, 2, "", &SystemEntropy).unwrap()[0];
    let encoded = mnemonic.encode();
    let text = encoded.expose();
    for copied in [
        text.to_ascii_uppercase(),
        format!("\r\n\t{text} \n"),
        text.replace(' ', "\r\n"),
        text.replace(' ', "  \u{a0}"),
    ] {
        let read = Mnemonic::parse(&copied).unwrap();
        assert_eq!(read.digest(), mnemonic.digest());
        assert_eq!(read.encode().expose(), text);
    }
}

#[test]
fn a_mnemonic_with_anything_changed_is_refused_for_what_it_is() {
    let mnemonic = &split(&counted(), 2, 2, "", &SystemEntropy).unwrap()[0];
    let encoded = mnemonic.encode();
    let text = encoded.expose();
    let listed: Vec<_> = WORDS.lines().collect();
    let words: Vec<_> = text.split(' ').collect();
    for at in 0..words.len() {
        let mut changed = words.clone();
        let index = listed.iter().position(|word| *word == words[at]).unwrap();
        changed[at] = listed[(index + 1) % listed.len()];
        assert_eq!(unread(&changed.join(" ")), Slip39Error::Checksum, "{at}");
        changed[at] = "procura";
        let position = at + 1;
        let unknown = Slip39Error::UnknownWord { position };
        assert_eq!(unread(&changed.join(" ")), unknown);
        changed.remove(at);
        let missing = Slip39Error::Length { words: 32 };
        assert_eq!(unread(&changed.join(" ")), missing);
    }
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let error = unread(&String::from_utf8(changed).unwrap());
        // No two words differ in one letter, so a changed word is none.
        assert!(
            matches!(error, Slip39Error::UnknownWord { .. }),
            "{at}: {error}"
        );
    }
    assert_eq!(unread(""), Slip39Error::Length { words: 0 });
    // More than the longest is not even counted.
    let long = "zero ".repeat(5000);
    assert_eq!(unread(&long), Slip39Error::Length { words: 1001 });
}

/// Two of three groups, made by the reference implementation: of one, of two of
/// three and of three members, not extendable, without a passphrase.
const GROUPS: [&[&str]; 3] = [
    &[
        "regular taught acrobat leader clothes equation apart military prune ruler advance downtown husky location zero thank ending column satoshi pants",
    ],
    &[
        "regular taught beard leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march necklace blue pacific",
        "regular taught beard lily bracelet various hearing oven spew mama increase puny spew memory roster research ceiling view peasant cricket",
        "regular taught beard lungs category software counter dough voter garbage kidney animal dining similar pencil equation miracle response fatal research",
    ],
    &[
        "regular taught ceramic learn born frequent identify scramble born frequent identify scramble born frequent identify scramble born bulb credit energy",
        "regular taught ceramic lips broken blue check cargo remind jacket tricycle style remind faint blue revenue width fatal admit dough",
        "regular taught ceramic luxury disaster angel counter paper vocal typical anxiety talent intimate elevator hobo priority pulse fitness undergo home",
    ],
];

#[test]
fn as_many_groups_as_are_needed_give_the_secret() {
    let [one, two, three] = GROUPS;
    for texts in [
        [one, &two[..2]].concat(),
        [&two[1..], one].concat(),
        [three, one].concat(),
        [&two[..1], three, &two[2..]].concat(),
    ] {
        let master = combined(&texts, "").unwrap();
        assert_eq!(*master.expose(), (0..16).collect::<Vec<u8>>());
    }
    assert_eq!(
        refusal(&[one, three, &two[1..]].concat()),
        Slip39Error::TooManyGroups { have: 3, need: 2 }
    );
    assert_eq!(
        refusal(&[one, two].concat()),
        Slip39Error::TooManyMembers {
            group: 1,
            have: 3,
            need: 2
        }
    );
    assert_eq!(
        refusal(&[one, &three[1..]].concat()),
        Slip39Error::TooFewMembers {
            group: 2,
            have: 2,
            need: 3
        }
    );
    assert_eq!(
        refusal(three),
        Slip39Error::TooFewGroups { have: 1, need: 2 }
    );
    assert_eq!(refusal(&[]), Slip39Error::TooFewGroups { have: 0, need: 1 });
}

/// The first mnemonic of the second group with one thing changed, and a right
/// checksum.
#[test]
fn mnemonics_that_do_not_go_together_are_refused_for_the_reason() {
    let [one, two, _] = GROUPS;
    let texts = |forged| [one, &two[1..2], &[forged]].concat();
    for (forged, expected) in [
        (
            "regular traffic beard leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march wrap medal resident",
            Slip39Error::OtherIdentifier,
        ),
        (
            "regular therapy beard leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march manager playoff various",
            Slip39Error::FlagsDisagree,
        ),
        (
            "regular taxi beard leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march theory silver mayor",
            Slip39Error::ExponentsDisagree,
        ),
        (
            "regular taught away leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march strategy infant staff",
            Slip39Error::GroupThresholdsDisagree,
        ),
        (
            "regular taught beard roster dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march smug picture submit",
            Slip39Error::GroupCountsDisagree,
        ),
        (
            "regular taught beard leaf advocate decorate reject enemy galaxy survive standard evaluate trust suitable species august network category academic laundry become cage",
            Slip39Error::LengthsDisagree,
        ),
        (
            "regular taught beard learn dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march chest teaspoon deadline",
            Slip39Error::MemberThresholdsDisagree { group: 1 },
        ),
        (
            "regular taught decision leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march render fridge loud",
            Slip39Error::GroupIndex,
        ),
        (
            "regular taught benefit leaf dish bulge marvel hobo volume secret inherit recall rebuild quarter disaster trip march bumpy spark award",
            Slip39Error::GroupThreshold,
        ),
        (
            "regular taught beard leaf academic academic academic academic academic academic academic academic academic academic academic academic academic quantity lecture ancestor",
            Slip39Error::Digest,
        ),
        (
            two[1],
            Slip39Error::Repeated {
                group: 1,
                member: 1,
            },
        ),
        (
            "regular taught beard lily academic academic academic academic academic academic academic academic academic academic academic academic academic cluster founder yoga",
            Slip39Error::Repeated {
                group: 1,
                member: 1,
            },
        ),
    ] {
        assert_eq!(refusal(&texts(forged)), expected, "{forged}");
    }
}

/// Messages count from 1, as people do.
#[test]
fn messages_count_from_one() {
    let repeated = Slip39Error::Repeated {
        group: 1,
        member: 2,
    };
    assert_eq!(repeated.to_string(), "mnemonic 3 of group 2 is there twice");
}

#[test]
fn digests_are_over_all_words() {
    let [_, two, _] = GROUPS;
    let indices: Vec<u8> = two[0]
        .split(' ')
        .flat_map(|word| {
            let index = WORDS.lines().position(|listed| listed == word).unwrap();
            u16::try_from(index).unwrap().to_be_bytes()
        })
        .collect();
    let tuple = FieldTuple::new("procura.slip39.digest.v1").bytes(&indices);
    let [one, other] = [two[0], two[1]].map(|text| Mnemonic::parse(text).unwrap().digest());
    assert_eq!(one, sha256(tuple.as_bytes()));
    assert_ne!(one, other);
}
