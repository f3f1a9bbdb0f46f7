//! `gate`: a gate in front of a service, in this process.

use crate::cli::{Global, whole};
use crate::context::Context;
use crate::failure::Failure;
use crate::gate_failure::{is_away, not_followed};
use crate::gate_guard::GateGuard;
use crate::gate_join::{GateJoin, Joined, instance};
use crate::gate_tls::GateTls;
use crate::logging::Logging;
use crate::observing::ObserveLog;
use crate::output;
use clap::Args;
use procura_daemon::{Membership, protect_daemon};
use procura_edge::tls::{Certificate, look_after};
use procura_edge::trace::{Endpoint, Ratio, Tracer, Tracing};
use procura_gate::{
    Authorities, FollowError, Follower, Following, Gate, GateConfig, GateMetrics, Limits, Observer,
    UpstreamTls, UpstreamUrl, Verifying, highest_seen, serve_health,
};
use procura_types::dial::{Dial, Mode};
use procura_types::{Cidr, Clock, Duration, Entropy, Label, Namespace, RateLimit};
use serde::Serialize;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Run a gate in front of a service
///
/// It passes on what the dial of the service lets through, and says who asks in
/// Procura-Actor, Procura-Agent, Procura-Owner and Procura-Profile. It runs as an
/// agent that the service names with --gate, and joins by that agent's link code once.
/// AUTH_MODE in the environment (off, observe or enforce) is over the dial; with it the
/// gate begins without the server, and without it not.
/// What it lets through and would refuse is in logs/observe.jsonl of its home.
/// Prints one line of JSON when it listens: {"event":"ready","listen":URL,…}.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura gate --service web --upstream http://127.0.0.1:8080 --host web.example < code.txt\n  procura gate --home /var/lib/procura-gate --service web --upstream http://127.0.0.1:8080 --listen 127.0.0.1:0"
)]
pub(crate) struct RunGate {
    /// The service, in the namespace of the agent that the gate runs as
    #[arg(long, value_name = "NAME")]
    service: Label,
    /// Where requests go on to, such as http://127.0.0.1:8080; with https:// over TLS, in HTTP/2 or HTTP/1.1 as it chooses, with h2c:// in HTTP/2 without TLS
    #[arg(long, value_name = "URL")]
    upstream: UpstreamUrl,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7320")]
    listen: SocketAddr,
    /// Address of GET /health, which says whether anybody can be checked, and of GET /metrics; port 0 takes a free one [default: none]
    #[arg(long, value_name = "ADDRESS")]
    health_listen: Option<SocketAddr>,
    /// A name that the service is called by, host or host:port; a proof for another is not let in [default: the address, and for loopback this machine's names]
    #[arg(long = "host", value_name = "HOST", value_parser = host)]
    hosts: Vec<String>,
    /// Let proofs in that were made for any host: whoever gets a request for another service can use it here
    #[arg(long, conflicts_with = "hosts")]
    danger_any_host: bool,
    #[command(flatten)]
    tls: GateTls,
    /// Without a certificate listen on an address that is not of this machine alone: whoever is on the way reads all, and changes what no signature covers
    #[arg(long, conflicts_with = "tls_cert")]
    danger_plain_http: bool,
    #[command(flatten)]
    join: GateJoin,
    /// How old what is known of the directory may be, in seconds from 3 to 3600; then nobody can be checked
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = stale)]
    max_stale: u64,
    /// Collector of OpenTelemetry that gets a span of each request, by OTLP over HTTP, such as http://127.0.0.1:4318 [default: none]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<Endpoint>,
    /// Which part of the traces that begin here is sent, from 0 to 1; requests that are part of another's trace go by its flag
    #[arg(long, value_name = "RATIO", default_value = "1")]
    otlp_ratio: Ratio,
    /// How often one address may ask, whoever it is, such as 100/s or "100/s burst 200"; with off nobody waits either whose proofs fail [default: however often; who keeps failing waits; this machine's own addresses are let be]
    #[arg(long, value_name = "RATE")]
    rate_address: Option<RateLimit>,
    /// How often each agent may ask that has proven itself
    #[arg(long, value_name = "RATE", default_value = "off")]
    rate_agent: RateLimit,
    /// A proxy in front of the gate, which says in X-Forwarded-For or Forwarded whom it stands for: an address or a block of them
    #[arg(long = "trusted-proxy", value_name = "CIDR")]
    trusted_proxies: Vec<Cidr>,
    #[command(flatten)]
    guard: GateGuard,
    /// Serve even if keys can reach swap
    #[arg(long)]
    danger_unlocked_memory: bool,
    #[command(flatten)]
    logging: Logging,
}

fn stale(text: &str) -> Result<u64, &'static str> {
    let seconds = whole(text)?;
    if (3..=3600).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("is not from 3 to 3600")
    }
}

