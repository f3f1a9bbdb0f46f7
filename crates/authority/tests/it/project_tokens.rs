//! Records of project tokens: how long they stay, and that who has none opens nothing.

use crate::pruning::entries;
use crate::world::{Actor, World, bank, project, shop};
use procura_authority::{
    Attesting, Pruning, RunQuery, TOKEN_KEPT, TOKEN_LIFE, TokenHolder, TokenIssue, TokenRevokeAll,
    TokenTerms, TokenUse,
};
use procura_crypto::SystemEntropy;
use procura_directory::TokenRecord;
use procura_identity::{ForeignBind, SecretTerms};
use procura_types::wire::ProjectTokenKind;
use procura_types::{Delivery, Duration, RunId, Thumbprint, TokenId};

const MS: Duration = Duration::from_millis(1);

fn holder(agent: &Actor) -> TokenHolder {
    TokenHolder {
        agent: agent.id,
        device: agent.device(),
        foreign: None,
        attesting: Attesting::With(None),
    }
}

/// A token for the whole project `web`.
async fn issue(world: &World, agent: &Actor) -> TokenRecord {
    issue_to(world, agent, holder(agent)).await
}

async fn issue_to(world: &World, agent: &Actor, holder: TokenHolder) -> TokenRecord {
    let query = RunQuery {
        namespace: shop(),
        project: project("web"),
        names: Vec::new(),
        delivery: Delivery::Env,
        report: None,
        attesting: Attesting::Later,
    };
    let terms = TokenTerms {
        id: TokenId::generate(world.now(), &SystemEntropy).unwrap(),
        life: None,
    };
    let op = TokenIssue::resolve(
        &world.vault,
        &world.snapshot(),
        holder,
        ProjectTokenKind::Signed,
        query,
        terms,
        world.now(),
    );
    world
        .act(agent, op.unwrap(), |batch| {
            TokenIssue::run(batch, None, world.now())
        })
        .await
        .unwrap()
}

async fn prune(world: &World) -> u64 {
    let mut pass = Pruning::new(world.now(), [shop(), bank()]);
    let mut count = 0;
    for _ in 0..100 {
        let step = pass.step(world.store(), world.recorder.clock(), &SystemEntropy);
        match step.await.unwrap() {
            Some(more) => count += more,
            None => return count,
        }
    }
    panic!("the pass does not end");
}

async fn granted(world: &World, agent: &Actor) {
    let id = world.run(agent, "web", &[]).await.unwrap().pending();
    let from = world.now();
    let terms = crate::flows::Terms {
        names: None,
        from,
        until: from.plus(Duration::from_secs(300 * 24 * 60 * 60)),
    };
    world.approve(&world.alice, id, &terms).await.unwrap();
}

#[tokio::test]
async fn a_token_is_forgotten_thirty_days_after_its_end() {
    let (world, scribe) = World::new().await;
    granted(&world, &scribe).await;
    let first = issue(&world, &scribe).await;
    assert_eq!(
        first.until.as_secs(),
        world.now().plus(TOKEN_LIFE).as_secs()
    );
    world.pass(Duration::from_secs(60));
    let second = issue(&world, &scribe).await;
    let left = first.until.plus(TOKEN_KEPT).since(world.now());
    world.pass(left - MS);
    let before = world.snapshot().seq();
    assert_eq!(prune(&world).await, 0, "a moment before");
    assert_eq!(world.snapshot().seq(), before);
    world.pass(MS);
    assert_eq!(prune(&world).await, 1, "exactly then");
    // The directory moved with it, without a restart.
    let snapshot = world.snapshot();
    assert!(snapshot.seq() > before);
    assert!(snapshot.token(&first.id).is_none());
    assert!(snapshot.token(&second.id).is_some());
    let said = entries(&world, "project_token.prune");
    assert_eq!(said.len(), 1);
    let summary = said[0].summary.unwrap();
    assert_eq!((summary.count, summary.from), (1, first.until));
    assert_eq!(said[0].resource.as_deref(), Some("installation"));
}

