//! OpenAPI 3.1 from the endpoints themselves: `schema/openapi.json`.

use crate::serve::Endpoint;
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
        let mut document = Self {
            paths: PathsBuilder::new(),
            components: ComponentsBuilder::new()
                .security_scheme(SCHEME, SecurityScheme::ApiKey(scheme)),
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

    fn operation<B: ToSchema + 'static, A: ToSchema + 'static>(
        &mut self,
        summary: &str,
        path: &str,
        query: &[&str],
        status: u16,
    ) -> OperationBuilder {
        let text = || {
            RefOr::T(Schema::Object(
                ObjectBuilder::new()
                    .schema_type(SchemaType::Type(Type::String))
                    .build(),
            ))
        };
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
                "The native API. Shapes and rules: spec/protocol.md §9; errors: spec/errors.md.",
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

/// The names in `{braces}`.
fn parameters(path: &str) -> impl Iterator<Item = String> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*').to_owned())
}
