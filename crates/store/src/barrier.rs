//! The barrier: everything that is written below it is sealed and bound to its
//! place and version (`protocol.md` §5).

use crate::head::{Head, SetDigest};
use crate::{Damage, LogId, RowKey, Seq, sealer::SealFailed};
use procura_crypto::{
    Binding, Holder, LockError, MacKey, Purpose, XaesKey, envelope_epoch, open as open_envelope,
    seal as seal_envelope, sha256,
};
use procura_types::{Entropy, FieldTuple, InstallationId, Secret, SecretBytes};
use std::sync::Arc;

/// The keys of a barrier, as the vault hands them over after unsealing.
pub struct BarrierKeys {
    /// Whose store it is; in the associated data of all rows.
    pub installation: InstallationId,
    /// Row keys by epoch; the highest epoch seals, all open.
    pub epochs: Vec<(u32, Secret<[u8; 32]>)>,
    /// Of the set digests, until others follow ([`Barrier::turned`]).
    pub set_key: Secret<[u8; 32]>,
    /// Of the keyed chains over logs, until others follow.
    pub chain_key: Secret<[u8; 32]>,
    /// Of blind indexes. Never changes.
    pub index_key: Secret<[u8; 32]>,
}

/// The keys of set digests and chains that follow those of before from an epoch on.
pub struct TurnedKeys {
    /// The epoch of row keys that they came with.
    pub epoch: u32,
    /// Of the set digests.
    pub set_key: Secret<[u8; 32]>,
    /// Of the keyed chains.
    pub chain_key: Secret<[u8; 32]>,
}

/// The same, in locked memory.
struct Turned {
    epoch: u32,
    set_key: MacKey,
    chain_key: MacKey,
}

/// Why keys make no barrier.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// There is no epoch at all.
    #[error("a barrier needs at least one key epoch")]
    NoEpoch,
    /// Two keys for one epoch.
    #[error("key epoch {0} is given twice")]
    RepeatedEpoch(u32),
    /// The keys could not be kept in locked memory.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Seals and opens rows; its keys are in locked memory and wiped when dropped.
pub struct Barrier {
    installation: InstallationId,
    /// Sorted by epoch; not empty.
    epochs: Vec<(u32, XaesKey)>,
    set_key: MacKey,
    chain_key: MacKey,
    /// Those that follow them, ascending by epoch.
    turned: Vec<Turned>,
    index_key: MacKey,
    entropy: Arc<dyn Entropy>,
    /// Whether other servers use the same store, and may be ahead with their keys.
    shared: bool,
}

const SENTINEL: &[u8] = b"procura.sentinel.v1";

impl Barrier {
    /// Takes the keys in.
    pub fn new(keys: BarrierKeys, entropy: Arc<dyn Entropy>) -> Result<Self, BarrierError> {
        let mut epochs: Vec<(u32, XaesKey)> = keys
            .epochs
            .into_iter()
            .map(|(epoch, key)| Ok((epoch, XaesKey::new(key)?)))
            .collect::<Result<_, LockError>>()?;
        epochs.sort_by_key(|(epoch, _)| *epoch);
        if let Some([(epoch, _), _]) = epochs
            .array_windows::<2>()
            .find(|[left, right]| left.0 == right.0)
        {
            return Err(BarrierError::RepeatedEpoch(*epoch));
        }
        if epochs.is_empty() {
            return Err(BarrierError::NoEpoch);
        }
        Ok(Self {
            installation: keys.installation,
            epochs,
            set_key: MacKey::from_bytes(keys.set_key.expose())?,
            chain_key: MacKey::from_bytes(keys.chain_key.expose())?,
            turned: Vec::new(),
            index_key: MacKey::from_bytes(keys.index_key.expose())?,
            entropy,
            shared: false,
        })
    }

