//! OpenAPI 3.1 from the endpoints themselves: `schema/openapi.json`.

use crate::foreign_answer::ForeignRefused;
use crate::foreign_call::{ALWAYS, ForeignCall, JSON};
use crate::serve::Endpoint;
use http::StatusCode;
use procura_policy::Op;
use procura_types::wire;
use std::any::TypeId;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, ResponseBuilder, ResponsesBuilder,
};

const SCHEME: &str = "procura-v1";

/// Profiles of other systems, by the field that has the signature. `hmac-v1` is not
/// among them: it opens nothing.
const FOREIGN_SCHEMES: [(&str, &str); 3] = [
    (
        "key-server-v1",
        "With X-Agent-Id, X-Timestamp (ISO 8601) and X-Nonce (spec/protocol.md §3.2)",
    ),
    (
        "guide-v1",
        "With X-Agent, X-Timestamp and X-Nonce (spec/protocol.md §3.2)",
    ),
    (
        "hmac-v2",
        "With X-Agent-Id, X-Timestamp (milliseconds) and X-Signature-Version: 2 (spec/protocol.md §3.2)",
    ),
];

/// How daemons of CortexAuth prove their requests, by name and with what.
const LEGACY_SCHEME: (&str, &str) = (
    "legacy",
    "By the key of a daemon's process, where `cortexauth` is on (spec/protocol.md §3.8)",
);

/// The document while endpoints are added to it.
pub(crate) struct Document {
    paths: PathsBuilder,
    components: ComponentsBuilder,
}

impl Default for Document {
    fn default() -> Self {
        let scheme = ApiKey::Header(ApiKeyValue::with_description(
            "Signature",
            "RFC 9421, one signature with tag procura-v1; under a session, every success bears Procura-Answer (spec/protocol.md §3.1, §3.4)",
        ));
        let components = FOREIGN_SCHEMES.into_iter().fold(
            ComponentsBuilder::new().security_scheme(SCHEME, SecurityScheme::ApiKey(scheme)),
            |components, (name, with)| {
                let field = ApiKey::Header(ApiKeyValue::with_description("X-Signature", with));
                components.security_scheme(name, SecurityScheme::ApiKey(field))
            },
        );
        let (legacy, with) = LEGACY_SCHEME;
        let field = ApiKey::Header(ApiKeyValue::with_description("X-Daemon-Attestation", with));
        let components = components.security_scheme(legacy, SecurityScheme::ApiKey(field));
        let mut document = Self {
            paths: PathsBuilder::new(),
            components,
        };
        document.schema::<wire::Problem>();
        document
    }
}

impl Document {
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        for (name, schema) in schemas {
            self.components = std::mem::take(&mut self.components).schema(name, schema);
        }
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    fn content<T: ToSchema>(&mut self) -> utoipa::openapi::Content {
        ContentBuilder::new()
            .schema(Some(self.schema::<T>()))
            .build()
    }