/// `host` or `host:port`: a gate that is called otherwise would answer to nobody.
fn host(text: &str) -> Result<String, &'static str> {
    let (host, port) = match text.rsplit_once(':') {
        // What ends a bare IPv6 address is no port.
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(fits)
        }
    };
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if is_host && is_port {
        Ok(text.to_owned())
    } else {
        Err("must be host or host:port, such as web.example")
    }
}

/// The line that says that it listens.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    listen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<String>,
    service: &'a Label,
    namespace: &'a str,
    agent: &'a str,
}

impl<'a> Ready<'a> {
    /// A gate of this service at this address, which speaks TLS or does not; and where
    /// it says how it is.
    fn of(
        service: &'a Label,
        member: &'a Membership,
        (is_tls, address): (bool, SocketAddr),
        health: Option<SocketAddr>,
    ) -> Self {
        let scheme = if is_tls { "https" } else { "http" };
        Self {
            event: "ready",
            listen: format!("{scheme}://{address}"),
            health: health.map(|address| format!("http://{address}")),
            service,
            namespace: member.namespace.as_str(),
            agent: &member.lineage,
        }
    }

    /// Says so to whoever started the gate.
    fn say(&self) -> Result<(), Failure> {
        let line = serde_json::to_string(self)
            .map_err(|error| Failure::storage("cannot say that it is ready", &error))?;
        // They may not be there to read it any more.
        let _ = output::line(line);
        Ok(())
    }
}

