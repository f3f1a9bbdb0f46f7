//! The one table from what went wrong to what HTTP says (`protocol.md` §8).

use crate::rates::retry_after;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use procura_edge::rate::{Left, Over};
use procura_edge::trace::TraceContext;
use procura_policy::{Action, Rule};
use procura_proof::Reason;
use procura_types::wire::Problem;
use procura_types::{Malformed, Namespace, Role, TraceId};
use std::fmt;

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request is wrong.
    Caller,
    /// The request is right and not allowed.
    Policy,
    /// Something that the server needs is not there.
    Dependency,
    /// The server.
    Us,
}

impl Blame {
    /// The word in `spec/errors.md`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Policy => "policy",
            Self::Dependency => "dependency",
            Self::Us => "us",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $code:literal, $status:ident, $blame:ident, $title:literal, $what:literal;)*) => {
        /// Every error of the native API. Rows of `spec/errors.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code, in the order of `spec/errors.md`.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The code as in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $code,)* } }
            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode { match self { $(Self::$name => StatusCode::$status,)* } }
            /// Who has to act.
            #[must_use]
            pub const fn blame(self) -> Blame { match self { $(Self::$name => Blame::$blame,)* } }
            /// The code in words.
            #[must_use]
            pub const fn title(self) -> &'static str { match self { $(Self::$name => $title,)* } }
            /// What to do.
            #[must_use]
            pub const fn what_to_do(self) -> &'static str { match self { $(Self::$name => $what,)* } }
        }
    };
}

