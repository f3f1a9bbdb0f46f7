//! `POST /oauth/token`: a device asks whether somebody has answered, and collects what was
//! said (RFC 8628 §3.4).

use super::form::Form;
use super::polls::Network;
use super::refused::{Refused, Word};
use super::{client, documentation, signature_of};
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::problem::{Code, Failure};
use crate::proving::LOCAL;
use crate::serve::{Context, Reply, permitted};
use crate::server_id;
use crate::tokens::DaemonSubject;
use axum::response::Response;
use http::{HeaderValue, header};
use procura_crypto::sha256;
use procura_identity::{
    DeviceCodeTag, DeviceGrantCollect, DeviceGrantRefusal, DeviceGrantStanding, FoundDeviceGrant,
    IdentityError, JoinRefusal, Joined,
};
use procura_policy::Op as _;
use procura_proof::{Collector, Profile, verify_collector};
use procura_record::{ChangeError, Refusal};
use procura_types::wire::{DeviceToken, JoinAnswer};
use procura_types::{ActorId, FieldTuple, Thumbprint, Timestamp};
use std::sync::atomic::Ordering;

/// The grant type of RFC 8628 §3.4, and the only one.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// RFC 9200 §8.2: good for whoever holds the key, and for nobody else.
const POP: &str = "PoP";

