//! The AWS Key Management Service, or what speaks as it does: `Encrypt` and `Decrypt` with
//! an encryption context, signed with keys of a credentials file.

use super::sigv4::{Scope, Signed, amz_date, authorization};
use procura_client::{ClientError, ServiceAnswer, Target};
use procura_types::encoding::{b64_standard, from_b64_any};
use procura_types::wire::Wrapper;
use procura_types::{Clock, Duration, Secret, SecretBytes};
use procura_vault::{Credentials, Payload, Place, WrapError, Wrapped, Wraps};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(10);
/// The longest answer: a ciphertext of 64 bytes and the names of a key take some hundred.
const LONGEST: usize = 64 * 1024;
const SERVICE: &str = "kms";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Wraps with keys of KMS.
pub(super) struct Kms {
    clock: Arc<dyn Clock>,
}

impl Kms {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

/// Access keys, in the form of the file that AWS's own tools read.
struct AccessKeys {
    id: String,
    secret: Secret<String>,
    session_token: Option<Secret<String>>,
}

impl AccessKeys {
    /// Reads the section `[default]`, or the one that there is.
    fn parse(text: &str) -> Result<Self, WrapError> {
        let bad = |what: &str| {
            WrapError::BadCredentials(format!(
                "{what}; the file has [default], aws_access_key_id = … and aws_secret_access_key = …"
            ))
        };
        let mut sections: Vec<(String, BTreeMap<String, Secret<String>>)> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name = name
                    .strip_suffix(']')
                    .ok_or_else(|| bad("a section does not end"))?;
                sections.push((name.trim().to_owned(), BTreeMap::new()));
                continue;
            }
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| bad("a line is neither a section nor NAME = VALUE"))?;
            if sections.is_empty() {
                sections.push(("default".to_owned(), BTreeMap::new()));
            }
            if let Some((_, values)) = sections.last_mut() {
                let value = Secret::new(value.trim().to_owned());
                values.insert(name.trim().to_ascii_lowercase(), value);
            }
        }
        let only = sections.len() == 1;
        let mut values = sections
            .into_iter()
            .find(|(name, _)| only || name == "default")
            .map(|(_, values)| values)
            .ok_or_else(|| bad("there is no section [default]"))?;
        let mut take = |name: &str| {
            values
                .remove(name)
                .filter(|value| !value.expose().is_empty())
        };
        let id = take("aws_access_key_id").ok_or_else(|| bad("aws_access_key_id is missing"))?;
        let secret =
            take("aws_secret_access_key").ok_or_else(|| bad("aws_secret_access_key is missing"))?;
        let session_token = take("aws_session_token");
        let sendable = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic());
        let token = session_token.as_ref().map(|token| token.expose().as_str());
        if !sendable(id.expose()) || !token.is_none_or(sendable) {
            return Err(bad("a value has characters that no access key has"));
        }
        Ok(Self {
            id: id.expose().clone(),
            secret,
            session_token,
        })
    }
}

/// Where a key is.
struct At<'a> {
    key: &'a str,
    region: &'a str,
    endpoint: Option<&'a str>,
    ca_pem: Option<&'a str>,
}

impl At<'_> {
    fn target(&self) -> Result<Target, WrapError> {
        let region = self.region;
        let form = region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if region.is_empty() || region.len() > 32 || !form {
            return Err(WrapError::Unfit("the region has no known form".to_owned()));
        }
        let url = match self.endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None if region.starts_with("cn-") => format!("https://kms.{region}.amazonaws.com.cn/"),
            None => format!("https://kms.{region}.amazonaws.com/"),
        };
        let target = Target::parse(&url)
            .map_err(|error| WrapError::Unfit(format!("the endpoint: {error}")))?;
        if !target.is_private() {
            return Err(WrapError::Unfit(
                "the endpoint is reached without TLS, and is not on this machine".to_owned(),
            ));
        }
        if target.path() != "/" || target.query().is_some() {
            return Err(WrapError::Unfit(
                "the endpoint is an address without a path".to_owned(),
            ));
        }
        Ok(target)
    }
}

