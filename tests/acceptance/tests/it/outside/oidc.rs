//! Sign-in by an identity provider that is not ours (a certified one, on this machine), in a
//! browser without a script.

use super::Program;
use crate::scene::operator;
use procura_acceptance::{Guide, IdentityProvider, Installation, PASSPHRASE, Search};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

const ROLES: &str = "groups_claim = \"groups\"
[[oidc.work.roles]]
group = \"ops\"
role = \"approver\"
namespace = \"shop\"
";

/// A server, a provider that knows it, and a browser.
struct Site {
    server: Installation,
    browser: Program,
    text: String,
    // It goes on as long as the server asks it.
    provider: IdentityProvider,
}

impl Site {
    fn start(alg: &str, is_pushed: bool) -> Self {
        let mut provider = IdentityProvider::start(alg, is_pushed);
        let text = provider.config();
        let server = Installation::configured(&format!("{text}{ROLES}"));
        server.cli(&["namespace", "create", "shop"]).ok();
        let origin = provider.leads_back(&server);
        Self {
            browser: Program::node("oidc_browser.mjs", &[&origin]),
            server,
            text,
            provider,
        }
    }

    /// Somebody who types what the guide says: the first block is typed, and the server was
    /// not started again yet.
    fn guided() -> (Self, Guide) {
        let mut provider = IdentityProvider::start("RS256", false);
        let server = Installation::configured("[web]\nenabled = true\n");
        server.cli(&["namespace", "create", "shop"]).ok();
        let origin = provider.leads_back(&server);
        let secret = format!("{}\n", provider.secret());
        std::fs::write(server.folder().join("secret.txt"), secret).unwrap();
        let mut guide = Guide::open("guides/identity-providers.md", server.folder());
        guide.set("PROCURA_HOME", server.home().to_str().unwrap());
        guide.set("PROCURA_SERVER", server.url());
        guide.set("ISSUER", provider.url());
        guide.block();
        let site = Self {
            browser: Program::node("oidc_browser.mjs", &[&origin]),
            server,
            text: String::new(),
            provider,
        };
        (site, guide)
    }

    /// Starts the server again, by what its configuration says now.
    fn starts_again(&mut self) {
        self.server.stop();
        self.server.start_again();
        self.server.unseal().ok();
    }

    /// Has the browser do something, and gives where it came to.
    #[track_caller]
    fn does(&mut self, todo: &Value) -> Value {
        self.browser.tell(&todo.to_string());
        self.browser.hear()
    }

    /// Signs in as somebody there, which nobody linked yet, and gives the link proof.
    #[track_caller]
    fn proof(&mut self, account: &str) -> String {
        let said = self.does(&json!({"as": account}));
        let found = (
            &said["status"],
            &said["title"],
            &said["login"],
            &said["flow"],
        );
        let expected = (
            &json!(401),
            &json!("Not linked yet"),
            &json!(false),
            &json!(false),
        );
        assert_eq!(found, expected, "{said}");
        said["proof"].as_str().unwrap().to_owned()
    }
}

#[test]
fn an_operator_signs_in_by_a_provider_of_somebody_else() {
    for (alg, is_pushed) in [("RS256", false), ("ES256", true), ("EdDSA", false)] {
        let mut site = Site::start(alg, is_pushed);
        let proof = site.proof("anna");
        let link = ["--json", "operator", "oidc", "link"];
        let linked = site.server.cli_with(&link, proof.as_bytes()).ok().json();
        assert_eq!(
            (&linked["subject"], &linked["provider"], &linked["called"]),
            (&json!("anna"), &json!("work"), &json!("anna")),
            "{alg}"
        );
        let said = site.does(&json!({"as": "anna"}));
        assert!(
            said["at"].as_str().unwrap().ends_with("/requests"),
            "{said}"
        );
        assert_eq!(
            (&said["status"], &said["who"], &said["login"], &said["flow"]),
            (&json!(200), &json!("alice"), &json!(true), &json!(false)),
            "{alg}: {said}"
        );
        // What came back once is of no use again.
        let again = site.does(&json!({"again": true}));
        assert_eq!(again["status"], 401, "{again}");
        assert!(
            again["codes"].to_string().contains("flow_missing"),
            "{again}"
        );
        // Whoever is signed in proves it anew there.
        let said = site.does(&json!({"as": "anna"}));
        assert_eq!(said["who"], "alice", "{said}");
        let logins = ["--json", "operator", "logins"];
        let logins = site.server.cli(&logins).ok().json();
        let logins = logins["logins"].as_array().unwrap().clone();
        assert_eq!(logins.len(), 1, "{logins:?}");
        assert_eq!(logins[0]["amr"], "oidc");
        // Without the link it is nobody, at once.
        let id = linked["id"].as_str().unwrap();
        let unlink = ["operator", "oidc", "unlink", "--", id];
        site.server.cli(&unlink).ok();
        let said = site.does(&json!({"look": "/requests"}));
        assert!(said["at"].as_str().unwrap().ends_with("/sign-in"), "{said}");
        let list = ["--json", "operator", "oidc", "list"];
        let list = site.server.cli(&list).ok().json();
        assert_eq!(list["identities"], json!([]));
        let mut search = Search::new(site.provider.secret());
        search.bytes("the log", site.server.server_said().as_bytes());
        search.folder(&site.server.home());
        search.assert_nowhere();
        let said = site.server.server_said();
        assert!(
            !said.contains("callback?") && !said.contains("eyJ"),
            "{said}"
        );
    }
}

