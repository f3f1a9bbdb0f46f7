//! Honey secrets: decoys beside the secrets of a namespace. They lie in tables of their
//! own, so that whatever looks for a secret does not find one and does what it does for
//! what is not there: nothing has to be hidden ([ADR 25](../../../docs/adr/0025-honey-secrets.md)).

use crate::MAX_DESCRIPTION;
use crate::about::said;
use crate::error::VaultError;
use crate::honey_shape::{Decoy, make};
use crate::honey_touch::TOUCHES;
use crate::kind;
use crate::quota::Charge;
use crate::secret::candidates_for_env;
use crate::secret_rows::{HEADS, HeadRow, VersionRow, head_key};
use crate::vault::Vault;
use procura_crypto::hkdf_sha256;
use procura_directory::{HoneyRecord, Mark, Snapshot};
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_record::{Details, Recorded, RecordedBatch};
use procura_store::{Blob, Expected, KeyPrefix, Kind, Store, Table};
use procura_types::wire::{
    Honey, HoneyList, HoneyMatch, HoneyMatches, HoneyPlanted, HoneyTouch, Used, ValueB64,
    VersionState,
};
use procura_types::{
    ActorId, CanaryId, Entropy, EnvName, HoneyMode, HoneyShape, Namespace, Role, Secret,
    SecretBytes, SecretKind, SecretPath, Tags, Timestamp,
};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most decoys of a namespace.
const MAX_HONEY: usize = 256;
/// Longest decoy that is brought, in bytes.
const LONGEST: usize = 32 * 1024;
/// Parts of a decoy that is brought which are known by themselves.
const MAX_PARTS: usize = 16;
/// Shortest decoy that is known again, and shortest word of a text that is compared:
/// shorter ones are found by chance.
const SHORTEST_WORD: usize = 12;
/// Most words of a text that are compared.
const MAX_WORDS: usize = 256;

/// (namespace, canary) → the decoy.
pub(crate) const VALUES: Table<(Namespace, String), Blob> =
    Table::new("honey-value", Kind::Ordinary);

/// Whether an actor may know of decoys: then nothing that it does is a touch.
#[must_use]
pub fn knows_honey(snapshot: &Snapshot, actor: &ActorId) -> bool {
    snapshot
        .roles(actor)
        .is_some_and(|held| held.has(Role::Steward, None))
}

/// Plants a decoy.
pub struct HoneyPlant {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// By what it is to be named in the record.
    pub canary: CanaryId,
    /// What whoever asks for it is answered.
    pub mode: HoneyMode,
    /// What is made, or what is brought.
    pub decoy: Planted,
    /// As of other secrets.
    pub env: Option<EnvName>,
    /// As of other secrets.
    pub description: Option<String>,
    /// As of other secrets.
    pub kind: SecretKind,
    /// As of other secrets.
    pub tags: Tags,
}

/// What is planted.
pub enum Planted {
    /// Something made in a shape.
    Made(HoneyShape),
    /// Something of one's own: 1 byte to 32 KiB, and known again from 12 bytes on.
    Brought(SecretBytes),
}

impl Op for HoneyPlant {
    const ACTION: Action = Action::HoneyPlant;
    fn resource(&self) -> Resource {
        Resource::Honey(self.namespace.clone(), self.path.clone())
    }
}

