//! A crowd at the sign-in, by what the process takes: each password that is hashed takes
//! 64 MiB, one is hashed at a time, and whoever does not fit into the queue is sent away.

use crate::scene::PATIENCE;
use procura_acceptance::Installation;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Who comes at once: more than may wait, and no more than one address may try in a row.
const CROWD: usize = 28;
/// Those that are hashed or wait.
const WAITING: usize = 16;
/// Half of what one hash takes, in KiB: what else a crowd takes is less, and a second hash
/// beside the first is more.
const HALF_A_HASH: u64 = 32 * 1024;

/// Sends a request and reads all of the answer: its status, and its text as it came.
fn ask(server: &Installation, request: &str) -> (u16, String) {
    let authority = server.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = request.replace("HOST", authority);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default().parse();
    (status.unwrap(), answer)
}

/// What stands between two marks.
fn between<'a>(text: &'a str, (before, after): (&str, &str)) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{text}"));
    rest.split_once(after).unwrap().0
}

/// The most memory that the server ever held at once, in KiB (proc(5), status).
fn most_memory(server: &Installation) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let found = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = found.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

#[test]
fn a_crowd_takes_the_memory_of_one() {
    let server = Installation::configured("[web]\nenabled = true\n");
    let page = "GET /sign-in HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";
    let (status, shown) = ask(&server, page);
    assert_eq!(status, 200, "{shown}");
    let visit = between(&shown, ("procura-visit=", ";"));
    let csrf = between(&shown, ("name=\"csrf\" value=\"", "\""));
    // Each under another name, so that none of them waits for what another one tried.
    let tries = |name: &str| {
        let form = format!("csrf={csrf}&next=&name={name}&password=wrong&code=000000");
        let head = [
            "POST /sign-in HTTP/1.1".to_owned(),
            "Host: HOST".to_owned(),
            "Connection: close".to_owned(),
            format!("Cookie: procura-visit={visit}"),
            "Origin: http://HOST".to_owned(),
            "Sec-Fetch-Site: same-origin".to_owned(),
            "Content-Type: application/x-www-form-urlencoded".to_owned(),
            format!("Content-Length: {}", form.len()),
        ];
        ask(&server, &format!("{}\r\n\r\n{form}", head.join("\r\n")))
    };
    let (status, said) = tries("first");
    assert_eq!(status, 401, "{said}");
    let of_one = most_memory(&server);
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let people: Vec<_> = (0..CROWD)
            .map(|place| {
                let tries = &tries;
                scope.spawn(move || tries(&format!("stranger-{place}")))
            })
            .collect();
        let ended = people.into_iter();
        ended.map(|person| person.join().unwrap()).collect()
    });
    let of_all = most_memory(&server);
    let mut hashed = 0;
    for (status, said) in &answers {
        match status {
            401 => hashed += 1,
            429 => assert!(said.contains("\r\nretry-after: 2\r\n"), "{said}"),
            _ => panic!("{said}"),
        }
    }
    assert!((WAITING..CROWD).contains(&hashed), "{hashed} of {CROWD}");
    let more = of_all - of_one;
    assert!(more < HALF_A_HASH, "{more} KiB more than for one");
}
