//! `init`: a new installation and its owner.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::server::ServerFlags;
use crate::{files, operator_key, output};
use clap::Args;
use procura_client::ClientError;
use procura_crypto::SigningKey;
use procura_types::wire::{InitAnswer, Status};
use procura_types::{FieldTuple, Label, Secret};

/// Make an installation, and yourself its owner
///
/// The passphrase opens the vault and your own key. Your key is made here and
/// never sent; it is in operator/key.json of the home, encrypted. Works with
/// a server that runs on this home, and without one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura init --owner alice\n  procura init --owner alice --passphrase-fd 3 3< passphrase.txt"
)]
pub(crate) struct Init {
    /// Your name
    #[arg(long, value_name = "NAME", default_value = "owner")]
    owner: Label,
    #[command(flatten)]
    flags: ServerFlags,
}

/// An installation that was just made.
struct Founded {
    answer: InitAnswer,
    url: String,
    /// Whether a server runs on it.
    served: bool,
}

impl Init {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if Known::find(&context.home)?.is_some() {
            return Err(Failure::config(format!(
                "{} belongs to an installation already",
                context.home.dir().display()
            ))
            .next("--home DIR for another one"));
        }
        files::private_dir(context.home.dir())?;
        // A key from an init that did not get through is used again: nobody
        // else may ever have it, and it may own the installation already.
        let (passphrase, key) = if operator_key::public(&context.home)?.is_some() {
            let passphrase = context
                .passphrases
                .ask("Passphrase of the operator's key")
                .await?;
            let key = operator_key::unlock(&context.home, &passphrase)?;
            (passphrase, key)
        } else {
            let passphrase = context
                .passphrases
                .ask_new("A passphrase for the vault and your key")
                .await?;
            let key = operator_key::create(&context.home, &passphrase, context.entropy())?;
            (passphrase, key)
        };
        let Founded {
            answer,
            url,
            served,
        } = self.found(context, passphrase, &key).await?;
        let known = Known {
            url,
            server_key: answer.server_key.clone(),
            ledger_vkey: answer.ledger_vkey.clone(),
            former_ledger_vkeys: Vec::new(),
            installation: answer.installation,
            actor: answer.owner,
            name: self.owner.clone(),
        };
        known.remember(&context.home)?;
        if context.json {
            return output::json(&answer);
        }
        output::say(format!(
            "made installation {} with the owner {}",
            answer.installation, self.owner
        ));
        output::say("keep this key; the record is verified with it:");
        output::line(&answer.ledger_vkey)?;
        output::say(
            "without the passphrase nothing can be opened, by anybody; keep it, and a backup of the home",
        );
        // A server that runs says itself where it is.
        let lacking = match served {
            true => None,
            false => self.flags.lacking(&context.home)?,
        };
        if let Some((file, lines)) = lacking {
            output::say(format!(
                "put into {}, so that procura server listens there after each start:",
                file.display()
            ));
            for line in lines {
                output::say(format!("  {line}"));
            }
        }
        output::say(if served {
            "next: procura secret put PATH, procura agent add LABEL"
        } else {
            "next: procura server, then procura unseal"
        });
        Ok(())
    }

    /// Has the installation made: by the server that runs on this home, or here
    /// when there is none.
    async fn found(
        &self,
        context: &Context,
        passphrase: Secret<String>,
        key: &SigningKey,
    ) -> Result<Founded, Failure> {
        let message =
            FieldTuple::new("procura.init.v1").bytes(key.public().thumbprint().as_bytes());
        let signature = key
            .sign(message.as_bytes())
            .map_err(|error| Failure::config("the operator's key does not sign").because(error))?;
        let root_key = key.public().to_jwk();
        let asked = context
            .admin()
            .init(&passphrase, &self.owner, &root_key, &signature)
            .await;
        match asked {
            Ok(answer) => {
                let url = match context.typed_server() {
                    Some(typed) => typed.to_owned(),
                    // The installation is made; an address that it does not
                    // tell now can be typed later.
                    None => match context.admin().status().await {
                        Ok(Status { api: Some(api), .. }) => api,
                        _ => context.url(None),
                    },
                };
                Ok(Founded {
                    answer,
                    url,
                    served: true,
                })
            }
            Err(ClientError::Unreachable { .. }) => {
                let request = procura_types::wire::InitRequest {
                    passphrase,
                    owner: self.owner.clone(),
                    root_key,
                    signature,
                };
                let (answer, url) = self.flags.init_home(context, request).await?;
                Ok(Founded {
                    answer,
                    url,
                    served: false,
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}
