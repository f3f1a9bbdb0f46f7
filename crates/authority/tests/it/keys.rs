//! Keys that an agent fetches by name.

use crate::world::{Actor, Failure, World, bank, item, origin, shop};
use procura_authority::{AuthorityError, KeyKind, KeyListing, KeyNames, KeyRead};
use procura_identity::AgentRevoke;
use procura_policy::DenyReason;
use procura_types::{Delivery, Duration, Namespace, RequestId};

const KEYS: [(&str, &str); 3] = [
    ("SSH_DEPLOY", "ssh/deploy"),
    ("API_OPENAI", "api/openai"),
    ("DB", "db/password"),
];

/// The value, the request that waits, or that there is no such key.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Key(String),
    Waits(RequestId),
    Nothing,
}

impl Got {
    fn waits(self) -> RequestId {
        match self {
            Self::Waits(id) => id,
            other => panic!("{other:?}"),
        }
    }
}

/// Two keys in `shop`, and the project that names `scribe`.
async fn world() -> (World, Actor) {
    let (world, scribe) = World::new().await;
    for path in ["ssh/deploy", "api/openai"] {
        world
            .put(&shop(), path, &format!("value of {path}"), None)
            .await;
    }
    world.project("keys", &["scribe"], &KEYS).await.unwrap();
    (world, scribe)
}

impl World {
    fn key(&self, agent: &Actor, kind: KeyKind, name: &str) -> Option<KeyRead> {
        let path = kind.path(name)?;
        let (vault, snapshot) = (&self.vault, self.snapshot());
        KeyRead::resolve(vault, &snapshot, &agent.id, &path, self.now()).unwrap()
    }

    /// The whole way of a read, as the server goes it.
    async fn fetch(&self, agent: &Actor, kind: KeyKind, name: &str) -> Result<Got, Failure> {
        let Some(op) = self.key(agent, kind, name) else {
            return Ok(Got::Nothing);
        };
        let permit = match self.permit(agent, op) {
            Ok(permit) => permit,
            Err(DenyReason::NoGrant) => {
                let op = self.key(agent, kind, name).unwrap();
                let permit = self.permit(agent, op.ask()).map_err(Failure::Denied)?;
                return self.ask(permit).await.map(Got::Waits);
            }
            Err(reason) => return Err(Failure::Denied(reason)),
        };
        let details = permit.op().details();
        let recorded = self
            .recorder
            .record(permit, origin(), details)
            .await
            .unwrap();
        let released = self.vault.release(&recorded, self.now()).unwrap();
        assert_eq!(released.len(), 1);
        let value = String::from_utf8(released[0].value.expose().clone()).unwrap();
        Ok(Got::Key(value))
    }

    async fn ssh(&self, agent: &Actor) -> Got {
        self.fetch(agent, KeyKind::Ssh, "deploy").await.unwrap()
    }

    /// A grant for what is asked for now.
    async fn granted(&self, agent: &Actor, kind: KeyKind, name: &str) -> RequestId {
        let id = self.fetch(agent, kind, name).await.unwrap().waits();
        self.approve(&self.alice, id, &self.terms()).await.unwrap();
        id
    }

    fn names(&self, agent: &Actor) -> KeyNames {
        let op = KeyListing {
            namespace: shop(),
            agent: agent.id,
        };
        let permit = self.permit(agent, op).unwrap();
        KeyListing::run(&permit, &self.snapshot(), self.store(), self.now()).unwrap()
    }
}

fn key() -> Got {
    Got::Key("value of ssh/deploy".to_owned())
}

#[tokio::test]
async fn a_key_is_there_between_approval_and_withdrawal() {
    let (world, scribe) = world().await;
    let id = world.ssh(&scribe).await.waits();
    assert_eq!(world.ssh(&scribe).await, Got::Waits(id), "asked once");
    let request = world.request(id);
    assert_eq!(request.items, [item("SSH_DEPLOY", "ssh/deploy")]);
    assert_eq!(request.delivery, Delivery::Http);
    assert_eq!(world.names(&scribe), KeyNames::default());
    let grant = world
        .approve(&world.alice, id, &world.terms())
        .await
        .unwrap();
    assert_eq!(world.ssh(&scribe).await, key());
    world.put(&shop(), "ssh/deploy", "rotated", None).await;
    assert_eq!(world.ssh(&scribe).await, Got::Key("rotated".to_owned()));
    world.withdraw(grant.id).await.unwrap();
    world.ssh(&scribe).await.waits();
}

