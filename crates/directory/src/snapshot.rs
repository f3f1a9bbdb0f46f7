//! All records at one moment.

use crate::api_key::ApiKeys;
use crate::approval_rule::ApprovalRules;
use crate::attestation::Attestations;
use crate::break_glass::BreakGlassAccounts;
use crate::ending;
use crate::honey::HoneyRecords;
use crate::passkey::Passkeys;
use crate::policies::PolicyRecords;
use crate::quarantine::Quarantines;
use crate::record::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord,
    RolesRecord,
};
use crate::shard::ShardMap;
use crate::token::{TokenHash, TokenRecord, TokensEndedRecord};
use procura_types::wire::GrantItem;
use procura_types::{
    ActorId, Cidr, Delivery, ForeignId, GrantId, Label, Namespace, ProjectName, Thumbprint,
    Timestamp, TokenId,
};
use std::net::IpAddr;
use std::sync::Arc;

/// All records at one moment. Cheap to copy; readers hold it as long as they
/// decide. Its sequence is that of the commit that last changed the directory.
#[derive(Clone)]
pub struct Snapshot {
    seq: u64,
    actors: ShardMap<ActorId, ActorRecord>,
    children: ShardMap<ActorId, Vec<ActorId>>,
    owners: ShardMap<Label, Vec<ActorId>>,
    agents: ShardMap<(Namespace, Label), Vec<ActorId>>,
    devices: ShardMap<Thumbprint, DeviceRecord>,
    devices_of: ShardMap<ActorId, Vec<Thumbprint>>,
    roles: ShardMap<ActorId, RolesRecord>,
    namespaces: ShardMap<Namespace, NamespaceRecord>,
    grants: ShardMap<GrantId, GrantRecord>,
    grants_of: ShardMap<ActorId, Vec<GrantId>>,
    grants_ended: ShardMap<GrantId, Timestamp>,
    foreign: ShardMap<ForeignId, ForeignRecord>,
    foreign_of: ShardMap<ActorId, Vec<ForeignId>>,
    honey: HoneyRecords,
    quarantines: Quarantines,
    policies: PolicyRecords,
    passkeys: Passkeys,
    /// Shared whole: almost no change of the directory is of these.
    attestations: Arc<Attestations>,
    api_keys: Arc<ApiKeys>,
    break_glass: Arc<BreakGlassAccounts>,
    approval_rules: Arc<ApprovalRules>,
    tokens: ShardMap<TokenId, TokenRecord>,
    tokens_of: ShardMap<ActorId, Vec<TokenId>>,
    token_hashes: ShardMap<TokenHash, TokenId>,
    tokens_ended: ShardMap<(Namespace, ProjectName), TokensEndedRecord>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            seq: 0,
            actors: ShardMap::new(),
            children: ShardMap::new(),
            owners: ShardMap::new(),
            agents: ShardMap::new(),
            devices: ShardMap::new(),
            devices_of: ShardMap::new(),
            roles: ShardMap::new(),
            namespaces: ShardMap::new(),
            grants: ShardMap::new(),
            grants_of: ShardMap::new(),
            grants_ended: ShardMap::new(),
            foreign: ShardMap::new(),
            foreign_of: ShardMap::new(),
            honey: HoneyRecords::default(),
            quarantines: Quarantines::default(),
            policies: PolicyRecords::default(),
            passkeys: Passkeys::default(),
            attestations: Arc::default(),
            api_keys: Arc::default(),
            break_glass: Arc::default(),
            approval_rules: Arc::default(),
            tokens: ShardMap::new(),
            tokens_of: ShardMap::new(),
            token_hashes: ShardMap::new(),
            tokens_ended: ShardMap::new(),
        }
    }
}

/// Whether an address is in one of these blocks, or there are none.
fn holds(sources: &[Cidr], address: IpAddr) -> bool {
    sources.is_empty() || sources.iter().any(|block| block.contains(address))
}

/// Adds `id` to the list at `key` unless it is there.
pub(crate) fn index<K: Eq + std::hash::Hash + Clone, I: PartialEq + Clone>(
    map: &mut ShardMap<K, Vec<I>>,
    key: K,
    id: I,
) {
    let mut list = map
        .get(&key)
        .map_or_else(Vec::new, |list| list.as_ref().clone());
    if !list.contains(&id) {
        list.push(id);
        map.insert(key, list);
    }
}

impl Snapshot {
    pub(crate) const fn honey_records(&self) -> &HoneyRecords {
        &self.honey
    }

    pub(crate) const fn quarantines(&self) -> &Quarantines {
        &self.quarantines
    }

