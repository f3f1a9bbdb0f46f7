//! What the server does not start with, each with its own exit code.

use crate::process::{
    Home, admin, config, get, private_directory, private_file, raw, refused, start,
};
use crate::world::{PASSPHRASE, init_body};
use procura_client::{Client, ClientError, ClientOptions};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_server::{Config, ConfigError, StartError};
use procura_types::{Clock, Timestamp, exit};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        crate::process::NOW
    }
}

/// A certificate for loopback: the files of the server, the authority of clients.
fn certificate(home: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (home.join("cert.pem"), home.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    private_file(&key, &made.signing_key.serialize_pem());
    (cert, key, made.cert.pem().into_bytes())
}

#[test]
fn plain_http_stays_on_loopback() {
    let home = private_directory();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7310"] {
        let error = refused(Config {
            listen: listen.parse().unwrap(),
            ..config(home.path())
        });
        assert!(
            matches!(&error, StartError::Config(ConfigError::Contradiction(text)) if text.contains("loopback only")),
            "{error}"
        );
        assert_eq!(error.exit_code(), exit::CONFIG);
    }
    // Nothing was made on the way to the refusal.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn contradictions_are_named() {
    let home = private_directory();
    let plain = || config(home.path());
    let lone = Some(PathBuf::from("/nowhere.pem"));
    for (config, word) in [
        (
            Config {
                tls_cert: lone.clone(),
                ..plain()
            },
            "tls_key",
        ),
        (
            Config {
                tls_key: lone,
                ..plain()
            },
            "tls_cert",
        ),
        (
            Config {
                request_seconds: 0,
                ..plain()
            },
            "request_seconds",
        ),
        (
            Config {
                max_connections: 0,
                ..plain()
            },
            "max_connections",
        ),
        (
            Config {
                max_connections_per_address: Some(0),
                ..plain()
            },
            "max_connections_per_address",
        ),
        (
            Config {
                head_seconds: 0,
                ..plain()
            },
            "head_seconds",
        ),
        (
            Config {
                idle_seconds: 0,
                ..plain()
            },
            "idle_seconds",
        ),
        (
            Config {
                stall_seconds: 0,
                ..plain()
            },
            "stall_seconds",
        ),
    ] {
        let error = refused(config);
        assert!(
            matches!(&error, StartError::Config(ConfigError::Contradiction(text)) if text.contains(word)),
            "{error}"
        );
    }
}

#[test]
fn tls_from_pem_files() {
    let home = Home::new();
    let (cert, key, authority) = certificate(home.path());
    let server = start(Config {
        tls_cert: Some(cert),
        tls_key: Some(key),
        ..home.unsealed()
    })
    .unwrap();
    let url = server.ready["api"].as_str().unwrap();
    assert!(url.starts_with("https://"));
    let client = |ca_pem| {
        let options = ClientOptions {
            ca_pem,
            ..ClientOptions::default()
        };
        Client::new(url, options, Arc::new(Still), Arc::new(SystemEntropy)).unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = runtime.block_on(client(Some(authority)).status()).unwrap();
    assert!(!status.sealed);
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let error = runtime
        .block_on(client(Some(stranger.cert.pem().into_bytes())).status())
        .unwrap_err();
    assert!(!matches!(error, ClientError::Refused(..)), "{error}");
    // Plain HTTP on the same port is not answered as if it were.
    let plain = raw(
        server.api(),
        format!("GET /v1/status HTTP/1.1\r\nHost: {}\r\n\r\n", server.api()).as_bytes(),
    );
    assert!(!plain.0.starts_with("HTTP/"), "{}", plain.0);
    assert_eq!(get(server.health(), "/health").status(), 200);
}

#[test]
fn pem_files_that_are_none_are_refused() {
    let home = Home::new();
    let (cert, key, _) = certificate(home.path());
    let other = tempfile::tempdir().unwrap();
    let (other_cert, _, _) = certificate(other.path());
    let garbage = home.path().join("garbage.pem");
    private_file(&garbage, "-----BEGIN CERTIFICATE-----\n!!!\n");
    // Private enough for a key, and none.
    let private_cert = home.path().join("private-cert.pem");
    private_file(&private_cert, &std::fs::read_to_string(&cert).unwrap());
    for (tls_cert, tls_key) in [
        (&garbage, &key),
        (&cert, &garbage),
        (&key, &key),
        (&cert, &private_cert),
        (&other_cert, &key),
        (&home.path().join("missing.pem"), &key),
    ] {
        let error = refused(Config {
            tls_cert: Some(tls_cert.clone()),
            tls_key: Some(tls_key.clone()),
            ..home.config()
        });
        assert!(matches!(error, StartError::Tls(_)), "{error}");
        assert_eq!(error.exit_code(), exit::START_TLS);
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let home = Home::new();
    let (cert, key, _) = certificate(home.path());
    for mode in [0o640, 0o604, 0o644] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(Config {
            tls_cert: Some(cert.clone()),
            tls_key: Some(key.clone()),
            ..home.config()
        });
        assert_eq!(
            error.to_string(),
            format!(
                "TLS: tls_key: {0} is open to others (mode {mode:04o}); type: chmod 600 {0}",
                key.display()
            )
        );
        assert_eq!(error.exit_code(), exit::START_TLS);
    }
}

#[test]
fn a_passphrase_file_that_others_can_read_stops_the_start() {
    let home = Home::new();
    let config = home.unsealed();
    let file = config.passphrase_file.clone().unwrap();
    for mode in [0o640, 0o604, 0o622] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(config.clone());
        assert_eq!(
            error.to_string(),
            format!(
                "passphrase_file: {0} is open to others (mode {mode:04o}); type: chmod 600 {0}",
                file.display()
            )
        );
        assert_eq!(error.exit_code(), exit::START_PASSPHRASE);
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
    start(config).unwrap();
}

#[test]
fn a_home_is_its_owners_alone() {
    let home = Home::new();
    for mode in [0o755, 0o710, 0o701, 0o777] {
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(home.config());
        assert!(
            matches!(&error, StartError::Home { problem, .. } if problem.contains("chmod 700")),
            "{error}"
        );
        assert_eq!(error.exit_code(), exit::START_HOME);
    }
    let file = home.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = refused(config(&file));
    assert!(
        matches!(&error, StartError::Home { problem, .. } if problem.contains("not a directory")),
        "{error}"
    );
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    start(home.config()).unwrap();
}

#[test]
fn the_files_of_a_home_are_its_owners_alone() {
    let home = Home::new();
    for name in ["installation.json", "procura.db", "spool.jsonl"] {
        let path = home.path().join(name);
        let set = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o644, 0o640, 0o602] {
            set(mode);
            let error = refused(home.config());
            let shown = path.display();
            assert_eq!(
                error.to_string(),
                format!("{shown}: is open to others (mode {mode:04o}); type: chmod 600 {shown}")
            );
            assert_eq!(error.exit_code(), exit::START_HOME);
        }
        set(0o600);
    }
    start(home.config()).unwrap();
}

