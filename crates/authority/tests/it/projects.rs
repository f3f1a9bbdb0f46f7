use crate::world::{World, bank, label, project, shop};
use procura_authority::{
    AuthorityError, MAX_AGENTS, MAX_NAMES, ProjectListing, ProjectRead, ProjectWrite,
};
use procura_identity::{AgentCreate, AgentRevoke};
use procura_policy::DenyReason;
use procura_types::{Duration, Role};
use std::collections::BTreeMap;

fn read(world: &World, name: &str) -> Result<procura_types::wire::Project, AuthorityError> {
    let permit = world
        .permit(
            &world.alice,
            ProjectRead {
                namespace: shop(),
                name: project(name),
            },
        )
        .ok()
        .unwrap();
    ProjectRead::run(&permit, &world.snapshot(), world.store())
}

#[tokio::test]
async fn a_project_is_made_replaced_read_and_listed() {
    let (world, _) = World::new().await;
    let made = read(&world, "web").unwrap();
    assert_eq!(made.agents, [label("scribe")]);
    world.pass(Duration::from_secs(1));
    let changed = world
        .project("web", &["scribe", "scribe"], &[("KEY", "api/key")])
        .await
        .unwrap();
    assert_eq!(
        (changed.created, changed.updated),
        (made.created, world.now())
    );
    assert_eq!(changed.agents, [label("scribe")]);
    assert_eq!(read(&world, "web").unwrap().env.len(), 1);
    world.project("api", &[], &[]).await.unwrap();
    let permit = world
        .permit(&world.alice, ProjectListing { namespace: shop() })
        .ok()
        .unwrap();
    let list = ProjectListing::run(&permit, &world.snapshot(), world.store()).unwrap();
    let names: Vec<_> = list
        .projects
        .iter()
        .map(|project| project.name.as_str())
        .collect();
    assert_eq!(names, ["api", "web"]);
    assert!(
        matches!(read(&world, "none").unwrap_err(), AuthorityError::NoProject(name) if name == project("none"))
    );
}

#[tokio::test]
async fn a_project_names_agents_that_live_in_its_namespace() {
    let (world, _) = World::new().await;
    world.agent_in(&bank(), "teller", None).await;
    for name in ["nobody", "teller"] {
        let error = world
            .project("web", &[name], &[])
            .await
            .unwrap_err()
            .domain();
        assert!(matches!(error, AuthorityError::NoAgent(agent) if agent == label(name)));
    }
}

#[tokio::test]
async fn membership_ends_with_the_agent_and_is_not_inherited_by_its_label() {
    let (world, scribe) = World::new().await;
    let revoke = AgentRevoke {
        namespace: shop(),
        label: label("scribe"),
    };
    world
        .act(&world.alice, revoke, |batch| {
            AgentRevoke::run(batch, world.now())
        })
        .await
        .unwrap();
    assert!(read(&world, "web").unwrap().agents.is_empty());
    let create = AgentCreate {
        namespace: shop(),
        label: label("scribe"),
        parent: None,
    };
    let next = world
        .act(&world.alice, create, |batch| {
            AgentCreate::run(batch, world.now())
        })
        .await
        .unwrap();
    let next = crate::world::Actor {
        id: next.actor_id,
        key: scribe.key,
    };
    assert!(matches!(
        world.resolve(&next, "web", &[]).unwrap_err(),
        AuthorityError::NoProject(_)
    ));
}

#[tokio::test]
async fn a_project_has_bounds() {
    let (world, _) = World::new().await;
    let write = |agents: usize, names: usize, path: usize| ProjectWrite {
        namespace: shop(),
        name: project("web"),
        agents: vec![label("scribe"); agents],
        env: (0..names)
            .map(|at| {
                (
                    format!("N{at}").parse().unwrap(),
                    format!("{}/{}", "p".repeat(60), "q".repeat(path))
                        .parse()
                        .unwrap(),
                )
            })
            .collect::<BTreeMap<_, _>>(),
    };
    let run = async |op| {
        world
            .act(&world.alice, op, |batch| {
                ProjectWrite::run(batch, world.now())
            })
            .await
    };
    run(write(MAX_AGENTS, MAX_NAMES, 1)).await.unwrap();
    let error = run(write(MAX_AGENTS + 1, 0, 1)).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::TooManyAgents));
    let error = run(write(0, MAX_NAMES + 1, 1)).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::TooManyNames));
    let error = run(write(0, MAX_NAMES, 60)).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::TooLong));
}

#[tokio::test]
async fn projects_are_the_admins_of_their_namespace() {
    let (world, scribe) = World::new().await;
    let bob = world
        .operator("bob", &[(Role::Admin, &bank()), (Role::Auditor, &shop())])
        .await;
    let write = || ProjectWrite {
        namespace: shop(),
        name: project("web"),
        agents: vec![],
        env: BTreeMap::new(),
    };
    assert_eq!(world.permit(&bob, write()).err(), Some(DenyReason::NoRole));
    assert_eq!(
        world.permit(&scribe, write()).err(),
        Some(DenyReason::NoRole)
    );
    let read = || ProjectRead {
        namespace: shop(),
        name: project("web"),
    };
    assert!(world.permit(&bob, read()).is_ok());
    assert_eq!(
        world.permit(&scribe, read()).err(),
        Some(DenyReason::NoRole)
    );
}
