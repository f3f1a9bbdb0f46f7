//! `request`: what agents ask for, and a person's answer.

use crate::context::{Context, Span};
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_client::{Page, RequestSigner};
use procura_ledger::{GrantTerms, grant_bytes, receipt_message};
use procura_types::wire::{
    AccessRequest, Approve, CallerReport, Grant, GrantItem, RequestList, RequestState,
};
use procura_types::{Delivery, EnvName, GrantId, InstallationId, RequestId, Timestamp};
use serde::Serialize;

/// See what agents ask for, and say yes or no
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List requests; those that wait, unless told otherwise
    #[command(after_help = "Example:\n  procura request list --all")]
    List {
        /// Those that were answered or have expired too
        #[arg(long)]
        all: bool,
    },
    /// Show all that there is to know about a request
    #[command(after_help = "Example:\n  procura request show 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11")]
    Show {
        /// The request
        id: RequestId,
    },
    Approve(ApproveArgs),
    /// Say no
    #[command(after_help = "Example:\n  procura request deny 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11")]
    Deny {
        /// The request
        id: RequestId,
    },
}

/// Say yes to a request, or to some of its names
///
/// The yes is signed with your own key over the exact grant, and everybody who
/// has the record can check it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura request approve 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11\n  procura request approve 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11 --names API_KEY,DB_URL --for 12h"
)]
pub(crate) struct ApproveArgs {
    /// The request
    id: RequestId,
    /// Only these names
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    names: Vec<EnvName>,
    /// For how long: 15m, 12h, 30d
    #[arg(long = "for", value_name = "TIME", default_value = "30d")]
    life: Span,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::List { all } => list(context, all).await,
            Self::Show { id } => {
                let server = context.operator().await?;
                let request = server.request(namespace, id).await?;
                if context.json {
                    return output::json(&request);
                }
                let mut text = describe(&request);
                if request.state == RequestState::Approved {
                    let grant = server.grant(namespace, grant_of(id)).await?;
                    text.push('\n');
                    text.push_str(&answered(&request, &grant));
                }
                output::line(output::plain(&text))
            }
            Self::Approve(approve) => approve.run(context).await,
            Self::Deny { id } => {
                context.operator().await?.deny(namespace, id).await?;
                let denied = Denied {
                    id,
                    state: RequestState::Denied,
                };
                output::done(context.json, &denied, format!("denied {id}"))
            }
        }
    }
}

/// What `request deny --json` prints.
#[derive(Serialize)]
struct Denied {
    id: RequestId,
    state: RequestState,
}

/// The grant that a yes to the request made: it has the request's id.
const fn grant_of(id: RequestId) -> GrantId {
    GrantId::from_bytes(*id.as_bytes())
}

/// What of an approved request the yes covers.
fn answered(request: &AccessRequest, grant: &Grant) -> String {
    let mut lines = vec![format!(
        "approved   {} until {}{}",
        names(&grant.items),
        grant.until,
        grant
            .withdrawn
            .map_or_else(String::new, |when| format!(", withdrawn {when}"))
    )];
    let mut rest = request.items.clone();
    rest.retain(|item| !grant.items.contains(item));
    if !rest.is_empty() {
        lines.push(format!("not given  {}", names(&rest)));
    }
    lines.join("\n")
}

async fn list(context: &Context, all: bool) -> Result<(), Failure> {
    let server = context.operator().await?;
    let mut found = RequestList {
        requests: Vec::new(),
        next: None,
    };
    let mut page = Page::first();
    loop {
        let part = server.requests(&context.namespace, &page).await?;
        found.requests.extend(part.requests);
        match part.next {
            Some(next) => page = Page::after(next),
            None => break,
        }
    }
    if !all {
        found
            .requests
            .retain(|request| request.state == RequestState::Pending);
    }
    if context.json {
        return output::json(&found);
    }
    let mut table = Table::new(["REQUEST", "AGENT", "PROJECT", "NAMES", "SINCE", "STATE"]);
    for request in found.requests {
        table.row([
            request.id.to_string(),
            request.lineage,
            request.project.to_string(),
            names(&request.items),
            request.created.to_string(),
            state(request.state).to_owned(),
        ]);
    }
    table.print(if all {
        "no requests"
    } else {
        "no requests wait"
    })
}

const fn state(state: RequestState) -> &'static str {
    match state {
        RequestState::Pending => "waits",
        RequestState::Approved => "approved",
        RequestState::Denied => "denied",
        RequestState::Expired => "expired",
        RequestState::Revoked => "agent revoked",
        RequestState::Ended => "ended",
    }
}

fn names(items: &[GrantItem]) -> String {
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    names.join(",")
}

/// Everything that an approver must know.
fn describe(request: &AccessRequest) -> String {
    let already: Vec<_> = request.already.iter().map(EnvName::as_str).collect();
    let mut lines = vec![
        format!("request    {} ({})", request.id, state(request.state)),
        format!("agent      {} ({})", request.lineage, request.agent),
        format!("project    {} in {}", request.project, request.namespace),
        format!(
            "delivery   {}: {} can read and keep the values",
            request.delivery.as_str(),
            match request.delivery {
                Delivery::Env | Delivery::File | Delivery::Stdin => "the process that runs",
                Delivery::Http =>
                    "whoever proves to be the agent, over HTTP and as often as they like,",
            }
        ),
        format!(
            "asked      {}, expires {}",
            request.created, request.expires
        ),
        format!(
            "has now    {}",
            if already.is_empty() {
                "nothing".to_owned()
            } else {
                already.join(", ")
            }
        ),
        "asks for".to_owned(),
    ];
    lines.extend(
        request
            .items
            .iter()
            .map(|item| format!("  {} = {}", item.name, item.path)),
    );
    if let Some(device) = &request.device {
        lines.insert(2, format!("device     {device}"));
    }
    if let Some(caller) = &request.caller {
        lines.push("the agent's machine says (not checked)".to_owned());
        lines.extend(describe_caller(caller));
    }
    lines.join("\n")
}

