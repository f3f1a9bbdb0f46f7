//! A key management service behind TLS: who is trusted to be it, and what each mistake
//! with certificates is called.

use super::kms::{REGION, program};
use super::place::{Bring, Place, first, owned, private, wrapped};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let file = dir.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            file,
        }
    }

    /// A certificate for this address, and its key, in files.
    fn issue(&self, dir: &Path, name: &str, expired: bool) -> (PathBuf, PathBuf) {
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, file) = (
            dir.join(format!("{name}.cert")),
            dir.join(format!("{name}.key")),
        );
        std::fs::write(&cert, made.pem()).unwrap();
        private(&file, &key.serialize_pem());
        (cert, file)
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn spawn(command: &mut Command, address: SocketAddr) -> Server {
    let server = Server(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let end = Instant::now() + Duration::from_secs(120);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "{address} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// moto behind TLS.
fn moto(address: SocketAddr, (cert, key): &(PathBuf, PathBuf)) -> Server {
    let port = address.port().to_string();
    let mut command = Command::new(program());
    command.args(["-H", "127.0.0.1", "-p", &port]);
    command.arg("-c").arg(cert).arg("-k").arg(key);
    spawn(&mut command, address)
}

/// Makes a key, as nobody in particular: moto checks no signatures.
fn make_key(address: SocketAddr, authority: &Authority) -> String {
    let made = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "--max-time", "60", "--cacert"])
        .arg(&authority.file)
        .args(["-H", "Content-Type: application/x-amz-json-1.1"])
        .args(["-H", "X-Amz-Target: TrentService.CreateKey"])
        .arg("-H")
        .arg(format!(
            "Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/{REGION}/kms/aws4_request, SignedHeaders=host, Signature=0"
        ))
        .args(["-d", "{}"])
        .arg(format!("https://{address}/"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

/// Brings nothing: what the configuration names is taken.
fn configured(name: &str) -> Bring {
    Bring {
        unseal: owned(&["--source", name, "--configured"]),
        with: owned(&["--with", &format!("source:{name}"), "--with-configured"]),
        lines: Vec::new(),
    }
}

#[test]
fn the_service_is_believed_by_its_certificate_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let (good, other) = (Authority::new(at, "good"), Authority::new(at, "other"));
    let address = free();
    let _service = moto(address, &good.issue(at, "service", false));
    let key = make_key(address, &good);

    let (cert, file) = good.issue(at, "expired", true);
    let late = free();
    let _expired = spawn(
        Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &late.to_string()])
            .arg("-cert")
            .arg(cert)
            .arg("-key")
            .arg(file),
        late,
    );
    // Takes connections, and answers as HTTP without TLS does.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let without = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            use std::io::{Read as _, Write as _};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });

    let keys = at.join("keys");
    private(
        &keys,
        "aws_access_key_id = AKIDCANARY\naws_secret_access_key = canary/secret\n",
    );
    let no_pem = at.join("no.pem");
    std::fs::write(&no_pem, "no certificate\n").unwrap();
    let mut place = Place::new(at, "home", Vec::new());
    let add = |place: &Place, name: &str, endpoint: &str, ca: Option<&str>| {
        let (mut args, lines) = place.with(&["unseal-source", "add", name], &first());
        args.extend(owned(&["--kms", &key, "--region", REGION, "--endpoint"]));
        args.push(endpoint.to_owned());
        if let Some(ca) = ca {
            args.extend(owned(&["--endpoint-ca", ca]));
        }
        args.extend(owned(&["--credentials", keys.to_str().unwrap()]));
        place.run(&args, &lines)
    };
    let service = format!("https://{address}");
    for (endpoint, ca, code, words) in [
        (
            service.clone(),
            Some(other.file()),
            "another_wrapper",
            "the server's certificate is not of an authority that is trusted here",
        ),
        (
            service.clone(),
            None,
            "another_wrapper",
            "the server's certificate is not of an authority that is trusted here",
        ),
        (
            format!("https://localhost:{}", address.port()),
            Some(good.file()),
            "another_wrapper",
            "the server's certificate is for another name",
        ),
        (
            format!("https://{late}"),
            Some(good.file()),
            "another_wrapper",
            "the server's certificate has expired",
        ),
        (
            format!("https://{without}"),
            Some(good.file()),
            "another_wrapper",
            "the server answers without TLS",
        ),
        (
            service.clone(),
            no_pem.to_str(),
            "wrapper_unfit",
            "certificates: none found in the PEM text",
        ),
    ] {
        let refused = add(&place, "cloud", &endpoint, ca);
        let failure: Value = serde_json::from_str(refused.err.lines().last().unwrap()).unwrap();
        assert_eq!(
            failure["problem"]["code"], code,
            "{endpoint}: {}",
            refused.err
        );
        assert!(refused.err.contains(words), "{endpoint}: {}", refused.err);
    }
    // A service is nothing to guess at, and nobody is slowed for it.
    let wrong = Bring {
        lines: owned(&["not the passphrase"]),
        ..Bring::default()
    };
    let (args, lines) = place.with(&["unseal-source", "test"], &wrong);
    let refused = place.run(&args, &lines);
    let one = "(1 refused since the last right one)";
    assert!(refused.err.contains(one), "{}", refused.err);
    place.test(&first());
    assert_eq!(place.names(), ["passphrase"]);
    let added = add(&place, "cloud", &service, Some(good.file()));
    assert_eq!(added.code, 0, "{}", added.err);
    assert_eq!(place.test(&wrapped("cloud", Some(&keys)))["name"], "cloud");

    // At the next start the configuration says where it is, and whom to trust.
    let file = place.cli.home.join("procura.toml");
    let configure = |ca: &str| {
        let text = format!(
            "[unseal_credentials]\ncloud = {keys:?}\n[unseal_at.cloud]\nregion = \"{REGION}\"\nendpoint = \"{service}\"\nca = {ca:?}\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    for (ca, code) in [
        (other.file(), Some("another_wrapper")),
        ("/nonexistent/ca.pem", Some("wrapper_unfit")),
        (good.file(), None),
    ] {
        place.stop();
        configure(ca);
        place.start();
        match code {
            Some(code) => place.not_unsealed(&configured("cloud"), code),
            None => place.unseal(&configured("cloud")),
        }
    }
}
