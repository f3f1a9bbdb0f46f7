//! `/device`: a host that asks to join shows a code, and here an operator sees what is
//! behind it ([ADR 38](../../../../docs/adr/0038-device-grant.md)). A code never is part of an
//! address that is logged: what is looked up is sent by a form.

use super::answer::Answer;
use super::device_approval::Answering;
use super::form::Form;
use super::layout::{Frame, Place};
use super::moment::Moment;
use super::namespaces::{Choice, Looked, NAMESPACE};
use super::page::{Asked, Page, Visit, Way};
use super::shown::Shown;
use crate::device_grants::{deny_permitted, show_permitted};
use crate::problem::{Code, Failure};
use askama::Template;
use procura_identity::{DeviceGrantDeny, DeviceGrantShow};
use procura_policy::Permit;
use procura_types::wire::{DeviceGrant, DeviceGrantState};
use procura_types::{Malformed, Namespace, Timestamp, UserCode};
use procura_vault::NamespaceListing;
use std::str::FromStr;

/// The field with the code.
pub(super) const USER_CODE: &str = "user_code";

#[derive(Template)]
#[template(path = "device_code.html")]
struct AskCode {
    frame: Frame,
    choices: Vec<Choice>,
    /// What was typed, or was in the address that the host shows.
    code: Shown,
    problem: Option<Shown>,
}

#[derive(Template)]
#[template(path = "device.html")]
pub(super) struct Device {
    frame: Frame,
    namespace: Shown,
    code: String,
    host: Shown,
    from: Shown,
    device: String,
    fingerprint: Option<String>,
    /// Whether a client of CortexAuth asks, which shows no key.
    legacy: bool,
    asked: Moment,
    expires: Moment,
    state: &'static str,
    is_pending: bool,
    /// The agent whose device it becomes, where it was just said.
    pub(super) becomes: Option<Shown>,
    /// How to say yes, for whoever looked it up while it waits.
    answering: Option<Answering>,
    /// Whether that takes the script.
    is_here: bool,
}

/// `GET /device`: nothing is looked up, whatever the address says.
pub(super) struct Ask;

impl Page for Ask {
    type Op = NamespaceListing;
    const WAY: Way = Way::Look;
    const PATH: &'static str = "/device";
    const PLACE: Place = Place::Device;
    const FIELDS: &'static [&'static str] = &[USER_CODE, NAMESPACE];

    fn parse(_: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(NamespaceListing)
    }

    async fn run(visit: Visit<'_>, _: Permit<Self::Op>) -> Result<Answer, Failure> {
        let looked = Looked::of(&visit.snapshot, &visit.roles, &visit.form)?;
        let code = visit.form.text(USER_CODE).unwrap_or_default();
        Answer::page(&AskCode {
            code: Shown::of(code),
            frame: visit.frame,
            choices: looked.all,
            problem: None,
        })
    }
}

/// A field of a form that has to be there.
pub(super) fn required<T: FromStr<Err = Malformed>>(
    form: &Form,
    field: &'static str,
) -> Result<T, Failure> {
    let value = form.value(field)?;
    value.ok_or_else(|| Malformed::new(field, "is missing").into())
}

/// The code and the namespace of a form.
fn sent(asked: &Asked<'_>) -> Result<(Namespace, UserCode), Failure> {
    let namespace = required(asked.form, NAMESPACE)?;
    Ok((namespace, required(asked.form, USER_CODE)?))
}

/// The form again, with what was wrong; what is no answer to a code goes on as it is.
fn again(visit: Visit<'_>, failure: Failure) -> Result<Answer, Failure> {
    if !matches!(
        failure.code,
        Code::NotFound | Code::Conflict | Code::RateLimited
    ) {
        return Err(failure);
    }
    let looked = Looked::of(&visit.snapshot, &visit.roles, &visit.form)?;
    let code = visit.form.text(USER_CODE).unwrap_or_default();
    let page = AskCode {
        code: Shown::of(code),
        frame: visit.frame,
        choices: looked.all,
        problem: Some(Shown::of(&failure.detail)),
    };
    Ok(Answer::page(&page)?.refusing(&failure))
}

/// `POST /device`.
pub(super) struct Show;

impl Page for Show {
    type Op = DeviceGrantShow;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/device";
    const PLACE: Place = Place::Device;
    const FIELDS: &'static [&'static str] = &[USER_CODE, NAMESPACE];

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let (namespace, code) = sent(asked)?;
        Ok(DeviceGrantShow { namespace, code })
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        match show_permitted(&visit.context, &permit) {
            Ok(grant) => {
                let DeviceGrantShow { namespace, code } = permit.op();
                let now = visit.context.input.now;
                let waits = grant.state == DeviceGrantState::Pending;
                let to = (namespace, grant.legacy);
                let answering = waits.then(|| Answering::of(&visit, permit.caller(), to));
                let mut page = shown(visit.frame, (namespace, code), &grant, now);
                page.is_here = answering.as_ref().is_some_and(Answering::is_here);
                page.answering = answering;
                Answer::page(&page)
            }
            Err(failure) => again(visit, failure),
        }
    }
}

pub(super) fn shown(
    frame: Frame,
    (namespace, code): (&Namespace, &UserCode),
    grant: &DeviceGrant,
    now: Timestamp,
) -> Device {
    Device {
        frame,
        namespace: Shown::of(namespace),
        code: code.to_string(),
        host: Shown::of(&grant.host),
        from: grant
            .from
            .map_or_else(|| Shown::of("this machine"), Shown::of),
        device: grant.device.to_string(),
        fingerprint: grant.fingerprint.clone(),
        legacy: grant.legacy,
        asked: Moment::of(grant.asked, now),
        expires: Moment::of(grant.expires, now),
        state: match grant.state {
            DeviceGrantState::Pending => "waits for an answer",
            DeviceGrantState::Approved => "is approved",
            DeviceGrantState::Denied => "is denied",
            DeviceGrantState::Joined if grant.legacy => "has logged in",
            DeviceGrantState::Joined => "has joined",
        },
        is_pending: grant.state == DeviceGrantState::Pending,
        becomes: None,
        answering: None,
        is_here: false,
    }
}

/// `POST /device/deny`.
pub(super) struct Deny;

impl Page for Deny {
    type Op = DeviceGrantDeny;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/device/deny";
    const PLACE: Place = Place::Device;
    const FIELDS: &'static [&'static str] = &[USER_CODE, NAMESPACE];

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let (namespace, code) = sent(asked)?;
        Ok(DeviceGrantDeny { namespace, code })
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let (namespace, text) = (permit.op().namespace.clone(), permit.op().code.to_string());
        match deny_permitted(&visit.context, permit).await {
            Ok(grant) => {
                let now = visit.context.input.now;
                let code: UserCode = text.parse()?;
                let page = shown(visit.frame, (&namespace, &code), &grant, now);
                Answer::page(&page)
            }
            Err(failure) => again(visit, failure),
        }
    }
}
