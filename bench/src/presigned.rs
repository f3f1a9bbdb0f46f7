//! Proofs of `key-server-v1` (`protocol.md` §3.2) that are made before the clock runs:
//! a client of that profile pays for its signature itself, and a middleware that hands
//! it on signs nothing.

use crate::Outcome;
use crate::prover::Draft;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_client::SystemClock;
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_proof::RequestView;
use procura_proof::foreign::{ForeignSigner, sign};
use procura_types::{Clock as _, Entropy as _, encoding};
use std::cell::Cell;
use std::io::Write as _;

/// Where presigned proofs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// To `POST /api/verify`, as a middleware hands them on.
    Verify,
    /// To a gate, in the fields of a GET.
    Gate,
}

/// Signatures of one agent, each with a nonce of its own.
pub(crate) struct Presigned {
    shown: Shown,
    agent: String,
    timestamp: String,
    /// Random for each pool; with the number of the signature it is a nonce of 16 bytes.
    salt: [u8; 8],
    signatures: Vec<[u8; 64]>,
    next: Cell<usize>,
}

/// What the requests are about that `POST /api/verify` is asked of.
const PATH: &str = "/v1/orders";

impl Presigned {
    /// Signs `count` requests: GETs of `path` for a gate, POSTs of a fixed path to be
    /// handed on.
    pub(crate) fn make(
        shown: Shown,
        agent: &str,
        key: &SigningKey,
        path: &str,
        count: usize,
    ) -> Outcome<Self> {
        let now = SystemClock.now();
        let mut salt = [0; 8];
        SystemEntropy.fill(&mut salt)?;
        let (method, path) = match shown {
            Shown::Verify => ("POST", PATH),
            Shown::Gate => ("GET", path),
        };
        let none: [(&str, &str); 0] = [];
        let view = RequestView {
            method,
            authority: "bench",
            scheme: None,
            path,
            query: None,
            headers: &none,
            body: b"",
        };
        let id = agent.parse()?;
        // By the real signer once, for the way that it writes the moment.
        let fields = sign(
            &view,
            &id,
            ForeignSigner::KeyServerV1(key),
            now,
            &SystemEntropy,
        )?;
        let timestamp = fields
            .iter()
            .find(|(name, _)| *name == "x-timestamp")
            .map(|(_, value)| value.clone())
            .ok_or("the signer wrote no moment")?;
        let hash = encoding::hex(&sha256(b""));
        let mut signatures = Vec::with_capacity(count);
        let mut text = Vec::new();
        for number in 0..count {
            text.clear();
            let nonce = nonce(&salt, number)?;
            write!(text, "{method}\n{path}\n{timestamp}\n{nonce}\n{hash}")?;
            let signature = key.sign(&text)?;
            signatures.push(signature.as_slice().try_into()?);
        }
        Ok(Self {
            shown,
            agent: agent.to_owned(),
            timestamp,
            salt,
            signatures,
            next: Cell::new(0),
        })
    }

    /// Writes the next request into `draft.request`.
    pub(crate) fn write(&self, draft: &mut Draft, authority: &str, path: &[u8]) -> Outcome<()> {
        let number = self.next.get();
        self.next.set(number + 1);
        let signature = self
            .signatures
            .get(number)
            .ok_or("more requests than were signed before")?;
        let nonce = nonce(&self.salt, number)?;
        let mut text = [0; 88];
        let length = STANDARD.encode_slice(signature, &mut text)?;
        let signature = std::str::from_utf8(text.get(..length).unwrap_or_default())?;
        let (agent, timestamp) = (&self.agent, &self.timestamp);
        let request = &mut draft.request;
        request.clear();
        match self.shown {
            Shown::Verify => {
                let body = format!(
                    r#"{{"agent_id":"{agent}","timestamp":"{timestamp}","nonce":"{nonce}","method":"POST","path":"{PATH}","body_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","signature":"{signature}"}}"#
                );
                write!(
                    request,
                    "POST /api/verify HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )?;
            }
            Shown::Gate => {
                request.extend_from_slice(b"GET ");
                request.extend_from_slice(path);
                write!(
                    request,
                    " HTTP/1.1\r\nhost: {authority}\r\nx-agent-id: {agent}\r\nx-timestamp: {timestamp}\r\nx-nonce: {nonce}\r\nx-signature: {signature}\r\n\r\n"
                )?;
            }
        }
        Ok(())
    }
}

/// 32 hexadecimal digits.
fn nonce(salt: &[u8; 8], number: usize) -> Outcome<String> {
    let number = u64::try_from(number)?;
    Ok(format!("{}{number:016x}", encoding::hex(salt)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::{Entropy, EntropyError};

    /// Gives the nonce that the pool will use first.
    struct Salt([u8; 8]);

    impl Entropy for Salt {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(0);
            out[..8].copy_from_slice(&self.0);
            Ok(())
        }
    }

    #[test]
    fn proofs_are_those_of_the_real_signer() {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let pool = Presigned::make(Shown::Gate, "bench-0", &key, "/x/y", 2).unwrap();
        let none: [(&str, &str); 0] = [];
        let view = RequestView {
            method: "GET",
            authority: "127.0.0.1:7320",
            scheme: None,
            path: "/x/y",
            query: None,
            headers: &none,
            body: b"",
        };
        let made = pool.timestamp.parse().unwrap();
        let fields = sign(
            &view,
            &"bench-0".parse().unwrap(),
            ForeignSigner::KeyServerV1(&key),
            made,
            &Salt(pool.salt),
        )
        .unwrap();
        let mut real = "GET /x/y HTTP/1.1\r\nhost: 127.0.0.1:7320\r\n".to_owned();
        for (name, value) in fields {
            real.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut draft = Draft::default();
        pool.write(&mut draft, "127.0.0.1:7320", b"/x/y").unwrap();
        assert_eq!(
            String::from_utf8(draft.request.clone()).unwrap(),
            real + "\r\n"
        );
        pool.write(&mut draft, "127.0.0.1:7320", b"/x/y").unwrap();
        assert!(pool.write(&mut draft, "127.0.0.1:7320", b"/x/y").is_err());
    }
}
