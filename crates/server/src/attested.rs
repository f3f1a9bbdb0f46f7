//! What a request shows of the process of a daemon that sends it (ADR 39).

use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::Context;
use procura_authority::Attesting;
use procura_directory::AttestationOver;
use procura_policy::{Op, grade_of};
use procura_proof::session::Attested;
use procura_proof::{Caller, attested_session_message};
use procura_record::Refusal;
use procura_types::wire::SessionAttestation;
use procura_types::{Grade, Timestamp};

/// What the caller's daemon attested, for what hands something over.
pub(crate) fn attesting(open: &Open, caller: &Caller, now: Timestamp) -> Attesting {
    Attesting::With(grade_of(&open.directory.snapshot(), caller, now))
}

/// What a project requires and the caller does not show, for the caller.
pub(crate) fn required(needs: Grade) -> Failure {
    let next = match needs {
        Grade::SelfReported => {
            "Run it through a procurad of this version, which attests by itself: procura doctor says why it has not."
        }
        Grade::SignedRelease => {
            "Run it through a procurad whose program a release key vouches for: procura doctor says what is missing, and a steward adds a release with procura release add."
        }
        Grade::Quoted => {
            "Run it through a procurad that was started with --tpm, on a host whose baseline an admin accepted with procura device baseline: procura doctor says what is missing."
        }
    };
    Failure::new(
        Code::AttestationRequired,
        format!(
            "The project hands values to daemons whose attestation is {needs} or better. {next}"
        ),
    )
    .with_reason("attestation_required")
}

/// The refusal of an attestation; the word says which check it failed.
pub(crate) fn refused(reason: &'static str, detail: impl Into<String>) -> Failure {
    Failure::new(Code::AttestationRefused, detail).with_reason(reason)
}

/// Whether the process of an attestation asks for this session: the attestation counts, is
/// of this device, and its key has signed for this very request.
///
/// # Errors
/// [`Code::AttestationRefused`] with the first reason that applies, which is recorded.
pub(crate) fn checked<O: Op>(
    context: &Context<'_>,
    caller: &Caller,
    op: &O,
    claim: &SessionAttestation,
    audience: &str,
) -> Result<Attested, Failure> {
    let snapshot = context.open.directory.snapshot();
    let now = context.input.now;
    let check = || -> Result<Attested, (&'static str, &'static str)> {
        let over = |over: AttestationOver| (over.as_str(), words(over));
        let record = snapshot
            .attestation(&claim.id)
            .ok_or_else(|| over(AttestationOver::Unknown))?;
        if Some(&record.device) != caller.device() || record.actor != *caller.actor() {
            return Err((
                "wrong_agent",
                "The attestation is of another agent or device.",
            ));
        }
        let grade = snapshot.stands(record, now).map_err(over)?;
        let nonce = caller.nonce().unwrap_or_default();
        let message = attested_session_message(&claim.id, nonce, audience);
        if !record.key.verify(&message, &claim.signature) {
            return Err((
                "bad_signature",
                "The process of the attestation has not signed for this session.",
            ));
        }
        Ok(Attested {
            id: claim.id,
            grade,
        })
    };
    check().map_err(|(reason, detail)| {
        let resource = op.resource();
        context.open.recorder.refuse(Refusal {
            actor: Some(*caller.actor()),
            owner: Some(*caller.owner()),
            device: caller.device().copied(),
            namespace: resource.namespace().cloned(),
            resource: Some(resource.to_string()),
            ip: context.input.peer,
            ..Refusal::of_nobody(
                O::ACTION.as_str(),
                reason,
                now,
                caller.profile().as_str(),
                context.input.trace,
            )
        });
        refused(reason, detail)
    })
}

const fn words(over: AttestationOver) -> &'static str {
    match over {
        AttestationOver::Unknown => "There is no such attestation any more.",
        AttestationOver::Revoked => "The attestation was revoked.",
        AttestationOver::Expired => "The attestation was not renewed in time.",
        AttestationOver::Withdrawn => {
            "The program was withdrawn, or the key that vouched for it was removed."
        }
        AttestationOver::Baseline => "The baseline of the host is another now.",
    }
}
