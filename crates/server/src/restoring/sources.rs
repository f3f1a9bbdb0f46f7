//! What opens a restored home: everything that opened the vault when the backup was taken.
//! A passphrase and shares are brought by people; a token, a chip or a service is asked for
//! its key when somebody names it, and only that one, since a restored home asks nobody by
//! itself.

use super::error::RestoreError;
use super::verify::Means;
use crate::wrappers::{self, Wrappers};
use procura_types::Label;
use procura_types::wire::{Opening, SourceOpening, Wrapper};
use procura_vault::{Brought, Installation, Keeper, SealError, Share, Source, WrapError};
use std::path::Path;

/// One of the unseal sources that were there when the backup was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedWith {
    /// Its name.
    pub name: Label,
    /// The word for its kind.
    pub kind: &'static str,
    /// What it takes, for people.
    pub needs: String,
    /// A token, a chip or a service keeps it.
    pub wrapped: bool,
    /// It is a passphrase.
    pub passphrase: bool,
}

impl OpenedWith {
    fn of(source: &Source) -> Self {
        Self {
            name: source.name.clone(),
            kind: source.keeper.kind(),
            needs: wrappers::needs(&source.keeper),
            wrapped: source.wrapper().is_some(),
            passphrase: matches!(
                source.keeper,
                Keeper::Passphrase { .. } | Keeper::FirstFormat { .. }
            ),
        }
    }
}

/// What opens a restored home.
///
/// # Errors
/// What is wrong with its `installation.json`.
pub fn sources(home: &Path) -> Result<Vec<OpenedWith>, RestoreError> {
    let installation = Installation::read(home).map_err(|error| match error {
        SealError::NotInitialised => RestoreError::NotRestored(home.to_owned()),
        other => other.into(),
    })?;
    Ok(installation.sources.iter().map(OpenedWith::of).collect())
}

/// What somebody brings, as the vault takes it: the wrapper of a source that is named is
/// asked for its key.
pub(super) async fn bring(means: &Means, opening: Opening) -> Result<Brought, RestoreError> {
    match opening {
        Opening::Passphrase(passphrase) => Ok(Brought::Passphrase(passphrase)),
        Opening::Shares(texts) => Ok(Brought::Shares(Share::parse_all(&texts)?)),
        Opening::Source(SourceOpening { name, credentials }) => {
            let installation = Installation::read(&means.config.home)?;
            let source = installation
                .source(&name)
                .ok_or_else(|| SealError::NoSource(name.clone()))?;
            if source.wrapper().is_none() {
                return Err(RestoreError::Refused(format!(
                    "{name} is opened with {}; bring that",
                    wrappers::needs(&source.keeper)
                )));
            }
            let wrappers = Wrappers::new(&means.clock, &means.entropy);
            let asked =
                wrappers.give_back(&means.config, installation.id, source.clone(), credentials);
            asked.await.map_err(|cause| match cause {
                WrapError::NotConfigured(why) => RestoreError::Unplaced {
                    name,
                    why,
                    lines: lines(source),
                },
                cause => SealError::Wrapper {
                    source_name: name,
                    cause,
                }
                .into(),
            })
        }
    }
}

/// The lines of a configuration that say where the wrapper of a source is, but for the
/// place: whoever made the backup is not believed about that.
fn lines(source: &Source) -> String {
    let place = match source.wrapper() {
        Some(Wrapper::Pkcs11 { .. }) => "module = \"/PATH/OF/ITS/MODULE.so\"",
        Some(Wrapper::Tpm { .. }) => "device = \"/dev/tpmrm0\"",
        Some(Wrapper::Kms { .. }) => "region = \"ITS-REGION\"",
        Some(Wrapper::Transit { .. }) | None => "",
    };
    format!("[unseal_at.{}]\n{place}", source.name)
}
