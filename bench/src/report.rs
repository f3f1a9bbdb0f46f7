//! Figures, as lines of JSON and as a table for people.

use crate::Outcome;
use serde::Serialize;
use std::io::Write as _;

/// One figure. Without a value where it makes no sense.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// The figure itself.
    pub(crate) value: f64,
    /// Of what: `1/s`, `us`, `ms`, `MB`, `MB/s`, `percent`, `messages`.
    pub(crate) unit: &'static str,
    /// Half of the requests were answered within so many microseconds.
    pub(crate) p50_us: Option<f64>,
    /// And 99 of 100.
    pub(crate) p99_us: Option<f64>,
    /// CPU time of the server for one request, user and system.
    pub(crate) cpu_us: Option<f64>,
    /// What the parts cost that no server can do without, in the same run.
    pub(crate) floor_us: Option<f64>,
    /// `cpu_us` ÷ `floor_us`.
    pub(crate) ratio: Option<f64>,
}

impl Figure {
    /// A figure that is a number and nothing else.
    pub(crate) fn plain(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value: round(value),
            unit,
            p50_us: None,
            p99_us: None,
            cpu_us: None,
            floor_us: None,
            ratio: None,
        }
    }

    /// With the latencies, in microseconds.
    pub(crate) fn latency(self, p50: f64, p99: f64) -> Self {
        Self {
            p50_us: Some(round(p50)),
            p99_us: Some(round(p99)),
            ..self
        }
    }

    /// With the CPU time per request, in microseconds.
    pub(crate) fn cpu(self, cpu: f64) -> Self {
        Self {
            cpu_us: Some(round(cpu)),
            ..self
        }
    }

    /// With the floor of the CPU time, in microseconds.
    pub(crate) fn floor(self, floor: Option<f64>) -> Self {
        let ratio = self
            .cpu_us
            .zip(floor)
            .map(|(cpu, floor)| round(cpu / floor));
        Self {
            floor_us: floor.map(round),
            ratio,
            ..self
        }
    }
}

/// Two decimals are more than any of this is good for.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Says something to the person who waits.
pub(crate) fn say(text: &str) {
    // Who closed stderr does not want to hear it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints all figures.
pub(crate) fn table(figures: &[Figure]) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<28}{:>12} {:<8}{:>9}{:>9}{:>9}{:>9}{:>7}",
        "name", "value", "unit", "p50 µs", "p99 µs", "cpu µs", "floor µs", "ratio"
    )?;
    for figure in figures {
        let cell =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
        writeln!(
            out,
            "{:<28}{:>12} {:<8}{:>9}{:>9}{:>9}{:>9}{:>7}",
            figure.name,
            figure.value,
            figure.unit,
            cell(figure.p50_us),
            cell(figure.p99_us),
            cell(figure.cpu_us),
            cell(figure.floor_us),
            cell(figure.ratio)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_fields_that_others_read() {
        let figure = Figure::plain("read_session", 18_000.004, "1/s")
            .latency(1.0, 2.0)
            .cpu(45.0)
            .floor(Some(15.0));
        let line = serde_json::to_string(&figure).unwrap();
        assert_eq!(
            line,
            r#"{"name":"read_session","value":18000.0,"unit":"1/s","p50_us":1.0,"p99_us":2.0,"cpu_us":45.0,"floor_us":15.0,"ratio":3.0}"#
        );
    }

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
