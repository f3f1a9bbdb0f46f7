//! What this server says to a provider itself: a question that is pushed (RFC 9126), and a
//! code that is exchanged for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).

use super::discovery::{ClientAuth, Metadata};
use super::fault::Fault;
use super::provider::Provider;
use http::{HeaderName, HeaderValue, header};
use procura_client::{OutwardDocument, Target};
use procura_types::{Secret, SecretBytes, encoding};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Room for what is sent: a form that grew would leave copies behind.
const ROOM: usize = 8 * 1024;
/// The longest name of a pushed question.
const LONGEST_REQUEST_URI: usize = 512;

const TOKENS: &str = "token endpoint";
const PUSH: &str = "pushed authorization request endpoint";

/// What a provider gives for a code.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: Secret<String>,
    pub(super) access_token: Secret<String>,
    token_type: String,
}

/// Why there are no tokens.
pub(super) enum Unredeemed {
    /// The provider does not know the code, or gave something for it before.
    Refused,
    /// It does not answer as it should.
    Fault(Fault),
}

impl From<Fault> for Unredeemed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a provider says went wrong (RFC 6749 §5.2).
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// The answer to a pushed question (RFC 9126 §2.2).
#[derive(Deserialize)]
struct Pushed {
    request_uri: String,
}

/// Fields as `application/x-www-form-urlencoded`.
pub(super) fn encoded<'a, V: AsRef<str> + 'a>(
    fields: impl Iterator<Item = (&'a str, V)>,
) -> Secret<String> {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(ROOM));
    for (name, value) in fields {
        form.append_pair(name, value.as_ref());
    }
    Secret::new(form.finish())
}

fn read<T: DeserializeOwned>(document: &OutwardDocument) -> Option<T> {
    let bytes = document.body.expose();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

impl Provider {
    /// Sends a form, with what shows who this server is.
    async fn post(
        &self,
        (what, target): (&'static str, &Target),
        auth: ClientAuth,
        mut fields: Vec<(&str, Secret<String>)>,
    ) -> Result<OutwardDocument, Fault> {
        let mut headers = vec![
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            ),
            (header::ACCEPT, HeaderValue::from_static("application/json")),
        ];
        match (auth, self.secret()?) {
            (ClientAuth::Basic, Some(secret)) => headers.push(basic(self.client_id(), &secret)?),
            (ClientAuth::Post, Some(secret)) => fields.push(("client_secret", secret)),
            _ => {}
        }
        // Who asks; beside the header it is the same (RFC 6749 §3.2.1).
        if auth != ClientAuth::Basic && !fields.iter().any(|(name, _)| *name == "client_id") {
            let client_id = Secret::new(self.client_id().to_owned());
            fields.push(("client_id", client_id));
        }
        let mut form = encoded(fields.iter().map(|(name, value)| (*name, value.expose())));
        let body = SecretBytes::new(std::mem::take(form.expose_mut()).into_bytes());
        self.ask((what, target), &headers, Some(body)).await
    }

    /// Pushes a question, and gives the name under which a browser asks it.
    pub(super) async fn push(
        &self,
        metadata: &Metadata,
        asked: &[(&'static str, String)],
    ) -> Result<String, Fault> {
        let Some(target) = &metadata.push else {
            return Err(Fault::Unfit(PUSH, "is not there"));
        };
        let fields = asked
            .iter()
            .map(|(name, value)| (*name, Secret::new(value.clone())))
            .collect();
        let answer = self.post((PUSH, target), metadata.auth, fields).await?;
        if answer.status != 201 {
            return Err(Fault::Status(PUSH, answer.status));
        }
        let pushed: Pushed = read(&answer).ok_or(Fault::Unfit(PUSH, "names no request"))?;
        if pushed.request_uri.is_empty() || pushed.request_uri.len() > LONGEST_REQUEST_URI {
            return Err(Fault::Unfit(PUSH, "names no request"));
        }
        Ok(pushed.request_uri)
    }

    /// Exchanges a code.
    pub(super) async fn redeem(
        &self,
        metadata: &Metadata,
        code: Secret<String>,
        redirect_uri: &str,
        verifier: &Secret<String>,
    ) -> Result<Tokens, Unredeemed> {
        let text = |text: &str| Secret::new(text.to_owned());
        let fields = vec![
            ("grant_type", text("authorization_code")),
            ("code", code),
            ("redirect_uri", text(redirect_uri)),
            ("code_verifier", text(verifier.expose())),
        ];
        let to = (TOKENS, &metadata.token);
        let answer = self.post(to, metadata.auth, fields).await?;
        if answer.status != 200 {
            let refused = read::<Refused>(&answer);
            let is_code = refused.is_some_and(|refused| refused.error == "invalid_grant");
            return Err(if answer.status == 400 && is_code {
                Unredeemed::Refused
            } else {
                Fault::Status(TOKENS, answer.status).into()
            });
        }
        let tokens: Tokens =
            read(&answer).ok_or(Fault::Unfit(TOKENS, "gives no ID token and access token"))?;
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(Fault::Unfit(TOKENS, "gives another type of token").into());
        }
        Ok(tokens)
    }
}

/// `Authorization: Basic` (RFC 6749 §2.3.1): both parts are encoded as in a form first.
fn basic(client_id: &str, secret: &Secret<String>) -> Result<(HeaderName, HeaderValue), Fault> {
    let part = |text: &str| {
        let mut out = String::with_capacity(ROOM);
        out.extend(form_urlencoded::byte_serialize(text.as_bytes()));
        Secret::new(out)
    };
    let mut pair = part(client_id);
    pair.expose_mut().push(':');
    pair.expose_mut().push_str(part(secret.expose()).expose());
    let text = Secret::new(format!(
        "Basic {}",
        encoding::b64_standard(pair.expose().as_bytes())
    ));
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|_| Fault::Unfit(TOKENS, "cannot be shown the secret"))?;
    value.set_sensitive(true);
    Ok((header::AUTHORIZATION, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_the_header_are_encoded_first() {
        let secret = Secret::new("p%s:w&d é".to_owned());
        let (name, value) = basic("a b:c", &secret).unwrap();
        assert_eq!(name, header::AUTHORIZATION);
        let pair = "a+b%3Ac:p%25s%3Aw%26d+%C3%A9";
        let expected = format!("Basic {}", encoding::b64_standard(pair.as_bytes()));
        assert_eq!(value.to_str().unwrap(), expected);
        assert!(value.is_sensitive());
    }
}
