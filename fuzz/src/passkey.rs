//! What a browser brings of a passkey: client data, the attestation object of a new one,
//! and an assertion. What is accepted was recorded from a browser (`spec/vectors/passkey`).

use crate::Verdict;
use procura_crypto::webauthn::{
    Assertion, RelyingParty, challenge_in, verify_assertion, verify_registration,
};
use procura_crypto::{PublicKey, sha256};
use procura_types::encoding::from_b64url;
use serde_json::Value;
use std::sync::LazyLock;

static RECORDED: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../spec/vectors/passkey/passkey_chromium.json");
    serde_json::from_str(text).unwrap()
});

fn bytes(value: &Value) -> Vec<u8> {
    from_b64url("value", value.as_str().unwrap()).unwrap()
}

fn party() -> RelyingParty {
    RelyingParty::of_id("localhost")
}

/// The approval that was recorded: the key, its challenge, client data, authenticator data
/// and signature.
struct Signed {
    key: PublicKey,
    challenge: [u8; 32],
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let approval = &RECORDED["approval"];
    let (private, response) = (
        &approval["private_key"],
        &approval["credential"]["response"],
    );
    let point = [&[4][..], &bytes(&private["x"]), &bytes(&private["y"])].concat();
    Signed {
        key: PublicKey::from_p256(&point).unwrap(),
        challenge: bytes(&approval["challenge"]).try_into().unwrap(),
        client_data: bytes(&response["clientDataJSON"]),
        authenticator_data: bytes(&response["authenticatorData"]),
        signature: bytes(&response["signature"]),
    }
});

/// Each part behind its length.
fn parts(parts: [&[u8]; 3]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend((part.len() as u16).to_be_bytes());
        out.extend(part);
    }
    out
}

fn split(data: &[u8]) -> Option<[&[u8]; 3]> {
    let mut rest = data;
    let mut next = || {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        let (part, behind) = behind.split_at_checked(u16::from_be_bytes(*len).into())?;
        rest = behind;
        Some(part)
    };
    let parts = [next()?, next()?, next()?];
    rest.is_empty().then_some(parts)
}

/// Client data: what is read as its challenge is what any reader of JSON finds there.
pub(crate) fn passkey_client_data(data: &[u8]) -> Verdict {
    let Ok(challenge) = challenge_in(data) else {
        return Verdict::Refused;
    };
    let read: Value = serde_json::from_slice(data).unwrap();
    assert_eq!(bytes(&read["challenge"]), challenge);
    assert!(read["type"].is_string() && read["origin"].is_string());
    Verdict::Accepted
}

/// An attestation object, behind client data that is right: what is accepted has its key
/// and its id in it, for this site.
pub(crate) fn passkey_attestation(data: &[u8]) -> Verdict {
    let client_data = format!(
        r#"{{"type":"webauthn.create","challenge":"{}","origin":"http://localhost"}}"#,
        procura_types::encoding::b64url(&[7; 32])
    );
    let made = verify_registration(&party(), &[7; 32], client_data.as_bytes(), data);
    let Ok(made) = made else {
        return Verdict::Refused;
    };
    assert!((16..=1023).contains(&made.credential_id.len()));
    assert!(!made.asserted.backed_up || made.asserted.backup_eligible);
    let holds = |part: &[u8]| data.windows(part.len()).any(|found| found == part);
    let (x, y) = made.key.as_bytes()[1..].split_at(32);
    assert!(holds(x) && holds(y) && holds(&made.credential_id));
    assert!(holds(&sha256(b"localhost")));
    // Cut anywhere, or with anything behind, it is none.
    let longer = [data, &[0]].concat();
    for other in [&data[..data.len() - 1], &longer] {
        let again = verify_registration(&party(), &[7; 32], client_data.as_bytes(), other);
        assert!(again.is_err());
    }
    Verdict::Accepted
}

/// An assertion of the passkey that was recorded: nothing is accepted but what it signed.
pub(crate) fn passkey_assertion(data: &[u8]) -> Verdict {
    let Some([client_data, authenticator_data, signature]) = split(data) else {
        return Verdict::Refused;
    };
    let assertion = Assertion {
        authenticator_data,
        client_data,
        signature,
    };
    let found = verify_assertion(&party(), &SIGNED.challenge, &SIGNED.key, &assertion);
    if found.is_err() {
        return Verdict::Refused;
    }
    assert_eq!(client_data, SIGNED.client_data);
    assert_eq!(authenticator_data, SIGNED.authenticator_data);
    Verdict::Accepted
}

/// Inputs by target, name and whether they are accepted.
pub(crate) fn seeds() -> Vec<(&'static str, String, bool, Vec<u8>)> {
    let mut seeds = Vec::new();
    for case in RECORDED["ceremonies"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap().replace(' ', "-");
        let fine = case["refused"].is_null();
        let made = &case["registration"]["credential"]["response"];
        let object = bytes(&made["attestationObject"]);
        seeds.push(("passkey_attestation", name.clone(), fine, object));
        let client = bytes(&made["clientDataJSON"]);
        seeds.push(("passkey_client_data", name, true, client));
    }
    let Signed {
        client_data,
        authenticator_data,
        signature,
        ..
    } = &*SIGNED;
    let whole = parts([client_data, authenticator_data, signature]);
    let swapped = parts([authenticator_data, client_data, signature]);
    let mut counted = authenticator_data.clone();
    *counted.last_mut().unwrap() ^= 1;
    let counted = parts([client_data, &counted, signature]);
    seeds.push(("passkey_assertion", "approval".to_owned(), true, whole));
    seeds.push(("passkey_assertion", "swapped".to_owned(), false, swapped));
    seeds.push(("passkey_assertion", "counter".to_owned(), false, counted));
    let cut = client_data[..client_data.len() - 1].to_vec();
    seeds.push(("passkey_client_data", "cut".to_owned(), false, cut));
    let text = String::from_utf8(client_data.clone()).unwrap();
    let twice = text.replace("\"type\"", "\"challenge\":\"\",\"type\"");
    seeds.push((
        "passkey_client_data",
        "twice".to_owned(),
        false,
        twice.into(),
    ));
    seeds
}
