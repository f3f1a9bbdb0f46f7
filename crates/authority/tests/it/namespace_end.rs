//! The end of a namespace: refused while anything is in it, and when it is meant, the end
//! of everything in it at once.

use crate::pruning::entries;
use crate::world::{Failure, World, bank, label, project, shop};
use procura_authority::{
    AuthorityError, NamespaceDelete, NamespaceRead, ProjectDelete, ServiceWrite, namespace_detail,
    sweep_namespaces,
};
use procura_crypto::SystemEntropy;
use procura_identity::{AgentRevoke, AgentSecretRotate, ForeignBind, OperatorRoles, SecretTerms};
use procura_ledger::SUMMARY;
use procura_policy::DenyReason;
use procura_record::Directory;
use procura_store::{Kind, Table};
use procura_types::wire::{NamespaceDeleted, NamespaceHolds, RoleAssignment};
use procura_types::{ForeignId, Namespace, Role};
use procura_vault::{NamespaceCreate, SecretDelete, VaultError};

async fn end(
    world: &World,
    namespace: &Namespace,
    confirmed: bool,
) -> Result<NamespaceDeleted, Failure> {
    let op = NamespaceDelete {
        namespace: namespace.clone(),
        confirmed,
        by: None,
    };
    world
        .act(&world.alice, op, |batch| {
            NamespaceDelete::run(&world.vault, batch, world.now())
        })
        .await
}

fn in_use(result: Result<NamespaceDeleted, Failure>) -> NamespaceHolds {
    match result.unwrap_err().domain() {
        AuthorityError::NamespaceInUse { namespace, held } => {
            assert_eq!(namespace, shop());
            *held
        }
        other => panic!("{other}"),
    }
}

fn service(name: &str) -> ServiceWrite {
    let nothing = || serde_json::from_str("[]").unwrap();
    ServiceWrite {
        namespace: shop(),
        name: label(name),
        expect_version: 0,
        mode: None,
        routes: nothing(),
        exceptions: serde_json::from_str("[]").unwrap(),
        gates: Vec::new(),
        hmac_v1: None,
    }
}

async fn bind(
    world: &World,
    namespace: &Namespace,
    agent: &str,
) -> Result<(), Failure<procura_identity::IdentityError>> {
    let op = ForeignBind {
        namespace: namespace.clone(),
        id: id(),
        agent: label(agent),
    };
    world
        .act(&world.alice, op, |batch| {
            ForeignBind::run(batch, &SecretTerms::default(), world.now()).map(|_| ())
        })
        .await
}

fn id() -> ForeignId {
    "till.7".parse().unwrap()
}

#[tokio::test]
async fn it_is_refused_for_each_thing_that_is_in_it() {
    let (world, scribe) = World::new().await;
    world
        .act(&world.alice, service("till"), |batch| {
            ServiceWrite::run(batch, world.now())
        })
        .await
        .unwrap();
    let request = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
    world
        .approve(&world.alice, request, &world.terms())
        .await
        .unwrap();
    let all = NamespaceHolds {
        agents: 1,
        secrets: 3,
        projects: 1,
        services: 1,
        grants: 1,
        transit_keys: 0,
    };
    assert_eq!(in_use(end(&world, &shop(), false).await), all);
    let text = end(&world, &shop(), false)
        .await
        .unwrap_err()
        .domain()
        .to_string();
    assert_eq!(
        text,
        "the namespace shop is in use: 1 agent, 3 secrets, 1 project, 1 service, 1 grant"
    );
    let permit = world
        .permit(&world.alice, NamespaceRead { namespace: shop() })
        .ok()
        .unwrap();
    let shown = NamespaceRead::run(&permit, &world.vault, &world.snapshot(), world.now()).unwrap();
    assert_eq!(shown.holds, all);
    // One after the other goes, and then it may.
    let op = ProjectDelete {
        namespace: shop(),
        name: project("web"),
    };
    world
        .act(&world.alice, op, |batch| {
            ProjectDelete::run(batch, world.now())
        })
        .await
        .unwrap();
    let left = in_use(end(&world, &shop(), false).await);
    assert_eq!((left.projects, left.grants), (0, 0));
    let op = AgentRevoke {
        namespace: shop(),
        label: label("scribe"),
    };
    world
        .act(&world.alice, op, |batch| {
            AgentRevoke::run(batch, world.now())
        })
        .await
        .unwrap();
    for path in ["db/password", "api/key", "mail/key"] {
        assert!(in_use(end(&world, &shop(), false).await).secrets > 0);
        let op = SecretDelete {
            namespace: shop(),
            path: path.parse().unwrap(),
            version: None,
        };
        world
            .act(&world.alice, op, |batch| {
                SecretDelete::run(batch, world.now())
            })
            .await
            .unwrap();
    }
    let last = NamespaceHolds {
        services: 1,
        ..NamespaceHolds::default()
    };
    assert_eq!(in_use(end(&world, &shop(), false).await), last);
    let op = procura_authority::ServiceRemove {
        namespace: shop(),
        name: label("till"),
        expect_version: 1,
    };
    world
        .act(&world.alice, op, procura_authority::ServiceRemove::run)
        .await
        .unwrap();
    let ended = end(&world, &shop(), false).await.unwrap();
    assert_eq!(ended.held, NamespaceHolds::default());
}

