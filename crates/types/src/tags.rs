//! The tags of a secret.

use crate::{Malformed, Tag};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most tags of one secret.
const MOST: usize = 16;

/// At most 16 tags, each once, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tag>", into = "Vec<Tag>")]
pub struct Tags(BTreeSet<Tag>);

impl Tags {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Tag>> for Tags {
    type Error = Malformed;
    fn try_from(tags: Vec<Tag>) -> Result<Self, Malformed> {
        let tags: BTreeSet<Tag> = tags.into_iter().collect();
        if tags.len() > MOST {
            return Err(Malformed::new("tags", "must be 16 at the most"));
        }
        Ok(Self(tags))
    }
}

impl From<Tags> for Vec<Tag> {
    fn from(tags: Tags) -> Self {
        tags.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_tags_at_the_most() {
        let tags = |count: usize| -> Result<Tags, Malformed> {
            let tags = (0..count).map(|number| format!("t{number:02}").parse().unwrap());
            tags.collect::<Vec<Tag>>().try_into()
        };
        assert_eq!(tags(16).unwrap().iter().count(), 16);
        assert_eq!(tags(17).unwrap_err().field, "tags");
        let twice: Tags = serde_json::from_str(r#"["b","a","b"]"#).unwrap();
        assert_eq!(serde_json::to_string(&twice).unwrap(), r#"["a","b"]"#);
        assert!(Tags::default().is_empty());
    }
}
