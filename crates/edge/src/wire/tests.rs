use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const SOON: Duration = Duration::from_millis(50);
/// More than anything takes, however busy the machine is.
const LATE: Duration = Duration::from_secs(60);
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn limits(head_time: Duration, stall_time: Duration) -> Limits {
    Limits {
        heads: Heads {
            bytes: 1024,
            nameless: false,
        },
        head_time,
        stall_time,
    }
}

/// A wire and the client's end of it.
fn wire(head_time: Duration) -> (Wire<DuplexStream>, DuplexStream) {
    let (server, client) = duplex(64);
    let limits = limits(head_time, Duration::from_secs(60));
    (Wire::on_socket(server, limits), client)
}

async fn read(wire: &mut Wire<DuplexStream>) -> Vec<u8> {
    let mut buffer = [0; 256];
    let length = wire.read(&mut buffer).await.unwrap();
    buffer[..length].to_vec()
}

#[tokio::test]
async fn what_was_looked_at_is_read_again() {
    let (mut wire, mut client) = wire(LATE);
    client.write_all(HEAD).await.unwrap();
    assert!(!wire.begins_with_preface().await.unwrap());
    wire.http1(None);
    assert_eq!(read(&mut wire).await, HEAD);
    let (mut wire, mut client) = self::wire(LATE);
    let (first, rest) = PREFACE.split_at(5);
    client.write_all(first).await.unwrap();
    let begins = tokio::spawn(async move {
        let begins = wire.begins_with_preface().await.unwrap();
        (begins, read(&mut wire).await)
    });
    client.write_all(rest).await.unwrap();
    assert_eq!(begins.await.unwrap(), (true, PREFACE.to_vec()));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_refused_and_who_says_nothing_is_left() {
    let (mut wire, mut client) = wire(SOON);
    wire.http1(None);
    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read(&mut wire).await, REFUSED);
    assert_eq!(wire.signals().flaw(), Some(Flaw::HeadTooSlow));
    let (mut wire, mut client) = self::wire(Duration::from_secs(60));
    wire.http1(Some(Instant::now() + SOON));
    // An empty line is nothing.
    client.write_all(b"\r\n").await.unwrap();
    assert_eq!(read(&mut wire).await, b"");
    assert_eq!(wire.signals().flaw(), None);
    // A first head has the shorter of both times.
    let (mut wire, mut client) = self::wire(Duration::from_secs(60));
    wire.http1(Some(Instant::now() + SOON * 20));
    client.write_all(b"GET").await.unwrap();
    assert_eq!(read(&mut wire).await, REFUSED);
}

#[tokio::test]
async fn a_head_that_came_in_time_is_not_late_because_nobody_read_it() {
    const IN_TIME: Duration = Duration::from_secs(2);
    let (mut wire, mut client) = wire(IN_TIME);
    wire.http1(None);
    let (first, rest) = HEAD.split_at(10);
    client.write_all(first).await.unwrap();
    let mut buffer = [0; 256];
    let early = tokio::time::timeout(SOON / 5, wire.read(&mut buffer)).await;
    assert!(early.is_err(), "it is not whole");
    client.write_all(rest).await.unwrap();
    tokio::time::sleep(IN_TIME + SOON).await;
    assert_eq!(read(&mut wire).await, HEAD);
}

#[tokio::test]
async fn behind_a_flaw_nothing_is_read() {
    let (mut wire, mut client) = wire(LATE);
    wire.http1(None);
    client
        .write_all(b"GET / HTTP/1.1\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(read(&mut wire).await, REFUSED);
    assert_eq!(wire.signals().flaw(), Some(Flaw::LineEnd));
    let mut buffer = [0; 16];
    let more = tokio::time::timeout(SOON, wire.read(&mut buffer)).await;
    assert!(more.is_err());
    // In a body whoever reads it fails.
    let (mut wire, mut client) = self::wire(LATE);
    wire.http1(None);
    let head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(read(&mut wire).await, head);
    client.write_all(b"x\r\n").await.unwrap();
    let broken = wire.read(&mut buffer).await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::InvalidData);
    assert_eq!(wire.signals().flaw(), Some(Flaw::Chunk));
}

#[tokio::test]
async fn who_takes_nothing_is_cut_and_who_takes_a_little_is_not() {
    let long = [b'x'; 1000];
    let (server, client) = duplex(8);
    let mut wire = Wire::on_socket(server, limits(SOON, SOON));
    let cut = wire.write_all(&long).await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
    drop(client);
    // In all it takes longer than it may without any progress.
    let (server, mut client) = duplex(100);
    let mut wire = Wire::on_socket(server, limits(SOON, SOON * 40));
    let slow = tokio::spawn(async move {
        let mut buffer = [0; 100];
        let mut taken = 0;
        while taken < 1000 {
            tokio::time::sleep(SOON * 5).await;
            taken += client.read(&mut buffer).await.unwrap();
        }
    });
    wire.write_all(&long).await.unwrap();
    slow.await.unwrap();
}
