//! What wrappers refused, or could not do, while the vault was sealed. There is no record
//! to write to then, and nobody is there to be told: it is kept in the home, by source and
//! reason, with how often and since when, and goes into the record, as alarms, when the
//! vault is next open.
//!
//! Nobody signs the file. What is believed of it is that something was refused of a
//! source, for a reason that this program has.

use crate::metrics::Metrics;
use procura_edge::private_file;
use procura_ledger::{Decision, Entry, SUMMARY, Summary};
use procura_policy::{Action, Resource};
use procura_proof::Profile;
use procura_record::RecordError;
use procura_record::tables::{LEDGER, SPOOLED};
use procura_store::{Batch, Store};
use procura_types::{BatchId, Clock, Duration, Entropy, Label, Timestamp, TraceId};
use procura_vault::WrapError;
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const FILE: &str = "unseal-refusals.json";

/// More than there are sources and reasons.
const MOST: usize = 128;

/// A wrapper that was away for less than this and then was there is no news: machines and
/// services start in any order.
const PASSING: Duration = Duration::from_secs(60);

/// One reason of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    source: Label,
    reason: String,
    count: u64,
    from: Timestamp,
    until: Timestamp,
}

impl Refused {
    fn is_news(&self) -> bool {
        self.reason != WrapError::Unavailable(String::new()).word()
            || self.until.since(self.from) >= PASSING
    }

    fn is_ours(&self) -> bool {
        WrapError::WORDS.contains(&self.reason.as_str())
            && self.count > 0
            && self.from <= self.until
    }
}

/// What is kept in the home. The mark tells a file that is in the record already from
/// one that is not: a crash may come between record and removal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    mark: String,
    refused: Vec<Refused>,
}

