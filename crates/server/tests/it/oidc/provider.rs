//! An identity provider on this machine that does as it is told: it answers about itself,
//! gives its keys, and tokens for codes that a test made it give out.

use crate::notify::receiver;
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_types::encoding::b64url;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(super) const CLIENT: &str = "procura";
pub(super) const SECRET: &str = "client-secret-canary-9c1e";
pub(super) const ACCESS: &str = "access-token-canary-77ab";

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) form: BTreeMap<String, String>,
}

/// What a code stands for.
struct Granted {
    challenge: String,
    redirect_uri: String,
    id_token: String,
}

/// What it is told.
pub(super) struct State {
    /// What it says of itself.
    pub(super) metadata: Value,
    /// The keys that it shows.
    pub(super) keys: Vec<Value>,
    /// Answers over all else, by path: a status line, and a body.
    pub(super) instead: BTreeMap<&'static str, (&'static str, String)>,
    pub(super) got: Vec<Got>,
    granted: BTreeMap<String, Granted>,
}

/// One that listens.
pub(super) struct FakeProvider {
    pub(super) url: String,
    pub(super) key: SigningKey,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A key as it is shown.
pub(super) fn jwk(key: &SigningKey, kid: &str) -> Value {
    let mut jwk = serde_json::to_value(key.public().to_jwk()).unwrap();
    jwk["kid"] = json!(kid);
    jwk["use"] = json!("sig");
    jwk
}

/// A token of these claims under the key `kid`.
pub(super) fn token(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| b64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", b64url(&signature))
}

impl FakeProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let state = Arc::new(Mutex::new(State {
            metadata: json!({
                "issuer": url,
                "authorization_endpoint": format!("{url}/auth"),
                "token_endpoint": format!("{url}/token"),
                "jwks_uri": format!("{url}/keys"),
            }),
            keys: vec![jwk(&key, "k1")],
            instead: BTreeMap::new(),
            got: Vec::new(),
            granted: BTreeMap::new(),
        }));
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self {
            url,
            key,
            state,
            task,
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// The requests for this path.
    pub(super) fn got(&self, path: &str) -> Vec<Got> {
        let state = self.state.lock().unwrap();
        let got = state.got.iter().filter(|got| got.path == path);
        got.cloned().collect()
    }

    /// Gives out a code for what was asked, for which there will be this ID token.
    pub(super) fn grant(&self, asked: &BTreeMap<String, String>, id_token: String) -> String {
        let code = b64url(&sha256(format!("{}{id_token}", asked["state"]).as_bytes()));
        let granted = Granted {
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            id_token,
        };
        self.change(|state| {
            state.granted.insert(code.clone(), granted);
        });
        code
    }
}

impl State {
    fn answer(&mut self, got: &Got) -> (&'static str, String) {
        if let Some((status, body)) = self.instead.get(got.path.as_str()) {
            return (*status, body.clone());
        }
        match got.path.as_str() {
            "/.well-known/openid-configuration" => ("200 OK", self.metadata.to_string()),
            "/keys" => ("200 OK", json!({"keys": self.keys}).to_string()),
            "/par" => (
                "201 Created",
                json!({"request_uri": "urn:x:1", "expires_in": 60}).to_string(),
            ),
            "/token" => self.redeem(got),
            _ => ("404 Not Found", String::new()),
        }
    }

    /// RFC 6749 §4.1.3, RFC 7636 §4.6.
    fn redeem(&mut self, got: &Got) -> (&'static str, String) {
        let refused = (
            "400 Bad Request",
            json!({"error": "invalid_grant"}).to_string(),
        );
        let field = |name: &str| got.form.get(name).map_or("", String::as_str);
        let expected = format!("{CLIENT}:{SECRET}");
        let basic = procura_types::encoding::b64_standard(expected.as_bytes());
        let by_header = got.authorization == Some(format!("Basic {basic}"));
        if !by_header && field("client_secret") != SECRET {
            return (
                "401 Unauthorized",
                json!({"error": "invalid_client"}).to_string(),
            );
        }
        // Once.
        let Some(granted) = self.granted.remove(field("code")) else {
            return refused;
        };
        let challenge = b64url(&sha256(field("code_verifier").as_bytes()));
        let is_right = field("grant_type") == "authorization_code"
            && field("redirect_uri") == granted.redirect_uri
            && challenge == granted.challenge;
        if !is_right {
            return refused;
        }
        let tokens = json!({
            "id_token": granted.id_token, "access_token": ACCESS,
            "token_type": "Bearer", "expires_in": 60, "scope": "openid",
        });
        ("200 OK", tokens.to_string())
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(got) = read(&mut stream).await else {
        return;
    };
    let (status, body) = {
        let mut state = state.lock().unwrap();
        state.got.push(got.clone());
        state.answer(&got)
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // Whoever hears too much hangs up.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let receiver::Got {
        target,
        fields,
        body,
    } = receiver::read(stream).await?;
    Some(Got {
        path: target.split('?').next().unwrap().to_owned(),
        authorization: fields.get("authorization").cloned(),
        form: form_urlencoded::parse(&body).into_owned().collect(),
    })
}
