//! The root: what the unseal sources open, and what opens the keyring
//! (`protocol.md` §5).

use crate::error::SealError;
use crate::first_format;
use crate::keyring::{Keyring, random_key};
use crate::unseal_source::Source;
use procura_crypto::{
    Binding, Holder, LockedKey, MacKey, OpenError, OpeningKey, Purpose, SealingKey, XaesKey,
    envelope_epoch, hkdf_sha256, open, seal,
};
use procura_types::{Entropy, FieldTuple, InstallationId, Label, Secret, SecretBytes};

const SENTINEL: &[u8] = b"procura sentinel v1";

/// The root, only for as long as it takes to open or make a keyring.
pub(crate) struct Root {
    pub(crate) epoch: u32,
    key: Secret<[u8; 32]>,
}

impl Root {
    pub(crate) fn generate(epoch: u32, entropy: &dyn Entropy) -> Result<Self, SealError> {
        Ok(Self {
            epoch,
            key: random_key(entropy)?,
        })
    }

    pub(crate) fn from_bytes(epoch: u32, bytes: &SecretBytes) -> Result<Self, SealError> {
        let key = bytes.expose().as_slice().try_into();
        Ok(Self {
            epoch,
            key: key
                .map(Secret::new)
                .map_err(|_| SealError::Damaged("the root has the wrong length".to_owned()))?,
        })
    }

    #[cfg(test)]
    pub(crate) const fn expose(&self) -> &[u8; 32] {
        self.key.expose()
    }

    fn derived_bytes(&self, info: &str) -> Secret<[u8; 32]> {
        hkdf_sha256::<32>(self.key.expose(), b"procura.root.v1", info.as_bytes())
    }

    fn derived(&self, info: &str) -> Result<XaesKey, SealError> {
        Ok(XaesKey::new(self.derived_bytes(info))?)
    }

    /// Wraps the keys of namespaces.
    pub(crate) fn namespace_kek(&self) -> Result<XaesKey, SealError> {
        self.derived("namespace")
    }

    /// Seals it to an unseal source, whose keeper need not be there.
    pub(crate) fn seal_to(
        &self,
        id: &InstallationId,
        source: &Label,
        key: &SealingKey,
    ) -> Result<Vec<u8>, SealError> {
        let place = binding(
            id,
            source.as_str().as_bytes(),
            self.epoch,
            Purpose::RootWrap,
        );
        Ok(key.seal(self.epoch, &place, self.key.expose())?)
    }

    /// Opens what was sealed to a source; `None` when this is not its key.
    pub(crate) fn open_with(
        id: &InstallationId,
        epoch: u32,
        source: &Source,
        key: &OpeningKey,
    ) -> Result<Option<Self>, SealError> {
        if envelope_epoch(&source.root) != Ok(epoch) {
            return Err(SealError::Damaged(format!(
                "the unseal source {} holds no root of epoch {epoch}",
                source.name
            )));
        }
        let place = binding(
            id,
            source.name.as_str().as_bytes(),
            epoch,
            Purpose::RootWrap,
        );
        match key.open(&place, &source.root) {
            Ok((_, bytes)) => Self::from_bytes(epoch, &bytes).map(Some),
            Err(OpenError::Refused) => Ok(None),
            Err(error) => Err(SealError::Damaged(error.to_string())),
        }
    }

    /// Seals it to an open server of the same installation.
    pub(crate) fn hand_over(
        &self,
        id: &InstallationId,
        home: &str,
        key: &SealingKey,
    ) -> Result<Vec<u8>, SealError> {
        let path = handover_path(home);
        let place = binding(id, path.as_bytes(), self.epoch, Purpose::RootWrap);
        Ok(key.seal(self.epoch, &place, self.key.expose())?)
    }

    /// Opens what was sealed to this server.
    ///
    /// # Errors
    /// [`SealError::NotHandedOver`] when it is not for this key, or not of this epoch.
    pub(crate) fn handed_over(
        id: &InstallationId,
        epoch: u32,
        home: &str,
        key: &OpeningKey,
        sealed: &[u8],
    ) -> Result<Self, SealError> {
        let path = handover_path(home);
        let place = binding(id, path.as_bytes(), epoch, Purpose::RootWrap);
        match key.open(&place, sealed) {
            Ok((_, bytes)) => Self::from_bytes(epoch, &bytes),
            Err(_) => Err(SealError::NotHandedOver),
        }
    }

    /// Opens what the derived key of a passphrase sealed in the first format; `None`
    /// when the passphrase is another.
    pub(crate) fn open_first_format(
        id: &InstallationId,
        epoch: u32,
        sealed: &[u8],
        key: Secret<[u8; 32]>,
    ) -> Result<Option<Self>, SealError> {
        let key = XaesKey::new(key)?;
        let place = binding(id, first_format::PATH, epoch, Purpose::RootWrap);
        match open(|found| (found == epoch).then_some(&key), &place, sealed) {
            Ok(bytes) => Self::from_bytes(epoch, &bytes).map(Some),
            Err(OpenError::Refused) => Ok(None),
            Err(error) => Err(SealError::Damaged(error.to_string())),
        }
    }