#[tokio::test]
async fn only_stewards_end_one() {
    let (world, scribe) = World::new().await;
    let op = || NamespaceDelete {
        namespace: shop(),
        confirmed: true,
        by: None,
    };
    for role in [Role::Admin, Role::Approver, Role::Auditor] {
        let other = world.operator(role.as_str(), &[(role, &shop())]).await;
        assert_eq!(world.permit(&other, op()).err(), Some(DenyReason::NoRole));
    }
    assert_eq!(world.permit(&scribe, op()).err(), Some(DenyReason::NoRole));
}

#[tokio::test]
async fn everything_in_it_ends_with_it_and_nothing_else() {
    let (world, scribe) = World::new().await;
    let child = world.agent("task", Some("scribe")).await;
    let teller = world.agent_in(&bank(), "teller", None).await;
    let adam = world
        .operator("adam", &[(Role::Admin, &shop()), (Role::Auditor, &bank())])
        .await;
    bind(&world, &shop(), "scribe").await.unwrap();
    let request = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
    let grant = world
        .approve(&world.alice, request, &world.terms())
        .await
        .unwrap()
        .id;
    let before = world.snapshot().seq();

    end(&world, &shop(), true).await.unwrap();
    let check = |directory: &Directory| {
        let after = directory.snapshot();
        assert!(after.namespace(&shop()).is_none());
        assert!(after.namespace(&bank()).is_some());
        for actor in [&scribe, &child] {
            assert!(!after.is_active(&actor.id));
            let device = after.device(&actor.device()).unwrap();
            assert!(device.revoked.is_some());
        }
        assert!(after.agent_named(&shop(), &label("scribe")).is_none());
        assert!(after.is_active(&teller.id) && after.is_active(&adam.id));
        assert!(after.grant(&grant).unwrap().withdrawn.is_some());
        assert!(after.foreign(&id()).is_none());
        let left = &after.roles(&adam.id).unwrap().roles;
        let auditor = RoleAssignment {
            role: Role::Auditor,
            namespace: Some(bank()),
        };
        assert_eq!(*left, [auditor]);
        // Who follows the directory is not told single changes across this, but all anew.
        assert!(directory.changes(before, &after).is_none());
    };
    check(world.recorder.directory());
    // The same for a server that starts now, with only what was stored.
    check(&Directory::load(world.store()).unwrap());

    // The rest of the roles can be given anew, though one of them is gone.
    let roles = world.snapshot().roles(&adam.id).unwrap().roles.clone();
    let op = OperatorRoles {
        name: label("adam"),
        roles,
        by: None,
    };
    world
        .act(&world.alice, op, |batch| {
            OperatorRoles::run(batch, world.now())
        })
        .await
        .unwrap();
    let entries = entries(&world, "namespace.delete");
    assert_eq!(
        entries[0].resource.as_deref(),
        Some("namespace/shop agents:2 secrets:3 projects:1 services:0 grants:1 transit_keys:0")
    );
}

#[tokio::test]
async fn an_id_of_another_system_goes_on_without_the_secrets_of_before() {
    let (world, _) = World::new().await;
    bind(&world, &shop(), "scribe").await.unwrap();
    let (terms, now) = (SecretTerms::default(), world.now());
    let rotate = AgentSecretRotate::resolve(&world.snapshot(), &id(), false).unwrap();
    world
        .act(&world.alice, rotate, |batch| {
            AgentSecretRotate::run(batch, &terms, now, &SystemEntropy)
        })
        .await
        .unwrap();
    let secrets = || procura_identity::agent_secrets(world.store(), &id(), &terms, now).unwrap();
    assert_eq!(secrets().texts.len(), 1);
    let era = secrets().era;
    end(&world, &shop(), true).await.unwrap();
    world.agent_in(&bank(), "teller", None).await;
    bind(&world, &bank(), "teller").await.unwrap();
    assert!(secrets().texts.is_empty());
    assert!(secrets().era > era, "what was started by one of them ended");
}

