//! Files in the homes of server and daemon.

use crate::Verdict;
use crate::wire::stable;
use crate::world::{NOW, WORLD, scratch};
use procura_daemon::DeviceStore;
use procura_server::Config;
use procura_vault::{Installation, Keeper};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

fn write(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// `procura.toml`, and after a NUL byte lines of the environment: what is not
/// safe is refused, and the environment wins.
pub(crate) fn config(data: &[u8]) -> Verdict {
    let home = scratch();
    let mut parts = data.splitn(2, |byte| *byte == 0);
    write(
        &home.path().join("procura.toml"),
        parts.next().unwrap_or_default(),
    );
    let environment = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let mut variables = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
    let config = match Config::load(home.path().to_owned(), None, variables.clone()) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Verdict::Refused;
        }
    };
    if config.check().is_ok() {
        assert!(config.tls_cert.is_some() || config.listen.ip().is_loopback());
        assert_eq!(config.tls_cert.is_some(), config.tls_key.is_some());
        assert!(config.request_seconds > 0 && config.max_connections > 0);
    }
    let last = variables.rfind(|(name, _)| {
        let key = name.strip_prefix("PROCURA_");
        key.is_some_and(|key| key.eq_ignore_ascii_case("listen"))
    });
    if let Some((_, text)) = last
        && let Ok(address) = text.parse()
    {
        assert_eq!(config.listen, address);
    }
    Verdict::Accepted
}

/// `installation.json`: nobody lowers the cost of guessing the passphrase.
pub(crate) fn installation(data: &[u8]) -> Verdict {
    let home = scratch();
    write(&home.path().join("installation.json"), data);
    let read = Installation::read(home.path());
    if let Ok(read) = &read {
        assert!(matches!(read.format, 1 | 2));
        for source in &read.sources {
            if let Keeper::Passphrase { argon2 } | Keeper::FirstFormat { argon2 } = &source.keeper {
                assert!(argon2.memory_kib >= 64 * 1024 && argon2.passes >= 3);
            }
        }
        // One of the first format is never written.
        assert!(read.format == 1 || stable::<Installation>(data));
    }
    Verdict::of(read.is_ok())
}

/// A device's file: it bears the name of its key, and is written as it was read.
pub(crate) fn device_file(data: &[u8]) -> Verdict {
    let home = scratch();
    let store = DeviceStore::open(&home.path().join("daemon")).unwrap();
    let name = WORLD.agent.public().thumbprint();
    write(&home.path().join(format!("daemon/{name}.json")), data);
    let Ok(devices) = store.load(NOW) else {
        return Verdict::Refused;
    };
    for device in &devices {
        assert_eq!(device.thumbprint(), name);
        store.save(device).unwrap();
    }
    let again = store.load(NOW).expect("what was saved");
    assert_eq!(again.len(), devices.len());
    for (one, two) in devices.iter().zip(&again) {
        assert!(one.key.to_secret_bytes() == two.key.to_secret_bytes());
        assert_eq!(
            (one.uid, one.created, one.actor),
            (two.uid, two.created, two.actor)
        );
        assert_eq!((&one.url, &one.ca_pem), (&two.url, &two.ca_pem));
        assert_eq!(one.membership().is_some(), two.membership().is_some());
    }
    Verdict::of(!devices.is_empty())
}
