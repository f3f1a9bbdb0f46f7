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

/// The segments as the most lenient of programs reads them: escapes twice, characters
/// in whatever form, both slashes, no parameters, no empty ones, dots followed, none of
/// them and no space at the end, one case.
fn leniently(path: &str) -> Vec<String> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..2 {
        bytes = decoded(&bytes);
    }
    let mut text: String = characters(&bytes).into_iter().map(plain).collect();
    let end = text.find(['?', '#', '\0']);
    text.truncate(end.unwrap_or(text.len()));
    let mut segments: Vec<String> = Vec::new();
    for segment in text.split(['/', '\\']) {
        let segment = segment.split(';').next().unwrap();
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => match segment.trim_end_matches(['.', ' ']) {
                "" => {}
                segment => segments.push(segment.to_lowercase()),
            },
        }
    }
    segments
}

/// The characters of UTF-8 in forms of any length; other bytes are Latin-1.
fn characters(mut bytes: &[u8]) -> Vec<char> {
    let mut out = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        let (more, bits) = match first {
            0xc0..=0xdf => (1, first & 0x1f),
            0xe0..=0xef => (2, first & 0x0f),
            0xf0..=0xf7 => (3, first & 0x07),
            _ => (0, *first),
        };
        let tail = rest.get(..more);
        let tail = tail.filter(|tail| tail.iter().all(|byte| byte & 0xc0 == 0x80));
        let code = tail.map(|tail| {
            let shift = |code, byte: &u8| code << 6 | u32::from(byte & 0x3f);
            tail.iter().fold(u32::from(bits), shift)
        });
        match code.and_then(char::from_u32) {
            Some(letter) => {
                out.push(letter);
                bytes = &rest[more..];
            }
            None => {
                out.push(char::from(*first));
                bytes = rest;
            }
        }
    }
    out
}

/// Characters that some programs take for one of ASCII: full width ones, the dots of
/// one and of two, other slashes, K for Kelvin, the long s.
fn plain(letter: char) -> char {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap(),
        '\u{2024}' => '.',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        letter => letter,
    }
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
    // What follows a dot may be the form of the answer, or belong to the name.
    let bare = first.split('.').next().unwrap();
    if first == "admin" || bare == "admin" {
        assert_eq!(setting.mode, Mode::Enforce, "{text:?}");
    }
    if setting.mode == Mode::Off {
        assert_eq!(first, "public", "{text:?}");
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
