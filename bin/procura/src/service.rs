//! `service`: what stands behind a gate.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_client::{ClientError, SessionClient};
use procura_types::dial::{Exceptions, HmacV1Terms, Mode, Route, Routes};
use procura_types::wire::{Service, ServicePut};
use procura_types::{Label, RateLimit, RoutePrefix};
use serde::Serialize;
use std::str::FromStr;

/// Say which services there are, and what is particular about their routes
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Add),
    /// List the services of the namespace
    #[command(after_help = "Example:\n  procura service list")]
    List,
    /// Show a service: its mode, its routes, whom it refuses on purpose
    #[command(after_help = "Example:\n  procura service show web")]
    Show {
        /// The service
        name: Label,
    },
    Route(SetRoute),
    Gate(SetGate),
    Set(SetProfiles),
    /// Remove a service: nothing says any more that its callers have to prove anything
    #[command(after_help = "Example:\n  procura service remove web")]
    Remove {
        /// The service
        name: Label,
    },
}

/// Add a service
///
/// It begins with nothing checked, unless --mode says otherwise; procura auth mode
/// changes that later.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura service add web\n  procura service add web --mode observe --route /admin=enforce"
)]
pub(crate) struct Add {
    /// Its name, unique in the namespace
    name: Label,
    /// What is done with requests without a valid proof: off, observe or enforce [default: off]
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Paths with a mode of their own
    #[arg(long = "route", value_name = "PREFIX=MODE")]
    routes: Vec<RouteMode>,
    /// An agent that may run a gate of it
    #[arg(long = "gate", value_name = "AGENT")]
    gates: Vec<Label>,
}

/// Change what is particular about the paths below a prefix
///
/// What a route does not state is stated by the next shorter one, and at last by
/// the service. procura auth mode SERVICE MODE --route PREFIX turns its dial.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura service route web /upload --stream true\n  procura service route web /search --rate \"50/s burst 100\"\n  procura service route web /upload --remove"
)]
pub(crate) struct SetRoute {
    /// The service
    name: Label,
    /// The beginning of the paths, such as /upload
    prefix: RoutePrefix,
    /// Pass bodies on while they arrive, and check them at their end
    #[arg(long, value_name = "true|false", required_unless_present_any = ["danger_unsigned_body", "rate", "remove"])]
    stream: Option<bool>,
    /// Let bodies through that the proof does not cover: whoever is in between can change them
    #[arg(long, value_name = "true|false")]
    danger_unsigned_body: Option<bool>,
    /// How often requests go on to the service, of all callers together, such as 50/s, "50/s burst 100", 30/m or off
    #[arg(long, value_name = "RATE")]
    rate: Option<RateLimit>,
    /// Forget the route, its mode too
    #[arg(long, conflicts_with_all = ["stream", "danger_unsigned_body", "rate"])]
    remove: bool,
}

/// Say which agents may run the gate of a service
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura service gate web door\n  procura service gate web door --remove"
)]
pub(crate) struct SetGate {
    /// The service
    name: Label,
    /// The agent, of the same namespace
    agent: Label,
    /// It may not any more, and its gate lets nobody in
    #[arg(long)]
    remove: bool,
}

/// Say which profiles of proofs a service lets in beyond those that every service does
///
/// hmac-v1 protects the body of a request and nothing else: whoever has seen one can
/// send its body anywhere, by any method and at any time. It is for callers that cannot
/// sign in another way yet, and each use stands in the record as weak.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura service set web --allow-hmac-v1 true --window 30 --nonce-required\n  procura service set web --allow-hmac-v1 false"
)]
pub(crate) struct SetProfiles {
    /// The service
    name: Label,
    /// Let hmac-v1 in, or no more
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    allow_hmac_v1: bool,
    /// How far the clocks of callers with hmac-v1 may differ, in seconds from 30 to 120 [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(30..=120))]
    window: Option<u64>,
    /// Refuse requests with hmac-v1 that have no nonce
    #[arg(long)]
    nonce_required: bool,
}

/// `/prefix=mode`.
#[derive(Debug, Clone)]
struct RouteMode(Route);

impl FromStr for RouteMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, mode) = text
            .rsplit_once('=')
            .ok_or("is not PREFIX=MODE, such as /admin=enforce")?;
        let wrong = |error: procura_types::Malformed| error.to_string();
        Ok(Self(Route {
            mode: Some(mode.parse().map_err(wrong)?),
            ..Route::new(prefix.parse().map_err(wrong)?)
        }))
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::List => list(context).await,
            Self::Show { name } => {
                let service = read(&context.operator().await?, context, &name).await?;
                show(context, &service)
            }
            Self::Route(route) => route.run(context).await,
            Self::Gate(gate) => gate.run(context).await,
            Self::Set(profiles) => profiles.run(context).await,
            Self::Remove { name } => {
                context.confirm(&format!(
                    "Remove the service {name} in {}? Nothing says any more that its callers have to prove anything.",
                    context.namespace
                ))?;
                let server = context.operator().await?;
                let version = read(&server, context, &name).await?.version;
                server
                    .remove_service(&context.namespace, &name, version)
                    .await
                    .map_err(|error| unseen(&name, error))?;
                output::done(
                    context.json,
                    &Removed { removed: &name },
                    format!("removed the service {name}"),
                )
            }
        }
    }
}

