//! Grant bytes: their exact layout, and that nothing else is read as such.

use crate::fixture::Log;
use procura_ledger::{GrantTerms, LedgerError, grant_bytes, receipt_message};
use procura_types::wire::GrantItem;
use procura_types::{ActorId, Delivery, FieldTuple, GrantId, InstallationId, Timestamp};

fn item(name: &str, path: &str) -> GrantItem {
    GrantItem {
        name: name.parse().unwrap(),
        path: path.parse().unwrap(),
    }
}

fn terms() -> GrantTerms {
    GrantTerms {
        installation: InstallationId::from_bytes([1; 16]),
        grant: GrantId::from_bytes([2; 16]),
        agent: ActorId::from_bytes([3; 32]),
        from: Timestamp::from_millis(4),
        until: Timestamp::from_millis(5),
        items: vec![item("B", "b/key"), item("A", "a/key")],
        ..Log::new().terms()
    }
}

fn tuple() -> FieldTuple {
    FieldTuple::new("procura.grant.v1")
        .bytes(&[1; 16])
        .bytes(&[2; 16])
        .text("shop")
        .bytes(&[3; 32])
        .text("web")
        .text("env")
        .u64(4)
        .u64(5)
}

#[test]
fn layout() {
    let expected = tuple()
        .u32(2)
        .text("A")
        .text("a/key")
        .text("B")
        .text("b/key");
    let bytes = grant_bytes(&terms());
    assert_eq!(bytes, expected.as_bytes());
    let message = FieldTuple::new("procura.receipt.v1").bytes(&bytes);
    assert_eq!(receipt_message(&bytes), message.as_bytes());
}

#[test]
fn they_come_back_sorted() {
    let mut sorted = terms();
    sorted.items.sort();
    assert_eq!(GrantTerms::parse(&grant_bytes(&terms())).unwrap(), sorted);
    let none = GrantTerms {
        items: Vec::new(),
        ..terms()
    };
    assert_eq!(GrantTerms::parse(&grant_bytes(&none)).unwrap(), none);
    let http = GrantTerms {
        delivery: Delivery::Http,
        ..none.clone()
    };
    assert_ne!(grant_bytes(&http), grant_bytes(&none));
    assert_eq!(GrantTerms::parse(&grant_bytes(&http)).unwrap(), http);
}

#[test]
fn anything_else_is_refused() {
    let good = grant_bytes(&terms());
    for cut in 0..good.len() {
        let error = GrantTerms::parse(&good[..cut]).unwrap_err();
        assert!(matches!(
            error,
            LedgerError::Malformed {
                what: "grant bytes",
                ..
            }
        ));
    }
    let head = |domain| {
        FieldTuple::new(domain)
            .bytes(&[1; 16])
            .bytes(&[2; 16])
            .text("shop")
            .bytes(&[3; 32])
            .text("web")
    };
    let ends = "end too early";
    for (bytes, why) in [
        (
            head("procura.grant.v2").text("env").into_bytes(),
            "are not in the domain procura.grant.v1",
        ),
        (head("procura.grant.v1").text("env").into_bytes(), ends),
        (
            head("procura.grant.v1").text("mail").into_bytes(),
            "name a delivery that is not known",
        ),
        (tuple().u32(1).into_bytes(), ends),
        (tuple().u32(u32::MAX).text("A").into_bytes(), ends),
        (
            tuple().u64(0).into_bytes(),
            "have a field of the wrong length",
        ),
        (
            tuple().u32(0).text("A").into_bytes(),
            "have bytes left over",
        ),
        (
            tuple().u32(1).text("a b").text("x").into_bytes(),
            "have a name that is not valid",
        ),
        (
            tuple().u32(1).bytes(&[0xff]).text("x").into_bytes(),
            "have a field that is not UTF-8",
        ),
        (
            tuple()
                .u32(2)
                .text("B")
                .text("x")
                .text("A")
                .text("x")
                .into_bytes(),
            "have items that do not ascend by name",
        ),
        (
            tuple()
                .u32(2)
                .text("A")
                .text("x")
                .text("A")
                .text("y")
                .into_bytes(),
            "have items that do not ascend by name",
        ),
        (
            head("procura.grant.v1")
                .text("env")
                .u64(u64::MAX)
                .u64(0)
                .u32(0)
                .into_bytes(),
            "have a time after the year 9999",
        ),
    ] {
        match GrantTerms::parse(&bytes) {
            Err(LedgerError::Malformed { problem, .. }) => assert_eq!(problem, why),
            other => panic!("{other:?}"),
        }
    }
}
