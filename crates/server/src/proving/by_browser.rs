//! What a page of another site can have a browser send: requests without a proof, from the
//! address of whoever looks at that page, and of everybody who shares it.

use super::{Lines, http_resource};
use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use crate::serve::Input;
use procura_proof::foreign::is_by_browser;
use procura_record::Refusal as Recorded;

/// The word in the record and in the answer.
const FROM_BROWSER: &str = "from_browser";

/// Refuses what a browser sent and nobody proved, before anything of it is looked at. It
/// is held against nobody: any page could make the address wait of whoever opens it. Who
/// writes such a field by themselves tries nothing by it, no code either; and a page cannot
/// write the fields of a proof, so who shows one is judged by that.
pub(crate) fn not_by_browser(app: &App, open: &Open, input: &Input) -> Result<(), Failure> {
    if !is_by_browser(&Lines(&input.parts.headers)) {
        return Ok(());
    }
    app.metrics.refused(FROM_BROWSER);
    open.recorder.refuse(Recorded {
        resource: Some(http_resource(&input.parts.uri)),
        ip: input.peer,
        ..Recorded::of_nobody("authenticate", FROM_BROWSER, input.now, "none", input.trace)
    });
    Err(Failure::new(
        Code::Forbidden,
        "A browser sent this, without a proof; this is for programs, which sign what they send.",
    )
    .with_reason(FROM_BROWSER))
}

#[cfg(test)]
mod tests {
    use crate::proving::Lines;
    use http::{HeaderMap, HeaderValue};
    use procura_proof::foreign::is_by_browser;

    fn is(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        is_by_browser(&Lines(&headers))
    }

    #[test]
    fn a_browser_says_that_it_is_one_and_has_no_proof() {
        let accept = ("accept", "*/*");
        for by in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", ""),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(is(&[by, accept]), "{by:?}");
            for proof in ["signature-input", "signature", "x-agent-id", "x-agent"] {
                assert!(!is(&[by, (proof, "x")]), "{by:?} {proof}");
            }
        }
        assert!(!is(&[accept]));
        assert!(!is(&[("sec-fetch-mode", "cors"), ("referer", "x")]));
    }
}
