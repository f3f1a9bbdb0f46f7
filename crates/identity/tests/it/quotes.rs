//! Quotes of a TPM whose keys the test holds: every refusal by its exact word.

use crate::attestations::{Process, Release};
use crate::world::{Actor, World, namespace, p256};
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_directory::{AttestationOver, BaselineRecord};
use procura_identity::{
    AttestChallenge, AttestationRefusal, BaselineRemove, BaselineSet, IdentityError,
};
use procura_proof::attestation_message;
use procura_tpm::{AttestationKey, EndorsementKey};
use procura_types::wire::{AttestationChallenge, AttestationGiven, TpmKeys, TpmQuote, ValueB64};
use procura_types::{AttestationId, ExeDigest, Grade};

/// A chip in the test's own memory: what it says can be wrong.
struct Chip {
    ek: SigningKey,
    ak: SigningKey,
    resets: u32,
    clock: u64,
    registers: [u8; 32],
    pcrs: Vec<u8>,
}

/// What of a quote is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Magic,
    Kind,
    Extra,
    Signature,
    OtherKey,
    Cut,
}

impl Chip {
    fn new() -> Self {
        Self {
            ek: p256(),
            ak: p256(),
            resets: 3,
            clock: 1_000,
            registers: [5; 32],
            pcrs: vec![0, 2, 4, 7],
        }
    }

    fn keys(&self) -> TpmKeys {
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            [&length, bytes].concat()
        };
        let point = |key: &SigningKey| {
            let (x, y) = key.public().as_bytes()[1..].split_at(32);
            [sized(x), sized(y)].concat()
        };
        let policy = procura_types::encoding::from_hex_fixed::<32>(
            "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa",
        )
        .unwrap();
        let ek = [
            &[0, 0x23, 0, 0x0B, 0, 3, 0, 0xB2][..],
            &sized(&policy),
            &[0, 6, 0, 128, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10],
            &point(&self.ek),
        ]
        .concat();
        let ak = [
            &[0, 0x23, 0, 0x0B, 0, 5, 4, 0x72, 0, 0][..],
            &[0, 0x10, 0, 0x18, 0, 0x0B, 0, 3, 0, 0x10],
            &point(&self.ak),
        ]
        .concat();
        TpmKeys { ek, ak }
    }

    fn attest(&self, message: &[u8], wrong: Wrong) -> Vec<u8> {
        let mut out = match wrong {
            Wrong::Magic => vec![0xFF, 0x54, 0x43, 0x48],
            _ => vec![0xFF, 0x54, 0x43, 0x47],
        };
        out.extend(match wrong {
            Wrong::Kind => [0x80, 0x17],
            _ => [0x80, 0x18],
        });
        // Some qualified signer.
        out.extend([0, 2, 9, 9]);
        let extra = match wrong {
            Wrong::Extra => sha256(b"another statement"),
            _ => sha256(message),
        };
        out.extend([0, 32]);
        out.extend(extra);
        out.extend(self.clock.to_be_bytes());
        out.extend(self.resets.to_be_bytes());
        out.extend([0, 0, 0, 0, 1]);
        out.extend([0; 8]);
        out.extend([0, 0, 0, 1, 0, 0x0B, 3]);
        let bits = self.pcrs.iter().fold(0u32, |bits, pcr| bits | 1 << pcr);
        out.extend(&bits.to_le_bytes()[..3]);
        out.extend([0, 32]);
        out.extend(self.registers);
        if wrong == Wrong::Cut {
            out.pop();
        }
        out
    }

    fn quote(&self, message: &[u8], wrong: Wrong) -> TpmQuote {
        let quoted = self.attest(message, wrong);
        let stranger = p256();
        let key = match wrong {
            Wrong::OtherKey => &stranger,
            _ => &self.ak,
        };
        let mut signed = key.sign(&quoted).unwrap();
        if wrong == Wrong::Signature {
            signed[0] ^= 1;
        }
        let (r, s) = signed.split_at(32);
        let signature = [&[0, 0x18, 0, 0x0B, 0, 32][..], r, &[0, 32], s].concat();
        TpmQuote {
            keys: self.keys(),
            quoted,
            signature,
            activated: None,
        }
    }
}

