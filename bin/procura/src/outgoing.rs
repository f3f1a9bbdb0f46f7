//! A request to any service, as typed, and the same with its proof.

use crate::body::Body;
use crate::context::Context;
use crate::failure::Failure;
use crate::header::{self, Fields};
use crate::proving::Proving;
use clap::Args;
use procura_client::{ClientError, Target};
use procura_proof::RequestView;
use procura_types::{Secret, SecretBytes};
use std::str::FromStr;

/// The media type of a body of which nothing is said.
const CONTENT_TYPE: &str = "application/json";

/// A request's method: a word in capital letters.
#[derive(Debug, Clone)]
pub(crate) struct Method(String);

impl FromStr for Method {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sound = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
        if text == "CONNECT" {
            return Err("opens a tunnel, which is no request to be signed");
        }
        if (1..=32).contains(&text.len()) && text.bytes().all(sound) {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not a method in capital letters, such as GET")
        }
    }
}

/// What both `sign` and `request` are told of a request.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    // Both are required by the parser, but where a subcommand stands instead.
    /// The method, in capital letters: GET, POST
    #[arg(required = true)]
    method: Option<Method>,
    /// https://host/path?query, or /path?query of the server
    #[arg(required = true, value_name = "URL")]
    url: Option<String>,
    /// The body: a text, @FILE, or @- for stdin
    body: Option<Body>,
    /// A header field to send along; @FILE or @- reads one a line. A body is
    /// application/json unless a Content-Type says otherwise
    #[arg(long, short = 'H', value_name = "'NAME: VALUE'")]
    header: Vec<Fields>,
    #[command(flatten)]
    proving: Proving,
}

/// A request with its proof.
pub(crate) struct Outgoing {
    pub(crate) method: String,
    pub(crate) target: Target,
    /// All that has to go along, names in lower case: what was typed, the type of
    /// the body, the proof.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: SecretBytes,
}

impl Asked {
    /// Whether nothing of it was typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.method.is_none() && self.header.is_empty() && self.proving.is_empty()
    }

    /// Whether it is proven by a device of this system.
    pub(crate) fn is_native(&self) -> bool {
        self.proving.is_native()
    }

    /// Where it is to go.
    pub(crate) fn target(&self, context: &Context) -> Result<Target, Failure> {
        target(context, self.url.as_ref().ok_or_else(incomplete)?)
    }

    /// Reads what it names, and proves that it goes to `target`.
    pub(crate) async fn prove(
        self,
        context: &Context,
        target: Target,
    ) -> Result<Outgoing, Failure> {
        let Method(method) = self.method.as_ref().ok_or_else(incomplete)?;
        self.one_reader_of_stdin(context)?;
        let mut headers: Vec<(String, String)> = header::read(&self.header)?
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect();
        let body = match &self.body {
            Some(body) => body.read()?,
            None => Secret::new(Vec::new()),
        };
        let typed = headers.iter().any(|(name, _)| name == "content-type");
        if !body.expose().is_empty() && !typed {
            headers.push(("content-type".to_owned(), CONTENT_TYPE.to_owned()));
        }
        let view = RequestView {
            method,
            authority: target.authority(),
            scheme: Some(target.scheme()),
            path: target.path(),
            query: target.query(),
            headers: &headers,
            body: body.expose(),
        };
        let proof = self.proving.prove(context, &view).await?;
        headers.extend(
            proof
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        Ok(Outgoing {
            method: method.clone(),
            target,
            headers,
            body,
        })
    }

    /// Two that read from stdin would each get a part, and a passphrase could
    /// become a body.
    fn one_reader_of_stdin(&self, context: &Context) -> Result<(), Failure> {
        let readers = [
            matches!(self.body, Some(Body::Stdin)),
            self.proving.reads_stdin(),
            context.passphrases.reads_stdin(),
        ];
        let fields = self.header.iter().filter(|fields| fields.reads_stdin());
        let readers = readers.iter().filter(|reads| **reads).count() + fields.count();
        if readers > 1 {
            return Err(
                Failure::usage("only one thing can be read from stdin").next(
                    "@FILE, --secret-file FILE, or another descriptor: --passphrase-fd 3 3< FILE",
                ),
            );
        }
        Ok(())
    }
}

fn target(context: &Context, typed: &str) -> Result<Target, Failure> {
    let whole;
    let url = if typed.starts_with('/') {
        let known = crate::home::Known::find(&context.home)?;
        let server = context.url(known.as_ref());
        whole = format!("{}{typed}", server.trim_end_matches('/'));
        &whole
    } else {
        typed
    };
    Target::parse(url).map_err(|error| match error {
        ClientError::Address(why) => Failure::usage(format!("the URL {why}"))
            .next("https://host/path?query, or /path?query of the server"),
        other => other.into(),
    })
}

/// The parser does not let it come to this.
fn incomplete() -> Failure {
    Failure::usage("there is no method and URL").next("procura request --help")
}
