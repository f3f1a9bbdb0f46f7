//! What an agent asked for, for those who tell people that it did: names, never values.

use crate::error::AuthorityError;
use crate::request::REQUESTS;
use procura_store::Store;
use procura_types::{ActorId, EnvName, Namespace, ProjectName, RequestId};

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub agent: ActorId,
    /// For which project.
    pub project: ProjectName,
    /// The names, sorted.
    pub names: Vec<EnvName>,
}

/// What a request says, if it is there still.
///
/// # Errors
/// The store's.
pub fn asked(
    store: &Store,
    namespace: &Namespace,
    id: RequestId,
) -> Result<Option<Asked>, AuthorityError> {
    let row = REQUESTS.get(store, &(namespace.clone(), id))?;
    Ok(row.map(|row| Asked {
        agent: row.value.agent,
        project: row.value.project,
        names: row.value.items.into_iter().map(|item| item.name).collect(),
    }))
}
