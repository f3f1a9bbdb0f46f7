//! Keys, people and a directory that are the same in every run, so that what a
//! corpus holds stays signed.

use procura_crypto::{LockedKey, MacKey, SigningKey, sha256};
use procura_directory::{ActorKind, ActorRecord, Change, DeviceRecord, Snapshot};
use procura_proof::session::{self, Issued, Subject, audience_key};
use procura_proof::{Limits, MemoryGuard, SessionKeys, Verifier, Windows};
use procura_types::{
    ActorId, Alg, Clock, Entropy, EntropyError, InstallationId, Secret, Timestamp,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const AUDIENCE: &str = "procura";
pub(crate) const INSTALLATION: InstallationId = InstallationId::from_bytes([7; 16]);
pub(crate) const OWNER: ActorId = ActorId::from_bytes([1; 32]);
pub(crate) const AGENT: ActorId = ActorId::from_bytes([2; 32]);
const SEQ: u64 = 40;
const EPOCH: u32 = 7;

/// Randomness that is the same in every run.
pub(crate) struct Counting(AtomicU64);

impl Counting {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(32) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&sha256(&next.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

/// A clock that stands.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// One root of sessions.
pub(crate) struct Roots(Arc<LockedKey>);

impl SessionKeys for Roots {
    fn accepts(&self, epoch: u32) -> bool {
        epoch == EPOCH
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        (epoch == EPOCH).then(|| audience_key(&self.0, audience))
    }
    fn current(&self) -> Option<u32> {
        Some(EPOCH)
    }
}

/// A key of this algorithm that everybody knows.
pub(crate) fn key(alg: Alg, byte: u8) -> SigningKey {
    SigningKey::from_secret_bytes(&[&[alg.byte()][..], &[byte; 32]].concat()).unwrap()
}

/// An owner with a P-256 device, its agent with an Ed25519 one, and a session.
pub(crate) struct World {
    pub(crate) directory: Snapshot,
    pub(crate) owner: SigningKey,
    pub(crate) agent: SigningKey,
    pub(crate) roots: Arc<Roots>,
    pub(crate) session: Issued,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (owner, agent) = (key(Alg::P256, 3), key(Alg::Ed25519, 4));
    let actor = |id, kind| {
        Change::Actor(ActorRecord {
            id,
            kind,
            owner: OWNER,
            created: NOW,
            revoked: None,
            sources: Vec::new(),
            display_name: None,
        })
    };
    let device = |key: &SigningKey, actor| {
        Change::Device(DeviceRecord {
            thumbprint: key.public().thumbprint(),
            actor,
            key: key.public().clone(),
            created: NOW,
            revoked: None,
        })
    };
    let directory = Snapshot::default().apply(
        SEQ,
        [
            actor(
                OWNER,
                ActorKind::Owner {
                    name: "alice".parse().unwrap(),
                    alg: Alg::P256,
                    root_key: owner.public().clone(),
                },
            ),
            actor(
                AGENT,
                ActorKind::Agent {
                    parent: OWNER,
                    namespace: "lab".parse().unwrap(),
                    label: "scribe".parse().unwrap(),
                    incarnation: 1,
                },
            ),
            device(&owner, OWNER),
            device(&agent, AGENT),
        ],
    );
    let root = LockedKey::new(Secret::new([9; 32])).unwrap();
    let roots = Arc::new(Roots(Arc::new(root)));
    let session = issue(&roots, &agent, AUDIENCE);
    World {
        directory,
        owner,
        agent,
        roots,
        session,
    }
});

fn issue(roots: &Arc<Roots>, device: &SigningKey, audience: &str) -> Issued {
    let subject = Subject {
        actor: AGENT,
        device: device.public().thumbprint(),
    };
    let keys = roots.as_ref();
    session::issue(keys, &subject, audience, NOW, NOW, SEQ, &Counting::new()).unwrap()
}

impl World {
    /// A verifier that has seen nothing yet.
    pub(crate) fn verifier(&self) -> Verifier {
        let key = MacKey::from_bytes(&[5; 32]).unwrap();
        let guard = Arc::new(MemoryGuard::new(key, Limits::default(), Windows::NATIVE));
        Verifier::new(AUDIENCE, guard, Arc::clone(&self.roots) as _).unwrap()
    }

    /// The same subject's session for another verifier.
    pub(crate) fn foreign_session(&self) -> Issued {
        issue(&self.roots, &self.agent, "elsewhere")
    }
}

/// A directory for one run; in memory where the system has such a place, since
/// what is under test may sync.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
