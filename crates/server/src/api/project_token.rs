//! `/v1/namespaces/{ns}/projects/{name}/tokens` and `…/values`, `/v1/namespaces/{ns}/tokens`:
//! tokens of projects (`protocol.md` §4).
//!
//! A token that is shown opens one door, `…/values`, and there only for the device that
//! it was issued to: its proof covers the `Authorization` field.

use super::run::values_of;
use crate::app::Open;
use crate::attested::attesting;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply, token_refused, turned_away};
use http::{StatusCode, header};
use procura_authority::{
    Attesting, RunQuery, TokenHolder, TokenIssue, TokenListing, TokenRevoke, TokenRevokeAll,
    TokenRotate, TokenTerms, TokenUse, show_token,
};
use procura_directory::{Snapshot, TokenHash, TokenRecord, TokenRefusal};
use procura_policy::{Denied, DenyReason, Op, Permit};
use procura_proof::{Caller, Profile};
use procura_record::Refusal;
use procura_token::{OPAQUE_PREFIX, OpaqueToken, TokenError};
use procura_types::wire::{
    self, ProjectTokenIssue, ProjectTokenIssued, ProjectTokenKind, ProjectTokenRotate,
    ProjectTokensRevoked, ProjectValues, ValuesRequest,
};
use procura_types::{Duration, Label, Namespace, ProjectName, RunId, Secret, Timestamp, TokenId};
use std::sync::Arc;

/// The device that asks. Tokens outlive sessions, so one is made with a signature by the
/// device's own key: what a session's key alone could make would outlive its theft.
fn signing(caller: &Caller) -> Result<TokenHolder, Failure> {
    let device = caller
        .device()
        .filter(|_| caller.profile() == Profile::Native);
    let device = device.copied().ok_or_else(|| {
        Failure::new(
            Code::Unauthorized,
            "A token is made with a signature by the device's own key.",
        )
    })?;
    Ok(TokenHolder {
        agent: *caller.actor(),
        device,
        foreign: None,
        attesting: Attesting::Later,
    })
}

fn terms(open: &Open, input: &Input, life: Option<u64>) -> Result<TokenTerms, Failure> {
    let id = TokenId::generate(input.now, open.recorder.entropy()).map_err(Failure::internal)?;
    Ok(TokenTerms {
        id,
        life: life.map(Duration::from_secs),
    })
}

/// The bits of an opaque token in the making, and the hash that is kept of them.
pub(crate) struct Making {
    opaque: Option<OpaqueToken>,
}

impl Making {
    pub(crate) fn begin(context: &Context<'_>, kind: ProjectTokenKind) -> Result<Self, Failure> {
        let entropy = context.app.entropy.as_ref();
        let opaque = match kind {
            ProjectTokenKind::Opaque => {
                Some(OpaqueToken::generate(entropy).map_err(Failure::internal)?)
            }
            ProjectTokenKind::Signed => None,
        };
        Ok(Self { opaque })
    }

    pub(crate) fn hash(&self) -> Option<TokenHash> {
        self.opaque
            .as_ref()
            .map(|token| TokenHash::from_bytes(token.hash()))
    }

    /// The text of the token of a record, made before anything is committed.
    pub(crate) fn text(
        &self,
        context: &Context<'_>,
        record: &TokenRecord,
    ) -> Result<Secret<String>, Failure> {
        match &self.opaque {
            Some(token) => Ok(token.text()),
            None => context.open.tokens.project_jwt(record),
        }
    }
}

/// The answer that shows a token, once.
fn issued(
    context: &Context<'_>,
    token: &Secret<String>,
    record: &TokenRecord,
) -> Result<Reply, Failure> {
    let snapshot = context.open.directory.snapshot();
    let answer = ProjectTokenIssued {
        token: token.expose().clone(),
        about: show_token(&snapshot, record, context.input.now),
    };
    Reply::secret_with_status(StatusCode::CREATED, &answer, answer.token.len())
}

pub(super) struct Issue;

impl Endpoint for Issue {
    type Op = TokenIssue;
    type Body = wire::ProjectTokenIssue;
    type Answer = wire::ProjectTokenIssued;
    const SUMMARY: &'static str =
        "Issues a token of a project to the device that asks, for what a grant covers";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/tokens";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let (namespace, project) = (input.param("ns")?, input.param("name")?);
        let ProjectTokenIssue {
            kind,
            names,
            delivery,
            life,
        } = input.json::<Self::Body>()?;
        let query = RunQuery {
            namespace,
            project,
            names,
            delivery,
            report: None,
            // It opens nothing by itself: what its use shows is looked at then.
            attesting: Attesting::Later,
        };
        Ok(TokenIssue::resolve(
            &open.vault,
            &open.directory.snapshot(),
            signing(caller)?,
            kind,
            query,
            terms(open, input, life)?,
            input.now,
        )?)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let making = Making::begin(&context, permit.op().kind())?;
        let (token, record) = context
            .change(permit, |batch| -> Result<_, Failure> {
                let record = TokenIssue::run(batch, making.hash(), now)?;
                Ok((making.text(&context, &record)?, record))
            })
            .await?;
        issued(&context, &token, &record)
    }

    /// A token asks nobody: what it is for has to be granted.
    async fn denied(
        context: Context<'_>,
        denied: Denied,
        caller: Caller,
        op: Self::Op,
    ) -> Result<Reply, Failure> {
        let ungranted = denied.reason == DenyReason::NoGrant && denied.visible;
        let mut failure = turned_away(&context, &caller, &op, denied);
        if ungranted {
            failure.detail =
                "No grant covers all of these names; ask for one with a run first.".to_owned();
        }
        Err(failure)
    }
}