impl HoneyPlant {
    /// Puts the decoy of the permit. Where it lies there is no secret and was none. Beside
    /// its own entry, which is of the installation, the namespace gets the one that a
    /// secret is born with: whoever reads that record misses none.
    ///
    /// # Errors
    /// [`VaultError::NoNamespace`]; [`VaultError::PathTaken`]; [`VaultError::NameTaken`];
    /// [`VaultError::TooManyHoney`]; [`VaultError::BadDecoy`];
    /// [`VaultError::BadDescription`]; [`VaultError::NotOfKind`];
    /// [`VaultError::QuotaExceeded`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<HoneyPlanted, VaultError> {
        let op = batch.op();
        if batch.directory().namespace(&op.namespace).is_none() {
            return Err(VaultError::NoNamespace);
        }
        let mut charge = Charge::open(batch, &op.namespace)?;
        let (planted, words) = op.put(batch, 0, entropy, now)?;
        charge.adds_decoy(planted.bytes());
        charge.settle(batch)?;
        batch.details().with = Some(words);
        let secret = Resource::Secret(op.namespace.clone(), op.path.clone());
        batch.say_of_part(
            Action::SecretWrite,
            &secret,
            op.said().into_iter().collect(),
        );
        Ok(planted)
    }

    /// Puts the decoy into a batch of an operation that this is a part of, and gives what
    /// its entry has to say. `beside` is how many decoys the batch puts into the namespace
    /// already; that there is the namespace is for the caller to see.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn put<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        beside: usize,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<(HoneyPlanted, String), VaultError> {
        let op = self;
        let directory = batch.directory();
        let bad = op.description.as_ref().is_some_and(|text| {
            text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control)
        });
        if bad {
            return Err(VaultError::BadDescription);
        }
        let key = head_key(&op.namespace, &op.path);
        let taken = directory.honey_at(&op.namespace, &op.path).is_some();
        if taken || HEADS.get(batch.store(), &key)?.is_some() {
            return Err(VaultError::PathTaken(op.path.clone()));
        }
        if directory.honey_of(&op.namespace).count() + beside >= MAX_HONEY {
            return Err(VaultError::TooManyHoney);
        }
        // Beside a secret it would make the name ambiguous to whoever runs with it.
        if let Some(env) = &op.env
            && !candidates_for_env(batch.store(), &op.namespace, env)?.is_empty()
        {
            return Err(VaultError::NameTaken(env.clone()));
        }
        let (decoy, shape) = match &op.decoy {
            Planted::Made(shape) => (make(*shape, entropy)?, Some(*shape)),
            Planted::Brought(value) => (brought(value.expose())?, None),
        };
        kind::check(op.kind, decoy.value.expose())?;
        let mut salt = [0; 32];
        entropy.fill_secret(&mut salt)?;
        let is_known_again = decoy.value.expose().trim_ascii().len() >= SHORTEST_WORD;
        let whole = is_known_again.then_some(&decoy.value);
        let words = whole.into_iter().chain(&decoy.parts);
        let mut marks: Vec<Mark> = words.map(|word| mark(&salt, word.expose())).collect();
        marks.dedup();
        let record = HoneyRecord {
            canary: op.canary,
            namespace: op.namespace.clone(),
            path: op.path.clone(),
            mode: op.mode,
            shape,
            kind: op.kind,
            env: op.env.clone(),
            description: op.description.clone(),
            tags: op.tags.clone(),
            planted: now,
            by: *batch.permit().caller().actor(),
            salt: salt.to_vec(),
            marks,
            size: size_of(&decoy.value),
            removed: None,
        };
        HEADS.expect(batch.rows(), &key, Expected::Absent);
        let row = (op.namespace.clone(), op.canary.to_string());
        let value = decoy.value.expose();
        VALUES.put(batch.rows(), &row, &Blob::new(value.clone()));
        let value_b64 = ValueB64::encode(value);
        batch.put_honey(&record);
        let words = format!("canary:{} mode:{}", record.canary, record.mode);
        let planted = HoneyPlanted {
            canary: record.canary,
            namespace: record.namespace,
            path: record.path,
            value_b64,
        };
        Ok((planted, words))
    }
}

fn size_of(value: &SecretBytes) -> u64 {
    u64::try_from(value.expose().len()).unwrap_or(u64::MAX)
}

impl HoneyPlant {
    /// What the entry of a write says of a new secret that looks like this.
    fn said(&self) -> Option<String> {
        let bare = HeadRow::new(VersionRow {
            version: HoneyRecord::VERSION,
            created: Timestamp::from_millis(0),
            size: 0,
            state: VersionState::Live,
            dek: Vec::new(),
            variables: Vec::new(),
            away: Vec::new(),
        });
        let mut head = bare.clone();
        head.description.clone_from(&self.description);
        head.about.tags.clone_from(&self.tags);
        said(&bare, &head)
    }

    /// What an entry says of a secret that is brought in and looks like this.
    pub(crate) fn looks(&self) -> String {
        let said = self
            .said()
            .map_or_else(String::new, |said| format!(" {said}"));
        format!("{}@{}{said}", self.path, HoneyRecord::VERSION)
    }
}

/// A decoy of somebody's own, with the words in it by which it is known too.
fn brought(value: &[u8]) -> Result<Decoy, VaultError> {
    if !(1..=LONGEST).contains(&value.len()) {
        return Err(VaultError::BadDecoy);
    }
    let mut parts = words(value);
    parts.truncate(MAX_PARTS);
    Ok(Decoy {
        value: Secret::new(value.to_vec()),
        parts,
    })
}

/// A keyed hash of a text without the space around it.
fn mark(salt: &[u8], text: &[u8]) -> Mark {
    let hash = hkdf_sha256::<32>(text.trim_ascii(), salt, b"procura.honey.mark.v1");
    Mark::from_bytes(*hash.expose())
}

/// The words of a text that may be credentials, each once. A connection string is taken
/// apart as well.
fn words(text: &[u8]) -> Vec<SecretBytes> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Vec::new();
    };
    let apart = |letter: char| letter.is_whitespace() || "\"'`,;<>(){}[]".contains(letter);
    let further = |letter: char| "=:@?&".contains(letter);
    let mut seen = BTreeSet::new();
    let whole = text.split(apart);
    let parts = text.split(apart).flat_map(|word| word.split(further));
    whole
        .chain(parts)
        .filter(|word| word.len() >= SHORTEST_WORD && seen.insert(word.to_owned()))
        .map(|word| Secret::new(word.as_bytes().to_vec()))
        .take(MAX_WORDS)
        .collect()
}

