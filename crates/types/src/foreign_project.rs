//! Projects as CortexAuth calls them: whatever imports them, and whatever serves its clients
//! meanwhile, has to mean the same one.

use crate::{Malformed, ProjectName};
use std::str::FromStr;

/// A project by what it is called there. A name that is none here becomes one: letters
/// small, and `-` for `_`, `.` and spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignProject(ProjectName);

impl ForeignProject {
    /// The name that it has here.
    #[must_use]
    pub fn into_name(self) -> ProjectName {
        self.0
    }
}

impl FromStr for ForeignProject {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let folded = || text.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
        text.parse().or_else(|_| folded().parse()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::ForeignProject;

    #[test]
    fn what_is_no_name_here_becomes_one() {
        for (there, here) in [
            ("shop", "shop"),
            ("Shop", "shop"),
            ("my_shop", "my-shop"),
            ("My Shop.v2", "my-shop-v2"),
        ] {
            let name = there.parse::<ForeignProject>().unwrap().into_name();
            assert_eq!(name.as_str(), here, "{there}");
        }
        for none in ["", "_shop", "shop/other", "sh\u{f6}p", "..", "a b "] {
            assert!(none.parse::<ForeignProject>().is_err(), "{none}");
        }
    }
}
