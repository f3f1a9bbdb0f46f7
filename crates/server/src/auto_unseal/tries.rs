//! Keeping account of PINs that are tried: one that a token refused, or that nothing was
//! heard of, is not tried again by itself.

use super::AutoUnseal;
use crate::wrappers::Late;
use procura_types::Label;
use procura_vault::{PinTries, WrapError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl AutoUnseal {
    /// A PIN is about to be tried. What cannot be written down is not tried.
    fn begin(&self, source: &Label) -> Result<(), WrapError> {
        let mut state = self.state();
        if state.kept.refused.contains(source) {
            return Err(WrapError::FewTriesLeft);
        }
        let written = self.write(&mut state, |kept| {
            kept.refused.insert(source.clone());
        });
        if let Err(error) = written {
            state.kept.refused.remove(source);
            return Err(WrapError::Own(format!(
                "that a PIN is tried could not be written down, so it was not tried: {error}"
            )));
        }
        state.trying.insert(source.clone());
        Ok(())
    }

    /// The try is over.
    fn end(&self, source: &Label, refused: bool) {
        self.state().trying.remove(source);
        if !refused {
            self.forgive(source);
        }
    }

    /// Whether the PIN of a source may be tried.
    pub(super) fn standing(&self, source: &Label) -> Standing {
        let state = self.state();
        if state.trying.contains(source) {
            Standing::Trying
        } else if state.kept.refused.contains(source) {
            Standing::Refused
        } else {
            Standing::Free
        }
    }

    /// A wrapper gave its key back to somebody.
    pub(crate) fn forgive(&self, source: &Label) {
        self.keep(|kept| {
            kept.refused.remove(source);
        });
    }

    /// Its PIN is not tried again without somebody.
    pub(super) fn refuse(&self, source: &Label) {
        self.keep(|kept| {
            kept.refused.insert(source.clone());
        });
    }
}

/// How it stands with the PIN of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Free,
    /// A try has not come back.
    Trying,
    /// It was refused, or nothing was heard of it.
    Refused,
}

/// Keeps account of the tries of one PIN.
pub(crate) struct Tries {
    auto: Arc<AutoUnseal>,
    source: Label,
    late: Late,
    /// Nobody waits for the answer any more.
    left: AtomicBool,
}

impl Tries {
    pub(crate) fn of(auto: &Arc<AutoUnseal>, source: &Label, late: Late) -> Self {
        Self {
            auto: Arc::clone(auto),
            source: source.clone(),
            late,
            left: AtomicBool::new(false),
        }
    }

    /// Whoever asked was told that there is no answer: one that still comes is told here.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }
}

impl PinTries for Tries {
    fn begin(&self) -> Result<(), WrapError> {
        self.auto.begin(&self.source)
    }

    fn end(&self, refused: Option<&WrapError>) {
        let refused = refused.filter(|error| {
            matches!(
                error,
                WrapError::WrongPin | WrapError::PinLocked | WrapError::Denied(_)
            )
        });
        self.auto.end(&self.source, refused.is_some());
        if let (Some(error), true) = (refused, self.left.load(Ordering::Acquire)) {
            self.late.refused(&self.source, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrappers::Refusals;
    use procura_crypto::SystemEntropy;
    use procura_types::{Clock, Entropy, Timestamp};
    use std::path::Path;
    use std::time::Instant;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_800_000_000)
        }
        fn steady(&self) -> Instant {
            Instant::now()
        }
    }

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    #[test]
    fn a_refused_pin_is_remembered_until_it_was_right() {
        let home = tempfile::tempdir().unwrap();
        AutoUnseal::of(home.path()).refuse(&label("hsm"));
        let auto = AutoUnseal::of(home.path());
        assert!(auto.state().kept.refused.contains(&label("hsm")));
        auto.forgive(&label("other"));
        assert!(auto.state().kept.refused.contains(&label("hsm")));
        auto.forgive(&label("hsm"));
        assert!(AutoUnseal::of(home.path()).state().kept.refused.is_empty());
    }

    /// What keeps account of the tries of a source, in a home.
    fn tries(home: &Path, source: &str) -> (Arc<AutoUnseal>, Tries, Arc<Refusals>) {
        let auto = Arc::new(AutoUnseal::of(home));
        let refusals = Arc::new(Refusals::new(home, &crate::metrics::Metrics::default()));
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(Noon), Arc::new(SystemEntropy));
        let late = Late::new(&refusals, &clock, &entropy);
        let tries = Tries::of(&auto, &label(source), late);
        (auto, tries, refusals)
    }

    #[test]
    fn a_try_counts_as_refused_until_it_is_known_to_be_none() {
        use Standing::{Free, Refused, Trying};
        let refused = WrapError::Denied("expired".to_owned());
        let away = WrapError::Unavailable("away".to_owned());
        for (outcome, after) in [
            (None, Free),
            (Some(&away), Free),
            (Some(&WrapError::WrongPin), Refused),
            (Some(&WrapError::PinLocked), Refused),
            (Some(&refused), Refused),
        ] {
            let home = tempfile::tempdir().unwrap();
            let (auto, tries, _) = tries(home.path(), "hsm");
            tries.begin().unwrap();
            assert_eq!(auto.standing(&label("hsm")), Trying);
            // Another process, after this one was killed in its midst.
            let again = AutoUnseal::of(home.path());
            assert_eq!(again.standing(&label("hsm")), Refused);
            assert_eq!(again.standing(&label("other")), Free);
            tries.end(outcome);
            assert_eq!(auto.standing(&label("hsm")), after, "{outcome:?}");
            let again = AutoUnseal::of(home.path());
            assert_eq!(again.standing(&label("hsm")), after, "{outcome:?}");
        }
    }

    #[test]
    fn a_refused_pin_begins_no_other_try() {
        let home = tempfile::tempdir().unwrap();
        let (_, tries, _) = tries(home.path(), "hsm");
        tries.begin().unwrap();
        tries.end(Some(&WrapError::WrongPin));
        assert_eq!(tries.begin().unwrap_err(), WrapError::FewTriesLeft);
    }

    #[test]
    fn what_cannot_be_written_down_is_not_tried() {
        let home = tempfile::tempdir().unwrap();
        let (auto, tries, _) = tries(&home.path().join("gone"), "hsm");
        let error = tries.begin().unwrap_err().to_string();
        assert!(
            error.starts_with("that a PIN is tried could not be written down"),
            "{error}"
        );
        assert_eq!(auto.standing(&label("hsm")), Standing::Free);
    }

    #[test]
    fn a_refusal_after_its_time_is_kept_for_the_record() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("unseal-refusals.json");
        let (_, tries, _refusals) = tries(home.path(), "hsm");
        tries.begin().unwrap();
        tries.leave();
        tries.end(Some(&WrapError::WrongPin));
        let kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let refused = &kept["refused"][0];
        assert_eq!(
            (&refused["source"], &refused["reason"], &refused["count"]),
            (
                &serde_json::json!("hsm"),
                &serde_json::json!("wrong_pin"),
                &serde_json::json!(1)
            )
        );
    }
}
