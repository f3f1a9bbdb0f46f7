//! An operator's own web logins in a browser.

use super::Person;
use super::browser::{LOGIN, served};

/// The ids of the web logins that a page lists, the newest first.
fn listed(page: &str) -> Vec<String> {
    page.split("action=\"/account/logins/")
        .skip(1)
        .filter_map(|rest| rest.split_once("/end\""))
        .map(|(id, _)| id.to_owned())
        .filter(|id| id.len() == 36)
        .collect()
}

#[tokio::test]
async fn one_ends_ones_own_web_logins() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut first = anna.browser(&actors.world).await;
    actors.world.clock.turn(std::time::Duration::from_secs(5));
    let mut second = anna.browser(&actors.world).await;
    let page = first.get("/account").await.text();
    let ids = listed(&page);
    assert_eq!(ids.len(), 2, "{page}");
    assert!(
        page.contains("This browser") && page.contains("password and code"),
        "{page}"
    );
    let csrf = first.token("/account").await;
    // The other one.
    let end = format!("/account/logins/{}/end", ids[0]);
    let answer = first.post(&end, &csrf, &[]).await;
    assert_eq!(answer.headers["location"], "/account", "{}", answer.text());
    assert_eq!(second.get("/account").await.status, 303);
    assert!(!second.cookies.contains_key(LOGIN));
    // Twice, and one that there never was.
    for id in [ids[0].as_str(), "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11"] {
        let end = format!("/account/logins/{id}/end");
        let answer = first.post(&end, &csrf, &[]).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    // Somebody else's.
    let mut adam = Person::new(&actors, "adam").await;
    let mut others = adam.browser(&actors.world).await;
    let theirs = listed(&others.get("/account").await.text());
    let end = format!("/account/logins/{}/end", theirs[0]);
    let answer = first.post(&end, &csrf, &[]).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(others.get("/account").await.status, 200);
    // One's own, which is the way out.
    let end = format!("/account/logins/{}/end", ids[1]);
    let answer = first.post(&end, &csrf, &[]).await;
    assert_eq!(answer.headers["location"], "/sign-in", "{}", answer.text());
    assert!(!first.cookies.contains_key(LOGIN));
}

#[tokio::test]
async fn one_ends_all_of_them() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut first = anna.browser(&actors.world).await;
    let mut second = anna.browser(&actors.world).await;
    let csrf = first.token("/account").await;
    let answer = first.post("/account/logins/end", &csrf, &[]).await;
    assert_eq!(answer.headers["location"], "/sign-in", "{}", answer.text());
    assert!(!first.cookies.contains_key(LOGIN));
    assert_eq!(second.get("/account").await.status, 303);
}
