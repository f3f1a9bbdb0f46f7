//! What is asked, in values of Cedar.

use crate::analysis::Uses;
use crate::facts::{Asks, Circumstances, Principal, Thing};
use crate::schema::Names;
use crate::slice::Subject;
use crate::vocabulary::{asks_for_values, kind_of};
use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use procura_policy::Action;
use std::collections::{HashMap, HashSet};

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// An agent with its parents, its owner and its namespace, or an operator with nobody.
pub(crate) fn principal_subject(names: &Names, principal: &Principal) -> Option<Subject> {
    let Some(agent) = &principal.agent else {
        return Some(Subject {
            uid: uid(names.kind("Operator")?, &principal.name),
            above: HashSet::new(),
        });
    };
    let kind = names.kind("Agent")?;
    let named = |name: &str| uid(kind, &format!("{}/{name}", agent.namespace));
    let mut lineage = agent.lineage.iter();
    let mut above = HashSet::new();
    if let Some(owner) = lineage.next() {
        above.insert(uid(names.kind("Operator")?, owner));
    }
    let parents = lineage.rev().skip(1);
    // Nobody is above itself, whatever a case says.
    let parents = parents.filter(|name| **name != principal.name);
    above.extend(parents.map(|name| named(name)));
    above.insert(uid(names.kind("Namespace")?, &agent.namespace));
    Some(Subject {
        uid: named(&principal.name),
        above,
    })
}

/// Something in its namespace, or of the installation.
pub(crate) fn thing_subject(names: &Names, thing: &Thing) -> Option<Subject> {
    let kind = kind_of(&thing.kind);
    let namespace = match kind {
        "Namespace" => None,
        _ => thing.namespace.as_deref(),
    };
    let id = match namespace {
        Some(namespace) => format!("{namespace}/{}", thing.name),
        None if thing.name.is_empty() => thing.kind.clone(),
        None => thing.name.clone(),
    };
    let above = namespace
        .map(|namespace| Some(uid(names.kind("Namespace")?, namespace)))
        .into_iter()
        .collect::<Option<_>>()?;
    Some(Subject {
        uid: uid(names.kind(kind)?, &id),
        above,
    })
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn long(value: impl TryInto<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.try_into().unwrap_or(i64::MAX))
}

pub(crate) fn principal_entity(subject: Subject, principal: &Principal) -> Option<Entity> {
    let mut attributes = HashMap::with_capacity(6);
    let mut put = |name: &str, value| attributes.insert(name.to_owned(), value);
    put("name", text(&principal.name));
    put("id", text(&principal.id));
    match &principal.agent {
        Some(agent) => {
            put("namespace", text(&agent.namespace));
            put(
                "owner",
                text(agent.lineage.first().map_or("", String::as_str)),
            );
            put("lineage", text(&agent.lineage.join("//")));
            put("depth", long(agent.lineage.len().saturating_sub(1)));
        }
        None => {
            put("steward", RestrictedExpression::new_bool(principal.steward));
            let roles = principal.roles.iter().map(|role| text(role));
            put("roles", RestrictedExpression::new_set(roles));
        }
    }
    Entity::new(subject.uid, attributes, subject.above).ok()
}

pub(crate) fn thing_entity(subject: Subject, thing: &Thing) -> Option<Entity> {
    let namespace = thing.namespace.as_deref().unwrap_or_default();
    let attributes = HashMap::from([
        ("name".to_owned(), text(&thing.name)),
        ("namespace".to_owned(), text(namespace)),
    ]);
    Entity::new(subject.uid, attributes, subject.above).ok()
}

/// The circumstances, as far as any policy looks at them.
pub(crate) fn context(
    circumstances: &Circumstances,
    action: Action,
    uses: Uses,
    item: Option<&(String, String)>,
) -> Option<Context> {
    let mut pairs: Vec<(String, RestrictedExpression)> = Vec::new();
    let mut put = |name: &str, value| pairs.push((name.to_owned(), value));
    if uses.has(Uses::TIME) {
        let minutes = circumstances.now.as_secs() / 60;
        put("hour", long(minutes / 60 % 24));
        put("minute_of_day", long(minutes % (24 * 60)));
        // The first day of 1970 was a Thursday.
        put("weekday", long((minutes / (24 * 60) + 3) % 7 + 1));
    }
    if uses.has(Uses::SOURCE)
        && let Some(source) = circumstances.source
    {
        put(
            "source",
            RestrictedExpression::new_ip(source.to_canonical().to_string()),
        );
    }
    if uses.has(Uses::PROFILE) {
        put("profile", text(&circumstances.profile));
    }
    if uses.has(Uses::COUNT) {
        put("uses_last_hour", long(circumstances.uses_last_hour));
    }
    if asks_for_values(action) {
        let nothing = Asks::default();
        let asks = circumstances.asks.as_ref().unwrap_or(&nothing);
        if uses.has(Uses::PROJECT) {
            put("project", text(&asks.project));
        }
        if uses.has(Uses::DELIVERY) {
            put("delivery", text(&asks.delivery));
        }
        if uses.has(Uses::ITEM) {
            let (name, path) = item.map_or(("", ""), |(name, path)| (name, path));
            put("name", text(name));
            put("path", text(path));
        }
        if uses.has(Uses::ITEMS) {
            let names = asks.items.iter().map(|(name, _)| text(name));
            put("names", RestrictedExpression::new_set(names));
            let paths = asks.items.iter().map(|(_, path)| text(path));
            put("paths", RestrictedExpression::new_set(paths));
        }
    }
    Context::from_pairs(pairs).ok()
}
