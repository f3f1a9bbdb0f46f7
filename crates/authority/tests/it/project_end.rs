//! A project that is deleted, or goes to other agents: what rested on it ends with it,
//! and nothing of it comes back with the name.

use crate::pruning::entries;
use crate::world::{Actor, Failure, World, label, project, shop};
use procura_authority::{
    AuthorityError, Ended, GrantRead, MAX_NAMES, ProjectDelete, ProjectDisplayName, ProjectRebind,
};
use procura_policy::DenyReason;
use procura_types::wire::{Project, RequestState};
use procura_types::{Duration, GrantId, Role};

async fn delete(world: &World, name: &str) -> Result<Ended, Failure> {
    let op = ProjectDelete {
        namespace: shop(),
        name: project(name),
    };
    world
        .act(&world.alice, op, |batch| {
            ProjectDelete::run(batch, world.now())
        })
        .await
}

async fn rebind(
    world: &World,
    name: &str,
    agents: &[&str],
    env: Option<&[(&str, &str)]>,
) -> Result<(Project, Ended), Failure> {
    let op = ProjectRebind {
        namespace: shop(),
        name: project(name),
        agents: agents.iter().map(|name| label(name)).collect(),
        env: env.map(|env| {
            let env = env.iter();
            env.map(|(name, path)| (name.parse().unwrap(), path.parse().unwrap()))
                .collect()
        }),
    };
    world
        .act(&world.alice, op, |batch| {
            ProjectRebind::run(batch, world.now())
        })
        .await
}

const WEB: &[(&str, &str)] = &[("DB_PASSWORD", "db/password"), ("API_KEY", "api/key")];

/// Whether a grant holds, by the record of it.
fn holds(world: &World, id: GrantId) -> bool {
    let op = GrantRead {
        namespace: shop(),
        id,
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let grant = GrantRead::run(&permit, &world.snapshot()).unwrap();
    grant.withdrawn.is_none()
}

/// What a run is told that has no grant for what it asks.
fn asks(ran: Result<crate::flows::Ran, Failure>) -> procura_types::RequestId {
    ran.unwrap().pending()
}

fn no_project(ran: Result<crate::flows::Ran, Failure>) {
    let error = ran.unwrap_err().domain();
    assert!(
        matches!(&error, AuthorityError::NoProject(name) if *name == project("web")),
        "{error}"
    );
}

#[tokio::test]
async fn deleting_ends_grants_and_requests_in_one_entry() {
    let (world, scribe) = World::new().await;
    let (grant, run) = granted_run(&world, &scribe).await;
    let waiting = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    world
        .project("other", &["scribe"], &[("MAIL", "mail/key")])
        .await
        .unwrap();
    let elsewhere = asks(world.run(&scribe, "other", &["MAIL"]).await);

    let ended = delete(&world, "web").await.unwrap();
    assert_eq!(
        (&ended.withdrawn[..], &ended.requests[..]),
        (&[grant][..], &[waiting][..])
    );
    assert!(!holds(&world, grant));
    assert_eq!(world.request(waiting).state, RequestState::Ended);
    assert_eq!(world.request(elsewhere).state, RequestState::Pending);
    no_project(world.run(&scribe, "web", &["DB_PASSWORD"]).await);
    let running = ended.with_running(world.store(), &shop()).unwrap().running;
    assert_eq!(
        running.iter().map(|child| child.run).collect::<Vec<_>>(),
        [run]
    );

    let said = entries(&world, "project.delete");
    let words = said[0].resource.as_deref().unwrap();
    assert_eq!(said.len(), 1);
    assert_eq!(
        words,
        format!("project/web grant/{grant} request/{waiting}")
    );
    // Nobody answers it any more, either way.
    let terms = world.terms();
    let error = world
        .approve(&world.alice, waiting, &terms)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::RequestEnded), "{error}");
    let error = world
        .deny(&world.alice, waiting)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::RequestEnded), "{error}");
    let error = delete(&world, "web").await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::NoProject(_)), "{error}");
}

/// A grant of `DB_PASSWORD`, and a run by it that has not ended.
async fn granted_run(world: &World, agent: &Actor) -> (GrantId, procura_types::RunId) {
    let request = asks(world.run(agent, "web", &["DB_PASSWORD"]).await);
    let grant = world
        .approve(&world.alice, request, &world.terms())
        .await
        .unwrap()
        .id;
    let run = world
        .run(agent, "web", &["DB_PASSWORD"])
        .await
        .unwrap()
        .run();
    (grant, run)
}

