//! The dial (`protocol.md` §3.5): what is done with a request to a service that
//! bears no valid proof, for the whole service and for routes of it.

mod exception;
mod hmac_v1;
mod path;
#[cfg(test)]
mod tests;

pub use exception::{Exception, ExceptionReason, Exceptions, MAX_EXCEPTIONS};
pub use hmac_v1::HmacV1Terms;
pub(crate) use path::is_route_prefix;

use crate::{Malformed, Rate, RateLimit, RoutePrefix};
use path::Spelled;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

/// Most routes of one service.
pub const MAX_ROUTES: usize = 64;

/// Most bytes of all prefixes of one list together: a service has to fit into one
/// row, and what changed of it into one ledger entry, of 64 KiB each.
const MAX_PREFIXES: usize = 4096;

/// What is done with a request that bears no valid proof. Ascending by strictness.
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(rename_all = "lowercase")
)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum Mode {
    /// Nothing is checked.
    #[default]
    Off,
    /// All is checked and let through; what would be refused is written down.
    Observe,
    /// It is refused.
    Enforce,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Observe, Self::Enforce];

    /// The word, as in `AUTH_MODE`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = Malformed;
    /// Exactly one of the three words: a mode that somebody meant and mistyped
    /// must not become another, so nothing else is guessed at.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(Malformed::new("mode", "must be off, observe or enforce"))
    }
}

impl TryFrom<String> for Mode {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.as_str().to_owned()
    }
}

/// What holds for the paths at and below a prefix. What a route does not state is
/// stated by the next shorter one that matches, and at last by the service.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The paths.
    pub prefix: RoutePrefix,
    /// The mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether bodies are passed on while they arrive, checked at their end, instead
    /// of being read and checked whole before (`protocol.md` §3.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether bodies are let through that the proof does not cover. Whoever is
    /// between the caller and the service can change them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub danger_unsigned_body: Option<bool>,
    /// How often requests of all callers together go on to the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateLimit>,
}

impl Route {
    /// A route that states nothing yet.
    #[must_use]
    pub const fn new(prefix: RoutePrefix) -> Self {
        Self {
            prefix,
            mode: None,
            stream: None,
            danger_unsigned_body: None,
            rate: None,
        }
    }
}

/// The routes of a service: at most [`MAX_ROUTES`], each prefix once in whatever case,
/// ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Route>", into = "Vec<Route>")]
pub struct Routes(Vec<Route>);

impl TryFrom<Vec<Route>> for Routes {
    type Error = Malformed;
    fn try_from(mut routes: Vec<Route>) -> Result<Self, Malformed> {
        routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        let wrong = |problem| Err(Malformed::new("routes", problem));
        if routes.len() > MAX_ROUTES {
            return wrong("must be at most 64");
        }
        let mut seen = HashSet::new();
        let mut is_new = |route: &Route| seen.insert(route.prefix.as_str().to_ascii_lowercase());
        if !routes.iter().all(&mut is_new) {
            return wrong("must have each prefix at most once, whatever its case");
        }
        if !fit(routes.iter().map(|route| &route.prefix)) {
            return wrong("must have prefixes of at most 4096 bytes together");
        }
        Ok(Self(routes))
    }
}

impl From<Routes> for Vec<Route> {
    fn from(routes: Routes) -> Self {
        routes.0
    }
}

impl Routes {
    /// The routes, ascending by prefix.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The route of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: &RoutePrefix) -> Option<&Route> {
        self.0.iter().find(|route| route.prefix == *prefix)
    }

    /// These routes with `route` in the place of the one with its prefix, if any.
    ///
    /// # Errors
    /// [`Malformed`] with the field `routes` when there are too many.
    pub fn with(self, route: Route) -> Result<Self, Malformed> {
        let mut routes = self.without(&route.prefix).0;
        routes.push(route);
        routes.try_into()
    }

    /// These routes without the one of exactly this prefix.
    #[must_use]
    pub fn without(mut self, prefix: &RoutePrefix) -> Self {
        self.0.retain(|route| route.prefix != *prefix);
        self
    }
}

/// Whether prefixes are short enough together.
fn fit<'a>(prefixes: impl Iterator<Item = &'a RoutePrefix>) -> bool {
    prefixes.map(|prefix| prefix.as_str().len()).sum::<usize>() <= MAX_PREFIXES
}

/// The dial of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dial {
    /// For paths that no route speaks of; `None` was never set and is [`Mode::Off`].
    pub mode: Option<Mode>,
    /// For the paths of routes.
    pub routes: Routes,
}