    pub(crate) fn attestations(&self) -> &Attestations {
        &self.attestations
    }

    fn attestations_mut(&mut self) -> &mut Attestations {
        Arc::make_mut(&mut self.attestations)
    }

    pub(crate) fn api_keys(&self) -> &ApiKeys {
        &self.api_keys
    }

    pub(crate) fn break_glass_accounts(&self) -> &BreakGlassAccounts {
        &self.break_glass
    }

    pub(crate) fn approval_rules(&self) -> &ApprovalRules {
        &self.approval_rules
    }

    pub(crate) const fn passkeys(&self) -> &Passkeys {
        &self.passkeys
    }

    pub(crate) const fn policy_records(&self) -> &PolicyRecords {
        &self.policies
    }

    /// The commit sequence that this snapshot stands for.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The directory after `changes`, committed at `seq`. Where a namespace ended, its
    /// one record ends everything in it: agents and their devices are revoked, grants
    /// withdrawn, ids of other systems released and roles gone, whatever their own
    /// records say.
    #[must_use]
    pub fn apply(&self, seq: u64, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut next = self.clone();
        next.seq = seq;
        for change in changes {
            next.put(change);
        }
        next
    }

    fn put(&mut self, change: Change) {
        match ending::ended(self, change) {
            Change::Actor(actor) => {
                match &actor.kind {
                    ActorKind::Owner { name, .. } => {
                        index(&mut self.owners, name.clone(), actor.id)
                    }
                    ActorKind::Agent {
                        parent,
                        namespace,
                        label,
                        ..
                    } => {
                        index(&mut self.children, *parent, actor.id);
                        index(
                            &mut self.agents,
                            (namespace.clone(), label.clone()),
                            actor.id,
                        );
                    }
                }
                let held = ending::held_by(self, &actor);
                self.actors.insert(actor.id, actor);
                for change in held {
                    self.put(change);
                }
            }
            Change::Device(device) => {
                index(&mut self.devices_of, device.actor, device.thumbprint);
                self.devices.insert(device.thumbprint, device);
            }
            Change::Roles(roles) => self.roles.insert(roles.actor, roles),
            Change::Namespace(namespace) => {
                let (name, ended) = (namespace.name.clone(), namespace.ended);
                self.namespaces.insert(name.clone(), namespace);
                if ended.is_some() {
                    for change in ending::held(self, &name) {
                        self.put(change);
                    }
                }
            }
            Change::Grant(grant) => {
                index(&mut self.grants_of, grant.agent, grant.id);
                self.grants.insert(grant.id, grant);
            }
            Change::GrantsEnded(ended) => {
                for id in ended.grants {
                    self.grants_ended.insert(id, ended.time);
                    if let Some(grant) = self.grants.get(&id) {
                        let grant = grant.as_ref().clone();
                        self.put(Change::Grant(grant));
                    }
                }
            }
            Change::Foreign(foreign) => {
                index(&mut self.foreign_of, foreign.actor, foreign.id.clone());
                self.foreign.insert(foreign.id.clone(), foreign);
            }
            Change::Honey(honey) => self.honey.put(honey),
            Change::Quarantine(record) => self.quarantines.put(record),
            Change::Policies(record) => self.policies.put(record),
            Change::Passkey(record) => self.passkeys.put(record),
            Change::Attestation(record) => self.attestations_mut().put(record),
            Change::AttestationGone(id) => self.attestations_mut().forget(&id),
            Change::ReleaseKey(record) => self.attestations_mut().put_key(record),
            Change::Release(record) => self.attestations_mut().put_release(record),
            Change::Baseline(record) => self.attestations_mut().put_baseline(record),
            Change::ApiKey(record) => Arc::make_mut(&mut self.api_keys).put(record),
            Change::BreakGlass(record) => Arc::make_mut(&mut self.break_glass).put(record),
            Change::ApprovalRule(record) => {
                Arc::make_mut(&mut self.approval_rules).put(record);
            }
            Change::Token(token) => {
                index(&mut self.tokens_of, token.agent, token.id);
                if let Some(hash) = token.hash {
                    self.token_hashes.insert(hash, token.id);
                }
                self.tokens.insert(token.id, token);
            }
            Change::TokenGone(id) => self.forget_token(&id),
            Change::TokensEnded(ended) => {
                let key = (ended.namespace.clone(), ended.project.clone());
                self.tokens_ended.insert(key, ended);
            }
        }
    }

    /// An actor, revoked or not.
    #[must_use]
    pub fn actor(&self, id: &ActorId) -> Option<&Arc<ActorRecord>> {
        self.actors.get(id)
    }

