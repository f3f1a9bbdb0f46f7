//! `break-glass`: an account for emergencies, made beforehand and sealed.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::{Home, Known};
use crate::output::{self, Table};
use crate::proposal::agree_first;
use crate::unseal_source::proposal_id;
use crate::{actor, checkpoint, files, operator_key};
use clap::{Args, Subcommand};
use procura_client::SessionClient;
use procura_crypto::{RecoveryCode, SigningKey};
use procura_types::wire::{BreakGlass, BreakGlassCreate};
use procura_types::{Label, ProposalId, Secret};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Make, list and use accounts for emergencies, which everybody hears of when they are used
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account that can do nothing until it is used; for stewards
    ///
    /// Its key is made here, in a home of its own, encrypted under a code that is printed
    /// once. Keep the home and the code apart from each other: on a stick in a safe, and on
    /// paper in an envelope. Used, it has the role of a steward for as long as it was made
    /// for, once. It is no steward among stewards: it signs no proposal.
    #[command(
        after_help = "Examples:\n  procura break-glass create night --out /media/stick/night\n  procura break-glass create night --out /media/stick/night-2 --renew --minutes 30"
    )]
    Create(Create),
    /// List the accounts, and which were used
    #[command(after_help = "Example:\n  procura break-glass list")]
    List,
    /// Open the account whose home --home is: once, with everybody told
    ///
    /// Asks for the code that was printed. Where it takes more than the account's own key,
    /// stewards agree first: procura proposal break-glass NAME. Commands with the same --home
    /// act by it then; a steward ends it at once with procura operator revoke NAME.
    #[command(after_help = "Example:\n  procura --home /media/stick/night break-glass use")]
    Use {
        /// What stewards agreed to, where it takes more than the account's own key
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
    },
}

/// Makes one.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name, which no operator has
    name: Label,
    /// The directory that becomes its home
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// For how many minutes it opens: 5 to 1440
    #[arg(long, value_name = "N", default_value = "60", value_parser = crate::cli::whole::<u32>)]
    minutes: u32,
    /// Take the place of the account of this name, which is revoked
    #[arg(long)]
    renew: bool,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List => list(context).await,
            Self::Use { proposal } => open(context, proposal).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let known = context.known()?;
        let home = Home::new(Some(self.out.clone()))?;
        let code = RecoveryCode::generate(context.entropy())?.text();
        let key = operator_key::create(&home, &code, context.entropy())?;
        let made = match self.made(&server, &known, &key).await {
            Ok(made) => made,
            Err(failure) => {
                // Nobody was shown what opens it.
                files::remove(&home.key_file())?;
                return Err(failure);
            }
        };
        if let Some(ca) = context.ca_pem()? {
            files::replace(&home.ca_file(), &ca)?;
        }
        Known {
            url: context.url(Some(&known)),
            actor: made.actor,
            name: made.name.clone(),
            ..known
        }
        .remember(&home)?;
        if context.json {
            return output::json(&json!({ "account": made, "code": code.expose() }));
        }
        output::say(format!(
            "made the break-glass account {}, sealed; its key is in {}, under the code that follows, which is shown this once. Keep both, apart from each other; in an emergency: procura --home {} break-glass use",
            made.name,
            home.dir().display(),
            home.dir().display(),
        ));
        output::line(code.expose())
    }

    /// Has the account made for this key.
    async fn made(
        &self,
        server: &SessionClient,
        known: &Known,
        key: &SigningKey,
    ) -> Result<BreakGlass, Failure> {
        let thumbprint = key.public().thumbprint();
        let message =
            BreakGlassCreate::message(&known.installation, &self.name, &thumbprint, self.minutes);
        let signature = key
            .sign(&message)
            .map_err(|error| Failure::storage("the new key does not sign", &error))?;
        let wanted = BreakGlassCreate {
            name: self.name.clone(),
            key: key.public().to_jwk(),
            signature,
            minutes: self.minutes,
            renews: self.renew,
        };
        Ok(server.create_break_glass(&wanted).await?)
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let list = context.operator().await?.break_glass().await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["ACCOUNT", "STATE", "MINUTES", "MADE", "BY", "USED", "UNTIL"]);
    for account in list.accounts {
        let time = |time: Option<procura_types::Timestamp>| {
            time.map_or_else(String::new, |time| time.to_string())
        };
        table.row([
            account.name.to_string(),
            account.state.as_str().to_owned(),
            account.minutes.to_string(),
            account.created.to_string(),
            actor::short(&account.made_by.to_string()),
            time(account.used),
            time(account.until),
        ]);
    }
    table.print("no break-glass accounts")
}

/// The code as it was printed, however it was typed.
fn typed(text: Secret<String>) -> Secret<String> {
    RecoveryCode::read(text.expose()).map_or(text, |code| code.text())
}

async fn open(context: &Context, proposal: Option<ProposalId>) -> Result<(), Failure> {
    let known = context.known()?;
    let name = &known.name;
    let client = context.client(&context.url(Some(&known)), Some(&known))?;
    let code = typed(context.passphrases.ask("The code of the account").await?);
    let key = operator_key::unlock(&context.home, &code)?;
    context.confirm(&format!(
        "Open the break-glass account {name}? It opens once, and every operator is told."
    ))?;
    let server = SessionClient::new(client, Arc::new(key));
    let used = server
        .use_break_glass(name, proposal)
        .await
        .map_err(|error| agree_first(error, &format!("break-glass {name}")))?;
    // Only now can the server show by a session that it is the one.
    checkpoint::check(context, &known, &server).await?;
    server.session_number().await?;
    let until = used
        .until
        .map_or_else(String::new, |until| format!(" until {until}"));
    let words = format!(
        "{name} acts with the role of a steward{until}, and everybody is told; commands take --home {} and the code: procura --home {} login",
        context.home.dir().display(),
        context.home.dir().display(),
    );
    output::done(context.json, &used, words)
}
