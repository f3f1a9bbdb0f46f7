//! Without the section `[web]` there are no pages.

use crate::actors::Actors;
use crate::world::{Sent, World};

#[tokio::test]
async fn there_are_no_pages_unless_it_is_said() {
    let actors = Actors::within(World::empty()).await;
    for target in ["/", "/sign-in", "/requests", "/assets/style.css", "/device"] {
        let mut sent = Sent::new("GET", target, None);
        sent.headers
            .push(("accept".to_owned(), "text/html".to_owned()));
        let answer = actors.world.send(&sent).await;
        answer.expect("not_found", None, None, target);
        assert!(!answer.headers.contains_key("set-cookie"), "{target}");
        assert!(answer.text().contains("[web] enabled = true"), "{target}");
    }
    // Elsewhere nothing is said of them.
    let none = actors.world.send(&Sent::new("GET", "/none", None)).await;
    none.expect("not_found", None, None, "/none");
    assert!(!none.text().contains("[web]"), "{}", none.text());
}
