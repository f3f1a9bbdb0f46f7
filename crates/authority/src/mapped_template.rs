//! Templates by where they lie: CortexAuth asks for one by its path, projects know names.

use crate::error::AuthorityError;
use crate::project::ProjectRow;
use procura_directory::Snapshot;
use procura_types::{ActorId, EnvName, Namespace, ProjectName, SecretKind, SecretPath, Timestamp};
use procura_vault::{Vault, newest_version};

/// The first name under which a project maps the template at a path. To whom the project is
/// none, and for whatever is no template, there is none.
///
/// # Errors
/// The store's.
pub fn mapped_template(
    vault: &Vault,
    snapshot: &Snapshot,
    agent: &ActorId,
    (namespace, project): (&Namespace, &ProjectName),
    path: &SecretPath,
    now: Timestamp,
) -> Result<Option<EnvName>, AuthorityError> {
    let row = ProjectRow::of(vault.store(), snapshot, namespace, project, agent, now)?;
    let newest = newest_version(vault.store(), namespace, path)?;
    let is_template = newest.is_some_and(|newest| newest.kind == SecretKind::Template);
    Ok(row.filter(|_| is_template).and_then(|row| {
        let mut mapped = row.env.into_iter();
        mapped.find_map(|(name, to)| (to == *path).then_some(name))
    }))
}
