//! What is let in, and as whom.

use crate::fixture::{AGENT, NOW, OWNER, PEER, Request, SEQ, World};
use procura_proof::sign::{Draft, Signer};
use procura_proof::{Caller, Case, Profile};
use procura_types::{Duration, Timestamp};

#[test]
fn a_device_with_either_kind_of_key() {
    let world = World::new();
    for request in [Request::get(), Request::put()] {
        let caller = world.verify(&world.sign(&request)).unwrap();
        assert_eq!((caller.actor(), caller.owner()), (&AGENT, &OWNER));
        assert_eq!(caller.device(), Some(&world.device()));
        assert_eq!(caller.profile(), Profile::Native);
        assert_eq!(caller.session(), None);
        assert_eq!(caller.peer(), Some(PEER));
        assert_eq!(caller.directory_seq(), SEQ);
        assert_eq!(caller.created(), NOW);

        let signed = world.sign_with(&request, Signer::Device(&world.p256), NOW);
        let caller = world.verify(&signed).unwrap();
        assert_eq!((caller.actor(), caller.owner()), (&OWNER, &OWNER));
    }
}

#[test]
fn the_nonce_is_told_to_the_caller() {
    let world = World::new();
    let signed = world.sign(&Request::get());
    let caller = world.verify(&signed).unwrap();
    let nonce = caller.nonce().unwrap();
    assert!(
        signed
            .header("signature-input")
            .contains(&format!(";nonce=\"{nonce}\";"))
    );
}

#[test]
fn a_key_that_somebody_else_holds() {
    let world = World::new();
    let request = Request::put();
    let draft =
        Draft::for_device(&request.view(), world.ed25519.public(), NOW, &world.entropy).unwrap();
    let signature = world.ed25519.sign(draft.message()).unwrap();
    let mut signed = request.clone();
    for (name, value) in draft.finish(&signature).headers {
        signed.headers.push((name.to_owned(), value.into_bytes()));
    }
    assert!(world.verify(&signed).is_ok());
}

#[test]
fn the_window_is_from_60_s_ago_to_15_s_ahead() {
    let world = World::new();
    let signed_at = |offset: i64| {
        let made = Timestamp::from_secs(NOW.as_secs().saturating_add_signed(offset));
        world
            .verify(&world.sign_at(&Request::get(), made))
            .map(|_| ())
            .map_err(|no| no.case)
    };
    assert_eq!(signed_at(-61), Err(Case::TooOld));
    assert_eq!(signed_at(-60), Ok(()));
    assert_eq!(signed_at(15), Ok(()));
    assert_eq!(signed_at(16), Err(Case::TooNew));
}

#[test]
fn more_may_be_covered_in_any_order_and_other_signatures_may_stand_beside() {
    let world = World::new();
    let request = Request {
        scheme: Some("http"),
        ..Request::get()
    };
    let signed = world.sign(&request);
    // Another order, more components, odd spelling: signed by hand.
    let rest = signed
        .header("signature-input")
        .split_once(')')
        .unwrap()
        .1
        .to_owned();
    let list = "(  \"@query\"   \"accept\" \"@path\" \"@scheme\" \"@target-uri\" \"@request-target\" \
                \"@query-param\";name=\"version\" \"@method\" \"@authority\" \"accept\";bs )";
    let canonical = list.split_whitespace().collect::<Vec<_>>().join(" ");
    let canonical = canonical.replace("( ", "(").replace(" )", ")");
    let base = format!(
        "\"@query\": ?version=3\n\"accept\": application/json\n\
         \"@path\": /v1/namespaces/lab/secrets/api\n\"@scheme\": http\n\
         \"@target-uri\": http://127.0.0.1:7310/v1/namespaces/lab/secrets/api?version=3\n\
         \"@request-target\": /v1/namespaces/lab/secrets/api?version=3\n\
         \"@query-param\";name=\"version\": 3\n\"@method\": GET\n\"@authority\": 127.0.0.1:7310\n\
         \"accept\";bs: :YXBwbGljYXRpb24vanNvbg==:\n\"@signature-params\": {canonical}{rest}"
    );
    let signature = world.ed25519.sign(base.as_bytes()).unwrap();
    let mut out = String::new();
    let _ = sfv::ItemSerializer::with_buffer(&mut out)
        .bare_item(&signature[..])
        .finish();
    let by_hand = request
        .clone()
        .with(
            "signature-input",
            "proxy=(\"@method\");created=1;keyid=\"p\";tag=\"other\"",
        )
        .with("signature", "proxy=:AAAA:")
        .with("signature-input", &format!(" x={list}{rest}"))
        .with("signature", &format!("x={out}"));
    let caller = world.verify(&by_hand).unwrap();
    assert_eq!(caller.actor(), &AGENT);
}

#[test]
fn an_absent_query_and_an_empty_one_are_signed_alike() {
    let world = World::new();
    let mut request = Request {
        query: None,
        ..Request::get()
    };
    let signed = world.sign(&request);
    request = signed.clone();
    request.query = Some(String::new());
    // RFC 9421 §2.2.7: both are `?`. They are the same to the server as well.
    assert!(world.verify(&request).is_ok());
}

#[test]
fn authority_case_and_default_port_do_not_matter() {
    let world = World::new();
    let request = Request {
        authority: "Example.com:443".into(),
        scheme: Some("https"),
        ..Request::get()
    };
    let mut signed = world.sign(&request);
    signed.authority = "example.COM".to_owned();
    assert!(world.verify(&signed).is_ok());
}

#[test]
fn an_expiry_of_the_signers_own_is_kept() {
    let world = World::new();
    let signed = world.sign(&Request::get());
    let base_changes = signed.input(";tag=", ";expires=1800000010;tag=");
    // Not the bytes that were signed, and not late: so the signature is looked at.
    assert_eq!(
        world.verify(&base_changes).unwrap_err().case,
        Case::SignatureRefused
    );
    let late = NOW.plus(Duration::from_secs(11));
    assert_eq!(
        world.verify_at(&base_changes, late).unwrap_err().case,
        Case::SignatureExpired
    );
}

#[test]
fn the_admin_socket_serves_its_own_user_and_root() {
    for uid in [0, 1000] {
        let caller = Caller::admin_socket(uid, 1000, NOW).unwrap();
        assert_eq!(caller.profile(), Profile::AdminSocket);
        assert_eq!((caller.device(), caller.peer()), (None, None));
    }
    let (root, own) = (
        Caller::admin_socket(0, 1000, NOW).unwrap(),
        Caller::admin_socket(1000, 1000, NOW),
    );
    assert_ne!(root.actor(), own.unwrap().actor());
    assert_eq!(
        Caller::admin_socket(1001, 1000, NOW).unwrap_err().case,
        Case::ForeignUser
    );
}
