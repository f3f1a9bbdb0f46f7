//! `POST /device/authorize` and `/device/token`: a client asks to be let in, a person answers
//! as for a host that joins ([`crate::device_grants`]), and the client collects a token.
//!
//! It shows no key, so whoever has the device code collects. What is collected makes nobody a
//! device: it is good for one call, to attest a daemon, and what comes of that is of no use
//! without the agent's own key.

use super::answer::Refused;
use super::proving::{LEGACY, logged_in, refused};
use crate::problem::{Code, Failure};
use crate::proving::{LOCAL, http_resource};
use crate::serve::{Context, Reply, permitted};
use crate::tokens::LegacyHolder;
use axum::response::Response;
use procura_identity::{
    DEVICE_GRANT_LIFE, DeviceCodeTag, DeviceGrantRefusal, DeviceGrantStanding, FoundLegacyLogin,
    IdentityError, LegacyLogin, LegacyLoginAsk,
};
use procura_policy::Op as _;
use procura_proof::Caller;
use procura_record::{ChangeError, Refusal as Recorded};
use procura_types::{ActorId, DisplayName, ForeignId, Secret, Thumbprint, UserCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a person answers. These clients put it behind the address that they ask at.
const PAGE: &str = "/device";

/// Seconds between two questions.
const INTERVAL: u64 = 5;

/// What a client is called that does not say it.
const NAMELESS: &str = "CortexAuth";

/// Who asks.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyLoginAsk)]
pub(super) struct Ask {
    /// What it says that it is; shown to whoever answers, and nothing vouches for it.
    #[serde(default)]
    client_id: Option<String>,
}

/// Both codes.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyLoginAsked)]
pub(super) struct Asked<'a> {
    device_code: &'a str,
    user_code: UserCode,
    verification_uri: &'static str,
    expires_in: u64,
    interval: u64,
}

/// Which login is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyLoginCollect)]
pub(super) struct Collect {
    #[schema(value_type = String)]
    device_code: Secret<String>,
}

/// The token of a login.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyLoggedIn)]
pub(super) struct LoggedIn<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    /// Of the key that signed it.
    kid: Thumbprint,
}

/// Answers with both codes.
pub(super) async fn ask(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { app, open, input } = context;
    app.oauth.admit(app, input.peer).map_err(|seconds| {
        later(
            "Devices ask from this address more often than they may; ask again later.",
            seconds,
        )
    })?;
    let Ask { client_id } = input.object()?;
    let named = client_id.and_then(|name| name.parse::<DisplayName>().ok());
    let host = named.map_or_else(|| NAMELESS.parse::<DisplayName>(), Ok)?;
    app.oauth
        .room(input.peer, input.now)
        .map_err(|full| later(full.as_str(), DEVICE_GRANT_LIFE.as_secs() / 10))?;
    let snapshot = open.directory.snapshot();
    let peer = input.peer.unwrap_or(LOCAL);
    let caller = Caller::logging_in(&snapshot, input.now, peer);
    let from = input.peer;
    let permit = permitted(context, &snapshot, caller, LegacyLoginAsk { host, from })?;
    let new = context
        .change(permit, |batch| {
            let (key, entropy) = (open.vault.device_grant_key(), app.entropy.as_ref());
            LegacyLoginAsk::run(batch, key, input.now, entropy)
        })
        .await?;
    let waits = (input.peer, new.expires);
    app.oauth.waits(new.tag, waits, input.now);
    let device_code = new.device_code.expose();
    let answer = Asked {
        device_code,
        user_code: new.user_code,
        verification_uri: PAGE,
        expires_in: DEVICE_GRANT_LIFE.as_secs(),
        interval: INTERVAL,
    };
    let reply = Reply::secret(&answer, device_code.len())?;
    Ok(reply.into_response(input.trace, None))
}

fn later(detail: &str, seconds: u64) -> Failure {
    let mut failure = Failure::new(Code::RateLimited, detail);
    failure.retry_after = Some(seconds);
    failure
}

/// Answers with the token, or with why there is none. To ask whether somebody has answered
/// writes nothing, so there is no word for asking too often, which these clients do not know;
/// how often an address may ask at all holds here as everywhere.
pub(super) async fn collect(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { app, open, input } = context;
    let Collect { device_code } = input.object()?;
    let tag = DeviceCodeTag::of(open.vault.device_grant_key(), device_code.expose());
    let found = tag.find_login(open.vault.store(), input.now)?;
    let (agent, id) = match found {
        None => return Err(no(context, None, DeviceGrantRefusal::Unknown).into()),
        Some(found) => approved(context, found)?,
    };
    let token = logs_in(context, tag, agent, id).await?;
    app.oauth.answered(&tag);
    Ok(token)
}

