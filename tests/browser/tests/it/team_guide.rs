//! What the guide for a team says to type is typed, and what it says to do in a browser is
//! done in one: from nothing to people, hosts and agents.

use crate::site::app_code;
use procura_acceptance::{Guide, Receiver};
use procura_browser::{Browser, ENTER, SPACE, Screen};
use std::net::{Ipv4Addr, TcpListener};

const STRIPE_KEY: &str = "canary-of-stripe-4f";
const DB_URL: &str = "canary-of-the-database-93";

/// What `operator totp` gave to an app, as somebody scans it.
fn scanned(printed: &str) -> &str {
    let mut words = printed.split_whitespace();
    let found = words.find(|word| word.starts_with("otpauth:"));
    found.unwrap_or_else(|| panic!("nothing to scan: {printed}"))
}

/// What follows a word in what a host shows.
fn shown<'a>(text: &'a str, word: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    let found = lines.find_map(|line| line.strip_prefix(word));
    found.unwrap_or_else(|| panic!("{text}")).trim()
}

/// The text of the next message in the chat.
fn told(chat: &Receiver) -> String {
    let (path, message) = chat.hear();
    assert_eq!(path, "/hooks/team", "{message}");
    message["text"].as_str().unwrap().to_owned()
}

fn sign_in(browser: &Browser, name: &str, password: &str, code: &str) {
    for (field, typed) in [("Name", name), ("Password", password), ("Code", code)] {
        browser.tab_to(field);
        browser.press(typed);
    }
    browser.leave(|browser| browser.press(ENTER));
}

#[test]
fn a_team_goes_from_nothing_to_people_hosts_and_agents() {
    let folder = tempfile::Builder::new()
        .prefix("procura-team-")
        .tempdir()
        .unwrap();
    let chat = Receiver::start();
    // The rest is chance, as the guide says.
    for (name, text) in [
        ("stripe-key.txt", STRIPE_KEY),
        ("db-url.txt", DB_URL),
        ("chat-url.txt", &chat.url("/hooks/team")),
    ] {
        std::fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    // The name that a browser binds passkeys to on one machine.
    let url = listen.replace("127.0.0.1", "http://localhost");
    let mut guide = Guide::open("guides/team.md", folder.path());
    guide.set("LISTEN", &listen);
    guide.set("PUBLIC_URL", &url);
    // Another test may be at the port that the guide names.
    guide.set("HEALTH", "127.0.0.1:0");

    // 0: what the rest starts from.
    let programs = guide.block();
    assert_eq!(programs.lines().count(), 3, "{programs}");
    let password = guide.file("bob-password.txt").trim().to_owned();
    assert_eq!(password.len(), 32, "{password}");
    // 1 and 2: a server, three people.
    guide.block();
    guide.block();
    // 3: ways into a browser.
    guide.block();
    for (variable, file) in [("BOB_CODE", "bob-app.txt"), ("CAROL_CODE", "carol-app.txt")] {
        let code = app_code(scanned(&guide.file(file)), 0);
        guide.set(variable, &code);
    }
    guide.block();
    guide.block();
    let carol = Browser::open(Screen::Phone);
    carol.plug_in_passkeys();
    carol.go(&format!("{url}/passkey/enrol"));
    carol.tab_to("Code");
    carol.press(guide.file("passkey-code.txt").trim());
    carol.tab_to("Name of the passkey");
    carol.press("Phone of carol");
    carol.tab_to("Enrol a passkey");
    carol.leave(|browser| browser.press(SPACE));
    carol.tab_to("Sign in with a passkey");
    carol.leave(|browser| browser.press(ENTER));
    carol.see("Requests that wait");
    let bob = Browser::open(Screen::Desk);
    bob.go(&format!("{url}/sign-in"));
    let recovery = guide.file("bob-recovery.txt");
    let code = recovery.lines().next().unwrap();
    sign_in(&bob, "bob", &password, code);
    bob.see("Requests that wait");

    // 4: what agents need.
    guide.block();
    // 5: two hosts. bob sees on the page what the host shows.
    let screen = guide.block();
    let code = shown(&screen, "code").to_owned();
    bob.go(&format!("{url}/device?user_code={code}"));
    bob.tab_to("Look");
    bob.leave(|browser| browser.press(SPACE));
    bob.see("build asks to join");
    bob.see(shown(&screen, "fingerprint"));
    bob.look("team-device");
    guide.block();
    guide.block();
    // 6: the chat.
    guide.block();
    assert!(told(&chat).contains("a test"));
    // 7: a policy.
    guide.block();

    // 8: the agents ask, and the chat hears it with what leads there.
    guide.block();
    let told = [told(&chat), told(&chat)];
    let [of_ci, of_clerk] = ["STRIPE_KEY", "DB_URL"].map(|name| {
        let found = told.iter().find(|text| text.contains(name));
        found.unwrap_or_else(|| panic!("{told:?}")).as_str()
    });
    let link = of_ci
        .split_whitespace()
        .find(|word| word.starts_with(&url))
        .unwrap_or_else(|| panic!("{of_ci}"));
    carol.go(link);
    carol.see("stripe/key");
    carol.look("team-request");
    carol.tab_to("Approve with a passkey");
    carol.leave(|browser| browser.press(SPACE));
    carol.see("is over: approved");
    let (_, command) = of_clerk.split_once("procura request approve ").unwrap();
    let request = command.split_whitespace().next().unwrap().to_owned();
    let said = guide.block();
    assert!(said.contains(&request), "{said}");
    let said = guide.block();
    for value in [STRIPE_KEY, DB_URL] {
        let length = format!("{} characters", value.len());
        assert!(said.contains(&length), "{said}");
    }

    // 9: a key for automation, as long as there is any.
    let said = guide.block();
    assert!(
        said.contains("stripe/key") && !said.contains("canary"),
        "{said}"
    );
    let row = said.lines().find(|line| line.starts_with("deploy "));
    let row = row.unwrap_or_else(|| panic!("{said}"));
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[1], "live", "{said}");
    let said = guide.block();
    assert!(said.contains("\"revoked\""), "{said}");

    // 10: what came of it.
    let said = guide.block();
    let is_use = |line: &&str| line.contains("run.deliver") && line.contains("allow");
    assert_eq!(said.lines().filter(is_use).count(), 2, "{said}");
    let would = said.lines().find(|line| line.contains("would_deny"));
    assert!(would.is_some_and(|line| line.contains("clerk")), "{said}");
    for agent in ["ci-1", "ci-2", "ci-3", "scribe", "clerk"] {
        assert!(said.contains(agent), "{agent}: {said}");
    }
    for operator in ["alice", "bob", "carol"] {
        assert!(said.contains(operator), "{operator}: {said}");
    }
    for text in told {
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(said.contains("Phone of carol"), "{said}");

    // 11: two stewards, and what takes both.
    let said = guide.block();
    guide.is_done();
    let row = said.lines().find(|line| line.starts_with("bob "));
    let row = row.unwrap_or_else(|| panic!("{said}"));
    for role in ["steward", "admin@shop", "approver@shop"] {
        assert!(row.contains(role), "{said}");
    }
    for act in [
        "make_shares",
        "rotate_root",
        "end_namespace",
        "use_break_glass",
    ] {
        let rule = said.lines().find(|line| line.starts_with(act));
        let rule = rule.unwrap_or_else(|| panic!("{act}: {said}"));
        assert_eq!(rule.split_whitespace().nth(1), Some("2"), "{said}");
    }
}