pub(super) struct Rotate;

impl Endpoint for Rotate {
    type Op = TokenRotate;
    type Body = wire::ProjectTokenRotate;
    type Answer = wire::ProjectTokenIssued;
    const SUMMARY: &'static str =
        "Exchanges a project token for another of the same scope, and revokes the old one";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/tokens/{id}/rotate";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let (namespace, id): (Namespace, TokenId) = (input.param("ns")?, input.param("id")?);
        let ProjectTokenRotate { life } = input.json::<Self::Body>()?;
        let holder = signing(caller)?;
        let snapshot = open.directory.snapshot();
        let terms = terms(open, input, life)?;
        TokenRotate::resolve(&snapshot, &holder.agent, &namespace, &id, terms).ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let making = Making::begin(&context, permit.op().kind())?;
        let (token, record) = context
            .change(permit, |batch| -> Result<_, Failure> {
                let record = TokenRotate::run(batch, making.hash(), now)?;
                Ok((making.text(&context, &record)?, record))
            })
            .await?;
        issued(&context, &token, &record)
    }
}

fn missing() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such token, or it is not yours, or it is over and forgotten.",
    )
}

/// Why what was shown as a token is none, as the caller is told and the ledger says.
/// Those of its record are words of [`TokenRefusal`].
const MISSING: &str = "token_missing";
const MALFORMED: &str = "token_malformed";
pub(crate) const PROJECT: &str = "token_project";

/// Why a token that says something is not believed.
pub(crate) const fn word(error: TokenError) -> &'static str {
    match error {
        TokenError::Malformed | TokenError::Header | TokenError::NotMade => MALFORMED,
        TokenError::Type => "token_type",
        TokenError::Algorithm => "token_algorithm",
        TokenError::UnknownKey | TokenError::KeySet => "token_key",
        TokenError::BadSignature => "token_signature",
        TokenError::Claims => "token_claims",
        TokenError::Issuer => "token_issuer",
        TokenError::Audience => "token_audience",
        TokenError::Expired => TokenRefusal::Expired.as_str(),
        TokenError::NotYet => "token_not_yet",
    }
}

/// The one token that a request shows (RFC 6750 §2.1; the scheme's case does not matter,
/// RFC 9110 §11.1).
pub(crate) fn shown(input: &Input) -> Result<&str, &'static str> {
    let mut fields = input.parts.headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next().ok_or(MISSING)?;
    if fields.next().is_some() {
        return Err(MALFORMED);
    }
    let (scheme, token) = field
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(MALFORMED)?;
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(sound) {
        Ok(token)
    } else {
        Err(MALFORMED)
    }
}

/// The record of what is shown, whether it opens anything or not.
pub(crate) fn record(
    open: &Open,
    snapshot: &Snapshot,
    token: &str,
    now: Timestamp,
) -> Result<Result<Arc<TokenRecord>, &'static str>, Failure> {
    if token.starts_with(OPAQUE_PREFIX) {
        let Some(token) = OpaqueToken::parse(token) else {
            return Ok(Err(MALFORMED));
        };
        let found = snapshot.token_hashed(&TokenHash::from_bytes(token.hash()));
        return Ok(found.cloned().ok_or_else(|| TokenRefusal::Unknown.as_str()));
    }
    let claims = match open.tokens.read_project(token, now)? {
        Ok(claims) => claims,
        Err(error) => return Ok(Err(word(error))),
    };
    let found = snapshot
        .token(&claims.jti)
        .filter(|record| record.kind == ProjectTokenKind::Signed);
    // What it says was signed here, and its record says the same or it is none of ours.
    Ok(found
        .filter(|record| open.tokens.is_of(&claims, record))
        .cloned()
        .ok_or_else(|| TokenRefusal::Unknown.as_str()))
}

/// Puts a refused token into the record: its id where it is known, and never the token.
fn refused(open: &Open, input: &Input, caller: &Caller, token: Option<TokenId>, reason: &str) {
    let (namespace, project) = (input.param::<Namespace>("ns"), input.param("name"));
    let resource = project.map(|project: ProjectName| format!("project/{project}"));
    open.recorder.refuse(Refusal {
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        token,
        namespace: namespace.ok(),
        resource: resource.ok(),
        ip: input.peer,
        ..Refusal::of_nobody(
            TokenUse::ACTION.as_str(),
            reason,
            input.now,
            caller.profile().as_str(),
            input.trace,
        )
    });
}

pub(super) struct Values;

