//! One call: a request built, proven, sent, and its answer read into a type.

use crate::client::Client;
use crate::part_of;
use crate::proving::{self, Proof};
use crate::transport::{self, Answer, Transport};
use crate::{ClientError, Query};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use procura_proof::{AnswerView, RequestView};
use procura_types::wire::Problem;
use procura_types::{Duration, Secret, SecretBytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The media type of every body that we send.
const JSON: &str = "application/json";
/// RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// What is asked, before it is known how it will be proven.
pub(crate) struct Ask<'a, Req: ?Sized> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a Query,
    pub(crate) body: Option<&'a Req>,
    /// A token that is shown beside the proof, which covers it.
    pub(crate) token: Option<&'a Secret<String>>,
}

impl<'a, Req: ?Sized> Ask<'a, Req> {
    pub(crate) const fn new(
        method: Method,
        path: &'a str,
        query: &'a Query,
        body: Option<&'a Req>,
    ) -> Self {
        Self {
            method,
            path,
            query,
            body,
            token: None,
        }
    }

    /// The same, showing this token.
    pub(crate) const fn showing(mut self, token: &'a Secret<String>) -> Self {
        self.token = Some(token);
        self
    }
}

impl Client {
    /// Makes a call that needs no proof.
    pub(crate) async fn open<Req, Ans>(&self, ask: Ask<'_, Req>) -> Result<Ans, ClientError>
    where
        Req: Serialize + ?Sized,
        Ans: DeserializeOwned,
    {
        let (answer, _) = self.exchange(&ask, Proof::None).await?;
        read(&self.inner.transport, &answer)
    }

    /// Makes a call with a proof; also returns the nonce that it went out
    /// with, which the server's own signatures refer to.
    pub(crate) async fn exchange<Req>(
        &self,
        ask: &Ask<'_, Req>,
        proof: Proof<'_>,
    ) -> Result<(Answer, Option<String>), ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let (request, nonce) = self.prepare(ask, &proof)?;
        let answer = self.inner.transport.send(request).await?;
        authenticate(&self.inner.transport, &proof, &answer)?;
        refuse(&self.inner.transport, &answer)?;
        Ok((answer, nonce))
    }

    /// Makes a call whose answer goes on, of this media type. The tag of an answer
    /// within a session covers its head then.
    pub(crate) async fn open_stream<Req>(
        &self,
        ask: &Ask<'_, Req>,
        proof: Proof<'_>,
        media_type: &str,
    ) -> Result<Incoming, ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let (request, _) = self.prepare(ask, &proof)?;
        let transport = &self.inner.transport;
        let (answer, body) = transport.open(request).await?;
        authenticate(transport, &proof, &answer)?;
        refuse(transport, &answer)?;
        body.filter(|_| answer.content_type == media_type)
            .ok_or_else(|| transport.not_understood("it is not what goes on"))
    }

    /// Sends a form without a proof, and gives the answer whatever it says.
    pub(crate) async fn form(&self, path: &str, form: &Query) -> Result<Answer, ClientError> {
        let transport = &self.inner.transport;
        let uri = format!("{}{path}", self.inner.address.url());
        let authority = self.inner.address.authority();
        let text = form.as_str().unwrap_or_default();
        let body = Secret::new(text.as_bytes().to_vec());
        let fields = Vec::new();
        let mut request = build(
            transport,
            &Method::POST,
            &uri,
            authority,
            fields,
            Some(body),
        )?;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        transport.send(request).await
    }

    /// Writes a request and proves it.
    fn prepare<Req>(
        &self,
        ask: &Ask<'_, Req>,
        proof: &Proof<'_>,
    ) -> Result<(Request<Full<bytes::Bytes>>, Option<String>), ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let authority = self.inner.address.authority();
        let body = encode(ask.body)?;
        let shown = ask
            .token
            .map(|token| Secret::new(format!("Bearer {}", token.expose())));
        let mut fields: Vec<(&str, &str)> = Vec::new();
        if body.is_some() {
            fields.push(("content-type", JSON));
        }
        if let Some(shown) = &shown {
            fields.push(("authorization", shown.expose()));
        }
        let view = RequestView {
            method: ask.method.as_str(),
            authority,
            scheme: None,
            path: ask.path,
            query: ask.query.as_str(),
            headers: &fields,
            body: body
                .as_ref()
                .map_or(&[][..], |body| body.expose().as_slice()),
        };
        let now = self.inner.clock.now();
        let signed = proving::prove(proof, &view, now, self.inner.entropy.as_ref())?;
        let (mut headers, nonce) = match signed {
            Some(signed) => (signed.headers, Some(signed.nonce)),
            None => (Vec::new(), None),
        };
        if let Some(shown) = &shown {
            headers.push(("authorization", shown.expose().clone()));
        }
        let uri = format!(
            "{}{}",
            self.inner.address.url(),
            path_and_query(ask.path, ask.query)
        );
        let request = build(
            &self.inner.transport,
            &ask.method,
            &uri,
            authority,
            headers,
            body,
        )?;
        Ok((request, nonce))
    }
}