#[tokio::test]
async fn a_grant_is_for_the_very_agent_that_asked() {
    let (world, scribe) = world().await;
    let child = world.agent("child", Some("scribe")).await;
    let other = world.agent("other", None).await;
    world.granted(&scribe, KeyKind::Ssh, "deploy").await;
    assert_eq!(world.ssh(&child).await, Got::Nothing);
    assert_eq!(world.ssh(&other).await, Got::Nothing);
    let members = ["scribe", "child", "other"];
    world.project("keys", &members, &KEYS).await.unwrap();
    for agent in [&child, &other] {
        world.ssh(agent).await.waits();
    }
    // What was made out for one is no use to another.
    let op = world.key(&scribe, KeyKind::Ssh, "deploy").unwrap();
    assert_eq!(world.permit(&other, op).err(), Some(DenyReason::NoGrant));
    let ask = world.key(&other, KeyKind::Api, "openai").unwrap().ask();
    let permit = world.permit(&scribe, ask).unwrap();
    let refused = world.ask(permit).await.unwrap_err().domain();
    assert!(matches!(refused, AuthorityError::NotMember), "{refused}");
    // Nor to an operator, who has no namespace.
    assert_eq!(world.ssh(&world.alice).await, Got::Nothing);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_for_them_look_the_same() {
    let (world, scribe) = world().await;
    let of = |kind, name| world.fetch(&scribe, kind, name);
    assert_eq!(of(KeyKind::Ssh, "nothing").await.unwrap(), Got::Nothing);
    // Mapped, and of neither kind; of the other kind; not mapped at all.
    assert_eq!(of(KeyKind::Ssh, "password").await.unwrap(), Got::Nothing);
    assert_eq!(of(KeyKind::Api, "deploy").await.unwrap(), Got::Nothing);
    world.put(&shop(), "ssh/unmapped", "x", None).await;
    assert_eq!(of(KeyKind::Ssh, "unmapped").await.unwrap(), Got::Nothing);
    // Mapped and deleted.
    world.delete("ssh/deploy").await;
    assert_eq!(world.ssh(&scribe).await, Got::Nothing);
    // No project, and one of another namespace.
    let banker = world.agent_in(&bank(), "banker", None).await;
    world.put(&bank(), "ssh/deploy", "of the bank", None).await;
    assert_eq!(world.ssh(&banker).await, Got::Nothing);
}

#[tokio::test]
async fn a_grant_for_runs_opens_no_key_and_the_other_way_round() {
    let (world, scribe) = world().await;
    let id = world
        .run(&scribe, "keys", &["SSH_DEPLOY"])
        .await
        .unwrap()
        .pending();
    world
        .approve(&world.alice, id, &world.terms())
        .await
        .unwrap();
    world
        .run(&scribe, "keys", &["SSH_DEPLOY"])
        .await
        .unwrap()
        .values();
    world.granted(&scribe, KeyKind::Ssh, "deploy").await;
    assert_eq!(world.ssh(&scribe).await, key());
    world.granted(&scribe, KeyKind::Api, "openai").await;
    world
        .run(&scribe, "keys", &["API_OPENAI"])
        .await
        .unwrap()
        .pending();
}

#[tokio::test]
async fn a_remapped_name_is_not_covered_and_a_second_name_takes_nothing_away() {
    let (world, scribe) = world().await;
    world.granted(&scribe, KeyKind::Ssh, "deploy").await;
    let both = [("AAA", "ssh/deploy"), ("SSH_DEPLOY", "ssh/deploy")];
    world.project("keys", &["scribe"], &both).await.unwrap();
    assert_eq!(world.ssh(&scribe).await, key());
    world
        .project("keys", &["scribe"], &both[..1])
        .await
        .unwrap();
    world.ssh(&scribe).await.waits();
    world.project("keys", &["scribe"], &[]).await.unwrap();
    assert_eq!(world.ssh(&scribe).await, Got::Nothing);
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_project_keeps_what_was_granted_and_asks_no_more() {
    let (world, scribe) = world().await;
    let id = world.granted(&scribe, KeyKind::Ssh, "deploy").await;
    world.project("keys", &[], &KEYS).await.unwrap();
    assert_eq!(world.ssh(&scribe).await, key());
    let refused = world.fetch(&scribe, KeyKind::Api, "openai").await;
    assert_eq!(refused.unwrap_err().denied(), DenyReason::NotMember);
    world
        .withdraw(procura_types::GrantId::from_bytes(*id.as_bytes()))
        .await
        .unwrap();
    assert_eq!(world.ssh(&scribe).await, Got::Nothing);
}

#[tokio::test]
async fn the_list_has_what_is_granted_and_there() {
    let (world, scribe) = world().await;
    world.granted(&scribe, KeyKind::Ssh, "deploy").await;
    world.granted(&scribe, KeyKind::Api, "openai").await;
    let both = KeyNames {
        ssh: vec!["deploy".to_owned()],
        api: vec!["openai".to_owned()],
    };
    assert_eq!(world.names(&scribe), both);
    world.delete("api/openai").await;
    let ssh = KeyNames {
        api: Vec::new(),
        ..both
    };
    assert_eq!(world.names(&scribe), ssh);
    world.pass(Duration::from_secs(24 * 60 * 60));
    assert_eq!(world.names(&scribe), KeyNames::default());
    // Of nobody but the caller.
    let other = world.agent("other", None).await;
    let of = |namespace: Namespace| KeyListing {
        namespace,
        agent: scribe.id,
    };
    assert_eq!(
        world.permit(&other, of(shop())).err(),
        Some(DenyReason::NotOwn)
    );
}

#[tokio::test]
async fn a_revoked_agent_has_no_keys() {
    let (world, scribe) = world().await;
    world.granted(&scribe, KeyKind::Ssh, "deploy").await;
    let op = world.key(&scribe, KeyKind::Ssh, "deploy").unwrap();
    let revoke = AgentRevoke {
        namespace: shop(),
        label: "scribe".parse().unwrap(),
    };
    world
        .act(&world.alice, revoke, |batch| {
            AgentRevoke::run(batch, world.now())
        })
        .await
        .unwrap();
    assert_eq!(world.permit(&scribe, op).err(), Some(DenyReason::Revoked));
}
