//! Channels: what people are told by. Their credentials are rows of their own, which
//! nothing reads but what sends.

use super::error::NotifyError;
use super::rows::{
    CHANNELS, CREDENTIALS, ChannelRow, DEAD, MOST_CHANNELS, Place, SCOPES, ScopeRow, UNTOLD,
    WAITING, changed,
};
use super::scope;
use super::terms::Terms;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Blob, Expected, KeyPrefix, Row, Store};
use procura_types::wire::{Channel, ChannelKind, ChannelList};
use procura_types::{Label, Malformed, Namespace};

/// What an operation on channels and routes is about.
pub(super) fn resource(namespace: Option<&Namespace>) -> Resource {
    namespace.map_or(Resource::Installation, |namespace| {
        Resource::Namespace(namespace.clone())
    })
}

/// Whether the namespace is there, if it is of one.
pub(super) fn is_there(
    snapshot: &Snapshot,
    namespace: Option<&Namespace>,
) -> Result<(), NotifyError> {
    match namespace {
        Some(namespace) if snapshot.namespace(namespace).is_none() => {
            Err(NotifyError::NoNamespace(namespace.clone()))
        }
        _ => Ok(()),
    }
}

/// That the row is still as it was read.
pub(super) fn expected<T>(row: Option<&Row<T>>) -> Expected {
    row.map_or(Expected::Absent, |row| Expected::At(row.version))
}

/// Lists channels.
pub(crate) struct ChannelListing {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
}

