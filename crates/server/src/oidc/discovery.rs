//! What a provider says of itself (OpenID Connect Discovery §3, RFC 8414), looked at: it is
//! the provider that is configured, it does what is needed here, and its addresses are as
//! safe as its own.

use super::fault::Fault;
use procura_client::Target;
use serde::Deserialize;

/// What it is called in words of ours.
const WHAT: &str = "description (/.well-known/openid-configuration)";

/// How this server shows a provider who it is (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// It has no secret.
    None,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// What is needed of what a provider says.
#[derive(Debug)]
pub(super) struct Metadata {
    authorization: String,
    /// Where codes are exchanged.
    pub(super) token: Target,
    /// Where its keys are.
    pub(super) keys: Target,
    /// Where what it is asked is sent before (RFC 9126).
    pub(super) push: Option<Target>,
    /// Whether its answers say who they are from (RFC 9207).
    pub(super) says_issuer: bool,
    pub(super) auth: ClientAuth,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    pushed_authorization_request_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    response_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Where a provider describes itself (OpenID Connect Discovery §4).
pub(super) fn address(issuer: &str) -> Result<Target, Fault> {
    let base = issuer.trim_end_matches('/');
    Target::parse(&format!("{base}/.well-known/openid-configuration"))
        .map_err(|_| Fault::Unfit(WHAT, "has no address"))
}

impl Metadata {
    /// Reads a description.
    pub(super) fn parse(bytes: &[u8], issuer: &str, has_secret: bool) -> Result<Self, Fault> {
        let unfit = |why| Fault::Unfit(WHAT, why);
        if bytes.first() != Some(&b'{') {
            return Err(unfit("is no JSON object"));
        }
        let said: Document = serde_json::from_slice(bytes)
            .map_err(|_| unfit("lacks what it needs, or says it in another form"))?;
        // §4.3: else anybody could answer in another's name.
        if said.issuer != issuer {
            return Err(unfit("names another issuer than the configured one"));
        }
        let offers = |list: &Option<Vec<String>>, any: &[&str]| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|one| any.contains(&one.as_str())))
        };
        if !offers(&said.response_types_supported, &["code"]) {
            return Err(unfit("does not offer the authorization code flow"));
        }
        if !offers(&said.code_challenge_methods_supported, &["S256"]) {
            return Err(unfit("does not offer PKCE by S256"));
        }
        let algorithms = ["RS256", "ES256", "EdDSA", "Ed25519"];
        if !offers(&said.id_token_signing_alg_values_supported, &algorithms) {
            return Err(unfit("offers no signature that is accepted"));
        }
        let at = |text: &str| safe(text, issuer).ok_or(unfit("has an address that is not safe"));
        at(&said.authorization_endpoint)?;
        let methods = said.token_endpoint_auth_methods_supported.as_deref();
        Ok(Self {
            token: at(&said.token_endpoint)?,
            keys: at(&said.jwks_uri)?,
            push: said
                .pushed_authorization_request_endpoint
                .as_deref()
                .map(at)
                .transpose()?,
            says_issuer: said.authorization_response_iss_parameter_supported,
            auth: auth(methods, has_secret).ok_or(unfit("takes no client secret"))?,
            authorization: said.authorization_endpoint,
        })
    }

    /// The address that a browser is led to with this (RFC 6749 §3.1: a query that is there
    /// stays).
    pub(super) fn authorization_url(&self, asked: &[(&'static str, String)]) -> String {
        let join = if self.authorization.contains('?') {
            '&'
        } else {
            '?'
        };
        let query = super::exchange::encoded(asked.iter().map(|(name, value)| (*name, value)));
        format!("{}{join}{}", self.authorization, query.expose())
    }
}

/// An address, if it is encrypted, or if that of the provider itself is on this machine.
/// Where it leads is looked at when it is connected to.
fn safe(text: &str, issuer: &str) -> Option<Target> {
    let target = Target::parse(text).ok()?;
    let is_safe = target.scheme() == "https" || issuer.starts_with("http://");
    (is_safe && target.is_private()).then_some(target)
}

/// `client_secret_basic` where nothing is said (OpenID Connect Discovery §3).
fn auth(methods: Option<&[String]>, has_secret: bool) -> Option<ClientAuth> {
    if !has_secret {
        return Some(ClientAuth::None);
    }
    let Some(methods) = methods else {
        return Some(ClientAuth::Basic);
    };
    let offers = |method: &str| methods.iter().any(|one| one == method);
    if offers("client_secret_basic") {
        Some(ClientAuth::Basic)
    } else {
        offers("client_secret_post").then_some(ClientAuth::Post)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://login.example";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example/auth",
            "token_endpoint": "https://tokens.example/token",
            "jwks_uri": "https://login.example/keys",
        })
    }

    fn read(document: &Value, issuer: &str, has_secret: bool) -> Result<Metadata, &'static str> {
        Metadata::parse(document.to_string().as_bytes(), issuer, has_secret).map_err(|fault| {
            match fault {
                Fault::Unfit(_, why) => why,
                other => panic!("another fault: {other}"),
            }
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut document = document();
        document[name] = value;
        document
    }

    #[test]
    fn what_is_announced_counts_and_the_rest_is_as_the_standard_says() {
        let said = read(&document(), ISSUER, true).unwrap();
        assert_eq!(said.auth, ClientAuth::Basic);
        assert!(said.push.is_none() && !said.says_issuer);
        let methods = |list: Value| with("token_endpoint_auth_methods_supported", list);
        for (list, auth) in [
            (json!(["client_secret_post"]), ClientAuth::Post),
            (
                json!(["client_secret_post", "client_secret_basic"]),
                ClientAuth::Basic,
            ),
        ] {
            assert_eq!(read(&methods(list), ISSUER, true).unwrap().auth, auth);
        }
        let none = methods(json!(["private_key_jwt"]));
        assert_eq!(
            read(&none, ISSUER, true).unwrap_err(),
            "takes no client secret"
        );
        assert_eq!(read(&none, ISSUER, false).unwrap().auth, ClientAuth::None);
        let more = with(
            "authorization_response_iss_parameter_supported",
            json!(true),
        );
        assert!(read(&more, ISSUER, true).unwrap().says_issuer);
        let push = with(
            "pushed_authorization_request_endpoint",
            json!("https://login.example/par"),
        );
        assert!(read(&push, ISSUER, true).unwrap().push.is_some());
    }

    #[test]
    fn a_description_that_is_not_safe_is_none() {
        let unsafe_ = "has an address that is not safe";
        for (document, why) in [
            (json!([]), "is no JSON object"),
            (json!({}), "lacks what it needs, or says it in another form"),
            (
                with("issuer", json!("https://login.example/")),
                "names another issuer than the configured one",
            ),
            (
                with("issuer", json!("https://evil.example")),
                "names another issuer than the configured one",
            ),
            (
                with("token_endpoint", json!("http://login.example/token")),
                unsafe_,
            ),
            (
                with("token_endpoint", json!("http://127.0.0.1/token")),
                unsafe_,
            ),
            (with("jwks_uri", json!("file:///etc/passwd")), unsafe_),
            (
                with("jwks_uri", json!("https://a@login.example/keys")),
                unsafe_,
            ),
            (
                with("authorization_endpoint", json!("javascript:alert(1)")),
                unsafe_,
            ),
            (
                with(
                    "authorization_endpoint",
                    json!("https://login.example/\r\nx: y"),
                ),
                unsafe_,
            ),
            (
                with("authorization_endpoint", json!("https://login.example/#x")),
                unsafe_,
            ),
            (
                with("response_types_supported", json!(["id_token"])),
                "does not offer the authorization code flow",
            ),
            (
                with("code_challenge_methods_supported", json!(["plain"])),
                "does not offer PKCE by S256",
            ),
            (
                with(
                    "id_token_signing_alg_values_supported",
                    json!(["HS256", "none"]),
                ),
                "offers no signature that is accepted",
            ),
        ] {
            assert_eq!(
                read(&document, ISSUER, true).unwrap_err(),
                why,
                "{document}"
            );
        }
        // One on this machine may have addresses there; still none elsewhere without TLS.
        let local = "http://127.0.0.1:8080";
        let mut document = json!({
            "issuer": local,
            "authorization_endpoint": "http://127.0.0.1:8080/auth",
            "token_endpoint": "http://127.0.0.1:8080/token",
            "jwks_uri": "http://127.0.0.1:8080/keys",
        });
        assert!(read(&document, local, true).is_ok());
        document["jwks_uri"] = json!("http://10.0.0.1/keys");
        assert_eq!(read(&document, local, true).unwrap_err(), unsafe_);
    }

    #[test]
    fn what_is_asked_stands_behind_what_is_there() {
        let asked = [("state", "a b&c".to_owned()), ("nonce", "ü".to_owned())];
        let said = read(&document(), ISSUER, true).unwrap();
        let query = "state=a+b%26c&nonce=%C3%BC";
        assert_eq!(
            said.authorization_url(&asked),
            format!("https://login.example/auth?{query}")
        );
        let tenant = with(
            "authorization_endpoint",
            json!("https://login.example/auth?tenant=7"),
        );
        let said = read(&tenant, ISSUER, true).unwrap();
        assert_eq!(
            said.authorization_url(&asked),
            format!("https://login.example/auth?tenant=7&{query}")
        );
        let found = address("https://login.example/realms/one/").unwrap();
        assert_eq!(found.path(), "/realms/one/.well-known/openid-configuration");
    }
}
