//! That a daemon goes on attesting: days of it, in a time that the test has in its hand.

use super::{Attestor, FIRST_PAUSE, Process, keep_attested};
use crate::device::DeviceState;
use crate::member::Member;
use crate::{Answer, Attesting, Connect, Device, Membership, Server, ServerAt};
use procura_client::{AskedGrant, ClientError, Look};
use procura_crypto::{PublicKey, SigningKey, SystemEntropy};
use procura_proof::attestation_id;
use procura_types::wire::{
    AttestationAsk, AttestationChallenge, AttestationGiven, AttestationPut, ConsistencyAnswer,
    JoinAnswer, RequestState, RunAnswer, RunRequest,
};
use procura_types::{
    ActorId, AttestationId, Clock, DisplayName, Grade, InstallationId, LinkCodeText, Namespace,
    ProjectName, RequestId, RunId, Timestamp,
};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

const BEGIN: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that goes with the time that the runtime sleeps by.
struct Going(Instant);

impl Clock for Going {
    fn now(&self) -> Timestamp {
        BEGIN.plus(self.0.elapsed())
    }
}

/// What became of the attempts.
#[derive(Default)]
struct Kept {
    /// When each statement came, and under which id it was taken.
    taken: Vec<(Duration, AttestationId)>,
    /// When somebody asked who was not answered.
    missed: Vec<Duration>,
    challenges: u8,
    /// How many sessions were given up for another.
    anew: usize,
    /// Since when and until when nobody answers.
    away: Option<(Duration, Duration)>,
}

/// A server that takes attestations for a day, and knows a process again by its key, as
/// the real one does.
#[derive(Clone)]
struct Fake {
    began: Instant,
    kept: Arc<Mutex<Kept>>,
}

fn unreachable<'a, T: 'a>() -> Answer<'a, T> {
    Box::pin(async {
        Err(ClientError::Unreachable {
            advice: None,
            address: "http://127.0.0.1:1".to_owned(),
            cause: "nobody is there".to_owned(),
        })
    })
}

impl Fake {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            kept: Arc::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(Going(self.began))
    }

    /// A device of this host that has joined there.
    fn member(&self) -> Arc<Member> {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let membership = Membership {
            lineage: "alice//scribe".to_owned(),
            label: "scribe".parse().unwrap(),
            namespace: "shop".parse().unwrap(),
            owner: ActorId::from_bytes([3; 32]),
            server_key: key.public().to_jwk(),
            ledger_vkey: String::new(),
            seen: None,
            revoked: None,
        };
        let device = Device {
            key: Arc::new(key),
            uid: 0,
            created: BEGIN,
            actor: ActorId::from_bytes([1; 32]),
            installation: InstallationId::from_bytes([2; 16]),
            url: "http://127.0.0.1:1".to_owned(),
            ca_pem: None,
            state: DeviceState::Joined(Box::new(membership)),
        };
        let process = Process::new(&SystemEntropy, None).unwrap();
        let attestor = Attestor::new(Arc::new(process), self.clock());
        Arc::new(Member::new(device, self, attestor).unwrap())
    }
}

impl Connect for Fake {
    fn join<'a>(&'a self, _: &'a LinkCodeText, _: &'a Device) -> Answer<'a, JoinAnswer> {
        unreachable()
    }

    fn ask_device_grant<'a>(
        &'a self,
        _: &'a ServerAt,
        _: &'a DisplayName,
        _: &'a SigningKey,
    ) -> Answer<'a, AskedGrant> {
        unreachable()
    }

    fn collect_device_grant<'a>(
        &'a self,
        _: &'a ServerAt,
        _: &'a AskedGrant,
        _: &'a SigningKey,
    ) -> Answer<'a, Look> {
        unreachable()
    }

    fn server(&self, _: &Device) -> Result<Arc<dyn Server>, ClientError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Server for Fake {
    fn start_run<'a>(
        &'a self,
        _: &'a Namespace,
        _: &'a ProjectName,
        _: &'a RunRequest,
    ) -> Answer<'a, RunAnswer> {
        unreachable()
    }

    fn end_run<'a>(&'a self, _: &'a Namespace, _: &'a ProjectName, _: RunId) -> Answer<'a, ()> {
        unreachable()
    }

    fn request_state<'a>(&'a self, _: &'a Namespace, _: RequestId) -> Answer<'a, RequestState> {
        unreachable()
    }

    fn session(&self) -> Answer<'_, u64> {
        unreachable()
    }

    fn checkpoint(&self) -> Answer<'_, Vec<u8>> {
        unreachable()
    }

    fn handovers(&self) -> Answer<'_, Vec<String>> {
        unreachable()
    }

    fn attesting(&self) -> Option<&dyn Attesting> {
        Some(self)
    }

    fn consistency(&self, _: u64, _: u64) -> Answer<'_, ConsistencyAnswer> {
        unreachable()
    }
}

