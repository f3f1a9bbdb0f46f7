//! Templates of a run: what is put into them, and what of it is handed over.

use crate::error::AuthorityError;
use procura_types::template::Template;
use procura_types::wire::GrantItem;
use procura_types::{EnvName, SecretBytes};
use procura_vault::{MAX_VALUE, Released};
use std::collections::{BTreeMap, BTreeSet};

/// Which items of a run are templates, and which are there only to be put into one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rendering {
    pub(crate) templates: BTreeSet<EnvName>,
    pub(crate) put_in: BTreeSet<EnvName>,
}

/// A value as the process gets it.
pub struct Handed<'a> {
    /// Under which name, and of which secret.
    pub item: &'a GrantItem,
    /// Which version of the secret; of a template, of the template.
    pub version: u64,
    /// The value; of a template, the text with its values.
    pub value: SecretBytes,
}

impl Rendering {
    /// What is handed over of the values that were released for `items`, in their order.
    ///
    /// # Errors
    /// [`AuthorityError::NotRendered`], and nothing is handed over.
    pub(crate) fn hand<'a>(
        &self,
        items: &'a [GrantItem],
        released: Vec<Released>,
    ) -> Result<Vec<Handed<'a>>, AuthorityError> {
        let mut texts: BTreeMap<&EnvName, SecretBytes> = BTreeMap::new();
        let pairs = || items.iter().zip(&released);
        let values: BTreeMap<&EnvName, &SecretBytes> = pairs()
            .map(|(item, released)| (&item.name, &released.value))
            .collect();
        for (item, released) in pairs() {
            if !self.templates.contains(&item.name) {
                continue;
            }
            let text = Template::parse(released.value.expose()).and_then(|template| {
                template.render(MAX_VALUE, |name| {
                    values.get(name).map(|value| value.expose().as_slice())
                })
            });
            let text = text.map_err(|problem| AuthorityError::NotRendered {
                name: item.name.clone(),
                problem,
            })?;
            texts.insert(&item.name, text);
        }
        Ok(items
            .iter()
            .zip(released)
            .filter(|(item, _)| !self.put_in.contains(&item.name))
            .map(|(item, released)| Handed {
                item,
                version: released.version,
                value: texts.remove(&item.name).unwrap_or(released.value),
            })
            .collect())
    }
}
