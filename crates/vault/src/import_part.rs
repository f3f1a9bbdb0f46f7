//! What goes into one of several namespaces at once: its secrets and its decoys, counted
//! together.

use crate::error::VaultError;
use crate::honey::HoneyPlant;
use crate::import::SecretImport;
use crate::namespace::NewNamespaces;
use crate::quota::Charge;
use crate::vault::Vault;
use procura_policy::{Action, Op, Resource};
use procura_record::{RecordedBatch, in_parts};
use procura_types::wire::{HoneyPlace, SecretImported};
use procura_types::{Entropy, Namespace, SecretPath, Timestamp};

/// Secrets and decoys of one namespace, as parts of a larger operation.
pub struct ImportPart<'a> {
    /// Where.
    pub namespace: &'a Namespace,
    /// Its secrets, if there are any.
    pub secrets: Option<&'a SecretImport>,
    /// Its decoys, none of which lies where a secret goes.
    pub honey: &'a [HoneyPlant],
}

impl ImportPart<'_> {
    /// Puts all of it, with the entries that say so: for the namespace those of an import,
    /// in which a decoy is a secret like others, and for the installation that of each
    /// decoy. `new` has the keys of namespaces that the batch makes; that there are the
    /// others is for the caller to see.
    ///
    /// # Errors
    /// [`VaultError::At`] with what stands in the way of the first.
    pub fn put<O: Op>(
        &self,
        vault: &Vault,
        batch: &mut RecordedBatch<'_, O>,
        new: &NewNamespaces,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<(SecretImported, Vec<HoneyPlace>), VaultError> {
        let key = new.0.get(self.namespace).cloned();
        let mut charge = Charge::open(batch, self.namespace)?.with_key(key);
        let mut words: Vec<(SecretPath, String)> = Vec::new();
        let mut imported = SecretImported {
            secrets: Vec::new(),
            written: 0,
        };
        if let Some(import) = self.secrets {
            let (done, said) = import.put(vault, batch, &mut charge, now)?;
            let paths = done.secrets.iter().map(|secret| secret.path.clone());
            words.extend(paths.zip(said));
            imported = done;
        }
        let mut places = Vec::with_capacity(self.honey.len());
        for (beside, honey) in self.honey.iter().enumerate() {
            let (planted, said) = honey
                .put(batch, beside, entropy, now)
                .map_err(|error| error.at(&honey.path))?;
            charge.adds_decoy(planted.bytes());
            batch.say_of_part(Action::HoneyPlant, &honey.resource(), vec![said]);
            words.push((honey.path.clone(), honey.looks()));
            places.push(HoneyPlace {
                path: planted.path,
                canary: planted.canary,
            });
        }
        charge.settle(batch)?;
        words.sort();
        if !words.is_empty() {
            let words = in_parts(words.into_iter().map(|(_, words)| words));
            let here = Resource::Namespace(self.namespace.clone());
            batch.say_of_part(Action::SecretImport, &here, words);
        }
        Ok((imported, places))
    }
}
