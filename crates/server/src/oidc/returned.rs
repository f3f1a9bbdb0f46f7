//! What a browser brings back from a provider, in the query of its way back (RFC 6749
//! §4.1.2, RFC 9207). What a provider adds beside it says nothing; nothing may be there
//! twice.

use procura_identity::oidc::OidcRefusal;
use procura_types::Secret;

/// The longest value that is looked at.
const LONGEST: usize = 4096;

/// The answer of a provider, as the browser brought it: anybody may have made it.
pub(super) struct Returned {
    /// Which question it answers.
    pub(super) state: Secret<String>,
    /// Who says that they answer.
    pub(super) issuer: Option<String>,
    code: Option<Secret<String>>,
    is_error: bool,
}

impl Returned {
    /// Reads a query.
    pub(super) fn read(query: Option<&str>) -> Result<Self, OidcRefusal> {
        let (mut state, mut code, mut issuer, mut error) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let place = match name.as_ref() {
                "state" => &mut state,
                "code" => &mut code,
                "iss" => &mut issuer,
                "error" => &mut error,
                _ => continue,
            };
            let is_text = !value.contains(['\0', char::REPLACEMENT_CHARACTER]);
            let value = Secret::new(value.into_owned());
            if !is_text || value.expose().len() > LONGEST || place.replace(value).is_some() {
                return Err(OidcRefusal::Malformed);
            }
        }
        Ok(Self {
            state: state.ok_or(OidcRefusal::WrongState)?,
            issuer: issuer.map(|issuer: Secret<String>| issuer.expose().clone()),
            code,
            is_error: error.is_some(),
        })
    }

    /// The code, if the provider signed somebody in.
    pub(super) fn code(self) -> Result<Secret<String>, OidcRefusal> {
        match self.code {
            _ if self.is_error => Err(OidcRefusal::ProviderRefused),
            Some(code) if !code.expose().is_empty() => Ok(code),
            _ => Err(OidcRefusal::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(String, String), OidcRefusal> {
        let returned = Returned::read(Some(query))?;
        let state = returned.state.expose().clone();
        Ok((state, returned.code()?.expose().clone()))
    }

    #[test]
    fn what_is_known_is_there_once_and_the_rest_says_nothing() {
        let good = Ok(("s".to_owned(), "c".to_owned()));
        for query in [
            "code=c&state=s",
            "state=s&code=c&session_state=1&session_state=2&scope=openid+email",
            "code=c&state=s&iss=https%3A%2F%2Flogin.example",
        ] {
            assert_eq!(read(query), good, "{query}");
        }
        let long = format!("state=s&code={}", "c".repeat(4097));
        for (query, refusal) in [
            ("", OidcRefusal::WrongState),
            ("code=c", OidcRefusal::WrongState),
            ("state=s", OidcRefusal::Malformed),
            ("state=s&code=", OidcRefusal::Malformed),
            ("state=s&code=c&code=d", OidcRefusal::Malformed),
            ("state=s&state=s&code=c", OidcRefusal::Malformed),
            ("state=s&code=c&iss=a&iss=b", OidcRefusal::Malformed),
            ("state=s&code=%00", OidcRefusal::Malformed),
            ("state=s&code=%ff", OidcRefusal::Malformed),
            (&long, OidcRefusal::Malformed),
            ("state=s&error=access_denied", OidcRefusal::ProviderRefused),
            ("state=s&error=&code=c", OidcRefusal::ProviderRefused),
        ] {
            assert_eq!(read(query), Err(refusal), "{query:.40}");
        }
    }
}
