//! What a service refuses, or would refuse, on purpose.

use super::path::Spelled;
use crate::{ForeignId, Malformed, RoutePrefix, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most exceptions of one service.
pub const MAX_EXCEPTIONS: usize = 32;

/// Callers whom the service may refuse: somebody looked at them and decided so. It
/// changes what `procura auth report` concludes, never what a gate lets through.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Who, by the id that the request names; anybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<ForeignId>,
    /// On which paths; all when absent. One of the two is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RoutePrefix>,
    /// Why, for people.
    pub reason: ExceptionReason,
    /// Until when; for good when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Exception {
    /// Whether it speaks of a caller and a path as sent.
    #[must_use]
    pub fn covers(&self, agent: Option<&ForeignId>, path: &str) -> bool {
        let who = self.agent.is_none() || self.agent.as_ref() == agent;
        let below = |prefix| Spelled::read(path).is_some_and(|path| path.is_below(prefix));
        who && self.route.as_ref().is_none_or(below)
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether both are about the same callers on the same paths.
    #[must_use]
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        self.agent == other.agent && self.route == other.route
    }
}

/// Why there is an exception: 1 to 200 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExceptionReason(String);

const REASON_RULE: &str = "must be 1 to 200 characters, without control characters";

impl ExceptionReason {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ExceptionReason {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        let length = text.chars().count();
        if (1..=200).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(Malformed::new("reason", REASON_RULE))
        }
    }
}

impl FromStr for ExceptionReason {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.to_owned().try_into()
    }
}

impl From<ExceptionReason> for String {
    fn from(reason: ExceptionReason) -> Self {
        reason.0
    }
}

impl fmt::Display for ExceptionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExceptionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ExceptionReason {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::text(REASON_RULE)
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ExceptionReason {
    fn name() -> std::borrow::Cow<'static, str> {
        "ExceptionReason".into()
    }
}

/// The exceptions of a service: at most [`MAX_EXCEPTIONS`], each about somebody or
/// some paths, no two about the same; in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Exception>", into = "Vec<Exception>")]
pub struct Exceptions(Vec<Exception>);

impl TryFrom<Vec<Exception>> for Exceptions {
    type Error = Malformed;
    fn try_from(exceptions: Vec<Exception>) -> Result<Self, Malformed> {
        let wrong = |problem| Err(Malformed::new("exceptions", problem));
        if exceptions.len() > MAX_EXCEPTIONS {
            return wrong("must be at most 32");
        }
        let of_all = |one: &Exception| one.agent.is_none() && one.route.is_none();
        if exceptions.iter().any(of_all) {
            return wrong("must each name an agent, a route, or both");
        }
        let mut rest = exceptions.iter();
        while let Some(one) = rest.next() {
            if rest.clone().any(|other| other.is_about_the_same(one)) {
                return wrong("must have each agent and route at most once");
            }
        }
        if !super::fit(exceptions.iter().filter_map(|one| one.route.as_ref())) {
            return wrong("must have routes of at most 4096 bytes together");
        }
        Ok(Self(exceptions))
    }
}

impl From<Exceptions> for Vec<Exception> {
    fn from(exceptions: Exceptions) -> Self {
        exceptions.0
    }
}

impl Exceptions {
    /// The exceptions, in the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Exception> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
