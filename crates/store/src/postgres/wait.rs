//! Waiting for a future for a bounded time, on whatever thread the caller is.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What the future yields, or `None` when it did not within `limit`.
///
/// The thread sleeps meanwhile. A worker of a runtime gives its other tasks away
/// first, so that a database that does not answer holds up its own callers only.
pub(super) fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let many = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if many {
        tokio::task::block_in_place(|| park(limit, future))
    } else {
        park(limit, future)
    }
}

fn park<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    // The budget of the caller's task does not count: nobody would refill it here.
    let mut future = pin!(tokio::task::unconstrained(future));
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let begun = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = limit.checked_sub(begun.elapsed())?;
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn answered() -> Option<u8> {
        let (answer, question) = oneshot::channel();
        let thread = std::thread::spawn(move || answer.send(7).unwrap());
        let found = within(Duration::from_secs(20), question);
        thread.join().unwrap();
        found.map(Result::unwrap)
    }

    #[test]
    fn waits_outside_and_inside_of_runtimes_and_no_longer_than_told() {
        assert_eq!(answered(), Some(7));
        let one = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert_eq!(one.block_on(async { answered() }), Some(7));
        let many = tokio::runtime::Runtime::new().unwrap();
        let task = many.spawn(async { answered() });
        assert_eq!(many.block_on(task).unwrap(), Some(7));
        let never = std::future::pending::<()>();
        assert_eq!(within(Duration::from_millis(5), never), None);
    }
}
