//! `/v1/devices/{thumbprint}/revoke`: of an agent or of an operator, which are
//! two operations with different rules.

use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply, serve};
use axum::RequestExt as _;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::post;
use procura_identity::{DeviceRevocation, DeviceRevoke, OperatorDeviceHold, OperatorDeviceRevoke};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::Thumbprint;
use std::sync::Arc;

const PATH: &str = "/v1/devices/{thumbprint}/revoke";

pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router.route(
        PATH,
        post(async |State(app): State<Arc<App>>, request: Request| revoke(app, request).await),
    )
}

/// Whose device it is decides which operation is authorized.
async fn revoke(app: Arc<App>, mut request: Request) -> Response {
    let thumbprint = request
        .extract_parts::<Path<String>>()
        .await
        .ok()
        .and_then(|path| path.0.parse().ok());
    let found =
        app.open()
            .ok()
            .zip(thumbprint)
            .and_then(|(open, thumbprint): (Arc<Open>, Thumbprint)| {
                DeviceRevocation::resolve(&open.directory.snapshot(), &thumbprint)
            });
    match found {
        Some(DeviceRevocation::Operator(_)) => serve::<OfOperator>(app, request).await,
        // What does not exist is refused after the caller was proven.
        _ => serve::<OfAgent>(app, request).await,
    }
}

fn resolve(open: &Open, input: &Input) -> Result<DeviceRevocation, Failure> {
    DeviceRevocation::resolve(&open.directory.snapshot(), &input.param("thumbprint")?)
        .ok_or_else(missing)
}

fn missing() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such device, or it is not for you to know.",
    )
}

pub(super) struct OfAgent;

impl Endpoint for OfAgent {
    type Op = DeviceRevoke;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Revokes a device of an agent or of an operator";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = PATH;

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        match resolve(open, input)? {
            DeviceRevocation::Agent(op) => Ok(op),
            DeviceRevocation::Operator(_) => Err(missing()),
        }
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| DeviceRevoke::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct OfOperator;

impl Endpoint for OfOperator {
    type Op = OperatorDeviceRevoke;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Revokes a device of an operator";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = PATH;

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        match resolve(open, input)? {
            DeviceRevocation::Operator(op) => Ok(op),
            DeviceRevocation::Agent(_) => Err(missing()),
        }
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| OperatorDeviceRevoke::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct Hold;

impl Endpoint for Hold {
    type Op = OperatorDeviceHold;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str =
        "Puts a device of an operator on hold, until a steward reinstates it";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/devices/{thumbprint}/hold";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(none_here);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let thumbprint: Thumbprint = input.param("thumbprint")?;
        OperatorDeviceHold::resolve(&open.directory.snapshot(), &thumbprint).ok_or_else(none_here)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| OperatorDeviceHold::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

fn none_here() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such device of an operator, or it is not for you to know.",
    )
}