impl Op for ChannelListing {
    const ACTION: Action = Action::NotifyRead;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl ChannelListing {
    /// By name.
    pub(crate) fn run(permit: &Permit<Self>, store: &Store) -> Result<ChannelList, NotifyError> {
        let scope = scope(permit.op().namespace.as_ref());
        let rows = store.snapshot()?;
        let names = SCOPES.get_at(&rows, &scope)?;
        let names = names.map(|row| row.value.channels).unwrap_or_default();
        let mut channels = Vec::new();
        for name in names {
            if let Some(row) = CHANNELS.get_at(&rows, &(scope.clone(), name.clone()))? {
                channels.push(shown(name, row.value));
            }
        }
        Ok(ChannelList { channels })
    }
}

/// Makes a channel, or replaces all of it.
pub(crate) struct ChannelWrite {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// Its name.
    pub(crate) name: Label,
    /// What it is.
    pub(crate) terms: Terms,
}

impl Op for ChannelWrite {
    const ACTION: Action = Action::NotifyWrite;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl ChannelWrite {
    /// Puts the channel of the permit.
    pub(crate) fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<Channel, NotifyError> {
        let op = batch.op();
        is_there(batch.directory(), op.namespace.as_ref())?;
        let scope = scope(op.namespace.as_ref());
        let place = (scope.clone(), op.name.clone());
        let of = SCOPES.get(batch.store(), &scope)?;
        let before = CHANNELS.get(batch.store(), &place)?;
        let mut names = of.as_ref().map(|row| row.value.clone()).unwrap_or_default();
        names.channels.insert(op.name.clone());
        if names.channels.len() > MOST_CHANNELS {
            return Err(NotifyError::TooManyChannels);
        }
        let mut row = op.terms.row.clone();
        if let Some(before) = &before {
            row.created = before.value.created;
        }
        let keeps = op.terms.credential.is_none() && op.terms.needs_credential;
        if keeps {
            keep(&mut row, before.as_ref().map(|before| &before.value))?;
        }
        let word = if before.is_some() { "changed" } else { "added" };
        batch.details().with = Some(format!(
            "channel:{} {word} kind:{} receiver:{}",
            op.name, row.kind, row.receiver
        ));
        let rows = batch.rows();
        SCOPES.expect(rows, &scope, expected(of.as_ref()));
        SCOPES.put(rows, &scope, &names);
        CHANNELS.expect(rows, &place, expected(before.as_ref()));
        CHANNELS.put(rows, &place, &row);
        match &op.terms.credential {
            Some(credential) => {
                let bytes = credential.expose().as_bytes().to_vec();
                CREDENTIALS.put(rows, &place, &Blob::new(bytes));
            }
            None if keeps => {}
            None => CREDENTIALS.delete(rows, &place),
        }
        changed(rows);
        Ok(shown(op.name.clone(), row))
    }
}

/// The credential stays where it goes to whom it went before, and to nobody else: who may
/// change a channel must not learn by it what nobody is shown.
fn keep(row: &mut ChannelRow, before: Option<&ChannelRow>) -> Result<(), NotifyError> {
    let missing = Malformed::new(
        "credential_b64",
        "is missing; it is kept where kind, receiver, user and authorities stay as they are",
    );
    let before = before.ok_or_else(|| missing.clone())?;
    let user = |row: &ChannelRow| row.mail.as_ref().and_then(|mail| mail.user.clone());
    let tls = |row: &ChannelRow| row.mail.as_ref().map(|mail| mail.tls);
    let same = row.kind == before.kind
        && row.ca_pem == before.ca_pem
        && user(row) == user(before)
        && tls(row) == tls(before)
        && (row.receiver == before.receiver || row.kind != ChannelKind::Mail);
    if !same {
        return Err(missing.into());
    }
    // Of the others it is part of what is kept.
    row.receiver.clone_from(&before.receiver);
    Ok(())
}

/// Removes a channel.
pub(crate) struct ChannelRemove {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// Which.
    pub(crate) name: Label,
}

impl Op for ChannelRemove {
    const ACTION: Action = Action::NotifyWrite;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl ChannelRemove {
    /// Removes the channel of the permit, with all that waits in it.
    pub(crate) fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), NotifyError> {
        let op = batch.op();
        let scope = scope(op.namespace.as_ref());
        let place = (scope.clone(), op.name.clone());
        let of = SCOPES.get(batch.store(), &scope)?;
        let names: Option<ScopeRow> = of.as_ref().map(|row| row.value.clone());
        let mut names = names
            .filter(|names| names.channels.contains(&op.name))
            .ok_or_else(|| NotifyError::NoChannel(op.name.clone()))?;
        let mut routes = names.routes.iter();
        if let Some((route, _)) = routes.find(|(_, route)| route.channel == op.name) {
            return Err(NotifyError::InUse {
                channel: op.name.clone(),
                route: route.clone(),
            });
        }
        names.channels.remove(&op.name);
        batch.details().with = Some(format!("channel:{} removed", op.name));
        let rows = batch.rows();
        SCOPES.expect(rows, &scope, expected(of.as_ref()));
        SCOPES.put(rows, &scope, &names);
        CHANNELS.delete(rows, &place);
        CREDENTIALS.delete(rows, &place);
        UNTOLD.delete(rows, &place);
        let prefix = KeyPrefix::all().part(&scope).part(&op.name);
        WAITING.delete_all(rows, &prefix);
        DEAD.delete_all(rows, &prefix);
        changed(rows);
        Ok(())
    }
}

/// Sends a message through a channel.
pub(crate) struct ChannelTest {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// Which.
    pub(crate) name: Label,
}

impl Op for ChannelTest {
    const ACTION: Action = Action::NotifyTest;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl ChannelTest {
    /// The channel of the permit, if it is there.
    pub(crate) fn place(&self, store: &Store) -> Result<Place, NotifyError> {
        let place = (scope(self.namespace.as_ref()), self.name.clone());
        match CHANNELS.get(store, &place)? {
            Some(_) => Ok(place),
            None => Err(NotifyError::NoChannel(self.name.clone())),
        }
    }
}

fn shown(name: Label, row: ChannelRow) -> Channel {
    Channel {
        name,
        kind: row.kind,
        receiver: row.receiver,
        chat: row.chat,
        mail: row.mail,
        own_ca: row.ca_pem.is_some(),
        per_minute: row.per_minute,
        templates: row.templates,
        created: row.created,
        updated: row.updated,
    }
}
