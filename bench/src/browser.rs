//! A browser, as far as pages need one: it keeps a cookie and sends forms from their own
//! origin.

use crate::Outcome;
use crate::connection::Connection;
use procura_types::Label;

/// A browser on one connection.
pub(crate) struct Browser {
    authority: String,
    connection: Connection,
    cookie: String,
}

impl Browser {
    /// One in which nobody signed in: it has looked at the form for that. With what its
    /// forms have to carry.
    pub(crate) async fn begin(authority: &str) -> Outcome<(Self, String)> {
        let mut browser = Self {
            authority: authority.to_owned(),
            connection: Connection::open(authority).await?,
            cookie: String::new(),
        };
        let page = browser.get("/sign-in").await?;
        let token = token_of(&page)?.to_owned();
        Ok((browser, token))
    }

    /// Signs in with a name, a password and a code.
    pub(crate) async fn sign_in(
        authority: &str,
        name: &Label,
        (password, code): (&str, &str),
    ) -> Outcome<Self> {
        let (mut browser, token) = Self::begin(authority).await?;
        let password = password.replace(' ', "+");
        let form = format!("csrf={token}&name={name}&password={password}&code={code}&next=");
        let request = browser.form("/sign-in", &form);
        let answer = browser.connection.exchange(&request).await?;
        if answer.status != 303 {
            let said = String::from_utf8_lossy(answer.body);
            return Err(format!("nobody was signed in: {said}").into());
        }
        let head = std::str::from_utf8(answer.head)?;
        browser.cookie = between(head, "set-cookie: ", ';')?.to_owned();
        Ok(browser)
    }

    /// A form as it goes out.
    pub(crate) fn form(&self, path: &str, form: &str) -> Vec<u8> {
        let Self {
            authority, cookie, ..
        } = self;
        format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\norigin: http://{authority}\r\ncookie: {cookie}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        )
        .into_bytes()
    }

    /// A page, and the cookie if it gives one and there is none.
    pub(crate) async fn get(&mut self, path: &str) -> Outcome<String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\n\r\n",
            self.authority, self.cookie
        );
        self.exchange(path, request.as_bytes()).await
    }

    /// The page that answers a form.
    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Outcome<String> {
        let request = self.form(path, form);
        self.exchange(path, &request).await
    }

    async fn exchange(&mut self, path: &str, request: &[u8]) -> Outcome<String> {
        let answer = self.connection.exchange(request).await?;
        if answer.status != 200 {
            return Err(format!("{path} is answered with {}", answer.status).into());
        }
        let head = std::str::from_utf8(answer.head)?;
        if self.cookie.is_empty()
            && let Ok(cookie) = between(head, "set-cookie: ", ';')
        {
            cookie.clone_into(&mut self.cookie);
        }
        Ok(String::from_utf8(answer.body.to_vec())?)
    }
}

/// What forms of a page carry, so that they are known to come from there.
pub(crate) fn token_of(page: &str) -> Outcome<&str> {
    between(page, "name=\"csrf\" value=\"", '"')
}

/// The text behind `mark`, up to `end`.
fn between<'a>(text: &'a str, mark: &str, end: char) -> Outcome<&'a str> {
    let (_, rest) = text.split_once(mark).ok_or("a page lacks what it has")?;
    Ok(rest.split(end).next().unwrap_or_default())
}
