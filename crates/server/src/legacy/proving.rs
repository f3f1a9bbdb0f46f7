//! Who makes a request: a daemon by the key of its process, or whoever has a login.

use crate::key_server::KeysNow;
use crate::opening::session_keys;
use crate::problem::{Code, Failure};
use crate::proving::{LOCAL, Lines, http_resource, refused_by};
use crate::rates::count_agent;
use crate::serve::Context;
use procura_crypto::sha256;
use procura_directory::{Snapshot, TokenRecord, TokenRefusal};
use procura_policy::Action;
use procura_proof::foreign::ForeignPending;
use procura_proof::foreign::legacy::{
    AuthProof, LegacyCaller, LegacyKey, LegacyKeys, LegacyRequest,
};
use procura_proof::{Caller, Case, Profile, Refusal};
use procura_record::Refusal as Recorded;
use procura_token::claimed_id;
use procura_types::{ForeignId, Malformed, encoding};

/// The word of the profile.
pub(super) const LEGACY: &str = Profile::Legacy.as_str();

/// Records a refused proof and words it.
pub(super) fn refused(context: &Context<'_>, snapshot: &Snapshot, refusal: &Refusal) -> Failure {
    let of = (context.app, context.open);
    refused_by(LEGACY, of, snapshot, context.input, refusal)
}

/// What a daemon signs for that shows this bearer token: the id that the token says, or else
/// its hash.
pub(super) fn token_id(token: &str) -> String {
    claimed_id(token).unwrap_or_else(|| encoding::hex(&sha256(token.as_bytes())))
}

/// What a daemon signs for that asks for this path: the path decoded, as it was verified
/// there, since daemons sign a name as it is and send it escaped. One path alone is verified,
/// so a signature is for one request. What would make it another call's (`/`), or part the
/// words that are signed (`|` and what cannot be seen), is in no path here.
fn signed_path(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        match u8::try_from(high * 16 + low).ok()? {
            b'/' => return None,
            escaped => bytes.push(escaped),
        }
    }
    let decoded = String::from_utf8(bytes).ok()?;
    let parts_words = |letter: char| letter == '|' || letter.is_control();
    (!decoded.contains(parts_words)).then_some(decoded)
}

/// The agent whose daemon signed the request for this `auth_token_id`, and whose own key
/// signed `auth` where the call takes that. Nothing is used up before all of it verified.
pub(super) async fn prove(
    context: &Context<'_>,
    token: &str,
    auth: Option<&AuthProof<'_>>,
) -> Result<Caller, Failure> {
    let Context { app, open, input } = context;
    let path = signed_path(input.parts.uri.path());
    let path = path.ok_or_else(|| Malformed::new("path", "has what no name may have"))?;
    let snapshot = open.directory.snapshot();
    let refuse = |refusal: Refusal| refused(context, &snapshot, &refusal);
    let asked = (path.as_str(), token);
    let (daemon, agent) = prepared(context, &snapshot, asked, auth).map_err(refuse)?;
    let daemon = open.foreign.finish(daemon).await.map_err(refuse)?;
    if let Some(agent) = agent {
        open.foreign.finish(agent).await.map_err(refuse)?;
    }
    placed(context, &snapshot, daemon.agent()).map_err(refuse)?;
    let caller = Caller::legacy(daemon, &snapshot).map_err(refuse)?;
    app.metrics.accepted(LEGACY);
    count_agent(app, &snapshot, caller.actor(), input)?;
    Ok(caller)
}

/// Apart from the rest, since the keys must not be held while the guard is asked.
fn prepared(
    context: &Context<'_>,
    snapshot: &Snapshot,
    (path, token): (&str, &str),
    auth: Option<&AuthProof<'_>>,
) -> Result<(ForeignPending<LegacyCaller>, Option<ForeignPending<()>>), Refusal> {
    let Context { app, open, input } = context;
    let keys = KeysNow::public(app, snapshot, input.now);
    let sessions = session_keys(&open.vault);
    let headers = Lines(&input.parts.headers);
    let request = LegacyRequest {
        headers: &headers,
        method: input.parts.method.as_str(),
        path,
        body: &input.body,
        token,
    };
    let peer = input.peer.unwrap_or(LOCAL);
    let daemon =
        open.foreign
            .prepare_legacy(sessions.as_ref(), &keys, &request, input.now, peer)?;
    let Some(auth) = auth else {
        return Ok((daemon, None));
    };
    // A daemon speaks for the agent that attested it, and for no other.
    if daemon.agent() != auth.agent {
        return Err(Refusal {
            agent: Some(daemon.agent().clone()),
            ..Case::SessionForeign.into()
        });
    }
    let agent = open.foreign.prepare_auth_proof(&keys, auth, input.now)?;
    Ok((daemon, Some(agent)))
}

