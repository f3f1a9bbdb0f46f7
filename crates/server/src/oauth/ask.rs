//! `POST /oauth/device_authorization`: a device asks (RFC 8628 §3.1).

use super::form::Form;
use super::polls::INTERVAL;
use super::refused::{Refused, Word};
use super::{client, documentation, signature_of};
use crate::problem::{Code, Failure};
use crate::proving::{LOCAL, refused};
use crate::serve::{Context, Reply, permitted};
use crate::server_id;
use axum::response::Response;
use procura_identity::{DEVICE_GRANT_LIFE, DeviceGrantAsk, IdentityError};
use procura_proof::{DeviceAsk, verify_ask};
use procura_record::ChangeError;
use procura_types::DisplayName;
use procura_types::wire::{DeviceAuthorization, PublicJwk, ValueB64};

/// Where a person answers, below the origin of the pages.
const PAGE: &str = "/device";

/// What a host is called that does not say it.
const NAMELESS: &str = "unnamed";

/// Answers with both codes.
pub(super) async fn ask(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { app, open, input } = context;
    app.oauth.admit(app, input.peer).map_err(often)?;
    let form = Form::read(input)?;
    client(input, &form)?;
    let needed = ["client_id", "device_jwk", "device_signature"];
    let [_, key, signature] = form.need(needed, || documentation(app))?;
    let key = jwk(key)?;
    let host = host(form.get("device_host").unwrap_or(NAMELESS))?;
    let signature = signature_of(signature)?;
    let (snapshot, server) = (open.directory.snapshot(), server_id(&open.vault));
    let asked = DeviceAsk {
        key: &key,
        host,
        signature: &signature,
    };
    let peer = input.peer.unwrap_or(LOCAL);
    let (device, caller) = verify_ask(asked, &server, &snapshot, input.now, peer)
        .map_err(|refusal| unproven(refused(app, open, &snapshot, input, &refusal)))?;
    app.oauth.room(input.peer, input.now).map_err(|full| {
        let seconds = DEVICE_GRANT_LIFE.as_secs() / 10;
        Refused::later(full.as_str(), seconds)
    })?;
    let op = DeviceGrantAsk::new(device, input.peer);
    let permit = permitted(context, &snapshot, caller, op)?;
    let vault = &open.vault;
    let new = context
        .change(permit, |batch| {
            let (key, entropy) = (vault.device_grant_key(), app.entropy.as_ref());
            DeviceGrantAsk::run(batch, key, input.now, entropy)
        })
        .await
        .map_err(|error: ChangeError<IdentityError>| Failure::from(error))?;
    let waits = (input.peer, new.expires);
    app.oauth.waits(new.tag, waits, input.now);
    let page = format!("{}{PAGE}", app.web_origin());
    let answer = DeviceAuthorization {
        device_code: ValueB64::of_text(&new.device_code),
        verification_uri_complete: format!("{page}?user_code={}", new.user_code),
        user_code: new.user_code,
        verification_uri: page,
        expires_in: DEVICE_GRANT_LIFE.as_secs(),
        interval: INTERVAL.as_secs(),
    };
    let reply = Reply::secret(&answer, answer.device_code.len())?;
    Ok(reply.into_response(input.trace, None))
}

/// The answer to an address from which more devices ask than may.
fn often(seconds: u64) -> Refused {
    let detail = "Devices ask from this address more often than they may; ask again later.";
    Refused::later(detail, seconds)
}

/// A device that does not hold the key that it shows is the wrong client.
fn unproven(failure: Failure) -> Refused {
    match failure.code {
        Code::Unauthorized => {
            let reason = failure.reason;
            Refused::new(
                Word::InvalidClient,
                "device_signature is not by device_jwk over what the device asks, for this server.",
            )
            .held_against(Code::Unauthorized, reason)
        }
        _ => failure.into(),
    }
}

fn jwk(text: &str) -> Result<PublicJwk, Refused> {
    serde_json::from_str(text).map_err(|_| {
        Refused::new(
            Word::InvalidRequest,
            "device_jwk is not the JSON of a public key (RFC 7517).",
        )
    })
}

fn host(text: &str) -> Result<DisplayName, Refused> {
    text.parse().map_err(|_| {
        Refused::new(
            Word::InvalidRequest,
            "device_host is not a name that can be shown.",
        )
    })
}
