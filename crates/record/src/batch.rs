//! A change of state together with its entry.

use crate::entry::Details;
use crate::tables::{
    ACTORS, API_KEYS, APPROVAL_RULES, ATTESTATIONS, BASELINES, BREAK_GLASS, DEVICES,
    DIRECTORY_GUARD, FOREIGN, GRANTS, GRANTS_ENDED, GUARD, HONEY, INSTALLATION_POLICIES,
    NAMESPACES, PASSKEYS, POLICIES, QUARANTINES, RELEASE_KEYS, RELEASES, ROLES, TOKENS,
    TOKENS_ENDED,
};
use procura_directory::{
    ActorRecord, ApiKeyRecord, ApprovalRuleRecord, AttestationRecord, BaselineRecord,
    BreakGlassRecord, DeviceRecord, ForeignRecord, GrantRecord, GrantsEndedRecord, HoneyRecord,
    NamespaceRecord, PasskeyRecord, PolicyRecord, QuarantineRecord, ReleaseKeyRecord,
    ReleaseRecord, RolesRecord, Snapshot, TokenRecord, TokensEndedRecord,
};
use procura_policy::{Action, Op, Permit, Resource};
use procura_store::{Batch, Store};
use procura_types::{AttestationId, GrantId, Timestamp, TokenId};
use std::sync::Arc;

/// A change of state that cannot commit without its ledger entry, nor on a state
/// of the directory other than the one it was decided on.
pub struct RecordedBatch<'a, O: Op> {
    permit: &'a Permit<O>,
    snapshot: Arc<Snapshot>,
    store: &'a Store,
    batch: Batch,
    details: Details,
    /// Of the entries behind the first.
    further: Vec<String>,
    /// Of the entries of parts, behind all these.
    parts: Vec<Details>,
    changes_directory: bool,
}

impl<'a, O: Op> RecordedBatch<'a, O> {
    pub(crate) fn new(
        permit: &'a Permit<O>,
        snapshot: Arc<Snapshot>,
        store: &'a Store,
        batch: Batch,
    ) -> Self {
        Self {
            permit,
            snapshot,
            store,
            batch,
            details: Details::default(),
            further: Vec::new(),
            parts: Vec::new(),
            changes_directory: false,
        }
    }

    pub(crate) fn into_parts(mut self) -> (Batch, Vec<Details>) {
        if self.changes_directory {
            DIRECTORY_GUARD.put(&mut self.batch, &GUARD.to_owned(), &());
        }
        let mut entries = vec![self.details];
        for words in self.further {
            let mut next = entries.first().cloned().unwrap_or_default();
            next.with = Some(words);
            entries.push(next);
        }
        entries.extend(self.parts);
        (self.batch, entries)
    }

