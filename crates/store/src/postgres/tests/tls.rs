//! A server that is reached encrypted, with a password.

use super::super::{PostgresEngine, PostgresFault, PostgresOptions};
use super::world::{ID, World};
use procura_types::Secret;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// An authority of its own, and what it signed for `localhost`.
struct Authority {
    client: Arc<ClientConfig>,
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let server = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&server, &issuer)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            client: Arc::new(client),
            certificate: signed.pem(),
            key: server.serialize_pem(),
        }
    }
}

fn write(world: &World, path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    world.server.give(path);
}

#[test]
fn certificate_and_password_are_looked_at() {
    let world = World::new();
    let store = world.store();
    let authority = Authority::new("ours");
    let (server, folder) = (&world.server, world.server.folder());
    write(&world, &folder.join("server.pem"), &authority.certificate);
    write(&world, &folder.join("server.key"), &authority.key);
    server.tell("postgres", "ALTER ROLE procura PASSWORD 'open sesame'");
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    write(&world, &folder.join("data/pg_hba.conf"), rules);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    world.set("ssl_cert_file", &path("server.pem"));
    world.set("ssl_key_file", &path("server.key"));
    world.set("ssl", "on");

    let open = |host: &str, password: &str, tls: Option<&Authority>| {
        let url = server.url(&store.name).replace("127.0.0.1", host);
        let mut options = PostgresOptions::new(url.parse().unwrap());
        options.password = Some(Secret::new(password.to_owned()));
        options.tls = tls.map(|authority| Arc::clone(&authority.client));
        PostgresEngine::open(options, &ID).map(drop)
    };
    open("localhost", "open sesame", Some(&authority)).unwrap();
    let refused = open("localhost", "sesame", Some(&authority)).unwrap_err();
    assert!(
        matches!(&refused, PostgresFault::NotLetIn { cause, .. } if cause.contains("28P01")),
        "{refused:?}"
    );
    assert!(!refused.to_string().contains("sesame"), "{refused}");
    let plain = open("localhost", "open sesame", None).unwrap_err();
    assert!(
        matches!(&plain, PostgresFault::NotLetIn { cause, .. } if cause.contains("no encryption")),
        "{plain:?}"
    );
    // Another authority.
    let strange = open("localhost", "open sesame", Some(&Authority::new("another"))).unwrap_err();
    assert!(
        matches!(&strange, PostgresFault::Unreachable { cause, .. } if cause.contains("UnknownIssuer")),
        "{strange:?}"
    );
    // A name that the certificate does not have.
    let misnamed = open("127.0.0.1", "open sesame", Some(&authority)).unwrap_err();
    assert!(
        matches!(&misnamed, PostgresFault::Unreachable { cause, .. } if cause.contains("not valid for name")),
        "{misnamed:?}"
    );
    // A server that does not encrypt, or somebody on the way who says that it does not,
    // is told no password.
    let rules = "local all all trust\nhost all all 127.0.0.1/32 password\n";
    write(&world, &folder.join("data/pg_hba.conf"), rules);
    world.set("ssl", "off");
    let bare = open("localhost", "open sesame", Some(&authority)).unwrap_err();
    assert!(
        matches!(&bare, PostgresFault::Unreachable { cause, .. } if cause.contains("does not support TLS")),
        "{bare:?}"
    );
    // Where nobody asks for encryption on this machine, that server lets in.
    open("localhost", "open sesame", None).unwrap();
}
