//! `unseal`, `seal` and `passphrase`: opening and closing the vault.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::{operator_key, output};
use clap::Args;
use procura_client::ClientError;

/// Open the vault; on the server's machine
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura unseal\n  procura unseal --passphrase-fd 3 3< passphrase.txt"
)]
pub(crate) struct Unseal {}

/// Close the vault: nothing can be read or changed until an unseal
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura seal")]
pub(crate) struct Seal {}

/// Change the vault's passphrase, which makes a new root key; on the server's machine
///
/// The operator's key in this home gets the new passphrase too, if it had the
/// old one. With --passphrase-fd: the old one on the first line, the new one on
/// the second.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  procura passphrase\n  procura passphrase --key-only")]
pub(crate) struct Passphrase {
    /// Change the passphrase of the operator's key alone
    #[arg(long)]
    key_only: bool,
}

/// Makes a failure of the administration socket say where it has to be.
fn on_the_machine(context: &Context, error: ClientError) -> Failure {
    match error {
        ClientError::Unreachable { cause, .. } => Failure::unreachable(format!(
            "no server answers at {}",
            context.home.admin_socket().display()
        ))
        .because(cause)
        .next("on the server's machine, as its user, with its --home"),
        other => other.into(),
    }
}

impl Unseal {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let passphrase = context.passphrases.ask("The vault's passphrase").await?;
        let admin = context.admin();
        admin
            .unseal(&passphrase)
            .await
            .map_err(|error| on_the_machine(context, error))?;
        let status = admin.status().await?;
        if context.json {
            return output::json(&status);
        }
        output::say("unsealed");
        for why in &status.degraded {
            output::say(output::plain(&format!("degraded: {why}")));
        }
        Ok(())
    }
}

impl Seal {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        context.operator().await?.seal().await?;
        output::say("sealed; procura unseal opens it again");
        Ok(())
    }
}

impl Passphrase {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let current = context.passphrases.ask("The passphrase of today").await?;
        // Whether the key goes along is decided before anything changes.
        let key = match operator_key::public(&context.home)? {
            Some(_) => operator_key::unlock(&context.home, &current),
            None => Err(Failure::config("there is no operator's key in this home")),
        };
        if self.key_only {
            let key = key?;
            let new = context.passphrases.ask_new("The new passphrase").await?;
            operator_key::change_passphrase(&context.home, &key, &new, context.entropy())?;
            output::say("the operator's key has the new passphrase");
            return Ok(());
        }
        let new = context.passphrases.ask_new("The new passphrase").await?;
        context
            .admin()
            .change_passphrase(&current, &new)
            .await
            .map_err(|error| on_the_machine(context, error))?;
        output::say(
            "the vault has the new passphrase and a new root key; older backups still open with the old one",
        );
        if let Ok(key) = key {
            operator_key::change_passphrase(&context.home, &key, &new, context.entropy())?;
            output::say("the operator's key has the new passphrase too");
        } else if Known::find(&context.home)?.is_some() {
            output::say("the operator's key has a passphrase of its own, which stays as it is");
        }
        Ok(())
    }
}
