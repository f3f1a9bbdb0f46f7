//! The other side: proving a request that one is about to send.

use crate::message::{Message, RequestView};
use crate::native::{HMAC, TAG, TARGET};
use crate::{base, digest, input};
use procura_crypto::{KeyError, MacKey, PublicKey, SigningKey, sha256};
use procura_types::{Entropy, EntropyError, Timestamp, encoding};
use std::fmt::Write as _;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 18;
/// The label of our signature.
const LABEL: &str = "procura";

/// With what to sign.
pub enum Signer<'a> {
    /// The device's own key.
    Device(&'a SigningKey),
    /// A session.
    Session {
        /// Its id.
        id: &'a str,
        /// Its key.
        mac_key: &'a MacKey,
        /// Never used before in this session, and less than 4,096 behind the
        /// highest that was.
        counter: u64,
    },
}

/// A request could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The request is none that a signature can cover: see the case.
    #[error("the request cannot be signed: {0}")]
    Request(&'static str),
    /// The profile is one for Ed25519 keys, and this is another.
    #[error("the profile signs with an Ed25519 key, and this one is of another kind")]
    WrongKey,
    /// No nonce to be had.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The key did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The header fields that prove a request.
#[derive(Debug, Clone)]
pub struct Signed {
    /// To be added to the request: names in lower case, values.
    pub headers: Vec<(&'static str, String)>,
    /// The nonce, to check answers that refer to it.
    pub nonce: String,
}

/// Proves `request`. Its headers have to hold what goes out beside the proof,
/// `content-type` at least where there is a body.
pub fn sign_request(
    request: &RequestView<'_>,
    signer: Signer<'_>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Signed, SignError> {
    match signer {
        Signer::Device(key) => {
            let draft = Draft::for_device(request, key.public(), now, entropy)?;
            let signature = key.sign(draft.message())?;
            Ok(draft.finish(&signature))
        }
        Signer::Session {
            id,
            mac_key,
            counter,
        } => {
            let draft = Draft::for_session(request, id, counter, now)?;
            let signature = mac_key.sign(&[draft.message()]);
            Ok(draft.finish(&signature))
        }
    }
}

/// A nonce for one request.
///
/// # Errors
/// [`SignError::Entropy`].
pub fn fresh_nonce(entropy: &dyn Entropy) -> Result<String, SignError> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    Ok(encoding::b64url(&nonce))
}

/// A request that wants only its signature, for keys that somebody else holds.
#[derive(Debug)]
pub struct Draft {
    base: String,
    input: String,
    digest: Option<String>,
    nonce: String,
}

impl Draft {
    /// To be signed by the device of this key.
    pub fn for_device(
        request: &RequestView<'_>,
        key: &PublicKey,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, SignError> {
        Self::for_device_with(request, key, fresh_nonce(entropy)?, now)
    }

    /// The same with this nonce, for a body that refers to it.
    pub fn for_device_with(
        request: &RequestView<'_>,
        key: &PublicKey,
        nonce: String,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        let keyid = key.thumbprint().to_string();
        Self::new(request, &keyid, key.algorithm().as_str(), nonce, now)
    }

    /// To be signed with the MAC key of this session.
    pub fn for_session(
        request: &RequestView<'_>,
        id: &str,
        counter: u64,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        Self::new(request, id, HMAC, counter.to_string(), now)
    }

    fn new(
        request: &RequestView<'_>,
        keyid: &str,
        alg: &str,
        nonce: String,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        let refused = |case: crate::Case| SignError::Request(case.detail());
        let mut message = Message::request(request).map_err(refused)?;
        let digest = (!request.body.is_empty()).then(|| digest::field(&sha256(request.body)));
        if let Some(digest) = &digest {
            message.fields.set("content-digest", digest.as_bytes());
        }
        let mut input = format!("{LABEL}=(");
        let with_body: &[&str] = if digest.is_some() {
            &["content-digest", "content-type"]
        } else {
            &[]
        };
        let if_sent = ["content-encoding", "authorization"];
        let sent = if_sent.into_iter().filter(|name| message.fields.has(name));
        for (position, name) in TARGET
            .into_iter()
            .chain(with_body.iter().copied())
            .chain(sent)
            .enumerate()
        {
            let space = if position == 0 { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(input, "{space}\"{name}\"");
        }
        let _ = write!(
            input,
            ");created={};nonce=\"{nonce}\";keyid=\"{keyid}\";alg=\"{alg}\";tag=\"{TAG}\"",
            now.as_secs()
        );
        // Read back by the reader of the verifier: one way to a signature base.
        let members = input::parse_input(input.as_bytes()).map_err(refused)?;
        let member = members
            .first()
            .ok_or_else(|| refused(crate::Case::InputSyntax))?;
        let base = base::build(&message, member).map_err(refused)?;
        Ok(Self {
            base,
            input,
            digest,
            nonce,
        })
    }

    /// The bytes to sign.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.base.as_bytes()
    }

    /// The header fields, with the signature over [`Self::message`].
    #[must_use]
    pub fn finish(self, signature: &[u8]) -> Signed {
        let mut field = format!("{LABEL}=");
        let _ = sfv::ItemSerializer::with_buffer(&mut field)
            .bare_item(signature)
            .finish();
        let mut headers = Vec::with_capacity(3);
        if let Some(digest) = self.digest {
            headers.push(("content-digest", digest));
        }
        headers.push(("signature-input", self.input));
        headers.push(("signature", field));
        Signed {
            headers,
            nonce: self.nonce,
        }
    }
}
