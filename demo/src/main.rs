//! The two strangers of the demonstration. Neither knows Procura.
//!
//! `procura-demo service` reads the key that it accepts from its first line of
//! input, prints its address, and answers requests that show the key.
//! `procura-demo child URL [NAME…]` is the agent's work: it reads `SHOP_API_KEY`
//! from its environment, shows it to the service, and fails when the service or
//! any further NAME is missing. It prints names and never values.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "these are programs for a person to watch, and the environment is what they are about"
)]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["service"] => service(),
        ["child", url, names @ ..] => child(url, names),
        _ => Err(io::Error::other(
            "usage: procura-demo service | procura-demo child URL [NAME…]",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers one request after the other until it is killed.
fn service() -> io::Result<()> {
    let mut key = String::new();
    io::stdin().lock().read_line(&mut key)?;
    let wanted = format!("authorization: bearer {}", key.trim());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        // A client that goes away early is its own concern.
        if let Err(error) = answer(stream, &wanted) {
            eprintln!("service: {error}");
        }
    }
}

fn answer(mut stream: TcpStream, wanted: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut accepted = false;
    for line in BufReader::new((&stream).take(16 * 1024)).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        accepted |= line.split_once(": ").is_some_and(|(name, value)| {
            let shown = format!(
                "{}: {}",
                name.to_ascii_lowercase(),
                value.replacen("Bearer", "bearer", 1)
            );
            shown == wanted
        });
    }
    let (status, words) = if accepted {
        ("200 OK", "your order is placed")
    } else {
        ("401 Unauthorized", "I do not know this key")
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{words}",
        words.len()
    )
}

/// Shows the key that the environment holds to the service at `url`.
fn child(url: &str, names: &[&str]) -> io::Result<()> {
    let of = |name: &str| {
        std::env::var(name)
            .map_err(|_| io::Error::other(format!("child: {name} is not in my environment")))
    };
    let key = of("SHOP_API_KEY")?;
    for name in names {
        of(name)?;
        println!("child: I also have {name}");
    }
    let address = url.strip_prefix("http://").unwrap_or(url);
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST /orders HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, words) = reply.split_once("\r\n\r\n").unwrap_or((reply.as_str(), ""));
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!(
            "child: the service refused me: {words}"
        )));
    }
    println!("child: the service says: {words}");
    Ok(())
}
