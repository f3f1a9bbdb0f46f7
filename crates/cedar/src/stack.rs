//! Room for what calls itself as deep as a policy is nested.

/// The stack on which a text is parsed and checked, and on which policies decide that go
/// deep. It is more than four times what the deepest takes that is let through, also in a
/// build that is not optimised; only what is used of it takes memory.
const STACK: usize = 64 * 1024 * 1024;

/// Runs what may need much stack in a thread that has it; nothing if it fails there.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
