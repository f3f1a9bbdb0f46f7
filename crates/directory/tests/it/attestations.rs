//! Whether an attestation counts: each thing that it rests on, taken away alone, and which
//! is said first where several are gone.

use crate::records::{KEY, actor_id, thumbprint, time};
use procura_directory::{
    AttestationOver, AttestationRecord, BaselineRecord, Change, ReleaseKeyRecord, ReleaseRecord,
    Snapshot,
};
use procura_types::wire::QuoteSeen;
use procura_types::{AttestationId, ExeDigest, Grade};

const ID: AttestationId = AttestationId::from_bytes([7; 16]);

fn digest(byte: u8) -> ExeDigest {
    ExeDigest::from_bytes([byte; 32])
}

/// All that an attestation of the best grade rests on.
#[derive(Clone)]
struct Parts {
    record: AttestationRecord,
    key: ReleaseKeyRecord,
    release: ReleaseRecord,
    baseline: Option<BaselineRecord>,
}

impl Parts {
    fn new() -> Self {
        let seen = QuoteSeen {
            ek_sha256: digest(2),
            ak_sha256: digest(3),
            pcrs: vec![0, 7],
            pcr_digest: digest(4),
            clock: 1,
            reset_count: 1,
            restart_count: 0,
        };
        Self {
            baseline: Some(BaselineRecord {
                device: thumbprint(1),
                ek_sha256: seen.ek_sha256,
                ak_sha256: seen.ak_sha256,
                pcrs: seen.pcrs.clone(),
                pcr_digest: seen.pcr_digest,
                since: time(1),
                by: actor_id(1),
                removed: None,
            }),
            record: AttestationRecord {
                id: ID,
                device: thumbprint(1),
                actor: actor_id(3),
                key: KEY.clone(),
                exe_sha256: digest(1),
                version: "1.2.3".parse().unwrap(),
                target: "x86_64-linux".parse().unwrap(),
                pid: 1,
                boot_id: "boot".parse().unwrap(),
                grade: Grade::Quoted,
                quote: Some(seen),
                made: time(10),
                renewed: time(10),
                until: time(20),
                revoked: None,
            },
            key: ReleaseKeyRecord {
                name: "release.example.com".to_owned(),
                key: KEY.clone(),
                added: time(1),
                by: actor_id(1),
                removed: None,
            },
            release: ReleaseRecord {
                sha256: digest(1),
                version: "1.2.3".parse().unwrap(),
                target: "x86_64-linux".parse().unwrap(),
                key: KEY.thumbprint(),
                added: time(1),
                withdrawn: None,
            },
        }
    }

    fn directory(&self) -> Snapshot {
        let mut changes = vec![
            Change::Attestation(self.record.clone()),
            Change::ReleaseKey(self.key.clone()),
            Change::Release(self.release.clone()),
        ];
        changes.extend(self.baseline.clone().map(Change::Baseline));
        Snapshot::default().apply(1, changes)
    }

    fn counts(&self, now: u64) -> Result<Grade, AttestationOver> {
        self.directory().attested(&ID, time(now))
    }
}

#[test]
fn an_attestation_counts_until_it_is_over() {
    let parts = Parts::new();
    for now in [0, 10, 19] {
        assert_eq!(parts.counts(now), Ok(Grade::Quoted), "{now}");
    }
    // At its end to the millisecond, and never after.
    for now in [20, 21, 1000] {
        assert_eq!(parts.counts(now), Err(AttestationOver::Expired), "{now}");
    }
    let nothing = Snapshot::default();
    assert_eq!(
        nothing.attested(&ID, time(10)),
        Err(AttestationOver::Unknown)
    );
}

