//! Which profile is shown: never two.

use crate::fixture::Request;
use procura_proof::Case;
use procura_proof::foreign::{Foreign, Shown, recognise};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const DIGITS: &str = "1800000000000";
const ISO: &str = "2027-01-15T08:00:00Z";
const OWN: &str = "p=(\"@method\");tag=\"procura-v1\"";
const OTHER: &str = "q=(\"@method\");tag=\"web-bot-auth\"";

fn with(fields: &[(&str, &str)]) -> Result<Shown, Case> {
    let request = fields
        .iter()
        .fold(Request::get(), |request, (name, value)| {
            request.with(name, value)
        });
    recognise(&request.headers)
}

#[test]
fn by_the_table() {
    let shown = |profile| Ok(Shown::Foreign(profile));
    let id = ("x-agent-id", "a");
    let (iso, digits) = (("x-timestamp", ISO), ("x-timestamp", DIGITS));
    let (version, session) = (("x-signature-version", "2"), ("x-session-id", "s"));
    let (own, other) = (("signature-input", OWN), ("signature-input", OTHER));
    let name = ("x-agent", "a");
    let mixed = Err(Case::MixedProfiles);
    for (fields, expected) in [
        (vec![], Err(Case::NoProof)),
        (vec![own], Ok(Shown::Native)),
        (vec![other], Ok(Shown::Native)),
        (vec![("signature", "p=:AAAA:")], Ok(Shown::Native)),
        (vec![id, iso], shown(Foreign::KeyServerV1)),
        (vec![name], shown(Foreign::GuideV1)),
        (vec![name, iso], shown(Foreign::GuideV1)),
        (vec![name, digits], shown(Foreign::GuideV1)),
        (vec![id, digits], shown(Foreign::HmacV1)),
        (vec![id, digits, session], shown(Foreign::HmacV1)),
        (vec![id, digits, version], shown(Foreign::HmacV2)),
        (vec![id, digits, version, session], shown(Foreign::HmacV2)),
        (vec![id, iso, other], shown(Foreign::KeyServerV1)),
        (vec![id], Err(Case::ForeignMissing)),
        (vec![iso], Err(Case::ForeignMissing)),
        (vec![("x-nonce", "n")], Err(Case::ForeignMissing)),
        (vec![("x-signature", "s")], Err(Case::ForeignMissing)),
        (vec![version], Err(Case::ForeignMissing)),
        (vec![id, name, iso], mixed),
        (vec![id, name, digits], mixed),
        (vec![id, iso, version], mixed),
        (vec![id, iso, session], mixed),
        (vec![name, version], mixed),
        (vec![name, session], mixed),
        (vec![id, iso, own], mixed),
        (vec![id, digits, own], mixed),
        (vec![id, digits, version, own], mixed),
        (vec![name, own], mixed),
        (vec![id, iso, other, own], mixed),
        (vec![id, own], mixed),
        (
            vec![id, iso, ("signature-input", "p=[")],
            Err(Case::InputSyntax),
        ),
        (vec![id, iso, iso], Err(Case::ForeignDoubled)),
        (vec![id, digits, iso], Err(Case::ForeignDoubled)),
        (
            vec![id, digits, version, version],
            Err(Case::ForeignDoubled),
        ),
        (vec![id, ("x-timestamp", "")], Err(Case::TimestampForm)),
        (vec![id, ("x-timestamp", "12-3")], Err(Case::TimestampForm)),
        (
            vec![id, digits, ("x-signature-version", "1")],
            Err(Case::VersionForm),
        ),
    ] {
        assert_eq!(with(&fields), expected, "{fields:?}");
    }
}

/// What the table says of each profile, one by one and without order.
fn fits(fields: &[(String, String)], profile: Shown) -> bool {
    let all = |name: &str| -> Vec<&str> {
        fields
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    };
    let has = |name: &str| !all(name).is_empty();
    let own = all("signature-input").contains(&OWN);
    let agent = fields.iter().any(|(name, _)| name.starts_with("x-agent"));
    let of_macs = has("x-session-id") || has("x-signature-version");
    match profile {
        Shown::Native => !agent && (has("signature-input") || has("signature")),
        Shown::Foreign(profile) => {
            !own && match profile {
                Foreign::KeyServerV1 => {
                    has("x-agent-id") && !has("x-agent") && !of_macs && all("x-timestamp") == [ISO]
                }
                Foreign::GuideV1 => has("x-agent") && !has("x-agent-id") && !of_macs,
                Foreign::HmacV1 => {
                    has("x-agent-id")
                        && !has("x-agent")
                        && !has("x-signature-version")
                        && all("x-timestamp") == [DIGITS]
                }
                Foreign::HmacV2 => {
                    has("x-agent-id")
                        && !has("x-agent")
                        && all("x-signature-version") == ["2"]
                        && all("x-timestamp") == [DIGITS]
                }
            }
        }
    }
}

/// Fields that profiles differ by, in any number and order.
fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let pool = vec![
        ("x-agent-id", "scribe"),
        ("x-agent", "scribe"),
        ("x-timestamp", ISO),
        ("x-timestamp", DIGITS),
        ("x-timestamp", "now"),
        ("x-nonce", "0123456789abcdef"),
        ("x-signature", "AAAA"),
        ("x-session-id", "s"),
        ("x-signature-version", "2"),
        ("x-signature-version", "1"),
        ("signature-input", OWN),
        ("signature-input", "r=();tag=\"other\""),
        ("signature", "p=:AAAA:"),
        ("accept", "*/*"),
    ];
    let size = pool.len();
    subsequence(pool, 0..=size)
        .prop_shuffle()
        .prop_map(|fields| {
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn never_two_profiles(fields in fields()) {
        let profiles = [Shown::Native]
            .into_iter()
            .chain(Foreign::ALL.map(Shown::Foreign));
        let fitting: Vec<_> = profiles.filter(|profile| fits(&fields, *profile)).collect();
        prop_assert!(fitting.len() <= 1, "{:?}", fitting);
        let shown = recognise(&fields);
        match shown {
            Ok(profile) => prop_assert_eq!(&fitting, &vec![profile]),
            Err(_) => prop_assert!(fitting.is_empty(), "{:?} as {:?}", shown, fitting),
        }
        // In another order it is the same.
        let mut turned = fields.clone();
        turned.reverse();
        prop_assert_eq!(recognise(&turned).ok(), shown.ok());
    }

    /// Any bytes in any of the fields: an answer, and never a panic.
    #[test]
    fn any_bytes_get_an_answer(
        fields in prop::collection::vec(
            (
                select(vec![
                    "x-agent-id", "x-agent", "x-timestamp", "x-nonce", "x-signature",
                    "x-session-id", "x-signature-version", "signature-input",
                ]),
                prop::collection::vec(any::<u8>(), 0..80),
            ),
            0..8,
        ),
    ) {
        let fields: Vec<(&str, Vec<u8>)> = fields;
        let _ = recognise(&fields);
        let request = Request {
            headers: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            ..Request::put()
        };
        prop_assert!(super::World::new().verify(&request).is_err());
    }
}
