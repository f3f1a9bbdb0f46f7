//! What is generated from this crate is what is checked in.

use std::path::Path;

fn assert_checked_in(file: &str, yields: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    let checked_in = std::fs::read_to_string(&path).unwrap();
    assert!(
        checked_in == yields,
        "{file} is not what the code yields: type `./x generate` and read the diff"
    );
}

#[test]
fn errors() {
    assert_checked_in(
        "spec/errors.md",
        &procura_server::problem::errors_markdown(),
    );
}

#[test]
fn configuration() {
    assert_checked_in("schema/config.md", &procura_server::config_markdown());
}

#[test]
fn openapi() {
    assert_checked_in("schema/openapi.json", &procura_server::api::openapi_json());
}