async fn challenge(process: &Process<'_>, chip: &Chip) -> AttestationChallenge {
    let world = process.world;
    let caller = world.caller(process.agent);
    let op = AttestChallenge::resolve(&world.snapshot(), &caller, Some(chip.keys())).unwrap();
    let given = world.act(process.agent, op, |batch| {
        AttestChallenge::run(batch, world.now(), &SystemEntropy)
    });
    given.await.unwrap()
}

async fn attest(
    process: &Process<'_>,
    chip: &Chip,
    wrong: Wrong,
) -> Result<AttestationGiven, AttestationRefusal> {
    let challenge = challenge(process, chip).await;
    let mut put = process.signed(process.statement(&challenge.nonce));
    let server = &process.world.server;
    let message = attestation_message(server, &put.statement, process.key.public());
    put.quote = Some(chip.quote(&message, wrong));
    process.send(put).await
}

/// Accepts the chip as an admin does once its keys were shown to be in it, which takes a
/// real chip.
async fn accept(world: &World, agent: &Actor, chip: &Chip) {
    let keys = chip.keys();
    let record = BaselineRecord {
        device: agent.device(),
        ek_sha256: ExeDigest::from_bytes(EndorsementKey::read(&keys.ek).unwrap().sha256()),
        ak_sha256: ExeDigest::from_bytes(AttestationKey::read(&keys.ak).unwrap().sha256()),
        pcrs: chip.pcrs.clone(),
        pcr_digest: ExeDigest::from_bytes(chip.registers),
        since: world.now(),
        by: world.alice.id,
        removed: None,
    };
    let caller = world.caller(agent);
    let carrier = AttestChallenge::resolve(&world.snapshot(), &caller, None).unwrap();
    world
        .act(agent, carrier, |batch| {
            batch.put_baseline(&record);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_quote_by_the_accepted_chip_of_a_host_that_started_so_is_the_best_grade() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let chip = Chip::new();
    accept(&world, &scribe, &chip).await;
    // Each grade holds what the one before it says.
    let given = attest(&process, &chip, Wrong::Nothing).await.unwrap();
    assert_eq!(given.grade, Grade::SelfReported);
    let release = Release::enrol(&world, "release").await;
    release.add(&world, process.exe, "0.5.0").await;
    let given = attest(&process, &chip, Wrong::Nothing).await.unwrap();
    assert_eq!((given.grade, given.lacks), (Grade::Quoted, None));
    let snapshot = world.snapshot();
    assert_eq!(snapshot.attested(&given.id, world.now()), Ok(Grade::Quoted));
    let seen = snapshot
        .attestation(&given.id)
        .unwrap()
        .quote
        .clone()
        .unwrap();
    assert_eq!(
        (seen.clock, seen.reset_count, seen.pcrs),
        (1_000, 3, vec![0, 2, 4, 7])
    );
    // What it rests on goes.
    let now = world.now();
    let remove = BaselineRemove::resolve(&snapshot, &namespace("shop"), &scribe.device());
    world
        .act(&world.alice, remove.unwrap(), |batch| {
            BaselineRemove::run(batch, now)
        })
        .await
        .unwrap();
    let over = world.snapshot().attested(&given.id, now);
    assert_eq!(over, Err(AttestationOver::Baseline));
}

#[tokio::test]
async fn a_quote_that_does_not_hold_is_refused_for_its_reason() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let mut chip = Chip::new();
    accept(&world, &scribe, &chip).await;
    for (wrong, reason) in [
        (Wrong::Magic, AttestationRefusal::BadQuote),
        (Wrong::Kind, AttestationRefusal::BadQuote),
        (Wrong::Cut, AttestationRefusal::BadQuote),
        (Wrong::Signature, AttestationRefusal::BadQuote),
        (Wrong::OtherKey, AttestationRefusal::BadQuote),
        (Wrong::Extra, AttestationRefusal::StaleQuote),
    ] {
        let refused = attest(&process, &chip, wrong).await;
        assert_eq!(refused.unwrap_err(), reason);
    }
    attest(&process, &chip, Wrong::Nothing).await.unwrap();
    // Something else was started, or other registers are shown.
    chip.registers = [6; 32];
    let refused = attest(&process, &chip, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::WrongPcr);
    chip.registers = [5; 32];
    chip.pcrs = vec![0, 2, 4];
    let refused = attest(&process, &chip, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::WrongPcr);
    chip.pcrs = vec![0, 2, 4, 7];
    // The chip was put back: its clock, and its starts.
    chip.clock = 999;
    let refused = attest(&process, &chip, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::StaleQuote);
    (chip.clock, chip.resets) = (5_000, 2);
    let refused = attest(&process, &chip, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::StaleQuote);
    // Started once more its clock begins anew.
    (chip.clock, chip.resets) = (1, 4);
    attest(&process, &chip, Wrong::Nothing).await.unwrap();
    // Another chip, and another key of the same chip.
    let other = Chip::new();
    let refused = attest(&process, &other, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::WrongAk);
    chip.ak = p256();
    let refused = attest(&process, &chip, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::WrongAk);
}

#[tokio::test]
async fn keys_that_nobody_accepted_have_to_show_that_they_are_in_one_chip() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let chip = Chip::new();
    let not = AttestationRefusal::NotActivated;
    let refused = attest(&process, &chip, Wrong::Nothing).await;
    assert_eq!(refused.unwrap_err(), not);
    // A guess, and a challenge that was not asked for with these keys.
    for (asks, guess) in [(&chip, Some([0; 32])), (&Chip::new(), None)] {
        let challenge = challenge(&process, asks).await;
        assert!(challenge.credential.is_some());
        assert_eq!(challenge.pcrs, [0, 2, 4, 7]);
        let mut put = process.signed(process.statement(&challenge.nonce));
        let message = attestation_message(&world.server, &put.statement, process.key.public());
        let mut quote = chip.quote(&message, Wrong::Nothing);
        quote.activated = guess.map(|guess: [u8; 32]| ValueB64::encode(&guess));
        put.quote = Some(quote);
        assert_eq!(process.send(put).await.unwrap_err(), not);
    }
    let nonce = process.nonce().await;
    let mut put = process.signed(process.statement(&nonce));
    let message = attestation_message(&world.server, &put.statement, process.key.public());
    put.quote = Some(chip.quote(&message, Wrong::Nothing));
    assert_eq!(process.send(put).await.unwrap_err(), not);
}

