//! Wrappers of unseal sources (`protocol.md` §5): which implementation is asked, with what
//! credentials, and for how long. Tokens and chips are in `vault`; services, which take
//! HTTP, are here.

mod kms;
mod places;
mod refusals;
mod sigv4;
mod transit;

pub(crate) use places::Places;
pub(crate) use refusals::{Late, Refusals};

use crate::app::App;
use crate::auto_unseal::Tries;
use crate::config::Config;
use crate::problem::{Code, Failure};
use procura_edge::private_file::{NotPrivate, read_private_file};
use procura_types::wire::Wrapper;
use procura_types::{Clock, Duration, Entropy, InstallationId, Label, Secret};
use procura_vault::{
    Brought, Credentials, Keeper, NewSource, Pkcs11Tokens, SealError, Source, Tpms, WrapError,
    Wraps,
};
use std::io::ErrorKind;
use std::sync::Arc;

/// The longest that a wrapper is waited for. One that hangs is left behind: whoever asks
/// is told, and can open the vault with another source.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest file of credentials.
const LONGEST: usize = 64 * 1024;

/// One of each kind.
pub(crate) struct Wrappers {
    pkcs11: Arc<dyn Wraps>,
    tpm: Arc<dyn Wraps>,
    kms: Arc<dyn Wraps>,
    transit: Arc<dyn Wraps>,
}

impl Wrappers {
    pub(crate) fn new(clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) -> Self {
        let own = rustix::process::getuid().as_raw();
        Self {
            pkcs11: Arc::new(Pkcs11Tokens::new(own, Arc::clone(entropy))),
            tpm: Arc::new(Tpms::new(Arc::clone(entropy))),
            kms: Arc::new(kms::Kms::new(Arc::clone(clock))),
            transit: Arc::new(transit::Transit::new(
                Arc::clone(clock),
                Arc::clone(entropy),
            )),
        }
    }

    fn of(&self, wrapper: &Wrapper) -> Arc<dyn Wraps> {
        Arc::clone(match wrapper {
            Wrapper::Pkcs11 { .. } => &self.pkcs11,
            Wrapper::Tpm { .. } => &self.tpm,
            Wrapper::Kms { .. } => &self.kms,
            Wrapper::Transit { .. } => &self.transit,
        })
    }

    /// Has the wrapper of a source of a restored home give its key back, to whoever sits
    /// there: with what they bring or the configuration names, and where it says.
    pub(crate) async fn give_back(
        &self,
        config: &Config,
        installation: InstallationId,
        source: Source,
        brought: Option<Secret<String>>,
    ) -> Result<Brought, WrapError> {
        let Keeper::Wrapped { by, .. } = &source.keeper else {
            return Err(WrapError::Own(format!("{} has no wrapper", source.name)));
        };
        let by = Places::new(config).of(&source.name, by)?;
        let credentials = credentials(config, &source.name, &by, brought)?;
        let wraps = self.of(&by);
        patiently(move || source.unwrapped(&installation, &by, wraps.as_ref(), &credentials)).await
    }
}

/// Runs what takes as long as a wrapper takes; the async threads go on.
async fn patiently<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WrapError> + Send + 'static,
) -> Result<T, WrapError> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(WrapError::Own(error.to_string())),
        Err(_) => Err(WrapError::Unavailable(format!(
            "it does not answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// The file that the configuration names for the credentials of a source: its first line
/// for a PIN or a passphrase, else all of it.
pub(crate) fn configured(
    config: &Config,
    source: &Label,
    one_line: bool,
) -> Result<Option<Secret<String>>, WrapError> {
    let Some(path) = config.unseal_credentials.get(source) else {
        return Ok(None);
    };
    let bad = |what: &dyn std::fmt::Display| WrapError::BadCredentials(what.to_string());
    let read = read_private_file(path, rustix::process::getuid().as_raw());
    let bytes = read.map_err(|error| match &error {
        // What writes it may be started after this server.
        NotPrivate::Io { cause, .. } if cause.kind() == ErrorKind::NotFound => {
            WrapError::Unavailable(format!("its credentials are not there: {error}"))
        }
        _ => bad(&error),
    })?;
    if bytes.expose().len() > LONGEST {
        return Err(bad(&format_args!("{} is too long", path.display())));
    }
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| bad(&format_args!("{} is not UTF-8", path.display())))?;
    let text = if one_line {
        text.lines().next().unwrap_or_default()
    } else {
        text
    };
    Ok(Some(Secret::new(text.to_owned())))
}

/// Whether the credentials of a wrapper are one line.
const fn is_one_line(wrapper: &Wrapper) -> bool {
    matches!(wrapper, Wrapper::Pkcs11 { .. })
}

/// What was brought, or else what the configuration names.
fn credentials(
    config: &Config,
    source: &Label,
    wrapper: &Wrapper,
    brought: Option<Secret<String>>,
) -> Result<Credentials, WrapError> {
    let secret = match brought {
        Some(secret) => Some(secret),
        None => configured(config, source, is_one_line(wrapper))?,
    };
    Ok(Credentials {
        secret,
        tries: None,
    })
}

/// Has the wrapper of a source give its key back.
pub(crate) async fn unwrapped(
    app: &App,
    installation: InstallationId,
    source: Source,
    brought: Option<Secret<String>>,
    unattended: bool,
) -> Result<Brought, WrapError> {
    let Keeper::Wrapped { by, .. } = &source.keeper else {
        return Err(WrapError::Own(format!("{} has no wrapper", source.name)));
    };
    let by = app.places.of(&source.name, by)?;
    let mut credentials = credentials(&app.config, &source.name, &by, brought)?;
    let tries = unattended.then(|| {
        let late = Late::new(&app.refusals, &app.clock, &app.entropy);
        Arc::new(Tries::of(&app.auto_unseal, &source.name, late))
    });
    if let Some(tries) = &tries {
        credentials.tries = Some(Arc::<Tries>::clone(tries));
    }
    let wraps = app.wrappers.of(&by);
    let unwrapped =
        patiently(move || source.unwrapped(&installation, &by, wraps.as_ref(), &credentials)).await;
    if let (Err(_), Some(tries)) = (&unwrapped, tries) {
        // One that hangs may still come back and say what it thinks of the PIN.
        tries.leave();
    }
    unwrapped
}

/// What was made at a wrapper for a source that is to be.
pub(crate) struct Made {
    wraps: Arc<dyn Wraps>,
    by: Option<Wrapper>,
    credentials: Credentials,
}

impl Made {
    /// The wrapper, with what was learned of it.
    pub(crate) const fn by(&self) -> Option<&Wrapper> {
        self.by.as_ref()
    }

    /// Takes it away, since the source was not added after all.
    pub(crate) async fn forget(self) {
        let Self {
            wraps,
            by,
            credentials,
        } = self;
        let Some(by) = by else {
            return;
        };
        let forgotten = patiently(move || {
            wraps.forget(&by, &credentials);
            Ok(())
        });
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "what was made for an unseal source that was not added is left behind");
        }
    }
}