    /// Whether the actor exists and neither it nor any actor above it is revoked.
    #[must_use]
    pub fn is_active(&self, id: &ActorId) -> bool {
        let mut at = Some(*id);
        while let Some(current) = at {
            match self.actors.get(&current) {
                Some(actor) if actor.revoked.is_none() => at = actor.parent().copied(),
                _ => return false,
            }
        }
        true
    }

    /// Whether requests of an actor may come from `address`: it has to be among the
    /// sources of the actor and of every actor above it, where these have any, so that
    /// nobody gets around theirs by a child. An actor that is not there has none.
    #[must_use]
    pub fn admits(&self, id: &ActorId, address: IpAddr) -> bool {
        let mut at = Some(*id);
        while let Some(current) = at {
            match self.actors.get(&current) {
                Some(actor) if holds(&actor.sources, address) => at = actor.parent().copied(),
                _ => return false,
            }
        }
        true
    }

    /// How many actors stand between this one and its owner: 0 for an owner.
    #[must_use]
    pub fn depth(&self, id: &ActorId) -> usize {
        std::iter::successors(Some(*id), |at| self.actors.get(at)?.parent().copied()).count() - 1
    }

    /// The way from the owner: `alice//scribe//task-1`.
    #[must_use]
    pub fn lineage(&self, id: &ActorId) -> String {
        let mut names: Vec<_> = std::iter::successors(self.actors.get(id), |actor| {
            self.actors.get(actor.parent()?)
        })
        .map(|actor| actor.label().as_str())
        .collect();
        names.reverse();
        names.join("//")
    }

    /// The actor and all below it.
    #[must_use]
    pub fn subtree(&self, id: &ActorId) -> Vec<ActorId> {
        let mut found = vec![*id];
        let mut next = 0;
        while let Some(at) = found.get(next).copied() {
            if let Some(children) = self.children.get(&at) {
                found.extend(children.iter().copied());
            }
            next += 1;
        }
        found
    }

    /// All actors, in no order.
    pub fn actors(&self) -> impl Iterator<Item = &Arc<ActorRecord>> {
        self.actors.values()
    }

    /// The owner of this name who is not revoked.
    #[must_use]
    pub fn owner_named(&self, name: &Label) -> Option<&Arc<ActorRecord>> {
        self.live(self.owners.get(name)?)
    }

    /// The agent of this label in this namespace that is not revoked.
    #[must_use]
    pub fn agent_named(&self, namespace: &Namespace, label: &Label) -> Option<&Arc<ActorRecord>> {
        self.live(self.agents.get(&(namespace.clone(), label.clone()))?)
    }

    fn live(&self, ids: &[ActorId]) -> Option<&Arc<ActorRecord>> {
        ids.iter()
            .filter_map(|id| self.actors.get(id))
            .find(|actor| actor.revoked.is_none())
    }

    /// The highest incarnation that this label had anywhere in the namespace, 0 for none.
    #[must_use]
    pub fn last_incarnation(&self, namespace: &Namespace, label: &Label) -> u32 {
        self.agents
            .get(&(namespace.clone(), label.clone()))
            .into_iter()
            .flat_map(|ids| ids.iter())
            .filter_map(|id| match &self.actors.get(id)?.kind {
                ActorKind::Agent { incarnation, .. } => Some(*incarnation),
                ActorKind::Owner { .. } => None,
            })
            .max()
            .unwrap_or(0)
    }

    /// Every agent that has or had this label in this namespace.
    pub fn agents_named(
        &self,
        namespace: &Namespace,
        label: &Label,
    ) -> impl Iterator<Item = &Arc<ActorRecord>> {
        self.agents
            .get(&(namespace.clone(), label.clone()))
            .into_iter()
            .flat_map(|ids| ids.iter())
            .filter_map(|id| self.actors.get(id))
    }

    /// A device, revoked or not.
    #[must_use]
    pub fn device(&self, thumbprint: &Thumbprint) -> Option<&Arc<DeviceRecord>> {
        self.devices.get(thumbprint)
    }

