//! `device pending|approve|deny`: machines that ask to be let in.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use procura_client::ClientError;
use procura_types::wire::DeviceGrant;
use procura_types::{Label, UserCode};

/// Lists who asks. The codes are on their screens and nowhere else.
pub(crate) async fn pending(context: &Context) -> Result<(), Failure> {
    let server = context.operator().await?;
    let list = server.device_grants(&context.namespace).await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["DEVICE", "HOST", "FROM", "ASKED", "EXPIRES"]);
    for grant in list.grants {
        table.row([
            grant.device.to_string(),
            host(&grant),
            from(&grant),
            grant.asked.to_string(),
            grant.expires.to_string(),
        ]);
    }
    table.print("nobody asks")
}

/// Shows the device of a code, and on a yes lets it in as one of the agent's.
pub(crate) async fn approve(context: &Context, code: &str, agent: Label) -> Result<(), Failure> {
    let (shown, again) = (parsed(code)?, parsed(code)?);
    let server = context.operator().await?;
    let grant = server
        .device_grant(&context.namespace, shown)
        .await
        .map_err(unfound)?;
    if !context.json {
        output::say(output::plain(&words(&grant)));
    }
    let namespace = &context.namespace;
    let question = match grant.legacy {
        true => format!(
            "Is it the machine that you look at, and is it to log in as {agent} in {namespace}?"
        ),
        false => format!(
            "Does the machine show {} too, and is it to be {agent} in {namespace}?",
            grant.fingerprint.as_deref().unwrap_or("the same"),
        ),
    };
    context.confirm(&question)?;
    let device = grant.device;
    let approved = server
        .approve_device_grant(&context.namespace, again, agent.clone(), device)
        .await
        .map_err(unfound)?;
    let done = match grant.legacy {
        true => format!("approved: it logs in as {agent} within its ten minutes"),
        false => format!("approved: the device {device} joins as {agent} within its ten minutes"),
    };
    output::done(context.json, &approved, done)
}

/// Says no to the device of a code.
pub(crate) async fn deny(context: &Context, code: &str) -> Result<(), Failure> {
    let code = parsed(code)?;
    let server = context.operator().await?;
    let denied = server
        .deny_device_grant(&context.namespace, code)
        .await
        .map_err(unfound)?;
    let done = match denied.legacy {
        true => "denied: it does not log in".to_owned(),
        false => format!("denied: the device {} does not join", denied.device),
    };
    output::done(context.json, &denied, done)
}

fn parsed(code: &str) -> Result<UserCode, Failure> {
    code.parse().map_err(|error: procura_types::Malformed| {
        Failure::usage(error.to_string())
            .next("the code as the machine shows it; procura device pending lists who asks")
    })
}

/// What to do about a code that is none of a machine that asks: the words for link codes
/// lead elsewhere.
fn unfound(error: ClientError) -> Failure {
    let is_code = ["unknown_code", "code_expired"]
        .iter()
        .any(|reason| error.is_refusal(reason));
    let failure = Failure::from(error);
    if is_code {
        failure.next("the code as the machine shows it; procura device pending lists who asks")
    } else {
        failure
    }
}

fn from(grant: &DeviceGrant) -> String {
    grant
        .from
        .map_or_else(|| "this machine".to_owned(), |from| from.to_string())
}

/// What it says that it is called, and of which kind it is where that is not ours.
fn host(grant: &DeviceGrant) -> String {
    match grant.legacy {
        true => format!("{} (CortexAuth)", grant.host),
        false => grant.host.to_string(),
    }
}

/// What is known of a machine that asks.
fn words(grant: &DeviceGrant) -> String {
    if grant.legacy {
        return format!(
            "  host         {} (as it says itself)\n  from         {}\n  asked        {}\n  expires      {}\n\nA client of CortexAuth asks to log in. It shows no key, so there is no fingerprint: whoever\nhas its code gets a token, which is good for thirty days and of no use without the key of\nthe agent. It becomes no device.",
            grant.host,
            from(grant),
            grant.asked,
            grant.expires,
        );
    }
    format!(
        "  host         {} (as it says itself)\n  from         {}\n  asked        {}\n  expires      {}\n  device       {}\n  fingerprint  {}",
        grant.host,
        from(grant),
        grant.asked,
        grant.expires,
        grant.device,
        grant.fingerprint.as_deref().unwrap_or("-"),
    )
}
