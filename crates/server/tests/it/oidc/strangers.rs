//! Strangers who would have the server ask a provider again and again, or keep others from
//! signing in by it: one code for each flow, so many that come to nothing for each address,
//! and a wait for whoever makes codes up. Whoever loads a page anew is none of them.

use super::{Asked, FLOW, Site, from_elsewhere};
use crate::pages::{Browser, LOGIN};
use crate::world::Answer;
use procura_types::Duration;
use serde_json::json;
use std::net::IpAddr;

const HERE: &str = "127.0.0.1";
const FAR: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.2";

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn assert_says(answer: &Answer, status: u16, word: &str, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status.as_u16(), status, "{what}: {text}");
    let said = format!("<code>{word}</code>");
    assert!(text.contains(&said), "{what}: {text}");
}

/// A sign-in that began, with its cookie.
async fn begun(site: &Site) -> (Asked, String) {
    let mut browser = site.browser();
    let asked = site.begins(&mut browser, "").await;
    (asked, browser.cookies[FLOW].clone())
}

/// Comes back from this address, with this cookie: nobody has to forget one that was taken
/// away.
async fn comes_back(site: &Site, flow: Option<&str>, target: &str, from: &str) -> Answer {
    let mut browser = site.browser();
    let flow = flow.map(|flow| (FLOW.to_owned(), flow.to_owned()));
    browser.cookies.extend(flow);
    let sent = browser.sent("GET", target, &[]);
    site.actors.world.send_from(&sent, at(from)).await
}

/// Presses the button from this address.
async fn pressed(site: &Site, browser: &mut Browser<'_>, from: &str) -> Answer {
    let csrf = browser.token("/sign-in").await;
    let sent = browser.form("/oidc/work", &[("csrf", csrf.as_str()), ("next", "")]);
    site.actors.world.send_from(&sent, at(from)).await
}

#[tokio::test]
async fn a_flow_has_one_code_sent_whatever_comes_of_it() {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    let gone = ("500 Internal Server Error", "{}".to_owned());
    for (instead, status, word) in [
        (None, 401, "code_refused"),
        (Some(gone), 502, "provider_unavailable"),
    ] {
        site.provider.change(|state| {
            state.instead.clear();
            state
                .instead
                .extend(instead.map(|instead| ("/token", instead)));
        });
        let (asked, flow) = begun(&site).await;
        let before = site.provider.got("/token").len();
        let made_up = asked.returned("made-up");
        let answer = comes_back(&site, Some(&flow), &made_up, FAR).await;
        assert_says(&answer, status, word, "made up");
        // Not even the one that the provider gave out, from wherever.
        let good = site.answers(&asked, &site.claims(&asked, "anna-7"));
        for target in [made_up, asked.returned("another"), good] {
            for from in [FAR, OTHER, HERE] {
                let answer = comes_back(&site, Some(&flow), &target, from).await;
                assert_says(&answer, 401, "flow_used", &target);
            }
        }
        assert_eq!(site.provider.got("/token").len(), before + 1, "{word}");
    }
    let used = ("flow_used".to_owned(), "oidc/work".to_owned());
    let recorded = site.recorded().await;
    assert!(recorded.contains(&used), "{recorded:?}");
}

#[tokio::test]
async fn who_makes_codes_up_has_to_wait() {
    let site = Site::new().await;
    let mut refused = 0;
    loop {
        let (asked, flow) = begun(&site).await;
        let target = asked.returned("made-up");
        let answer = comes_back(&site, Some(&flow), &target, FAR).await;
        if answer.status == 429 {
            assert_says(&answer, 429, "rate_limited", "many");
            // Nobody else does.
            let answer = comes_back(&site, Some(&flow), &target, OTHER).await;
            assert_says(&answer, 401, "code_refused", "from another address");
            break;
        }
        assert_says(&answer, 401, "code_refused", "few");
        refused += 1;
        assert!(refused < 100, "nobody has to wait");
    }
    // Twenty times at once has no consequence.
    assert!(refused > 20, "{refused}");
}