impl RunGate {
    pub(crate) fn run(self, global: Global) -> Result<ExitCode, Failure> {
        self.logging.begin()?;
        if !self.listen.ip().is_loopback() && !self.tls.is_on() && !self.danger_plain_http {
            return Err(Failure::usage(format!(
                "without a certificate a gate speaks plain HTTP, and {} is not an address of this machine alone",
                self.listen
            ))
            .next("--tls-cert FILE --tls-key FILE; an address of loopback behind what speaks TLS; or --danger-plain-http"));
        }
        let environment = environment()?;
        let certificate = self.tls.certificate()?;
        let upstream_tls = self.tls.upstream(&self.upstream)?;
        protect_daemon(self.danger_unlocked_memory)?;
        let context = Context::new(global)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::storage("cannot start", &error))?;
        runtime.block_on(self.serve(&context, environment, (certificate, upstream_tls)))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(
        self,
        context: &Context,
        environment: Option<Mode>,
        (certificate, upstream_tls): (Option<Arc<Certificate>>, Option<UpstreamTls>),
    ) -> Result<(), Failure> {
        let joined = self.join.joined(context).await?;
        let Joined {
            member,
            clock,
            entropy,
            ..
        } = &joined;
        let (follower, verifying, dial) = self.follow(context, &joined, environment).await?;
        let (listener, address) = bind(self.listen, "--listen").await?;
        let health = match self.health_listen {
            Some(address) => Some(bind(address, "--health-listen").await?),
            None => None,
        };
        let config = GateConfig {
            upstream: self.upstream.clone(),
            upstream_tls,
            environment,
            authorities: self.authorities(address)?,
            limits: Limits {
                address_rate: self.rate_address,
                agent_rate: self.rate_agent,
                trusted_proxies: self.trusted_proxies.clone(),
                ..Limits::default()
            },
        };
        let observed = Arc::new(ObserveLog::new(
            context.home.dir(),
            self.service.clone(),
            Arc::clone(clock),
        ));
        let observer: Arc<dyn Observer> = Arc::<ObserveLog>::clone(&observed);
        let seen = self.seen(&member.namespace, clock, entropy);
        let gate = Gate::seen(
            config,
            dial,
            Arc::<Verifying>::clone(&verifying),
            observer,
            seen,
        )
        .map_err(|error| Failure::usage(error.to_string()))?;
        let signals = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        );
        let hangup = signal(SignalKind::hangup());
        let (stop, stopping) = watch::channel(false);
        let turn = {
            let gate = gate.clone();
            move |dial| gate.set_dial(dial)
        };
        let following = tokio::spawn(follower.run(turn, stopping.clone()));
        let is_tls = certificate.is_some();
        let health_address = health.as_ref().map(|(_, address)| *address);
        Ready::of(&self.service, member, (is_tls, address), health_address).say()?;
        let stopped = stopping.clone();
        if let Some((listener, _)) = health {
            // It ends with the runtime at the latest, and nobody waits for it.
            let gate = gate.clone();
            let certificate = certificate.clone();
            tokio::spawn(serve_health(
                listener,
                gate,
                verifying,
                certificate,
                stopping.clone(),
            ));
        }
        tokio::spawn(look_after(certificate.clone(), hangup, stopping.clone()));
        let serving = gate.serve(listener, certificate, stopping);
        let ending = async {
            wait_for(signals).await;
            tracing::info!("stopping");
            stop.send_replace(true);
        };
        tokio::join!(serving, ending, observed.run(stopped));
        observed.end().await;
        gate.end_traces().await;
        // A follower that panicked has stopped as well.
        let _ = following.await;
        Ok(())
    }

    /// What follows the server, what verifies by what it says, and how the dial stands
    /// first.
    async fn follow(
        &self,
        context: &Context,
        joined: &Joined,
        environment: Option<Mode>,
    ) -> Result<(Follower, Arc<Verifying>, Dial), Failure> {
        let Joined {
            home,
            device,
            member,
            clock,
            entropy,
            ..
        } = joined;
        let (instance, start) = instance(home, clock, entropy.as_ref())?;
        let guard = self
            .guard
            .open(home, device.installation, start, clock, entropy)
            .await?;
        // Whoever was asked to accept an older directory accepts this one.
        let highest = if context.danger_accept_rollback {
            0
        } else {
            highest_seen(home).map_err(|error| {
                Failure::storage("cannot tell what was seen of the directory", &error)
            })?
        };
        let verifying = Verifying::new(
            &member.namespace,
            &self.service,
            guard,
            highest,
            Duration::from_secs(self.max_stale),
            Arc::clone(clock),
        )
        .map_err(|error| Failure::config("cannot verify").because(error))?;
        let server = joined.connect.session(device)?;
        let verifying = Arc::new(verifying.asking(server.clone()));
        let mut follower = Follower::new(
            Following {
                server,
                installation: device.installation,
                namespace: member.namespace.clone(),
                service: self.service.clone(),
                instance,
                home: home.clone(),
                ledger_vkey: member.ledger_vkey.clone(),
                accept_rollback: context.danger_accept_rollback,
            },
            Arc::clone(&verifying),
            Arc::clone(clock),
        )
        .map_err(|error| not_followed(error, &self.service))?;
        let dial = match follower.ask().await {
            Ok(dial) => dial,
            // Nobody is let in by a mode of the environment who is not known, and by
            // `off` it can be gone on without the server.
            Err(FollowError::Client(error)) if environment.is_some() && is_away(&error) => {
                tracing::warn!(%error, "AUTH_MODE holds; the server cannot be followed yet");
                Dial::default()
            }
            Err(error) => return Err(not_followed(error, &self.service)),
        };
        Ok((follower, verifying, dial))
    }

    /// What the gate counts in, and what traces its requests if that is asked for.
    fn seen(
        &self,
        namespace: &Namespace,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> (GateMetrics, Tracer) {
        let metrics = GateMetrics::default();
        let Some(endpoint) = self.otlp_endpoint.clone() else {
            return (metrics, Tracer::default());
        };
        let (exported, lost) = metrics.spans();
        let tracing = Tracing {
            endpoint,
            ratio: self.otlp_ratio,
            resource: vec![
                ("service.name", "procura-gate".to_owned()),
                ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
                ("procura.namespace", namespace.to_string()),
                ("procura.service", self.service.to_string()),
            ],
            exported,
            lost,
        };
        let tracer = Tracer::new(tracing, Arc::clone(clock), Arc::clone(entropy));
        (metrics, tracer)
    }

    /// The names that the gate answers to.
    fn authorities(&self, address: SocketAddr) -> Result<Authorities, Failure> {
        if self.danger_any_host {
            return Ok(Authorities::DangerAny);
        }
        if !self.hosts.is_empty() {
            return Ok(Authorities::Listed(self.hosts.clone()));
        }
        if address.ip().is_unspecified() {
            return Err(
                Failure::usage("a gate on all addresses has to know what it is called")
                    .next("--host NAME, with the port if it is not 80 or 443"),
            );
        }
        let port = address.port();
        let mut names = vec![address.to_string()];
        if address.ip().is_loopback() {
            names.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}")));
        }
        Ok(Authorities::Listed(names))
    }
}

/// `AUTH_MODE`. One that was mistyped must not become another.
#[expect(
    clippy::disallowed_methods,
    reason = "the programs read the environment once and pass it down"
)]
pub(crate) fn environment() -> Result<Option<Mode>, Failure> {
    let Some(text) = std::env::var_os("AUTH_MODE") else {
        return Ok(None);
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Failure::config("AUTH_MODE must be off, observe or enforce")
                .next("set it to one of the three words, or unset it to go by the dial")
        })
}

/// A listener, and where it listens.
async fn bind(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: std::io::Error| {
        Failure::config(format!("cannot listen on {address}"))
            .because(error)
            .next(format!("{flag} ADDRESS, or port 0 for a free one"))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn wait_for(signals: (std::io::Result<Signal>, std::io::Result<Signal>)) {
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        // Without handlers the default action of the signals stops the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
