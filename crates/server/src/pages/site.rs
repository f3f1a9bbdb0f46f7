//! Where a browser believes it is, and whether a form was sent from there.

use crate::app::{App, Open};
use crate::config::WebOrigin;
use crate::input::Input;
use crate::problem::Failure;
use crate::proving::addressed;
use http::{HeaderMap, header};

/// The field that says from which site a browser was led here (Fetch Metadata §2.3).
const FETCH_SITE: &str = "sec-fetch-site";

/// The origin of the pages, as the browser that asks sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    origin: String,
    /// Whether it is https.
    secure: bool,
}

/// Why a form was not sent by a page of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// No browser says from where.
    Origin,
    /// The browser says that it came from another site.
    Site,
}

impl Foreign {
    /// The word in the record.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "other_origin",
            Self::Site => "cross_site",
        }
    }
}

impl Site {
    /// Of a request, whose authority must be one of this server's.
    pub(super) fn of(app: &App, open: &Open, input: &Input) -> Result<Self, Failure> {
        let authority = addressed(app, open, input)?;
        Ok(Self::named(app, &authority))
    }

    fn named(app: &App, authority: &str) -> Self {
        let config = &app.config;
        let origin = config.web.origin.as_ref().map(WebOrigin::as_str);
        let mut urls = [origin, config.public_url.as_deref()].into_iter().flatten();
        let by_proxy = urls.any(|url| {
            url.strip_prefix("https://")
                .is_some_and(|rest| rest.trim_end_matches('/') == authority)
        });
        let secure = by_proxy || config.tls_cert.is_some();
        let scheme = if secure { "https" } else { "http" };
        Self {
            origin: format!("{scheme}://{authority}"),
            secure,
        }
    }

    /// Whether the browser came by TLS, so that a cookie is for TLS alone.
    pub(crate) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The origin, as browsers write it.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether what changes something was sent by one of our own pages. All browsers say
    /// of a POST which origin it is of (Fetch Standard §3.2), and most from which site
    /// (Fetch Metadata); what says neither is none.
    pub(super) fn is_own(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        let mut sites = headers.get_all(FETCH_SITE).iter();
        if let Some(site) = sites.next()
            && (site != "same-origin" || sites.next().is_some())
        {
            return Err(Foreign::Site);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if origin.as_bytes() == self.origin.as_bytes() => Ok(()),
            _ => Err(Foreign::Origin),
        }
    }
}

/// Whether a browser was led here from elsewhere: then it leaves the cookie of its web
/// login out, and sends it once it is led on from here.
pub(super) fn came_from_elsewhere(headers: &HeaderMap) -> bool {
    headers
        .get(FETCH_SITE)
        .is_some_and(|site| site == "cross-site" || site == "same-site")
}

#[cfg(test)]
impl Site {
    /// Out of nothing.
    pub(super) fn fake(secure: bool) -> Self {
        Self {
            origin: "https://procura.example".to_owned(),
            secure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn own(fields: &[(&'static str, &'static str)]) -> Result<(), Foreign> {
        let site = Site::fake(true);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        site.is_own(&headers)
    }

    #[test]
    fn a_form_says_that_it_is_ours() {
        let ours = ("origin", "https://procura.example");
        assert_eq!(own(&[ours]), Ok(()));
        assert_eq!(own(&[ours, ("sec-fetch-site", "same-origin")]), Ok(()));
        for other in ["cross-site", "same-site", "none", "", "Same-Origin"] {
            let fields = [ours, ("sec-fetch-site", other)];
            assert_eq!(own(&fields), Err(Foreign::Site), "{other}");
        }
        let twice = ("sec-fetch-site", "same-origin");
        assert_eq!(own(&[ours, twice, twice]), Err(Foreign::Site));
        for other in [
            "null",
            "http://procura.example",
            "https://procura.example:8443",
            "https://procura.example.evil",
            "https://procura.example/",
            "",
        ] {
            assert_eq!(own(&[("origin", other)]), Err(Foreign::Origin), "{other}");
        }
        assert_eq!(own(&[]), Err(Foreign::Origin));
        assert_eq!(own(&[twice]), Err(Foreign::Origin));
        assert_eq!(own(&[ours, ours]), Err(Foreign::Origin));
    }
}