#[tokio::test]
async fn a_project_of_the_same_name_has_nothing_of_the_one_before() {
    let (world, scribe) = World::new().await;
    let (grant, _) = granted_run(&world, &scribe).await;
    let waiting = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    let op = ProjectDisplayName {
        namespace: shop(),
        name: project("web"),
        display_name: Some("The web".parse().unwrap()),
    };
    world
        .act(&world.alice, op, ProjectDisplayName::run)
        .await
        .unwrap();
    delete(&world, "web").await.unwrap();
    let again = world.project("web", &["scribe"], WEB).await.unwrap();
    assert_eq!(again.display_name, None);
    // The same agent, names and secrets: a new question, and nothing until its answer.
    assert!(!holds(&world, grant));
    let second = asks(world.run(&scribe, "web", &["DB_PASSWORD"]).await);
    assert_ne!(GrantId::from_bytes(*second.as_bytes()), grant);
    let third = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    assert_ne!(third, waiting);
    assert_eq!(world.request(waiting).state, RequestState::Ended);
    assert_eq!(world.request(third).state, RequestState::Pending);
}

#[tokio::test]
async fn a_rebind_takes_grants_from_who_leaves_and_gives_none_to_who_comes() {
    let (world, scribe) = World::new().await;
    let clerk = world.agent("clerk", None).await;
    let (grant, run) = granted_run(&world, &scribe).await;
    let waiting = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    let (after, ended) = rebind(&world, "web", &["clerk"], None).await.unwrap();
    assert_eq!((after.agents, after.env.len()), (vec![label("clerk")], 2));
    assert_eq!(
        (&ended.withdrawn[..], &ended.requests[..]),
        (&[grant][..], &[waiting][..])
    );
    let running = ended.with_running(world.store(), &shop()).unwrap().running;
    assert_eq!(running[0].run, run);
    no_project(world.run(&scribe, "web", &["DB_PASSWORD"]).await);
    // Who comes asks like anybody.
    let request = asks(world.run(&clerk, "web", &["DB_PASSWORD"]).await);
    world
        .approve(&world.alice, request, &world.terms())
        .await
        .unwrap();
    world
        .run(&clerk, "web", &["DB_PASSWORD"])
        .await
        .unwrap()
        .values();
    // Who comes back begins anew.
    let (_, ended) = rebind(&world, "web", &["clerk", "scribe"], None)
        .await
        .unwrap();
    assert_eq!(ended, Ended::default());
    asks(world.run(&scribe, "web", &["DB_PASSWORD"]).await);
    world
        .run(&clerk, "web", &["DB_PASSWORD"])
        .await
        .unwrap()
        .values();
    let said: Vec<_> = entries(&world, "project.rebind");
    let words = said[0].resource.as_deref().unwrap();
    assert_eq!(
        words,
        format!("project/web agent/clerk grant/{grant} request/{waiting}")
    );
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_covered_by_no_grant_of_before() {
    let (world, scribe) = World::new().await;
    let (grant, _) = granted_run(&world, &scribe).await;
    let waiting = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    let elsewhere: &[_] = &[("DB_PASSWORD", "mail/key"), ("API_KEY", "api/key")];
    let (_, ended) = rebind(&world, "web", &["scribe"], Some(elsewhere))
        .await
        .unwrap();
    // The question about the name that stays is still a good one; the agent stays too.
    assert_eq!(ended, Ended::default());
    assert!(holds(&world, grant));
    assert_eq!(world.request(waiting).state, RequestState::Pending);
    let remapped = asks(world.run(&scribe, "web", &["DB_PASSWORD"]).await);
    assert_eq!(world.request(remapped).items[0].path.as_str(), "mail/key");
    // A question about a name that moves ends, by a rebind as by a plain change.
    let (_, ended) = rebind(&world, "web", &["scribe"], Some(WEB)).await.unwrap();
    assert_eq!(ended.requests, [remapped]);
    assert_eq!(world.request(remapped).state, RequestState::Ended);
    world
        .run(&scribe, "web", &["DB_PASSWORD"])
        .await
        .unwrap()
        .values();
    world
        .project("web", &["scribe"], &[("API_KEY", "mail/key")])
        .await
        .unwrap();
    assert_eq!(world.request(waiting).state, RequestState::Ended);
    let said: Vec<_> = entries(&world, "project.write");
    let words = said.last().unwrap().resource.as_deref().unwrap();
    assert_eq!(words, format!("project/web request/{waiting}"));
}

#[tokio::test]
async fn an_agent_that_may_not_ask_any_more_has_no_question_left() {
    let (world, scribe) = World::new().await;
    world.agent("clerk", None).await;
    let waiting = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    world.project("web", &["clerk"], WEB).await.unwrap();
    assert_eq!(world.request(waiting).state, RequestState::Ended);
    let error = world
        .approve(&world.alice, waiting, &world.terms())
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::RequestEnded), "{error}");
    // Back again it may ask anew, and what ended stays so.
    world
        .project("web", &["clerk", "scribe"], WEB)
        .await
        .unwrap();
    let again = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    assert_ne!(again, waiting);
    assert_eq!(world.request(waiting).state, RequestState::Ended);
}

