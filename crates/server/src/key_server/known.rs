//! Which keys an agent of another system has now: the device that was enrolled under
//! its id, or else its file, and the secrets of its id.

use super::agent_keys::{AgentKeys, KeyFile};
use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use procura_crypto::PublicKey;
use procura_directory::{ForeignRecord, Snapshot};
use procura_identity::{SecretTerms, agent_secrets};
use procura_proof::agent_session::AgentKeyMark;
use procura_proof::foreign::legacy::{LegacyKey, LegacyKeys, LegacyMark};
use procura_proof::foreign::{AgentSecret, Foreign, ForeignKey, ForeignKeys, KeysUnavailable};
use procura_store::Store;
use procura_types::{ForeignId, Timestamp};
use std::hint::black_box;
use std::sync::Arc;

/// Nobody's: made ready for who has no secret, as it takes as long.
const STAND_IN: &str = "0000000000000000000000000000000000000000000";

/// The keys of agents at one moment.
pub(crate) struct KeysNow<'a> {
    files: &'a AgentKeys,
    snapshot: &'a Snapshot,
    secrets: Option<(&'a Store, SecretTerms)>,
    now: Timestamp,
}

impl<'a> KeysNow<'a> {
    /// Those that a profile is verified with.
    pub(crate) fn of(
        profile: Foreign,
        app: &'a App,
        open: &'a Open,
        snapshot: &'a Snapshot,
        now: Timestamp,
    ) -> Self {
        let public = Self::public(app, snapshot, now);
        match profile {
            Foreign::KeyServerV1 | Foreign::GuideV1 => public,
            Foreign::HmacV1 | Foreign::HmacV2 => Self {
                secrets: Some((open.vault.store(), app.config.agent_secret_terms())),
                ..public
            },
        }
    }

    /// Those that are no secrets.
    pub(crate) const fn public(app: &'a App, snapshot: &'a Snapshot, now: Timestamp) -> Self {
        Self {
            files: &app.key_server.keys,
            snapshot,
            secrets: None,
            now,
        }
    }

    /// The public key of an id. One that was enrolled with a key of its own has that
    /// and no other: whoever can write files on the server takes nobody's place by
    /// that, and a key that was revoked does not come back as a file.
    pub(crate) fn public_key(&self, id: &ForeignId) -> Result<Option<Public>, KeysUnavailable> {
        let bound = self.snapshot.foreign(id);
        if let Some(device) = bound.and_then(|bound| bound.device) {
            let device = self.snapshot.device(&device);
            let device = device.filter(|device| device.revoked.is_none());
            return Ok(device.map(|device| Public::Enrolled {
                key: device.key.clone(),
                since: device.created,
            }));
        }
        Ok(self.files.get(id)?.map(Public::File))
    }

    /// Whether an id stands for an agent that is not active any more.
    pub(crate) fn is_revoked(&self, id: &ForeignId) -> bool {
        let bound: Option<&Arc<ForeignRecord>> = self.snapshot.foreign(id);
        bound.is_some_and(|bound| !self.snapshot.is_active(&bound.actor))
    }

    fn secrets(&self, id: &ForeignId) -> Result<Vec<Arc<AgentSecret>>, KeysUnavailable> {
        let Some((store, terms)) = &self.secrets else {
            return Ok(Vec::new());
        };
        // Looked up also for who stands for nobody, since that takes time.
        let stored = agent_secrets(store, id, terms, self.now);
        let stored = stored.map_err(|error| {
            tracing::error!(%error, "the secrets of an agent cannot be read");
            KeysUnavailable
        })?;
        let known = self.snapshot.foreign(id).is_some() && !stored.texts.is_empty();
        let texts: Vec<&str> = match known {
            true => stored
                .texts
                .iter()
                .map(|text| text.expose().as_str())
                .collect(),
            false => vec![STAND_IN],
        };
        let secrets: Result<Vec<Arc<AgentSecret>>, _> = texts
            .into_iter()
            .map(|text| AgentSecret::new(text).map(Arc::new))
            .collect();
        let secrets = secrets.map_err(|error| {
            tracing::error!(%error, "no locked memory for the secret of an agent");
            KeysUnavailable
        })?;
        Ok(black_box(secrets).into_iter().filter(|_| known).collect())
    }
}

/// Whether an id has a key file, so that it is somebody's already towards services that
/// ask here, bound or not. Who cannot tell says no to whoever wants it.
pub(crate) fn has_key_file(app: &App, id: &ForeignId) -> Result<bool, Failure> {
    app.key_server.keys.has_file(id).map_err(|_| {
        Failure::new(
            Code::VerifierUnavailable,
            "The key files of agents cannot be read now, so nobody gets an id.",
        )
    })
}

/// The public key of an agent.
pub(crate) enum Public {
    /// Of the device that was enrolled under the id.
    Enrolled { key: PublicKey, since: Timestamp },
    /// Of its file.
    File(KeyFile),
}

impl Public {
    pub(crate) fn key(&self) -> &PublicKey {
        match self {
            Self::Enrolled { key, .. } => key,
            Self::File(file) => file.key(),
        }
    }

    /// What tells it from any other key of this id.
    fn mark(&self, id: &ForeignId) -> LegacyMark {
        let key = self.key().thumbprint();
        let mark = match self {
            Self::Enrolled { .. } => AgentKeyMark::Device(&key),
            Self::File(file) => AgentKeyMark::File {
                key: &key,
                file: file.identity.as_bytes(),
            },
        };
        LegacyMark::of(id, &mark)
    }
}

impl LegacyKeys for KeysNow<'_> {
    fn find(&self, agent: &ForeignId) -> Result<Option<LegacyKey>, KeysUnavailable> {
        let public = self.public_key(agent)?;
        Ok(public.map(|public| LegacyKey {
            mark: public.mark(agent),
            public: public.key().clone(),
            revoked: self.is_revoked(agent),
        }))
    }
}

impl ForeignKeys for KeysNow<'_> {
    fn find(&self, agent: &ForeignId) -> Result<Option<ForeignKey>, KeysUnavailable> {
        let public = self.public_key(agent)?;
        let found = ForeignKey {
            public: public.map(|public| public.key().clone()),
            secrets: self.secrets(agent)?,
            revoked: self.is_revoked(agent),
        };
        let known = found.public.is_some() || !found.secrets.is_empty() || found.revoked;
        Ok(known.then_some(found))
    }
}