#[test]
fn whatever_it_rests_on_ends_it_for_its_own_reason() {
    type Apply = fn(&mut Parts);
    use AttestationOver::{Baseline, Expired, Revoked, Withdrawn};
    let cases: [(&str, Apply, AttestationOver); 12] = [
        ("revoked", |p| p.record.revoked = Some(time(12)), Revoked),
        ("not renewed", |p| p.record.until = time(15), Expired),
        (
            "withdrawn",
            |p| p.release.withdrawn = Some(time(12)),
            Withdrawn,
        ),
        (
            "the key removed",
            |p| p.key.removed = Some(time(12)),
            Withdrawn,
        ),
        (
            "another key's",
            |p| p.release.key = thumbprint(9),
            Withdrawn,
        ),
        (
            "another program's",
            |p| p.release.sha256 = digest(9),
            Withdrawn,
        ),
        ("no baseline", |p| p.baseline = None, Baseline),
        (
            "the baseline removed",
            |p| p.baseline.as_mut().unwrap().removed = Some(time(12)),
            Baseline,
        ),
        (
            "the baseline of another device",
            |p| p.baseline.as_mut().unwrap().device = thumbprint(2),
            Baseline,
        ),
        (
            "another chip",
            |p| p.baseline.as_mut().unwrap().ek_sha256 = digest(9),
            Baseline,
        ),
        (
            "other registers",
            |p| p.baseline.as_mut().unwrap().pcrs = vec![0],
            Baseline,
        ),
        ("no quote", |p| p.record.quote = None, Baseline),
    ];
    for (name, apply, over) in cases {
        let mut parts = Parts::new();
        apply(&mut parts);
        assert_eq!(parts.counts(15), Err(over), "{name}");
    }
}

#[test]
fn the_first_reason_is_said() {
    use AttestationOver::{Baseline, Expired, Revoked, Withdrawn};
    let mut parts = Parts::new();
    parts.baseline = None;
    assert_eq!(parts.counts(25), Err(Expired));
    parts.record.until = time(30);
    assert_eq!(parts.counts(25), Err(Baseline));
    parts.key.removed = Some(time(12));
    assert_eq!(parts.counts(25), Err(Withdrawn));
    parts.record.until = time(20);
    assert_eq!(parts.counts(25), Err(Expired));
    parts.record.revoked = Some(time(12));
    assert_eq!(parts.counts(25), Err(Revoked));
}

#[test]
fn each_grade_rests_on_what_it_says_and_no_more() {
    use AttestationOver::Withdrawn;
    let mut parts = Parts::new();
    parts.baseline = None;
    parts.record.grade = Grade::SignedRelease;
    assert_eq!(parts.counts(15), Ok(Grade::SignedRelease));
    parts.key.removed = Some(time(12));
    assert_eq!(parts.counts(15), Err(Withdrawn));
    parts.record.grade = Grade::SelfReported;
    assert_eq!(parts.counts(15), Ok(Grade::SelfReported));
    // A program that was withdrawn is none that may say of itself what it is.
    parts.release.withdrawn = Some(time(12));
    assert_eq!(parts.counts(15), Err(Withdrawn));
}

#[test]
fn what_is_forgotten_is_unknown_and_gone_from_its_device() {
    let parts = Parts::new();
    let other = AttestationRecord {
        id: AttestationId::from_bytes([8; 16]),
        ..parts.record.clone()
    };
    let snapshot = parts.directory().apply(2, [Change::Attestation(other)]);
    let of = |snapshot: &Snapshot| -> Vec<AttestationId> {
        let device = thumbprint(1);
        let records = snapshot.attestations_of(&device);
        records.map(|record| record.id).collect()
    };
    assert_eq!(of(&snapshot).len(), 2);
    let after = snapshot.apply(3, [Change::AttestationGone(ID)]);
    assert_eq!(of(&after), [AttestationId::from_bytes([8; 16])]);
    assert_eq!(after.attested(&ID, time(15)), Err(AttestationOver::Unknown));
    // What was read before is as it was.
    assert_eq!(snapshot.attested(&ID, time(15)), Ok(Grade::Quoted));
}
