//! A mail server on this machine that speaks TLS from the first byte on, and takes what it
//! is sent. One that was written by others stands in `tests/acceptance`; this one is
//! started and ended within a test's own time.

use procura_types::encoding::from_b64_any;
use rustls_pki_types::PrivateKeyDer;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Who it is: its place, and a certificate for `localhost`.
pub(crate) struct Mailbox {
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
    acceptor: TlsAcceptor,
    texts: Arc<Mutex<Vec<String>>>,
    /// While it is closed. The port is nobody else's, and takes no connection.
    socket: Option<TcpSocket>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Mailbox {
    /// One that takes no connection yet.
    pub(crate) fn closed() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            port: socket.local_addr().unwrap().port(),
            ca_pem: made.cert.pem(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            texts: Arc::default(),
            socket: Some(socket),
            task: None,
        }
    }

    /// Takes mail from here on.
    pub(crate) fn open(&mut self) {
        let listener = self.socket.take().unwrap().listen(16).unwrap();
        let (acceptor, texts) = (self.acceptor.clone(), Arc::clone(&self.texts));
        self.task = Some(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, texts) = (acceptor.clone(), Arc::clone(&texts));
                // Whoever breaks off has sent nothing.
                tokio::spawn(async move { drop(serve(stream, acceptor, texts).await) });
            }
        }));
    }

    /// The texts that it took.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    texts: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    stream.write_all(b"220 mail.test ESMTP\r\n").await?;
    stream.flush().await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split([' ', '\r']).next().unwrap_or_default();
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "MAIL" | "RCPT" => "250 ok\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                stream.flush().await?;
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut message).await? == 0 {
                        return Ok(());
                    }
                }
                texts.lock().unwrap().push(text_of(&message));
                "250 taken\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "502 what\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// What stands in a message behind its headers, in base64.
fn text_of(message: &str) -> String {
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    let body = body.strip_suffix(".\r\n").unwrap().replace("\r\n", "");
    String::from_utf8(from_b64_any(&body).unwrap()).unwrap()
}
