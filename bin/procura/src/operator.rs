//! `operator`: people with roles.

use crate::actor;
use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::output::{self, Table};
use crate::seal::on_the_machine;
use crate::unseal_source::{With, proposal_id};
use crate::{files, operator_account, operator_key, operator_oidc, operator_passkey, terminal};
use clap::Subcommand;
use procura_client::{ClientError, SessionClient};
use procura_ledger::Vkey;
use procura_types::wire::{LinkCode, Operator, OperatorInvite, RevokedActors, RoleAssignment};
use procura_types::{InstallationId, Joins, Label, LinkCodeText, Namespace, ProposalId, Role};
use std::io::Read as _;
use std::str::FromStr;

/// Invite, list and revoke operators, the people of an installation
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Invite a person; they join with the code that is printed
    #[command(
        after_help = "Example:\n  procura operator invite bob --role approver@default --role auditor@default"
    )]
    Invite {
        /// The person's name
        name: Label,
        /// steward, or admin, approver or auditor of a namespace: ROLE@NAMESPACE
        #[arg(long = "role", value_name = "ROLE[@NS]", required = true)]
        roles: Vec<RoleText>,
    },
    /// Join an installation as a person who was invited; makes a key in --home
    #[command(
        after_help = "Examples:\n  procura operator join pcj1_…\n  procura operator join < code.txt"
    )]
    Join {
        /// The link code; without it, it is asked for or read from a pipe
        code: Option<String>,
    },
    /// Print a code with which you join another device of yours
    #[command(after_help = "Example:\n  procura operator code alice")]
    Code {
        /// Your name as an operator: nobody makes a code for somebody else
        name: Label,
    },
    /// Print a code with which an operator whose key is lost joins with another; on the server's machine
    ///
    /// Asks for what opens the vault. It is an alarm, and every operator is told. Where there
    /// are several stewards, more than half agree first: procura proposal recover NAME.
    #[command(
        after_help = "Examples:\n  procura operator recover alice\n  procura operator recover alice --with shares"
    )]
    Recover {
        /// The operator
        name: Label,
        /// What the stewards agreed to, where there are several: procura proposal list
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
        #[command(flatten)]
        with: With,
    },
    /// List all operators with their roles
    #[command(after_help = "Example:\n  procura operator list")]
    List,
    /// Replace all roles of an operator
    #[command(
        after_help = "Example:\n  procura operator roles bob --role admin@staging\n  procura operator roles bob --none"
    )]
    Roles {
        /// The operator
        name: Label,
        /// As for invite
        #[arg(
            long = "role",
            value_name = "ROLE[@NS]",
            required_unless_present = "none"
        )]
        roles: Vec<RoleText>,
        /// Take all roles away
        #[arg(long, conflicts_with = "roles")]
        none: bool,
        /// What the stewards agreed to, where there are several and this makes or removes one: procura proposal list
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
    },
    Password(operator_account::Password),
    Totp(operator_account::Totp),
    RecoveryCodes(operator_account::RecoveryCodes),
    Account(operator_account::ShowAccount),
    Logins(operator_account::Logins),
    #[command(subcommand)]
    Passkey(operator_passkey::Command),
    #[command(subcommand)]
    Oidc(operator_oidc::Command),
    /// Revoke an operator and every agent of theirs, for good
    #[command(after_help = "Example:\n  procura operator revoke bob")]
    Revoke {
        /// The operator
        name: Label,
        /// What the stewards agreed to, if it is another steward: procura proposal list
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
    },
}

/// A role as typed: `steward`, or `approver@default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleText(RoleAssignment);

impl FromStr for RoleText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (role, namespace) = match text.split_once('@') {
            Some((role, namespace)) => (role, Some(namespace)),
            None => (text, None),
        };
        let role: Role = role
            .parse()
            .map_err(|error: procura_types::Malformed| error.to_string())?;
        let namespace = namespace
            .map(str::parse::<Namespace>)
            .transpose()
            .map_err(|error| error.to_string())?;
        match (role, &namespace) {
            (Role::Steward, Some(_)) => {
                Err("steward is for the whole installation and takes no @NAMESPACE".to_owned())
            }
            (Role::Steward, None) | (_, Some(_)) => Ok(Self(RoleAssignment { role, namespace })),
            (role, None) => Err(format!("{role} is for a namespace: {role}@NAMESPACE")),
        }
    }
}

fn assignments(roles: Vec<RoleText>) -> Vec<RoleAssignment> {
    let mut roles: Vec<_> = roles.into_iter().map(|role| role.0).collect();
    roles.sort();
    roles.dedup();
    roles
}