/// What `service remove --json` prints.
#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a Label,
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let routes: Vec<Route> = self.routes.into_iter().map(|route| route.0).collect();
        let put = ServicePut {
            expect_version: 0,
            mode: self.mode,
            routes: Routes::try_from(routes)?,
            exceptions: Exceptions::default(),
            gates: self.gates,
            hmac_v1: None,
        };
        let server = context.operator().await?;
        let added = server
            .put_service(&context.namespace, &self.name, &put)
            .await;
        let service = added.map_err(|error| {
            if error.is_refusal("version_mismatch") {
                Failure::from(error)
                    .instead(format!("the service {} exists already", self.name))
                    .next(format!(
                        "procura service show {0}, or procura auth mode {0}",
                        self.name
                    ))
            } else {
                error.into()
            }
        })?;
        show(context, &service)
    }
}

impl SetRoute {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let service = read(&server, context, &self.name).await?;
        let before = service.routes.get(&self.prefix).cloned();
        if self.remove {
            let Some(before) = before else {
                return Err(Failure::usage(format!(
                    "nothing was changed: the service {} has no route {}",
                    self.name, self.prefix
                ))
                .next(format!("procura service show {}", self.name)));
            };
            if before.mode.is_some() {
                let after = Routes::without(service.routes.clone(), &self.prefix);
                let (was, will) = modes(&service, &after, &self.prefix);
                confirm_less(
                    context,
                    &format!("{} of {}", self.prefix, self.name),
                    was,
                    will,
                )?;
            }
            let service = change(&server, context, service, |put| {
                put.routes = std::mem::take(&mut put.routes).without(&self.prefix);
                Ok(())
            })
            .await?;
            return show(context, &service);
        }
        if self.danger_unsigned_body == Some(true) {
            context.confirm(&format!(
                "Let bodies through to {} of {} that no proof covers? Whoever is in between can change them.",
                self.prefix, self.name
            ))?;
        }
        let mut route = before.unwrap_or_else(|| Route::new(self.prefix.clone()));
        route.stream = self.stream.or(route.stream);
        route.danger_unsigned_body = self.danger_unsigned_body.or(route.danger_unsigned_body);
        route.rate = self.rate.or(route.rate);
        let service = change(&server, context, service, |put| {
            put.routes = std::mem::take(&mut put.routes).with(route)?;
            Ok(())
        })
        .await?;
        show(context, &service)
    }
}

impl SetGate {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let service = read(&server, context, &self.name).await?;
        if self.remove && !service.gates.contains(&self.agent) {
            return Err(Failure::usage(format!(
                "nothing was changed: {} runs no gate of the service {}",
                self.agent, self.name
            ))
            .next(format!("procura service show {}", self.name)));
        }
        let service = change(&server, context, service, |put| {
            put.gates.retain(|agent| *agent != self.agent);
            if !self.remove {
                put.gates.push(self.agent);
            }
            Ok(())
        })
        .await?;
        show(context, &service)
    }
}

impl SetProfiles {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        if !self.allow_hmac_v1 && (self.window.is_some() || self.nonce_required) {
            return Err(Failure::usage(
                "--window and --nonce-required are hmac-v1's, and it is not let in",
            )
            .next("--allow-hmac-v1 true, or false alone"));
        }
        let window = self.window.unwrap_or(HmacV1Terms::DEFAULT_WINDOW);
        let hmac_v1 = self
            .allow_hmac_v1
            .then(|| HmacV1Terms::new(window, self.nonce_required))
            .transpose()?;
        let server = context.operator().await?;
        let service = read(&server, context, &self.name).await?;
        if hmac_v1.is_some() && service.hmac_v1.is_none() {
            context.confirm(&format!(
                "Let hmac-v1 in at {} in {}? It protects no more than the body: whoever has seen one request can send it to any path, at any time.",
                self.name, context.namespace
            ))?;
        }
        let service = change(&server, context, service, |put| {
            put.hmac_v1 = hmac_v1;
            Ok(())
        })
        .await?;
        show(context, &service)
    }
}

/// The mode that holds at a prefix now, and with other routes.
fn modes(service: &Service, routes: &Routes, prefix: &RoutePrefix) -> (Mode, Mode) {
    let mut dial = service.dial();
    let was = dial.at(prefix.as_str()).mode;
    dial.routes = routes.clone();
    (was, dial.at(prefix.as_str()).mode)
}