/// Rows that begin with the namespace, in every table that has such rows.
fn rows(world: &World) -> usize {
    let snapshot = world.store().snapshot().unwrap();
    let of = procura_store::KeyPrefix::all().part(&shop());
    const TABLES: [(&str, Kind); 15] = [
        ("secret", Kind::Ordinary),
        ("secret-version", Kind::Ordinary),
        ("secret-body", Kind::Clear),
        ("secret-env", Kind::Ordinary),
        ("honey-value", Kind::Ordinary),
        ("namespace-quota", Kind::Ordinary),
        ("namespace-arrival", Kind::Ordinary),
        ("project", Kind::Ordinary),
        ("project-number", Kind::Ordinary),
        ("request", Kind::Ordinary),
        ("request-pending", Kind::Ordinary),
        ("run", Kind::Ordinary),
        ("run-open", Kind::Ordinary),
        ("service", Kind::Ordinary),
        ("service-count", Kind::Ordinary),
    ];
    let mut count = 0;
    for (name, kind) in TABLES {
        let table: Table<String, String> = Table::new(name, kind);
        let mut batch = world.store().batch().unwrap();
        count += table.sweep(&mut batch, &snapshot, &of, 10_000).unwrap();
    }
    count
}

async fn sweep(world: &World) -> bool {
    sweep_namespaces(world.store(), world.recorder.clock(), &SystemEntropy)
        .await
        .unwrap()
}

#[tokio::test]
async fn its_rows_go_afterwards_in_steps_that_can_break_off() {
    let (world, scribe) = World::new().await;
    assert!(!sweep(&world).await);
    for number in 0..300 {
        world
            .put(&shop(), &format!("more/{number}"), "x", Some("MORE"))
            .await;
    }
    let request = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
    world
        .approve(&world.alice, request, &world.terms())
        .await
        .unwrap();
    world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .values();
    world
        .run(&scribe, "web", &["DB_PASSWORD"])
        .await
        .unwrap()
        .pending();
    world
        .act(&world.alice, service("till"), |batch| {
            ServiceWrite::run(batch, world.now())
        })
        .await
        .unwrap();
    world.put(&bank(), "a/key", "of the bank", None).await;
    end(&world, &shop(), true).await.unwrap();
    let all = rows(&world);
    assert!(all > 900, "{all}");
    let mut left = all;
    let mut steps = 0;
    while left > 0 {
        // Each step is a commit of its own: after any of them the rest is found again.
        assert!(sweep(&world).await);
        let now = rows(&world);
        assert!(now < left && left - now <= 256);
        left = now;
        steps += 1;
    }
    assert!(steps >= 4, "{steps}");
    assert!(entries(&world, "namespace.sweep").is_empty());
    assert!(sweep(&world).await);
    assert!(!sweep(&world).await);
    let said = entries(&world, "namespace.sweep");
    let summary = said[0].summary.unwrap();
    assert_eq!((said.len(), summary.count), (1, all as u64));
    assert_eq!(said[0].reason.as_deref(), Some(SUMMARY));
    assert_eq!(said[0].namespace, Some(shop()));
    let kept = world.vault.open_every_value().unwrap();
    assert_eq!((kept.secrets, kept.values, kept.findings.len()), (1, 1, 0));
}

#[tokio::test]
async fn an_end_that_left_nothing_behind_has_no_summary() {
    let (world, _) = World::new().await;
    let name: Namespace = "empty".parse().unwrap();
    world
        .act(
            &world.alice,
            NamespaceCreate { name: name.clone() },
            |batch| NamespaceCreate::run(&world.vault, batch, world.now()),
        )
        .await
        .unwrap();
    end(&world, &name, false).await.unwrap();
    assert!(sweep(&world).await);
    assert!(!sweep(&world).await);
    assert!(entries(&world, "namespace.sweep").is_empty());
}

#[tokio::test]
async fn its_name_never_comes_back_and_its_entries_stay() {
    let (world, scribe) = World::new().await;
    end(&world, &shop(), true).await.unwrap();
    while sweep(&world).await {}
    let again = world
        .act(&world.alice, NamespaceCreate { name: shop() }, |batch| {
            NamespaceCreate::run(&world.vault, batch, world.now())
        })
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(again, VaultError::NamespaceEnded(_)), "{again}");
    let error = namespace_detail(&world.vault, &world.snapshot(), &shop(), world.now());
    assert!(matches!(
        error,
        Err(AuthorityError::Vault(VaultError::NoNamespace))
    ));
    let denied = end(&world, &shop(), true).await.unwrap_err().denied();
    assert_eq!(denied, DenyReason::NoRole);
    let resolved = world.resolve(&scribe, "web", &["API_KEY"]);
    assert!(matches!(resolved, Err(AuthorityError::NoProject(_))));
    let written = entries(&world, "secret.write");
    assert_eq!(
        written
            .iter()
            .filter(|entry| entry.namespace == Some(shop()))
            .count(),
        3
    );
}