pub(crate) fn roles_text(roles: &[RoleAssignment]) -> String {
    let words: Vec<_> = roles
        .iter()
        .map(|assignment| match &assignment.namespace {
            Some(namespace) => format!("{}@{namespace}", assignment.role),
            None => assignment.role.to_string(),
        })
        .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// Prints a link code: alone on stdout, with what to do with it on stderr.
pub(crate) fn show_code(context: &Context, code: &LinkCode, how: &str) -> Result<(), Failure> {
    if context.json {
        return output::json(code);
    }
    output::say(format!(
        "one use, until {}; on the other machine:\n  {how}",
        code.expires
    ));
    output::line(&code.code)
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Join { code } => return join(context, code).await,
            Self::Revoke { name, proposal } => {
                return revoke(context, &name, proposal.as_ref()).await;
            }
            Self::Recover {
                name,
                proposal,
                with,
            } => return recover(context, &name, proposal, with).await,
            Self::Password(command) => return command.run(context).await,
            Self::Totp(command) => return command.run(context).await,
            Self::RecoveryCodes(command) => return command.run(context).await,
            Self::Account(command) => return command.run(context).await,
            Self::Logins(command) => return command.run(context).await,
            Self::Passkey(command) => return command.run(context).await,
            Self::Oidc(command) => return command.run(context).await,
            _ => {}
        }
        let server = context.operator().await?;
        match self {
            Self::Invite { name, roles } => {
                let invite = OperatorInvite {
                    name,
                    roles: assignments(roles),
                };
                let code = server.invite_operator(&invite).await?;
                show_code(context, &code, "procura operator join CODE")
            }
            Self::Code { name } => {
                let code = server.operator_code(&name).await?;
                show_code(context, &code, "procura operator join CODE")
            }
            Self::Roles {
                name,
                roles,
                none: _,
                proposal,
            } => {
                let roles = assignments(roles);
                let operator = server.set_roles(&name, roles, proposal).await?;
                if context.json {
                    return output::json(&operator);
                }
                output::say(format!(
                    "{}: {}",
                    operator.name,
                    roles_text(&operator.roles)
                ));
                Ok(())
            }
            Self::List => {
                let list = server.operators().await?;
                if context.json {
                    return output::json(&list);
                }
                let mut table = Table::new(["OPERATOR", "ROLES", "DEVICES", "ACTOR", "STATE"]);
                for operator in list.operators {
                    table.row([
                        operator.name.to_string(),
                        roles_text(&operator.roles),
                        live_devices(&operator).to_string(),
                        actor::short(&operator.actor_id.to_string()),
                        operator
                            .revoked
                            .map_or("active".to_owned(), |when| format!("revoked {when}")),
                    ]);
                }
                table.print("no operators")
            }
            // Done above.
            Self::Join { .. }
            | Self::Revoke { .. }
            | Self::Recover { .. }
            | Self::Password(_)
            | Self::Totp(_)
            | Self::RecoveryCodes(_)
            | Self::Account(_)
            | Self::Logins(_)
            | Self::Passkey(_)
            | Self::Oidc(_) => Ok(()),
        }
    }
}

async fn recover(
    context: &Context,
    name: &Label,
    proposal: Option<ProposalId>,
    with: With,
) -> Result<(), Failure> {
    let opening = with.ask(context).await?;
    let code = context
        .admin()
        .recover_operator(&opening, name, proposal)
        .await
        .map_err(|error| on_the_machine(context, error))?;
    show_code(context, &code, "procura --home DIR operator join CODE")
}

fn live_devices(operator: &Operator) -> usize {
    operator
        .devices
        .iter()
        .filter(|device| device.revoked.is_none())
        .count()
}

async fn revoke(
    context: &Context,
    name: &Label,
    proposal: Option<&ProposalId>,
) -> Result<(), Failure> {
    context.confirm(&format!(
        "Revoke {name}, their devices and every agent of theirs? This cannot be undone."
    ))?;
    let server = context.operator().await?;
    let revoked = match server.revoke_operator(name, proposal).await {
        Err(error) if error.is_refusal("not_found") => {
            return already(context, &server, name, error).await;
        }
        revoked => revoked?,
    };
    if context.json {
        return output::json(&revoked);
    }
    output::say(format!(
        "revoked {name}, {} in all",
        count(revoked.revoked.len())
    ));
    Ok(())
}

