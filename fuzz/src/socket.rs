//! The daemon's socket: messages, and the memory file that values come in.

use crate::Verdict;
use crate::wire::stable;
use procura_daemon::socket::{Ask, Greeting, Reply};
use procura_daemon::{ValuesError, receive_values, sealed_file};
use procura_types::Delivery;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Messages either way.
pub(crate) fn message(data: &[u8]) -> Verdict {
    let ask = stable::<Ask>(data);
    let reply = stable::<Reply>(data);
    let greeting = stable::<Greeting>(data);
    assert!(!(ask && (reply || greeting)), "a question is no answer");
    Verdict::of(ask || reply || greeting)
}

/// A memory file with these bytes, sealed as far as this says.
fn memory_file(bytes: &[u8], seals: SealFlags) -> File {
    let made = memfd_create(
        "procura-fuzz",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    );
    let file = File::from(made.unwrap());
    file.write_all_at(bytes, 0).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

/// Values: those that come through can be sent again as the same bytes, and
/// never anything that an environment cannot hold or the loader listens to.
pub(crate) fn values(data: &[u8]) -> Verdict {
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    let Ok(values) = receive_values(memory_file(data, all), Delivery::Env) else {
        return Verdict::Refused;
    };
    // What an environment holds, files hold too.
    assert!(receive_values(memory_file(data, all), Delivery::File).is_ok());
    for (name, value) in &values {
        assert!(!value.expose().contains(&0));
        assert!(!name.as_str().starts_with("LD_"));
    }
    let sent = File::from(sealed_file(&values, Delivery::Env).expect("what came can be sent"));
    let mut again = vec![0; usize::try_from(sent.metadata().unwrap().len()).unwrap()];
    sent.read_exact_at(&mut again, 0).unwrap();
    assert!(again == data, "values have one form");
    assert!(sent.write_all_at(b"x", 0).is_err(), "sealed");
    let open = receive_values(memory_file(data, SealFlags::WRITE), Delivery::Env);
    assert!(matches!(open, Err(ValuesError::Unsealed(_))));
    Verdict::Accepted
}
