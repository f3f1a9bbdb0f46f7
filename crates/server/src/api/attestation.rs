//! `/v1/attestations` and what operators do with them (ADR 39).

use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_identity::{
    AttestChallenge, AttestMake, AttestationListing, AttestationRevoke, BaselineRemove,
    BaselineSet, IdentityError,
};
use procura_policy::{Op, Permit};
use procura_proof::{Caller, Profile};
use procura_record::{ChangeError, Refusal};
use procura_types::TraceId;
use procura_types::wire::{self, AttestationAsk, BaselinePut};

/// An attestation is of a daemon, and proven by its device's own key: what a session's key
/// alone could attest would outlive its theft.
fn with_key(caller: &Caller) -> Result<(), Failure> {
    if caller.profile() == Profile::Native {
        return Ok(());
    }
    Err(Failure::new(
        Code::Unauthorized,
        "A daemon attests with a signature by the device's own key.",
    ))
}

fn no_agent() -> Failure {
    Failure::new(
        Code::NotFound,
        "Daemons of agents attest; this is no device of an agent.",
    )
}

fn missing() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such attestation or device, or it is not for you to know.",
    )
}

pub(super) struct Challenge;

impl Endpoint for Challenge {
    type Op = AttestChallenge;
    type Body = wire::AttestationAsk;
    type Answer = wire::AttestationChallenge;
    const SUMMARY: &'static str = "Gives a daemon what it puts into its next attestation, with a proof by the device's own key";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/attestations/challenge";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let AttestationAsk { tpm } = input.json::<Self::Body>()?;
        with_key(caller)?;
        AttestChallenge::resolve(&open.directory.snapshot(), caller, tpm).ok_or_else(no_agent)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let who = who(&permit);
        let given = context
            .change(permit, |batch| AttestChallenge::run(batch, now, entropy))
            .await;
        tell(&context, who, &given);
        Reply::json::<Self::Answer>(&given?)
    }
}

pub(super) struct Make;

impl Endpoint for Make {
    type Op = AttestMake;
    type Body = wire::AttestationPut;
    type Answer = wire::AttestationGiven;
    const SUMMARY: &'static str =
        "Attests which program a daemon is, or renews that, with a proof by the device's own key";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/attestations";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let put = input.json::<Self::Body>()?;
        with_key(caller)?;
        AttestMake::resolve(
            &open.directory.snapshot(),
            caller,
            put,
            open.vault.installation().id,
            crate::server_id(&open.vault),
        )
        .ok_or_else(no_agent)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let who = who(&permit);
        let made = context
            .change(permit, |batch| AttestMake::run(batch, now))
            .await;
        tell(&context, who, &made);
        Reply::json::<Self::Answer>(&made?)
    }
}

/// Whoever attested, for the record of a refusal.
fn who<O: Op>(permit: &Permit<O>) -> Refusal {
    let (caller, resource) = (permit.caller(), permit.resource());
    let trace = TraceId::from_bytes([0; 16]);
    let (action, profile) = (O::ACTION.as_str(), caller.profile().as_str());
    Refusal {
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        namespace: resource.namespace().cloned(),
        resource: Some(resource.to_string()),
        ..Refusal::of_nobody(action, "", caller.created(), profile, trace)
    }
}

/// Puts into the record why what was attested is not taken.
fn tell<T>(context: &Context<'_>, who: Refusal, made: &Result<T, ChangeError<IdentityError>>) {
    let Err(ChangeError::Domain(IdentityError::Attestation(refusal))) = made else {
        return;
    };
    context.open.recorder.refuse(Refusal {
        reason: refusal.as_str().to_owned(),
        time: context.input.now,
        ip: context.input.peer,
        trace: context.input.trace,
        ..who
    });
}

pub(super) struct List;

impl Endpoint for List {
    type Op = AttestationListing;
    type Body = ();
    type Answer = wire::AttestationList;
    const SUMMARY: &'static str =
        "Lists what the daemons of a namespace attested, and the baselines of their hosts";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/attestations";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(AttestationListing {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let snapshot = context.open.directory.snapshot();
        let list = AttestationListing::run(&permit, &snapshot, context.input.now);
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Revoke;

impl Endpoint for Revoke {
    type Op = AttestationRevoke;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Revokes an attestation, and with it the key of its process";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/attestations/{id}/revoke";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let snapshot = open.directory.snapshot();
        AttestationRevoke::resolve(&snapshot, &input.param("ns")?, &input.param("id")?)
            .ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| AttestationRevoke::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct SetBaseline;

impl Endpoint for SetBaseline {
    type Op = BaselineSet;
    type Body = wire::BaselinePut;
    type Answer = wire::Baseline;
    const SUMMARY: &'static str = "Accepts what a TPM said of the host of a device";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/devices/{thumbprint}/baseline";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let BaselinePut {
            attestation,
            pcr_digest,
        } = input.json::<Self::Body>()?;
        BaselineSet::resolve(
            &open.directory.snapshot(),
            &input.param("ns")?,
            &input.param("thumbprint")?,
            attestation,
            pcr_digest,
        )
        .ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let baseline = context
            .change(permit, |batch| BaselineSet::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&baseline)
    }
}

pub(super) struct RemoveBaseline;

impl Endpoint for RemoveBaseline {
    type Op = BaselineRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Accepts no more how the host of a device has started";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = SetBaseline::PATH;

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let snapshot = open.directory.snapshot();
        BaselineRemove::resolve(&snapshot, &input.param("ns")?, &input.param("thumbprint")?)
            .ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| BaselineRemove::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}
