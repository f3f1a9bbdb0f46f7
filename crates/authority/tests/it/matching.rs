use crate::world::{World, bank, item, label, project, shop};
use procura_authority::{AuthorityError, MAX_NAMES, ProjectWrite, mapped_template};
use procura_store::{Kind, Table};
use procura_types::wire::UnmatchedReason;
use procura_types::{
    ActorId, EnvName, Namespace, ProjectName, Secret, SecretKind, SecretPath, Timestamp,
};
use procura_vault::{SecretAbout, SecretWrite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[tokio::test]
async fn no_names_ask_for_the_whole_mapping() {
    let (world, scribe) = World::new().await;
    let matched = world.resolve(&scribe, "web", &[]).unwrap();
    assert_eq!(
        matched.items(),
        [
            item("API_KEY", "api/key"),
            item("DB_PASSWORD", "db/password")
        ]
    );
    assert!(matched.unmatched().is_empty());
}

#[tokio::test]
async fn the_mapping_comes_before_what_secrets_declare() {
    let (world, scribe) = World::new().await;
    world.put(&shop(), "other/api", "x", Some("API_KEY")).await;
    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    let matched = world
        .resolve(
            &scribe,
            "web",
            &["MAIL_KEY", "API_KEY", "API_KEY", "HOME", "1X", "HOME"],
        )
        .unwrap();
    assert_eq!(
        matched.items(),
        [item("API_KEY", "api/key"), item("MAIL_KEY", "mail/key")]
    );
    let unmatched: Vec<_> = matched
        .unmatched()
        .iter()
        .map(|un| (un.name.as_str(), un.reason))
        .collect();
    assert_eq!(
        unmatched,
        [
            ("1X", UnmatchedReason::InvalidName),
            ("HOME", UnmatchedReason::NoMatch)
        ]
    );
}

#[tokio::test]
async fn what_several_secrets_declare_fails_the_run() {
    let (world, scribe) = World::new().await;
    for path in ["a", "b"] {
        world.put(&shop(), path, "x", Some("TWICE")).await;
    }
    let error = world
        .resolve(&scribe, "web", &["API_KEY", "TWICE"])
        .unwrap_err();
    assert!(matches!(&error, AuthorityError::Ambiguous(names) if names == &["TWICE"]));
    world.delete("a").await;
    let matched = world.resolve(&scribe, "web", &["TWICE"]).unwrap();
    assert_eq!(matched.items(), [item("TWICE", "b")]);
}

#[tokio::test]
async fn a_mapped_secret_that_is_not_there_fails_the_run() {
    let (world, scribe) = World::new().await;
    world.delete("api/key").await;
    for names in [&[][..], &["API_KEY"]] {
        let error = world.resolve(&scribe, "web", names).unwrap_err();
        assert!(
            matches!(&error, AuthorityError::MissingSecret(name) if name.as_str() == "API_KEY")
        );
    }
    world.resolve(&scribe, "web", &["DB_PASSWORD"]).unwrap();
    world
        .project("web", &["scribe"], &[("NEVER", "never/written")])
        .await
        .unwrap();
    let error = world.resolve(&scribe, "web", &[]).unwrap_err();
    assert!(matches!(&error, AuthorityError::MissingSecret(name) if name.as_str() == "NEVER"));
}

#[tokio::test]
async fn nothing_to_deliver_is_an_error_with_the_reasons() {
    let (world, scribe) = World::new().await;
    let error = world.resolve(&scribe, "web", &["HOME"]).unwrap_err();
    assert!(matches!(&error, AuthorityError::NothingToDeliver(unmatched)
        if unmatched.len() == 1 && unmatched[0].reason == UnmatchedReason::NoMatch));
    for (names, said) in [
        (&["NOPE"][..], "NOPE"),
        (&["NOPE", "1\u{1b}[2J", "HOME"], "HOME, NOPE, 1 more"),
        // The caller's own text, which may be anything, is not repeated.
        (
            &["1\u{1b}[2J"],
            "what is no name of an environment variable",
        ),
    ] {
        let error = world.resolve(&scribe, "web", names).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "no secret that may be handed over so matches {said}; map names in the project or declare them on secrets"
            )
        );
    }
    world.project("web", &["scribe"], &[]).await.unwrap();
    let error = world.resolve(&scribe, "web", &[]).unwrap_err();
    assert!(matches!(&error, AuthorityError::NothingToDeliver(unmatched) if unmatched.is_empty()));
}

#[tokio::test]
async fn names_are_bounded() {
    let (world, scribe) = World::new().await;
    let names = vec!["API_KEY"; MAX_NAMES + 1];
    assert!(matches!(
        world.resolve(&scribe, "web", &names).unwrap_err(),
        AuthorityError::TooManyNames
    ));
    world.resolve(&scribe, "web", &names[1..]).unwrap();
}