impl Endpoint for Values {
    type Op = TokenUse;
    type Body = wire::ValuesRequest;
    type Answer = wire::ProjectValues;
    const SUMMARY: &'static str =
        "Hands the values of a project token to the device that it was issued to";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/values";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let (namespace, project): (Namespace, ProjectName) =
            (input.param("ns")?, input.param("name")?);
        let ValuesRequest { names } = input.json::<Self::Body>()?;
        let snapshot = open.directory.snapshot();
        // Tokens are for agents of the namespace; for others there is no such door.
        let asks = snapshot.actor(caller.actor());
        if asks.is_none_or(|actor| actor.namespace() != Some(&namespace)) {
            return Err(Failure::new(
                Code::NotFound,
                "There is no such project, or it is not for you to know.",
            ));
        }
        let no = |token: Option<TokenId>, reason: &'static str| {
            refused(open, input, caller, token, reason);
            Err(token_refused(reason))
        };
        let record = match shown(input) {
            Ok(token) => record(open, &snapshot, token, input.now)?,
            Err(word) => Err(word),
        };
        let record = match record {
            Ok(record) => record,
            Err(word) => return no(None, word),
        };
        let Some(device) = caller.device().copied() else {
            return no(Some(record.id), TokenRefusal::Device.as_str());
        };
        let holder = TokenHolder {
            agent: *caller.actor(),
            device,
            foreign: None,
            attesting: attesting(open, caller, input.now),
        };
        // Whether it is theirs at all comes before what it is for. Those of daemons of
        // CortexAuth open nothing here.
        let is_theirs = record.agent == holder.agent && record.device == holder.device;
        if !is_theirs || record.foreign.is_some() {
            return no(Some(record.id), TokenRefusal::Device.as_str());
        }
        if record.namespace != namespace || record.project != project {
            return no(Some(record.id), PROJECT);
        }
        let run = RunId::generate(input.now, open.recorder.entropy()).map_err(Failure::internal)?;
        TokenUse::resolve(
            &open.vault,
            &snapshot,
            &record,
            &holder,
            &names,
            run,
            input.now,
        )
        .map_err(|error| {
            let failure = Failure::from(error);
            if matches!(failure.code, Code::TokenRefused | Code::TokenScope) {
                let reason = failure.reason.unwrap_or_default();
                refused(open, input, caller, Some(record.id), reason);
            }
            failure
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let now = context.input.now;
        let details = permit.op().details();
        // The intent is durable when this returns; only then are values opened.
        let recorded = open
            .recorder
            .record(permit, context.origin(), details)
            .await?;
        let (values, length) =
            values_of(open, &recorded, now, |op, released| op.hand(released)).await?;
        let op = recorded.op();
        let answer = ProjectValues {
            run: op.run(),
            token: op.token().id,
            grant: op.token().grant,
            values,
        };
        Reply::secret(&answer, length)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    project: Option<ProjectName>,
    agent: Option<Label>,
    after: Option<TokenId>,
    limit: Option<usize>,
}

pub(super) struct List;

impl Endpoint for List {
    type Op = TokenListing;
    type Body = ();
    type Answer = wire::ProjectTokenList;
    const SUMMARY: &'static str = "Lists project tokens; an agent its own";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/tokens";
    const QUERY: &'static [&'static str] = &["project", "agent", "after", "limit"];

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let namespace: Namespace = input.param("ns")?;
        let ListQuery {
            project,
            agent,
            after,
            limit,
        } = input.query()?;
        let snapshot = open.directory.snapshot();
        let named = agent
            .map(|label| {
                let found = snapshot.agent_named(&namespace, &label);
                found.map(|agent| agent.id).ok_or_else(|| {
                    Failure::new(Code::NotFound, format!("There is no agent {label} here."))
                })
            })
            .transpose()?;
        // An agent that names nobody asks for its own.
        let asks = snapshot
            .actor(caller.actor())
            .filter(|actor| actor.namespace() == Some(&namespace));
        Ok(TokenListing {
            agent: named.or_else(|| asks.map(|actor| actor.id)),
            namespace,
            project,
            after,
            limit,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let snapshot = context.open.directory.snapshot();
        let list = TokenListing::run(&permit, &snapshot, context.input.now);
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Revoke;

impl Endpoint for Revoke {
    type Op = TokenRevoke;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Revokes a project token";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/namespaces/{ns}/tokens/{id}";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let (namespace, id): (Namespace, TokenId) = (input.param("ns")?, input.param("id")?);
        TokenRevoke::resolve(&open.directory.snapshot(), &namespace, &id).ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| TokenRevoke::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct RevokeAll;

impl Endpoint for RevokeAll {
    type Op = TokenRevokeAll;
    type Body = ();
    type Answer = wire::ProjectTokensRevoked;
    const SUMMARY: &'static str = "Revokes all tokens of a project";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/tokens";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(TokenRevokeAll {
            namespace: input.param("ns")?,
            project: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let revoked = context
            .change(permit, |batch| -> Result<_, Failure> {
                Ok(TokenRevokeAll::run(batch, now)?)
            })
            .await?;
        Reply::json(&ProjectTokensRevoked { revoked })
    }
}
