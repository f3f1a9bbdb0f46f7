//! `installation.json` of format 1: one passphrase, whose derived key sealed the root
//! itself. It is read, and becomes one of the present format when it is unsealed,
//! since the passphrase is needed for that.

use crate::error::SealError;
use crate::installation::Installation;
use crate::keyring::Keyring;
use crate::root::Root;
use crate::unseal_source::{Brought, Keeper, NewSource, Source};
use procura_crypto::{Argon2Params, SealingKey};
use procura_types::wire::PublicJwk;
use procura_types::{Entropy, InstallationId, Timestamp, encoding};
use serde::Deserialize;

/// The format.
pub(crate) const FORMAT: u32 = 1;

/// The name that its source gets.
const NAME: &str = "passphrase";

/// Where its root was sealed.
pub(crate) const PATH: &[u8] = b"passphrase";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    id: InstallationId,
    created: Timestamp,
    root_epoch: u32,
    #[serde(with = "encoding::serde_b64url")]
    sentinel: Vec<u8>,
    passphrase: Passphrase,
    server_key: PublicJwk,
    ledger_vkey: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Passphrase {
    argon2: Argon2Params,
    #[serde(with = "encoding::serde_b64url")]
    root: Vec<u8>,
}

/// Reads it. What it makes opens with its passphrase and bears the old format's
/// number; it is never written.
pub(crate) fn read(bytes: &[u8]) -> Result<Installation, serde_json::Error> {
    let stored: Stored = serde_json::from_slice(bytes)?;
    let name = NAME.parse().map_err(serde::de::Error::custom)?;
    Ok(Installation {
        format: stored.format,
        id: stored.id,
        created: stored.created,
        root_epoch: stored.root_epoch,
        sentinel: stored.sentinel,
        sources: vec![Source {
            name,
            added: stored.created,
            keeper: Keeper::FirstFormat {
                argon2: stored.passphrase.argon2,
            },
            key: SealingKey::none(),
            root: stored.passphrase.root,
        }],
        sources_tag: Vec::new(),
        server_key: stored.server_key,
        ledger_vkey: stored.ledger_vkey,
    })
}

impl Installation {
    /// The same of the present format, with the passphrase that was brought as its
    /// source; `None` when it is of that format.
    pub(crate) fn renewed(
        &self,
        root: &Root,
        brought: &Brought,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Option<Self>, SealError> {
        let ([source], Brought::Passphrase(passphrase)) = (self.sources.as_slice(), brought) else {
            return Ok(None);
        };
        if self.format != FORMAT {
            return Ok(None);
        }
        let new = NewSource::passphrase(source.name.clone(), passphrase, entropy)?;
        let sources = vec![new.seal(&self.id, root, source.added)?];
        Self::describe(self.id, self.created, root, sources, keyring, entropy).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::binding;
    use procura_crypto::{Purpose, SystemEntropy, XaesKey, derive_passphrase_key, seal};
    use procura_types::Secret;
    use serde_json::json;

    const PASSPHRASE: &str = "correct horse battery";

    fn typed(passphrase: &str) -> Brought {
        Brought::Passphrase(Secret::new(passphrase.to_owned()))
    }

    /// A file as it was written when there was one passphrase.
    fn written(root: &Root, id: &InstallationId, keyring: &Keyring) -> Vec<u8> {
        let entropy = &SystemEntropy;
        let argon2 = Argon2Params::generate(entropy).unwrap();
        let key = derive_passphrase_key(PASSPHRASE, &argon2).unwrap();
        let place = binding(id, PATH, root.epoch, Purpose::RootWrap);
        let key = XaesKey::new(key).unwrap();
        let sealed = seal(&key, root.epoch, &place, entropy, root.expose()).unwrap();
        let sentinel = root.sentinel(id, entropy).unwrap();
        let present = Installation::describe(
            *id,
            Timestamp::from_millis(0),
            root,
            vec![
                NewSource::passphrase(
                    NAME.parse().unwrap(),
                    &Secret::new(PASSPHRASE.into()),
                    entropy,
                )
                .unwrap()
                .seal(id, root, Timestamp::from_millis(0))
                .unwrap(),
            ],
            keyring,
            entropy,
        )
        .unwrap();
        serde_json::to_vec(&json!({
            "format": 1,
            "id": id,
            "created": present.created,
            "root_epoch": root.epoch,
            "sentinel": encoding::b64url(&sentinel),
            "passphrase": { "argon2": argon2, "root": encoding::b64url(&sealed) },
            "server_key": present.server_key,
            "ledger_vkey": present.ledger_vkey,
        }))
        .unwrap()
    }

    #[test]
    fn a_file_of_the_first_format_opens_and_becomes_one_of_the_present() {
        let entropy = &SystemEntropy;
        let id = InstallationId::from_bytes([1; 16]);
        let root = Root::generate(3, entropy).unwrap();
        let keyring = Keyring::generate(entropy).unwrap();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("installation.json");
        std::fs::write(&path, written(&root, &id, &keyring)).unwrap();

        let old = Installation::read(home.path()).unwrap();
        let wrong = old.open_root(&typed("not the passphrase")).err().unwrap();
        assert!(matches!(wrong, SealError::WrongPassphrase), "{wrong}");
        let (opened, source) = old.open_root(&typed(PASSPHRASE)).unwrap();
        assert_eq!(
            (opened.expose(), source.name.as_str()),
            (root.expose(), NAME)
        );

        let present = old
            .renewed(&opened, &typed(PASSPHRASE), &keyring, entropy)
            .unwrap()
            .unwrap();
        present.write(home.path()).unwrap();
        let read = Installation::read(home.path()).unwrap();
        assert_eq!((read.format, read.root_epoch), (2, 3));
        let (again, _) = read.open_root(&typed(PASSPHRASE)).unwrap();
        assert_eq!(again.expose(), root.expose());
        let nothing = read.renewed(&again, &typed(PASSPHRASE), &keyring, entropy);
        assert!(nothing.unwrap().is_none(), "once is enough");
    }
}