fn at(by: &Wrapper) -> Result<At<'_>, WrapError> {
    let Wrapper::Kms {
        key,
        region,
        endpoint,
        ca_pem,
    } = by
    else {
        return Err(WrapError::other_kind());
    };
    Ok(At {
        key,
        region,
        endpoint: endpoint.as_deref(),
        ca_pem: ca_pem.as_deref(),
    })
}

/// What both calls say of whom the key is for: it stands in AWS's own record, and what was
/// encrypted with it is decrypted with it alone.
fn context(place: &Place<'_>) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("procura:installation", place.installation.to_string()),
        ("procura:unseal-source", place.source.to_string()),
    ])
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
    key_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt<'a> {
    key_id: &'a str,
    ciphertext_blob: &'a str,
    encryption_context: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: Secret<String>,
    key_id: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// How a refusal begins of what was signed at another time than the service's: one name
/// stands for that and for a signature by another key.
const OTHER_TIME: [&str; 2] = ["Signature expired:", "Signature not yet current:"];

/// What a refusal says, by the name of the error, and by its text where one name has two
/// meanings: the text is the service's, and is not repeated.
fn refusal(answer: &ServiceAnswer) -> WrapError {
    let Refusal { kind, message } =
        serde_json::from_slice(answer.body.expose()).unwrap_or_default();
    // Some say the namespace before the name.
    let name: String = kind
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    let said = format!("{} {name}", answer.status);
    match name.as_str() {
        "InvalidCiphertextException" => WrapError::Refused,
        "IncorrectKeyException" | "NotFoundException" => WrapError::Another(format!(
            "the service has no such key, or it did not wrap this ({said})"
        )),
        "DisabledException" | "KMSInvalidStateException" => {
            WrapError::Denied(format!("the key is disabled, or is being deleted ({said})"))
        }
        "InvalidKeyUsageException" | "ValidationException" => {
            WrapError::Unfit(format!("the key cannot encrypt and decrypt so ({said})"))
        }
        "ExpiredTokenException" => WrapError::Unavailable(format!(
            "the session token has expired: whatever writes the file of credentials has to renew it ({said})"
        )),
        "InvalidSignatureException" | "SignatureDoesNotMatch"
            if OTHER_TIME.iter().any(|begin| message.starts_with(begin)) =>
        {
            other_time(&said)
        }
        "RequestExpired" => other_time(&said),
        "ThrottlingException"
        | "RequestAbortedException"
        | "RequestTimeoutException"
        | "LimitExceededException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "KeyUnavailableException" => {
            WrapError::Unavailable(format!("the service cannot now ({said})"))
        }
        _ if answer.status >= 500 || answer.status == 429 => {
            WrapError::Unavailable(format!("the service cannot now ({said})"))
        }
        _ => WrapError::Denied(said),
    }
}

/// A clock that is put right in a moment, or has to be.
fn other_time(said: &str) -> WrapError {
    WrapError::Unavailable(format!(
        "this machine's clock and the service's differ ({said})"
    ))
}

fn not_understood() -> WrapError {
    WrapError::Unfit("the service gave an answer that has no known form".to_owned())
}

