use procura_crypto::{LockError, LockedKey, lock_policy};
use procura_types::Secret;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::process::Command;

const CHILD: &str = "PROCURA_CRYPTO_TEST_CHILD";

/// Runs the named test of this binary again, alone in a process that may not
/// lock any memory: the policy and the limit are the whole process's. True in
/// the child, which then does the work.
fn in_child_without_locked_memory(test: &str) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "the variable is this test's own, to tell the child from the parent"
    )]
    if std::env::var_os(CHILD).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return false;
    }
    // Whoever has this capability is above the limit.
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).unwrap();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Memlock, none).unwrap();
    true
}

#[test]
fn without_locked_memory_there_are_no_keys() {
    if in_child_without_locked_memory("locked_memory::without_locked_memory_there_are_no_keys") {
        for _ in 0..2 {
            assert!(matches!(lock_policy(false), Err(LockError::Refused(_))));
            let key = LockedKey::new(Secret::new([1; 32]));
            assert!(matches!(key, Err(LockError::Refused(_))));
        }
        assert!(matches!(
            lock_policy(true),
            Err(LockError::PolicyAlreadySet)
        ));
    }
}

#[test]
fn danger_unlocked_memory_gives_keys_all_the_same() {
    if in_child_without_locked_memory(
        "locked_memory::danger_unlocked_memory_gives_keys_all_the_same",
    ) {
        lock_policy(true).unwrap();
        let key = LockedKey::new(Secret::new([1; 32])).unwrap();
        assert_eq!(key.expose(), &[1; 32]);
    }
}
