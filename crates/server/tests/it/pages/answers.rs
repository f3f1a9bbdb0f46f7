//! Requests and grants in a browser: who sees which, who may say no, and what comes of it.

use super::Person;
use super::browser::served;
use serde_json::{Value, json};

#[tokio::test]
async fn an_approver_sees_what_waits_and_says_no() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let [first, second] = actors.waiting.clone();
    let page = browser.get("/requests").await.text();
    for id in [&first, &second] {
        assert!(page.contains(&format!("/requests/shop/{id}")), "{page}");
    }
    // What was answered waits no more.
    assert!(!page.contains(&actors.grant), "{page}");
    let path = format!("/requests/shop/{first}");
    let page = browser.get(&path).await.text();
    assert!(page.contains(&format!("action=\"{path}/deny\"")), "{page}");
    // Who has no passkey is told the command, and is offered no button for one.
    let command = format!("procura -n shop request approve {first}");
    assert!(
        page.contains(&command) && !page.contains("data-ceremony"),
        "{page}"
    );
    let csrf = browser.token(&path).await;
    let answer = browser.post(&format!("{path}/deny"), &csrf, &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.headers["location"], path.as_str());
    let page = browser.get(&path).await.text();
    assert!(
        page.contains("is over: denied") && !page.contains("/deny\""),
        "{page}"
    );
    let shown = format!("/v1/namespaces/shop/requests/{first}");
    let request = actors.ok("anna", "GET", &shown, Value::Null).await;
    assert_eq!(request["state"], "denied");
    // Twice is once.
    let answer = browser.post(&format!("{path}/deny"), &csrf, &[]).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("<code>conflict</code>"));
    let page = browser.get("/requests?namespace=shop").await.text();
    assert!(!page.contains(&first) && page.contains(&second));
    // The record says by what anna said it.
    let entries = "/v1/ledger/entries?limit=1000";
    let entries = actors.ok("alice", "GET", entries, Value::Null).await;
    let entries = entries["entries"].as_array().unwrap().iter();
    let texts = entries.map(|entry| entry["entry"].as_str().unwrap());
    let entries: Vec<Value> = texts
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let denied: Vec<_> = entries
        .iter()
        .filter(|entry| entry["action"] == "request.deny" && entry["decision"] == "allow")
        .collect();
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["profile"], "web_login_password");
    assert!(denied[0].get("device").is_none_or(Value::is_null));
}

/// Each role in the namespace, and those of another, at each page and form.
#[tokio::test]
async fn each_role_sees_and_does_its_own() {
    let actors = served().await;
    let id = &actors.waiting[0];
    let read = format!("/requests/shop/{id}");
    let deny = format!("{read}/deny");
    let withdraw = format!("/grants/shop/{}/withdraw", actors.grant);
    // Who; what they get of the list, the request, the no and the withdrawal.
    for (name, list, look, no, back) in [
        ("otto", 200, 200, 403, 403),
        ("bert", 404, 404, 404, 404),
        ("adam", 200, 200, 403, 303),
        ("anna", 200, 200, 303, 303),
    ] {
        let mut person = Person::new(&actors, name).await;
        let mut browser = person.browser(&actors.world).await;
        let csrf = browser.token("/account").await;
        let answer = browser.get("/requests?namespace=shop").await;
        assert_eq!(answer.status, list, "{name}: {}", answer.text());
        let answer = browser.get("/grants?namespace=shop").await;
        assert_eq!(answer.status, list, "{name}: {}", answer.text());
        let offers = answer.text().contains("/withdraw\"");
        assert_eq!(offers, name == "adam", "{name}");
        let answer = browser.get(&read).await;
        assert_eq!(answer.status, look, "{name}: {}", answer.text());
        assert_eq!(answer.text().contains("/deny\""), name == "anna", "{name}");
        let answer = browser.post(&deny, &csrf, &[]).await;
        assert_eq!(answer.status, no, "{name}: {}", answer.text());
        // The one run of the grant goes on, so who withdraws is told of it.
        let answer = browser.post(&withdraw, &csrf, &[]).await;
        let back = if back == 303 { 200 } else { back };
        assert_eq!(answer.status, back, "{name}: {}", answer.text());
        if back == 403 {
            assert!(answer.text().contains("needs the role"), "{name}");
        }
        // Without a namespace everybody sees their own, and nothing of others.
        for target in ["/requests", "/grants"] {
            let page = browser.get(target).await;
            assert_eq!(page.status, 200, "{name} {target}");
            let sees = page.text().contains("Namespace shop");
            assert_eq!(sees, list == 200, "{name} {target}");
        }
    }
}

#[tokio::test]
async fn a_grant_is_taken_back() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let end = format!("/v1/namespaces/shop/projects/web/runs/{}/end", actors.run);
    actors.ok("scribe", "POST", &end, Value::Null).await;
    let page = browser.get("/grants").await.text();
    for fact in ["adam//scribe", "<code>db/password</code>", "<dd>anna</dd>"] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
    let csrf = browser.token("/grants").await;
    let withdraw = format!("/grants/shop/{}/withdraw", actors.grant);
    let answer = browser.post(&withdraw, &csrf, &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.headers["location"], "/grants?namespace=shop");
    let page = browser.get("/grants?namespace=shop").await.text();
    assert!(page.contains("No grant holds here."), "{page}");
    let run = json!({"names": ["DB"], "delivery": "env"});
    let target = "/v1/namespaces/shop/projects/web/runs";
    let key = actors.key("scribe");
    let answer = actors.world.call(key, "POST", target, Some(&run)).await;
    assert_eq!(answer.status, 202, "nothing is delivered any more");
    // Doing it again changes nothing.
    let answer = browser.post(&withdraw, &csrf, &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

/// What does not fit on a page stands on the next, and nothing is on two.
#[tokio::test]
async fn long_lists_have_pages() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let agents = "/v1/namespaces/shop/agents";
    let mut members = vec!["scribe".to_owned()];
    for number in 0..6 {
        let label = format!("clerk-{number}");
        actors
            .ok("adam", "POST", agents, json!({"label": label}))
            .await;
        members.push(label);
    }
    let project = json!({"agents": members, "env": {"DB": "db/password", "API": "api/key", "MAIL": "mail/key"}});
    let web = "/v1/namespaces/shop/projects/web";
    actors.ok("adam", "PUT", web, project).await;
    let names = ["DB", "API", "MAIL"];
    for label in &members[1..] {
        let key = actors.join_as("adam", "shop", label).await;
        // Every choice of names that is none of the others.
        for choice in 1..8_usize {
            let chosen: Vec<&str> = (0..3)
                .filter(|place| choice & (1 << place) != 0)
                .map(|place| names[place])
                .collect();
            let run = json!({"names": chosen, "delivery": "env"});
            let target = format!("{web}/runs");
            let answer = actors.world.call(&key, "POST", &target, Some(&run)).await;
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    }
    let page = browser.get("/requests").await.text();
    assert_eq!(page.matches("class=\"card\"").count(), 20, "{page}");
    assert!(page.contains("More requests of shop"));
    let mut seen = std::collections::BTreeSet::new();
    let mut next = Some("/requests?namespace=shop".to_owned());
    while let Some(target) = next.take() {
        let page = browser.get(&target).await.text();
        let mut links = page.split("href=\"/requests/shop/").skip(1);
        for id in links.by_ref().filter_map(|rest| rest.split('"').next()) {
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
        next = page
            .split("href=\"/requests?namespace=shop&#38;after=")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .map(|after| format!("/requests?namespace=shop&after={after}"));
    }
    assert_eq!(seen.len(), 2 + 6 * 7);
}