impl Kms {
    fn call<Ask: Serialize, Answer: for<'de> Deserialize<'de>>(
        &self,
        at: &At<'_>,
        credentials: &Credentials,
        operation: &str,
        ask: &Ask,
    ) -> Result<Answer, WrapError> {
        let text = credentials.need("a file with AWS access keys")?;
        let keys = AccessKeys::parse(text.expose())?;
        let target = at.target()?;
        let body = crate::reply::secret_json(ask).map_err(|_| not_understood())?;
        let date = amz_date(self.clock.now());
        let operation = format!("TrentService.{operation}");
        let mut headers = vec![
            ("content-type", CONTENT_TYPE),
            ("host", target.authority()),
            ("x-amz-date", &date),
        ];
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token", token.expose()));
        }
        headers.push(("x-amz-target", &operation));
        let scope = Scope {
            access_key: &keys.id,
            secret: &keys.secret,
            region: at.region,
            service: SERVICE,
            date: &date,
        };
        let signed = Signed {
            method: "POST",
            path: "/",
            headers: &headers,
            body: body.expose(),
        };
        let authorization = authorization(&scope, &signed)?;
        let mut sent: Vec<(String, String)> = headers
            .iter()
            .filter(|(name, _)| *name != "host")
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        sent.push(("authorization".to_owned(), authorization));
        let ca_pem = at.ca_pem.map(str::as_bytes);
        let answered = Handle::current().block_on(target.send("POST", &sent, body, ca_pem, CALL));
        let answer = answered.map_err(|error| match error {
            ClientError::Certificates(_) | ClientError::Address(_) => {
                WrapError::Unfit(error.to_string())
            }
            // Whoever answers there does not show that it is the service.
            ClientError::Unreachable {
                address,
                cause,
                advice: Some(_),
            } => WrapError::Another(format!("{address}: {cause}")),
            other => WrapError::Unavailable(other.to_string()),
        })?;
        if answer.body.expose().len() > LONGEST {
            return Err(not_understood());
        }
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        serde_json::from_slice(answer.body.expose()).map_err(|_| not_understood())
    }
}