/// The pages of a browser's history, and what another site leads it to, bring no cookie:
/// that of a sign-in goes with the answer.
#[tokio::test]
async fn who_loads_the_answer_anew_does_not_have_to_wait() {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    let (asked, flow) = begun(&site).await;
    let good = site.answers(&asked, &site.claims(&asked, "anna-7"));
    let answer = comes_back(&site, Some(&flow), &good, FAR).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for _ in 0..60 {
        let answer = comes_back(&site, None, &good, FAR).await;
        assert_says(&answer, 401, "flow_missing", "anew");
    }
    // An answer that is none takes the cookie away, so it comes once.
    let mut browser = site.browser();
    let asked = site.begins(&mut browser, "").await;
    let target = asked.returned("made-up");
    for word in ["code_refused", "flow_missing", "flow_missing"] {
        let answer = from_elsewhere(&mut browser, &target).await;
        assert_says(&answer, 401, word, "anew");
    }
}

#[tokio::test]
async fn an_address_whose_sign_ins_come_to_nothing_keeps_nobody_else_out() {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    let before = site.provider.got("/token").len();
    // What fails at the provider is no fault of the address, and has it wait for nothing.
    site.provider.change(|state| {
        let gone = ("500 Internal Server Error", "{}".to_owned());
        state.instead.insert("/token", gone);
    });
    for number in 0..128 {
        let (asked, flow) = begun(&site).await;
        let answer = comes_back(&site, Some(&flow), &asked.returned("made-up"), FAR).await;
        assert_says(&answer, 502, "provider_unavailable", &number.to_string());
    }
    let (asked, flow) = begun(&site).await;
    let good = site.answers(&asked, &site.claims(&asked, "anna-7"));
    let answer = comes_back(&site, Some(&flow), &good, FAR).await;
    assert_says(&answer, 429, "rate_limited", "too many");
    assert_eq!(answer.headers["retry-after"], "60");
    assert!(!answer.headers.contains_key("set-cookie"));
    assert_eq!(site.provider.got("/token").len(), before + 128);
    // What had to wait is not used up; elsewhere it goes on.
    site.provider.change(|state| state.instead.clear());
    let answer = comes_back(&site, Some(&flow), &good, OTHER).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // And in the same place once the others are over.
    site.actors.world.clock.turn(Duration::from_secs(600));
    let (asked, flow) = begun(&site).await;
    let good = site.answers(&asked, &site.claims(&asked, "anna-7"));
    let answer = comes_back(&site, Some(&flow), &good, FAR).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let given = answer.headers["set-cookie"].to_str().unwrap();
    assert!(given.starts_with(LOGIN), "{given}");
}

/// RFC 9126: to press the button costs the provider something already.
#[tokio::test]
async fn an_address_has_so_many_questions_pushed_and_others_theirs() {
    let site = Site::new().await;
    site.provider.change(|state| {
        let at = format!("{}/par", state.metadata["issuer"].as_str().unwrap());
        state.metadata["pushed_authorization_request_endpoint"] = json!(at);
    });
    let mut browser = site.browser();
    for number in 0..128 {
        let answer = pressed(&site, &mut browser, FAR).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
    }
    for _ in 0..3 {
        let answer = pressed(&site, &mut browser, FAR).await;
        assert_says(&answer, 429, "rate_limited", "too many");
        assert_eq!(answer.headers["retry-after"], "60");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    assert_eq!(site.provider.got("/par").len(), 128);
    for from in [OTHER, HERE] {
        let answer = pressed(&site, &mut browser, from).await;
        assert_eq!(answer.status, 200, "{from}: {}", answer.text());
    }
    site.actors.world.clock.turn(Duration::from_secs(600));
    let answer = pressed(&site, &mut browser, FAR).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
