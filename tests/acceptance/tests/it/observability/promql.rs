//! As much of PromQL as it takes to tell which metrics and labels a query names.

use std::collections::BTreeSet;

/// A metric in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) metric: String,
    /// Labels that it is matched by, and for `=` with which value.
    pub(crate) matched: Vec<(String, Option<String>)>,
    /// Whether it is taken over a time, as by `rate`.
    pub(crate) ranged: bool,
}

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) selected: Vec<Selected>,
    /// Labels that are grouped by.
    pub(crate) grouped: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Words that are followed by a list of labels.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];
/// Aggregations, which may have a grouping before their parentheses.
const AGGREGATIONS: [&str; 7] = ["sum", "min", "max", "avg", "count", "topk", "quantile"];

fn tokens(query: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut letters = query.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            quote @ ('"' | '\'') => {
                let mut text = String::new();
                loop {
                    match letters.next() {
                        Some('\\') => text.extend(letters.next()),
                        Some(end) if end == quote => break,
                        Some(more) => text.push(more),
                        None => panic!("a text without an end: {query}"),
                    }
                }
                tokens.push(Token::Text(text));
            }
            // A number, or a time such as 5m, is a word too, and names nothing.
            first if first.is_ascii_alphanumeric() || "_:$.".contains(first) => {
                let mut word = String::from(first);
                while let Some(more) =
                    letters.next_if(|more| more.is_ascii_alphanumeric() || "_:$.".contains(*more))
                {
                    word.push(more);
                }
                tokens.push(Token::Word(word));
            }
            space if space.is_whitespace() => {}
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    tokens
}

impl Named {
    pub(crate) fn by(query: &str) -> Self {
        let tokens = tokens(query);
        let sign = |at: usize, sign: char| tokens.get(at) == Some(&Token::Sign(sign));
        let mut named = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let Token::Word(word) = &tokens[at] else {
                at += 1;
                continue;
            };
            at += 1;
            if GROUPING.contains(&word.as_str()) && sign(at, '(') {
                while !sign(at, ')') {
                    if let Token::Word(label) = &tokens[at] {
                        named.grouped.insert(label.clone());
                    }
                    at += 1;
                }
                continue;
            }
            let first = word.chars().next().unwrap();
            let is_name = first.is_ascii_alphabetic() || first == '_' || first == ':';
            let is_function = sign(at, '(') || AGGREGATIONS.contains(&word.as_str());
            if !is_name || is_function || OPERATORS.contains(&word.as_str()) {
                continue;
            }
            let mut matched = Vec::new();
            if sign(at, '{') {
                while !sign(at, '}') {
                    if let Token::Word(label) = &tokens[at] {
                        let exact = sign(at + 1, '=') && !sign(at + 2, '~');
                        let value = match tokens.get(at + 2) {
                            Some(Token::Text(value)) if exact => Some(value.clone()),
                            _ => None,
                        };
                        matched.push((label.clone(), value));
                    }
                    at += 1;
                }
                at += 1;
            }
            let ranged = sign(at, '[');
            while ranged && !sign(at, ']') {
                at += 1;
            }
            named.selected.push(Selected {
                metric: word.clone(),
                matched,
                ranged,
            });
        }
        named
    }
}

#[test]
fn queries_name_metrics_and_labels() {
    let names = |query: &str| {
        let named = Named::by(query);
        let selected: Vec<String> = named
            .selected
            .iter()
            .map(|one| {
                let labels: Vec<_> = one
                    .matched
                    .iter()
                    .map(|(label, value)| match value {
                        Some(value) => format!("{label}={value}"),
                        None => label.clone(),
                    })
                    .collect();
                let ranged = if one.ranged { "[]" } else { "" };
                format!("{}{{{}}}{ranged}", one.metric, labels.join(","))
            })
            .collect();
        let grouped: Vec<String> = named.grouped.into_iter().collect();
        (selected.join(" "), grouped.join(" "))
    };
    for (query, selected, grouped) in [
        ("up == 0", "up{}", ""),
        ("1 - a:b_c / 1e3", "a:b_c{}", ""),
        (
            r#"sum by (le, x) (rate(a_total{b="c",d=~"e|f(g", h!="i"}[5m])) > 0.5"#,
            "a_total{b=c,d,h}[]",
            "le x",
        ),
        (
            "histogram_quantile(0.99, sum(rate(a_bucket[$__rate_interval])) by (le))",
            "a_bucket{}[]",
            "le",
        ),
        (
            "a > b and time() - c * on (d) group_left (e) f unless g offset 5m",
            "a{} b{} c{} f{} g{}",
            "d e",
        ),
        (r#"label_values(a{b="\"}"}, c)"#, "a{b=\"}} c{}", ""),
    ] {
        assert_eq!(
            names(query),
            (selected.to_owned(), grouped.to_owned()),
            "{query}"
        );
    }
}
