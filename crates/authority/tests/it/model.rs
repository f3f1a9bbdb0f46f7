//! Whatever agents ask and people answer, a run gets its values exactly when one
//! grant that holds covers all of them.

use crate::flows::{Ran, Terms};
use crate::world::{Actor, World, shop};
use procura_authority::{AuthorityError, REQUEST_LIFE};
use procura_types::{Duration, GrantId, RequestId, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NAMES: [&str; 4] = ["A", "B", "C", "D"];
const AGENTS: [&str; 2] = ["one", "two"];

#[derive(Debug, Clone)]
enum Step {
    Run { agent: usize, names: u8 },
    Approve { pick: usize, names: u8, hours: u64 },
    Deny { pick: usize },
    Withdraw { pick: usize },
    Pass { hours: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..2, 1u8..16).prop_map(|(agent, names)| Step::Run { agent, names }),
        4 => (any::<usize>(), 0u8..16, 1u64..60)
            .prop_map(|(pick, names, hours)| Step::Approve { pick, names, hours }),
        1 => any::<usize>().prop_map(|pick| Step::Deny { pick }),
        2 => any::<usize>().prop_map(|pick| Step::Withdraw { pick }),
        2 => (1u64..30).prop_map(|hours| Step::Pass { hours }),
    ]
}

fn names(bits: u8) -> BTreeSet<&'static str> {
    NAMES
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0)
        .map(|(_, name)| *name)
        .collect()
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Approved,
    Denied,
}

struct Asked {
    id: RequestId,
    agent: usize,
    names: BTreeSet<&'static str>,
    expires: Timestamp,
    state: State,
}

struct Given {
    id: GrantId,
    agent: usize,
    names: BTreeSet<&'static str>,
    until: Timestamp,
    withdrawn: bool,
}

async fn play(steps: Vec<Step>) {
    let (world, _) = World::new().await;
    let mut agents: Vec<Actor> = Vec::new();
    for name in AGENTS {
        agents.push(world.agent(name, None).await);
    }
    for name in NAMES {
        world
            .put(&shop(), &format!("s/{name}"), name, Some(name))
            .await;
    }
    world.project("model", &AGENTS, &[]).await.unwrap();
    let mut asked: Vec<Asked> = Vec::new();
    let mut given: Vec<Given> = Vec::new();
    for step in steps {
        let now = world.now();
        match step {
            Step::Run { agent, names: bits } => {
                let wanted = names(bits);
                let list: Vec<&str> = wanted.iter().copied().collect();
                let ran = world.run(&agents[agent], "model", &list).await.unwrap();
                let covering: Vec<GrantId> = given
                    .iter()
                    .filter(|grant| {
                        grant.agent == agent
                            && !grant.withdrawn
                            && now < grant.until
                            && wanted.is_subset(&grant.names)
                    })
                    .map(|grant| grant.id)
                    .collect();
                match ran {
                    Ran::Values { grant, values, .. } => {
                        assert!(covering.contains(&grant));
                        let got: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
                        assert_eq!(got, list);
                    }
                    Ran::Pending(id) => {
                        assert!(covering.is_empty(), "a covering grant did not let it pass");
                        let waiting = asked.iter().find(|request| {
                            request.agent == agent
                                && request.names == wanted
                                && request.state == State::Waiting
                                && now < request.expires
                        });
                        match waiting {
                            Some(request) => assert_eq!(request.id, id),
                            None => {
                                assert!(asked.iter().all(|request| request.id != id));
                                let expires = now.plus(REQUEST_LIFE);
                                asked.push(Asked {
                                    id,
                                    agent,
                                    names: wanted,
                                    expires,
                                    state: State::Waiting,
                                });
                            }
                        }
                    }
                }
            }
            Step::Approve {
                pick,
                names: bits,
                hours: long,
            } => {
                let count = asked.len().max(1);
                let Some(request) = asked.get_mut(pick % count) else {
                    continue;
                };
                let chosen: BTreeSet<_> =
                    names(bits).intersection(&request.names).copied().collect();
                let until = now.plus(hours(long));
                let terms = Terms {
                    names: Some(chosen.iter().copied().collect()),
                    from: now,
                    until,
                };
                let answer = world.approve(&world.alice, request.id, &terms).await;
                match (request.state, now < request.expires) {
                    (State::Approved, _) => {
                        assert!(matches!(
                            answer.unwrap_err().domain(),
                            AuthorityError::AlreadyApproved
                        ));
                    }
                    (State::Denied, _) => {
                        assert!(matches!(
                            answer.unwrap_err().domain(),
                            AuthorityError::AlreadyDenied
                        ));
                    }
                    (State::Waiting, false) => {
                        assert!(matches!(
                            answer.unwrap_err().domain(),
                            AuthorityError::RequestExpired
                        ));
                    }
                    (State::Waiting, true) if chosen.is_empty() => {
                        assert!(matches!(
                            answer.unwrap_err().domain(),
                            AuthorityError::NothingApproved
                        ));
                    }
                    (State::Waiting, true) => {
                        let grant = answer.unwrap();
                        request.state = State::Approved;
                        given.push(Given {
                            id: grant.id,
                            agent: request.agent,
                            names: chosen,
                            until,
                            withdrawn: false,
                        });
                    }
                }
            }
            Step::Deny { pick } => {
                let count = asked.len().max(1);
                let Some(request) = asked.get_mut(pick % count) else {
                    continue;
                };
                let answer = world.deny(&world.alice, request.id).await;
                let fits = request.state == State::Waiting && now < request.expires;
                assert_eq!(answer.is_ok(), fits, "{answer:?}");
                if fits {
                    request.state = State::Denied;
                }
            }
            Step::Withdraw { pick } => {
                let count = given.len().max(1);
                let Some(grant) = given.get_mut(pick % count) else {
                    continue;
                };
                world.withdraw(grant.id).await.unwrap();
                grant.withdrawn = true;
            }
            Step::Pass { hours: long } => world.pass(hours(long)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn values_leave_exactly_under_a_grant_that_covers_them(steps in proptest::collection::vec(step(), 1..50)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}
