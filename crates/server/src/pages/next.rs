//! Where somebody wanted to go before they signed in.

use super::PATHS;
use http::Uri;

/// The longest that is remembered.
const LONGEST: usize = 256;

/// A page of ours: a path and perhaps a query, and nothing that a browser could take for
/// another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next(String);

impl Next {
    /// What a form or an address says, if it is one of our pages.
    pub(super) fn read(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.?=&".contains(&byte);
        let rest = text.strip_prefix('/')?;
        let first = rest.split(['/', '?']).next()?;
        let is_ours =
            PATHS.contains(&first) && !matches!(first, "sign-in" | "sign-out" | "assets" | "oidc");
        let fits = text.len() <= LONGEST && text.bytes().all(plain) && !text.contains("//");
        (is_ours && fits).then(|| Self(text.to_owned()))
    }

    /// The page that a request asks for.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        Self::read(uri.path_and_query()?.as_str())
    }

    /// The path.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where to sign in, to go on there afterwards.
    pub(super) fn sign_in(next: Option<&Self>) -> String {
        let Some(next) = next else {
            return "/sign-in".to_owned();
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("next", next.as_str());
        format!("/sign-in?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::Next;

    #[test]
    fn it_is_one_of_our_pages() {
        for good in [
            "/requests",
            "/requests/shop/01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11",
            "/grants?namespace=shop&after=x",
            "/device?user_code=WDJB-MJHT",
        ] {
            assert_eq!(Next::read(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "requests",
            "//evil.example",
            "//evil.example/requests",
            "/\\evil.example",
            "/requests//evil.example",
            "https://evil.example/requests",
            "/requests\\@evil",
            "/requests?x=%0d%0aset-cookie:",
            "/requests\r\nx: y",
            "/requestsx",
            "/v1/seal",
            "/sign-in",
            "/sign-out",
            "/oidc/work/callback?code=x&state=y",
            "/assets/style.css",
            "/requests#x",
            "/requests?\u{202e}",
            &format!("/requests?{}", "x".repeat(256)),
        ] {
            assert!(Next::read(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn it_stands_in_the_address_of_the_sign_in() {
        let next = Next::read("/grants?namespace=shop&after=x");
        assert_eq!(
            Next::sign_in(next.as_ref()),
            "/sign-in?next=%2Fgrants%3Fnamespace%3Dshop%26after%3Dx"
        );
        assert_eq!(Next::sign_in(None), "/sign-in");
    }
}
