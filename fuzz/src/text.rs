//! Names, ids, times, codes, addresses and `.env` files, as people type them.

use crate::Verdict;
use crate::fields::Fields;
use crate::world::{Counting, Still};
use procura_client::{Client, ClientError, ClientOptions};
use procura_store::{KeyRange, Kind, RowKey, Table};
use procura_types::{
    ActorId, Dotenv, EntryId, EnvName, ForeignId, GrantId, InstallationId, Label, LinkCodeText,
    Namespace, ProjectName, RequestId, Role, RunId, SecretPath, Thumbprint, Timestamp, TraceId,
    encoding,
};
use std::collections::HashSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Parsed, if at all, to what prints as the same text.
fn same<T: FromStr + Display>(text: &str) -> bool {
    let parsed = text.parse::<T>();
    if let Ok(value) = &parsed {
        assert_eq!(value.to_string(), text);
    }
    parsed.is_ok()
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let raw = text.as_bytes();
    let ends = [raw.first(), raw.last()];
    raw.len() <= 32
        && ends.iter().all(|end| end.is_some_and(|byte| inner(*byte)))
        && raw.iter().all(|byte| inner(*byte) || *byte == b'-')
}

fn is_path(text: &str) -> bool {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    text.len() <= 255
        && text.split('/').all(|segment| {
            !["", ".", ".."].contains(&segment)
                && segment.len() <= 64
                && segment.chars().all(|letter| letters.contains(letter))
        })
}

fn is_env_name(text: &str) -> bool {
    let mut letters = text.chars();
    let word = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    text.len() <= 128
        && letters.next().is_some_and(word)
        && letters.all(|letter| word(letter) || letter.is_ascii_digit())
}

fn is_foreign_id(text: &str) -> bool {
    let segments = text.split("..").count();
    segments == 1 && !text.contains('/') && text.len() <= 64 && (is_path(text) || text == ".")
}

/// Names and ids: one spelling each, and the rules of `protocol.md` §1.
pub(crate) fn name(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    let label = is_label(text);
    for parsed in [
        same::<Label>(text),
        same::<Namespace>(text),
        same::<ProjectName>(text),
    ] {
        assert_eq!(parsed, label, "label {text:?}");
    }
    let (path, env) = (same::<SecretPath>(text), same::<EnvName>(text));
    assert_eq!(path, is_path(text), "path {text:?}");
    assert_eq!(env, is_env_name(text), "env {text:?}");
    let uuid = same::<RunId>(text);
    for parsed in [
        same::<InstallationId>(text),
        same::<RequestId>(text),
        same::<GrantId>(text),
        same::<EntryId>(text),
        same::<TraceId>(text),
    ] {
        assert_eq!(parsed, uuid, "id {text:?}");
    }
    let bytes32 = same::<ActorId>(text);
    assert_eq!(same::<Thumbprint>(text), bytes32);
    let decoded = encoding::from_b64url("value", text);
    if let Ok(bytes) = &decoded {
        assert_eq!(encoding::b64url(bytes), text, "base64url has one spelling");
    }
    assert_eq!(bytes32, decoded.is_ok_and(|bytes| bytes.len() == 32));
    let foreign = same::<ForeignId>(text);
    assert_eq!(foreign, is_foreign_id(text), "foreign id {text:?}");
    Verdict::of(label || path || env || uuid || bytes32 || foreign || same::<Role>(text))
}

/// Moments: RFC 3339 in, one form out, and every number of milliseconds both ways.
pub(crate) fn time(data: &[u8]) -> Verdict {
    let moment = Timestamp::from_millis(Fields::new(data).number());
    assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
    let parsed = std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<Timestamp>().ok());
    if let Some(moment) = parsed {
        let shown = moment.to_string();
        assert_eq!(shown.len(), 24);
        assert_eq!(shown.parse::<Timestamp>().unwrap(), moment);
        let later = Timestamp::from_millis(moment.as_millis() + 1);
        assert!(later == moment || later.to_string() > shown, "{shown}");
    }
    Verdict::of(parsed.is_some())
}

/// Link codes: one spelling but for white space around them.
pub(crate) fn link_code(data: &[u8]) -> Verdict {
    let parsed = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Some((text, LinkCodeText::parse(text).ok()?)));
    if let Some((text, code)) = &parsed {
        assert!(*code.encode().expose() == text.trim_ascii());
        assert!(code.url.is_ascii() && code.url.len() <= 512);
    }
    Verdict::of(parsed.is_some())
}

