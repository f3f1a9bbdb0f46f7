//! A server that a host asks without a link code, and that goes by the name of an
//! installation which somebody of this host has joined.

use crate::fake::{Fake, INSTALLATION};
use crate::host::{Host, own_uid};
use procura_daemon::DaemonError;
use procura_daemon::socket::client::{JoinDeviceOptions, JoinOptions};
use procura_types::exit;
use procura_types::wire::PublicJwk;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// A server with this key that answers whoever asks, as the installation of the tests.
fn server(key: PublicJwk) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let at = url.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &at, &key);
        }
    });
    url
}

fn answer(stream: &TcpStream, url: &str, key: &PublicJwk) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let said = match first.starts_with("GET ") {
        true => json!({
            "issuer": url,
            "device_authorization_endpoint": format!("{url}/oauth/device_authorization"),
            "token_endpoint": format!("{url}/oauth/token"),
            "jwks_uri": format!("{url}/.well-known/jwks.json"),
            "grant_types_supported": [],
            "response_types_supported": ["none"],
            "token_endpoint_auth_methods_supported": ["none"],
            "procura_server_key": key,
            "procura_installation": INSTALLATION,
        }),
        false => json!({
            "device_code": "AAAA",
            "user_code": "WDJB-MJHT",
            "verification_uri": format!("{url}/device"),
            "verification_uri_complete": format!("{url}/device?user_code=WDJB-MJHT"),
            "expires_in": 600,
            "interval": 5,
        }),
    };
    let body = said.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

/// What the host says to a user who asks the server with this key.
fn asks(host: &Host, key: &PublicJwk) -> Result<String, DaemonError> {
    let options = JoinDeviceOptions {
        url: server(key.clone()),
        ca_pem: None,
        uid: None,
        host: None,
    };
    let (waiting, _) = host.connect().join_device(options)?;
    Ok(waiting.user_code)
}

fn is_impostor(asked: Result<String, DaemonError>) {
    let error = asked.unwrap_err();
    assert_eq!((error.exit(), error.code()), (exit::REFUSED, "impostor"));
}

#[test]
fn a_server_of_another_key_than_the_installation_has_is_refused() {
    let host = Host::new();
    let (known, other) = (host.fake.script().server_key.clone(), Fake::server_key());
    // Of an installation that nobody knows here the person compares the fingerprint.
    assert_eq!(asks(&host, &other).unwrap(), "WDJB-MJHT");
    host.join(1).unwrap();
    is_impostor(asks(&host, &other));
    assert_eq!(asks(&host, &known).unwrap(), "WDJB-MJHT");
}

#[test]
fn what_another_user_joined_says_nothing_about_who_is_an_impostor() {
    let host = Host::new();
    let (known, made_up) = (host.fake.script().server_key.clone(), Fake::server_key());
    // Another user was first, with a server that they made up.
    host.fake.script().server_key = made_up.clone();
    let of_another = JoinOptions {
        uid: Some(1),
        ..JoinOptions::default()
    };
    let joined = host.connect().join(&Fake::code(1), of_another);
    if own_uid() != 0 {
        // Without root there is nobody here to join for another user.
        assert_eq!(joined.unwrap_err().code(), "not_root");
        return;
    }
    joined.unwrap();
    assert_eq!(asks(&host, &known).unwrap(), "WDJB-MJHT");
    // And it does not vouch for theirs to whoever has joined.
    host.fake.script().server_key = known.clone();
    host.join(2).unwrap();
    is_impostor(asks(&host, &made_up));
    assert_eq!(asks(&host, &known).unwrap(), "WDJB-MJHT");
}