    /// The devices of an actor, in the order in which they joined.
    pub fn devices_of(&self, actor: &ActorId) -> impl Iterator<Item = &Arc<DeviceRecord>> {
        self.devices_of
            .get(actor)
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|thumbprint| self.devices.get(thumbprint))
    }

    /// The roles of an operator.
    #[must_use]
    pub fn roles(&self, actor: &ActorId) -> Option<&Arc<RolesRecord>> {
        self.roles.get(actor)
    }

    /// A namespace that has not ended.
    #[must_use]
    pub fn namespace(&self, name: &Namespace) -> Option<&Arc<NamespaceRecord>> {
        self.namespaces
            .get(name)
            .filter(|namespace| namespace.ended.is_none())
    }

    /// All namespaces that have not ended, in no order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<NamespaceRecord>> {
        self.namespaces
            .values()
            .filter(|namespace| namespace.ended.is_none())
    }

    /// When the namespace of this name ended, if there was one.
    #[must_use]
    pub fn namespace_ended(&self, name: &Namespace) -> Option<Timestamp> {
        self.namespaces.get(name)?.ended
    }

    /// A grant, whether it holds or not.
    #[must_use]
    pub fn grant(&self, id: &GrantId) -> Option<&Arc<GrantRecord>> {
        self.grants.get(id)
    }

    /// When a grant ended together with others, if it did.
    pub(crate) fn grant_ended(&self, id: &GrantId) -> Option<Timestamp> {
        self.grants_ended.get(id).map(|time| **time)
    }

    /// All grants, in no order.
    pub fn grants(&self) -> impl Iterator<Item = &Arc<GrantRecord>> {
        self.grants.values()
    }

    /// The grants of an agent, oldest first.
    pub fn grants_of(&self, agent: &ActorId) -> impl Iterator<Item = &Arc<GrantRecord>> {
        self.grants_of
            .get(agent)
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|id| self.grants.get(id))
    }

    /// Whom an id of another system stands for; a released one for nobody.
    #[must_use]
    pub fn foreign(&self, id: &ForeignId) -> Option<&Arc<ForeignRecord>> {
        self.foreign
            .get(id)
            .filter(|foreign| foreign.released.is_none())
    }

    /// All ids of other systems that stand for somebody, in no order.
    pub fn foreign_ids(&self) -> impl Iterator<Item = &Arc<ForeignRecord>> {
        self.foreign
            .values()
            .filter(|foreign| foreign.released.is_none())
    }

    /// The ids of other systems that stand for an agent, in the order in which they
    /// were first bound to it.
    pub fn foreign_of(&self, actor: &ActorId) -> impl Iterator<Item = &Arc<ForeignRecord>> {
        let actor = *actor;
        self.foreign_of
            .get(&actor)
            .into_iter()
            .flat_map(|list| list.iter())
            // One that was released may stand for somebody else by now.
            .filter_map(move |id| self.foreign(id).filter(|foreign| foreign.actor == actor))
    }

    fn forget_token(&mut self, id: &TokenId) {
        let Some(token) = self.tokens.remove(id) else {
            return;
        };
        if let Some(hash) = &token.hash {
            self.token_hashes.remove(hash);
        }
        let mut left = self
            .tokens_of
            .remove(&token.agent)
            .map_or_else(Vec::new, |list| list.as_ref().clone());
        left.retain(|other| other != id);
        if !left.is_empty() {
            self.tokens_of.insert(token.agent, left);
        }
    }

    /// A project token, whether it opens anything or not.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&Arc<TokenRecord>> {
        self.tokens.get(id)
    }

    /// The opaque project token whose bits have this hash.
    #[must_use]
    pub fn token_hashed(&self, hash: &TokenHash) -> Option<&Arc<TokenRecord>> {
        self.tokens.get(self.token_hashes.get(hash)?.as_ref())
    }

    /// All project tokens that are remembered, in no order.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.tokens.values()
    }

    /// The project tokens of an agent that are remembered, oldest first.
    pub fn tokens_of(&self, agent: &ActorId) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.tokens_of
            .get(agent)
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|id| self.tokens.get(id))
    }

    /// How often all tokens of a project were revoked together: those that are issued
    /// now have this number.
    #[must_use]
    pub fn token_generation(&self, namespace: &Namespace, project: &ProjectName) -> u64 {
        // Nothing was, of almost every project: then no key is made to look.
        if self.tokens_ended.is_empty() {
            return 0;
        }
        let key = (namespace.clone(), project.clone());
        self.tokens_ended
            .get(&key)
            .map_or(0, |ended| ended.generation)
    }

    /// One grant that holds at `now` and covers all of `items`.
    #[must_use]
    pub fn covering_grant(
        &self,
        agent: &ActorId,
        namespace: &Namespace,
        project: &ProjectName,
        delivery: Delivery,
        items: &[GrantItem],
        now: Timestamp,
    ) -> Option<&Arc<GrantRecord>> {
        self.grants_of(agent).find(|grant| {
            grant.namespace == *namespace
                && grant.project == *project
                && grant.delivery == delivery
                && grant.holds(now)
                && grant.covers(items)
        })
    }
}
