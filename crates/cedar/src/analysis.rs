//! What a policy looks at, found in its text: by that it is known which decisions may be
//! kept, what has to be computed for one at all, and whether each value that is asked for
//! has to be looked at by itself.

use serde_json::Value;
use std::ops::BitOr;

/// What of the circumstances a policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Uses(u16);

impl Uses {
    pub(crate) const TIME: Self = Self(1);
    pub(crate) const SOURCE: Self = Self(1 << 1);
    pub(crate) const PROFILE: Self = Self(1 << 2);
    pub(crate) const COUNT: Self = Self(1 << 3);
    pub(crate) const PROJECT: Self = Self(1 << 4);
    pub(crate) const DELIVERY: Self = Self(1 << 5);
    /// Name or path of one value: each is looked at in turn.
    pub(crate) const ITEM: Self = Self(1 << 6);
    /// Names or paths of all.
    pub(crate) const ITEMS: Self = Self(1 << 7);
    /// Everything: what is looked at cannot be told.
    pub(crate) const ALL: Self = Self(0xff);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a decision may be kept: nothing goes into it that changes by itself.
    pub(crate) const fn may_be_kept(self) -> bool {
        !self.has(Self::TIME) && !self.has(Self::COUNT)
    }

    fn of_attribute(name: &str) -> Self {
        match name {
            "hour" | "minute_of_day" | "weekday" => Self::TIME,
            "source" => Self::SOURCE,
            "profile" => Self::PROFILE,
            "uses_last_hour" => Self::COUNT,
            "project" => Self::PROJECT,
            "delivery" => Self::DELIVERY,
            "name" | "path" => Self::ITEM,
            "names" | "paths" => Self::ITEMS,
            _ => Self::ALL,
        }
    }

    /// What a policy uses whose JSON this is. Of what is not understood it is everything:
    /// too much costs time, too little would keep a decision that must not be kept.
    pub(crate) fn of_policy(policy: &Value) -> Self {
        match policy.get("conditions") {
            Some(conditions) => walk(conditions),
            None => Self::ALL,
        }
    }
}

impl BitOr for Uses {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Self> for Uses {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::bitor)
    }
}

/// `context.attribute` and `context has attribute`; the circumstances anywhere else are
/// all of them.
fn walk(expression: &Value) -> Uses {
    match expression {
        Value::Array(parts) => parts.iter().map(walk).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(operator, operand)| match operator.as_str() {
                "." | "has" => attribute(operand).unwrap_or_else(|| walk(operand)),
                "Var" if operand.as_str() == Some("context") => Uses::ALL,
                _ => walk(operand),
            })
            .collect(),
        _ => Uses::default(),
    }
}

/// The use of an attribute of the circumstances; none if it is one of something else.
fn attribute(operand: &Value) -> Option<Uses> {
    let left = operand.get("left")?.as_object()?;
    if left.get("Var")?.as_str()? != "context" {
        return None;
    }
    // `has a.b` names several in a row: the first is the one of the circumstances.
    let name = match operand.get("attr")? {
        Value::Array(names) => names.first()?.as_str()?,
        name => name.as_str()?,
    };
    Some(Uses::of_attribute(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cedar_policy::Policy;

    fn uses(condition: &str) -> Uses {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let policy: Policy = text.parse().unwrap();
        Uses::of_policy(&policy.to_json().unwrap())
    }

    #[test]
    fn what_changes_by_itself_is_found_wherever_it_stands() {
        for time in [
            "context.hour > 3",
            "context[\"hour\"] > 3",
            "1 == 1 || (if context.minute_of_day < 9 then true else false)",
            "[context.weekday].contains(3)",
            "{a: {b: context.hour}}.a.b == 3",
            "context has hour && context.hour == 1",
            "!(context.hour > 3)",
            "context.hour + 1 == 2 * 3",
        ] {
            assert!(uses(time).has(Uses::TIME), "{time}");
            assert!(!uses(time).may_be_kept(), "{time}");
        }
        for rate in [
            "context.uses_last_hour < 10",
            "0 <= 10 - context[\"uses_last_hour\"]",
            "context has uses_last_hour",
        ] {
            assert_eq!(uses(rate), Uses::COUNT, "{rate}");
            assert!(!uses(rate).may_be_kept(), "{rate}");
        }
    }

    #[test]
    fn the_circumstances_as_a_whole_are_all_of_them() {
        for whole in [
            "context == {hour: 3}",
            "[context].contains(context)",
            "{x: context}.x.hour == 3",
            "(if principal has name then context else context).hour == 3",
            "{\".\": context} == {\".\": context}",
        ] {
            assert_eq!(uses(whole), Uses::ALL, "{whole}");
        }
    }

    #[test]
    fn what_stays_the_same_is_told_apart() {
        let cases = [
            ("principal.name like \"ci-*\"", Uses::default()),
            ("resource.name == \"hour\"", Uses::default()),
            ("\"context.hour\" == \"context\"", Uses::default()),
            ("context.profile == \"native\"", Uses::PROFILE),
            (
                "context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))",
                Uses::SOURCE,
            ),
            ("context.path like \"prod/*\"", Uses::ITEM),
            ("context.paths.contains(\"a\")", Uses::ITEMS),
            (
                "context.project == \"a\" && context.delivery == \"env\"",
                Uses::PROJECT | Uses::DELIVERY,
            ),
        ];
        for (condition, expected) in cases {
            assert_eq!(uses(condition), expected, "{condition}");
            assert!(uses(condition).may_be_kept(), "{condition}");
        }
    }
}
