//! How a service lets `hmac-v1` in.

use crate::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a service that switched `hmac-v1` on wants it (`protocol.md` §3.2). The profile
/// protects the body of a request and nothing else, so that it is off where a service
/// says nothing.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stated")]
pub struct HmacV1Terms {
    /// How far clocks may differ each way: 30 to 120 seconds.
    window_seconds: u64,
    /// Whether a request has to have a nonce.
    nonce_required: bool,
}

impl HmacV1Terms {
    /// The window where none is stated.
    pub const DEFAULT_WINDOW: u64 = 60;

    /// With this window each way, in seconds, and with or without the rule that there
    /// has to be a nonce.
    ///
    /// # Errors
    /// [`Malformed`], naming `window_seconds`, for fewer than 30 or more than 120.
    pub const fn new(window_seconds: u64, nonce_required: bool) -> Result<Self, Malformed> {
        if window_seconds < 30 || window_seconds > 120 {
            return Err(Malformed::new("window_seconds", "must be from 30 to 120"));
        }
        Ok(Self {
            window_seconds,
            nonce_required,
        })
    }

    /// How far clocks may differ each way, in seconds.
    #[must_use]
    pub const fn window_seconds(self) -> u64 {
        self.window_seconds
    }

    /// Whether a request has to have a nonce.
    #[must_use]
    pub const fn nonce_required(self) -> bool {
        self.nonce_required
    }
}

/// As in the record: `60s`, or `60s,nonce` where one has to be there.
impl fmt::Display for HmacV1Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nonce = if self.nonce_required { ",nonce" } else { "" };
        write!(f, "{}s{nonce}", self.window_seconds)
    }
}

/// What was stated, not yet looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    #[serde(default = "default_window")]
    window_seconds: u64,
    #[serde(default)]
    nonce_required: bool,
}

const fn default_window() -> u64 {
    HmacV1Terms::DEFAULT_WINDOW
}

impl TryFrom<Stated> for HmacV1Terms {
    type Error = Malformed;
    fn try_from(stated: Stated) -> Result<Self, Malformed> {
        Self::new(stated.window_seconds, stated.nonce_required)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_bounds_and_defaults() {
        for (text, read) in [
            ("{}", "60s"),
            (r#"{"window_seconds":30}"#, "30s"),
            (
                r#"{"window_seconds":120,"nonce_required":true}"#,
                "120s,nonce",
            ),
        ] {
            let terms: HmacV1Terms = serde_json::from_str(text).unwrap();
            assert_eq!(terms.to_string(), read, "{text}");
            let again = serde_json::to_string(&terms).unwrap();
            assert_eq!(
                serde_json::from_str::<HmacV1Terms>(&again).unwrap(),
                terms,
                "{text}"
            );
        }
        for text in [
            r#"{"window_seconds":29}"#,
            r#"{"window_seconds":121}"#,
            r#"{"window":60}"#,
            r#"{"window_seconds":-60}"#,
        ] {
            assert!(serde_json::from_str::<HmacV1Terms>(text).is_err(), "{text}");
        }
    }
}