/// Makes a call without proof over any transport: the administration socket.
pub(crate) async fn plain<Req, Ans>(
    transport: &Transport,
    ask: Ask<'_, Req>,
) -> Result<Ans, ClientError>
where
    Req: Serialize + ?Sized,
    Ans: DeserializeOwned,
{
    let uri = path_and_query(ask.path, ask.query);
    let body = encode(ask.body)?;
    let request = build(transport, &ask.method, &uri, "localhost", Vec::new(), body)?;
    let answer = transport.send(request).await?;
    refuse(transport, &answer)?;
    read(transport, &answer)
}

fn path_and_query(path: &str, query: &Query) -> String {
    match query.as_str() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn encode<Req: Serialize + ?Sized>(body: Option<&Req>) -> Result<Option<SecretBytes>, ClientError> {
    body.map(|body| {
        // Measured first, so that the text of a secret is written once and not
        // left behind in memory that was grown out of.
        let mut size = Length(0);
        let unwritable = || ClientError::Address("a request could not be written as JSON");
        serde_json::to_writer(&mut size, body).map_err(|_| unwritable())?;
        let mut bytes = Secret::new(Vec::with_capacity(size.0));
        serde_json::to_writer(bytes.expose_mut(), body).map_err(|_| unwritable())?;
        Ok(bytes)
    })
    .transpose()
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(part.len());
        Ok(part.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn build(
    transport: &Transport,
    method: &Method,
    uri: &str,
    authority: &str,
    headers: Vec<(&'static str, String)>,
    body: Option<SecretBytes>,
) -> Result<Request<Full<bytes::Bytes>>, ClientError> {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::HOST, authority)
        .header(
            header::ACCEPT,
            "application/json, application/problem+json, */*;q=0.1",
        )
        .header(
            header::USER_AGENT,
            concat!("procura/", env!("CARGO_PKG_VERSION")),
        );
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, JSON);
    }
    if let Some(traceparent) = part_of::current() {
        request = request.header(part_of::TRACEPARENT, traceparent);
    }
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value)
            .map_err(|_| transport.not_understood("a header of ours cannot be sent"))?;
        request = request.header(HeaderName::from_static(name), value);
    }
    request
        .body(body.map_or_else(Full::default, |body| Full::new(transport::body(body))))
        .map_err(|_| ClientError::Address("the path of a request could not be written"))
}

/// Refuses a success that the session's key did not sign for this very request:
/// whoever took the server's port since the session was started has no such key. A
/// refusal is taken as one from anybody, since whoever holds the port can refuse.
fn authenticate(
    transport: &Transport,
    proof: &Proof<'_>,
    answer: &Answer,
) -> Result<(), ClientError> {
    let Proof::Session(session, counter) = proof else {
        return Ok(());
    };
    let view = AnswerView {
        status: answer.status.as_u16(),
        content_type: &answer.content_type_field,
        body: answer.body.expose(),
    };
    if !answer.status.is_success() || view.is_signed(&session.mac_key, *counter, &answer.tag) {
        Ok(())
    } else {
        Err(transport.impostor("the answer is not signed with the session's key"))
    }
}

/// Makes an error of an answer that is one.
fn refuse(transport: &Transport, answer: &Answer) -> Result<(), ClientError> {
    if answer.status.is_success() {
        return Ok(());
    }
    if answer.content_type == PROBLEM {
        let problem: Problem = serde_json::from_slice(answer.body.expose())
            .map_err(|error| transport.not_understood(&error.to_string()))?;
        // A date instead of seconds is none that our server sends.
        let seconds = answer.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        return Err(ClientError::Refused(Box::new(problem), retry_after));
    }
    // Redirects are among these: a proof is for one server and is not carried on.
    Err(transport.not_understood(&format!(
        "status {} without a problem",
        answer.status.as_u16()
    )))
}

/// Reads an answer into its type; an empty one reads as `()`.
pub(crate) fn read<Ans: DeserializeOwned>(
    transport: &Transport,
    answer: &Answer,
) -> Result<Ans, ClientError> {
    let body = answer.body.expose().as_slice();
    let text = if answer.status == StatusCode::NO_CONTENT || body.is_empty() {
        b"null"
    } else if answer.content_type == JSON {
        body
    } else {
        return Err(transport.not_understood("it is not JSON"));
    };
    // The place of a mistake, not its words: those may quote the body.
    serde_json::from_slice(text).map_err(|error| {
        transport.not_understood(&format!(
            "its JSON does not fit at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}