/// Makes a source whose key a wrapper wraps.
pub(crate) async fn wrapped(
    app: &App,
    installation: InstallationId,
    name: Label,
    by: Wrapper,
    brought: Option<Secret<String>>,
) -> Result<(NewSource, Made), WrapError> {
    app.places.agrees(&name, &by)?;
    let credentials = credentials(&app.config, &name, &by, brought)?;
    let wraps = app.wrappers.of(&by);
    let entropy = Arc::clone(&app.entropy);
    patiently(move || {
        let entropy = entropy.as_ref();
        let source = NewSource::wrapped(
            name,
            &installation,
            &by,
            wraps.as_ref(),
            &credentials,
            entropy,
        )?;
        let by = source.wrapper().cloned();
        let made = Made {
            wraps,
            by,
            credentials,
        };
        Ok((source, made))
    })
    .await
}

/// What has to be brought to open the vault with a source, for people.
pub(crate) fn needs(keeper: &Keeper) -> String {
    match keeper {
        Keeper::Passphrase { .. } | Keeper::FirstFormat { .. } => "its passphrase".to_owned(),
        Keeper::Shares {
            threshold, shares, ..
        } => format!("{threshold} of its {} shares", shares.len()),
        Keeper::Slip39 {
            threshold, shares, ..
        } => format!(
            "{threshold} of its {} shares, which are words",
            shares.len()
        ),
        Keeper::Wrapped { by, .. } => match by {
            Wrapper::Pkcs11 { token, .. } => format!("the token {token} and its PIN"),
            Wrapper::Tpm { pcrs, .. } => {
                let pcrs: Vec<String> = pcrs.iter().map(u8::to_string).collect();
                format!(
                    "this machine, started as it was (registers {})",
                    pcrs.join(", ")
                )
            }
            Wrapper::Kms { key, .. } => format!("credentials that may use {key}"),
            Wrapper::Transit { namespace, key, .. } => {
                format!("credentials of a device that may use {namespace}/{key} there")
            }
        },
    }
}

/// What whoever asked is told.
pub(crate) fn told(source: &Label, error: WrapError) -> Failure {
    let code = match &error {
        WrapError::Unavailable(_) => Code::SourceUnavailable,
        WrapError::NeedsCredentials(_) | WrapError::BadCredentials(_) => Code::CredentialsNeeded,
        WrapError::WrongPin => Code::WrongPin,
        WrapError::PinLocked | WrapError::FewTriesLeft => Code::PinLocked,
        WrapError::Denied(_) => Code::CredentialsRefused,
        WrapError::PcrsChanged(_) => Code::PcrsChanged,
        WrapError::Another(_) => Code::AnotherWrapper,
        WrapError::Refused => Code::WrappedKeyRefused,
        WrapError::NotConfigured(_) => Code::SourceNotConfigured,
        WrapError::Unfit(_) => Code::WrapperUnfit,
        WrapError::Own(_) => return Failure::internal(error),
    };
    let cause = SealError::Wrapper {
        source_name: source.clone(),
        cause: error,
    };
    Failure::new(code, cause.to_string())
}