/// Removes a decoy.
pub struct HoneyRemove {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
}

impl Op for HoneyRemove {
    const ACTION: Action = Action::HoneyRemove;
    fn resource(&self) -> Resource {
        Resource::Honey(self.namespace.clone(), self.path.clone())
    }
}

impl HoneyRemove {
    /// Removes the decoy of the permit. It can still be known again. Its namespace gets
    /// the entry that a secret ends with.
    ///
    /// # Errors
    /// [`VaultError::NotFound`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), VaultError> {
        batch.reserved();
        let op = batch.op();
        let honey = batch
            .directory()
            .honey_at(&op.namespace, &op.path)
            .ok_or_else(|| VaultError::NotFound(op.path.clone()))?
            .as_ref()
            .clone();
        batch.details().with = Some(format!("canary:{}", honey.canary));
        let secret = Resource::Secret(op.namespace.clone(), op.path.clone());
        batch.say_of_part(Action::SecretDestroy, &secret, Vec::new());
        remove(batch, honey, now);
        Ok(())
    }
}

/// Marks a decoy removed, and takes its value away.
fn remove<O: Op>(batch: &mut RecordedBatch<'_, O>, honey: HoneyRecord, now: Timestamp) {
    let row = (honey.namespace.clone(), honey.canary.to_string());
    VALUES.delete(batch.rows(), &row);
    batch.put_honey(&HoneyRecord {
        removed: Some(now),
        ..honey
    });
}

/// What stands for the decoy at a path to whoever is about to write there.
pub(crate) fn stands_for(
    directory: &Snapshot,
    namespace: &Namespace,
    path: &SecretPath,
) -> Option<HeadRow> {
    directory
        .honey_at(namespace, path)
        .map(|honey| seeming(honey))
}

/// The secret that a decoy seems to be.
pub(crate) fn seeming(honey: &HoneyRecord) -> HeadRow {
    let mut head = HeadRow::new(VersionRow {
        version: HoneyRecord::VERSION,
        created: honey.planted,
        size: honey.size,
        state: VersionState::Live,
        dek: Vec::new(),
        variables: Vec::new(),
        away: Vec::new(),
    });
    head.kind = honey.kind;
    head.env.clone_from(&honey.env);
    head.description.clone_from(&honey.description);
    head.about.tags.clone_from(&honey.tags);
    head
}

/// What the decoys of a namespace count for in its quota: each is a secret with one
/// version.
pub(crate) fn counted(directory: &Snapshot, namespace: &Namespace) -> Used {
    let mut used = Used::default();
    for honey in directory.honey_of(namespace) {
        used.secrets += 1;
        used.versions += 1;
        used.bytes = used.bytes.saturating_add(honey.size);
    }
    used
}

/// Takes a decoy away that a rollback deletes as a secret that was not there then.
pub(crate) fn ends<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    now: Timestamp,
) {
    let honey = batch.directory().honey_at(namespace, path).cloned();
    if let Some(honey) = honey {
        HEADS.expect(batch.rows(), &head_key(namespace, path), Expected::Absent);
        remove(batch, honey.as_ref().clone(), now);
    }
}

/// Lets a decoy give way to a secret that is written in its place, and gives what is
/// left of it: a first version that nobody reads. Who may know of it has to remove it
/// first.
///
/// # Errors
/// [`VaultError::HoneyThere`] for who may know of it.
pub(crate) fn give_way<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    now: Timestamp,
) -> Result<Option<HeadRow>, VaultError> {
    let Some(mut head) = stands_for(batch.directory(), namespace, path) else {
        return Ok(None);
    };
    if knows_honey(batch.directory(), batch.permit().caller().actor()) {
        return Err(VaultError::HoneyThere(path.clone()));
    }
    let honey = batch.directory().honey_at(namespace, path).cloned();
    if let Some(honey) = honey {
        remove(batch, honey.as_ref().clone(), now);
    }
    head.latest.state = VersionState::Destroyed;
    head.latest.size = 0;
    Ok(Some(head))
}

/// Hands decoys to an agent that asks for them. What it releases is no secret; it is
/// recorded like any release.
pub struct HoneyBait {
    /// The agent.
    pub agent: ActorId,
    /// The decoys, at least one, and by which environment name each is asked for.
    pub honey: Vec<(EnvName, Arc<HoneyRecord>)>,
}