/// Addresses of servers: plain HTTP leads to this machine only.
pub(crate) fn server_url(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    let client = |url: &str| {
        let options = ClientOptions {
            // No authorities: the address was read when they are what is missing.
            ca_pem: Some(Vec::new()),
            ..ClientOptions::default()
        };
        Client::new(url, options, Arc::new(Still), Arc::new(Counting::new()))
    };
    match client(text) {
        Ok(made) => {
            let url = made.url();
            let host = url.strip_prefix("http://").expect("not over TLS");
            let name = host
                .parse::<std::net::SocketAddr>()
                .map(|address| address.ip())
                .or_else(|_| host.trim_matches(['[', ']']).parse::<IpAddr>());
            let named = host.split(':').next() == Some("localhost");
            assert!(named || name.is_ok_and(|ip| ip.is_loopback()), "{url}");
            assert_eq!(client(&url).expect("its own form").url(), url);
            Verdict::Accepted
        }
        Err(ClientError::Certificates(_)) => {
            assert!(
                text.to_ascii_lowercase().starts_with("https://"),
                "{text:?}"
            );
            Verdict::Accepted
        }
        Err(_) => Verdict::Refused,
    }
}

/// `.env` files: what was read, written in quotes, reads the same.
pub(crate) fn dotenv(data: &[u8]) -> Verdict {
    let file = match Dotenv::parse(data) {
        Ok(file) => file,
        Err(error) => {
            let lines = 1 + data.iter().filter(|byte| **byte == b'\n').count();
            assert!((1..=lines).contains(&error.line), "{error}");
            return Verdict::Refused;
        }
    };
    let names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
    let entries = file.into_entries();
    assert!(entries.iter().map(|entry| &entry.name).eq(&names));
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    let mut written = String::new();
    for entry in &entries {
        written.push_str("export ");
        written.push_str(&entry.name);
        if let Some(value) = &entry.value {
            assert!(!value.expose().contains('\0'));
            written.push_str("=\"");
            for letter in value.expose().chars() {
                match letter {
                    '\r' => written.push_str("\\r"),
                    '"' | '\\' => written.extend(['\\', letter]),
                    other => written.push(other),
                }
            }
            written.push('"');
        }
        written.push('\n');
    }
    let again = Dotenv::parse(written.as_bytes()).expect("what was read can be written");
    let again = again.into_entries();
    assert_eq!(again.len(), entries.len());
    for (one, two) in entries.iter().zip(&again) {
        assert_eq!(one.name, two.name);
        assert!(one.value == two.value, "value of {}", one.name);
    }
    Verdict::Accepted
}

/// Keys of rows: they sort as the tuples do, no two tuples share one, and each
/// lies in the range of its own beginnings and of no other table.
pub(crate) fn row_key(data: &[u8]) -> Verdict {
    const ROWS: Table<(String, u64, String), u64> = Table::new("rows", Kind::Clear);
    const OTHER: Table<(String, u64, String), u64> = Table::new("rows2", Kind::Clear);
    let mut fields = Fields::new(data);
    let mut tuple = || {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let head = text(fields.field());
        (head, fields.number(), text(fields.field()))
    };
    let (one, two) = (tuple(), tuple());
    let keys = [ROWS.row_key(&one), ROWS.row_key(&two)];
    assert_eq!(
        keys[0].as_bytes().cmp(keys[1].as_bytes()),
        one.cmp(&two),
        "{one:?} {two:?}"
    );
    assert_ne!(keys[0], OTHER.row_key(&one));
    let within = |range: &KeyRange, key: &RowKey| {
        range.start() <= key.as_bytes() && range.end().is_none_or(|end| key.as_bytes() < end)
    };
    for length in 0..=keys[0].as_bytes().len() {
        let prefix = &keys[0].as_bytes()[..length];
        let range = KeyRange::prefix(prefix);
        assert!(within(&range, &keys[0]));
        assert_eq!(
            within(&range, &keys[1]),
            keys[1].as_bytes().starts_with(prefix)
        );
    }
    assert!(!within(&KeyRange::everything().after(&keys[0]), &keys[0]));
    // And whatever a file holds in place of a key.
    let stored = RowKey::from_stored(data.to_vec());
    if let Some(key) = &stored {
        assert_eq!(RowKey::new(key.table(), key.encoded()), *key);
        assert_eq!(key.as_bytes(), data);
    }
    Verdict::of(stored.is_some())
}
