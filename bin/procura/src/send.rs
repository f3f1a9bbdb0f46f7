//! `request`: either one signed request to any service, or what agents ask for.

use crate::context::Context;
use crate::failure::Failure;
use crate::outgoing::Asked;
use crate::{output, request};
use clap::Args;
use procura_client::{ClientError, ServiceAnswer};
use procura_types::{Duration, RequestId, encoding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest that a service may take to answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Send one signed request, like curl; or see what agents ask for, and say yes or no
///
/// With a method and a URL: sends the request with its proof, and prints the body
/// of the answer as it is. Redirects are not followed, since a proof is for one
/// URL. The exit code is 0 for a status below 400, 77 for 4xx, and 69 for 429, 5xx
/// and no answer.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    override_usage = "procura request [OPTIONS] <METHOD> <URL> [BODY]\n       procura request [OPTIONS] <COMMAND>",
    after_help = "Examples:\n  procura request GET https://svc.example/items?page=2\n  procura request POST https://svc.example/items @item.json --profile key-server-v1 --key ~/.ssh/scribe --agent-id scribe\n  procura request list"
)]
pub(crate) struct Request {
    #[command(subcommand)]
    command: Option<request::Command>,
    /// Print the status line and the headers of the answer too
    #[arg(long, short)]
    include: bool,
    /// Send over http:// to another machine, for anybody on the way to read
    #[arg(long)]
    danger_plain_http: bool,
    #[command(flatten)]
    asked: Asked,
}

/// What `request METHOD URL --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    status: u16,
    headers: BTreeMap<&'a str, Vec<String>>,
    /// When it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// When it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_b64: Option<String>,
}

impl Request {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            None => send(context, self.asked, self.include, self.danger_plain_http).await,
            Some(command) if self.asked.is_empty() && !self.include && !self.danger_plain_http => {
                command.run(context).await
            }
            // A body that is one of these four words is read as one of them.
            Some(_) => Err(Failure::usage(
                "list, show, approve and deny do not go together with a request to send",
            )
            .next("@FILE, for a body that is one of these words")),
        }
    }
}

async fn send(
    context: &Context,
    asked: Asked,
    include: bool,
    danger_plain_http: bool,
) -> Result<(), Failure> {
    let ca = context.ca_pem()?;
    let target = asked.target(context)?;
    if !target.is_private() && !danger_plain_http {
        return Err(Failure::usage(
            "plain http:// is accepted for this machine only (127.0.0.1, [::1], localhost)",
        )
        .next("https://, or --danger-plain-http if everybody on the way may read it"));
    }
    let authority = target.authority().to_owned();
    let native = asked.is_native();
    let request = asked.prove(context, target).await?;
    let mut headers = request.headers;
    for (name, value) in [
        ("accept", "*/*"),
        ("user-agent", concat!("procura/", env!("CARGO_PKG_VERSION"))),
    ] {
        if !headers.iter().any(|(known, _)| known == name) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let answer = request
        .target
        .send(
            &request.method,
            &headers,
            request.body,
            ca.as_deref(),
            PATIENCE,
        )
        .await
        .map_err(unanswered)?;
    show(context, &answer, include)?;
    judge(&authority, native, &answer)
}

/// Other words than for the server: nobody here knows who should be there.
fn unanswered(error: ClientError) -> Failure {
    match error {
        ClientError::Unreachable { advice, .. } => Failure::unreachable(error.to_string())
            .next(advice.unwrap_or("check the URL, and that the service runs")),
        ClientError::NotUnderstood { .. } => Failure::unreachable(error.to_string())
            .next("procura sign, and a program that takes such an answer"),
        other => other.into(),
    }
}

fn show(context: &Context, answer: &ServiceAnswer, include: bool) -> Result<(), Failure> {
    let body = answer.body.expose().as_slice();
    if context.json {
        let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, value) in &answer.headers {
            let value = String::from_utf8_lossy(value).into_owned();
            headers.entry(name).or_default().push(value);
        }
        let text = std::str::from_utf8(body).ok();
        return output::json(&Shown {
            status: answer.status,
            headers,
            body: text,
            body_b64: text.is_none().then(|| encoding::b64url(body)),
        });
    }
    if include {
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, answer.phrase).into_bytes();
        for (name, value) in &answer.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        output::bytes(&head)?;
    }
    output::bytes(body)
}

/// A status that is a no becomes a failure (`spec/exit-codes.md`).
fn judge(authority: &str, native: bool, answer: &ServiceAnswer) -> Result<(), Failure> {
    let what = format!("{authority} answered {} {}", answer.status, answer.phrase);
    let what = what.trim_end();
    match answer.status {
        ..=399 => Ok(()),
        429 | 500.. => Err(Failure::unreachable(what).next("the command again, in a moment")),
        status => {
            let refused = Failure::refused(what);
            Err(match advice(status, native, answer.body.expose()) {
                Some(next) => refused.next(next),
                None => refused,
            })
        }
    }
}

/// What a body says that is a refusal of Procura's, by a server or a gate. It may be
/// anybody's: none of it is repeated that is not of a type of ours.
#[derive(Deserialize, Default)]
struct Said {
    code: Option<String>,
    reason: Option<String>,
    request: Option<RequestId>,
}

fn advice(status: u16, native: bool, body: &[u8]) -> Option<String> {
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let next = match (status, said.reason.as_deref()) {
        (401, _) if said.code.as_deref() == Some("token_refused") => {
            "procura project token list, which shows what became of it; the device that uses it issues another"
        }
        (401, Some("unknown_agent")) if native => {
            "check --key; or join the device: procura operator join CODE, or procura join CODE for an agent's"
        }
        (401, Some("unknown_agent")) => {
            "check --profile, --key and --agent-id; or register its key: keys/agents/ID.pub in the server's home"
        }
        (401, Some("api_key_missing")) => {
            "-H @FILE, with the file of its token; procura api-key list, typed by its operator, shows which keys there are"
        }
        (401, _) if said.code.as_deref() == Some("api_key_refused") => {
            "procura api-key list, typed by its operator, which shows what became of it; --key is the key that it was made with"
        }
        (403, Some("api_key_scope")) => {
            "procura api-key list, typed by its operator, which shows what it was made for"
        }
        (401, _) => "check --profile, --key and --agent-id; procura doctor compares the clocks",
        (421, Some("host_unknown")) => "the gate's --host, which has to name the host of the URL",
        (403, Some("approval_required")) => {
            return Some(match said.request {
                Some(id) => format!("procura request approve {id}, by an approver"),
                None => "procura request list, by an approver".to_owned(),
            });
        }
        _ => return None,
    };
    Some(next.to_owned())
}
