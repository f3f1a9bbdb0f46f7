//! Roles that groups lend.

use super::provider::CLIENT;
use super::{Site, from_elsewhere};
use crate::pages::{Browser, LOGIN};
use serde_json::{Value, json};

/// The page of `shop`, as far as this browser may see it.
async fn shop(browser: &mut Browser<'_>) -> u16 {
    browser
        .get("/requests?namespace=shop")
        .await
        .status
        .as_u16()
}

async fn by_groups<'a>(site: &'a Site, subject: &str, groups: Value) -> Browser<'a> {
    let mut browser = site.browser();
    let answer = site
        .signs_in(&mut browser, subject, json!({"groups": groups}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    browser
}

/// `bert` has every role in `bank`, and none in `shop`.
#[tokio::test]
async fn a_group_lends_its_role_for_one_web_login() {
    let site = Site::new().await;
    site.link("bert", "bert-1").await;
    for groups in [json!([]), json!(["Ops", "dev"]), json!(null)] {
        let mut browser = by_groups(&site, "bert-1", groups.clone()).await;
        assert_eq!(shop(&mut browser).await, 404, "{groups}");
    }
    let mut browser = by_groups(&site, "bert-1", json!(["dev", "ops"])).await;
    assert_eq!(shop(&mut browser).await, 200);
    // It is among what they may choose from, and they may say no there.
    let page = browser.get("/requests").await.text();
    assert!(page.contains(">shop<") && page.contains(">bank<"), "{page}");
    let request = &site.actors.waiting[0];
    let page = format!("/requests/shop/{request}");
    let csrf = browser.token(&page).await;
    let answer = browser.post(&format!("{page}/deny"), &csrf, &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    // Their own key has none of it, and the list of operators does not show it.
    let list = "/v1/namespaces/shop/requests";
    let world = &site.actors.world;
    let answer = world.call(site.actors.key("bert"), "GET", list, None).await;
    answer.expect("not_found", None, None, "with the key");
    let operators = site
        .actors
        .ok("alice", "GET", "/v1/operators", Value::Null)
        .await;
    let operators = operators["operators"].as_array().unwrap().iter();
    let bert = operators.clone().find(|one| one["name"] == "bert").unwrap();
    assert!(!bert["roles"].to_string().contains("shop"), "{bert}");
    // The record says who lent what.
    let entries = "/v1/ledger/entries?action=web_login.start&limit=1";
    let entries = site
        .actors
        .ok("alice", "GET", entries, Value::Null)
        .await
        .to_string();
    assert!(entries.contains("lent=approver@shop"), "{entries}");
    let entries = "/v1/ledger/entries?action=request.deny&limit=1";
    let entries = site
        .actors
        .ok("alice", "GET", entries, Value::Null)
        .await
        .to_string();
    assert!(entries.contains("web_login_oidc"), "{entries}");
}

/// What no browser may do, no group opens; and nobody is made of groups alone.
#[tokio::test]
async fn groups_give_nothing_else() {
    let site = Site::new().await;
    let mut stranger = site.browser();
    let more = json!({"groups": ["ops"]});
    let answer = site.signs_in(&mut stranger, "nobody-1", more).await;
    assert_eq!(answer.status, 401);
    assert!(!stranger.cookies.contains_key(LOGIN));
    // A token for another client says nothing here, whatever its groups.
    site.link("bert", "bert-1").await;
    let asked = site.begins(&mut stranger, "").await;
    let mut claims = site.claims(&asked, "bert-1");
    claims["groups"] = json!(["ops"]);
    claims["aud"] = json!(format!("{CLIENT}-other"));
    let back = site.answers(&asked, &claims);
    assert_eq!(from_elsewhere(&mut stranger, &back).await.status, 401);
}

#[tokio::test]
async fn what_the_configuration_does_not_map_lends_nothing() {
    let site = Site::with(|work| work.groups_claim = None).await;
    site.link("bert", "bert-1").await;
    // Where no claim is read, a group that the token names is none.
    let mut browser = by_groups(&site, "bert-1", json!(["ops"])).await;
    assert_eq!(shop(&mut browser).await, 404);
    let unmapped = Site::with(|work| work.roles.clear()).await;
    unmapped.link("bert", "bert-1").await;
    let mut browser = by_groups(&unmapped, "bert-1", json!(["ops"])).await;
    assert_eq!(shop(&mut browser).await, 404);
}
