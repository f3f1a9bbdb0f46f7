//! More people at the sign-in at once than may wait there: whoever is over is sent away at
//! once and told when to come again, nothing is hashed for them, and who signs in from where
//! they did before does not notice.

use crate::pages::{PASSWORD, Person};
use crate::signing_in::{Door, counted, everybody, from, hashes};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::task::Poll;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
/// Those of strangers that are hashed or wait.
const WAITING: usize = 16;
/// What a stranger types as a password.
const TYPED: &str = "typed by a stranger 7";
/// Who comes at once.
const CROWD: u8 = 40;

/// What comes of all of them, which are under way together.
async fn all<T>(sent: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = sent.into_iter().map(|one| Some(Box::pin(one))).collect();
    let mut answers = Vec::new();
    poll_fn(|context| {
        for place in &mut waiting {
            let Some(one) = place else { continue };
            let polled = one.as_mut().poll(context);
            if let Poll::Ready(answer) = polled {
                answers.push(answer);
                *place = None;
            }
        }
        match waiting.iter().any(Option::is_some) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    })
    .await;
    answers
}

#[tokio::test]
async fn whoever_is_over_comes_again_and_who_was_here_before_goes_through() {
    let actors = everybody().await;
    let world = &actors.world;
    let mut anna = Person::new(actors, "anna").await;
    let door = Door::of(world).await;
    let first = door.form("anna", PASSWORD, &anna.code());
    assert_eq!(from(world, &first, HOME).await.status, 303);
    let own = door.form("anna", PASSWORD, &anna.code());
    // Each of another name and from another place, so that none of them waits for what
    // another one tried.
    let forms: Vec<_> = (0..CROWD)
        .map(|place| {
            let name = format!("stranger-{place}");
            let form = door.form(&name, TYPED, "000000");
            (form, IpAddr::from([10, 3, 0, place]))
        })
        .chain([(own, HOME)])
        .collect();
    let before = hashes(world);
    let sent = forms.iter().map(|(form, peer)| async move {
        let answer = from(world, form, *peer).await;
        (*peer, answer)
    });
    let answers = all(sent.collect()).await;
    let (mut wrong, mut sent_away) = (0, 0);
    for (peer, answer) in &answers {
        let text = answer.text();
        match answer.status.as_u16() {
            303 => assert_eq!(*peer, HOME),
            401 => wrong += 1,
            429 => {
                sent_away += 1;
                assert_eq!(answer.headers["retry-after"], "2");
                assert_eq!(answer.headers["cache-control"], "no-store");
                assert!(
                    text.contains("Wait a little before you try again"),
                    "{text}"
                );
                // The form is there again, with the name and without the password.
                assert!(text.contains("value=\"stranger-"), "{text}");
                assert!(!text.contains(TYPED), "{text}");
            }
            other => panic!("{other}: {text}"),
        }
        assert_eq!(*peer == HOME, answer.status == 303, "{peer}: {text}");
    }
    assert_eq!(wrong + sent_away, usize::from(CROWD));
    // One that ended while others came left its place to one of them.
    assert!((WAITING..usize::from(CROWD)).contains(&wrong), "{wrong}");
    let hashed = usize::try_from(hashes(world) - before).unwrap();
    assert_eq!(hashed, wrong + 1, "who is sent away costs no hash");
    let busy = "procura_password_sign_ins_total{outcome=\"busy\"} ";
    assert_eq!(counted(world, busy), u64::try_from(sent_away).unwrap());
    let entries = actors.recorded("web_login.start").await;
    let of_busy: Vec<_> = entries
        .iter()
        .filter(|entry| entry["reason"] == "busy")
        .collect();
    assert_eq!(of_busy.len(), sent_away);
    // What was typed as a name is nobody's, and may be a password.
    for entry in of_busy {
        assert!(!entry.to_string().contains("stranger"), "{entry}");
    }
    // Then there is room again.
    let (form, peer) = &forms[0];
    assert_eq!(from(world, form, *peer).await.status, 401);
}
