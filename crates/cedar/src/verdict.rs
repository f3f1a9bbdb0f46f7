//! What a set of policies says.

use procura_policy::PolicyNames;
use std::fmt::Write as _;
use std::sync::Arc;

/// Most bytes of names in one entry of the record: an entry has to fit, whatever else it
/// says.
const MOST: usize = 2_000;

/// What policies say about what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one permits it, and none forbids it.
    Permits,
    /// At least one forbids it, or could not be evaluated and would forbid.
    Forbids,
    /// None permits it.
    NonePermits,
}

/// What a set says, and by which of its policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it says.
    pub outcome: Outcome,
    /// The policies that it is by, ascending by name.
    pub policies: Vec<Arc<str>>,
}

impl Verdict {
    /// One verdict on several things that are asked for together: all have to be allowed.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.outcome, other.outcome) {
            (Outcome::Permits, Outcome::Permits) => {
                let mut policies = self.policies;
                policies.extend(other.policies);
                policies.sort_unstable();
                policies.dedup();
                Self {
                    outcome: Outcome::Permits,
                    policies,
                }
            }
            // What is forbidden is said before what nobody permits.
            (Outcome::Permits, _) | (Outcome::NonePermits, Outcome::Forbids) => other,
            _ => self,
        }
    }
}

/// The names for the record: `shop@3:night shop@3:ci`. None where there are none.
pub(crate) fn names<'a>(
    by: impl IntoIterator<Item = (&'a str, &'a [Arc<str>])>,
) -> Option<PolicyNames> {
    let mut out = String::new();
    let mut left_out = 0_usize;
    for (label, policies) in by {
        for policy in policies {
            if out.len() + label.len() + policy.len() + 2 > MOST {
                left_out += 1;
                continue;
            }
            if !out.is_empty() {
                out.push(' ');
            }
            // Writing to a String cannot fail.
            let _ = write!(out, "{label}:{policy}");
        }
    }
    if left_out > 0 {
        let _ = write!(out, " +{left_out}");
    }
    (!out.is_empty()).then(|| out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(outcome: Outcome, names: &[&str]) -> Verdict {
        Verdict {
            outcome,
            policies: names.iter().map(|name| Arc::from(*name)).collect(),
        }
    }

    #[test]
    fn all_of_several_have_to_be_allowed() {
        use Outcome::{Forbids, NonePermits, Permits};
        let cases = [
            (Permits, Permits, Permits),
            (Permits, Forbids, Forbids),
            (Forbids, Permits, Forbids),
            (Permits, NonePermits, NonePermits),
            (NonePermits, Forbids, Forbids),
            (Forbids, NonePermits, Forbids),
        ];
        for (one, other, both) in cases {
            let found = of(one, &["b"]).and(of(other, &["a"]));
            assert_eq!(found.outcome, both, "{one:?} {other:?}");
        }
        let both = of(Permits, &["b", "c"]).and(of(Permits, &["a", "b"]));
        assert_eq!(both, of(Permits, &["a", "b", "c"]));
    }

    #[test]
    fn names_are_bounded() {
        let many: Vec<Arc<str>> = (0..1000).map(|n| format!("policy{n}").into()).collect();
        let words = names([("shop@3", many.as_slice())]).unwrap_or_else(|| "".into());
        assert!(words.len() < MOST + 10 && words.contains(" +"), "{words}");
        assert_eq!(names([("shop@3", [].as_slice())]), None);
    }
}
