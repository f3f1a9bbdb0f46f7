//! `auth`: whether the callers of a service have to prove who they are.

use crate::auth_report;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::service::{change, confirm_less, read, show};
use clap::{Args, Subcommand};
use procura_types::dial::{DecidedBy, Exception, ExceptionReason, Exceptions, Mode, Route};
use procura_types::wire::Service;
use procura_types::{ForeignId, Label, RoutePrefix, Timestamp};
use serde::Serialize;

/// Turn the dial of a service, and learn whether it can be turned
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Mode(TurnMode),
    Report(auth_report::Report),
    Except(Except),
}

/// Turn the dial of a service, or show where it stands
///
/// off checks nothing, observe writes down what enforce would refuse, enforce
/// refuses it. AUTH_MODE in the environment of a gate is over what is set here.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura auth mode web\n  procura auth mode web observe\n  procura auth mode web enforce --route /admin\n  procura auth mode web off --yes"
)]
pub(crate) struct TurnMode {
    /// The service
    service: Label,
    /// off, observe or enforce; without it, the dial is shown
    mode: Option<Mode>,
    /// Only for the paths at and below this one
    #[arg(long, value_name = "PREFIX")]
    route: Option<RoutePrefix>,
}

/// Say whom a service refuses on purpose
///
/// procura auth report names them and does not count them. It lets nobody through:
/// enforce refuses them like all others.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura auth except web --agent probe-1 --because \"never signs, decided with Ann\"\n  procura auth except web --route /old --because \"nobody uses it\" --until 2027-01-01T00:00:00Z\n  procura auth except web --agent probe-1 --remove"
)]
pub(crate) struct Except {
    /// The service
    service: Label,
    /// Who, by the id that the requests name [default: anybody]
    #[arg(long, value_name = "ID", required_unless_present = "route")]
    agent: Option<ForeignId>,
    /// On which paths [default: all]
    #[arg(long, value_name = "PREFIX")]
    route: Option<RoutePrefix>,
    /// Why, for whoever reads the report
    #[arg(long, value_name = "TEXT", required_unless_present = "remove")]
    because: Option<ExceptionReason>,
    /// Until when (RFC 3339) [default: for good]
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Take back the exception for exactly this agent and route
    #[arg(long, conflicts_with_all = ["because", "until"])]
    remove: bool,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Mode(mode) => mode.run(context).await,
            Self::Report(report) => report.run(context).await,
            Self::Except(except) => except.run(context).await,
        }
    }
}

/// What `auth mode SERVICE --route PREFIX --json` prints.
#[derive(Serialize)]
struct Standing<'a> {
    service: &'a Label,
    route: &'a RoutePrefix,
    mode: Mode,
    by: DecidedBy,
}

impl TurnMode {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let service = read(&server, context, &self.service).await?;
        let Some(mode) = self.mode else {
            return self.show(context, &service);
        };
        let (what, was) = match &self.route {
            Some(prefix) => (
                format!("{prefix} of {}", service.name),
                service.dial().at(prefix.as_str()).mode,
            ),
            None => (service.name.to_string(), service.mode.unwrap_or_default()),
        };
        confirm_less(context, &what, was, mode)?;
        let turned = change(&server, context, service, |put| {
            let Some(prefix) = self.route else {
                put.mode = Some(mode);
                return Ok(());
            };
            let known = put.routes.get(&prefix).cloned();
            let route = Route {
                mode: Some(mode),
                ..known.unwrap_or_else(|| Route::new(prefix))
            };
            put.routes = std::mem::take(&mut put.routes).with(route)?;
            Ok(())
        })
        .await?;
        let words = if was == mode {
            format!("{what} in {} is at {mode}, as before", context.namespace)
        } else {
            format!(
                "{what} in {} is at {mode} now, it was at {was}",
                context.namespace
            )
        };
        output::done(context.json, &turned, words)
    }

    fn show(&self, context: &Context, service: &Service) -> Result<(), Failure> {
        let Some(prefix) = &self.route else {
            return show(context, service);
        };
        let dial = service.dial();
        let setting = dial.at(prefix.as_str());
        if context.json {
            return output::json(&Standing {
                service: &service.name,
                route: prefix,
                mode: setting.mode,
                by: setting.by,
            });
        }
        output::line(format!("{}", setting.mode))
    }
}

impl Except {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let service = read(&server, context, &self.service).await?;
        let is_this = |one: &Exception| one.agent == self.agent && one.route == self.route;
        if self.remove && !service.exceptions.iter().any(is_this) {
            return Err(Failure::usage(format!(
                "nothing was changed: the service {} has no such exception",
                self.service
            ))
            .next(format!("procura service show {}", self.service)));
        }
        let changed = change(&server, context, service, |put| {
            let mut all: Vec<Exception> = std::mem::take(&mut put.exceptions).into();
            all.retain(|one| !is_this(one));
            if let Some(reason) = self.because.clone() {
                all.push(Exception {
                    agent: self.agent.clone(),
                    route: self.route.clone(),
                    reason,
                    until: self.until,
                });
            }
            put.exceptions = Exceptions::try_from(all)?;
            Ok(())
        })
        .await?;
        show(context, &changed)
    }
}
