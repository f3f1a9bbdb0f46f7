//! The Cedar schema, generated from the product's own types and checked in as
//! `schema/policy.cedarschema`: what a policy may name, and of which type it is.

use crate::vocabulary::{KINDS, Say, asks_for_values, for_agents, for_operators, kinds_of};
use cedar_policy::{EntityTypeName, EntityUid, Schema, Validator};
use procura_policy::Action;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// What the schema begins with: who asks, and under which circumstances.
const HEAD: &str = "\
// Generated from the actions and resources of the product (`./x generate`): what policies
// may speak of. How they decide stands in spec/policies.md.
namespace Procura {
  // Under which circumstances it is asked; times in UTC, by the server's clock.
  type Circumstances = {
    \"hour\": Long,            // 0 to 23
    \"minute_of_day\": Long,   // 0 to 1439
    \"weekday\": Long,         // 1 is Monday, 7 is Sunday
    \"source\"?: ipaddr,       // absent where no address is known
    \"profile\": String,       // how the caller was proven: native, session, hmac-v2 ...
    \"uses_last_hour\": Long   // how often this agent did this in the last 3600 seconds
  };
  // The same for what asks for values.
  type Asking = {
    \"hour\": Long,
    \"minute_of_day\": Long,
    \"weekday\": Long,
    \"source\"?: ipaddr,
    \"profile\": String,
    \"uses_last_hour\": Long,
    \"project\": String,
    \"delivery\": String,      // env, file, stdin, http
    \"name\": String,          // of each value in turn: all have to be allowed
    \"path\": String,          // the same
    \"names\": Set<String>,    // of all of them
    \"paths\": Set<String>
  };

  entity Operator = {
    \"name\": String,
    \"id\": String,
    \"steward\": Bool,
    \"roles\": Set<String>     // in the namespace that it is about
  };
  entity Agent in [Agent, Operator, Namespace] = {
    \"name\": String,          // its label
    \"id\": String,
    \"namespace\": String,
    \"owner\": String,
    \"lineage\": String,       // alice//scribe//task-1
    \"depth\": Long            // 1 for an agent of an owner
  };
";

/// The schema, as it is checked in.
#[must_use]
pub fn schema_text() -> String {
    let mut out = String::from(HEAD);
    // Writing to a String cannot fail.
    for (_, name) in KINDS {
        let of = match *name {
            "Namespace" | "Installation" => "",
            _ => " in [Namespace]",
        };
        let _ = writeln!(
            out,
            "  entity {name}{of} = {{ \"name\": String, \"namespace\": String }};"
        );
    }
    for action in Action::ALL {
        let principals: &str = match (for_agents(*action), for_operators(*action)) {
            (Say::Nothing, Say::Nothing) => continue,
            (Say::Nothing, _) => "Operator",
            (_, Say::Nothing) => "Agent",
            _ => "Agent, Operator",
        };
        let context = match asks_for_values(*action) {
            true => "Asking",
            false => "Circumstances",
        };
        let _ = write!(
            out,
            "\n  action \"{}\" appliesTo {{\n    principal: [{principals}],\n    resource: [{}],\n    context: {context}\n  }};",
            action.as_str(),
            kinds_of(*action).join(", "),
        );
    }
    out.push_str("\n}\n");
    out
}

/// What policies are checked against; none if the schema were no schema, which a test
/// keeps from being released. Without it no policy takes effect.
pub(crate) fn validator() -> Option<&'static Validator> {
    static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
        let (schema, _) = Schema::from_cedarschema_str(&schema_text()).ok()?;
        Some(Validator::new(schema))
    });
    VALIDATOR.as_ref()
}

/// The names of types and actions, parsed once.
pub(crate) struct Names {
    types: HashMap<&'static str, EntityTypeName>,
    actions: HashMap<Action, EntityUid>,
}

impl Names {
    /// The names; none if one of them were no name.
    pub(crate) fn get() -> Option<&'static Self> {
        static NAMES: LazyLock<Option<Names>> = LazyLock::new(Names::make);
        NAMES.as_ref()
    }

    fn make() -> Option<Self> {
        let kinds = KINDS.iter().map(|(_, name)| *name);
        let types = kinds
            .chain(["Agent", "Operator"])
            .map(|name| Some((name, format!("Procura::{name}").parse().ok()?)))
            .collect::<Option<_>>()?;
        let actions = Action::ALL
            .iter()
            .map(|action| {
                let uid = format!("Procura::Action::\"{}\"", action.as_str());
                Some((*action, uid.parse().ok()?))
            })
            .collect::<Option<_>>()?;
        Some(Self { types, actions })
    }

    pub(crate) fn kind(&self, name: &str) -> Option<&EntityTypeName> {
        self.types.get(name)
    }

    pub(crate) fn action(&self, action: Action) -> Option<&EntityUid> {
        self.actions.get(&action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_a_schema() {
        let parsed = Schema::from_cedarschema_str(&schema_text());
        assert!(parsed.is_ok(), "{:?}", parsed.err());
        assert!(validator().is_some() && Names::get().is_some());
    }

    #[test]
    fn every_action_that_policies_are_asked_about_is_in_the_schema() {
        let text = schema_text();
        for action in Action::ALL {
            let asked =
                for_agents(*action) != Say::Nothing || for_operators(*action) != Say::Nothing;
            let named = text.contains(&format!("action \"{}\" ", action.as_str()));
            assert_eq!(asked, named, "{}", action.as_str());
        }
    }

    #[test]
    fn a_policy_says_nothing_about_policies() {
        for action in [Action::PolicyWrite, Action::PolicyState, Action::PolicyRead] {
            assert_eq!(for_operators(action), Say::Nothing);
            assert_eq!(for_agents(action), Say::Nothing);
        }
    }
}
