//! Paths that a dial decides about, and lines of observe logs.

use crate::Verdict;
use crate::wire::stable;
use procura_types::dial::{DecidedBy, Dial, Mode, Route, Routes};
use procura_types::{ObservedLine, RoutePrefix};
use std::sync::LazyLock;

/// Nothing of `/admin` without a proof, anything of `/public`.
static DIAL: LazyLock<Dial> = LazyLock::new(|| Dial {
    mode: Some(Mode::Observe),
    routes: routes(&[("/admin", Mode::Enforce), ("/public", Mode::Off)]),
});

fn routes(of: &[(&str, Mode)]) -> Routes {
    let routes: Vec<Route> = of
        .iter()
        .map(|(prefix, mode)| Route {
            mode: Some(*mode),
            ..Route::new(prefix.parse().unwrap())
        })
        .collect();
    routes.try_into().unwrap()
}

/// The segments as the most lenient of programs reads them: escapes twice, both
/// slashes, no parameters, no empty ones, dots followed, one case.
fn leniently(path: &str) -> Vec<Vec<u8>> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..2 {
        bytes = decoded(&bytes);
    }
    let end = bytes.iter().position(|byte| b"?#\0".contains(byte));
    bytes.truncate(end.unwrap_or(bytes.len()));
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in bytes.split(|byte| b"/\\".contains(byte)) {
        let segment = segment.split(|byte| *byte == b';').next().unwrap();
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment.to_ascii_lowercase()),
        }
    }
    segments
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.map(|two| u8::from_str_radix(two, 16).unwrap()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Paths and prefixes: whoever reads a path, and however, gets nothing of `/admin`
/// that the dial did not take for that; a prefix is a path of its own.
pub(crate) fn route(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    let setting = DIAL.at(text);
    let first = leniently(text).first().cloned().unwrap_or_default();
    if first == b"admin" {
        assert_eq!(setting.mode, Mode::Enforce, "{text:?}");
    }
    if setting.mode == Mode::Off {
        assert_eq!(first, b"public", "{text:?}");
    }
    let Ok(prefix) = text.parse::<RoutePrefix>() else {
        return Verdict::of(setting.by != DecidedBy::UnclearPath);
    };
    assert_eq!(prefix.to_string(), text, "a prefix has one spelling");
    let dial = Dial {
        mode: None,
        routes: routes(&[(text, Mode::Enforce)]),
    };
    for below in [text.to_owned(), format!("{}/x", text.trim_end_matches('/'))] {
        let setting = dial.at(&below);
        assert_eq!(
            (setting.mode, setting.by, setting.route),
            (Mode::Enforce, DecidedBy::Route, Some(&prefix)),
            "{below:?}"
        );
    }
    if text != "/" {
        assert_eq!(dial.at(&format!("{text}x")).mode, Mode::Off);
    }
    Verdict::Accepted
}

/// Lines of observe logs: what was read is written as it reads.
pub(crate) fn observed(data: &[u8]) -> Verdict {
    Verdict::of(stable::<ObservedLine>(data))
}
