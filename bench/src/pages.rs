//! Pages as a browser asks for them, one after the other: where twenty requests wait and
//! one device, and of a web login that is found, checked and shown each time.

use crate::Outcome;
use crate::browser::{Browser, token_of};
use crate::device_codes::Hosts;
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

/// A page that is looked at.
struct Looked<'a> {
    figure: &'static str,
    path: &'a str,
    /// What is sent, where the page answers a form.
    form: Option<&'a str>,
    /// What stands in it.
    words: &'static str,
}

impl<'a> Looked<'a> {
    /// A page that is at an address.
    const fn at(figure: &'static str, path: &'a str, words: &'static str) -> Self {
        Self {
            figure,
            path,
            form: None,
            words,
        }
    }

    /// How long it takes, in microseconds: half of the answers, and 99 of 100.
    async fn by(&self, browser: &mut Browser) -> Outcome<(f64, f64)> {
        let mut micros = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            let begun = Instant::now();
            let page = match self.form {
                Some(form) => browser.post(self.path, form).await?,
                None => browser.get(self.path).await?,
            };
            micros.push(begun.elapsed().as_secs_f64() * 1e6);
            if !page.contains(self.words) {
                return Err(format!("{} does not say {}", self.path, self.words).into());
            }
        }
        micros.sort_by(f64::total_cmp);
        let late = micros.get(LOOKS * 99 / 100).copied();
        Ok((median(micros), late.unwrap_or(f64::NAN)))
    }
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
    let authority = installation.authority();
    let mut browser = Browser::sign_in(authority, &name, (PASSWORD, code.as_str())).await?;
    let host = Hosts::ask(authority, 1).await?;
    let page = browser.get("/device").await?;
    let typed = format!(
        "csrf={}&user_code={}&namespace={NAMESPACE}",
        token_of(&page)?,
        host.code()
    );
    let one = format!("/requests/{NAMESPACE}/{request}");
    let pages = [
        Looked::at("page_requests", "/requests", "Requests that wait"),
        Looked::at("page_request", one.as_str(), "What it asks for"),
        Looked::at("page_grants", "/grants", "Grants that hold"),
        Looked::at("page_alarms", "/alarms", "Alarms"),
        Looked::at("page_account", "/account", "This browser"),
        Looked::at("page_device", "/device", "A device asks to join"),
        Looked {
            form: Some(typed.as_str()),
            ..Looked::at("page_device_shown", "/device", "bench asks to join")
        },
        Looked::at("page_sign_in", "/sign-in", "Sign in"),
        Looked::at("page_passkey", "/passkey/enrol", "Enrol a passkey"),
    ];
    let mut figures = Vec::new();
    for page in pages {
        let (half, late) = page.by(&mut browser).await?;
        say(&format!("{}: {:.1} ms", page.figure, half / 1e3));
        figures.push(Figure::plain(page.figure, half / 1e3, "ms").latency(half, late));
    }
    Ok(figures)
}
