//! Identity providers: signing in by one in a browser, and linking who that is.

mod heads;
mod provider;
mod refusals;
mod roles;
mod signing_in;
mod strangers;
mod unreachable;

use crate::actors::Actors;
use crate::pages::{Browser, ORIGIN};
use crate::world::{Answer, World};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_identity::oidc::{Answer as FromProvider, Flow, OidcClient};
use procura_proof::SessionKeys;
use procura_proof::session::audience_key;
use procura_server::{Config, GroupRole, OidcProvider, Web, WebOrigin};
use procura_token::ProviderKeys;
use procura_types::wire::RoleAssignment;
use procura_types::{Duration, Label, Role, Secret};
use procura_vault::Vault;
use provider::{ACCESS, CLIENT, FakeProvider, SECRET, jwk, token};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The cookie of a sign-in that is under way.
const FLOW: &str = "procura-oidc";
/// The provider of actors that sign in by none.
const ISSUER: &str = "https://login.example";

fn work() -> Label {
    "work".parse().unwrap()
}

/// One that nobody asks anything.
fn silent(issuer: &str) -> OidcProvider {
    OidcProvider {
        title: None,
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret_file: None,
        scopes: vec!["openid".to_owned()],
        groups_claim: None,
        roles: Vec::new(),
        networks: Vec::new(),
        ca_file: None,
    }
}

/// Configures a provider of which identities can be linked, as [`link_proof`] makes them.
pub(crate) fn configured(config: &mut Config) {
    config.oidc = BTreeMap::from([(work(), silent(ISSUER))]);
}

/// The session keys of an open vault.
struct Keys(Arc<Vault>);

impl SessionKeys for Keys {
    fn accepts(&self, epoch: u32) -> bool {
        self.0.session_roots().get(epoch).is_some()
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        let roots = self.0.session_roots();
        roots.get(epoch).map(|root| audience_key(root, audience))
    }
    fn current(&self) -> Option<u32> {
        self.0.session_roots().newest().map(|(epoch, _)| epoch)
    }
}

/// What the page gives somebody whom the provider of [`configured`] vouched for.
pub(crate) fn link_proof(actors: &Actors, subject: &str) -> String {
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let open = actors.world.app.open().unwrap();
    let (now, name) = (actors.world.now(), work());
    let client = OidcClient {
        provider: &name,
        issuer: ISSUER,
        client_id: CLIENT,
    };
    let flow = Flow::begin(client, None, "", now, &SystemEntropy).unwrap();
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": CLIENT, "nonce": flow.nonce(),
        "iat": now.as_secs(), "exp": now.as_secs() + 60,
    });
    let keys = json!({"keys": [jwk(&key, "k1")]}).to_string();
    let answer = FromProvider {
        id_token: &token(&key, &json!({"alg": "ES256", "kid": "k1"}), &claims),
        access_token: &Secret::new(ACCESS.to_owned()),
        keys: &ProviderKeys::parse(keys.as_bytes()).unwrap(),
        groups_claim: None,
        max_age: Duration::from_secs(3600),
    };
    let answered = flow.answered(&answer, now).unwrap();
    let keys = Keys(Arc::clone(&open.vault));
    answered.proven().link_proof(&keys, now).unwrap()
}

/// Everybody, on a server with pages and one provider, whose group `ops` lends the role of
/// an approver in `shop`.
struct Site {
    // Stopped before what it was told.
    actors: Actors,
    provider: FakeProvider,
}

