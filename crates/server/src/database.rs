//! The store in PostgreSQL, if one is configured: several servers use it, and one of
//! them made it ([ADR 32](../../../docs/adr/0032-several-servers.md)).

use crate::app::{App, Stage};
use crate::config::Config;
use crate::problem::{Code, Failure};
use crate::start::StartError;
use procura_edge::private_file::read_private_file;
use procura_store::{PostgresEngine, PostgresFault, PostgresOptions, Store};
use procura_types::{InstallationId, Secret};
use procura_vault::{Installation, SealError};
use std::fs;
use std::sync::Arc;

/// How the database of the configuration is reached; none when the store is in the home.
pub(crate) fn options(config: &Config) -> Result<Option<PostgresOptions>, StartError> {
    let Some(url) = config.database()? else {
        return Ok(None);
    };
    let mut options = PostgresOptions::new(url);
    options.cache_bytes = config.cache_megabytes.saturating_mul(1024 * 1024);
    options.danger_async_standby = config.danger_async_standby;
    if let Some(path) = &config.database_password_file {
        let failed =
            |problem: String| StartError::Guard(format!("database_password_file: {problem}"));
        let bytes = read_private_file(path, rustix::process::getuid().as_raw())
            .map_err(|error| failed(error.to_string()))?;
        let text = std::str::from_utf8(bytes.expose())
            .map_err(|_| failed(format!("{} is not UTF-8", path.display())))?;
        let line = text.lines().next().unwrap_or_default();
        options.password = Some(Secret::new(line.to_owned()));
    }
    if let Some(path) = &config.database_ca {
        let failed = |problem: String| StartError::Guard(format!("database_ca: {problem}"));
        let authorities =
            fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
        options
            .trust(&authorities)
            .map_err(|fault| failed(fault.to_string()))?;
    }
    Ok(Some(options))
}

/// What stands in the database of the configuration: sealed, or without an installation.
/// The home gets a copy of what is there; `None` when the store is in the home.
pub(crate) fn found(app: &App) -> Result<Option<Stage>, StartError> {
    let home = &app.config.home;
    let Some(asking) = options(&app.config)? else {
        return Ok(None);
    };
    if home.join(crate::admin::DATABASE).exists() {
        return Err(StartError::Home {
            path: home.clone(),
            problem: "holds a database of its own, so database_url is not for it: take the key out, or use another home".to_owned(),
        });
    }
    let known = match Installation::read(home) {
        Ok(installation) => Some(installation.id),
        Err(SealError::NotInitialised) => None,
        Err(error) => return Err(error.into()),
    };
    match (PostgresEngine::find(asking)?, known) {
        (None, None) => Ok(Some(Stage::Uninitialised)),
        (None, Some(_)) => Err(StartError::RolledBack(
            "the database holds no store, and this home belongs to one".to_owned(),
        )),
        (Some(id), known) => {
            let store = open(app, &known.unwrap_or(id))?;
            match Installation::of_store(home, &store)? {
                Some(installation) => Ok(Some(Stage::Sealed(store, Box::new(installation)))),
                // An `init` has not come to its end, or goes on at another server.
                None => Ok(Some(Stage::Uninitialised)),
            }
        }
    }
}

/// The same where it is known that one is configured.
pub(crate) fn configured(config: &Config) -> Result<PostgresOptions, StartError> {
    let options = options(config)?;
    options.ok_or_else(|| StartError::Guard("database_url is not set".to_owned()))
}

/// Looks again whether another server has made the installation meanwhile.
///
/// # Errors
/// That the database cannot be used.
pub(crate) fn look_again(app: &App) -> Result<(), Failure> {
    if app.config.database_url.is_none() || !matches!(app.stage().as_ref(), Stage::Uninitialised) {
        return Ok(());
    }
    match found(app) {
        Ok(Some(stage)) => app.set_stage(stage),
        Ok(None) => {}
        Err(error @ StartError::Database(_)) => {
            return Err(Failure::new(Code::StoreUnavailable, error.to_string()));
        }
        Err(error) => {
            return Err(Failure::new(Code::Internal, error.to_string()));
        }
    }
    Ok(())
}

fn over(app: &App, engine: PostgresEngine) -> Store {
    Store::over(
        Arc::new(engine),
        Arc::clone(&app.clock),
        Arc::clone(&app.entropy),
    )
}

fn open(app: &App, id: &InstallationId) -> Result<Store, StartError> {
    Ok(over(
        app,
        PostgresEngine::open(configured(&app.config)?, id)?,
    ))
}

/// Makes an empty store; what an `init` left there that did not come to its end goes.
pub(crate) fn make(
    options: impl Fn() -> Result<PostgresOptions, StartError>,
    id: &InstallationId,
) -> Result<PostgresEngine, StartError> {
    if PostgresEngine::find(options()?)?.is_some() {
        PostgresEngine::discard_untouched(options()?)?;
    }
    Ok(PostgresEngine::create(options()?, id)?)
}

impl From<PostgresFault> for StartError {
    fn from(fault: PostgresFault) -> Self {
        let text = fault.to_string();
        match fault {
            PostgresFault::Unreachable { .. } | PostgresFault::Own(_) => Self::Database(text),
            PostgresFault::NewerFormat { .. } => Self::NewerFormat(text),
            PostgresFault::OtherInstallation { .. } => Self::OtherInstallation(text),
            PostgresFault::RolledBack { .. } => Self::RolledBack(text),
            PostgresFault::Corrupt(_) => Self::Damaged(text),
            PostgresFault::NotLetIn { .. }
            | PostgresFault::NoTls { .. }
            | PostgresFault::TooOld { .. }
            | PostgresFault::Standby { .. }
            | PostgresFault::NotDurable { .. }
            | PostgresFault::AsyncStandby { .. }
            | PostgresFault::Missing { .. }
            | PostgresFault::AlreadyExists { .. } => Self::Guard(text),
        }
    }
}
