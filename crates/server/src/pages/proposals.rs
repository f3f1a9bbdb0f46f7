//! `/proposals`: what several stewards have to agree to, the yes of one by a passkey, and
//! the no ([ADR 45](../../../../docs/adr/0045-second-persons.md)).

use super::LABEL;
use super::answer::Answer;
use super::approval::Offer;
use super::layout::{Frame, Place};
use super::moment::Moment;
use super::page::{Asked, Entered, Nothing, Page, Visit, Way, enter_call, mount, mount_call};
use super::shown::Shown;
use crate::app::App;
use crate::input::Arrived;
use crate::passkeys;
use crate::problem::Failure;
use crate::serve::Context;
use askama::Template;
use axum::Router;
use procura_directory::Snapshot;
use procura_identity::{ProposalListing, ProposalRefuse};
use procura_policy::Permit;
use procura_types::wire::{PasskeyProposalSign, Proposal, ProposalState};
use procura_types::{ActorId, ProposalId, Timestamp};
use std::sync::Arc;

/// Mounts them.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let router = mount::<List>(router);
    let router = mount::<Refuse>(router);
    let router = mount_call(
        router,
        ("/proposals/{id}/sign/options", LABEL),
        sign_options,
    );
    mount_call(router, ("/proposals/{id}/sign", LABEL), sign)
}

/// A proposal in the list.
struct Proposed {
    id: String,
    words: Shown,
    /// The actor whom it is about, where it is about one.
    about: Option<String>,
    proposer: Shown,
    since: Moment,
    until: Moment,
    state: &'static str,
    /// Whether it can still be signed.
    is_open: bool,
    /// Who said yes, and whether that counts.
    signed: Vec<(Shown, bool)>,
    /// Who said no.
    refused: Vec<Shown>,
    needs: u32,
    /// Whether whoever looks said yes, which counts.
    agreed: bool,
}

#[derive(Template)]
#[template(path = "proposals.html")]
struct Proposals {
    frame: Frame,
    proposals: Vec<Proposed>,
    offer: Offer,
}

/// `GET /proposals`.
pub(super) struct List;

impl Page for List {
    type Op = ProposalListing;
    const WAY: Way = Way::Look;
    const PATH: &'static str = "/proposals";
    const PLACE: Place = Place::Alarms;

    fn parse(_: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(ProposalListing)
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let now = visit.context.input.now;
        let vault = &visit.context.open.vault;
        let installation = vault.installation().id;
        let list =
            ProposalListing::run(&permit, vault.store(), &visit.snapshot, &installation, now)?;
        let actor = *permit.caller().actor();
        let proposals = list.proposals.iter();
        let proposals = proposals
            .map(|proposal| proposed(proposal, &visit.snapshot, &actor, now))
            .collect();
        let offer = Offer::of(&visit, &actor);
        Answer::page(&Proposals {
            frame: visit.frame,
            proposals,
            offer,
        })
    }
}

fn proposed(proposal: &Proposal, snapshot: &Snapshot, actor: &ActorId, now: Timestamp) -> Proposed {
    let signed = &proposal.signed;
    Proposed {
        id: proposal.id.to_string(),
        words: Shown::of(proposal.act.words()),
        about: proposal.about.as_ref().map(ToString::to_string),
        proposer: Shown::of(snapshot.lineage(&proposal.proposer)),
        since: Moment::of(proposal.created, now),
        until: Moment::of(proposal.expires, now),
        state: state(proposal.state),
        is_open: matches!(proposal.state, ProposalState::Open | ProposalState::Agreed),
        signed: signed
            .iter()
            .map(|signer| (Shown::of(snapshot.lineage(&signer.steward)), signer.counts))
            .collect(),
        refused: proposal
            .refused
            .iter()
            .map(|steward| Shown::of(snapshot.lineage(steward)))
            .collect(),
        needs: proposal.needs,
        agreed: signed
            .iter()
            .any(|signer| signer.counts && signer.steward == *actor),
    }
}

const fn state(state: ProposalState) -> &'static str {
    match state {
        ProposalState::Open => "waits for signatures",
        ProposalState::Agreed => "is agreed to, and waits to be carried out",
        ProposalState::Done => "was carried out",
        ProposalState::Expired => "was not carried out in time",
    }
}

/// `POST /proposals/{id}/refuse`.
pub(super) struct Refuse;

impl Page for Refuse {
    type Op = ProposalRefuse;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/proposals/{id}/refuse";
    const PLACE: Place = Place::Alarms;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(ProposalRefuse {
            id: asked.input.param("id")?,
        })
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let now = visit.context.input.now;
        let installation = visit.context.open.vault.installation().id;
        visit
            .context
            .change(permit, |batch| {
                ProposalRefuse::run(batch, &installation, now)
            })
            .await?;
        Answer::to(List::PATH)
    }
}

async fn sign_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let Nothing {} = entered.json(&app, &open)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let id: ProposalId = input.param("id")?;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    Answer::json(&passkeys::proposal_options(&context, signed_in.caller, id)?)
}

async fn sign(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let answer: PasskeyProposalSign = entered.json(&app, &open)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let id: ProposalId = input.param("id")?;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let caller = signed_in.caller;
    Answer::json(&passkeys::sign_proposal(&context, caller, id, answer).await?)
}