fn secret_file(home: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = home.join("oidc-work.secret");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Site {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut OidcProvider)) -> Self {
        let provider = FakeProvider::start().await;
        let world = World::configured(|config| {
            let mut work_terms = OidcProvider {
                title: Some("Example Login".parse().unwrap()),
                client_secret_file: Some(secret_file(&config.home)),
                groups_claim: Some("groups".to_owned()),
                roles: vec![GroupRole {
                    group: "ops".to_owned(),
                    role: RoleAssignment {
                        role: Role::Approver,
                        namespace: Some("shop".parse().unwrap()),
                    },
                }],
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                ..silent(&provider.url)
            };
            change(&mut work_terms);
            let other = "home".parse().unwrap();
            config.oidc = BTreeMap::from([
                (work(), work_terms),
                (other, silent("https://home.example")),
            ]);
            config.web = Web {
                enabled: true,
                origin: Some(WebOrigin::try_from(ORIGIN.to_owned()).unwrap()),
            };
        });
        Self {
            actors: Actors::within(world).await,
            provider,
        }
    }

    fn browser(&self) -> Browser<'_> {
        Browser::new(&self.actors.world)
    }

    /// Presses the button of the provider, and gives what the browser is led on with.
    async fn begins(&self, browser: &mut Browser<'_>, next: &str) -> Asked {
        let csrf = browser.token("/sign-in").await;
        let answer = browser.post("/oidc/work", &csrf, &[("next", next)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Asked::of(&answer)
    }

    /// The claims of somebody, in answer to this.
    fn claims(&self, asked: &Asked, subject: &str) -> Value {
        let now = self.actors.world.now().as_secs();
        json!({
            "iss": self.provider.url, "sub": subject, "aud": CLIENT,
            "nonce": asked.query["nonce"], "iat": now, "exp": now + 60,
            "auth_time": now,
        })
    }

    /// What the provider answers when somebody of these claims signs in there.
    fn answers(&self, asked: &Asked, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "k1"});
        let id_token = token(&self.provider.key, &header, claims);
        let code = self.provider.grant(&asked.query, id_token);
        asked.returned(&code)
    }

    /// Signs in somebody there, and comes back.
    async fn signs_in(&self, browser: &mut Browser<'_>, subject: &str, more: Value) -> Answer {
        let asked = self.begins(browser, "").await;
        let mut claims = self.claims(&asked, subject);
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let back = self.answers(&asked, &claims);
        from_elsewhere(browser, &back).await
    }

    /// Links a subject to an operator, from the page on.
    async fn link(&self, name: &str, subject: &str) -> Value {
        let answer = self.signs_in(&mut self.browser(), subject, json!({})).await;
        let proof = proof_in(&answer);
        let target = format!("/v1/operators/{name}/identities");
        let body = json!({"proof": proof});
        self.actors.ok(name, "POST", &target, body).await
    }

    /// Why nobody was signed in by this subject, as the record has it.
    async fn recorded(&self) -> Vec<(String, String)> {
        let list = "/v1/ledger/entries?action=operator.oidc.use&limit=100";
        let found = self.actors.ok("alice", "GET", list, Value::Null).await;
        let entries = found["entries"].as_array().unwrap().iter();
        entries
            .map(|row| serde_json::from_str::<Value>(row["entry"].as_str().unwrap()).unwrap())
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                (text("reason"), text("resource"))
            })
            .collect()
    }
}

/// The way back of a browser: another site led it here, so it leaves strict cookies out.
async fn from_elsewhere(browser: &mut Browser<'_>, target: &str) -> Answer {
    let flow = browser.cookies.get(FLOW).cloned();
    let mut led = browser.clone();
    led.cookies.clear();
    led.cookies.extend(flow.map(|flow| (FLOW.to_owned(), flow)));
    let mut sent = led.sent("GET", target, &[]);
    let field = ("sec-fetch-site".to_owned(), "cross-site".to_owned());
    sent.headers.push(field);
    // What it is given it keeps.
    browser.send(&sent).await
}

/// The link proof that a page shows.
fn proof_in(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text
        .split_once("id=\"proof\">")
        .unwrap_or_else(|| panic!("no proof: {text}"));
    rest.split('<').next().unwrap().to_owned()
}

/// What a browser is led to a provider with.
struct Asked {
    url: String,
    query: BTreeMap<String, String>,
}

impl Asked {
    fn of(answer: &Answer) -> Self {
        let refresh = answer.headers["refresh"].to_str().unwrap();
        let url = refresh.strip_prefix("0; url=").unwrap().to_owned();
        let (_, query) = url.split_once('?').unwrap();
        let query = form_urlencoded::parse(query.as_bytes());
        Self {
            query: query.into_owned().collect(),
            url,
        }
    }

    /// Where the provider leads back to with this code.
    fn returned(&self, code: &str) -> String {
        let state = &self.query["state"];
        format!("/oidc/work/callback?code={code}&state={state}")
    }
}
