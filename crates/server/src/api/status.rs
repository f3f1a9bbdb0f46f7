//! `/v1/status` and `/v1/seal`.

use super::unserved;
use crate::app::{App, Open, Stage};
use crate::health::degraded;
use crate::problem::Failure;
use crate::proving::authority;
use crate::serve::{Context, Endpoint, Input, Reply, serve};
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use procura_policy::{Action, Op, Permit, Resource};
use procura_proof::Caller;
use procura_record::Details;
use procura_types::wire::{self, Status};
use std::sync::Arc;

/// What anyone may know: whether it is initialised and sealed, and what is wrong.
#[must_use]
pub fn status(app: &App) -> Status {
    let stage = app.stage();
    let mut rewrapping = false;
    let mut degraded = degraded(app);
    let (installation, initialized, sealed, checkpoint) = match stage.as_ref() {
        Stage::Uninitialised => (None, false, true, None),
        Stage::Sealed(_, installation) => (Some(installation.id), true, true, None),
        Stage::Open(open) => {
            let newest = open
                .publisher
                .latest()
                .map(|published| published.note.clone());
            // Nobody is served worse for it, so `/health` does not say it.
            if open.upkeep.keeps_too_long() {
                degraded.push(
                    "retention: entries of the record that are too old could not be forgotten; the server's log says why"
                        .to_owned(),
                );
            }
            // A store that cannot be read is in `degraded`.
            rewrapping = open.vault.is_rewrapping().unwrap_or(false);
            (Some(open.vault.installation().id), true, false, newest)
        }
    };
    Status {
        installation,
        initialized,
        sealed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        degraded,
        rewrapping,
        checkpoint,
        api: None,
        deep: None,
    }
}

pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler = async |State(app): State<Arc<App>>, request: Request| {
        // What everybody may know needs no proof; the deep check is a call.
        if request.uri().query() == Some("deep=true") {
            return serve::<DeepCheck>(app, request).await;
        }
        // A page of a stranger whose name was made to lead here is told nothing.
        match authority(&app, request.version(), request.headers(), request.uri()) {
            Ok(_) => Json(status(&app)).into_response(),
            Err(failure) => {
                app.metrics.refused(failure.code.as_str());
                unserved(&app, &request, failure)
            }
        }
    };
    router.route(DeepCheck::PATH, get(handler))
}

/// Closes the vault.
pub(crate) struct InstallationSeal;

impl Op for InstallationSeal {
    const ACTION: Action = Action::InstallationSeal;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

pub(super) struct Seal;

impl Endpoint for Seal {
    type Op = InstallationSeal;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Closes the vault";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/seal";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(InstallationSeal)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context
            .change(permit, |batch| -> Result<(), Failure> {
                batch.reserved();
                Ok(())
            })
            .await?;
        crate::admin::seal_on_purpose(context.app).await?;
        Ok(Reply::nothing())
    }
}

/// Reads and opens every row.
pub(crate) struct InstallationCheck;

impl Op for InstallationCheck {
    const ACTION: Action = Action::InstallationCheck;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

pub(super) struct DeepCheck;

impl Endpoint for DeepCheck {
    type Op = InstallationCheck;
    type Body = ();
    type Answer = wire::Status;
    const SUMMARY: &'static str =
        "Says what anyone may know; with deep=true reads and opens every row, for stewards";
    const QUERY: &'static [&'static str] = &["deep"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/status";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(InstallationCheck)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context
            .open
            .recorder
            .record(permit, context.origin(), Details::default())
            .await?;
        let store = context.open.vault.store().clone();
        let findings = tokio::task::spawn_blocking(move || store.deep_check())
            .await
            .map_err(Failure::internal)??;
        Reply::json::<Self::Answer>(&Status {
            deep: Some(findings),
            ..status(context.app)
        })
    }
}
