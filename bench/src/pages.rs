//! Pages as a browser asks for them, one after the other: where twenty requests wait, and
//! of a web login that is found, checked and shown each time.

use crate::Outcome;
use crate::connection::Connection;
use crate::installation::Installation;
use crate::report::{Figure, median, say};
use crate::values::{self, NAMESPACE};
use procura_client::{SessionClient, SystemClock};
use procura_crypto::{TotpSecret, totp_step};
use procura_types::wire::{ProjectPut, RunAnswer, RunRequest};
use procura_types::{
    Clock as _, Delivery, EnvName, Label, Namespace, ProjectName, RequestId, Secret, SecretPath,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Requests that wait, as many as a page shows of one of several namespaces.
const REQUESTS: u32 = 20;
/// How often each page is asked for; half of the answers came sooner than the figure.
const LOOKS: usize = 201;
const AGENT: &str = "asks-for-much";
const PROJECT: &str = "pages";
/// Protects nothing: the home is gone when the measuring is over.
const PASSWORD: &str = "correct horse battery staple 7";

/// A browser that is signed in.
struct Browser {
    authority: String,
    connection: Connection,
    cookie: String,
}

impl Browser {
    /// Signs in with a name, the password and a code.
    async fn sign_in(authority: &str, name: &Label, code: &str) -> Outcome<Self> {
        let mut browser = Self {
            authority: authority.to_owned(),
            connection: Connection::open(authority).await?,
            cookie: String::new(),
        };
        let page = browser.get("/sign-in").await?;
        let token = between(&page, "name=\"csrf\" value=\"", '"')?.to_owned();
        let password = PASSWORD.replace(' ', "+");
        let form = format!("csrf={token}&name={name}&password={password}&code={code}&next=");
        let request = format!(
            "POST /sign-in HTTP/1.1\r\nhost: {authority}\r\norigin: http://{authority}\r\ncookie: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            browser.cookie,
            form.len()
        );
        let answer = browser.connection.exchange(request.as_bytes()).await?;
        if answer.status != 303 {
            let said = String::from_utf8_lossy(answer.body);
            return Err(format!("nobody was signed in: {said}").into());
        }
        let head = std::str::from_utf8(answer.head)?;
        browser.cookie = between(head, "set-cookie: ", ';')?.to_owned();
        Ok(browser)
    }

    /// A page, and the cookie if it gives one and there is none.
    async fn get(&mut self, path: &str) -> Outcome<String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\n\r\n",
            self.authority, self.cookie
        );
        let answer = self.connection.exchange(request.as_bytes()).await?;
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

    /// How long a page takes that has `words` in it, in microseconds.
    async fn look(&mut self, path: &str, words: &str) -> Outcome<(f64, f64)> {
        let mut micros = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            let begun = Instant::now();
            let page = self.get(path).await?;
            micros.push(begun.elapsed().as_secs_f64() * 1e6);
            if !page.contains(words) {
                return Err(format!("{path} does not say {words}").into());
            }
        }
        micros.sort_by(f64::total_cmp);
        let late = micros.get(LOOKS * 99 / 100).copied();
        Ok((median(micros), late.unwrap_or(f64::NAN)))
    }
}

/// The text behind `mark`, up to `end`.
fn between<'a>(text: &'a str, mark: &str, end: char) -> Outcome<&'a str> {
    let (_, rest) = text.split_once(mark).ok_or("a page lacks what it has")?;
    Ok(rest.split(end).next().unwrap_or_default())
}

/// The code of a recovery, after password and authenticator app were set.
async fn account(calls: &SessionClient, name: &Label) -> Outcome<String> {
    calls
        .set_password(name, Secret::new(PASSWORD.to_owned()))
        .await?;
    let app = calls.begin_totp(name).await?;
    let app = TotpSecret::from_base32(app.secret.expose()).ok_or("no secret of an app")?;
    let code = app.code(totp_step(SystemClock.now()));
    calls.confirm_totp(name, code).await?;
    let codes = calls.make_recovery_codes(name).await?;
    let code = codes.codes.first().ok_or("no recovery code")?;
    Ok(code.expose().clone())
}

/// Has an agent ask for one name after the other; the last request.
async fn ask(installation: &Installation, calls: &SessionClient) -> Outcome<RequestId> {
    let (namespace, project) = (
        NAMESPACE.parse::<Namespace>()?,
        PROJECT.parse::<ProjectName>()?,
    );
    let device = installation
        .join_by(&installation.agent_code(AGENT)?)
        .await?;
    let mut env = BTreeMap::new();
    for number in 0..REQUESTS {
        let mut path = Vec::new();
        values::append_path(&mut path, number);
        let path: SecretPath = std::str::from_utf8(&path)?.parse()?;
        env.insert(format!("KEY_{number}").parse::<EnvName>()?, path);
    }
    let names: Vec<String> = env.keys().map(ToString::to_string).collect();
    let put = ProjectPut {
        agents: vec![AGENT.parse::<Label>()?],
        env,
    };
    calls.put_project(&namespace, &project, &put).await?;
    let agent = installation.calls_of(&device)?;
    let mut last = None;
    for name in names {
        let run = RunRequest {
            names: vec![name],
            delivery: Delivery::Env,
            caller: None,
        };
        match agent.start_run(&namespace, &project, &run).await? {
            RunAnswer::Pending(pending) => last = Some(pending.request),
            RunAnswer::Values(_) => return Err("an agent has values without a grant".into()),
        }
    }
    last.ok_or_else(|| "no request waits".into())
}

/// Measures the pages of an installation of its own in `dir`.
pub(crate) async fn measure(dir: &Path) -> Outcome<Vec<Figure>> {
    let folder = tempfile::Builder::new().prefix("pages-").tempdir_in(dir)?;
    let installation = Installation::make_with(folder, &[("PROCURA_WEB", "{ enabled = true }")])?;
    let owner = installation.join().await?;
    installation.write(&owner, 0..REQUESTS).await?;
    let calls = installation.calls_of(&owner)?;
    let name: Label = "bench".parse()?;
    let request = ask(&installation, &calls).await?;
    let code = account(&calls, &name).await?;
    let mut browser = Browser::sign_in(installation.authority(), &name, &code).await?;
    let mut figures = Vec::new();
    let one = format!("/requests/{NAMESPACE}/{request}");
    for (figure, path, words) in [
        ("page_requests", "/requests", "Requests that wait"),
        ("page_request", one.as_str(), "What it asks for"),
        ("page_grants", "/grants", "Grants that hold"),
        ("page_alarms", "/alarms", "Alarms"),
        ("page_account", "/account", "This browser"),
    ] {
        let (half, late) = browser.look(path, words).await?;
        say(&format!("{path}: {:.1} ms", half / 1e3));
        figures.push(Figure::plain(figure, half / 1e3, "ms").latency(half, late));
    }
    Ok(figures)
}