impl Attesting for Fake {
    fn attestation_challenge<'a>(
        &'a self,
        _: &'a AttestationAsk,
    ) -> Answer<'a, AttestationChallenge> {
        let now = self.began.elapsed();
        let mut kept = self.kept();
        if kept
            .away
            .is_some_and(|(from, until)| (from..until).contains(&now))
        {
            kept.missed.push(now);
            return unreachable();
        }
        kept.challenges += 1;
        let challenge = AttestationChallenge {
            nonce: kept.challenges.to_string(),
            expires: self.clock().now().plus(HOUR),
            pcrs: Vec::new(),
            credential: None,
        };
        Box::pin(async move { Ok(challenge) })
    }

    fn attest<'a>(&'a self, put: &'a AttestationPut) -> Answer<'a, AttestationGiven> {
        let mut kept = self.kept();
        let statement = &put.statement;
        // For this attempt, and said now.
        assert_eq!(statement.nonce, kept.challenges.to_string());
        assert_eq!(statement.time, self.clock().now());
        let key = PublicKey::from_jwk(&statement.key).unwrap();
        let id = attestation_id(&statement.device, &key);
        kept.taken.push((self.began.elapsed(), id));
        let given = AttestationGiven {
            id,
            grade: Grade::SelfReported,
            until: self.clock().now().plus(DAY),
            lacks: None,
        };
        Box::pin(async move { Ok(given) })
    }

    fn begin_anew(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        self.kept().anew += 1;
        Box::pin(async {})
    }
}

/// Lets the daemon attest for so long, which it does not end by itself.
async fn keep_for(member: &Arc<Member>, time: Duration) {
    let keeping = keep_attested(Arc::downgrade(member));
    let ended = tokio::time::timeout(time, keeping).await;
    assert!(ended.is_err(), "it attests as long as the device is there");
}

/// The one id of this process and this device.
fn id_of(member: &Member) -> AttestationId {
    let key = member.attestor.process.key.public();
    attestation_id(&member.device.thumbprint(), key)
}

fn hours(times: impl Iterator<Item = Duration>) -> Vec<u64> {
    times.map(|time| time.as_secs() / HOUR.as_secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_process_attests_again_under_the_same_id_long_before_its_day_is_over() {
    let server = Fake::start();
    let member = server.member();
    assert_eq!(member.attestor.summary().id, None);
    keep_for(&member, DAY * 3).await;
    let shown = member.attestor.summary();
    assert_eq!(shown.id, Some(id_of(&member)));
    assert_eq!(
        (shown.grade, shown.problem),
        (Some(Grade::SelfReported), None)
    );
    {
        let kept = server.kept();
        let times = kept.taken.iter().map(|(time, _)| *time);
        assert_eq!(hours(times), [0, 16, 32, 48, 64]);
        assert!(kept.taken.iter().all(|(_, id)| *id == id_of(&member)));
        // Each time the session that was open is given up: it shows the one before.
        assert_eq!(kept.anew, kept.taken.len());
    }
    // A device that is gone is not attested for.
    let gone = Arc::downgrade(&member);
    drop(member);
    keep_attested(gone).await;
    assert_eq!(server.kept().taken.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_renewed_at_once_counts_until_its_end_and_is_renewed_after() {
    let server = Fake::start();
    let member = server.member();
    // Away when it is to be renewed, and for half an hour beyond its end.
    let half = HOUR / 2;
    server.kept().away = Some((HOUR, DAY + half));
    keep_for(&member, HOUR * 20).await;
    let shown = member.attestor.summary();
    assert_eq!(shown.id, Some(id_of(&member)));
    assert!(shown.problem.unwrap().contains("nobody is there"));
    assert!(member.attestor.given().is_some());
    {
        let kept = server.kept();
        let first = kept.missed.first().unwrap();
        let second = kept.missed.get(1).unwrap();
        assert_eq!(hours([*first].into_iter()), [16]);
        // It is tried again soon, and then less and less often, but always again.
        assert!(*second - *first < FIRST_PAUSE * 2);
        let pauses = kept.missed.windows(2).filter_map(|two| match two {
            [one, next] => Some(*next - *one),
            _ => None,
        });
        let longest = pauses.max().unwrap();
        assert!(longest <= Duration::from_secs(10 * 60 + 1), "{longest:?}");
    }
    keep_for(&member, HOUR * 4 + half / 2).await;
    assert!(member.attestor.given().is_none(), "it is over");
    keep_for(&member, half).await;
    assert_eq!(member.attestor.given().unwrap().id, id_of(&member));
    assert_eq!(member.attestor.summary().problem, None);
    assert_eq!(server.kept().taken.len(), 2);
}
