//! `/v1/operators/{name}/api-keys`: devices of an operator's automation that do a part of
//! what the operator may do.

use super::new_key;
use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_directory::TokenHash;
use procura_identity::{ApiKeyCreate, ApiKeyListing, ApiKeyRevoke, ApiKeyScope, NewApiKey};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_token::{api_key_hash, new_api_key};
use procura_types::{Duration, wire};

pub(super) struct List;

impl Endpoint for List {
    type Op = ApiKeyListing;
    type Body = ();
    type Answer = wire::ApiKeyList;
    const SUMMARY: &'static str = "Lists the API keys of an operator, those that are over too";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/operators/{name}/api-keys";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(missing);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let snapshot = open.directory.snapshot();
        ApiKeyListing::resolve(&snapshot, &input.param("name")?).ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (snapshot, now) = (context.open.directory.snapshot(), context.input.now);
        Reply::json::<Self::Answer>(&ApiKeyListing::run(&permit, &snapshot, now))
    }
}

pub(super) struct Create;

impl Endpoint for Create {
    type Op = ApiKeyCreate;
    type Body = wire::ApiKeyCreate;
    type Answer = wire::ApiKeyCreated;
    const SUMMARY: &'static str = "Makes an API key of one's own, whose token is shown once, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;
    const HIDDEN_AS: Option<fn() -> Failure> = Some(missing);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ApiKeyCreate {
            name,
            key,
            signature,
            actions,
            namespaces,
            installation,
            life,
        } = input.json::<Self::Body>()?;
        let terms = NewApiKey {
            name,
            key: new_key(&key)?,
            signature,
            scope: ApiKeyScope::new(actions, namespaces, installation)?,
            life: Duration::from_secs(life),
        };
        let snapshot = open.directory.snapshot();
        ApiKeyCreate::resolve(&snapshot, &input.param("name")?, terms).ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let installation = context.open.vault.installation().id;
        let token = new_api_key(context.app.entropy.as_ref()).map_err(Failure::internal)?;
        let hash = api_key_hash(token.expose())
            .map(TokenHash::from_bytes)
            .ok_or_else(|| Failure::internal("a token that was just made is none"))?;
        let about = context
            .change(permit, |batch| {
                ApiKeyCreate::run(batch, &installation, hash, now)
            })
            .await?;
        let answer = wire::ApiKeyCreated {
            token: token.expose().clone(),
            about,
        };
        // Actions and namespaces beside the token are no secret, and may be long.
        Reply::secret_with_status(StatusCode::CREATED, &answer, answer.token.len())
    }
}

pub(super) struct Revoke;

impl Endpoint for Revoke {
    type Op = ApiKeyRevoke;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Revokes an API key of an operator, and its device";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/operators/{name}/api-keys/{device}";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(missing);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let snapshot = open.directory.snapshot();
        ApiKeyRevoke::resolve(&snapshot, &input.param("name")?, &input.param("device")?)
            .ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| ApiKeyRevoke::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

/// Who is no steward does not learn which operators and keys there are.
fn missing() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such operator or API key, or it is not for you to know.",
    )
}
