//! Whether requests are traced, and which.

use super::TraceContext;
use super::exporter::{Endpoint, Exporter};
use super::span::{Kind, Span};
use http::HeaderMap;
use procura_types::{Clock, Duration, Entropy, Malformed};
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;
use std::str::FromStr;
use std::sync::Arc;

/// Which part of the traces that begin here is kept, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// All of them.
    pub const ALL: Self = Self(1.0);

    /// Decides by the trace, so that all who know only its id decide alike. The last
    /// bytes are random, in our ids as in others' (W3C Trace Context level 2 §3.2.2.3).
    fn keeps(self, trace: &[u8; 16]) -> bool {
        let [.., a, b, c, d] = *trace;
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.0 * 4_294_967_296.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = Malformed;

    fn try_from(number: f64) -> Result<Self, Malformed> {
        if (0.0..=1.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Malformed::new("otlp_ratio", "is not from 0 to 1"))
        }
    }
}

impl FromStr for Ratio {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let number = text.parse::<f64>();
        number
            .map_err(|_| Malformed::new("otlp_ratio", "is not a number"))
            .and_then(Self::try_from)
    }
}

/// How requests are traced.
pub struct Tracing {
    /// Who collects spans.
    pub endpoint: Endpoint,
    /// Of traces that begin here; what is part of another's goes by its flag.
    pub ratio: Ratio,
    /// What all spans are of, as OpenTelemetry names it; `service.name` among it.
    pub resource: Vec<(&'static str, String)>,
    /// Counts spans that were taken by the collector.
    pub exported: Counter,
    /// Counts spans that were not.
    pub lost: Counter,
}

/// Begins spans, or does not.
#[derive(Default)]
pub struct Tracer(Option<On>);

struct On {
    exporter: Arc<Exporter>,
    ratio: Ratio,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Tracer {
    /// One that traces. Nothing is sent before there is a span.
    #[must_use]
    pub fn new(tracing: Tracing, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let ratio = tracing.ratio;
        Self(Some(On {
            exporter: Arc::new(Exporter::new(tracing)),
            ratio,
            clock,
            entropy,
        }))
    }

    /// Begins the span of a request that came, in the trace that it says or else in a
    /// new one: of this id, if there is one. None when nothing is traced.
    #[must_use]
    pub fn begin(
        &self,
        name: &'static str,
        headers: &HeaderMap,
        id: Option<&[u8; 16]>,
    ) -> Option<Span> {
        let on = self.0.as_ref()?;
        let mut span = [0; 8];
        on.entropy.fill(&mut span).ok()?;
        let (context, parent) = match TraceContext::of(headers) {
            Some(of) => (
                TraceContext::new(of.trace, span, of.sampled)?,
                Some(of.span),
            ),
            None => {
                let mut trace = [0; 16];
                match id {
                    Some(id) => trace = *id,
                    None => on.entropy.fill(&mut trace).ok()?,
                }
                let sampled = on.ratio.keeps(&trace);
                (TraceContext::new(trace, span, sampled)?, None)
            }
        };
        let begun = Duration::from_millis(on.clock.now().as_millis());
        let exporter = Arc::clone(&on.exporter);
        Some(Span::new(
            exporter,
            (context, parent),
            (Kind::Server, name),
            begun,
        ))
    }

    /// A span within another, if there is one.
    #[must_use]
    pub fn within(&self, span: Option<&Span>, kind: Kind, name: &'static str) -> Option<Span> {
        span?.child(kind, name, self.0.as_ref()?.entropy.as_ref())
    }

    /// Sends what waits to be sent, for as long as a stop may take, and ends.
    pub async fn stop(&self) {
        if let Some(on) = &self.0 {
            on.exporter.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_part_of_all() {
        let trace = |last: u32| {
            let mut trace = [7; 16];
            trace[12..].copy_from_slice(&last.to_be_bytes());
            trace
        };
        for (ratio, last, keeps) in [
            ("0", 0, false),
            ("1", u32::MAX, true),
            ("0.5", 0x7fff_ffff, true),
            ("0.5", 0x8000_0000, false),
            ("0.001", 4_294_967, true),
            ("0.001", 4_294_968, false),
        ] {
            let ratio: Ratio = ratio.parse().unwrap();
            assert_eq!(ratio.keeps(&trace(last)), keeps, "{ratio:?} {last}");
        }
        for text in ["", "-0.1", "1.01", "NaN", "inf", "50%"] {
            assert_eq!(text.parse::<Ratio>().unwrap_err().field, "otlp_ratio");
        }
    }
}