/// The agent of an approved login, and the id that its client knows it by.
fn approved(
    context: &Context<'_>,
    found: FoundLegacyLogin,
) -> Result<(ActorId, ForeignId), Refused> {
    let refusal = match (found.standing, found.id) {
        (DeviceGrantStanding::Approved(agent), Some(id)) => return Ok((agent, id)),
        (DeviceGrantStanding::Pending, _) => return Err(Refused::Pending),
        (DeviceGrantStanding::Approved(_), None) => DeviceGrantRefusal::NoOneId,
        // Of one that nobody said yes to there is nothing to tell; a no is on record itself.
        (DeviceGrantStanding::Expired, _) if found.said.is_none() => {
            return Err(worded(DeviceGrantRefusal::Expired).into());
        }
        (DeviceGrantStanding::Denied, _) => {
            return Err(worded(DeviceGrantRefusal::Denied).into());
        }
        (DeviceGrantStanding::Expired, _) => DeviceGrantRefusal::Expired,
        (DeviceGrantStanding::Collected, _) => DeviceGrantRefusal::Collected,
    };
    Err(no(context, found.said, refusal).into())
}

/// Uses the code up for a token. The token is made first: one that could not be made would
/// have used the code up.
async fn logs_in(
    context: &Context<'_>,
    tag: DeviceCodeTag,
    agent: ActorId,
    id: ForeignId,
) -> Result<Response, Refused> {
    let Context { open, input, .. } = context;
    let (snapshot, now) = (open.directory.snapshot(), input.now);
    let (caller, key) = logged_in(context, &snapshot, &id)
        .map_err(|refusal| refused(context, &snapshot, &refusal))?;
    let holder = LegacyHolder {
        id: id.clone(),
        actor: agent,
        key: key.public.thumbprint(),
    };
    let jwt = open.tokens.legacy_jwt(holder, now)?;
    let op = LegacyLogin::new(tag, (agent, id), jwt.id, &snapshot);
    let no = |refusal| no(context, Some(agent), refusal);
    // The id may be another agent's by now.
    let op = op.filter(|_| *caller.actor() == agent);
    let op = op.ok_or_else(|| no(DeviceGrantRefusal::NoOneId))?;
    let permit = permitted(context, &snapshot, caller, op)?;
    context
        .change(permit, |batch| LegacyLogin::run(batch, now))
        .await
        .map_err(|error| match error {
            ChangeError::Domain(IdentityError::DeviceGrant(refusal)) => no(refusal),
            other => other.into(),
        })?;
    let access_token = jwt.token.expose();
    let answer = LoggedIn {
        access_token,
        token_type: "Bearer",
        expires_in: jwt.expires_in.as_secs(),
        kid: jwt.kid,
    };
    let reply = Reply::secret(&answer, access_token.len())?;
    Ok(reply.into_response(input.trace, None))
}

/// Puts it into the record why a code yields nothing, and words it; where somebody had said
/// whose login it is, with that agent, for those who audit its namespace.
fn no(context: &Context<'_>, agent: Option<ActorId>, refusal: DeviceGrantRefusal) -> Failure {
    let Context { open, input, .. } = context;
    let snapshot = open.directory.snapshot();
    let record = agent.and_then(|agent| snapshot.actor(&agent));
    open.recorder.refuse(Recorded {
        actor: agent,
        owner: record.map(|record| record.owner),
        namespace: record.and_then(|record| record.namespace().cloned()),
        resource: Some(http_resource(&input.parts.uri)),
        ip: input.peer,
        ..Recorded::of_nobody(
            LegacyLogin::ACTION.as_str(),
            refusal.as_str(),
            input.now,
            LEGACY,
            input.trace,
        )
    });
    worded(refusal)
}

/// The words for a code that yields nothing. Whoever tries codes is held to it.
fn worded(refusal: DeviceGrantRefusal) -> Failure {
    let code = match refusal {
        DeviceGrantRefusal::Unknown | DeviceGrantRefusal::Collected => Code::CodeRefused,
        _ => Code::Forbidden,
    };
    Failure::new(code, refusal.to_string()).with_reason(refusal.as_str())
}