#[tokio::test]
async fn strangers_learn_nothing_of_a_project() {
    let (world, _) = World::new().await;
    let other = world.agent("other", None).await;
    let child = world.agent("child", Some("scribe")).await;
    let teller = world.agent_in(&bank(), "teller", None).await;
    for stranger in [&other, &child, &teller, &world.alice] {
        for names in [&[][..], &["TWICE"], &["HOME"]] {
            let error = world.resolve(stranger, "web", names).unwrap_err();
            assert!(matches!(error, AuthorityError::NoProject(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn what_another_namespace_declares_does_not_match() {
    let (world, scribe) = World::new().await;
    world.put(&bank(), "vault/pin", "x", Some("PIN")).await;
    let matched = world.resolve(&scribe, "web", &["PIN", "API_KEY"]).unwrap();
    assert_eq!(matched.unmatched().len(), 1);
    assert_eq!(matched.items(), [item("API_KEY", "api/key")]);
}

#[tokio::test]
async fn a_grant_opens_its_own_project_after_membership_ended_and_no_longer_than_it_holds() {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    let terms = world.terms();
    let grant = world.approve(&world.alice, id, &terms).await.unwrap();
    let env = [("API_KEY", "api/key"), ("DB_PASSWORD", "db/password")];
    world.project("hidden", &[], &env).await.unwrap();
    let hidden = |project| {
        let error = world.resolve(&scribe, project, &[]).unwrap_err();
        assert!(matches!(error, AuthorityError::NoProject(_)), "{error}");
    };
    hidden("hidden");
    // Asking ends with membership; what was granted is ended by withdrawal.
    world.project("web", &[], &env).await.unwrap();
    world.run(&scribe, "web", &[]).await.unwrap().values();
    world.withdraw(grant.id).await.unwrap();
    hidden("web");
}

#[tokio::test]
async fn variables_of_the_loader_match_nothing() {
    let (world, scribe) = World::new().await;
    world.put(&shop(), "evil", "x", Some("LD_PRELOAD")).await;
    let matched = world
        .resolve(&scribe, "web", &["API_KEY", "LD_PRELOAD"])
        .unwrap();
    assert_eq!(matched.items(), [item("API_KEY", "api/key")]);
    let unmatched: Vec<_> = matched
        .unmatched()
        .iter()
        .map(|un| (un.name.as_str(), un.reason))
        .collect();
    assert_eq!(unmatched, [("LD_PRELOAD", UnmatchedReason::InvalidName)]);
    let error = world
        .project("web", &["scribe"], &[("LD_AUDIT", "api/key")])
        .await
        .unwrap_err()
        .domain();
    assert_eq!(
        error.to_string(),
        "LD_AUDIT is a variable of the loader and is never delivered; name the secret otherwise"
    );
}

/// A project as it is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    agents: Vec<ActorId>,
    env: BTreeMap<EnvName, SecretPath>,
    created: Timestamp,
    updated: Timestamp,
}

const ROWS: Table<(Namespace, ProjectName), Row> = Table::new("project", Kind::Ordinary);

#[tokio::test]
async fn a_mapping_from_before_delivers_no_variable_of_the_loader() {
    let (world, scribe) = World::new().await;
    let web = ProjectWrite {
        namespace: shop(),
        name: project("web"),
        agents: vec![label("scribe")],
        env: [("API_KEY".parse().unwrap(), "api/key".parse().unwrap())].into(),
    };
    world
        .act(&world.alice, web, |batch| {
            let key = (shop(), project("web"));
            let mut row = ROWS.get(batch.store(), &key).unwrap().unwrap().value;
            let (name, path) = ("LD_PRELOAD", "mail/key");
            row.env.insert(name.parse().unwrap(), path.parse().unwrap());
            ROWS.put(batch.rows(), &key, &row);
            Ok::<_, AuthorityError>(())
        })
        .await
        .unwrap();
    let matched = world.resolve(&scribe, "web", &[]).unwrap();
    let names: Vec<_> = matched
        .items()
        .iter()
        .map(|item| item.name.as_str())
        .collect();
    assert_eq!(names, ["API_KEY", "DB_PASSWORD"]);
    let [unmatched] = matched.unmatched() else {
        panic!("{:?}", matched.unmatched())
    };
    assert_eq!(
        (unmatched.name.as_str(), unmatched.reason),
        ("LD_PRELOAD", UnmatchedReason::InvalidName)
    );
}

/// Clients of another system name a template by its path; projects know names.
#[tokio::test]
async fn a_template_is_found_by_its_path_where_the_project_maps_it() {
    let (world, scribe) = World::new().await;
    let clerk = world.agent("clerk", None).await;
    for path in ["conf/web", "conf/other"] {
        let op = SecretWrite {
            namespace: shop(),
            path: path.parse().unwrap(),
            value: Secret::new(b"listen 80;".to_vec()),
            expect_version: None,
            env: None,
            kind: Some(SecretKind::Template),
            about: SecretAbout::default(),
        };
        world
            .act(&world.alice, op, |batch| {
                SecretWrite::run(&world.vault, batch, world.now())
            })
            .await
            .unwrap();
    }
    let env = [
        ("CONF", "conf/web"),
        ("AGAIN", "conf/web"),
        ("KEY", "api/key"),
    ];
    world.project("conf", &["scribe"], &env).await.unwrap();
    for (agent, name, path, found) in [
        (&scribe, "conf", "conf/web", Some("AGAIN")),
        // Not mapped, not there, and no template.
        (&scribe, "conf", "conf/other", None),
        (&scribe, "conf", "conf/none", None),
        (&scribe, "conf", "api/key", None),
        // Another project, and an agent that this one is none for.
        (&scribe, "web", "conf/web", None),
        (&scribe, "nowhere", "conf/web", None),
        (&clerk, "conf", "conf/web", None),
    ] {
        let (namespace, project) = (shop(), project(name));
        let name = mapped_template(
            &world.vault,
            &world.snapshot(),
            &agent.id,
            (&namespace, &project),
            &path.parse().unwrap(),
            world.now(),
        );
        let name = name.unwrap().map(|name| name.to_string());
        assert_eq!(name.as_deref(), found, "{project} {path}");
    }
}
