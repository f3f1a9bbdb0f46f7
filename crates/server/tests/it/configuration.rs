//! `procura.toml` and the environment: every key, and what is refused.

use procura_server::{Config, ConfigError};
use std::path::Path;

fn load(text: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let home = tempfile::tempdir().unwrap();
    if let Some(text) = text {
        std::fs::write(home.path().join("procura.toml"), text).unwrap();
    }
    let environment = environment
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Config::load(home.path().to_owned(), None, environment)
}

/// A value of each key that differs from the default.
fn another(key: &str) -> &'static str {
    match key {
        "listen" | "health_listen" => "\"127.0.0.1:1\"",
        "danger_stop_at" => "\"old-root-gone\"",
        "danger_stop_activation_at" => "\"key-changed\"",
        "danger_unlocked_memory" | "danger_plain_guard" | "danger_async_standby" | "cortexauth" => {
            "true"
        }
        "rate_address" | "rate_agent" | "rate_route" | "rate_device_grants" => "\"5/s burst 7\"",
        "trusted_proxies" => "[\"10.0.0.0/8\", \"::1\"]",
        "tls_cert"
        | "tls_key"
        | "passphrase_file"
        | "public_url"
        | "guard_url"
        | "guard_password_file"
        | "database_url"
        | "database_password_file"
        | "database_ca" => "\"/some/thing\"",
        "agent_service" => "\"shop/fleet\"",
        "auto_unseal" => "[\"hsm\"]",
        "unseal_credentials" => "{ hsm = \"/some/thing\" }",
        "unseal_at" => "{ hsm = { module = \"/some/thing\" } }",
        "auth_mode" => "\"observe\"",
        "otlp_endpoint" | "danger_telegram_api" => "\"http://127.0.0.1:4318\"",
        "otlp_ratio" => "0.5",
        "notify_networks" => "[\"10.0.0.0/8\"]",
        "web" => "{ enabled = true }",
        "oidc" => "{ work = { issuer = \"https://id.example\", client_id = \"procura\" } }",
        _ => "77",
    }
}

#[test]
fn every_key_is_read_from_the_file_and_from_the_environment() {
    let shape = |config: &Config| {
        let home = config.home.display().to_string();
        format!("{config:?}").replace(&home, "HOME")
    };
    for (key, _, documentation) in Config::KEYS {
        assert!(!documentation.trim().is_empty(), "{key}");
        let plain = shape(&load(None, &[]).unwrap());
        let from_file = shape(&load(Some(&format!("{key} = {}", another(key))), &[]).unwrap());
        assert_ne!(from_file, plain, "{key}");
        let name = format!("PROCURA_{}", key.to_ascii_uppercase());
        let bare = another(key).trim_matches('"');
        for text in [another(key), bare] {
            let from_environment = shape(&load(None, &[(&name, text)]).unwrap());
            assert_eq!(from_environment, from_file, "{name}={text}");
        }
    }
}

#[test]
fn values_of_another_type_are_refused_with_their_place() {
    for text in [
        "listen = \"nowhere\"",
        "request_seconds = -1",
        "max_connections = \"many\"",
        "rate_agent = \"often\"",
        "rate_agent = 5",
        "trusted_proxies = \"10.0.0.0/8\"",
        "trusted_proxies = [\"10.0.0.0/33\"]",
        "agent_service = \"fleet\"",
        "agent_service = \"shop/Fleet\"",
        "auth_mode = \"enfroce\"",
        "auth_mode = \"Enforce\"",
        "auth_mode = \"\"",
        "auth_mode = true",
        "otlp_endpoint = \"https://collector.example\"",
        "otlp_endpoint = \"127.0.0.1:4318\"",
        "otlp_ratio = 1.5",
        "otlp_ratio = \"all\"",
        "web = true",
        "web = { enabled = \"yes\" }",
        "[web]\nenable = true",
        "unseal_at = { hsm = { module = \"some/thing\" } }",
        "unseal_at = { hsm = { path = \"/some/thing\" } }",
        "unseal_at = { HSM = { module = \"/some/thing\" } }",
        "= 1",
        "listen = ",
    ] {
        let error = load(Some(text), &[]).unwrap_err();
        assert!(
            matches!(&error, ConfigError::Parse { path, .. } if path.ends_with("procura.toml")),
            "{error}"
        );
    }
    for (name, text) in [
        ("PROCURA_LISTEN", "nowhere"),
        ("PROCURA_REQUEST_SECONDS", "soon"),
        ("PROCURA_DANGER_UNLOCKED_MEMORY", "yes"),
    ] {
        let error = load(None, &[(name, text)]).unwrap_err();
        assert!(
            matches!(&error, ConfigError::Environment { name: found, .. } if found == name),
            "{error}"
        );
    }
}

#[test]
fn unknown_keys_are_refused_and_variables_of_others_are_not_ours() {
    let error = load(Some("listem = \"127.0.0.1:1\""), &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("did you mean `listen`?"), "{error}");
    let error = load(None, &[("PROCURA_NOTHING_LIKE_IT", "1")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PROCURA_NOTHING_LIKE_IT: is no key of Procura"
    );
    let others = [
        ("PROCURA_HOME", "/x"),
        ("PROCURA_SERVER", "x"),
        ("PATH", "/bin"),
        ("procura_listen", "x"),
    ];
    load(None, &others).unwrap();
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing.toml");
    let named = |file: &Path| Config::load(home.path().to_owned(), Some(file), []);
    let error = named(&missing).unwrap_err();
    assert!(
        matches!(&error, ConfigError::Read { path, .. } if *path == missing),
        "{error}"
    );
    load(None, &[]).unwrap();
}

#[test]
fn a_shared_database_needs_a_shared_guard_and_the_rest_of_it_needs_a_database() {
    let checked = |text: &str| {
        let refused = load(Some(text), &[]).unwrap().check().unwrap_err();
        refused.to_string()
    };
    let url = "database_url = \"postgres://p@127.0.0.1/v\"";
    assert!(checked(url).starts_with("database_url needs guard_url"));
    for (text, why) in [
        (
            "database_url = \"postgres://p:hush@a/v\"",
            "has a password in it",
        ),
        (
            "database_url = \"mysql://p@a/v\"",
            "does not begin with postgres://",
        ),
        (
            "database_ca = \"/ca.pem\"",
            "database_ca says nothing without",
        ),
        (
            "database_password_file = \"/p\"",
            "database_password_file says nothing without",
        ),
        (
            "danger_async_standby = true",
            "danger_async_standby says nothing without",
        ),
        (
            "max_stale_seconds = 0",
            "max_stale_seconds must be at least 1",
        ),
        (
            "server_absent_seconds = 299",
            "server_absent_seconds must be at least 300",
        ),
    ] {
        let said = checked(text);
        assert!(
            said.contains(why) && !said.contains("hush"),
            "{text}: {said}"
        );
    }
    let both = format!("{url}\nguard_url = \"redis://127.0.0.1:1\"");
    load(Some(&both), &[]).unwrap().check().unwrap();
}
