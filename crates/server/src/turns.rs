//! Writers of a namespace with a quota take turns: each rewrites the row that counts what
//! is there, so of two at once one would only begin anew. Those of other namespaces do
//! not wait. That no bound is passed does not rest on this, but on the row.

use crate::problem::Failure;
use procura_types::Namespace;
use procura_vault::Vault;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Whose turn it is, by namespace.
#[derive(Default)]
pub struct Turns(std::sync::Mutex<HashMap<Namespace, Arc<Mutex<()>>>>);

/// A turn; it ends when this is dropped.
#[must_use]
pub(crate) struct Turn(#[expect(dead_code, reason = "held")] Option<OwnedMutexGuard<()>>);

impl Turns {
    /// Waits until it is the caller's turn to change how much is in the namespace.
    pub(crate) async fn take(&self, vault: &Vault, namespace: &Namespace) -> Result<Turn, Failure> {
        if !vault.has_quota(namespace)? {
            return Ok(Turn(None));
        }
        let place = {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(namespace.clone()).or_default())
        };
        Ok(Turn(Some(place.lock_owned().await)))
    }
}