    /// The constant that shows that a root is this one.
    pub(crate) fn sentinel(
        &self,
        id: &InstallationId,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let place = binding(id, b"sentinel", self.epoch, Purpose::Sentinel);
        let key = self.derived("sentinel")?;
        Ok(seal(&key, self.epoch, &place, entropy, SENTINEL)?)
    }

    pub(crate) fn check_sentinel(
        &self,
        id: &InstallationId,
        sentinel: &[u8],
    ) -> Result<(), SealError> {
        let key = self.derived("sentinel")?;
        let found: SecretBytes = open(
            |epoch| (epoch == self.epoch).then_some(&key),
            &binding(id, b"sentinel", self.epoch, Purpose::Sentinel),
            sentinel,
        )
        .map_err(|error| SealError::Damaged(format!("the sentinel does not open: {error}")))?;
        if found.expose().as_slice() != SENTINEL {
            return Err(SealError::Damaged("the sentinel is another".to_owned()));
        }
        Ok(())
    }

    /// Binds the list of unseal sources to this root. Whoever can write
    /// `installation.json` could else add a key of their own, to which the next root
    /// would be sealed.
    pub(crate) fn sources_tag(
        &self,
        id: &InstallationId,
        sources: &[Source],
    ) -> Result<[u8; 32], SealError> {
        let (key, tuple) = self.sources_mac(id, sources)?;
        Ok(key.sign(&[tuple.as_bytes()]))
    }

    pub(crate) fn check_sources(
        &self,
        id: &InstallationId,
        sources: &[Source],
        tag: &[u8],
    ) -> Result<(), SealError> {
        let (key, tuple) = self.sources_mac(id, sources)?;
        if key.verify(&[tuple.as_bytes()], tag) {
            return Ok(());
        }
        Err(SealError::Damaged(
            "the list of unseal sources is not the vault's own".to_owned(),
        ))
    }

    fn sources_mac(
        &self,
        id: &InstallationId,
        sources: &[Source],
    ) -> Result<(MacKey, FieldTuple), SealError> {
        let key = MacKey::from_locked(LockedKey::new(self.derived_bytes("sources"))?);
        let list =
            serde_json::to_vec(sources).map_err(|error| SealError::Damaged(error.to_string()))?;
        let tuple = FieldTuple::new("procura.unseal-sources.v1")
            .bytes(id.as_bytes())
            .u32(self.epoch)
            .bytes(&list);
        Ok((key, tuple))
    }

    pub(crate) fn seal_keyring(
        &self,
        id: &InstallationId,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let key = self.derived("keyring")?;
        Ok(seal(
            &key,
            self.epoch,
            &keyring_binding(id, self.epoch),
            entropy,
            keyring.to_bytes()?.expose(),
        )?)
    }

    pub(crate) fn open_keyring(
        &self,
        id: &InstallationId,
        envelope: &[u8],
    ) -> Result<Keyring, SealError> {
        let key = self.derived("keyring")?;
        let bytes = open(
            |epoch| (epoch == self.epoch).then_some(&key),
            &keyring_binding(id, self.epoch),
            envelope,
        )
        .map_err(|_| SealError::KeyringMismatch)?;
        Keyring::from_bytes(&bytes)
    }
}

/// No unseal source has a name with a slash in it.
fn handover_path(home: &str) -> String {
    format!("handover/{home}")
}

pub(crate) fn binding<'a>(
    id: &'a InstallationId,
    path: &'a [u8],
    epoch: u32,
    purpose: Purpose,
) -> Binding<'a> {
    Binding {
        holder: Holder::Installation(id),
        class: "credentials",
        path,
        version: u64::from(epoch),
        purpose,
    }
}

fn keyring_binding(id: &InstallationId, epoch: u32) -> Binding<'_> {
    binding(id, b"keyring", epoch, Purpose::Keyring)
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;

    #[test]
    fn a_root_that_sealed_another_sentinel_is_refused() {
        let (entropy, id) = (&SystemEntropy, InstallationId::from_bytes([1; 16]));
        let root = Root::generate(1, entropy).unwrap();
        let good = root.sentinel(&id, entropy).unwrap();
        root.check_sentinel(&id, &good).unwrap();
        let key = root.derived("sentinel").unwrap();
        let place = binding(&id, b"sentinel", 1, Purpose::Sentinel);
        let other = seal(&key, 1, &place, entropy, b"another").unwrap();
        let error = root.check_sentinel(&id, &other).err().unwrap();
        assert!(
            matches!(&error, SealError::Damaged(what) if what == "the sentinel is another"),
            "{error}"
        );
    }
}