    /// The same barrier, with the keys of set digests and chains that followed.
    ///
    /// # Errors
    /// [`BarrierError::RepeatedEpoch`]; no locked memory.
    pub fn turned(mut self, keys: Vec<TurnedKeys>) -> Result<Self, BarrierError> {
        for key in keys {
            self.turned.push(Turned {
                epoch: key.epoch,
                set_key: MacKey::from_bytes(key.set_key.expose())?,
                chain_key: MacKey::from_bytes(key.chain_key.expose())?,
            });
        }
        self.turned.sort_by_key(|turned| turned.epoch);
        if let Some([twice, _]) = self
            .turned
            .array_windows::<2>()
            .find(|[left, right]| left.epoch == right.epoch)
        {
            return Err(BarrierError::RepeatedEpoch(twice.epoch));
        }
        Ok(self)
    }

    /// The epoch whose set key is the newest; 0 for the first.
    pub(crate) fn set_epoch(&self) -> u32 {
        self.turned.last().map_or(0, |turned| turned.epoch)
    }

    /// The keys that were in use in an epoch, if they are not the first.
    fn turned_by(&self, epoch: u32) -> Option<&Turned> {
        self.turned
            .iter()
            .rev()
            .find(|turned| turned.epoch <= epoch)
    }

    /// The same keys, for a store that other servers use too.
    pub(crate) fn beside_others(self) -> Self {
        Self {
            shared: true,
            ..self
        }
    }

    /// Whether another server sealed this with keys that are not here yet.
    pub(crate) fn is_behind(&self, envelope: &[u8]) -> bool {
        self.shared && envelope_epoch(envelope).is_ok_and(|epoch| epoch > self.epoch())
    }

    /// The installation that it was made for.
    #[must_use]
    pub const fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// The epoch that seals now.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// The value of a blind index: equal for equal values of one class, and
    /// nothing else can be told from it.
    #[must_use]
    pub fn blind(&self, class: &str, value: &[u8]) -> [u8; 32] {
        let tuple = FieldTuple::new("procura.blind.v1").text(class).bytes(value);
        self.index_key.sign(&[tuple.as_bytes()])
    }

    /// Whether this barrier can follow `former` in place: what it knew is the same
    /// here, and no epoch was lost.
    pub(crate) fn succeeds(&self, former: &Self) -> bool {
        const PROBE: &[u8] = b"procura.barrier.same.v1";
        let same = |mine: &MacKey, other: &MacKey| mine.verify(&[PROBE], &other.sign(&[PROBE]));
        same(&self.set_key, &former.set_key)
            && same(&self.chain_key, &former.chain_key)
            && same(&self.index_key, &former.index_key)
            && former.turned.iter().all(|theirs| {
                let mine = self.turned.iter().find(|mine| mine.epoch == theirs.epoch);
                mine.is_some_and(|mine| {
                    same(&mine.set_key, &theirs.set_key) && same(&mine.chain_key, &theirs.chain_key)
                })
            })
            && self.installation == former.installation
            && former
                .epochs
                .iter()
                .all(|(epoch, _)| self.key(*epoch).is_some())
    }

    fn key(&self, epoch: u32) -> Option<&XaesKey> {
        // Epochs are few, and the newest is the one that is asked for.
        self.epochs
            .iter()
            .rev()
            .find(|(mine, _)| *mine == epoch)
            .map(|(_, key)| key)
    }