#[tokio::test]
async fn what_was_over_or_withdrawn_before_is_not_named_again() {
    let (world, scribe) = World::new().await;
    let (grant, _) = granted_run(&world, &scribe).await;
    let waiting = asks(world.run(&scribe, "web", &["API_KEY"]).await);
    world.pass(Duration::from_secs(2 * 24 * 60 * 60));
    assert_eq!(world.request(waiting).state, RequestState::Expired);
    let ended = delete(&world, "web").await.unwrap();
    assert_eq!(ended, Ended::default());
    assert!(!holds(&world, grant), "it is ended whatever the clock says");
}

/// A clock that goes back brings no grant back that was over when its project ended.
#[tokio::test]
async fn a_clock_that_goes_back_revives_nothing_of_a_project_that_ended() {
    let days = Duration::from_secs(2 * 24 * 60 * 60);
    for rebound in [false, true] {
        let (world, scribe) = World::new().await;
        world.agent("clerk", None).await;
        granted_run(&world, &scribe).await;
        world.pass(days);
        if rebound {
            rebind(&world, "web", &["clerk"], None).await.unwrap();
            rebind(&world, "web", &["scribe"], None).await.unwrap();
        } else {
            delete(&world, "web").await.unwrap();
            world.project("web", &["scribe"], WEB).await.unwrap();
        }
        world.turn_back(days);
        asks(world.run(&scribe, "web", &["DB_PASSWORD"]).await);
    }
}

#[tokio::test]
async fn a_rebind_is_refused_as_a_project_is() {
    let (world, _) = World::new().await;
    let error = rebind(&world, "web", &["nobody"], None)
        .await
        .unwrap_err()
        .domain();
    assert!(
        matches!(&error, AuthorityError::NoAgent(agent) if *agent == label("nobody")),
        "{error}"
    );
    let error = rebind(&world, "none", &["scribe"], None)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::NoProject(_)), "{error}");
    let names: Vec<String> = (0..=MAX_NAMES).map(|number| format!("N{number}")).collect();
    let env: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), "api/key"))
        .collect();
    let error = rebind(&world, "web", &[], Some(&env))
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::TooManyNames), "{error}");
    for role in [Role::Approver, Role::Auditor] {
        let other = world.operator(role.as_str(), &[(role, &shop())]).await;
        let op = ProjectDelete {
            namespace: shop(),
            name: project("web"),
        };
        assert_eq!(world.permit(&other, op).err(), Some(DenyReason::NoRole));
    }
}

/// However large the grants of a project are, its end fits into one commit.
#[tokio::test]
async fn grants_that_are_too_large_for_one_commit_end_in_one() {
    let (world, scribe) = World::new().await;
    let clerk = world.agent("clerk", None).await;
    let long = "N".repeat(125);
    let names: Vec<String> = (0..80).map(|number| format!("{long}{number:03}")).collect();
    let path = format!("{}/{}", "p".repeat(60), "q".repeat(50));
    world.put(&shop(), &path, "x", None).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let env: Vec<(&str, &str)> = names.iter().map(|name| (*name, path.as_str())).collect();
    world
        .project("web", &["scribe", "clerk"], &env)
        .await
        .unwrap();
    let mut grants = Vec::new();
    for agent in [&scribe, &clerk] {
        // None of them is covered by the ones before.
        let behind = (1..=40).rev().map(|first| &names[first..]);
        let before = (41..=80).map(|end| &names[..end]);
        for asked in behind.chain(before) {
            let request = asks(world.run(agent, "web", asked).await);
            let grant = world.approve(&world.alice, request, &world.terms()).await;
            grants.push(grant.unwrap().id);
        }
    }
    let size: usize = grants
        .iter()
        .map(|id| {
            serde_json::to_vec(world.snapshot().grant(id).unwrap().as_ref())
                .unwrap()
                .len()
        })
        .sum();
    assert!(size > 4 * 1024 * 1024, "{size}");
    let ended = delete(&world, "web").await.unwrap();
    grants.sort();
    assert_eq!(ended.withdrawn, grants);
    assert!(grants.iter().all(|id| !holds(&world, *id)));
}
