//! Schemas of the types that are text in JSON.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

/// A string with the rule that it follows.
pub(crate) fn text(rule: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .description(Some(rule));
    RefOr::T(Schema::Object(object.build()))
}