    fn binding<'a>(&'a self, class: &'a str, path: &'a [u8], version: Seq) -> Binding<'a> {
        Binding {
            holder: Holder::Installation(&self.installation),
            class,
            path,
            version: version.get(),
            purpose: Purpose::Row,
        }
    }

    fn seal(&self, binding: &Binding<'_>, plain: &[u8]) -> Result<Vec<u8>, SealFailed> {
        let (epoch, key) = self.epochs.last().ok_or(SealFailed)?;
        seal_envelope(key, *epoch, binding, &*self.entropy, plain).map_err(|_| SealFailed)
    }

    fn open(&self, binding: &Binding<'_>, envelope: &[u8]) -> Option<SecretBytes> {
        open_envelope(|epoch| self.key(epoch), binding, envelope).ok()
    }

    pub(crate) fn seal_row(
        &self,
        key: &RowKey,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        self.seal(&self.binding(key.table(), key.encoded(), version), plain)
    }

    pub(crate) fn open_row(
        &self,
        key: &RowKey,
        version: Seq,
        envelope: &[u8],
    ) -> Result<SecretBytes, Damage> {
        self.open(&self.binding(key.table(), key.encoded(), version), envelope)
            .ok_or_else(|| Damage::Row(key.table_name()))
    }

    // Names of tables hold no `/`, so these classes are no table's.

    pub(crate) fn seal_entry(
        &self,
        log: LogId,
        index: u64,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        let class = log_class(log.as_str());
        self.seal(&self.binding(&class, &index.to_be_bytes(), version), plain)
    }

    pub(crate) fn open_entry(
        &self,
        log: &str,
        index: u64,
        version: Seq,
        envelope: &[u8],
    ) -> Result<SecretBytes, Damage> {
        let class = log_class(log);
        self.open(
            &self.binding(&class, &index.to_be_bytes(), version),
            envelope,
        )
        .ok_or_else(|| Damage::LogEntry {
            log: log.into(),
            index,
        })
    }

    pub(crate) fn seal_head(&self, head: &Head) -> Result<Vec<u8>, SealFailed> {
        self.seal(&self.binding("/head", b"", head.seq), &head.to_bytes())
    }

    /// Opens the head row that claims to be of commit `seq`.
    pub(crate) fn open_head(&self, seq: Seq, envelope: &[u8]) -> Option<Head> {
        let plain = self.open(&self.binding("/head", b"", seq), envelope)?;
        Head::from_bytes(plain.expose()).filter(|head| head.seq == seq)
    }

    fn sentinel_binding(&self) -> Binding<'_> {
        Binding {
            purpose: Purpose::Sentinel,
            ..self.binding("/sentinel", b"", Seq::ZERO)
        }
    }

    pub(crate) fn seal_sentinel(&self) -> Result<Vec<u8>, SealFailed> {
        self.seal(&self.sentinel_binding(), SENTINEL)
    }

    pub(crate) fn opens_sentinel(&self, envelope: &[u8]) -> bool {
        self.open(&self.sentinel_binding(), envelope)
            .is_some_and(|plain| plain.expose() == SENTINEL)
    }

    /// The contribution of one row to its table's set digest. Which key it is made
    /// with depends on when the row was written, as `head` tells.
    pub(crate) fn element(&self, head: &Head, key: &RowKey, version: Seq) -> SetDigest {
        let turned = self.turned_by(head.set_epoch(version));
        let set_key = turned.map_or(&self.set_key, |turned| &turned.set_key);
        let tuple = FieldTuple::new("procura.set.v1")
            .text(key.table())
            .bytes(key.encoded())
            .u64(version.get());
        SetDigest::from_bytes(&set_key.sign(&[tuple.as_bytes()]))
    }

    /// The next link of a log's chain: HMAC(key, index ‖ leaf hash ‖ previous),
    /// leaf hash = SHA-256(0x00 ‖ entry) (RFC 9162 §2.1.1, `protocol.md` §6). The key
    /// is that of the epoch which the entry as `stored` is sealed in.
    pub(crate) fn link(
        &self,
        stored: &[u8],
        index: u64,
        entry: &[u8],
        previous: &[u8; 32],
    ) -> [u8; 32] {
        let epoch = envelope_epoch(stored).unwrap_or_default();
        let turned = self.turned_by(epoch);
        let chain_key = turned.map_or(&self.chain_key, |turned| &turned.chain_key);
        let mut leaf = Vec::with_capacity(entry.len() + 1);
        leaf.push(0);
        leaf.extend_from_slice(entry);
        chain_key.sign(&[&index.to_be_bytes(), &sha256(&leaf), previous])
    }
}

fn log_class(log: &str) -> String {
    let mut class = String::with_capacity(4 + log.len());
    class.push_str("log/");
    class.push_str(log);
    class
}
