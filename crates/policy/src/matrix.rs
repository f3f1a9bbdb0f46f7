//! The permission matrix: what the table of actions yields for every role.

use crate::action::{Action, Rule};
use procura_proof::foreign::Foreign;
use procura_types::{Amr, Role};
use std::fmt::Write as _;

/// Every action against every role and kind of caller, as Markdown. Checked in
/// as `schema/permission-matrix.md`; a change of policy is a readable diff.
#[must_use]
pub fn permission_matrix() -> String {
    let mut out = String::from(
        "# Permission matrix\n\nGenerated from the actions of `procura-policy`; everything that is not `yes` is denied.\n\
         Roles other than steward count in their namespace only. A caller who was proven by a profile of another\n\
         system has to be let in by the column of those too. A person in a browser has to be let in by the column of web\n\
         logins too, by what they signed in with; where it says `proven anew`, within five minutes. An API key of an\n\
         operator is made for actions of the last column alone.\n\n\
         | action | steward | admin | approver | auditor | agent | other | foreign profiles | web login | api key |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for action in Action::ALL {
        let rule = action.rule();
        let role = |role| match rule {
            Rule::Roles(roles) | Rule::OwnOr(roles) if roles.contains(&role) => "yes",
            Rule::Anyone => "yes",
            Rule::Parts => "as its parts",
            _ => "",
        };
        let agent = match rule {
            Rule::Anyone => "yes",
            Rule::Member => "named by the project or service",
            Rule::Grant => "with a covering grant",
            Rule::Token => "with its project token",
            Rule::Own | Rule::OwnOr(_) => "its own",
            Rule::Roles(_) | Rule::Parts | Rule::Joining | Rule::SigningIn | Rule::AdminSocket => {
                ""
            }
        };
        let other = match rule {
            Rule::Joining => "about to join",
            Rule::AdminSocket => "on the admin socket",
            Rule::SigningIn => "by signing in",
            _ if action.takes_own_key() => "not in a session",
            _ => "",
        };
        let foreign = Foreign::ALL.into_iter();
        let foreign = foreign
            .filter(|profile| action.takes_foreign(*profile))
            .map(Foreign::as_str);
        let legacy = [(false, "legacy (login)"), (true, "legacy")];
        let legacy = legacy
            .into_iter()
            .filter(|(signed, _)| action.takes_legacy(*signed))
            .map(|(_, word)| word);
        let foreign: Vec<&str> = foreign.chain(legacy).collect();
        let foreign = foreign.join(", ");
        let web = web_logins(*action);
        let key = if action.takes_api_key() { "yes" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {agent} | {other} | {foreign} | {web} | {key} |",
            action.as_str(),
            role(Role::Steward),
            role(Role::Admin),
            role(Role::Approver),
            role(Role::Auditor),
        );
    }
    out
}

/// By which sign-ins a person in a browser may do it.
fn web_logins(action: Action) -> String {
    let taken = Amr::ALL
        .into_iter()
        .filter(|amr| action.takes_web_login(*amr));
    let mut cell = taken.map(Amr::as_str).collect::<Vec<_>>().join(", ");
    if action.is_dangerous() {
        cell.push_str(", proven anew");
    }
    cell
}