#[test]
fn groups_of_the_provider_lend_roles_while_the_configuration_says_so() {
    let mut site = Site::start("RS256", false);
    site.server.cli(&["namespace", "create", "bank"]).ok();
    let home = operator(&site.server, "bob", "auditor@bank");
    for account in ["anna", "bert"] {
        let proof = site.proof(account);
        let link = ["operator", "oidc", "link"];
        site.server
            .cli_in(&home, PASSPHRASE, &link, proof.as_bytes())
            .ok();
        site.does(&json!({"forget": "127.0.0.1"}));
    }
    let shop = json!({"look": "/requests?namespace=shop"});
    // `anna` is in `ops` there, `bert` is not; both are bob here.
    for (account, status) in [("bert", 404), ("anna", 200)] {
        let said = site.does(&json!({"as": account}));
        assert_eq!(
            (&said["status"], &said["who"]),
            (&json!(200), &json!("bob")),
            "{said}"
        );
        assert_eq!(site.does(&shop)["status"], status, "{account}");
        site.does(&json!({"forget": "127.0.0.1"}));
    }
    let key = ["-n", "shop", "request", "list"];
    let _ = site.server.cli_in(&home, PASSPHRASE, &key, b"").code(77);
    let record = ["--json", "audit", "list", "--everywhere", "--limit", "200"];
    let record = site.server.cli(&record).ok().text();
    assert!(record.contains("lent=approver@shop"), "{record}");
    // What is taken out of the configuration is lent no more, by web logins of before either.
    let file = site.server.home().join("procura.toml");
    std::fs::write(&file, &site.text).unwrap();
    site.starts_again();
    let said = site.does(&json!({"look": "/requests"}));
    assert_eq!(
        (&said["status"], &said["who"]),
        (&json!(200), &json!("bob")),
        "{said}"
    );
    assert_eq!(site.does(&shop)["status"], 404);
    // Where the section is of another client, the web logins of before are nobody's.
    let other = site
        .text
        .replace("client_id = \"procura\"", "client_id = \"other\"");
    assert_ne!(other, site.text);
    std::fs::write(&file, other).unwrap();
    site.starts_again();
    let said = site.does(&json!({"look": "/requests"}));
    assert!(said["at"].as_str().unwrap().ends_with("/sign-in"), "{said}");
    std::fs::write(&file, &site.text).unwrap();
    site.starts_again();
    let said = site.does(&json!({"as": "anna"}));
    assert_eq!(said["who"], "bob", "{said}");
    // And without the provider nobody is signed in by it any more.
    std::fs::write(&file, "[web]\nenabled = true\n").unwrap();
    site.starts_again();
    let said = site.does(&json!({"look": "/requests"}));
    assert!(said["at"].as_str().unwrap().ends_with("/sign-in"), "{said}");
}

#[test]
fn what_the_guide_says_to_type_lets_an_operator_in() {
    let (mut site, mut guide) = Site::guided();
    let file = site.server.home().join("procura.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // As the guide says of a provider that is not in the public internet.
    std::fs::write(&file, text + "networks = [\"127.0.0.0/8\"]\n").unwrap();
    site.starts_again();
    let proof = site.proof("anna");
    let link = ["operator", "oidc", "link"];
    site.server.cli_with(&link, proof.as_bytes()).ok();
    site.server.cli(&["login"]).ok();
    let said = guide.block();
    assert!(said.contains("work") && said.contains("anna"), "{said}");
    let said = site.does(&json!({"as": "anna"}));
    assert_eq!(
        (&said["status"], &said["who"]),
        (&json!(200), &json!("alice")),
        "{said}"
    );
    guide.block();
    guide.is_done();
    site.starts_again();
    let said = site.does(&json!({"as": "anna"}));
    assert_eq!(said["who"], "alice", "{said}");
    let record = ["--json", "audit", "list", "--everywhere", "--limit", "200"];
    let record = site.server.cli(&record).ok().text();
    assert!(record.contains("lent=approver@shop"), "{record}");
}

/// A configuration that would be unsafe does not start.
#[test]
fn a_secret_that_others_can_read_is_used_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "client-secret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let home = folder.path().join("home");
    let text = format!(
        "[web]\nenabled = true\n[oidc.work]\nissuer = \"https://login.example\"\n\
         client_id = \"procura\"\nclient_secret_file = \"{}\"\n",
        file.display()
    );
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(home.join("procura.toml"), text).unwrap();
    let started = std::process::Command::new(procura_acceptance::program("procura"))
        .args([
            "server",
            "--listen",
            "127.0.0.1:0",
            "--health-listen",
            "127.0.0.1:0",
        ])
        .env("PROCURA_HOME", &home)
        .output()
        .unwrap();
    assert_eq!(started.status.code(), Some(78), "{started:?}");
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(
        said.contains("oidc.work: client_secret_file") && said.contains("chmod 600"),
        "{said}"
    );
}