impl Wraps for Kms {
    fn wrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        key: &Payload,
    ) -> Result<Wrapped, WrapError> {
        let at = at(by)?;
        let plaintext = Secret::new(b64_standard(key.expose()));
        let ask = Encrypt {
            key_id: at.key,
            plaintext: plaintext.expose(),
            encryption_context: context(place),
        };
        let answer: Encrypted = self.call(&at, credentials, "Encrypt", &ask)?;
        let bytes = from_b64_any(&answer.ciphertext_blob).ok_or_else(not_understood)?;
        // An alias can be turned to another key; the key itself is what wrapped.
        if !answer.key_id.starts_with("arn:") || answer.key_id.len() > 512 {
            return Err(not_understood());
        }
        Ok(Wrapped {
            by: Wrapper::Kms {
                key: answer.key_id,
                region: at.region.to_owned(),
                endpoint: at.endpoint.map(str::to_owned),
                ca_pem: at.ca_pem.map(str::to_owned),
            },
            bytes,
        })
    }

    fn unwrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        wrapped: &[u8],
    ) -> Result<SecretBytes, WrapError> {
        let at = at(by)?;
        let ciphertext = b64_standard(wrapped);
        let ask = Decrypt {
            key_id: at.key,
            ciphertext_blob: &ciphertext,
            encryption_context: context(place),
        };
        let answer: Decrypted = self.call(&at, credentials, "Decrypt", &ask)?;
        if answer.key_id != at.key {
            return Err(WrapError::Another(
                "the service decrypted with another key than the one that wrapped".to_owned(),
            ));
        }
        from_b64_any(answer.plaintext.expose())
            .map(Secret::new)
            .ok_or_else(not_understood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_keys_are_read_as_the_tools_of_aws_read_them() {
        let keys = AccessKeys::parse(
            "# of the vault\n[other]\naws_access_key_id=A\naws_secret_access_key=B\n\n[default]\n\
             aws_access_key_id = AKIDEXAMPLE\nAWS_SECRET_ACCESS_KEY = a/b=c\naws_session_token=t\n",
        )
        .unwrap();
        assert_eq!(keys.id, "AKIDEXAMPLE");
        assert_eq!(keys.secret.expose(), "a/b=c");
        assert_eq!(keys.session_token.unwrap().expose(), "t");
        let bare = AccessKeys::parse("aws_access_key_id=A\naws_secret_access_key=B").unwrap();
        assert!(bare.session_token.is_none());
        for (text, why) in [
            ("", "there is no section [default]"),
            (
                "[default]\naws_access_key_id=A",
                "aws_secret_access_key is missing",
            ),
            (
                "[default]\naws_secret_access_key=A",
                "aws_access_key_id is missing",
            ),
            ("[default\n", "a section does not end"),
            ("[a]\nx=1\n[b]\ny=1", "there is no section [default]"),
            (
                "AKID secret",
                "a line is neither a section nor NAME = VALUE",
            ),
            (
                "aws_access_key_id=A B\naws_secret_access_key=B",
                "a value has characters that no access key has",
            ),
        ] {
            let error = AccessKeys::parse(text).err().unwrap();
            let expected = format!(
                "{why}; the file has [default], aws_access_key_id = … and aws_secret_access_key = …"
            );
            assert_eq!(error, WrapError::BadCredentials(expected), "{text}");
        }
    }

    /// Bodies as the service answers them (common errors, and the errors of Decrypt, in its
    /// reference; of signatures, "Troubleshoot signed requests for AWS APIs").
    #[test]
    fn what_passes_is_told_from_what_is_denied() {
        let away = |text: &str| WrapError::Unavailable(text.to_owned());
        let clock = "this machine's clock and the service's differ";
        for (status, body, expected) in [
            (
                400,
                r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#,
                away(
                    "the session token has expired: whatever writes the file of credentials has to renew it (400 ExpiredTokenException)",
                ),
            ),
            (
                400,
                r#"{"__type":"InvalidSignatureException","message":"Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T142000Z - 5 min.)"}"#,
                away(&format!("{clock} (400 InvalidSignatureException)")),
            ),
            (
                403,
                r#"{"__type":"com.amazon.coral.service#InvalidSignatureException","Message":"Signature not yet current: 20260627T150000Z is still later than 20260627T143500Z (20260627T143000Z + 5 min.)"}"#,
                away(&format!("{clock} (403 InvalidSignatureException)")),
            ),
            (
                400,
                r#"{"__type":"RequestExpired","message":"Request has expired."}"#,
                away(&format!("{clock} (400 RequestExpired)")),
            ),
            (
                408,
                r#"{"__type":"RequestTimeoutException"}"#,
                away("the service cannot now (408 RequestTimeoutException)"),
            ),
            (
                400,
                r#"{"__type":"InvalidSignatureException","message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#,
                WrapError::Denied("400 InvalidSignatureException".to_owned()),
            ),
            (
                400,
                r#"{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#,
                WrapError::Denied("400 UnrecognizedClientException".to_owned()),
            ),
            (
                400,
                r#"{"__type":"AccessDeniedException","Message":"Signature expired: is what a stranger's text says"}"#,
                WrapError::Denied("400 AccessDeniedException".to_owned()),
            ),
            (403, "<html>", WrapError::Denied("403 ".to_owned())),
            (
                400,
                r#"{"__type":"InvalidCiphertextException"}"#,
                WrapError::Refused,
            ),
        ] {
            let answer = ServiceAnswer {
                status,
                phrase: "",
                headers: Vec::new(),
                body: Secret::new(body.as_bytes().to_vec()),
            };
            assert_eq!(refusal(&answer), expected, "{body}");
        }
    }

    #[test]
    fn the_service_is_reached_so_that_nobody_reads_along() {
        let at = |region, endpoint| At {
            key: "k",
            region,
            endpoint,
            ca_pem: None,
        };
        for (region, endpoint, authority) in [
            ("eu-central-1", None, "kms.eu-central-1.amazonaws.com"),
            ("cn-north-1", None, "kms.cn-north-1.amazonaws.com.cn"),
            ("x", Some("https://kms.example:8443"), "kms.example:8443"),
            ("x", Some("http://127.0.0.1:5000"), "127.0.0.1:5000"),
        ] {
            let target = at(region, endpoint).target().unwrap();
            assert_eq!(target.authority(), authority);
        }
        for (region, endpoint) in [
            ("", None),
            ("eu.example/", None),
            ("x", Some("http://kms.example")),
            ("x", Some("https://kms.example/path")),
            ("x", Some("https://kms.example/?q")),
            ("x", Some("kms.example")),
        ] {
            let error = at(region, endpoint).target().err().unwrap();
            assert!(
                matches!(error, WrapError::Unfit(_)),
                "{region} {endpoint:?}"
            );
        }
    }
}