/// Answers with the token, or with why there is none.
pub(super) async fn collect(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { app, open, input } = context;
    let form = Form::read(input)?;
    if form
        .get("grant_type")
        .is_some_and(|kind| kind != DEVICE_CODE)
    {
        return Err(Refused::new(
            Word::UnsupportedGrantType,
            format!("The one grant type is {DEVICE_CODE}."),
        ));
    }
    client(input, &form)?;
    let needed = ["grant_type", "client_id", "device_code", "device_signature"];
    let [_, _, code, signature] = form.need(needed, || documentation(app))?;
    let signature = signature_of(signature)?;
    let tag = DeviceCodeTag::of(open.vault.device_grant_key(), code);
    let (store, polls) = (open.vault.store(), &app.oauth.polls);
    let steady = app.clock.steady();

    // Most questions are those of before: nothing is opened and nothing verified for them.
    if let Some((version, expires)) = polls.seen(&tag, &signature)
        && input.now < expires
        && tag.is_still(store, version).map_err(Failure::from)?
    {
        let of = (Network::of(input.peer), expires);
        return Err(waits(polls.may_ask(tag, of, (input.now, steady))));
    }

    let found = tag.find(store, input.now).map_err(Failure::from)?;
    let Some(found) = found else {
        note(context, (None, None), DeviceGrantRefusal::Unknown.as_str());
        return Err(worded(DeviceGrantRefusal::Unknown));
    };
    let code_sha256 = sha256(code.as_bytes());
    let server = server_id(&open.vault);
    let collector = verify_collector(&found.key, &code_sha256, &signature, &server)
        .map_err(|_| another(context, &found))?;
    let of = (Network::of(found.from), found.expires);
    if !polls.may_ask(tag, of, (input.now, steady)) {
        return Err(waits(false));
    }
    let agent = match found.standing {
        DeviceGrantStanding::Pending => {
            polls.note(&tag, &signature, found.version);
            return Err(waits(true));
        }
        DeviceGrantStanding::Expired => {
            // Of one that nobody said yes to there is nothing to tell.
            if found.said.is_some() {
                let of = (Some(found.key.thumbprint()), found.said);
                note(context, of, DeviceGrantRefusal::Expired.as_str());
            }
            return Err(worded(DeviceGrantRefusal::Expired));
        }
        DeviceGrantStanding::Denied => return Err(worded(DeviceGrantRefusal::Denied)),
        DeviceGrantStanding::Collected => {
            let of = (Some(found.key.thumbprint()), None);
            note(context, of, DeviceGrantRefusal::Collected.as_str());
            return Err(worded(DeviceGrantRefusal::Collected));
        }
        DeviceGrantStanding::Approved(agent) => agent,
    };
    let token = joins(context, tag, &collector, agent, &code_sha256)
        .await
        .map_err(|error| refuse(context, &found, error))?;
    polls.end(&tag);
    let length = token.access_token.len();
    let mut response = Reply::secret(&token, length)?.into_response(input.trace, None);
    // RFC 6749 §5.1 wants it beside Cache-Control.
    let headers = response.headers_mut();
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Why a device did not become one.
enum NotJoined {
    Domain(IdentityError),
    Failed(Failure),
}

impl From<Failure> for NotJoined {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Makes the device one of the agent's. The token is made first: it opens nothing without
/// the device, and a device whose token could not be made would have used its code up.
async fn joins(
    context: &Context<'_>,
    tag: DeviceCodeTag,
    collector: &Collector,
    agent: ActorId,
    code_sha256: &[u8; 32],
) -> Result<DeviceToken, NotJoined> {
    let Context { app, open, input } = context;
    let (snapshot, now) = (open.directory.snapshot(), input.now);
    let subject = DaemonSubject {
        actor: agent,
        agent: snapshot.lineage(&agent),
        device: collector.key().thumbprint(),
    };
    let jwt = open.tokens.daemon_jwt(subject, now)?;
    let peer = input.peer.unwrap_or(LOCAL);
    let caller = collector.caller(agent, &snapshot, now, peer);
    let tell = |what| {
        let agent = agent.to_string();
        agent_event(app, AgentEvent::new(what, input).agent(&agent));
    };
    tell(Happened::EnrollStarted);
    let op = DeviceGrantCollect::new(tag, collector, (agent, jwt.id), &snapshot);
    let permit = permitted(context, &snapshot, caller, op)?;
    input.progress.begun.store(true, Ordering::Relaxed);
    let joined = context
        .change(permit, |batch| DeviceGrantCollect::run(batch, now))
        .await
        .map_err(|error| match error {
            ChangeError::Domain(error) => NotJoined::Domain(error),
            ChangeError::Record(error) => NotJoined::Failed(error.into()),
        })?;
    tell(Happened::EnrollCompleted);
    Ok(DeviceToken {
        access_token: jwt.token.expose().clone(),
        token_type: POP.to_owned(),
        expires_in: jwt.expires_in.as_secs(),
        joined: answer(context, joined, code_sha256)?,
    })
}

/// What a device has to be told, signed as for a link code.
fn answer(
    context: &Context<'_>,
    joined: Joined,
    code_sha256: &[u8; 32],
) -> Result<JoinAnswer, Failure> {
    let vault = &context.open.vault;
    let server = server_id(vault);
    let ledger_vkey = vault.installation().ledger_vkey;
    let message = FieldTuple::new("procura.join.answer.v1")
        .bytes(server.as_bytes())
        .bytes(code_sha256)
        .bytes(joined.actor.as_bytes())
        .bytes(joined.device.as_bytes())
        .text(&ledger_vkey);
    let server_signature = vault
        .server_key()
        .sign(message.as_bytes())
        .map_err(Failure::internal)?;
    Ok(JoinAnswer {
        actor: joined.actor,
        name: joined.name,
        label: joined.label,
        device: joined.device,
        owner: joined.owner,
        server_key: vault.server_key().public().to_jwk(),
        namespace: joined.namespace,
        ledger_vkey,
        server_signature,
    })
}

/// The answer while nobody has answered.
fn waits(in_time: bool) -> Refused {
    if in_time {
        Refused::new(
            Word::AuthorizationPending,
            DeviceGrantRefusal::Pending.to_string(),
        )
    } else {
        Refused::new(
            Word::SlowDown,
            "Nobody has answered yet; wait five seconds longer from now on.",
        )
    }
}

/// The word for what was found.
fn worded(refusal: DeviceGrantRefusal) -> Refused {
    let word = match refusal {
        DeviceGrantRefusal::Pending => Word::AuthorizationPending,
        DeviceGrantRefusal::Expired => Word::ExpiredToken,
        DeviceGrantRefusal::Denied | DeviceGrantRefusal::ApproverGone => Word::AccessDenied,
        DeviceGrantRefusal::Unknown
        | DeviceGrantRefusal::Answered
        | DeviceGrantRefusal::OtherDevice
        | DeviceGrantRefusal::LentRole
        | DeviceGrantRefusal::NoOneId
        | DeviceGrantRefusal::Collected => Word::InvalidGrant,
    };
    // What whoever answers is told of a code says nothing to a program that collects.
    let said = match refusal {
        DeviceGrantRefusal::Unknown => "no device asks with this device code; ask anew".to_owned(),
        DeviceGrantRefusal::OtherDevice => {
            "another key asked for this device code; look with the one that did".to_owned()
        }
        _ => refusal.to_string(),
    };
    let refused = Refused::new(word, said);
    match word {
        // Whoever tries codes.
        Word::InvalidGrant => refused.held_against(Code::CodeRefused, Some(refusal.as_str())),
        _ => refused,
    }
}

/// Another device has the code: it gets nothing, and everybody who watches hears of it,
/// for the code was shown to one host and to nobody else.
fn another(context: &Context<'_>, found: &FoundDeviceGrant) -> Refused {
    let device = found.key.thumbprint();
    tracing::warn!(
        request_id = %context.input.trace,
        %device,
        ip = ?context.input.peer,
        "a device code was shown by another device than the one that asked"
    );
    context.app.metrics.refused("bad_signature");
    // Of whoever shows it nothing is known.
    let of = (Some(device), None);
    note(context, of, DeviceGrantRefusal::OtherDevice.as_str());
    worded(DeviceGrantRefusal::OtherDevice)
}

/// Records why an approved device did not get in, and words it.
fn refuse(context: &Context<'_>, found: &FoundDeviceGrant, error: NotJoined) -> Refused {
    let of = (Some(found.key.thumbprint()), found.said);
    match error {
        // What policy refused stands in the record already.
        NotJoined::Failed(failure) => failure.into(),
        NotJoined::Domain(IdentityError::DeviceGrant(refusal)) => {
            note(context, of, refusal.as_str());
            worded(refusal)
        }
        NotJoined::Domain(IdentityError::Join(refusal)) => {
            note(context, of, refusal.as_str());
            let word = match refusal {
                JoinRefusal::ActorRevoked => Word::AccessDenied,
                _ => Word::InvalidGrant,
            };
            Refused::new(word, refusal.to_string())
        }
        NotJoined::Domain(error) => Failure::from(error).into(),
    }
}

/// A code that lets no device in stands in the record, with the device that asked; where
/// somebody had said whose it is, with that agent too, for those who audit its namespace.
fn note(
    context: &Context<'_>,
    (device, agent): (Option<Thumbprint>, Option<ActorId>),
    reason: &'static str,
) {
    let input = context.input;
    let now: Timestamp = input.now;
    let snapshot = context.open.directory.snapshot();
    let record = agent.and_then(|agent| snapshot.actor(&agent));
    context.open.recorder.refuse(Refusal {
        actor: agent,
        owner: record.map(|record| record.owner),
        device: agent.and(device),
        namespace: record.and_then(|record| record.namespace().cloned()),
        resource: device.map(|device| format!("device/{device}")),
        ip: input.peer,
        ..Refusal::of_nobody(
            DeviceGrantCollect::ACTION.as_str(),
            reason,
            now,
            Profile::Join.as_str(),
            input.trace,
        )
    });
}