/// What a daemon said of a process, a line each. One field stays one line.
pub(crate) fn describe_caller(caller: &CallerReport) -> Vec<String> {
    let pid = caller.pid.map(|pid| pid.to_string());
    [
        ("host", &caller.host),
        ("os", &caller.os),
        ("pid", &pid),
        ("directory", &caller.cwd),
        ("git commit", &caller.git),
        ("executable", &caller.exe_sha256),
        ("arguments", &caller.argv_sha256),
    ]
    .into_iter()
    .filter_map(|(what, value)| {
        value
            .as_ref()
            .map(|value| format!("  {what}: {}", value.replace('\n', "\\n")))
    })
    .chain((caller.traced == Some(true)).then(|| "  it was being traced".to_owned()))
    .chain((caller.danger_same_uid == Some(true)).then(|| {
        "  danger: the daemon runs as the agent's own user, who can read its key".to_owned()
    }))
    .collect()
}

impl ApproveArgs {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let installation = context.known()?.installation;
        let server = context.operator().await?;
        let request = server.request(&context.namespace, self.id).await?;
        if request.state == RequestState::Revoked {
            return Err(Failure::refused("the agent is revoked")
                .next(format!("procura -n {} request list", context.namespace)));
        }
        if request.state == RequestState::Ended {
            return Err(Failure::refused(
                "the project was deleted or changed, and the request does not fit it any more",
            )
            .next(format!("procura -n {} request list", context.namespace)));
        }
        if request.state != RequestState::Pending {
            return Err(Failure::refused(format!(
                "{} is {} already",
                self.id,
                state(request.state)
            ))
            .next(format!("procura -n {} request list", context.namespace)));
        }
        // What is signed is what was asked here: another request or namespace
        // in the answer would put the signature under something else.
        if request.id != self.id || request.namespace != context.namespace {
            return Err(Failure::refused("the server answered with another request"));
        }
        let items = self.chosen(&request)?;
        let from = context.now();
        let until = from.plus(self.life.0);
        if !context.json {
            output::say(output::plain(&describe(&request)));
            output::say(format!("approving  {} until {until}", names(&items)));
        }
        context.agree("Approve?")?;
        let approve = signed(
            installation,
            &request,
            items,
            from,
            until,
            &self.names,
            server.signer(),
        )?;
        let grant = server
            .approve(&context.namespace, self.id, &approve)
            .await?;
        if context.json {
            return output::json(&grant);
        }
        output::say(format!(
            "approved until {}; procura -n {} grant withdraw {} takes it back",
            grant.until, context.namespace, grant.id
        ));
        Ok(())
    }

    /// The items approved: all, or those named.
    fn chosen(&self, request: &AccessRequest) -> Result<Vec<GrantItem>, Failure> {
        if let Some(stray) = self
            .names
            .iter()
            .find(|name| !request.items.iter().any(|item| item.name == **name))
        {
            return Err(Failure::usage(format!("{stray} was not asked for"))
                .because(format_args!("the request names {}", names(&request.items))));
        }
        let mut items = request.items.clone();
        if !self.names.is_empty() {
            items.retain(|item| self.names.contains(&item.name));
        }
        Ok(items)
    }
}

/// The approver's signed yes to exactly this grant.
fn signed(
    installation: InstallationId,
    request: &AccessRequest,
    items: Vec<GrantItem>,
    from: Timestamp,
    until: Timestamp,
    only: &[EnvName],
    signer: &dyn RequestSigner,
) -> Result<Approve, Failure> {
    let names = (!only.is_empty()).then(|| items.iter().map(|item| item.name.clone()).collect());
    let terms = GrantTerms {
        installation,
        grant: grant_of(request.id),
        namespace: request.namespace.clone(),
        agent: request.agent,
        project: request.project.clone(),
        delivery: request.delivery,
        from,
        until,
        items,
    };
    let signature = signer
        .sign(&receipt_message(&grant_bytes(&terms)))
        .map_err(|error| {
            Failure::refused("the approval was not signed")
                .because(error)
                .next("procura login")
        })?;
    Ok(Approve {
        names,
        from,
        until,
        signature,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::tests::grant;

    #[test]
    fn what_a_yes_covers_is_told_apart_from_what_was_asked() {
        let part = grant(1, 7, "shop", &[("API_KEY", "a/key")]);
        let mut whole = grant(1, 7, "shop", &[("API_KEY", "a/key"), ("DB_URL", "a/key")]);
        let request = AccessRequest {
            id: RequestId::from_bytes(*whole.id.as_bytes()),
            namespace: whole.namespace.clone(),
            agent: whole.agent,
            lineage: whole.lineage.clone(),
            project: whole.project.clone(),
            delivery: whole.delivery,
            items: whole.items.clone(),
            already: Vec::new(),
            device: None,
            caller: None,
            state: RequestState::Approved,
            created: whole.from,
            expires: whole.until,
        };
        assert_eq!(
            answered(&request, &part),
            "approved   API_KEY until 2026-12-01T00:00:00.000Z\nnot given  DB_URL"
        );
        whole.withdrawn = Some(whole.from);
        assert_eq!(
            answered(&request, &whole),
            "approved   API_KEY,DB_URL until 2026-12-01T00:00:00.000Z, withdrawn 2026-11-01T00:00:00.000Z"
        );
    }
}
