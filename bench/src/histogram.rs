//! How long requests took: one counter for each microsecond.

use std::time::Duration;

/// Longer ones are counted together.
const LONGEST_US: usize = 100_000;

/// Latencies, exact to the microsecond up to a tenth of a second.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u32,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; LONGEST_US + 1],
            total: 0,
        }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        let micros = usize::try_from(took.as_micros())
            .unwrap_or(LONGEST_US)
            .min(LONGEST_US);
        if let Some(count) = self.counts.get_mut(micros) {
            *count += 1;
        }
        self.total += 1;
    }

    /// How many were added.
    pub(crate) const fn total(&self) -> u32 {
        self.total
    }

    /// What `percent` of them did not exceed, in microseconds; 100,000 stands
    /// for that and everything above.
    pub(crate) fn percentile(&self, percent: u32) -> u32 {
        let wanted = u64::from(self.total) * u64::from(percent);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen * 100 >= wanted
        });
        place
            .and_then(|place| u32::try_from(place).ok())
            .unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_and_the_longest_are_counted_together() {
        let mut histogram = Histogram::new();
        for micros in 1..=99 {
            histogram.add(Duration::from_micros(micros));
        }
        histogram.add(Duration::from_secs(9));
        assert_eq!(histogram.total(), 100);
        assert_eq!(
            [50, 99, 100].map(|percent| histogram.percentile(percent)),
            [50, 99, 100_000]
        );
    }
}
