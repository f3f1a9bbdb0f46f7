//! What is generated from the code and checked in is what the code yields.
//!
//! With `X_GENERATE` in the environment (`./x generate`) the files are written
//! instead of compared.

use super::root;

fn compare(file: &str, yields: &str) {
    let path = root().join(file);
    if std::env::var_os("X_GENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, yields).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == yields,
        "{file} is not what the code yields: run ./x generate and read the diff"
    );
}

#[test]
fn permission_matrix() {
    compare(
        "schema/permission-matrix.md",
        &procura_policy::permission_matrix(),
    );
}

#[test]
fn policy_schema() {
    compare("schema/policy.cedarschema", &procura_cedar::schema_text());
}

#[test]
fn errors() {
    compare(
        "spec/errors.md",
        &procura_server::problem::errors_markdown(),
    );
}

#[test]
fn configuration() {
    compare("schema/config.md", &procura_server::config_markdown());
}

#[test]
fn command_line() {
    let output = std::process::Command::new(procura_acceptance::program("procura"))
        .args(["__reference", "cli"])
        .output()
        .unwrap();
    compare("schema/cli.md", &String::from_utf8(output.stdout).unwrap());
}

#[test]
fn openapi() {
    compare("schema/openapi.json", &procura_server::api::openapi_json());
}