codes! {
    Malformed = "malformed", BAD_REQUEST, Caller, "The request is malformed", "Correct the named field.";
    InvalidJson = "invalid_json", BAD_REQUEST, Caller, "The body is not the JSON that this call takes", "Compare the body with schema/openapi.json.";
    Unauthorized = "unauthorized", UNAUTHORIZED, Caller, "The request is not proven", "See the reason in spec/reasons.md.";
    Reauthenticate = "reauthenticate", UNAUTHORIZED, Caller, "It takes that you prove who you are once more", "Sign in again in the same browser; for five minutes it is enough. With the reason `own_key`, send the request with a signature by the device's own key.";
    CodeRefused = "code_refused", FORBIDDEN, Caller, "The link code is not accepted", "Ask for a new link code; one is good once, for ten minutes, for one actor.";
    SignatureRefused = "signature_refused", FORBIDDEN, Caller, "The signature over the content is not by the expected key", "Sign the exact bytes with the key of the device that sends the request.";
    Forbidden = "forbidden", FORBIDDEN, Policy, "Not allowed", "Ask an operator with one of the `roles` to do it, or a steward for the role; agents ask for a grant.";
    DeviceQuarantined = "device_quarantined", FORBIDDEN, Policy, "The device is in quarantine", "Ask a steward, who looks at what happened and types `procura honey reinstate`.";
    FormRefused = "form_refused", FORBIDDEN, Caller, "The form was not sent by a page that this browser was given", "Open the page anew, and send its form again.";
    AttestationRequired = "attestation_required", FORBIDDEN, Policy, "The project hands values only to daemons that attested better than this one", "See the detail; `procura doctor` on the agent's host says what is missing.";
    AttestationRefused = "attestation_refused", FORBIDDEN, Caller, "What a daemon attested is not accepted", "See the reason in spec/protocol.md §3.7; what requires no attestation goes on.";
    NotFound = "not_found", NOT_FOUND, Caller, "There is no such thing, or it is not for you to know", "Check the name and the namespace.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Caller, "This path does not take that method", "See schema/openapi.json.";
    Timeout = "timeout", REQUEST_TIMEOUT, Caller, "The request took too long to arrive", "Send it again, faster.";
    Conflict = "conflict", CONFLICT, Caller, "It is not in the state that the request expects", "Read it again and decide anew.";
    Contended = "contended", CONFLICT, Caller, "Others changed the same records at the same time", "Send the request again.";
    AlreadyExists = "already_exists", CONFLICT, Caller, "It exists already", "Choose another name.";
    VersionMismatch = "version_mismatch", CONFLICT, Caller, "The newest version is another than expected", "Read it again, and decide anew.";
    AlreadyFollowed = "already_followed", CONFLICT, Caller, "Another gate follows this service", "Stop the other gate and wait a minute, or give both the same --guard-url; of two that share no memory of used proofs, each would accept what the other did.";
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, Caller, "The body is too large", "A value is at most 1 MiB.";
    NothingToDeliver = "nothing_to_deliver", UNPROCESSABLE_ENTITY, Caller, "Nothing in the project matches", "Map names in the project, or declare them on secrets with --env.";
    AmbiguousName = "ambiguous_name", UNPROCESSABLE_ENTITY, Caller, "More than one secret declares the name", "Map the name in the project.";
    ValueMissing = "value_missing", UNPROCESSABLE_ENTITY, Policy, "A value of the project cannot be had, so none is given", "Write the secret, or take the name out of the project.";
    SecretExpired = "secret_expired", GONE, Policy, "The secret has expired, so it is not handed over", "Write a new version with another `expires`, or change it with `procura secret set`.";
    EntryForgotten = "entry_forgotten", GONE, Policy, "The entry is not kept any more", "See `procura audit retention` for the first one that is; an export or a copy of the ledger from before has it still.";
    DeliveryNotAllowed = "delivery_not_allowed", UNPROCESSABLE_ENTITY, Policy, "The secret may not be handed over in this way, so nothing is given", "Ask for it in a way that its rule names, or change the rule with `procura secret set --deliver`.";
    TokenRefused = "token_refused", UNAUTHORIZED, Caller, "The project token is not accepted", "See the reason in spec/protocol.md §4; issue another from the device that uses it.";
    PasskeyRefused = "passkey_refused", UNAUTHORIZED, Caller, "The passkey is not accepted", "See the reason in spec/protocol.md §11; begin again, or use another passkey.";
    ApiKeyRefused = "api_key_refused", UNAUTHORIZED, Caller, "The API key is not accepted", "Show its token with a proof by the device that it was made with; see the reason in spec/protocol.md §4.";
    BreakGlassClosed = "break_glass_closed", FORBIDDEN, Policy, "The break-glass account does not act", "`procura break-glass use` opens one that was never used, once; ask a steward for another.";
    OidcRefused = "oidc_refused", UNAUTHORIZED, Caller, "The identity provider's word is not accepted", "See the reason in spec/protocol.md §12; begin again on the sign-in page.";
    TokenScope = "token_scope", FORBIDDEN, Policy, "The project token does not open all that is asked for, so nothing is given", "Ask for names of the token, or issue one for what the project maps now.";
    PoliciesFlawed = "policies_flawed", UNPROCESSABLE_ENTITY, Caller, "The text of policies does not parse or does not type-check, so it cannot take effect", "Correct what the detail says; `procura policy check FILE` says it without a server.";
    QuotaExceeded = "quota_exceeded", CONFLICT, Policy, "The namespace may not hold more", "Destroy what is not needed any more (`procura secret destroy PATH`), or have a steward raise it: `procura namespace quota NS`.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, Caller, "Too many at once", "Wait as long as Retry-After says.";
    WrongPassphrase = "wrong_passphrase", FORBIDDEN, Caller, "The passphrase is wrong", "Wrong ones are counted and slow the next try.";
    WeakPassphrase = "weak_passphrase", BAD_REQUEST, Caller, "The passphrase is too short", "Use at least 12 characters.";
    ShareMalformed = "share_malformed", BAD_REQUEST, Caller, "The share is mistyped, or these are no numbers for shares", "Type the share again as it was written down; 2 ≤ threshold ≤ count ≤ 255.";
    ShareOtherSet = "share_other_set", FORBIDDEN, Caller, "The share is of another set", "Bring shares of the newest set; a set that was replaced opens nothing any more.";
    ShareForged = "share_forged", FORBIDDEN, Caller, "The share was never made", "Bring another; whoever holds this one should say where it comes from.";
    ShareRepeated = "share_repeated", CONFLICT, Caller, "The share was brought already", "Bring another share of the set.";
    SharesTooFew = "shares_too_few", UNPROCESSABLE_ENTITY, Caller, "It takes more shares", "Bring as many as the set needs.";
    SourceUnavailable = "source_unavailable", SERVICE_UNAVAILABLE, Dependency, "What the unseal source needs is not there now", "Plug the token in, start the service, renew its credentials, set the clock, or open the vault with another source.";
    CredentialsNeeded = "credentials_needed", BAD_REQUEST, Caller, "The unseal source takes credentials", "Bring them with --credentials FILE, or name the file in unseal_credentials.";
    WrongPin = "wrong_pin", FORBIDDEN, Caller, "The PIN of the token is wrong", "Look it up before the next try: a token locks itself after a few wrong ones.";
    PinLocked = "pin_locked", FORBIDDEN, Caller, "The token takes no PIN, or not from a program", "Open the vault with another source; the token's security officer unlocks it.";
    CredentialsRefused = "credentials_refused", FORBIDDEN, Caller, "The wrapper of the unseal source refuses the credentials", "Let them use the key, or bring others.";
    PcrsChanged = "pcrs_changed", FORBIDDEN, Policy, "This machine did not start as it did when the unseal source was added", "Find out what changed; open the vault with another source, and add this one anew if the change is yours.";
    AnotherWrapper = "another_wrapper", FORBIDDEN, Caller, "This is not the token, chip or service that wrapped the key", "Bring the one that did, or open the vault with another source.";
    WrappedKeyRefused = "wrapped_key_refused", FORBIDDEN, Caller, "What was wrapped was changed, or wrapped for another place", "Put installation.json back as it was, or open the vault with another source.";
    SourceNotConfigured = "source_not_configured", CONFLICT, Caller, "The configuration does not say where the unseal source's token, chip or service is", "Put the lines that `procura unseal-source list` shows into procura.toml, and start the server again.";
    WrapperUnfit = "wrapper_unfit", UNPROCESSABLE_ENTITY, Caller, "The token, chip or service cannot be used so", "See the detail.";
    ServerRemoved = "server_removed", FORBIDDEN, Policy, "This server was removed from the installation", "Ask a steward why; a server on this machine takes a new home.";
    AlreadyInitialised = "already_initialised", CONFLICT, Caller, "There is an installation already", "Use another home.";
    NotInitialised = "not_initialised", SERVICE_UNAVAILABLE, Dependency, "There is no installation yet", "Run `procura init`.";
    Sealed = "sealed", SERVICE_UNAVAILABLE, Dependency, "The vault is sealed", "Run `procura unseal`.";
    VerifierUnavailable = "verifier_unavailable", SERVICE_UNAVAILABLE, Dependency, "The proof cannot be checked now", "Send it again as Retry-After says.";
    LedgerUnavailable = "ledger_unavailable", SERVICE_UNAVAILABLE, Dependency, "The record cannot be written, so nothing happened", "See the server's log and `procura status`.";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, Dependency, "The database cannot be used now", "Send it again as Retry-After says; `procura status` says why.";
    ProviderUnavailable = "provider_unavailable", BAD_GATEWAY, Dependency, "The identity provider does not answer as it should", "Try again, or sign in by another way; whoever runs the server finds the cause in its log.";
    ReceiverFailed = "receiver_failed", BAD_GATEWAY, Dependency, "The receiver of a message did not take it", "Look at what the detail says of the receiver; `procura notify channel add` replaces the channel.";
    StorageFull = "storage_full", INSUFFICIENT_STORAGE, Dependency, "The disk is full", "Make room; revoking, sealing and deleting still work.";
    Damaged = "damaged", INTERNAL_SERVER_ERROR, Us, "Stored data is damaged or was tampered with", "Run `procura status --deep` and restore from a backup.";
    Unknown = "outcome_unknown", INTERNAL_SERVER_ERROR, Us, "It is not known whether the request had its effect", "Read again what it was to change; restart the server if that fails too.";
    Internal = "internal", INTERNAL_SERVER_ERROR, Us, "The server failed", "See the server's log under the request_id.";
}

