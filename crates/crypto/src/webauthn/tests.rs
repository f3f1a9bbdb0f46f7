//! Every check of both ceremonies, each by what fails it alone.

use super::*;
use crate::{SigningKey, SystemEntropy};

const ORIGIN: &str = "https://procura.example";
const CHALLENGE: [u8; 32] = [7; 32];

fn party() -> RelyingParty {
    RelyingParty::of_origin(ORIGIN).unwrap()
}

fn passkey() -> SoftwarePasskey {
    SoftwarePasskey::generate(ORIGIN, "procura.example", &SystemEntropy).unwrap()
}

fn register(made: &Made) -> Result<Registered, Flaw> {
    verify_registration(
        &party(),
        &CHALLENGE,
        &made.client_data,
        &made.attestation_object,
    )
}

fn check(passkey: &SoftwarePasskey, answered: &Answered) -> Result<Asserted, Flaw> {
    let assertion = Assertion {
        authenticator_data: &answered.authenticator_data,
        client_data: &answered.client_data,
        signature: &answered.signature,
    };
    verify_assertion(&party(), &CHALLENGE, passkey.key.public(), &assertion)
}

/// Answers with this client data and authenticator data, signed all right.
fn signed(client_data: &str, authenticator_data: Vec<u8>) -> Result<Asserted, Flaw> {
    let passkey = passkey();
    let answered = passkey
        .sign(client_data.as_bytes().to_vec(), authenticator_data)
        .unwrap();
    check(&passkey, &answered)
}

fn data(flags: u8) -> Vec<u8> {
    let mut data = sha256(b"procura.example").to_vec();
    data.push(flags);
    data.extend(9u32.to_be_bytes());
    data
}

