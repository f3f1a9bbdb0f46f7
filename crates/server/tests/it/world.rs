//! An application in a home of its own, asked through its real routers.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use procura_crypto::{MacKey, SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::sign::{Signer, sign_request};
use procura_record::Spool;
use procura_server::serve::Peer;
use procura_server::{App, Config, admin, api};
use procura_types::wire::{InitAnswer, Problem};
use procura_types::{Cidr, Clock, Duration, FieldTuple, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tower::ServiceExt as _;

pub(crate) const AUTHORITY: &str = "127.0.0.1:7310";
pub(crate) const PASSPHRASE: &str = "canary passphrase 91c3";
/// Stands in every value and must be in no error.
pub(crate) const CANARY: &str = "canary-value-7e5d";

/// What a test's clock says at first, in milliseconds.
const BEGIN: u64 = 1_795_000_000_000;

/// A clock that the test turns.
pub(crate) struct TestClock {
    begin: u64,
    turned: AtomicU64,
    /// By how much it is wrong.
    ahead: AtomicU64,
    /// Since when it goes by itself, as the machine's does.
    goes: Option<Instant>,
    /// What time is measured by stands still too.
    stands: Option<Instant>,
}

impl TestClock {
    /// One that stands still.
    const fn still() -> Self {
        Self {
            begin: BEGIN,
            turned: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            goes: None,
            stands: None,
        }
    }

    /// One that shows the time of the machine, for what another program on it is asked.
    #[expect(
        clippy::disallowed_methods,
        reason = "the other program goes by the machine's clock"
    )]
    fn of_the_machine() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            begin: since.unwrap().as_millis().try_into().unwrap(),
            turned: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            goes: Some(Instant::now()),
            stands: None,
        }
    }

    pub(crate) fn turn(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.turned.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets it ahead, without any time going by.
    pub(crate) fn set_ahead(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.ahead.store(by, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let gone = self.goes.map_or(0, |since| since.elapsed().as_millis());
        let turned = self.turned.load(Ordering::SeqCst) + self.ahead.load(Ordering::SeqCst);
        Timestamp::from_millis(self.begin + turned + u64::try_from(gone).unwrap())
    }

    fn steady(&self) -> Instant {
        let now = self.stands.unwrap_or_else(Instant::now);
        now + Duration::from_millis(self.turned.load(Ordering::SeqCst))
    }
}

/// A request as it goes out.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    /// Without a proof.
    pub(crate) fn new(method: &str, target: &str, body: Option<&[u8]>) -> Self {
        let mut headers = vec![("host".to_owned(), AUTHORITY.to_owned())];
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: body.unwrap_or_default().to_vec(),
        }
    }

    pub(crate) fn signed(mut self, signer: Signer<'_>, now: Timestamp) -> Self {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let view = RequestView {
            method: &self.method,
            authority: AUTHORITY,
            scheme: None,
            path,
            query,
            headers: &self.headers,
            body: &self.body,
        };
        let signed = sign_request(&view, signer, now, &SystemEntropy).unwrap();
        let more = signed.headers.into_iter();
        self.headers
            .extend(more.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    pub(crate) fn set(&mut self, name: &str, change: impl Fn(&str) -> String) {
        let (_, value) = self
            .headers
            .iter_mut()
            .find(|(found, _)| found == name)
            .unwrap();
        *value = change(value);
    }

    pub(crate) fn nonce(&self) -> String {
        let (_, input) = self
            .headers
            .iter()
            .find(|(name, _)| name == "signature-input")
            .unwrap();
        input
            .split("nonce=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem, if it has exactly the form of one (RFC 9457).
    pub(crate) fn problem(&self, what: &str) -> Problem {
        let text = self.text();
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{what}: {text}"
        );
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
        let value = self.json();
        let known = [
            "type",
            "title",
            "status",
            "detail",
            "code",
            "reason",
            "field",
            "action",
            "namespace",
            "roles",
            "request_id",
            "trace_id",
        ];
        for key in value.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "{what}: {key}");
        }
        let problem: Problem = serde_json::from_value(value).unwrap();
        assert_eq!(
            problem.kind,
            format!("urn:procura:error:{}", problem.code),
            "{what}"
        );
        assert_eq!(problem.status, self.status.as_u16(), "{what}");
        let known = procura_server::problem::Code::ALL;
        let code = known
            .iter()
            .find(|code| code.as_str() == problem.code)
            .unwrap();
        assert_eq!(
            (code.status(), code.title()),
            (self.status, problem.title.as_str()),
            "{what}"
        );
        let id = &problem.request_id;
        assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "{what}: {id}");
        assert!(!problem.detail.is_empty());
        problem
    }

    /// That it is this error, for this reason, at this field.
    pub(crate) fn expect(&self, code: &str, reason: Option<&str>, field: Option<&str>, what: &str) {
        let problem = self.problem(what);
        let found = (
            problem.code.as_str(),
            problem.reason.as_deref(),
            problem.field.as_deref(),
        );
        assert_eq!(found, (code, reason, field), "{what}: {}", problem.detail);
    }
}

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<TestClock>,
    router: Router,
    admin: Router,
    pub(crate) home: tempfile::TempDir,
    /// Its replay guard is another program's.
    shares_guard: bool,
}

impl World {
    /// A home without an installation.
    pub(crate) fn empty() -> Self {
        Self::configured(|_| {})
    }