/// The agent of whoever shows a login. `key` is what the agent has now.
pub(super) fn logged_in(
    context: &Context<'_>,
    snapshot: &Snapshot,
    id: &ForeignId,
) -> Result<(Caller, LegacyKey), Refusal> {
    let Context { app, input, .. } = context;
    let refuse = |case: Case| Refusal {
        agent: Some(id.clone()),
        ..case.into()
    };
    placed(context, snapshot, id)?;
    let peer = input.peer.unwrap_or(LOCAL);
    let caller = Caller::logged_in(id, snapshot, input.now, peer)?;
    let keys = KeysNow::public(app, snapshot, input.now);
    let found = LegacyKeys::find(&keys, id).map_err(|_| refuse(Case::KeysUnavailable))?;
    let key = found.ok_or_else(|| refuse(Case::AgentUnknown))?;
    Ok((caller, key))
}

/// Refuses an id in quarantine, also one that touched a decoy a moment ago, of which the
/// directory says nothing yet.
fn placed(context: &Context<'_>, snapshot: &Snapshot, id: &ForeignId) -> Result<(), Refusal> {
    let bound = snapshot.foreign(id);
    let device = bound.and_then(|bound| bound.device);
    let honey = &context.open.honey;
    if !honey.holds(snapshot, device.as_ref(), Some(id)) {
        return Ok(());
    }
    Err(Refusal {
        device,
        actor: bound.map(|bound| bound.actor),
        agent: Some(id.clone()),
        ..Case::AgentQuarantined.into()
    })
}

/// What somebody showed as a token that opens nothing.
pub(super) struct BadToken<'a> {
    /// What it was shown for.
    pub(super) action: Action,
    /// The first check that it failed.
    pub(super) reason: &'static str,
    /// Who showed it, where that is proven.
    pub(super) caller: Option<&'a Caller>,
    /// Of a token of a project, which one, where it is one.
    pub(super) record: Option<&'a TokenRecord>,
}

impl BadToken<'_> {
    /// Puts it into the record.
    pub(super) fn note(&self, context: &Context<'_>) {
        let Context { open, input, .. } = context;
        let (caller, record) = (self.caller, self.record);
        open.recorder.refuse(Recorded {
            actor: caller.map(|caller| *caller.actor()),
            owner: caller.map(|caller| *caller.owner()),
            device: caller.and_then(|caller| caller.device().copied()),
            token: record.map(|record| record.id),
            namespace: record.map(|record| record.namespace.clone()),
            resource: Some(http_resource(&input.parts.uri)),
            ip: input.peer,
            ..Recorded::of_nobody(
                self.action.as_str(),
                self.reason,
                input.now,
                LEGACY,
                input.trace,
            )
        });
    }

    /// The same, and words it. Of somebody who proved nothing else it is held against the
    /// address, unless the token was a good one in its time.
    pub(super) fn refused(&self, context: &Context<'_>) -> Failure {
        self.note(context);
        let was_one = self.reason == TokenRefusal::Expired.as_str();
        let code = match self.caller {
            None if !was_one => Code::Unauthorized,
            _ => Code::TokenRefused,
        };
        Failure::new(code, "The token opens nothing here and now.").with_reason(self.reason)
    }
}

/// Puts into the record that somebody asked for what is not there for them, which is refused
/// like what is not for them, and for what their daemon does not open. Words any failure.
pub(super) fn not_had(
    context: &Context<'_>,
    caller: &Caller,
    action: Action,
    error: impl Into<Failure>,
) -> Failure {
    let Context { open, input, .. } = context;
    let failure = error.into();
    if matches!(failure.code, Code::NotFound | Code::AttestationRequired) {
        open.recorder.refuse(Recorded {
            actor: Some(*caller.actor()),
            owner: Some(*caller.owner()),
            device: caller.device().copied(),
            resource: Some(http_resource(&input.parts.uri)),
            ip: input.peer,
            ..Recorded::of_nobody(
                action.as_str(),
                failure.code.as_str(),
                input.now,
                LEGACY,
                input.trace,
            )
        });
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::{signed_path, token_id};
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../../../spec/vectors/profiles/cortexauth.json");

    #[test]
    fn a_token_is_known_by_what_it_says_or_by_its_hash() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let cases = vectors["auth_token_id"].as_array().unwrap();
        for case in cases {
            let bearer = case["bearer"].as_str().unwrap();
            assert_eq!(token_id(bearer), case["id"].as_str().unwrap(), "{bearer}");
        }
        assert_eq!(cases.len(), 4);
    }

    #[test]
    fn a_path_is_signed_decoded_and_in_one_way() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let mut escaped = 0;
        for case in vectors["attestation"].as_array().unwrap() {
            let (sent, signed) = (&case["sent_path"], case["path"].as_str().unwrap());
            escaped += usize::from(sent != signed);
            assert_eq!(signed_path(sent.as_str().unwrap()).unwrap(), signed);
        }
        assert_eq!(escaped, 2);
        // It is decoded once.
        assert_eq!(signed_path("/a%2520b+c").unwrap(), "/a%20b+c");
        for none in [
            "/a%2Fb", "/a%2fb", "/a%", "/a%4", "/a%zz", "/a%+1", "/a%00", "/a%0a", "/a%7F",
            "/a%C2%85", "/a%7Cb", "/a|b", "/a%ff", "/a%C3",
        ] {
            assert_eq!(signed_path(none), None, "{none}");
        }
    }
}
