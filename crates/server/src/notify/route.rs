//! Routes: of what a channel is told.

use super::channel::{expected, is_there, resource};
use super::error::NotifyError;
use super::rows::{MOST_ROUTES, POSITION, RouteRow, SCOPES, changed};
use super::scope;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_record::tables::LEDGER;
use procura_store::{Expected, Store};
use procura_types::wire::{NotifyRoute, NotifyRouteList, NotifyRoutePut, Severity};
use procura_types::{Label, Malformed, Namespace};

/// Lists routes.
pub(crate) struct RouteListing {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
}

impl Op for RouteListing {
    const ACTION: Action = Action::NotifyRead;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl RouteListing {
    /// By name.
    pub(crate) fn run(
        permit: &Permit<Self>,
        store: &Store,
    ) -> Result<NotifyRouteList, NotifyError> {
        let row = SCOPES.get(store, &scope(permit.op().namespace.as_ref()))?;
        let routes = row.map(|row| row.value.routes).unwrap_or_default();
        let routes = routes.into_iter().map(|(name, row)| shown(name, row));
        Ok(NotifyRouteList {
            routes: routes.collect(),
        })
    }
}

/// Makes a route, or replaces it.
pub(crate) struct RouteWrite {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// Its name.
    pub(crate) name: Label,
    /// What it is.
    pub(crate) put: NotifyRoutePut,
}

impl Op for RouteWrite {
    const ACTION: Action = Action::NotifyWrite;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl RouteWrite {
    /// Puts the route of the permit. It is about what happens from here on.
    pub(crate) fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<NotifyRoute, NotifyError> {
        let op = batch.op();
        is_there(batch.directory(), op.namespace.as_ref())?;
        if op.namespace.is_some() && op.put.only.is_some() {
            return Err(Malformed::new("only", "is of routes of the installation").into());
        }
        is_there(batch.directory(), op.put.only.as_ref())?;
        let scope = scope(op.namespace.as_ref());
        let of = SCOPES.get(batch.store(), &scope)?;
        let mut names = of.as_ref().map(|row| row.value.clone()).unwrap_or_default();
        if !names.channels.contains(&op.put.channel) {
            return Err(NotifyError::NoChannel(op.put.channel.clone()));
        }
        let end = batch.store().log_len(LEDGER)?;
        let before = names.routes.get(&op.name);
        let row = RouteRow {
            channel: op.put.channel.clone(),
            events: op.put.events.iter().copied().collect(),
            least: op.put.least.unwrap_or(Severity::Info),
            only: op.put.only.clone(),
            from: end,
        };
        let word = if before.is_some() { "changed" } else { "added" };
        names.routes.insert(op.name.clone(), row.clone());
        if names.routes.len() > MOST_ROUTES {
            return Err(NotifyError::TooManyRoutes);
        }
        let events: Vec<&str> = row.events.iter().map(|event| event.as_str()).collect();
        let events = if events.is_empty() {
            "all".to_owned()
        } else {
            events.join(",")
        };
        let only = row.only.as_ref();
        let only = only.map_or_else(String::new, |only| format!(" only:{only}"));
        batch.details().with = Some(format!(
            "route:{} {word} channel:{} events:{events} least:{}{only}",
            op.name, row.channel, row.least
        ));
        let kept = POSITION.get(batch.store(), &())?;
        let rows = batch.rows();
        SCOPES.expect(rows, &scope, expected(of.as_ref()));
        SCOPES.put(rows, &scope, &names);
        if kept.is_none() {
            // From here on nothing is looked over, whatever becomes of this process.
            POSITION.expect(rows, &(), Expected::Absent);
            POSITION.put(rows, &(), &end);
        }
        changed(rows);
        Ok(shown(op.name.clone(), row))
    }
}

/// Removes a route.
pub(crate) struct RouteRemove {
    /// Of which namespace; of the installation without.
    pub(crate) namespace: Option<Namespace>,
    /// Which.
    pub(crate) name: Label,
}

impl Op for RouteRemove {
    const ACTION: Action = Action::NotifyWrite;
    fn resource(&self) -> Resource {
        resource(self.namespace.as_ref())
    }
}

impl RouteRemove {
    /// Removes the route of the permit. What waits is sent still.
    pub(crate) fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), NotifyError> {
        let op = batch.op();
        let scope = scope(op.namespace.as_ref());
        let of = SCOPES.get(batch.store(), &scope)?;
        let mut names = of.as_ref().map(|row| row.value.clone()).unwrap_or_default();
        if names.routes.remove(&op.name).is_none() {
            return Err(NotifyError::NoRoute(op.name.clone()));
        }
        batch.details().with = Some(format!("route:{} removed", op.name));
        let rows = batch.rows();
        SCOPES.expect(rows, &scope, expected(of.as_ref()));
        SCOPES.put(rows, &scope, &names);
        changed(rows);
        Ok(())
    }
}

fn shown(name: Label, row: RouteRow) -> NotifyRoute {
    NotifyRoute {
        name,
        channel: row.channel,
        events: row.events.into_iter().collect(),
        least: row.least,
        only: row.only,
        from: row.from,
    }
}
