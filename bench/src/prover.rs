//! Proofs for requests (`protocol.md` §3.1), written the short way: the text to
//! sign is put together from parts that never change. The tests hold it to the
//! real signer, and every answer of the server does too.

use crate::Outcome;
use crate::presigned::Presigned;
use crate::token_use::Showing;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use procura_crypto::{MacKey, SigningKey};
use std::cell::Cell;
use std::io::Write as _;
use std::sync::Arc;

/// Who proves: a device's own key, a session of one, or an agent of another system.
pub(crate) enum Prover {
    Key {
        key: Arc<SigningKey>,
        keyid: String,
        /// Random for each prover; with the counter it is a nonce of 18 bytes.
        salt: [u8; 10],
        counter: Cell<u64>,
    },
    Session {
        id: String,
        mac_key: MacKey,
        counter: Cell<u64>,
    },
    /// By proofs of another system that were made before.
    Presigned(Presigned),
    /// A project token that is shown within a session.
    Showing(Showing),
}

/// Room to write requests in, again and again.
#[derive(Default)]
pub(crate) struct Draft {
    /// The request as it is sent.
    pub(crate) request: Vec<u8>,
    base: Vec<u8>,
    parameters: Vec<u8>,
}

impl Prover {
    pub(crate) fn key(key: Arc<SigningKey>, salt: [u8; 10]) -> Self {
        let keyid = key.public().thumbprint().to_string();
        Self::Key {
            key,
            keyid,
            salt,
            counter: Cell::new(0),
        }
    }

    pub(crate) const fn session(id: String, mac_key: MacKey) -> Self {
        Self::Session {
            id,
            mac_key,
            counter: Cell::new(1),
        }
    }

    /// Writes a GET without query into `draft.request`, or what was signed before.
    pub(crate) fn get(
        &self,
        draft: &mut Draft,
        authority: &str,
        path: &[u8],
        created: u64,
    ) -> Outcome<()> {
        match self {
            Self::Presigned(presigned) => return presigned.write(draft, authority, path),
            Self::Showing(showing) => {
                draft.request = showing.request(authority)?;
                return Ok(());
            }
            Self::Key { .. } | Self::Session { .. } => {}
        }
        let Draft {
            request,
            base,
            parameters,
        } = draft;
        parameters.clear();
        write!(
            parameters,
            r#"("@method" "@authority" "@path" "@query");created={created};nonce=""#
        )?;
        match self {
            Self::Key {
                keyid,
                salt,
                counter,
                ..
            } => {
                let mut nonce = [0; 18];
                let (fixed, counted) = nonce.split_at_mut(10);
                fixed.copy_from_slice(salt);
                counted.copy_from_slice(&next(counter).to_be_bytes());
                let mut text = [0; 24];
                URL_SAFE_NO_PAD.encode_slice(nonce, &mut text)?;
                parameters.extend_from_slice(&text);
                write!(
                    parameters,
                    r#"";keyid="{keyid}";alg="ed25519";tag="procura-v1""#
                )?;
            }
            Self::Session { id, counter, .. } => {
                write!(
                    parameters,
                    r#"{}";keyid="{id}";alg="hmac-sha256";tag="procura-v1""#,
                    next(counter)
                )?;
            }
            Self::Presigned(_) | Self::Showing(_) => {}
        }
        base.clear();
        write!(
            base,
            "\"@method\": GET\n\"@authority\": {authority}\n\"@path\": "
        )?;
        base.extend_from_slice(path);
        base.extend_from_slice(b"\n\"@query\": ?\n\"@signature-params\": ");
        base.extend_from_slice(parameters);

        request.clear();
        request.extend_from_slice(b"GET ");
        request.extend_from_slice(path);
        write!(
            request,
            " HTTP/1.1\r\nhost: {authority}\r\nsignature-input: procura="
        )?;
        request.extend_from_slice(parameters);
        request.extend_from_slice(b"\r\nsignature: procura=:");
        // Room for the base64 of 64 bytes; a MAC needs half of it.
        let mut text = [0; 88];
        let length = match self {
            Self::Key { key, .. } => STANDARD.encode_slice(key.sign(base)?, &mut text)?,
            Self::Session { mac_key, .. } => {
                STANDARD.encode_slice(mac_key.sign(&[base]), &mut text)?
            }
            Self::Presigned(_) | Self::Showing(_) => 0,
        };
        request.extend_from_slice(text.get(..length).unwrap_or_default());
        request.extend_from_slice(b":\r\n\r\n");
        Ok(())
    }
}

fn next(counter: &Cell<u64>) -> u64 {
    let value = counter.get();
    counter.set(value + 1);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use procura_proof::RequestView;
    use procura_proof::sign::{Signer, sign_request};
    use procura_types::{Entropy, EntropyError, Timestamp};

    /// Gives the nonce that the prover will use first.
    struct Salt([u8; 10]);

    impl Entropy for Salt {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(0);
            out[..10].copy_from_slice(&self.0);
            Ok(())
        }
    }

    fn by_the_real_signer(signer: Signer<'_>, salt: [u8; 10]) -> String {
        let none: [(&str, &str); 0] = [];
        let view = RequestView {
            method: "GET",
            authority: "127.0.0.1:7310",
            scheme: None,
            path: "/v1/namespaces/bench/secrets/a/b",
            query: None,
            headers: &none,
            body: b"",
        };
        let signed = sign_request(
            &view,
            signer,
            Timestamp::from_secs(1_800_000_000),
            &Salt(salt),
        )
        .unwrap();
        let mut text =
            "GET /v1/namespaces/bench/secrets/a/b HTTP/1.1\r\nhost: 127.0.0.1:7310\r\n".to_owned();
        for (name, value) in signed.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    fn by_the_prover(prover: &Prover) -> String {
        let mut draft = Draft::default();
        // Twice, since room is used again.
        for _ in 0..2 {
            match prover {
                Prover::Key { counter, .. } => counter.set(0),
                Prover::Session { counter, .. } => counter.set(41),
                Prover::Presigned(_) | Prover::Showing(_) => {}
            }
            prover
                .get(
                    &mut draft,
                    "127.0.0.1:7310",
                    b"/v1/namespaces/bench/secrets/a/b",
                    1_800_000_000,
                )
                .unwrap();
        }
        String::from_utf8(draft.request).unwrap()
    }

    #[test]
    fn proofs_are_those_of_the_real_signer() {
        let salt = *b"0123456789";
        let key = Arc::new(SigningKey::generate_ed25519(&SystemEntropy).unwrap());
        let real = by_the_real_signer(Signer::Device(&key), salt);
        assert_eq!(by_the_prover(&Prover::key(key, salt)), real);

        let mac_key = MacKey::from_bytes(&[7; 32]).unwrap();
        let real = by_the_real_signer(
            Signer::Session {
                id: "AQAA",
                mac_key: &mac_key,
                counter: 41,
            },
            salt,
        );
        assert_eq!(
            by_the_prover(&Prover::session("AQAA".to_owned(), mac_key)),
            real
        );
    }
}
