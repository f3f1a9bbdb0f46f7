//! Work that ends with its owner.

use procura_record::Running;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

#[tokio::test]
async fn stopping_returns_when_the_work_has_ended() {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    let (starting, started) = oneshot::channel();
    let running = Running::start(|mut stopping| async move {
        assert!(!stopping.is_told());
        starting.send(()).unwrap();
        stopping.told().await;
        assert!(stopping.is_told());
        // Told once is told for ever; what is left is done before the end.
        stopping.told().await;
        tokio::task::yield_now().await;
        seen.store(true, Ordering::Relaxed);
    });
    started.await.unwrap();
    running.stop().await;
    assert!(ended.load(Ordering::Relaxed));
    running.stop().await;
}

#[tokio::test]
async fn what_is_dropped_is_told_to_end_and_ends_by_itself() {
    let (ending, ended) = oneshot::channel();
    let running = Running::start(|mut stopping| async move {
        stopping.told().await;
        ending.send("what was left").unwrap();
    });
    drop(running);
    assert_eq!(ended.await.unwrap(), "what was left");
}

#[tokio::test]
async fn work_that_ended_or_panicked_is_stopped_at_once() {
    Running::start(|_| async {}).stop().await;
    Running::start(|_| async { panic!("as tested") })
        .stop()
        .await;
}