impl Op for HoneyBait {
    const ACTION: Action = Action::HoneyBait;
    fn resource(&self) -> Resource {
        let first = self.honey.first();
        first.map_or(Resource::Installation, |(_, honey)| {
            Resource::Canary(honey.canary)
        })
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.agent)
    }
}

impl HoneyBait {
    /// What its entry says: which decoys, by name, canary and version.
    #[must_use]
    pub fn details(&self) -> Details {
        let words: Vec<String> = self
            .honey
            .iter()
            .map(|(name, honey)| format!("{name}={}@{}", honey.canary, HoneyRecord::VERSION))
            .collect();
        Details {
            with: Some(words.join(" ")),
            ..Details::default()
        }
    }
}

impl Vault {
    /// The decoys of a recorded release, in order.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when one was removed meanwhile.
    pub fn release_bait(
        &self,
        recorded: &Recorded<HoneyBait>,
    ) -> Result<Vec<SecretBytes>, VaultError> {
        let honey = recorded.op().honey.iter();
        honey.map(|(_, honey)| self.bait(honey)).collect()
    }

    /// The decoy where an operator's recorded read found nothing else.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when it was removed meanwhile, or lies elsewhere.
    pub fn release_bait_read(
        &self,
        recorded: &Recorded<crate::SecretRead>,
        honey: &HoneyRecord,
    ) -> Result<SecretBytes, VaultError> {
        let op = recorded.op();
        if op.namespace != honey.namespace || op.path != honey.path {
            return Err(VaultError::NotFound(op.path.clone()));
        }
        self.bait(honey)
    }

    /// The value of a decoy.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when it was removed meanwhile.
    pub(crate) fn bait(&self, honey: &HoneyRecord) -> Result<SecretBytes, VaultError> {
        let row = (honey.namespace.clone(), honey.canary.to_string());
        let value = VALUES
            .get(self.store(), &row)?
            .ok_or_else(|| VaultError::NotFound(honey.path.clone()))?;
        Ok(Secret::new(value.value.as_bytes().to_vec()))
    }
}

/// Lists all decoys, and who touched them.
pub struct HoneyListing;

impl Op for HoneyListing {
    const ACTION: Action = Action::HoneyList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl HoneyListing {
    /// The decoys that are not removed, by namespace and path.
    ///
    /// # Errors
    /// The store's.
    pub fn run(
        _: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<HoneyList, VaultError> {
        let mut found: Vec<_> = directory
            .namespaces()
            .flat_map(|namespace| directory.honey_of(&namespace.name))
            .collect();
        found.sort_by(|one, other| {
            (&one.namespace, &one.path).cmp(&(&other.namespace, &other.path))
        });
        let rows = store.snapshot()?;
        let mut list = Vec::with_capacity(found.len());
        for honey in found {
            let of = KeyPrefix::all().part(&honey.canary.to_string());
            let mut touches: Vec<HoneyTouch> = TOUCHES
                .scan(&rows, &of, None, MAX_HONEY)?
                .into_iter()
                .map(|(_, row)| row.value.shown(directory))
                .collect();
            touches.sort_by_key(|touch| Reverse(touch.last));
            list.push(Honey {
                canary: honey.canary,
                namespace: honey.namespace.clone(),
                path: honey.path.clone(),
                mode: honey.mode,
                shape: honey.shape,
                env: honey.env.clone(),
                planted: honey.planted,
                by: honey.by,
                touches,
            });
        }
        Ok(HoneyList { honey: list })
    }
}

/// Asks which decoy something is that was found.
pub struct HoneyWhich {
    /// The value, a part of it, or a text that it stands in.
    pub found: SecretBytes,
}

impl Op for HoneyWhich {
    const ACTION: Action = Action::HoneyWhich;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl HoneyWhich {
    /// The decoys that the text of the permit is or has in it, also removed ones, the
    /// newest first.
    ///
    /// # Errors
    /// [`VaultError::BadDecoy`] for more than 32 KiB.
    pub fn run(permit: &Permit<Self>, directory: &Snapshot) -> Result<HoneyMatches, VaultError> {
        let found = permit.op().found.expose();
        if found.len() > LONGEST {
            return Err(VaultError::BadDecoy);
        }
        let mut texts = words(found);
        texts.push(Secret::new(found.clone()));
        let mut matches: Vec<HoneyMatch> = directory
            .all_honey()
            .filter(|honey| {
                let is_its = |text: &SecretBytes| {
                    let mark = mark(&honey.salt, text.expose());
                    honey.marks.contains(&mark)
                };
                texts.iter().any(is_its)
            })
            .map(|honey| HoneyMatch {
                canary: honey.canary,
                namespace: honey.namespace.clone(),
                path: honey.path.clone(),
                planted: honey.planted,
                removed: honey.removed,
            })
            .collect();
        matches.sort_by_key(|found| Reverse(found.canary));
        Ok(HoneyMatches { matches })
    }
}