impl Code {
    /// What a refused proof is answered with.
    #[must_use]
    pub(crate) const fn of(reason: Reason) -> Self {
        match reason {
            Reason::SourceNotAllowed => Self::Forbidden,
            Reason::Quarantined => Self::DeviceQuarantined,
            Reason::RateLimited => Self::RateLimited,
            Reason::VerifierUnavailable => Self::VerifierUnavailable,
            _ => Self::Unauthorized,
        }
    }
}

/// A refusal on its way to the caller. The cause for the log is apart from what
/// the caller is told.
#[derive(Debug)]
pub struct Failure {
    /// Which error.
    pub code: Code,
    /// What happened here, for the caller.
    pub detail: String,
    /// Of a failed proof, or why policy said no.
    pub reason: Option<&'static str>,
    /// Of malformed input.
    pub field: Option<&'static str>,
    /// For the log only.
    pub cause: Option<String>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u64>,
    /// What was not allowed, and to whom it would be.
    pub needs: Option<Box<Needs>>,
    /// How the bucket stands that was empty.
    pub(crate) standing: Option<Box<Left>>,
}

/// What an answer says went wrong, for those whom it passes on its way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) code: Code,
    pub(crate) reason: Option<&'static str>,
}

/// What policy did not allow, for a caller who may know that the thing is there.
#[derive(Debug)]
pub struct Needs {
    /// What was attempted.
    pub action: Action,
    /// Where, unless it is about the installation.
    pub namespace: Option<Namespace>,
    /// Any of these roles opens it.
    pub roles: &'static [Role],
}

