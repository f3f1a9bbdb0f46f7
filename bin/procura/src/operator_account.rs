//! `operator password`, `totp`, `recovery-codes`, `account` and `logins`: what an operator
//! signs in with in a browser.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::{shares, terminal};
use clap::{ArgGroup, Args};
use procura_types::wire::{Account, WebLogin};
use procura_types::{Label, Malformed, Secret, WebLoginId};
use serde_json::json;
use std::io::IsTerminal as _;

/// Whose it is: the caller's own, unless a steward names somebody.
#[derive(Debug, Args)]
struct Whose {
    /// Another operator, for a steward
    #[arg(long, value_name = "NAME")]
    of: Option<Label>,
}

impl Whose {
    fn name(self, context: &Context) -> Result<Label, Failure> {
        match self.of {
            Some(name) => Ok(name),
            None => Ok(context.known()?.name),
        }
    }
}

/// Set your password for the pages in a browser; all your web logins end
///
/// It is asked for, or read with --passphrase-fd N, behind the passphrase of your key if that
/// is locked. To sign in it takes an authenticator app as well: procura operator totp.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura operator password")]
pub(crate) struct Password {}

impl Password {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let name = context.known()?.name;
        let password = context.passphrases.ask_new("A new password").await?;
        server.set_password(&name, password).await?;
        let words = format!("{name} has a new password; all web logins ended");
        output::done(context.json, &json!({ "name": name }), words)
    }
}

/// Set up the authenticator app whose codes you sign in with in a browser
///
/// Prints what the app is given, as an otpauth address and as a QR code, and asks for its
/// first code. The app of before goes on until that was right.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura operator totp\n  procura operator totp --confirm 123456"
)]
pub(crate) struct Totp {
    /// The first code of the app that was set up before
    #[arg(long, value_name = "CODE")]
    confirm: Option<String>,
}

impl Totp {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let name = context.known()?.name;
        let code = match self.confirm {
            Some(code) => code,
            None => {
                let made = server.begin_totp(&name).await?;
                if context.json {
                    return output::json(&made);
                }
                output::line(made.uri.expose())?;
                output::line(shares::qr(made.uri.expose())?)?;
                // Who does not see what was printed has no code to type yet.
                if !terminal::is_stdin_terminal() || !std::io::stdout().is_terminal() {
                    output::say(
                        "scan it, or type the secret into the app, and then: procura operator totp --confirm CODE",
                    );
                    return Ok(());
                }
                terminal::line("The code that the app shows: ")?
            }
        };
        server.confirm_totp(&name, Secret::new(code)).await?;
        let words = "the app is in use; have recovery codes for when it is lost: procura operator recovery-codes";
        output::done(context.json, &json!({ "name": name }), words)
    }
}

/// Print ten recovery codes, each of which signs you in once without the app
///
/// Those of before are good no more.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura operator recovery-codes")]
pub(crate) struct RecoveryCodes {}

impl RecoveryCodes {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let name = context.known()?.name;
        let made = server.make_recovery_codes(&name).await?;
        if context.json {
            return output::json(&made);
        }
        output::say("keep them where the app is not; each is good once");
        for code in &made.codes {
            output::line(code.expose())?;
        }
        Ok(())
    }
}

/// Show what an operator signs in with in a browser, or take it away
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura operator account\n  procura operator account --of bob --end"
)]
pub(crate) struct ShowAccount {
    #[command(flatten)]
    whose: Whose,
    /// Remove password, app, recovery codes and identities, and end all web logins
    #[arg(long)]
    end: bool,
}

impl ShowAccount {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.whose.name(context)?;
        if self.end {
            context.confirm(&format!(
                "Remove password, app, recovery codes and identities of {name}, and end their web logins?"
            ))?;
            let server = context.operator().await?;
            server.end_account(&name).await?;
            let words = format!("{name} signs in with nothing in a browser until they set it anew");
            return output::done(context.json, &json!({ "name": name }), words);
        }
        let account = context.operator().await?.account(&name).await?;
        if context.json {
            return output::json(&account);
        }
        let mut table = Table::new(["SIGNS IN WITH", "STATE"]);
        for (what, state) in states(&account) {
            table.row([what.to_owned(), state]);
        }
        table.print("nothing")
    }
}

fn states(account: &Account) -> [(&'static str, String); 4] {
    let set = |when: Option<procura_types::Timestamp>, none: &str| {
        when.map_or_else(|| none.to_owned(), |when| format!("since {when}"))
    };
    let waits = if account.totp_waits {
        "waits for its first code: procura operator totp --confirm CODE"
    } else {
        "none: procura operator totp"
    };
    [
        (
            "password",
            set(account.password, "none: procura operator password"),
        ),
        ("app", set(account.totp, waits)),
        ("recovery codes", format!("{} left", account.recovery_codes)),
        ("identity providers", linked(account.identities)),
    ]
}

fn linked(identities: usize) -> String {
    match identities {
        0 => "none: sign in by one on the page, and then procura operator oidc link".to_owned(),
        1 => "1 identity linked".to_owned(),
        several => format!("{several} identities linked"),
    }
}

/// List web logins, or end them: what browsers hold after a sign-in
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("which").args(["end", "end_all"])),
    after_help = "Examples:\n  procura operator logins\n  procura operator logins --end 0198c5d2-7b1e-7c3a-9f00-5b8e8d1f2a34\n  procura operator logins --of bob --end-all"
)]
pub(crate) struct Logins {
    #[command(flatten)]
    whose: Whose,
    /// End this one
    #[arg(long, value_name = "ID", value_parser = login_id)]
    end: Option<WebLoginId>,
    /// End all of them
    #[arg(long)]
    end_all: bool,
}

fn login_id(text: &str) -> Result<WebLoginId, Malformed> {
    text.parse()
}

impl Logins {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.whose.name(context)?;
        let server = context.operator().await?;
        if self.end_all || self.end.is_some() {
            let ended = server.end_web_logins(&name, self.end.as_ref()).await?;
            let words = match ended.ended {
                1 => "1 web login ended".to_owned(),
                several => format!("{several} web logins ended"),
            };
            return output::done(context.json, &ended, words);
        }
        let list = server.web_logins(&name).await?;
        if context.json {
            return output::json(&list);
        }
        let mut table = Table::new(["WEB LOGIN", "BY", "FROM", "BEGAN", "LAST SEEN", "ENDS"]);
        for login in &list.logins {
            table.row(row(login));
        }
        table.print("no web logins")
    }
}

fn row(login: &WebLogin) -> [String; 6] {
    [
        login.id.to_string(),
        login.amr.to_string(),
        login
            .from
            .map_or_else(|| "this machine".to_owned(), |from| from.to_string()),
        login.began.to_string(),
        login.last_seen.to_string(),
        login.ends.to_string(),
    ]
}