    /// The operation; the only source of targets.
    #[must_use]
    pub const fn op(&self) -> &'a O {
        self.permit.op()
    }

    /// The permit.
    #[must_use]
    pub const fn permit(&self) -> &'a Permit<O> {
        self.permit
    }

    /// The directory as it stands for this change.
    #[must_use]
    pub fn directory(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The store, to read what the change depends on.
    #[must_use]
    pub const fn store(&self) -> &'a Store {
        self.store
    }

    /// The rows of the change.
    pub const fn rows(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// What the entry says beyond who, what and where.
    pub const fn details(&mut self) -> &mut Details {
        &mut self.details
    }

    /// Says what the change is about in as many entries as it takes, all of them in its
    /// commit: the parts that [`in_parts`](crate::in_parts) made.
    pub fn say_in_parts(&mut self, parts: Vec<String>) {
        let mut parts = parts.into_iter();
        self.details.with = parts.next();
        self.further = parts.collect();
    }

    /// Says what a part of the change is about, in entries as if it had been made by
    /// itself: one for each of `words`, which [`in_parts`](crate::in_parts) made, and one
    /// without words where there are none.
    pub fn say_of_part(&mut self, action: Action, resource: &Resource, words: Vec<String>) {
        let mut words: Vec<Option<String>> = words.into_iter().map(Some).collect();
        if words.is_empty() {
            words.push(None);
        }
        self.parts.extend(words.into_iter().map(|with| Details {
            with,
            part: Some((action, resource.clone())),
            ..Details::default()
        }));
    }

    /// Lets the change use the space that is kept for a full disk. For what takes
    /// authority away: revoke, withdraw, seal, delete.
    pub const fn reserved(&mut self) {
        self.batch.set_reserved();
    }

    /// Makes an actor or marks it revoked.
    pub fn put_actor(&mut self, record: &ActorRecord) {
        self.changes_directory = true;
        ACTORS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Binds a device or marks it revoked.
    pub fn put_device(&mut self, record: &DeviceRecord) {
        self.changes_directory = true;
        DEVICES.put(&mut self.batch, &record.thumbprint.to_string(), record);
    }

    /// Replaces the roles of an owner.
    pub fn put_roles(&mut self, record: &RolesRecord) {
        self.changes_directory = true;
        ROLES.put(&mut self.batch, &record.actor.to_string(), record);
    }

    /// Makes a namespace.
    pub fn put_namespace(&mut self, record: &NamespaceRecord) {
        self.changes_directory = true;
        NAMESPACES.put(&mut self.batch, &record.name.to_string(), record);
    }

    /// Makes a grant or marks it withdrawn.
    pub fn put_grant(&mut self, record: &GrantRecord) {
        self.changes_directory = true;
        GRANTS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Ends these grants together, each of which has not ended.
    pub fn end_grants(&mut self, grants: &[GrantId], time: Timestamp) {
        for part in grants.chunks(GrantsEndedRecord::MOST) {
            let Some(first) = part.first() else { continue };
            self.changes_directory = true;
            let record = GrantsEndedRecord {
                time,
                grants: part.to_vec(),
            };
            GRANTS_ENDED.put(&mut self.batch, &first.to_string(), &record);
        }
    }

    /// Binds an id of another system, or marks it released.
    pub fn put_foreign(&mut self, record: &ForeignRecord) {
        self.changes_directory = true;
        FOREIGN.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Issues a project token, or marks it revoked.
    pub fn put_token(&mut self, record: &TokenRecord) {
        self.changes_directory = true;
        TOKENS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Takes away a project token that opens nothing any more. Without a record it
    /// opens nothing either.
    pub fn forget_token(&mut self, id: &TokenId) {
        self.changes_directory = true;
        TOKENS.delete(&mut self.batch, &id.to_string());
    }

    /// Revokes all tokens of a project that were issued so far.
    pub fn put_tokens_ended(&mut self, record: &TokensEndedRecord) {
        self.changes_directory = true;
        let key = format!("{}/{}", record.namespace, record.project);
        TOKENS_ENDED.put(&mut self.batch, &key, record);
    }

    /// Plants a decoy, or marks it removed.
    pub fn put_honey(&mut self, record: &HoneyRecord) {
        self.changes_directory = true;
        HONEY.put(&mut self.batch, &record.canary.to_string(), record);
    }

    /// Makes, renews or revokes an attestation.
    pub fn put_attestation(&mut self, record: &AttestationRecord) {
        self.changes_directory = true;
        ATTESTATIONS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Takes away an attestation that counts no more. Without a record it counts as
    /// little.
    pub fn forget_attestation(&mut self, id: &AttestationId) {
        self.changes_directory = true;
        ATTESTATIONS.delete(&mut self.batch, &id.to_string());
    }

    /// Enrols a key that signs releases, or marks it removed.
    pub fn put_release_key(&mut self, record: &ReleaseKeyRecord) {
        self.changes_directory = true;
        RELEASE_KEYS.put(
            &mut self.batch,
            &record.key.thumbprint().to_string(),
            record,
        );
    }

    /// Adds a program that is vouched for, or marks it withdrawn.
    pub fn put_release(&mut self, record: &ReleaseRecord) {
        self.changes_directory = true;
        RELEASES.put(&mut self.batch, &record.sha256.to_string(), record);
    }

    /// Sets the baseline of a host, or marks it removed.
    pub fn put_baseline(&mut self, record: &BaselineRecord) {
        self.changes_directory = true;
        BASELINES.put(&mut self.batch, &record.device.to_string(), record);
    }

    /// Enrols a passkey, names it otherwise, or marks it removed.
    pub fn put_passkey(&mut self, record: &PasskeyRecord) {
        self.changes_directory = true;
        PASSKEYS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Binds a device to an API key. Revoking is of the device.
    pub fn put_api_key(&mut self, record: &ApiKeyRecord) {
        self.changes_directory = true;
        API_KEYS.put(&mut self.batch, &record.device.to_string(), record);
    }

    /// Makes a break-glass account, or marks it used.
    pub fn put_break_glass(&mut self, record: &BreakGlassRecord) {
        self.changes_directory = true;
        BREAK_GLASS.put(&mut self.batch, &record.actor.to_string(), record);
    }

    /// Says how many stewards an act takes.
    pub fn put_approval_rule(&mut self, record: &ApprovalRuleRecord) {
        self.changes_directory = true;
        APPROVAL_RULES.put(&mut self.batch, &record.act.to_string(), record);
    }

    /// Says which policies count in a scope.
    pub fn put_policies(&mut self, record: &PolicyRecord) {
        self.changes_directory = true;
        let key = record
            .namespace
            .as_ref()
            .map_or_else(|| INSTALLATION_POLICIES.to_owned(), ToString::to_string);
        POLICIES.put(&mut self.batch, &key, record);
    }

    /// Lets something out of quarantine.
    pub fn put_quarantine(&mut self, record: &QuarantineRecord) {
        self.changes_directory = true;
        QUARANTINES.put(&mut self.batch, &record.suspect.to_string(), record);
    }
}