    /// As [`Self::empty`], with another configuration than the defaults.
    pub(crate) fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::by(TestClock::still(), change)
    }

    /// As [`Self::configured`], where no time passes but what the test turns: what a slow
    /// machine takes fills no bucket.
    pub(crate) fn standing(change: impl FnOnce(&mut Config)) -> Self {
        let clock = TestClock {
            stands: Some(Instant::now()),
            ..TestClock::still()
        };
        Self::by(clock, change)
    }

    /// As [`Self::configured`], at the time of the machine.
    pub(crate) fn on_the_machine(change: impl FnOnce(&mut Config)) -> Self {
        Self::by(TestClock::of_the_machine(), change)
    }

    fn by(clock: TestClock, change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(clock);
        let spool = Spool::open(&home.path().join("spool.jsonl")).unwrap();
        let mut config = Config::defaults(home.path().to_owned());
        // Receivers of tests are on this machine.
        let own: [Cidr; 2] = ["127.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        config.notify_networks = own.to_vec();
        change(&mut config);
        let shares_guard = config.guard_url.is_some();
        let app = Arc::new(App::new(
            config,
            Arc::<TestClock>::clone(&clock),
            Arc::new(SystemEntropy),
            spool,
            tempfile::tempfile().unwrap(),
        ));
        app.set_api_url(format!("http://{AUTHORITY}"));
        Self {
            router: api::router(Arc::clone(&app)),
            admin: admin::router(Arc::clone(&app)),
            app,
            clock,
            home,
            shares_guard,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn init(&self, key: &SigningKey) -> InitAnswer {
        let answer = self
            .admin("POST", "/admin/init", &init_body(key, PASSPHRASE))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_value(answer.json()).unwrap()
    }

    pub(crate) async fn admin(&self, method: &str, target: &str, body: &Value) -> Answer {
        let sent = Sent::new(method, target, Some(&serde_json::to_vec(body).unwrap()));
        ask(self.admin.clone(), &sent, None).await
    }

    pub(crate) async fn send(&self, sent: &Sent) -> Answer {
        self.send_from(sent, [127, 0, 0, 1].into()).await
    }

    pub(crate) async fn send_from(&self, sent: &Sent, peer: std::net::IpAddr) -> Answer {
        ask(self.router.clone(), sent, Some(peer)).await
    }

    /// The response to a request, whose body may have no end.
    pub(crate) async fn response(&self, sent: &Sent) -> axum::response::Response {
        respond(self.router.clone(), sent, Some([127, 0, 0, 1].into())).await
    }

    pub(crate) fn signed(
        &self,
        key: &SigningKey,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Sent {
        Sent::new(method, target, body).signed(Signer::Device(key), self.now())
    }

    pub(crate) async fn call(
        &self,
        key: &SigningKey,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(|body| serde_json::to_vec(body).unwrap());
        let mut tries = 0;
        loop {
            let sent = self.signed(key, method, target, body.as_deref());
            let answer = self.send(&sent).await;
            // A shared guard that does not answer within a quarter of a second, as on a
            // busy machine, lets nobody in: nothing was done, and it is asked for anew.
            let undecided = answer.json()["code"] == "verifier_unavailable";
            if !(self.shares_guard && undecided) || tries == 200 {
                return answer;
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// A call that has to succeed.
    pub(crate) async fn ok(
        &self,
        key: &SigningKey,
        method: &str,
        target: &str,
        body: Value,
    ) -> Value {
        let body = (!body.is_null()).then_some(body);
        let answer = self.call(key, method, target, body.as_ref()).await;
        assert!(
            answer.status.is_success(),
            "{method} {target}: {}",
            answer.text()
        );
        answer.json()
    }

    pub(crate) async fn in_session(
        &self,
        session: &TestSession,
        counter: u64,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(|body| serde_json::to_vec(body).unwrap());
        let signer = Signer::Session {
            id: &session.id,
            mac_key: &session.key,
            counter,
        };
        let sent = Sent::new(method, target, body.as_deref()).signed(signer, self.now());
        self.send(&sent).await
    }

    pub(crate) async fn seal(&self) {
        admin::seal(&self.app).await.unwrap();
    }

    pub(crate) async fn unseal(&self) {
        let answer = self
            .admin("POST", "/admin/unseal", &json!({"passphrase": PASSPHRASE}))
            .await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

pub(crate) struct TestSession {
    pub(crate) id: String,
    pub(crate) key: MacKey,
}

pub(crate) fn init_body(key: &SigningKey, passphrase: &str) -> Value {
    let message = FieldTuple::new("procura.init.v1").bytes(key.public().thumbprint().as_bytes());
    let signature = key.sign(message.as_bytes()).unwrap();
    json!({
        "passphrase": passphrase,
        "owner": "alice",
        "root_key": key.public().to_jwk(),
        "signature": procura_types::encoding::b64url(&signature),
    })
}

async fn respond(
    router: Router,
    sent: &Sent,
    peer: Option<std::net::IpAddr>,
) -> axum::response::Response {
    let mut request = Request::builder()
        .method(sent.method.as_str())
        .uri(&sent.target);
    for (name, value) in &sent.headers {
        request = request.header(name, value);
    }
    let mut request = request.body(Body::from(sent.body.clone())).unwrap();
    request.extensions_mut().insert(Peer(peer));
    router.oneshot(request).await.unwrap()
}

async fn ask(router: Router, sent: &Sent, peer: Option<std::net::IpAddr>) -> Answer {
    let response = respond(router, sent, peer).await;
    let (parts, body) = response.into_parts();
    let answer = Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    };
    if !answer.status.is_success() {
        let text = answer.text();
        let value = procura_types::encoding::b64url(CANARY.as_bytes());
        for secret in [CANARY, &value, PASSPHRASE] {
            assert!(
                !text.contains(secret),
                "{} {} tells a secret",
                sent.method,
                sent.target
            );
        }
    }
    answer
}