/// There is no such operator: one who was revoked is none to revoke.
async fn already(
    context: &Context,
    server: &SessionClient,
    name: &Label,
    error: ClientError,
) -> Result<(), Failure> {
    let Ok(list) = server.operators().await else {
        return Err(error.into());
    };
    let revoked = list
        .operators
        .iter()
        .filter(|operator| operator.name == *name)
        .filter_map(|operator| operator.revoked)
        .max();
    let Some(when) = revoked else {
        return Err(error.into());
    };
    output::done(
        context.json,
        &RevokedActors {
            revoked: Vec::new(),
        },
        format!("{name} was revoked already, {when}"),
    )
}

/// `1 actor`, `3 actors`.
pub(crate) fn count(actors: usize) -> String {
    if actors == 1 {
        "1 actor".to_owned()
    } else {
        format!("{actors} actors")
    }
}

/// A link code as typed, piped, or asked for.
pub(crate) async fn read_code(typed: Option<String>) -> Result<LinkCodeText, Failure> {
    let text = match typed {
        Some(text) => text,
        None if terminal::is_stdin_terminal() => {
            let mut bytes = terminal::hidden("Link code: ").await?;
            String::from_utf8(std::mem::take(bytes.expose_mut()))
                .map_err(|_| Failure::usage("code: is not UTF-8"))?
        }
        None => {
            let mut text = String::new();
            std::io::stdin()
                .take(4096)
                .read_to_string(&mut text)
                .map_err(|error| Failure::storage("cannot read the link code", &error))?;
            text
        }
    };
    LinkCodeText::parse(&text).map_err(|error| {
        Failure::from(error).next(
            "ask for a new link code: procura agent code LABEL; an operator makes their own, procura operator code NAME, or procura operator recover NAME on the server's machine",
        )
    })
}

async fn join(context: &Context, code: Option<String>) -> Result<(), Failure> {
    let code = read_code(code).await?;
    let joined_as = match &code.joins {
        Joins::Agent(_) => {
            return Err(
                Failure::usage("this code is for an agent's device, not for a person")
                    .next("procura join CODE, on the agent's machine"),
            );
        }
        Joins::Operator(actor) => Some(*actor),
        Joins::NewOperator => None,
    };
    let url = context.server_of(&code)?;
    if Known::find(&context.home)?.is_some() {
        return Err(Failure::config(format!(
            "{} belongs to a server already",
            context.home.dir().display()
        ))
        .next("--home DIR for another one"));
    }
    let ca = context.ca_pem()?;
    // A key from a joining that did not get through is used again.
    let key = if operator_key::public(&context.home)?.is_some() {
        context.unlock().await?
    } else {
        let passphrase = context
            .passphrases
            .ask_new("A passphrase for your key")
            .await?;
        operator_key::create(&context.home, &passphrase, context.entropy())?
    };
    let actor = joined_as.unwrap_or_else(|| operator_key::actor_of(key.public()));
    let client = context.client(&url, None)?;
    let answer = client.join(&code, &actor, &key).await?;
    if let Some(ca) = ca {
        files::replace(&context.home.ca_file(), &ca)?;
    }
    let known = Known {
        url: client.url(),
        server_key: answer.server_key.clone(),
        installation: installation(&answer.ledger_vkey, &code)?,
        ledger_vkey: answer.ledger_vkey.clone(),
        former_ledger_vkeys: Vec::new(),
        actor: answer.actor,
        name: answer.label.clone(),
    };
    known.remember(&context.home)?;
    if context.json {
        return output::json(&answer);
    }
    output::say(format!("joined {} as {}", known.url, known.name));
    Ok(())
}

/// The installation that the code names, if the ledger's key is of it too.
fn installation(vkey: &str, code: &LinkCodeText) -> Result<InstallationId, Failure> {
    let wrong = || {
        Failure::refused("the server's ledger key is not of the installation that the code names")
    };
    let vkey: Vkey = vkey.parse().map_err(|error| wrong().because(error))?;
    if procura_ledger::is_origin_of(vkey.name(), &code.installation) {
        Ok(code.installation)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_typed_with_their_namespace() {
        let role = |text: &str| text.parse::<RoleText>();
        assert_eq!(
            roles_text(&[role("steward").unwrap().0, role("admin@a").unwrap().0]),
            "steward, admin@a"
        );
        assert_eq!(roles_text(&[]), "none");
        for (text, why) in [
            ("king", "role: must be steward, admin, approver or auditor"),
            (
                "steward@a",
                "steward is for the whole installation and takes no @NAMESPACE",
            ),
            (
                "approver",
                "approver is for a namespace: approver@NAMESPACE",
            ),
        ] {
            assert_eq!(role(text).unwrap_err(), why);
        }
    }
}