impl Needs {
    /// What an action takes: by the table that policy decides by.
    fn of(action: Action, namespace: Option<&Namespace>) -> Self {
        let roles: &'static [Role] = match action.rule() {
            Rule::Roles(roles) | Rule::OwnOr(roles) => roles,
            _ => &[],
        };
        // About the installation no role of a namespace counts, as policy decides.
        let roles: &'static [Role] = match namespace {
            None if roles.contains(&Role::Steward) => &[Role::Steward],
            _ => roles,
        };
        Self {
            action,
            namespace: namespace.cloned(),
            roles,
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action.as_str())?;
        if let Some(namespace) = &self.namespace {
            write!(f, " in namespace {namespace}")?;
        }
        let own = matches!(self.action.rule(), Rule::Own | Rule::OwnOr(_));
        match (own, self.roles) {
            (false, []) => f.write_str(" is not open to you")?,
            (true, _) => f.write_str(" is for whom it belongs to")?,
            (false, _) => f.write_str(" needs")?,
        }
        for (place, role) in self.roles.iter().enumerate() {
            let before = match (place, own) {
                (0, true) => " or the role",
                (0, false) => " the role",
                _ => " or",
            };
            write!(f, "{before} {role}")?;
        }
        f.write_str(".")
    }
}

impl Failure {
    /// A failure with what the caller is told.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            reason: None,
            field: None,
            cause: None,
            retry_after: None,
            needs: None,
            standing: None,
        }
    }

    /// Adds what only the log is told.
    #[must_use]
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds the reason of a refusal.
    #[must_use]
    pub const fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds when there is room again, and how the bucket stands.
    #[must_use]
    pub(crate) fn over(mut self, over: &Over) -> Self {
        self.reason = Some(Reason::RateLimited.as_str());
        self.retry_after = Some(retry_after(over.retry_after));
        self.standing = Some(Box::new(over.left));
        self
    }

    /// Tells whoever is forbidden something what it was and which role opens it. Of
    /// what the caller may not know to be there, nothing is told.
    #[must_use]
    pub fn needing(mut self, action: Action, namespace: Option<&Namespace>) -> Self {
        if self.code == Code::Forbidden {
            let needs = Needs::of(action, namespace);
            self.detail = format!("Your roles and grants do not allow this: {needs}");
            self.needs = Some(Box::new(needs));
        }
        self
    }

    /// A failure of the server itself: the caller learns nothing but the id.
    #[must_use]
    pub fn internal(cause: impl ToString) -> Self {
        Self::new(
            Code::Internal,
            "The server could not do it; its log has the cause under this request_id.",
        )
        .because(cause)
    }

    /// Writes the cause to the log.
    pub(crate) fn log(&self, trace: TraceId) {
        let Some(cause) = &self.cause else {
            return;
        };
        if self.code.blame() == Blame::Caller || self.code.blame() == Blame::Policy {
            tracing::debug!(request_id = %trace, code = self.code.as_str(), %cause, "refused");
        } else {
            tracing::error!(request_id = %trace, code = self.code.as_str(), %cause, "failed");
        }
    }

    /// Renders it as problem+json and writes the cause to the log.
    #[must_use]
    pub fn into_response_for(self, trace: TraceId) -> Response {
        self.into_response_in(None, trace)
    }

    /// The same for a request that is part of a trace.
    #[must_use]
    pub(crate) fn into_response_in(
        self,
        part_of: Option<TraceContext>,
        trace: TraceId,
    ) -> Response {
        self.log(trace);
        let (action, namespace, roles) = self.needs.map_or_else(Default::default, |needs| {
            let action = needs.action.as_str().to_owned();
            (Some(action), needs.namespace, needs.roles.to_vec())
        });
        let problem = Problem {
            kind: format!("urn:procura:error:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail,
            code: self.code.as_str().to_owned(),
            reason: self.reason.map(str::to_owned),
            field: self.field.map(str::to_owned),
            action,
            namespace,
            roles,
            request_id: trace.to_string(),
            trace_id: part_of.map(|part_of| part_of.trace_id()),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after.or(match self.code {
            Code::RateLimited
            | Code::Sealed
            | Code::VerifierUnavailable
            | Code::StoreUnavailable => Some(1),
            _ => None,
        }) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(standing) = &self.standing {
            standing.tell(headers);
        }
        let (code, reason) = (self.code, self.reason);
        response.extensions_mut().insert(Told { code, reason });
        response
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        let mut failure = Self::new(Code::Malformed, malformed.to_string());
        failure.field = Some(malformed.field);
        failure
    }
}

/// The table as Markdown: `spec/errors.md` is generated from it.
#[must_use]
pub fn errors_markdown() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Errors\n\nGenerated from the table in `crates/server/src/problem.rs`. Every error is `application/problem+json`\n\
         (RFC 9457) with `type` = `urn:procura:error:<code>`.\n\n| code | status | blame | what it means | what to do |\n|---|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            code.as_str(),
            code.status().as_u16(),
            code.blame().as_str(),
            code.title(),
            code.what_to_do()
        );
    }
    out
}

/// Text from a stranger as it may stand in the record and the log: printable
/// ASCII, at most 200 characters.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|letter| {
            if letter.is_ascii_graphic() {
                letter
            } else {
                '?'
            }
        })
        .collect()
}