#[tokio::test]
async fn a_baseline_is_what_was_looked_at() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let chip = Chip::new();
    accept(&world, &scribe, &chip).await;
    let given = attest(&process, &chip, Wrong::Nothing).await.unwrap();
    let now = world.now();
    let set = async |attestation: AttestationId, digest: [u8; 32]| {
        let digest = ExeDigest::from_bytes(digest);
        let (shop, device) = (namespace("shop"), scribe.device());
        let op = BaselineSet::resolve(&world.snapshot(), &shop, &device, attestation, digest);
        world
            .act(&world.alice, op.unwrap(), |batch| {
                BaselineSet::run(batch, now)
            })
            .await
            .map_err(crate::world::Failure::domain)
    };
    let other = set(given.id, [6; 32]).await.unwrap_err();
    assert!(matches!(other, IdentityError::OtherQuote), "{other:?}");
    let none = AttestationId::from_bytes([1; 16]);
    let none = set(none, [5; 32]).await.unwrap_err();
    assert!(matches!(none, IdentityError::NoAttestation), "{none:?}");
    let baseline = set(given.id, [5; 32]).await.unwrap();
    assert_eq!(baseline.by, world.alice.id);
    // Of a device of another namespace, and of an operator, there is none here.
    let digest = ExeDigest::from_bytes([5; 32]);
    for (place, device) in [("bank", scribe.device()), ("shop", world.alice.device())] {
        let op = BaselineSet::resolve(
            &world.snapshot(),
            &namespace(place),
            &device,
            given.id,
            digest,
        );
        assert!(op.is_none(), "{place}");
    }
}