    /// An operation without its answers.
    fn question<B: ToSchema + 'static>(
        &mut self,
        summary: &str,
        path: &str,
        query: &[&str],
    ) -> OperationBuilder {
        let mut operation = OperationBuilder::new().summary(Some(summary));
        for name in parameters(path) {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(text())),
            );
        }
        for name in query {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(*name)
                    .parameter_in(ParameterIn::Query)
                    .required(Required::False)
                    .schema(Some(text())),
            );
        }
        if TypeId::of::<B>() != TypeId::of::<()>() {
            let body = RequestBodyBuilder::new()
                .content("application/json", self.content::<B>())
                .required(Some(Required::True));
            operation = operation.request_body(Some(body.build()));
        }
        operation
    }

    fn operation<B: ToSchema + 'static, A: ToSchema + 'static>(
        &mut self,
        summary: &str,
        path: &str,
        query: &[&str],
        status: u16,
    ) -> OperationBuilder {
        let operation = self.question::<B>(summary, path, query);
        let mut success = ResponseBuilder::new().description("Done");
        if TypeId::of::<A>() != TypeId::of::<()>() {
            success = success.content("application/json", self.content::<A>());
        }
        let problem = ResponseBuilder::new()
            .description("A row of spec/errors.md")
            .content("application/problem+json", self.content::<wire::Problem>());
        operation.responses(
            ResponsesBuilder::new()
                .response(status.to_string(), success)
                .response("default", problem)
                .build(),
        )
    }

    /// Adds a call that goes through the adapter.
    #[must_use]
    pub(crate) fn call<E: Endpoint>(mut self) -> Self {
        let operation = self
            .operation::<E::Body, E::Answer>(E::SUMMARY, E::PATH, E::QUERY, E::STATUS)
            .operation_id(Some(format!(
                "{} {}",
                E::METHOD_NAME.to_lowercase(),
                E::PATH
            )))
            .tag(E::Op::ACTION.as_str())
            .security(SecurityRequirement::new(SCHEME, [""; 0]));
        self.add(E::METHOD_NAME, E::PATH, operation)
    }

    /// Adds a call that needs no signature of a device that is known.
    #[must_use]
    pub(crate) fn open_call<B: ToSchema + 'static, A: ToSchema + 'static>(
        mut self,
        method: &str,
        path: &str,
        summary: &str,
    ) -> Self {
        let operation = self.operation::<B, A>(summary, path, &[], 200);
        self.add(method, path, operation)
    }

    /// Adds a call of OAuth, whose body is a form with these parameters: `A` its answer,
    /// `E` what it says that it does not do.
    #[must_use]
    pub(crate) fn form<A, E>(mut self, path: &str, summary: &str, parameters: &[&str]) -> Self
    where
        A: ToSchema + 'static,
        E: ToSchema + 'static,
    {
        let fields = parameters
            .iter()
            .fold(ObjectBuilder::new(), |fields, name| {
                fields.property(*name, text()).required(*name)
            });
        let form = ContentBuilder::new().schema(Some(RefOr::T(Schema::Object(fields.build()))));
        let body = RequestBodyBuilder::new()
            .content("application/x-www-form-urlencoded", form.build())
            .required(Some(Required::True));
        let success = ResponseBuilder::new()
            .description("Done")
            .content(JSON, self.content::<A>());
        let refused = ResponseBuilder::new()
            .description("A word of RFC 6749 section 5.2 or RFC 8628 section 3.5")
            .content(JSON, self.content::<E>());
        let responses = ResponsesBuilder::new()
            .response("200", success)
            .response("default", refused);
        let operation = OperationBuilder::new()
            .summary(Some(summary))
            .operation_id(Some(format!("post {path}")))
            .request_body(Some(body.build()))
            .responses(responses.build());
        self.add("POST", path, operation)
    }

    /// Adds a call in the shapes of others: `B` its body, `A` its answer, `U` what a
    /// caller is told who is not proven, `()` where there is no such thing.
    #[must_use]
    pub(crate) fn foreign<B, A, U>(mut self, call: &ForeignCall) -> Self
    where
        B: ToSchema + 'static,
        A: ToSchema + 'static,
        U: ToSchema + 'static,
    {
        let mut operation = self.asked::<B>(call);
        if call.proven {
            let schemes = FOREIGN_SCHEMES.iter().map(|(name, _)| *name);
            for scheme in [SCHEME].into_iter().chain(schemes) {
                operation = operation.security(SecurityRequirement::new(scheme, [""; 0]));
            }
        }
        let mut responses = self.answered::<A, ForeignRefused<'static>>(call);
        if TypeId::of::<U>() != TypeId::of::<()>() {
            let refused = ResponseBuilder::new()
                .description(meaning(401))
                .content(JSON, self.content::<U>());
            responses = responses.response("401", refused);
        }
        let operation = operation.responses(responses.build());
        self.add(call.method, call.path, operation)
    }

    /// Adds a call of clients of CortexAuth: `B` its body, `A` its answer, `E` what they are
    /// refused with.
    #[must_use]
    pub(crate) fn legacy<B, A, E>(mut self, call: &ForeignCall) -> Self
    where
        B: ToSchema + 'static,
        A: ToSchema + 'static,
        E: ToSchema + 'static,
    {
        let mut operation = self.asked::<B>(call);
        if call.proven {
            operation = operation.security(SecurityRequirement::new(LEGACY_SCHEME.0, [""; 0]));
        }
        let responses = self.answered::<A, E>(call);
        let operation = operation.responses(responses.build());
        self.add(call.method, call.path, operation)
    }

    /// A call in the shapes of others without its answers.
    fn asked<B: ToSchema + 'static>(&mut self, call: &ForeignCall) -> OperationBuilder {
        let id = format!("{} {}", call.method.to_lowercase(), call.path);
        self.question::<B>(call.summary, call.path, call.query)
            .operation_id(Some(id))
            .tag(call.label)
    }

    /// Its answers: `A` a success, `E` every refusal.
    fn answered<A, E>(&mut self, call: &ForeignCall) -> ResponsesBuilder
    where
        A: ToSchema + 'static,
        E: ToSchema + 'static,
    {
        let answer = if call.content == JSON {
            self.content::<A>()
        } else {
            ContentBuilder::new().schema(Some(text())).build()
        };
        let success = ResponseBuilder::new()
            .description("Done")
            .content(call.content, answer);
        let mut responses = ResponsesBuilder::new().response("200", success);
        for status in ALWAYS.iter().chain(call.refuses) {
            let refused = ResponseBuilder::new()
                .description(meaning(*status))
                .content(JSON, self.content::<E>());
            responses = responses.response(status.to_string(), refused);
        }
        responses
    }

    fn add(mut self, method: &str, path: &str, operation: OperationBuilder) -> Self {
        let method = match method {
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        self.paths = self
            .paths
            .path(path.replace("{*", "{"), PathItem::new(method, operation));
        self
    }

    /// The whole document as JSON text.
    #[must_use]
    pub(crate) fn into_json(self) -> String {
        let info = InfoBuilder::new()
            .title("Procura")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(
                "The native API, below /v1: shapes and rules in spec/protocol.md §9, errors in spec/errors.md. Beside them are what a host joins by (OAuth, §2.1), sets of public keys (§4), and shapes of other systems (§3.6, §3.8). Pages for people in a browser are no API and not in here: their addresses may change (§10).",
            ))
            .license(Some(
                LicenseBuilder::new()
                    .name("Apache-2.0 OR MIT")
                    .identifier(Some("Apache-2.0 OR MIT"))
                    .build(),
            ));
        let document: OpenApi = OpenApiBuilder::new()
            .info(info.build())
            .paths(self.paths)
            .components(Some(self.components.build()))
            .build();
        // A document of strings and maps always serializes.
        document
            .to_pretty_json()
            .map(|text| text + "\n")
            .unwrap_or_default()
    }
}

/// Any text.
fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .build(),
    ))
}

/// What a status says (RFC 9110 section 15).
fn meaning(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused")
}

/// The names in `{braces}`.
fn parameters(path: &str) -> impl Iterator<Item = String> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*').to_owned())
}