fn client(ceremony: &str, challenge: &str, origin: &str, more: &str) -> String {
    format!(r#"{{"type":"{ceremony}","challenge":"{challenge}","origin":"{origin}"{more}}}"#)
}

fn good_client() -> String {
    let challenge = procura_types::encoding::b64url(&CHALLENGE);
    client("webauthn.get", &challenge, ORIGIN, "")
}

#[test]
fn what_is_right_is_accepted() {
    let mut passkey = passkey();
    let made = passkey.make(&CHALLENGE);
    let registered = register(&made).unwrap();
    assert_eq!(registered.credential_id, passkey.credential_id);
    assert_eq!(&registered.key, passkey.key.public());
    assert_eq!(registered.asserted.counter, 1);
    assert_eq!(challenge_in(&made.client_data), Ok(CHALLENGE));
    for flags in [0x05, 0x0d, 0x1d, 0x27] {
        passkey.flags = flags;
        let answered = passkey.answer(&CHALLENGE).unwrap();
        let asserted = check(&passkey, &answered).unwrap();
        assert_eq!(asserted.counter, passkey.counter);
        assert_eq!(asserted.backup_eligible, flags & 0x08 != 0);
        assert_eq!(asserted.backed_up, flags & 0x10 != 0);
    }
    // Members that come later, in whatever order, and extensions of the authenticator.
    let more = r#","other_keys_can_be_added_here":"do not compare","crossOrigin":false"#;
    let challenge = procura_types::encoding::b64url(&CHALLENGE);
    let client = client("webauthn.get", &challenge, ORIGIN, more);
    assert!(signed(&client, data(0x05)).is_ok());
    let mut extended = data(0x85);
    extended.extend([0xa1, 0x63, b'u', b'v', b'm', 0x81, 0x01]);
    assert!(signed(&good_client(), extended).is_ok());
}

#[test]
fn client_data_has_to_be_of_this_ceremony_challenge_and_site() {
    let challenge = procura_types::encoding::b64url(&CHALLENGE);
    let other = procura_types::encoding::b64url(&[8; 32]);
    let get = "webauthn.get";
    let good = good_client();
    let cases = [
        (
            client("webauthn.create", &challenge, ORIGIN, ""),
            Flaw::WrongType,
        ),
        (
            client("payment.get", &challenge, ORIGIN, ""),
            Flaw::WrongType,
        ),
        (client(get, &other, ORIGIN, ""), Flaw::WrongChallenge),
        (client(get, "", ORIGIN, ""), Flaw::WrongChallenge),
        (
            client(get, &format!("{challenge}="), ORIGIN, ""),
            Flaw::WrongChallenge,
        ),
        (
            client(get, &challenge, "https://procura.example.evil", ""),
            Flaw::WrongOrigin,
        ),
        (
            client(get, &challenge, "http://procura.example", ""),
            Flaw::WrongOrigin,
        ),
        (
            client(get, &challenge, "https://procura.example:8443", ""),
            Flaw::WrongOrigin,
        ),
        (
            client(get, &challenge, ORIGIN, r#","crossOrigin":true"#),
            Flaw::CrossOrigin,
        ),
        (
            client(
                get,
                &challenge,
                ORIGIN,
                r#","topOrigin":"https://evil.example""#,
            ),
            Flaw::CrossOrigin,
        ),
        (
            client(get, &challenge, ORIGIN, r#","crossOrigin":"no""#),
            Flaw::Malformed,
        ),
        (
            client(
                get,
                &challenge,
                ORIGIN,
                r#","origin":"https://procura.example""#,
            ),
            Flaw::Malformed,
        ),
        (format!("\u{feff}{good}"), Flaw::Malformed),
        (format!("{good} x"), Flaw::Malformed),
        (
            format!(r#"["{get}","{challenge}","{ORIGIN}"]"#),
            Flaw::Malformed,
        ),
        ("{}".to_owned(), Flaw::Malformed),
        (String::new(), Flaw::Malformed),
        (
            client(
                get,
                &challenge,
                ORIGIN,
                &format!(r#","x":"{}""#, "y".repeat(LONGEST)),
            ),
            Flaw::Malformed,
        ),
    ];
    for (client, flaw) in cases {
        assert_eq!(signed(&client, data(0x05)), Err(flaw), "{client:.200}");
    }
    // What is no text, in a member that nobody reads.
    let mut bytes = client(get, &challenge, ORIGIN, r#","x":"?""#).into_bytes();
    let place = bytes.iter().rposition(|byte| *byte == b'?').unwrap();
    bytes[place] = 0xff;
    let passkey = passkey();
    let answered = passkey.sign(bytes, data(0x05)).unwrap();
    assert_eq!(check(&passkey, &answered), Err(Flaw::Malformed));
}

#[test]
fn authenticator_data_has_to_be_of_a_present_and_verified_person_here() {
    let mut elsewhere = data(0x05);
    elsewhere[..32].copy_from_slice(&sha256(b"evil.example"));
    let mut longer = data(0x05);
    longer.push(0);
    let mut no_map = data(0x85);
    no_map.push(0x01);
    let mut two_maps = data(0x85);
    two_maps.extend([0xa0, 0xa0]);
    let cases = [
        (elsewhere, Flaw::WrongRelyingParty),
        (data(0x04), Flaw::NotPresent),
        (data(0x01), Flaw::NotVerified),
        (data(0x15), Flaw::BackupFlags),
        (data(0x05)[..36].to_vec(), Flaw::Malformed),
        (data(0x45), Flaw::Malformed),
        (data(0x85), Flaw::Malformed),
        (longer, Flaw::Malformed),
        (no_map, Flaw::Malformed),
        (two_maps, Flaw::Malformed),
        (Vec::new(), Flaw::Malformed),
    ];
    for (data, flaw) in cases {
        let shown = format!("{data:02x?}");
        assert_eq!(signed(&good_client(), data), Err(flaw), "{shown}");
    }
}

#[test]
fn the_signature_is_the_passkeys_over_both_parts() {
    let mut passkey = passkey();
    let answered = passkey.answer(&CHALLENGE).unwrap();
    let bad = |change: &dyn Fn(&mut Answered)| {
        let mut changed = answered.clone();
        change(&mut changed);
        assert_eq!(check(&passkey, &changed), Err(Flaw::BadSignature));
    };
    bad(&|answered| answered.signature.clear());
    bad(&|answered| *answered.signature.last_mut().unwrap() ^= 1);
    bad(&|answered| answered.signature.push(0));
    // The counter, and a space in the client data, are signed too.
    bad(&|answered| answered.authenticator_data[36] ^= 1);
    bad(&|answered| answered.client_data.insert(1, b' '));
    // The form of our own signatures is not that of passkeys.
    let message = [
        &answered.authenticator_data[..],
        &sha256(&answered.client_data),
    ]
    .concat();
    let fixed = passkey.key.sign(&message).unwrap();
    bad(&|answered| answered.signature.clone_from(&fixed));
    let other = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let assertion = Assertion {
        authenticator_data: &answered.authenticator_data,
        client_data: &answered.client_data,
        signature: &answered.signature,
    };
    let found = verify_assertion(&party(), &CHALLENGE, other.public(), &assertion);
    assert_eq!(found, Err(Flaw::BadSignature));
}

#[test]
fn a_new_passkey_has_a_key_of_the_one_kind_in_the_one_form() {
    let passkey = passkey();
    let good = passkey.cose_key();
    let with = |at: usize, byte: u8| {
        let mut key = good.clone();
        key[at] = byte;
        key
    };
    // RSA: kty 3, alg -257, n and e.
    let rsa = [
        &[0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x58, 0x20][..],
        &[1; 32],
        &[0x21, 0x43, 1, 0, 1],
    ]
    .concat();
    // Ed25519: kty 1, alg -8, crv 6, x.
    let ed25519 = [
        &[0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20][..],
        &[1; 32],
    ]
    .concat();
    let mut one_more = good.clone();
    one_more[0] = 0xa6;
    one_more.extend([0x04, 0x41, 0x00]);
    let mut doubled = good.clone();
    doubled[0] = 0xa6;
    doubled.extend([0x03, 0x26]);
    let mut off_curve = good.clone();
    off_curve[20] ^= 1;
    // y as a sign, as compressed points have it.
    let mut compressed = good[..42].to_vec();
    compressed.extend([0x22, 0xf5]);
    // 2 in two bytes where one is enough.
    let long = [&good[..2], &[0x18, 0x02], &good[3..]].concat();
    let cases = [
        (rsa, Flaw::Algorithm),
        (ed25519, Flaw::Algorithm),
        (with(4, 0x28), Flaw::Algorithm),
        (with(2, 0x01), Flaw::BadKey),
        (with(6, 0x02), Flaw::BadKey),
        (one_more, Flaw::BadKey),
        (off_curve, Flaw::BadKey),
        (compressed, Flaw::BadKey),
        (doubled, Flaw::Malformed),
        (long, Flaw::Malformed),
        (good[..good.len() - 1].to_vec(), Flaw::Malformed),
        ([&good[..], &[0]].concat(), Flaw::Malformed),
        (vec![0xa0], Flaw::Algorithm),
        (vec![0x80], Flaw::Malformed),
    ];
    for (key, flaw) in cases {
        let mut made = passkey.make(&CHALLENGE);
        made.attestation_object = SoftwarePasskey::object(&passkey.attested(&key));
        assert_eq!(register(&made), Err(flaw), "{key:02x?}");
    }
}

#[test]
fn a_new_passkey_has_an_id_of_some_length() {
    for (len, is_fine) in [
        (0, false),
        (15, false),
        (16, true),
        (1023, true),
        (1024, false),
    ] {
        let mut passkey = passkey();
        passkey.credential_id = vec![3; len];
        let found = register(&passkey.make(&CHALLENGE)).map(|made| made.credential_id.len());
        let expected = if is_fine {
            Ok(len)
        } else {
            Err(Flaw::CredentialId)
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_registration_passes_the_checks_of_an_assertion_too() {
    let made_with = |change: &dyn Fn(&mut SoftwarePasskey)| {
        let mut passkey = passkey();
        change(&mut passkey);
        register(&passkey.make(&CHALLENGE))
    };
    type Change = Box<dyn Fn(&mut SoftwarePasskey)>;
    let cases: [(Change, Flaw); 6] = [
        (Box::new(|one| one.flags = 0x04), Flaw::NotPresent),
        (Box::new(|one| one.flags = 0x01), Flaw::NotVerified),
        (Box::new(|one| one.flags = 0x15), Flaw::BackupFlags),
        (
            Box::new(|one| one.rp_id = "evil.example".to_owned()),
            Flaw::WrongRelyingParty,
        ),
        (
            Box::new(|one| one.origin = "https://evil.example".to_owned()),
            Flaw::WrongOrigin,
        ),
        // It says that extensions follow, and none do.
        (Box::new(|one| one.flags = 0x85), Flaw::Malformed),
    ];
    for (change, flaw) in cases {
        assert_eq!(made_with(&change), Err(flaw));
    }
    let passkey = passkey();
    let mut made = passkey.make(&CHALLENGE);
    made.client_data = passkey.client_data("webauthn.get", &CHALLENGE);
    assert_eq!(register(&made), Err(Flaw::WrongType));
    let later = passkey.make(&[8; 32]);
    assert_eq!(register(&later), Err(Flaw::WrongChallenge));
}

#[test]
fn an_attestation_object_is_a_map_of_three() {
    let passkey = passkey();
    let good = passkey.make(&CHALLENGE).attestation_object;
    let object = |bytes: Vec<u8>| {
        let mut made = passkey.make(&CHALLENGE);
        made.attestation_object = bytes;
        register(&made).map(|_| ())
    };
    assert_eq!(object(good.clone()), Ok(()));
    // A statement of another format is passed over, whatever it says.
    let mut packed = good[..5].to_vec();
    packed.push(0x66);
    packed.extend(b"packed");
    packed.push(0x67);
    packed.extend(b"attStmt");
    packed.extend([
        0xa2, 0x63, b'a', b'l', b'g', 0x26, 0x63, b's', b'i', b'g', 0x42, 1, 2,
    ]);
    packed.extend(&good[19..]);
    assert_eq!(object(packed), Ok(()));
    let mut doubled = good.clone();
    doubled[0] = 0xa4;
    doubled.extend([0x63, b'f', b'm', b't', 0x60]);
    let mut unknown = good.clone();
    unknown[0] = 0xa4;
    unknown.extend([0x61, b'x', 0xf6]);
    let mut deep = good[..18].to_vec();
    deep.extend([0xa1, 0x61, b'x']);
    deep.extend([0x81; 40]);
    let mut indefinite = good.clone();
    indefinite[0] = 0xbf;
    let bad = [
        Vec::new(),
        vec![0xa0],
        vec![0xf6],
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        doubled,
        unknown,
        deep,
        indefinite,
        vec![0xa3; LONGEST + 1],
        // A map that says to have 2^64 - 1 pairs.
        [&[0xbb][..], &[0xff; 8]].concat(),
    ];
    for bytes in bad {
        let shown = format!("{bytes:02x?}");
        assert_eq!(object(bytes), Err(Flaw::Malformed), "{shown:.200}");
    }
}

/// What a browser that was not written here says, with authenticators of different kinds.
const CHROMIUM: &str = include_str!("../../../../spec/vectors/passkey/passkey_chromium.json");

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    procura_types::encoding::from_b64url("value", value.as_str().unwrap()).unwrap()
}

#[test]
fn what_a_browser_recorded_is_accepted_or_refused_for_its_reason() {
    let vectors: serde_json::Value = serde_json::from_str(CHROMIUM).unwrap();
    let party = RelyingParty::of_origin(vectors["origin"].as_str().unwrap()).unwrap();
    assert_eq!(party.id(), vectors["relying_party"].as_str().unwrap());
    let later = RelyingParty::of_id(party.id());
    let challenge = |ceremony: &serde_json::Value| -> [u8; 32] {
        bytes(&ceremony["challenge"]).try_into().unwrap()
    };
    let (mut accepted, mut refused) = (0, 0);
    for case in vectors["ceremonies"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let made = &case["registration"];
        let response = &made["credential"]["response"];
        let (client_data, object) = (
            bytes(&response["clientDataJSON"]),
            bytes(&response["attestationObject"]),
        );
        assert_eq!(challenge_in(&client_data), Ok(challenge(made)), "{name}");
        let found = verify_registration(&party, &challenge(made), &client_data, &object);
        if let Some(flaw) = case["refused"].as_str() {
            assert_eq!(found.unwrap_err().as_str(), flaw, "{name}");
            refused += 1;
            continue;
        }
        let registered = found.unwrap();
        let id = bytes(&made["credential"]["id"]);
        assert_eq!(registered.credential_id, id, "{name}");
        let synced = name == "synced passkey";
        assert_eq!(registered.asserted.backup_eligible, synced, "{name}");
        let asked = &case["assertion"];
        let response = &asked["credential"]["response"];
        let assertion = Assertion {
            authenticator_data: &bytes(&response["authenticatorData"]),
            client_data: &bytes(&response["clientDataJSON"]),
            signature: &bytes(&response["signature"]),
        };
        for party in [&party, &later] {
            let asserted =
                verify_assertion(party, &challenge(asked), &registered.key, &assertion).unwrap();
            assert!(asserted.counter > registered.asserted.counter, "{name}");
            assert_eq!(asserted.backed_up, synced, "{name}");
        }
        accepted += 1;
    }
    assert_eq!((accepted, refused), (3, 2));
}
