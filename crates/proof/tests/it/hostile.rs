//! Requests of strangers: nothing panics, and no changed proof is let in.

use crate::fixture::{NOW, Request, World};
use procura_proof::{Case, Limits, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    World::with_limits(Limits {
        nonces: 100_000,
        sessions: 100_000,
    })
});

const FIELDS: [&str; 8] = [
    "signature-input",
    "signature",
    "content-digest",
    "content-type",
    "content-encoding",
    "authorization",
    "x-agent",
    "odd",
];

/// Text made of what structured fields are made of.
fn fieldish() -> impl Strategy<Value = Vec<u8>> {
    let pieces = select(vec![
        "procura",
        "=",
        "(",
        ")",
        ";",
        ",",
        " ",
        "\t",
        "\"",
        "\\",
        ":",
        "?1",
        "@1",
        "%\"",
        "*",
        "-",
        "1800000000",
        "created",
        "nonce",
        "keyid",
        "alg",
        "tag",
        "expires",
        "procura-v1",
        "ed25519",
        "hmac-sha256",
        "\"@method\"",
        "\"@query-param\"",
        "name",
        "key",
        "sf",
        "bs",
        "\"odd\"",
        "sha-256",
        ":AAAA:",
        "é",
        "\r\n ",
        "\0",
        "999999999999999",
        "9999999999999999",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), fieldish()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_fields_are_refused(
        headers in prop::collection::vec((select(FIELDS.to_vec()), value()), 0..8),
        (method, authority, path) in (".{0,8}", ".{0,20}", "/?.{0,20}"),
        query in prop::option::of(".{0,20}"),
        body in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = Request { method, authority, scheme: None, path, query, headers, body };
        prop_assert!(WORLD.verify(&request).is_err());
    }

    #[test]
    fn a_changed_byte_of_the_proof_is_refused(
        under_session in any::<bool>(),
        field in select(vec!["signature-input", "signature"]),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let signed = sign(under_session, &Request::put());
        let mut changed = signed.clone();
        let (_, value) =
            changed.headers.iter_mut().find(|(name, _)| name == field).expect("it is signed");
        let position = position.index(value.len());
        prop_assume!(value[position] != byte);
        // The last digit of base64 has bits that stand for nothing (RFC 9651
        // §4.2.7 lets parsers ignore them): the signature stays the same.
        let idle = field == "signature" && value[position + 1..].starts_with(b"=");
        value[position] = byte;
        prop_assume!(!idle);
        let refused = WORLD.verify(&changed);
        prop_assert!(refused.is_err(), "{}", changed.header(field));
    }

    #[test]
    fn a_changed_part_of_the_request_is_refused_for_that(
        under_session in any::<bool>(),
        part in 0..8usize,
        other in "[a-z0-9]{1,12}",
    ) {
        let signed = sign(under_session, &Request::put());
        let mut changed = signed.clone();
        let forged = if under_session { Case::MacRefused } else { Case::SignatureRefused };
        let field = |request: Request, name: &str| {
            request.without(name).with(name, &format!("x{other}"))
        };
        let case = match part {
            0 => { changed.method = format!("X{other}"); forged }
            1 => { changed.authority = format!("x{other}"); forged }
            2 => { changed.path = format!("/{other}"); forged }
            3 => { changed.query = Some(other.clone()); forged }
            4 => { changed = field(changed, "content-type"); forged }
            5 => { changed = field(changed, "content-encoding"); forged }
            6 => { changed = field(changed, "authorization"); forged }
            _ => { changed.body = other.clone().into_bytes(); Case::BodyChanged }
        };
        let refused = WORLD.verify(&changed).expect_err("a changed request was let in");
        prop_assert_eq!(refused.case, case);
        // The digest of the other body does not help.
        if part == 7 {
            let resigned = WORLD.sign(&Request { headers: Request::put().headers, ..changed.clone() });
            let digest = resigned.header("content-digest").to_owned();
            let swapped = changed.without("content-digest").with("content-digest", &digest);
            let refused = WORLD.verify(&swapped).expect_err("a changed request was let in");
            prop_assert_eq!(refused.case, forged);
        }
        // And none of that has used up the true one.
        let caller = WORLD.verify(&signed).expect("the request itself is good");
        let profile = if under_session { Profile::Session } else { Profile::Native };
        prop_assert_eq!(caller.profile(), profile);
    }

    #[test]
    fn a_changed_parameter_is_refused_for_that(part in 0..4usize, by in 1..10u64) {
        let signed = WORLD.sign(&Request::get());
        let (from, to, case) = match part {
            0 => (
                format!("created={}", NOW.as_secs()),
                format!("created={}", NOW.as_secs() - by),
                Case::SignatureRefused,
            ),
            1 => ("nonce=\"".to_owned(), format!("nonce=\"{}", "AAAA".repeat(by as usize)), Case::SignatureRefused),
            2 => (
                WORLD.device().to_string(),
                procura_types::Thumbprint::from_bytes([by as u8; 32]).to_string(),
                Case::DeviceUnknown,
            ),
            _ => (";tag=".to_owned(), format!(";extra={by};tag="), Case::SignatureRefused),
        };
        let refused = WORLD.verify(&signed.input(&from, &to)).expect_err("it was let in");
        prop_assert_eq!(refused.case, case);
    }
}

fn sign(under_session: bool, request: &Request) -> Request {
    if under_session {
        let session = WORLD.session();
        WORLD.sign_under(request, &session, 1)
    } else {
        WORLD.sign(request)
    }
}
