//! Signatures of webhooks (RFC 9421) by a key of the installation that signs nothing else,
//! over method, URL, media type, digest and id of the message, with a tag that says whose
//! channel it is: all namespaces have one key, and an admin of any can have the server
//! send to a URL that another's receiver is at. `spec/notifications.md` says how a receiver
//! looks at them.

use super::rows::SIGNING_KEY;
use crate::problem::Failure;
use http::{HeaderName, HeaderValue, header};
use procura_client::Target;
use procura_crypto::{SigningKey, sha256};
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_store::{Batch, Blob, CommitError, Expected, Store};
use procura_types::{BatchId, Clock, Entropy, Timestamp, TraceId, encoding};

/// What it stands under in the record that the key was made.
pub(crate) const KEY_ACTION: &str = "notify.key";
/// What the signature is for, so that nobody takes one of another kind for it; whose
/// channel it is comes behind it.
const TAG: &str = "procura-webhook";
/// The one signature's label.
const LABEL: &str = "procura";
/// What it covers.
const COVERED: [&str; 5] = [
    "@method",
    "@target-uri",
    "content-type",
    "content-digest",
    "idempotency-key",
];
pub(super) const CONTENT_TYPE: &str = "application/json";

/// The key that signs, made when it is first needed.
///
/// # Errors
/// The store's, and no random bytes.
pub(crate) async fn signing_key(
    store: &Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<SigningKey, Failure> {
    for _ in 0..2 {
        if let Some(row) = SIGNING_KEY.get(store, &())? {
            return SigningKey::from_secret_bytes(row.value.as_bytes()).map_err(Failure::internal);
        }
        let key = SigningKey::generate_ed25519(entropy).map_err(Failure::internal)?;
        let now = clock.now();
        let trace = TraceId::generate(now, entropy).map_err(Failure::internal)?;
        let made = Entry {
            resource: Some(format!("installation key:{}", key.public().thumbprint())),
            ..Entry::new(now, entropy, KEY_ACTION, trace).map_err(Failure::internal)?
        };
        let id = BatchId::generate(now, entropy).map_err(Failure::internal)?;
        let mut batch = Batch::new(id);
        batch.append(LEDGER, made.to_bytes().map_err(Failure::internal)?);
        SIGNING_KEY.expect(&mut batch, &(), Expected::Absent);
        SIGNING_KEY.put(&mut batch, &(), &Blob(key.to_secret_bytes()));
        match store.commit(batch).await {
            Ok(_) => return Ok(key),
            // Another server made one.
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::internal("the key of webhooks is not there"))
}

/// The tag of a channel's messages. Names of namespaces hold neither quotes nor
/// semicolons, and none of them is that of the installation.
fn tag(scope: &str) -> String {
    match scope {
        "" => format!("{TAG};installation"),
        namespace => format!("{TAG};ns={namespace}"),
    }
}

/// The fields of a signed message of a channel of this scope.
pub(super) fn signed(
    key: &SigningKey,
    target: &Target,
    scope: &str,
    id: &str,
    body: &[u8],
    now: Timestamp,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let digest = format!("sha-256=:{}:", encoding::b64_standard(&sha256(body)));
    // A string of structured fields: ids hold neither quotes nor backslashes.
    let id = format!("\"{id}\"");
    let query = target.query().map(|query| format!("?{query}"));
    let uri = format!(
        "{}://{}{}{}",
        target.scheme(),
        target.authority(),
        target.path(),
        query.unwrap_or_default()
    );
    let values = ["POST", &uri, CONTENT_TYPE, &digest, &id];
    let covered: Vec<String> = COVERED.iter().map(|name| format!("\"{name}\"")).collect();
    let input = format!(
        "({});created={};keyid=\"{}\";alg=\"ed25519\";tag=\"{}\"",
        covered.join(" "),
        now.as_secs(),
        key.public().thumbprint(),
        tag(scope),
    );
    let mut base = String::new();
    for (name, value) in covered.iter().zip(values) {
        base.push_str(name);
        base.push_str(": ");
        base.push_str(value);
        base.push('\n');
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(&input);
    let signature = encoding::b64_standard(&key.sign(base.as_bytes()).ok()?);
    let field = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    Some(vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
        field("content-digest", &digest)?,
        field("idempotency-key", &id)?,
        field("signature-input", &format!("{LABEL}={input}"))?,
        field("signature", &format!("{LABEL}=:{signature}:"))?,
    ])
}
