//! The certificate of a listener and its key: read at the start, and again when the
//! files change, for the connections that come from then on.

use crate::private_file::{NotPrivate, read_private_file};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::watch::Receiver;
use tokio_rustls::TlsAcceptor;

/// What is spoken over TLS, the preferred first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// HTTP/2 as TLS names it (RFC 9113 §3.2).
const HTTP_2: &[u8] = b"h2";

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Files that changed are read again at so many looks after that: the steps of their
/// times are coarse, and what was written right after they were read might not show.
const SETTLED: u8 = 2;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{0}: {1}")]
    File(String, String),
    /// The key is not this program's alone, or cannot be read.
    #[error("tls_key: {0}")]
    Key(#[from] NotPrivate),
    /// Chain and key.
    #[error("tls_cert and tls_key cannot be used together: {0}")]
    Pair(String),
}

/// Chain and key in PEM files, and the TLS made of them.
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// What was found when the files were last read.
struct Seen {
    /// The chain that is in use.
    chain: Vec<CertificateDer<'static>>,
    /// The files as they were before they were read; none if they have to be read again
    /// in any case.
    stamps: Option<[Stamp; 2]>,
    /// How often they were read since without a change.
    settled: u8,
    /// Why what is in the files now is not in use.
    problem: Option<String>,
}

/// What changes with a file: which one it is, its size, its times, and who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp([i128; 9]);

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self([
            found.dev().into(),
            found.ino().into(),
            found.size().into(),
            found.mode().into(),
            found.uid().into(),
            found.mtime().into(),
            found.mtime_nsec().into(),
            found.ctime().into(),
            found.ctime_nsec().into(),
        ])
    }
}

impl Certificate {
    /// Reads chain and key.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be used, or others can read the key.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamps = stamps(cert, key);
        let (config, chain) = load(cert, key)?;
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(Seen {
                chain,
                stamps,
                settled: 0,
                problem: None,
            }),
        })
    }

    /// Takes connections with what is in use now.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Why what is in the files is not in use, if it is not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.problem.clone()
    }

    /// Reads the files again if they changed, or if they have to be in any case. Those
    /// that do not fit together change nothing, and are read until they do: whoever
    /// replaces them writes one after the other.
    pub fn renew(&self, in_any_case: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.cert, &self.key);
        let same = stamps.is_some() && stamps == seen.stamps;
        if same && seen.settled >= SETTLED && !in_any_case {
            return;
        }
        match load(&self.cert, &self.key) {
            Ok((config, chain)) => {
                // The same certificate has the same key. To use it anew would only make
                // clients shake hands again that were here before.
                if chain != seen.chain {
                    self.current.store(Arc::new(config));
                    tracing::info!(tls_cert = %self.cert.display(), "the new certificate is in use");
                }
                *seen = Seen {
                    chain,
                    stamps,
                    settled: if same {
                        seen.settled.saturating_add(1)
                    } else {
                        0
                    },
                    problem: None,
                };
            }
            Err(error) => {
                let problem = error.to_string();
                if seen.problem.as_ref() != Some(&problem) {
                    tracing::warn!(
                        %problem,
                        "what is in tls_cert and tls_key now cannot be used; the certificate from before stays in use"
                    );
                }
                seen.problem = Some(problem);
                seen.stamps = None;
            }
        }
    }
}

/// The files as they are; none if one cannot be looked at.
fn stamps(cert: &Path, key: &Path) -> Option<[Stamp; 2]> {
    let stamp = |path: &Path| path.metadata().ok().map(|found| Stamp::of(&found));
    Some([stamp(cert)?, stamp(key)?])
}

fn load(cert: &Path, key: &Path) -> Result<(ServerConfig, Vec<CertificateDer<'static>>), TlsError> {
    let file = |path: &Path, cause: &dyn std::fmt::Display| {
        TlsError::File(path.display().to_string(), cause.to_string())
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(cert, &error))?;
    if chain.is_empty() {
        return Err(file(cert, &"holds no certificate"));
    }
    let text = read_private_file(key, rustix::process::getuid().as_raw())?;
    let private =
        PrivateKeyDer::from_pem_slice(text.expose()).map_err(|error| file(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), private)
        .map_err(|error| TlsError::Pair(error.to_string()))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok((config, chain))
}

/// Whether both sides agreed on HTTP/2.
#[must_use]
pub fn is_http2(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(HTTP_2)
}

/// Looks after the certificate until `stopping` is true or its sender is gone: every
/// second, and at once on SIGHUP. Without a certificate the signal is taken and does
/// nothing, as one that reached a program by a terminal that went away should.
pub async fn look_after(
    certificate: Option<Arc<Certificate>>,
    hangup: io::Result<Signal>,
    mut stopping: Receiver<bool>,
) {
    let mut hangup = hangup.ok();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let asked = async {
            // A stream of signals that ends brings none.
            if let Some(hangup) = &mut hangup
                && hangup.recv().await.is_some()
            {
                return;
            }
            std::future::pending().await
        };
        let in_any_case = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = asked => true,
            _ = look.tick(), if certificate.is_some() => false,
        };
        if let Some(certificate) = certificate.clone() {
            let renewed = tokio::task::spawn_blocking(move || certificate.renew(in_any_case));
            if let Err(error) = renewed.await {
                tracing::error!(%error, "the certificate could not be looked at");
            }
        }
    }
}
