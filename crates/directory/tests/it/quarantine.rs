//! What quarantine says of what was done before a person ended it.

use crate::records::{actor_id, thumbprint, time};
use procura_directory::{Change, QuarantineRecord, Snapshot, Suspect};

#[test]
fn a_person_answers_for_what_was_done_up_to_the_state_that_they_saw() {
    let suspects = [
        Suspect::Device(thumbprint(1)),
        Suspect::Foreign("mole.7".parse().unwrap()),
    ];
    for suspect in &suspects {
        let quarantine = |lifted: Option<u64>| {
            Change::Quarantine(QuarantineRecord {
                suspect: suspect.clone(),
                actor: actor_id(3),
                since: time(11),
                by: None,
                canary: None,
                lifted,
                lifted_at: lifted.map(|_| time(12)),
            })
        };
        let never = Snapshot::default();
        let held = never.apply(4, [quarantine(None)]);
        let out = held.apply(6, [quarantine(Some(5))]);
        let again = out.apply(8, [quarantine(None)]);
        for seq in [0, 3, 4, 5, 6, 7] {
            assert!(!never.was_let_out_since(suspect, seq), "{seq}");
            assert!(!held.was_let_out_since(suspect, seq), "{seq}");
            assert_eq!(out.was_let_out_since(suspect, seq), seq <= 5, "{seq}");
            assert!(!again.was_let_out_since(suspect, seq), "{seq}");
        }
    }
    // Each stands for itself.
    let [one, other] = &suspects;
    let record = QuarantineRecord {
        suspect: one.clone(),
        actor: actor_id(3),
        since: time(11),
        by: None,
        canary: None,
        lifted: Some(5),
        lifted_at: Some(time(12)),
    };
    let snapshot = Snapshot::default().apply(6, [Change::Quarantine(record)]);
    assert!(snapshot.was_let_out_since(one, 5));
    assert!(!snapshot.was_let_out_since(other, 5));
}
