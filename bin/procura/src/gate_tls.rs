//! TLS on both sides of a gate: its own certificate, and how it checks its upstream's.

use crate::failure::Failure;
use clap::Args;
use procura_edge::tls::Certificate;
use procura_gate::{UpstreamTls, UpstreamUrl};
use std::path::PathBuf;
use std::sync::Arc;

/// Certificates of a gate.
#[derive(Debug, Args)]
pub(crate) struct GateTls {
    /// The certificate that the gate shows, PEM, its own first; read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM; nobody else may read it
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The authorities that may have issued the certificate of an https upstream, PEM [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
}

impl GateTls {
    /// Whether the gate speaks TLS.
    pub(crate) const fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// The gate's certificate, if it has one.
    pub(crate) fn certificate(&self) -> Result<Option<Arc<Certificate>>, Failure> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        Certificate::read(cert, key)
            .map(|certificate| Some(Arc::new(certificate)))
            .map_err(|error| {
                Failure::config("cannot speak TLS")
                    .because(error)
                    .next("--tls-cert and --tls-key, with a certificate and its own key")
            })
    }

    /// How the upstream is checked, if it is reached over TLS.
    pub(crate) fn upstream(&self, url: &UpstreamUrl) -> Result<Option<UpstreamTls>, Failure> {
        if !url.is_tls() {
            if self.upstream_ca.is_some() {
                return Err(
                    Failure::usage("--upstream-ca says how an https upstream is checked")
                        .next("--upstream https://…, or leave --upstream-ca out"),
                );
            }
            return Ok(None);
        }
        let pem = match &self.upstream_ca {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                Failure::config(format!("cannot read {}", path.display())).because(error)
            })?),
            None => None,
        };
        procura_client::tls_config(pem.as_deref())
            .map(|config| Some(Arc::new(config)))
            .map_err(|error| {
                Failure::config("cannot check the certificate of the upstream")
                    .because(error)
                    .next(
                        "--upstream-ca FILE, with the certificate of the authority that issued it",
                    )
            })
    }
}