/// Keeps what was refused.
pub(crate) struct Refusals {
    file: PathBuf,
    kept: Mutex<Kept>,
    counters: Vec<(&'static str, Counter)>,
}

impl Refusals {
    /// Of a home. What cannot be read there is begun anew, which the log says.
    pub(crate) fn new(home: &Path, metrics: &Metrics) -> Self {
        let file = home.join(FILE);
        let read = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error.to_string()),
        };
        let mut kept: Kept = read.unwrap_or_else(|error| {
            tracing::error!(%error, file = %file.display(), "what was refused while the vault was sealed cannot be read, and is not recorded");
            Kept::default()
        });
        kept.refused.retain(Refused::is_ours);
        kept.refused.truncate(MOST);
        Self {
            file,
            kept: Mutex::new(kept),
            counters: metrics.unseal_source_failures(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts for `/metrics`.
    pub(crate) fn count(&self, word: &str) {
        if let Some((_, counter)) = self.counters.iter().find(|(known, _)| *known == word) {
            counter.inc();
        }
    }

    /// Keeps one until the vault is open; on disk when this returns.
    pub(crate) fn keep(
        &self,
        source: &Label,
        word: &'static str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(), String> {
        let mut kept = self.kept();
        kept.mark = BatchId::generate(now, entropy)
            .map_err(|error| error.to_string())?
            .to_string();
        let known = kept
            .refused
            .iter_mut()
            .find(|refused| refused.source == *source && refused.reason == word);
        if let Some(refused) = known {
            refused.count = refused.count.saturating_add(1);
            refused.until = refused.until.max(now);
        } else if kept.refused.len() < MOST {
            kept.refused.push(Refused {
                source: source.clone(),
                reason: word.to_owned(),
                count: 1,
                from: now,
                until: now,
            });
        } else {
            return Err("too much was refused while the vault was sealed".to_owned());
        }
        self.write(&kept)
    }

    fn write(&self, kept: &Kept) -> Result<(), String> {
        let bytes = serde_json::to_vec(kept).map_err(|error| error.to_string())?;
        private_file::replace(&self.file, &bytes).map_err(|error| error.to_string())
    }

    /// Puts what was kept into the record, once, and tells how many entries that were.
    /// `home` tells this home from those of other servers of the same store.
    ///
    /// # Errors
    /// The store did not take it: it stays, for the next time.
    pub(crate) async fn record(
        &self,
        store: &Store,
        home: Option<&str>,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<usize, RecordError> {
        let Kept { mark, refused } = self.kept().clone();
        if refused.is_empty() {
            return Ok(0);
        }
        let key = format!("unseal-refusals {}", home.unwrap_or_default());
        let known = SPOOLED.get(store, &key)?;
        let news: Vec<&Refused> = refused.iter().filter(|refused| refused.is_news()).collect();
        if known.is_none_or(|row| row.value != mark) && !news.is_empty() {
            let id = BatchId::generate(clock.now(), entropy)?;
            // It is a part of opening the vault, which a full disk must not prevent.
            let mut batch = Batch::new(id).reserved();
            for one in &news {
                batch.append(LEDGER, entry(one, clock.now(), entropy)?.to_bytes()?);
            }
            SPOOLED.put(&mut batch, &key, &mark);
            store.commit(batch).await?;
        }
        let mut kept = self.kept();
        // What came meanwhile stays, with all that it is a part of.
        if kept.mark == mark {
            *kept = Kept::default();
            if let Err(error) = std::fs::remove_file(&self.file) {
                tracing::warn!(%error, file = %self.file.display(), "what is in the record already could not be taken away");
            }
        }
        Ok(news.len())
    }
}

/// One is written as it was; several as a summary, with what they are of beside it.
fn entry(refused: &Refused, now: Timestamp, entropy: &dyn Entropy) -> Result<Entry, RecordError> {
    let Refused {
        source,
        reason,
        count,
        from,
        until,
    } = refused.clone();
    let source = Resource::UnsealSource(source);
    let action = Action::InstallationUnseal.as_str();
    let trace = TraceId::generate(now, entropy)?;
    let (time, reason, resource, summary) = if count == 1 {
        (from, reason, source.to_string(), None)
    } else {
        let summary = Summary { count, from, until };
        let resource = format!("{source} reason/{reason}");
        (now, SUMMARY.to_owned(), resource, Some(summary))
    };
    Ok(Entry {
        decision: Decision::Deny,
        reason: Some(reason.into()),
        resource: Some(resource),
        profile: Profile::AdminSocket.as_str().into(),
        summary,
        ..Entry::new(time, entropy, action, trace)?
    })
}

/// Late news: who asked has gone.
pub(crate) struct Late {
    refusals: Arc<Refusals>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Late {
    pub(crate) fn new(
        refusals: &Arc<Refusals>,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Self {
        Self {
            refusals: Arc::clone(refusals),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        }
    }

    /// A wrapper answers that nobody waits for any more.
    pub(crate) fn refused(&self, source: &Label, error: &WrapError) {
        tracing::error!(%source, %error, "an unseal source was refused after its time");
        self.refusals.count(error.word());
        let (now, entropy) = (self.clock.now(), self.entropy.as_ref());
        if let Err(error) = self.refusals.keep(source, error.word(), now, entropy) {
            tracing::error!(%error, "a refused try to open the vault could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    #[test]
    fn refusals_are_counted_by_source_and_reason_across_restarts() {
        let home = tempfile::tempdir().unwrap();
        let metrics = Metrics::default();
        let keep = |source: &str, word, secs| {
            // Each time as after a restart.
            let refusals = Refusals::new(home.path(), &metrics);
            refusals
                .keep(&label(source), word, at(secs), &SystemEntropy)
                .unwrap();
        };
        keep("hsm", "wrong_pin", 10);
        keep("cloud", "source_unavailable", 11);
        keep("hsm", "wrong_pin", 70);
        keep("cloud", "source_unavailable", 70);
        let kept = Refusals::new(home.path(), &metrics).kept().clone();
        let found: Vec<_> = kept
            .refused
            .iter()
            .map(|one| (one.source.as_str(), one.count, one.from, one.until))
            .collect();
        assert_eq!(
            found,
            [("hsm", 2, at(10), at(70)), ("cloud", 2, at(11), at(70))]
        );
        // What was away for less than a minute is no news.
        let news: Vec<bool> = kept.refused.iter().map(Refused::is_news).collect();
        assert_eq!(news, [true, false]);
        keep("cloud", "source_unavailable", 71);
        let kept = Refusals::new(home.path(), &metrics).kept().clone();
        assert!(kept.refused.iter().all(Refused::is_news));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let row = |source: &str, reason: &str, count: u64| serde_json::json!({"source": source, "reason": reason, "count": count, "from": at(1), "until": at(2)});
        let file = home.path().join(FILE);
        let of = |text: String| {
            std::fs::write(&file, text).unwrap();
            let refusals = Refusals::new(home.path(), &Metrics::default());
            refusals.kept().refused.len()
        };
        let all = |rows: Vec<serde_json::Value>| {
            serde_json::json!({"mark": "m", "refused": rows}).to_string()
        };
        assert_eq!(of(all(vec![row("hsm", "wrong_pin", 1)])), 1);
        assert_eq!(of(all(vec![row("hsm", "anything", 1)])), 0);
        assert_eq!(of(all(vec![row("hsm", "wrong_pin", 0)])), 0);
        assert_eq!(of(all(vec![row("HSM\n", "wrong_pin", 1)])), 0);
        assert_eq!(of("{}".to_owned()), 0);
        assert_eq!(of(String::new()), 0);
        let many = (0..200).map(|_| row("hsm", "wrong_pin", 1)).collect();
        assert_eq!(of(all(many)), MOST);
    }

    #[test]
    fn one_stands_for_itself_and_several_for_a_summary() {
        let refused = |count| Refused {
            source: label("hsm"),
            reason: "wrong_pin".to_owned(),
            count,
            from: at(5),
            until: at(9),
        };
        let one = entry(&refused(1), at(20), &SystemEntropy).unwrap();
        assert_eq!(
            (one.time, one.reason.as_deref(), one.resource.as_deref()),
            (at(5), Some("wrong_pin"), Some("unseal_source/hsm"))
        );
        let many = entry(&refused(3), at(20), &SystemEntropy).unwrap();
        assert_eq!(
            (many.reason.as_deref(), many.resource.as_deref()),
            (Some("summary"), Some("unseal_source/hsm reason/wrong_pin"))
        );
        let summary = many.summary.unwrap();
        assert_eq!(
            (summary.count, summary.from, summary.until),
            (3, at(5), at(9))
        );
        for one in [
            entry(&refused(1), at(20), &SystemEntropy),
            entry(&refused(3), at(20), &SystemEntropy),
        ] {
            let bytes = one.unwrap().to_bytes().unwrap();
            Entry::parse(&bytes).unwrap();
        }
    }
}
