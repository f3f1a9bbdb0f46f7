//! The signature base (RFC 9421 §2.5) made a second time, by other code: the
//! verifier has to make the same one, or the signature over ours is refused.

use crate::Verdict;
use crate::fields::Fields;
use crate::world::{NOW, PEER, WORLD};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_crypto::sha256;
use procura_proof::{Case, RequestView};

/// Values and names are made of these, so that most inputs are requests.
const PLAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-._~/%+=&?ABCF !$'()*,;:@\"\\\t";

fn letters(bytes: &[u8], from: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| char::from(from[usize::from(*byte) % from.len()]))
        .collect()
}

/// Bytes of the query string's characters: all but the last few of [`PLAIN`].
const IN_QUERY: usize = 45;
const IN_PATH: usize = 43;

struct Drawn {
    method: String,
    authority: &'static str,
    normal: &'static str,
    path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    picks: Vec<u8>,
}

fn draw(data: &[u8]) -> Drawn {
    let mut fields = Fields::new(data);
    let (authority, normal) = [
        ("127.0.0.1:7310", "127.0.0.1:7310"),
        ("Keys.EXAMPLE:80", "keys.example"),
        ("[::1]:80", "[::1]"),
        ("keys.example:443", "keys.example:443"),
        ("keys.example:", "keys.example"),
    ][usize::from(fields.byte() % 5)];
    let method = ["GET", "PUT", "POST", "get", "M-SEARCH"][usize::from(fields.byte() % 5)];
    let path = letters(fields.field(), &PLAIN[..IN_PATH]);
    let query = letters(fields.field(), &PLAIN[..IN_QUERY]);
    let mut drawn = Drawn {
        method: method.to_owned(),
        authority,
        normal,
        path: format!("/{path}"),
        query: (fields.byte() & 1 == 1).then_some(query),
        headers: Vec::new(),
        body: fields.field().to_vec(),
        // More than 64 components are refused unread.
        picks: fields.field().iter().copied().take(48).collect(),
    };
    while !fields.is_empty() && drawn.headers.len() < 6 {
        let name = [
            "x-note",
            "content-type",
            "content-encoding",
            "authorization",
            "priority",
        ][usize::from(fields.byte() % 5)];
        let value = letters(fields.field(), PLAIN).into_bytes();
        drawn.headers.push((name.to_owned(), value));
    }
    drawn
}

impl Drawn {
    fn lines(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| String::from_utf8(value.trim_ascii().to_vec()).unwrap())
            .collect()
    }

    fn target(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        format!("{}{}", self.path, query.unwrap_or_default())
    }

    /// Identifier and value of each component, and whether each stands once and
    /// means one thing; otherwise the request must be refused.
    fn components(&self) -> (Vec<(String, String)>, bool) {
        let mut sound = true;
        let plain = |name: &str, value: String| (format!("\"{name}\""), value);
        let mut all = vec![
            plain("@method", self.method.clone()),
            plain("@authority", self.normal.to_owned()),
            plain("@path", self.path.clone()),
            plain(
                "@query",
                format!("?{}", self.query.as_deref().unwrap_or("")),
            ),
        ];
        for name in [
            "content-digest",
            "content-type",
            "content-encoding",
            "authorization",
        ] {
            let lines = self.lines(name);
            if !lines.is_empty() {
                all.push(plain(name, lines.join(", ")));
            }
        }
        for pick in &self.picks {
            let next = match pick % 6 {
                0 => plain(
                    "@target-uri",
                    format!("http://{}{}", self.normal, self.target()),
                ),
                1 => plain("@scheme", "http".to_owned()),
                2 => plain("@request-target", self.target()),
                3 => plain("x-note", self.lines("x-note").join(", ")),
                4 => {
                    let wrapped: Vec<String> = self
                        .lines("x-note")
                        .iter()
                        .map(|line| format!(":{}:", STANDARD.encode(line)))
                        .collect();
                    ("\"x-note\";bs".to_owned(), wrapped.join(", "))
                }
                _ => {
                    let parameters = parameters(self.query.as_deref().unwrap_or(""));
                    let Some((name, value)) = parameters.get(usize::from(pick / 6)) else {
                        continue;
                    };
                    if parameters.iter().filter(|(other, _)| other == name).count() > 1 {
                        sound = false;
                    }
                    (format!("\"@query-param\";name=\"{name}\""), value.clone())
                }
            };
            if next.0.starts_with("\"x-note\"") && self.lines("x-note").is_empty() {
                continue;
            }
            sound &= all.iter().all(|(known, _)| *known != next.0);
            all.push(next);
        }
        (all, sound)
    }
}

/// Names and values of a query, decoded and encoded anew (RFC 9421 §2.2.8).
fn parameters(query: &str) -> Vec<(String, String)> {
    let recode = |text: &str| {
        let text = text.replace('+', " ");
        let raw = text.as_bytes();
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < raw.len() {
            let hex = text.get(at + 1..at + 3).filter(|hex| {
                raw[at] == b'%' && hex.bytes().all(|digit| digit.is_ascii_hexdigit())
            });
            match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 3;
                }
                None => {
                    decoded.push(raw[at]);
                    at += 1;
                }
            }
        }
        let whole = String::from_utf8_lossy(&decoded).into_owned();
        whole.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                    out.push(char::from(byte));
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
            out
        })
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (recode(name), recode(value))
        })
        .collect()
}

pub(crate) fn signature_base(data: &[u8]) -> Verdict {
    let mut drawn = draw(data);
    if !drawn.body.is_empty() {
        let digest = STANDARD.encode(sha256(&drawn.body));
        let digest = format!("sha-256=:{digest}:").into_bytes();
        drawn.headers.push(("content-digest".to_owned(), digest));
        if drawn.lines("content-type").is_empty() {
            drawn
                .headers
                .push(("content-type".to_owned(), b"text/plain".to_vec()));
        }
    }
    let (picked, sound) = drawn.components();
    let names: Vec<&str> = picked.iter().map(|(name, _)| name.as_str()).collect();
    let parameters = format!(
        "({});created={};nonce=\"AAAAAAAAAAAAAAAAAAAAAAAA\";keyid=\"{}\";alg=\"ed25519\";tag=\"procura-v1\"",
        names.join(" "),
        NOW.as_secs(),
        WORLD.agent.public().thumbprint()
    );
    let mut base = String::new();
    for (name, value) in &picked {
        base.push_str(&format!("{name}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    let signature = STANDARD.encode(WORLD.agent.sign(base.as_bytes()).unwrap());
    for (name, value) in [
        ("signature-input", format!("s={parameters}")),
        ("signature", format!("s=:{signature}:")),
    ] {
        drawn.headers.push((name.to_owned(), value.into_bytes()));
    }
    let verify = |drawn: &Drawn| {
        let view = RequestView {
            method: &drawn.method,
            authority: drawn.authority,
            scheme: Some("http"),
            path: &drawn.path,
            query: drawn.query.as_deref(),
            headers: &drawn.headers,
            body: &drawn.body,
        };
        WORLD.verifier().verify(&WORLD.directory, &view, NOW, PEER)
    };
    let verified = verify(&drawn);
    if !sound {
        let refused = verified.expect_err("a component that stands twice");
        assert_eq!(refused.case, Case::ComponentUnsupported);
        return Verdict::Refused;
    }
    if let Err(refused) = verified {
        panic!("{:?}: the base here is\n{base}", refused.case);
    }
    drawn.path.push('x');
    assert_eq!(verify(&drawn).unwrap_err().case, Case::SignatureRefused);
    Verdict::Accepted
}
