//! Signatures of requests to AWS (Signature Version 4): HMAC-SHA256 over the request, with
//! a key that derives from the secret for one day, region and service.

use procura_crypto::{LockError, LockedKey, MacKey, sha256};
use procura_types::encoding::hex;
use procura_types::{Secret, Timestamp};

/// Who signs, for what.
pub(super) struct Scope<'a> {
    /// The id of the access key.
    pub(super) access_key: &'a str,
    /// Its secret.
    pub(super) secret: &'a Secret<String>,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// As [`amz_date`] writes it.
    pub(super) date: &'a str,
}

/// What is signed.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// As it is sent.
    pub(super) path: &'a str,
    /// By name, names in lower case and values without white space around them; `host`
    /// is among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// `YYYYMMDDTHHMMSSZ`.
pub(super) fn amz_date(time: Timestamp) -> String {
    let text = time.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let mut date: String = seconds
        .chars()
        .filter(|letter| letter.is_ascii_digit() || *letter == 'T')
        .collect();
    date.push('Z');
    date
}

fn sign(key: LockedKey, part: &[u8]) -> Result<LockedKey, LockError> {
    LockedKey::new(Secret::new(MacKey::from_locked(key).sign(&[part])))
}

/// The `Authorization` field.
///
/// # Errors
/// [`LockError`] when there is no locked memory for the keys.
pub(super) fn authorization(scope: &Scope<'_>, signed: &Signed<'_>) -> Result<String, LockError> {
    let day = scope.date.get(..8).unwrap_or_default();
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let headers: String = signed
        .headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!(
        "{}\n{}\n\n{headers}\n{names}\n{}",
        signed.method,
        signed.path,
        hex(&sha256(signed.body)),
    );
    let credential = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{credential}\n{}",
        scope.date,
        hex(&sha256(canonical.as_bytes()))
    );
    let mut first = Secret::new(Vec::with_capacity(4 + scope.secret.expose().len()));
    first.expose_mut().extend_from_slice(b"AWS4");
    first
        .expose_mut()
        .extend_from_slice(scope.secret.expose().as_bytes());
    let of_day = MacKey::from_bytes(first.expose())?.sign(&[day.as_bytes()]);
    let mut key = LockedKey::new(Secret::new(of_day))?;
    for part in [scope.region, scope.service, "aws4_request"] {
        key = sign(key, part.as_bytes())?;
    }
    let signature = hex(&MacKey::from_locked(key).sign(&[to_sign.as_bytes()]));
    Ok(format!(
        "AWS4-HMAC-SHA256 Credential={}/{credential}, SignedHeaders={names}, Signature={signature}",
        scope.access_key
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of AWS's own suite for signers.
    #[test]
    fn requests_are_signed_as_others_sign_them() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let scope = Scope {
            access_key: "AKIDEXAMPLE",
            secret: &secret,
            region: "us-east-1",
            service: "service",
            date: "20150830T123600Z",
        };
        let plain = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        for (method, headers, body, expected) in [
            (
                "GET",
                &plain[..],
                &b""[..],
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                &plain,
                b"",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                &form,
                b"Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let signed = Signed {
                method,
                path: "/",
                headers,
                body,
            };
            let authorization = authorization(&scope, &signed).unwrap();
            assert!(
                authorization.ends_with(&format!("Signature={expected}")),
                "{authorization}"
            );
        }
    }

    /// As `botocore` 1.44.5 signs it.
    #[test]
    fn calls_of_the_key_management_service_are_signed_as_its_own_tools_do() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let scope = Scope {
            access_key: "AKIDEXAMPLE",
            secret: &secret,
            region: "eu-central-1",
            service: "kms",
            date: "20150830T123600Z",
        };
        let signed = Signed {
            method: "POST",
            path: "/",
            headers: &[
                ("content-type", "application/x-amz-json-1.1"),
                ("host", "kms.eu-central-1.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
                ("x-amz-security-token", "token/example=="),
                ("x-amz-target", "TrentService.Decrypt"),
            ],
            body: b"{\"KeyId\":\"k\"}",
        };
        assert_eq!(
            authorization(&scope, &signed).unwrap(),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=313e2b8b2e7b922b564ddc1d1682a75d887c1ee91720380a47bd92ff4a5ea7a6"
        );
    }

    #[test]
    fn dates_are_written_as_they_are_signed() {
        for (millis, expected) in [
            (0, "19700101T000000Z"),
            (1_440_938_160_000, "20150830T123600Z"),
            (1_440_938_160_999, "20150830T123600Z"),
        ] {
            assert_eq!(amz_date(Timestamp::from_millis(millis)), expected);
        }
    }
}
