//! What a program shows of itself: OpenMetrics text, read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// A family of metrics.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// Each label with the values that it has; `le` of histograms is not among them.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// All of them, by name.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) families: BTreeMap<String, Family>,
    samples: Vec<(String, f64)>,
}

/// What may stand behind the name of a family in the name of a sample.
const ENDINGS: [&str; 6] = ["", "_total", "_info", "_bucket", "_sum", "_count"];

/// The answer to a GET, head and body.
pub(crate) fn get(address: &str, path: &str) -> String {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Scrape {
    pub(crate) fn of(address: &str) -> Self {
        let answer = get(address, "/metrics");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{head}"
        );
        assert!(text.trim_end().ends_with("# EOF"), "{text}");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let before = families.insert(
                    name.to_owned(),
                    Family {
                        kind: kind.to_owned(),
                        labels: BTreeMap::new(),
                    },
                );
                assert!(before.is_none(), "{name} twice");
            } else if !line.starts_with('#') && line.contains(' ') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                samples.push((series.to_owned(), value.parse().unwrap()));
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let family = family_of(&families, name).unwrap_or_else(|| panic!("{line}"));
                let family = families.get_mut(&family).unwrap();
                for (label, value) in labels_of(labels.trim_end_matches('}')) {
                    if label != "le" {
                        family.labels.entry(label).or_default().insert(value);
                    }
                }
            }
        }
        Self { families, samples }
    }

    /// The family of a name that stands in a query.
    pub(crate) fn named(&self, name: &str) -> Option<&Family> {
        self.families.get(&family_of(&self.families, name)?)
    }

    /// The sum of the samples whose series begins so.
    pub(crate) fn sum(&self, beginning: &str) -> f64 {
        let matching = self.samples.iter();
        matching
            .filter(|(series, _)| series.starts_with(beginning))
            .map(|(_, value)| value)
            .sum()
    }
}

fn family_of(families: &BTreeMap<String, Family>, name: &str) -> Option<String> {
    ENDINGS.iter().find_map(|ending| {
        let family = name.strip_suffix(ending)?;
        let belongs = match (families.get(family)?.kind.as_str(), *ending) {
            ("gauge", ending) => ending.is_empty(),
            ("counter", ending) => ending == "_total",
            ("info", ending) => ending == "_info",
            (_, ending) => ["_bucket", "_sum", "_count"].contains(&ending),
        };
        belongs.then(|| family.to_owned())
    })
}

/// Values have neither commas nor quotes in them: they are words of ours.
fn labels_of(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter(|label| !label.is_empty())
        .map(|label| {
            let (label, value) = label.split_once('=').unwrap();
            let value = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
                .unwrap_or_else(|| panic!("{text}"));
            (label.to_owned(), value.to_owned())
        })
        .collect()
}