/// Between the decision on a use and its intent the tokens of the project end: it is
/// decided anew, and nothing is handed over.
#[tokio::test]
async fn a_use_that_is_overtaken_by_its_end_opens_nothing() {
    let (world, scribe) = World::new().await;
    granted(&world, &scribe).await;
    let token = issue(&world, &scribe).await;
    let snapshot = world.snapshot();
    let record = snapshot.token(&token.id).unwrap();
    let run = RunId::generate(world.now(), &SystemEntropy).unwrap();
    let resolve = |holder: TokenHolder| {
        TokenUse::resolve(
            &world.vault,
            &snapshot,
            record,
            &holder,
            &[],
            run,
            world.now(),
        )
    };
    let permit = world
        .permit(&scribe, resolve(holder(&scribe)).unwrap())
        .ok()
        .unwrap();
    let details = permit.op().details();
    let revoke = TokenRevokeAll {
        namespace: shop(),
        project: project("web"),
    };
    let revoked = world
        .act(
            &world.alice,
            revoke,
            |batch| -> Result<_, procura_authority::AuthorityError> {
                TokenRevokeAll::run(batch, world.now())
            },
        )
        .await
        .unwrap();
    assert_eq!(revoked, 1);
    let recorded = world
        .recorder
        .record(permit, crate::world::origin(), details)
        .await;
    let error = recorded.err().unwrap();
    assert_eq!(error.to_string(), "token_revoked");
    assert!(entries(&world, "project_token.use").is_empty());
}

/// A process of a daemon of CortexAuth, under the id `scribe-1`, which is bound to the agent.
async fn process(world: &World, agent: &Actor, key: u8) -> TokenHolder {
    let op = ForeignBind {
        namespace: shop(),
        id: "scribe-1".parse().unwrap(),
        agent: "scribe".parse().unwrap(),
    };
    let bound = world
        .act(&world.alice, op, |batch| {
            ForeignBind::run(batch, &SecretTerms::default(), world.now())
        })
        .await;
    let foreign = Some(bound.unwrap().agent_id);
    TokenHolder {
        device: Thumbprint::from_bytes([key; 32]),
        foreign,
        ..holder(agent)
    }
}

/// Which of them ended before their time.
fn ended(world: &World, given: &[TokenRecord]) -> Vec<bool> {
    let snapshot = world.snapshot();
    let is_ended = |token: &TokenRecord| snapshot.token(&token.id).unwrap().revoked.is_some();
    given.iter().map(is_ended).collect()
}

/// Such a process discovers again and again, and gathers nothing by it.
#[tokio::test]
async fn what_a_process_is_given_takes_the_place_of_what_it_had_for_the_project() {
    let (world, scribe) = World::new().await;
    granted(&world, &scribe).await;
    let native = issue(&world, &scribe).await;
    let (one, other) = (
        process(&world, &scribe, 7).await,
        process(&world, &scribe, 8).await,
    );
    let mut given = Vec::new();
    for holder in [&one, &one, &other, &one] {
        given.push(issue_to(&world, &scribe, holder.clone()).await);
        world.pass(MS);
    }
    // Programs that are started together discover together, and each uses what it was given.
    assert_eq!(ended(&world, &given), [false; 4]);
    world.pass(Duration::from_secs(30));
    given.push(issue_to(&world, &scribe, one.clone()).await);
    assert_eq!(ended(&world, &given), [true, true, false, true, false]);
    // That goes for a few of them, not for as many as there may be.
    for _ in 0..8 {
        world.pass(MS);
        given.push(issue_to(&world, &scribe, one.clone()).await);
    }
    let expected = [[true, true, false, true, true].as_slice(), &[false; 8]].concat();
    assert_eq!(ended(&world, &given), expected);
    // Of an agent that has many there is one for each process.
    for key in 20..40 {
        let another = TokenHolder {
            device: Thumbprint::from_bytes([key; 32]),
            ..one.clone()
        };
        issue_to(&world, &scribe, another).await;
    }
    issue_to(&world, &scribe, one.clone()).await;
    let left = ended(&world, &given).into_iter().filter(|ended| !ended);
    assert_eq!(left.count(), 1, "that of the other process");
    // Processes come and go, and none is turned away: the oldest makes room, and no token of
    // the agent's own devices does.
    for key in 40..60 {
        let another = TokenHolder {
            device: Thumbprint::from_bytes([key; 32]),
            ..one.clone()
        };
        world.pass(MS);
        issue_to(&world, &scribe, another).await;
    }
    let left = ended(&world, &given).into_iter().filter(|ended| !ended);
    assert_eq!(left.count(), 0);
    let snapshot = world.snapshot();
    assert!(snapshot.token(&native.id).unwrap().revoked.is_none());
    for token in &given {
        let record = snapshot.token(&token.id).unwrap();
        assert_eq!(record.foreign, one.foreign);
    }
}