/// What of a request decides whether it has to be proven.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method as sent.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// Whether there are both an `Origin` and an `Access-Control-Request-Method`
    /// field, which with `OPTIONS` make a preflight (Fetch, "CORS-preflight request").
    pub cors: bool,
    /// Whether it wants an answer and nothing else: it brings no body and no `Upgrade`.
    pub bare: bool,
}

impl Asked<'_> {
    /// Whether this is never gated: the two paths that watch a service, and what a
    /// browser asks before it sends anything.
    fn is_never_gated(&self) -> bool {
        match self.method {
            _ if !self.bare => false,
            "GET" => matches!(self.path, "/health" | "/metrics"),
            "OPTIONS" => self.cors,
            _ => false,
        }
    }
}

/// Who said which mode holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// Nobody can: the request is never gated.
    NeverGated,
    /// `AUTH_MODE` in the environment.
    Environment,
    /// A route.
    Route,
    /// The service's own mode.
    Service,
    /// Nobody; the default.
    Default,
    /// The path has another meaning to some programs than to others, so it gets the
    /// strictest mode of all.
    UnclearPath,
}

/// What holds for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The mode.
    pub mode: Mode,
    /// Who said so.
    pub by: DecidedBy,
    /// The longest prefix that matches.
    pub route: Option<&'a RoutePrefix>,
    /// See [`Route::stream`].
    pub stream: bool,
    /// See [`Route::danger_unsigned_body`].
    pub danger_unsigned_body: bool,
    /// The route that states how often requests go on, and how often that is. All its
    /// paths are counted together.
    pub rate: Option<(&'a RoutePrefix, Rate)>,
}

impl Dial {
    /// What holds for a request: `AUTH_MODE` of the environment over what is stored
    /// over [`Mode::Off`]. The environment's word is for every path, routes included,
    /// so that one word on the machine brings a service back or closes it; whether
    /// bodies stream stays as stored.
    #[must_use]
    pub fn resolve(&self, environment: Option<Mode>, asked: &Asked<'_>) -> Setting<'_> {
        let stored = self.at(asked.path);
        if asked.is_never_gated() {
            return Setting {
                mode: Mode::Off,
                by: DecidedBy::NeverGated,
                rate: None,
                ..stored
            };
        }
        match environment {
            Some(mode) => Setting {
                mode,
                by: DecidedBy::Environment,
                ..stored
            },
            None => stored,
        }
    }

    /// What is stored for a path as sent, without the query. Of the routes that
    /// match, on the borders of segments, the longest that states a thing decides it.
    #[must_use]
    pub fn at(&self, path: &str) -> Setting<'_> {
        let Some(path) = Spelled::read(path) else {
            return self.unclear();
        };
        // Of two prefixes that match one path, the longer begins with the shorter and
        // so comes after it.
        let matching = || {
            let routes = self.routes.iter().rev();
            routes.filter(|route| path.is_below(&route.prefix))
        };
        let longest = matching().next().map(|route| &route.prefix);
        // Some programs do not look at the case of letters, or at what follows a dot.
        let mut prefixes = self.routes.iter().map(|route| &route.prefix);
        if prefixes.any(|prefix| path.may_be_below(prefix) && !path.is_below(prefix)) {
            return self.unclear();
        }
        let (mode, by) = match (matching().find_map(|route| route.mode), self.mode) {
            (Some(mode), _) => (mode, DecidedBy::Route),
            (None, Some(mode)) => (mode, DecidedBy::Service),
            (None, None) => (Mode::default(), DecidedBy::Default),
        };
        Setting {
            mode,
            by,
            route: longest,
            stream: matching().find_map(|route| route.stream).unwrap_or(false),
            danger_unsigned_body: matching()
                .find_map(|route| route.danger_unsigned_body)
                .unwrap_or(false),
            rate: matching()
                .find_map(|route| route.rate.map(|limit| (&route.prefix, limit)))
                .and_then(|(prefix, limit)| limit.rate().map(|rate| (prefix, rate))),
        }
    }

    /// What holds for a path that may be another one to whoever is behind the gate.
    fn unclear(&self) -> Setting<'_> {
        let routes = self.routes.iter().filter_map(|route| route.mode);
        Setting {
            mode: routes.chain(self.mode).max().unwrap_or_default(),
            by: DecidedBy::UnclearPath,
            route: None,
            stream: false,
            danger_unsigned_body: false,
            // The slowest as well, and counted with it: no spelling goes around it.
            rate: self
                .routes
                .iter()
                .filter_map(|route| Some((&route.prefix, route.rate?.rate()?)))
                .max_by_key(|(_, rate)| rate.interval()),
        }
    }
}
