//! One program for all targets; `PROCURA_FUZZ_TARGET` says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static RUN: LazyLock<fn(&[u8]) -> procura_fuzz::Verdict> = LazyLock::new(|| {
    let name = std::env::var("PROCURA_FUZZ_TARGET").unwrap_or_default();
    match procura_fuzz::target(&name) {
        Some(target) => target.run,
        None => {
            let names: Vec<_> = procura_fuzz::TARGETS
                .iter()
                .map(|target| target.name)
                .collect();
            eprintln!("PROCURA_FUZZ_TARGET is one of: {}", names.join(" "));
            std::process::exit(64);
        }
    }
});

fuzz_target!(|data: &[u8]| {
    RUN(data);
});
