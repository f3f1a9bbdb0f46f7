//! Sessions of agents of other systems: who they belong to, and when they end.

use crate::fixture::{Counting, NOW, Roots};
use procura_proof::agent_session::{AgentKeyKind, AgentKeyMark, AgentSession, issue};
use procura_proof::session::{IssueError, RENEWAL_LIFE, SESSION_LIFE};
use procura_proof::{Case, Refusal};
use procura_types::encoding::{b64url, from_b64url};
use procura_types::{Duration, ForeignId, Thumbprint};

const ONE: Thumbprint = Thumbprint::from_bytes([1; 32]);
const TWO: Thumbprint = Thumbprint::from_bytes([2; 32]);
/// Keys that all differ, two of each kind.
const MARKS: [AgentKeyMark<'static>; 7] = [
    AgentKeyMark::Device(&ONE),
    AgentKeyMark::Device(&TWO),
    AgentKeyMark::File {
        key: &ONE,
        file: b"inode 1",
    },
    AgentKeyMark::File {
        key: &ONE,
        file: b"inode 2",
    },
    AgentKeyMark::File {
        key: &TWO,
        file: b"inode 1",
    },
    AgentKeyMark::Secret { era: 0 },
    AgentKeyMark::Secret { era: 1 },
];

fn id(text: &str) -> ForeignId {
    text.parse().unwrap()
}

fn case(result: Result<(), Refusal>) -> Option<Case> {
    result.err().map(|refusal| refusal.case)
}

#[test]
fn a_session_is_of_one_agent_and_one_key() {
    let (roots, entropy) = (Roots::new(3, 7), Counting::default());
    for mark in &MARKS {
        let issued = issue(roots.as_ref(), &id("scribe"), mark, NOW, NOW, &entropy).unwrap();
        assert_eq!(issued.expires, NOW.plus(SESSION_LIFE));
        let session = AgentSession::open(roots.as_ref(), &issued.session_id).unwrap();
        assert_eq!(session.first_issue(), NOW);
        let kind = session.key_kind().unwrap();
        match mark {
            AgentKeyMark::Device(_) => assert_eq!(kind, AgentKeyKind::Device),
            AgentKeyMark::File { .. } => assert_eq!(kind, AgentKeyKind::File),
            AgentKeyMark::Secret { .. } => assert_eq!(kind, AgentKeyKind::Secret),
        }
        for other in &MARKS {
            assert_eq!(
                session.is_of(&id("scribe"), other),
                other == mark,
                "{mark:?} {other:?}"
            );
        }
        assert!(!session.is_of(&id("clerk"), mark));
        let end = NOW.plus(SESSION_LIFE);
        assert_eq!(
            case(session.check_end(end.minus(Duration::from_millis(1)))),
            None
        );
        assert_eq!(case(session.check_end(end)), Some(Case::SessionOver));
    }
}

#[test]
fn going_on_ends_twelve_hours_after_the_first() {
    let (roots, entropy) = (Roots::new(3, 7), Counting::default());
    let agent = id("scribe");
    let on = |now| issue(roots.as_ref(), &agent, &MARKS[0], now, NOW, &entropy);
    let last = NOW.plus(RENEWAL_LIFE);
    let nearly = last.minus(Duration::from_secs(1));
    assert_eq!(on(nearly).unwrap().expires, last);
    assert!(matches!(on(last), Err(IssueError::RenewalOver)));
}

#[test]
fn what_is_none_of_ours_is_no_session() {
    let (roots, entropy) = (Roots::new(3, 7), Counting::default());
    let issued = issue(roots.as_ref(), &id("scribe"), &MARKS[0], NOW, NOW, &entropy).unwrap();
    let open = |roots: &Roots, id: &str| {
        AgentSession::open(roots, id)
            .map(|_| ())
            .map_err(|refusal| refusal.case)
    };
    let foreign = Err(Case::SessionForeign);
    let raw = from_b64url("id", &issued.session_id).unwrap();
    for at in 0..raw.len() {
        let mut changed = raw.clone();
        changed[at] ^= 1;
        assert_eq!(open(&roots, &b64url(&changed)), foreign, "{at}");
        assert_eq!(open(&roots, &b64url(&raw[..at])), foreign, "{at}");
    }
    let longer = [raw.as_slice(), &[0]].concat();
    for garbled in ["", "x", "é", &b64url(&longer), &"A".repeat(512)] {
        assert_eq!(open(&roots, garbled), foreign, "{garbled}");
    }
    assert_eq!(open(&Roots::new(3, 8), &issued.session_id), foreign);
    assert_eq!(open(&Roots::new(4, 7), &issued.session_id), foreign);
    assert_eq!(open(&roots, &issued.session_id), Ok(()));
    // Sealed: nobody can say.
    *roots.0.lock().unwrap() = None;
    assert_eq!(open(&roots, &issued.session_id), foreign);
    let none = issue(roots.as_ref(), &id("scribe"), &MARKS[0], NOW, NOW, &entropy);
    assert!(matches!(none, Err(IssueError::Sealed)));
}
