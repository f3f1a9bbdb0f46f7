//! Things that are there for a while, counted by a gauge.

use prometheus_client::metrics::gauge::Gauge;

/// Something that is counted until this is dropped.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// One more of what the gauge counts.
    #[must_use]
    pub fn by(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
