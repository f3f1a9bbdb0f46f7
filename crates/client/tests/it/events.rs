//! A stream of events, as a server or somebody else sends it.

use crate::server::{Answer, Authority, TestClock, client, listen, problem};
use bytes::Bytes;
use http::Response;
use procura_client::{ClientError, SessionClient, Told};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::wire::EventKind;
use std::sync::{Arc, Mutex};

const GRANT: &str = concat!(
    r#"{"entry":"01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11","time":"2026-11-21T09:12:37.000Z","#,
    r#""action":"grant.withdraw","namespace":"shop","resource":"grant/x"}"#,
);

fn answer(media_type: &str, body: String) -> Answer {
    Response::builder()
        .status(200)
        .header("content-type", media_type)
        .body(Bytes::from(body))
        .unwrap()
}

fn events(body: &str) -> Answer {
    answer("text/event-stream", body.to_owned())
}

/// A client whose server answers so, under the session or, `forged`, by itself.
async fn asking(answered: Answer, forged: bool) -> (SessionClient, Arc<Mutex<Vec<String>>>) {
    let device = Arc::new(SigningKey::generate_p256(&SystemEntropy).unwrap());
    let clock = TestClock::new();
    let authority = Authority::new(device.public(), &clock);
    let key = authority.key.public().clone();
    let queries = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&queries);
    let url = listen(move |got| {
        if got.path == "/v1/events" {
            let query = got.query.clone().unwrap_or_default();
            asked.lock().unwrap().push(query);
            if forged {
                return answered.clone();
            }
        }
        authority.handle(got, |_, _| answered.clone())
    })
    .await;
    let client = client(&url, Some(key), &clock);
    (SessionClient::new(client, device), queries)
}

#[tokio::test]
async fn messages_are_told_in_their_order_and_say_where_to_go_on() {
    let body = format!(
        ": hello\nid: 4\n\nevent: request\ndata: {GRANT}\n\nevent: grant\nid: 5\ndata: {GRANT}\n\n\
         event: of-later\nid: 6\ndata: x\n\nevent: reset\nid: 9\ndata: {{}}\n\n:\nid: 12\n\n"
    );
    let (client, queries) = asking(events(&body), false).await;
    let mut stream = client.events(Some(3), true).await.unwrap();
    assert_eq!(*queries.lock().unwrap(), ["after=3&follow=true"]);
    assert_eq!(stream.last(), Some(3));
    let told = stream.next().await.unwrap().unwrap();
    let Told::Event(EventKind::Request, event) = told else {
        panic!("{told:?}");
    };
    assert_eq!(event.action, "grant.withdraw");
    // Half of an approval: who breaks off here gets both again.
    assert_eq!((stream.last(), stream.entry()), (Some(4), None));
    let told = stream.next().await.unwrap().unwrap();
    assert!(matches!(told, Told::Event(EventKind::Grant, _)), "{told:?}");
    assert_eq!((stream.last(), stream.entry()), (Some(5), Some(5)));
    assert_eq!(stream.next().await.unwrap(), Some(Told::Reset));
    assert_eq!(stream.last(), Some(9));
    assert_eq!(stream.next().await.unwrap(), None);
    assert_eq!(stream.last(), Some(12));
}

#[tokio::test]
async fn what_is_no_stream_of_ours_is_not_understood() {
    for wrong in [
        events("event: grant\nid: 5\ndata: {}\n\n"),
        events("event: grant\nid: five\ndata: {}\n\n"),
        events("data: \u{0}\nid: -1\n\n"),
        events(&"a".repeat(300_000)),
    ] {
        let (client, _) = asking(wrong, false).await;
        let mut stream = client.events(None, true).await.unwrap();
        let refused = stream.next().await.unwrap_err();
        assert!(
            matches!(refused, ClientError::NotUnderstood { .. }),
            "{refused}"
        );
    }
    let (client, _) = asking(answer("application/json", "{}".to_owned()), false).await;
    // Its tag covers the body, which is not read before it is known what it is.
    let refused = client.events(None, true).await.err().unwrap();
    assert!(matches!(refused, ClientError::Impostor { .. }), "{refused}");
}

#[tokio::test]
async fn nobody_opens_a_stream_in_the_servers_place() {
    let body = format!("event: grant\nid: 5\ndata: {GRANT}\n\n");
    let (client, _) = asking(events(&body), true).await;
    let refused = client.events(None, true).await.err().unwrap();
    assert!(matches!(refused, ClientError::Impostor { .. }), "{refused}");
}

#[tokio::test]
async fn a_refusal_is_told_as_one() {
    let sealed = problem(503, "sealed", None);
    let (client, _) = asking(sealed, true).await;
    let refused = client.events(None, true).await.err().unwrap();
    assert!(refused.is_refusal("sealed"), "{refused}");
}