#[test]
fn a_new_home_is_made_for_its_owner_and_initialised_over_the_socket() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("new/home");
    let server = start(config(&home)).unwrap();
    assert_eq!(
        std::fs::metadata(&home).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        get(server.health(), "/health").json()["status"],
        "uninitialised"
    );
    assert_eq!(
        get(server.api(), "/v1/namespaces").problem().0,
        "not_initialised"
    );
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    assert_eq!(
        admin(&home, "/admin/init", &init_body(&key, PASSPHRASE)).status(),
        200
    );
    assert_eq!(get(server.health(), "/health").json()["status"], "ok");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let home = private_directory();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = refused(Config {
        listen,
        ..config(home.path())
    });
    assert!(
        matches!(&error, StartError::Listen { address, .. } if *address == listen.to_string()),
        "{error}"
    );
    assert_eq!(error.exit_code(), exit::START_LISTEN);
}

#[test]
fn a_home_in_use_is_refused() {
    let home = Home::new();
    let database = home.path().join(procura_server::admin::DATABASE);
    let id = procura_vault::Installation::read(home.path()).unwrap().id;
    let held = procura_store::Store::open(
        &database,
        &id,
        &procura_store::SqliteOptions::default(),
        Arc::new(Still),
        Arc::new(SystemEntropy),
    )
    .unwrap();
    let error = refused(home.config());
    assert!(matches!(error, StartError::InUse), "{error}");
    assert_eq!(error.exit_code(), exit::START_IN_USE);
    drop(held);
    start(home.config()).unwrap();
}

#[test]
fn what_stands_in_the_home_is_checked() {
    let (home, other) = (Home::new(), Home::new());
    let file = |home: &Home| home.path().join("installation.json");
    let whole = std::fs::read_to_string(file(&home)).unwrap();
    let with = |text: &str| {
        std::fs::write(file(&home), text).unwrap();
        refused(home.config())
    };
    let newer = with(&whole.replacen("\"format\": 2", "\"format\": 9", 1));
    assert!(matches!(newer, StartError::NewerFormat(_)), "{newer}");
    assert_eq!(newer.exit_code(), exit::START_NEWER_FORMAT);
    let damaged = with(&whole[..whole.len() / 2]);
    assert!(matches!(damaged, StartError::Damaged(_)), "{damaged}");
    assert_eq!(damaged.exit_code(), exit::START_DAMAGED);
    let foreign = with(&std::fs::read_to_string(file(&other)).unwrap());
    assert!(
        matches!(foreign, StartError::OtherInstallation(_)),
        "{foreign}"
    );
    assert_eq!(foreign.exit_code(), exit::START_OTHER_INSTALLATION);
    std::fs::write(file(&home), whole).unwrap();
    start(home.config()).unwrap();
}

#[test]
fn a_passphrase_file_that_does_not_open_it_stops_the_start() {
    let home = Home::new();
    let config = home.unsealed();
    std::fs::write(
        config.passphrase_file.as_ref().unwrap(),
        "another passphrase\n",
    )
    .unwrap();
    let error = refused(config.clone());
    assert!(matches!(error, StartError::Passphrase(_)), "{error}");
    assert_eq!(error.exit_code(), exit::START_PASSPHRASE);
    assert!(!error.to_string().contains("another passphrase"), "{error}");
    std::fs::remove_file(config.passphrase_file.as_ref().unwrap()).unwrap();
    assert!(matches!(refused(config), StartError::Passphrase(_)));
}

#[test]
fn exit_codes_are_one_for_each_reason() {
    let io = || std::io::Error::other("cause");
    let text = String::new;
    let codes = [
        StartError::Home {
            path: PathBuf::new(),
            problem: text(),
        },
        StartError::InUse,
        StartError::NewerFormat(text()),
        StartError::OtherInstallation(text()),
        StartError::Damaged(text()),
        StartError::RolledBack(text()),
        StartError::Listen {
            address: text(),
            cause: io(),
        },
        StartError::Tls(procura_server::TlsError::Pair(text())),
        StartError::Passphrase(text()),
    ]
    .map(|error| error.exit_code());
    assert_eq!(codes, [80, 81, 82, 83, 84, 85, 86, 87, 89]);
}
