//! `/v1/sessions` (`protocol.md` §3.4).

use crate::app::Open;
use crate::attested::checked;
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::opening::session_keys;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_authority::is_service;
use procura_policy::{Action, Op, Permit, Resource};
use procura_proof::session::{Subject, issue_attested, open};
use procura_proof::{Caller, Profile};
use procura_types::wire::{self, SessionAnswer, SessionAttestation, SessionRequest, ValueB64};
use procura_types::{Audience, FieldTuple, Malformed, Secret, SecretBytes};

/// Starts or renews a session of the caller's device.
pub(crate) struct SessionStart {
    audience: Audience,
    renew: Option<String>,
    attestation: Option<SessionAttestation>,
}

impl Op for SessionStart {
    const ACTION: Action = Action::SessionStart;
    fn resource(&self) -> Resource {
        match &self.audience {
            Audience::Server => Resource::Installation,
            Audience::Gate(namespace, service) => {
                Resource::Service(namespace.clone(), service.clone())
            }
        }
    }
}

pub(super) struct Start;

impl Endpoint for Start {
    type Op = SessionStart;
    type Body = wire::SessionRequest;
    type Answer = wire::SessionAnswer;
    const SUMMARY: &'static str =
        "Starts or renews a session, with a proof by the device's own key";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/sessions";

    fn parse(_: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let SessionRequest {
            audience,
            renew,
            attestation,
        } = input.json::<Self::Body>()?;
        let audience = audience.parse()?;
        // A gate does not know what was attested, and could not see it end.
        if attestation.is_some() && audience != Audience::Server {
            return Err(Malformed::new("attestation", "is for sessions of procura alone").into());
        }
        // A session proves less than the key that it came from: it must not
        // prolong itself.
        if caller.profile() != Profile::Native {
            return Err(Failure::new(
                Code::Unauthorized,
                "A session starts with a signature by the device's own key.",
            ));
        }
        Ok(SessionStart {
            audience,
            renew,
            attestation,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let vault = &context.open.vault;
        // Asked after the decision: whoever has no part in the namespace does not learn
        // which services it has.
        if let Audience::Gate(namespace, service) = &permit.op().audience
            && !is_service(vault.store(), namespace, service)?
        {
            return Err(Failure::new(
                Code::NotFound,
                format!("There is no service {service} in {namespace}."),
            ));
        }
        let audience = permit.op().audience.to_string();
        let keys = session_keys(vault);
        let caller = permit.caller();
        let now = context.input.now;
        let Some(device) = caller.device().copied() else {
            return Err(Failure::new(
                Code::Unauthorized,
                "A session belongs to a device.",
            ));
        };
        let subject = Subject {
            actor: *caller.actor(),
            device,
        };
        let claim = permit.op().attestation.as_ref();
        let attested = claim
            .map(|claim| checked(&context, caller, permit.op(), claim, &audience))
            .transpose()?;
        let first_issue = match &permit.op().renew {
            None => now,
            Some(id) => {
                let before = open(keys.as_ref(), id, &audience)
                    .ok()
                    .filter(|session| session.subject().device == device)
                    .ok_or_else(|| {
                        Failure::new(
                            Code::Unauthorized,
                            "The session to renew is not one of this device.",
                        )
                        .with_reason("session_unknown")
                    })?;
                before.first_issue()
            }
        };
        let issued = issue_attested(
            keys.as_ref(),
            (&subject, attested.as_ref()),
            &audience,
            now,
            first_issue,
            permit.directory_seq(),
            context.app.entropy.as_ref(),
        )
        .map_err(|error| {
            Failure::new(Code::Unauthorized, error.to_string()).with_reason("session_expired")
        })?;
        context.app.metrics.session_started();
        let told = if caller.actor() == caller.owner() && permit.op().audience == Audience::Server {
            vault.recoveries(&device)?
        } else {
            Vec::new()
        };
        if caller.actor() != caller.owner() {
            let agent = caller.actor().to_string();
            let event = AgentEvent::new(Happened::SessionStarted, context.input);
            agent_event(context.app, event.agent(&agent));
        }
        let message: SecretBytes = Secret::new(
            FieldTuple::new("procura.session.answer.v1")
                .text(caller.nonce().unwrap_or_default())
                .text(&issued.session_id)
                .bytes(issued.mac_key.expose())
                .u64(issued.expires.as_millis())
                .into_bytes(),
        );
        let server_signature = vault
            .server_key()
            .sign(message.expose())
            .map_err(Failure::internal)?;
        let mac_key = ValueB64::encode(issued.mac_key.expose());
        let length = mac_key.len();
        let answer = SessionAnswer {
            session_id: issued.session_id,
            mac_key,
            expires_at: issued.expires,
            server_signature,
            recoveries: told,
        };
        Reply::secret::<Self::Answer>(&answer, length)
    }
}