/// Asks before callers are let through who were not, or before nothing is checked
/// any more.
pub(crate) fn confirm_less(
    context: &Context,
    what: &str,
    was: Mode,
    will: Mode,
) -> Result<(), Failure> {
    let consequence = match will {
        Mode::Off if was > will => "Nothing is checked any more, and nothing is written down.",
        Mode::Observe if was > will => "Requests without a valid proof are let through.",
        _ => return Ok(()),
    };
    context.confirm(&format!(
        "Turn {what} in {} from {was} to {will}? {consequence}",
        context.namespace
    ))
}

/// The service as it is now.
pub(crate) async fn read(
    server: &SessionClient,
    context: &Context,
    name: &Label,
) -> Result<Service, Failure> {
    let read = server.service(&context.namespace, name).await;
    read.map_err(|error| {
        if error.is_refusal("not_found") {
            Failure::from(error)
                .instead(format!("there is no service {name} in {}", context.namespace))
                .next(format!(
                    "procura service add {name}, or procura service list with -n NS for another namespace"
                ))
        } else {
            error.into()
        }
    })
}

/// Replaces a service by what `change` makes of what was read, if nobody else
/// changed it meanwhile.
pub(crate) async fn change(
    server: &SessionClient,
    context: &Context,
    service: Service,
    change: impl FnOnce(&mut ServicePut) -> Result<(), Failure>,
) -> Result<Service, Failure> {
    let mut put = ServicePut {
        expect_version: service.version,
        mode: service.mode,
        routes: service.routes,
        exceptions: service.exceptions,
        gates: service.gates,
        hmac_v1: service.hmac_v1,
    };
    change(&mut put)?;
    server
        .put_service(&context.namespace, &service.name, &put)
        .await
        .map_err(|error| unseen(&service.name, error))
}

/// The words for a service that is not any more what was read.
fn unseen(name: &Label, error: ClientError) -> Failure {
    if error.is_refusal("version_mismatch") {
        Failure::from(error)
            .instead(format!(
                "nothing was changed: somebody else changed the service {name} at the same time"
            ))
            .next(format!(
                "procura service show {name}, then the command again"
            ))
    } else {
        error.into()
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let list = context
        .operator()
        .await?
        .services(&context.namespace)
        .await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["SERVICE", "MODE", "ROUTES", "EXCEPTIONS", "CHANGED"]);
    for service in list.services {
        table.row([
            service.name.to_string(),
            service.mode.unwrap_or_default().to_string(),
            service.routes.iter().count().to_string(),
            service.exceptions.iter().count().to_string(),
            service.updated.to_string(),
        ]);
    }
    table.print("no services")
}

/// All of a service.
pub(crate) fn show(context: &Context, service: &Service) -> Result<(), Failure> {
    if context.json {
        return output::json(service);
    }
    output::say(format!(
        "service {} in {}, version {}",
        service.name, context.namespace, service.version
    ));
    if !service.gates.is_empty() {
        let gates: Vec<&str> = service.gates.iter().map(Label::as_str).collect();
        output::say(format!("its gate runs as {}", gates.join(" or ")));
    }
    if let Some(terms) = service.hmac_v1 {
        let nonce = if terms.nonce_required() {
            ", with a nonce"
        } else {
            ""
        };
        output::say(format!(
            "hmac-v1 is let in{nonce}, {} s either way: it protects no more than the body",
            terms.window_seconds()
        ));
    }
    let yes = |value: Option<bool>| match value {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => String::new(),
    };
    let mut table = Table::new(["ROUTE", "MODE", "STREAM", "UNSIGNED BODY", "RATE"]);
    for route in service.routes.iter() {
        table.row([
            route.prefix.to_string(),
            route.mode.map_or_else(String::new, |mode| mode.to_string()),
            yes(route.stream),
            yes(route.danger_unsigned_body),
            route.rate.map_or_else(String::new, |rate| rate.to_string()),
        ]);
    }
    table.row([
        "all else".to_owned(),
        service.mode.unwrap_or_default().to_string(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    table.print("")?;
    if service.exceptions.is_empty() {
        return Ok(());
    }
    output::say("refused on purpose:");
    let mut table = Table::new(["AGENT", "ROUTE", "UNTIL", "WHY"]);
    for exception in service.exceptions.iter() {
        let any = |text: Option<String>| text.unwrap_or_else(|| "any".to_owned());
        table.row([
            any(exception.agent.as_ref().map(ToString::to_string)),
            any(exception.route.as_ref().map(ToString::to_string)),
            exception
                .until
                .map_or_else(String::new, |until| until.to_string()),
            exception.reason.to_string(),
        ]);
    }
    table.print("")
}
