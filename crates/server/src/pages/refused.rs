//! Forms that are none of ours.

use super::site::Foreign;
use crate::app::{App, Open};
use crate::input::Input;
use crate::problem::{Code, Failure};
use crate::proving::http_resource;
use procura_proof::Caller;
use procura_record::Refusal;

/// What stands in the record of a form that was refused before it was known what it does.
pub(crate) const ACTION: &str = "web_login.form";

/// Why a form is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The browser does not say that one of our pages sent it.
    Foreign(Foreign),
    /// It does not carry what our forms carry.
    NoToken,
    /// What it carries was given to another web login, or to this browser before another
    /// sign-in.
    OtherToken,
    /// The browser brings nothing that the form was given to.
    NoVisit,
}

impl Unfit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign(foreign) => foreign.as_str(),
            Self::NoToken => "csrf_missing",
            Self::OtherToken => "csrf_wrong",
            Self::NoVisit => "no_visit",
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Foreign(_) => {
                "The browser says that this was not sent by a page of this server, so nothing was done."
            }
            Self::NoToken | Self::OtherToken => {
                "The form is not one that this web login was given, so nothing was done. It may be from before you signed in."
            }
            Self::NoVisit => {
                "The browser did not bring the cookie that the form was given with, so nothing was done."
            }
        }
    }
}

/// Records a form that is not taken, and words it.
pub(super) fn refuse_form(
    app: &App,
    open: &Open,
    input: &Input,
    caller: Option<&Caller>,
    unfit: Unfit,
) -> Failure {
    app.metrics.refused(Code::FormRefused.as_str());
    let reason = unfit.as_str();
    let profile = caller.map_or("none", |caller| caller.profile().as_str());
    open.recorder.refuse(Refusal {
        actor: caller.map(|caller| *caller.actor()),
        owner: caller.map(|caller| *caller.owner()),
        resource: Some(http_resource(&input.parts.uri)),
        ip: input.peer,
        ..Refusal::of_nobody(ACTION, reason, input.now, profile, input.trace)
    });
    Failure::new(Code::FormRefused, unfit.detail()).with_reason(reason)
}
