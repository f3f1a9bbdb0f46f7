//! The permission matrix over HTTP: each call by each actor, who gets through where the
//! checked-in table says yes, and elsewhere is refused with the exact error. A route with
//! another operation than its own fails here, by who gets through or by the action that
//! the refusal names.

pub(crate) mod rows;

use crate::actors::Actors;
use crate::calls::{Case, cases};
use crate::world::Answer;
use rows::{AGENTS, Place, ROWS, Row, row};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What is checked in, and not what the code would print.
const GOLDEN: &str = include_str!("../../../../../schema/permission-matrix.md");

/// The cells of a row, by column.
type Cells = BTreeMap<String, String>;

struct Golden(BTreeMap<String, Cells>);

impl Golden {
    fn read() -> Self {
        let cells = |line: &str| -> Vec<String> {
            let cells = line.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        };
        let mut lines = GOLDEN
            .lines()
            .filter(|line| line.starts_with('|') && !line.starts_with("|---"));
        let head = cells(lines.next().unwrap());
        let rows = lines.map(|line| {
            let row = cells(line);
            (row[0].clone(), head.iter().cloned().zip(row).collect())
        });
        Self(rows.collect())
    }

    fn says_yes(&self, action: &str, column: &str) -> bool {
        self.0[action][column] == "yes"
    }

    /// Whether the actor may, as the table says it of who they are.
    fn lets(&self, row: &Row, place: Place, actor: &str) -> bool {
        if row.for_people && AGENTS.contains(&actor) {
            return false;
        }
        if row.own.contains(&actor) || self.says_yes(row.action, "agent") {
            return true;
        }
        // The one case of it imports secrets.
        let action = match self.0[row.action]["steward"].as_str() {
            "as its parts" => "secret.import",
            _ => row.action,
        };
        roles(actor, place)
            .iter()
            .any(|role| self.says_yes(action, role))
    }
}

/// The roles that count there.
fn roles(actor: &str, place: Place) -> &'static [&'static str] {
    match (actor, place) {
        // Whoever makes a namespace has all of it.
        ("alice", Place::Shop) => &["steward", "admin", "approver", "auditor"],
        ("alice" | "stew", _) => &["steward"],
        ("adam", Place::Shop) => &["admin"],
        ("anna", Place::Shop) => &["approver"],
        ("otto", Place::Shop) => &["auditor"],
        _ => &[],
    }
}

/// Whether the actor has a part there, so that a refusal may admit that it is there.
fn sees(actor: &str, place: Place) -> bool {
    match place {
        Place::Installation => true,
        Place::Shop => !matches!(actor, "stew" | "bert" | "robber"),
        Place::Dock => actor == "alice",
    }
}

/// Whom the case takes what they prove themselves with.
fn stops(row: &Row) -> Option<&'static str> {
    match (row.action, row.with) {
        ("device.revoke" | "operator.device.revoke", with) => with.strip_prefix('@'),
        // Both are about the device of bert.
        ("operator.device.hold", _) => Some("bert"),
        ("operator.revoke", _) => Some("otto"),
        _ => None,
    }
}

/// That it is the refusal of policy, and names what was attempted.
fn refused(answer: &Answer, row: &Row, place: Place, actor: &str, case: &Case) {
    let what = format!("{actor}: {} ({})", case.what(), row.action);
    let hidden = row.hidden || !sees(actor, place);
    let code = if hidden { "not_found" } else { "forbidden" };
    answer.expect(code, None, None, &what);
    let problem = answer.problem(&what);
    let action = (!hidden).then_some(row.action);
    assert_eq!(problem.action.as_deref(), action, "{what}");
    let status: u16 = if hidden { 404 } else { 403 };
    assert_eq!(answer.status, status, "{what}");
}

/// Whether it is somebody's who may, and waits for other stewards where there are several.
fn waits(answer: &Answer, what: &str) -> bool {
    let problem = answer.problem(what);
    let others = ["approvals_needed", "quorum_needed"];
    problem.code == "forbidden"
        && problem
            .reason
            .is_some_and(|why| others.contains(&why.as_str()))
}

/// That whatever came of it was not for want of a role: what is signed in a body may be
/// by somebody else, who is then told so.
fn let_through(answer: &Answer, row: &Row, actor: &str, case: &Case) {
    if answer.status.is_success() {
        return;
    }
    let what = format!("{actor}: {} ({})", case.what(), row.action);
    let problem = answer.problem(&what);
    let state = matches!(answer.status.as_u16(), 409 | 422);
    let otherwise = state || problem.code == "signature_refused" || waits(answer, &what);
    assert!(otherwise, "{what}: {}", answer.text());
}

/// A GET that may be asked again and again.
fn reads(case: &Case) -> bool {
    case.method == "GET"
}

/// The case by whom the table of calls names, so that the next ones find what it made.
/// What takes several stewards where there are several waits for them.
async fn goes_on(actors: &Actors, case: &Case) {
    let (what, answer) = (
        case.what(),
        actors.world.send(&case.sent(actors, case.by)).await,
    );
    let agreed = answer.status.is_success() || answer.status == 409 || waits(&answer, &what);
    assert!(agreed, "{what}: {}", answer.text());
}

/// Each call by each of them: refusals as the table says, and reads that it lets pass. What
/// changes something is then done once, by one who may.
#[tokio::test]
async fn every_call_refuses_whom_the_table_does_not_let() {
    let (golden, actors) = (Golden::read(), Actors::new().await);
    let mut stopped = BTreeSet::new();
    let (mut no, mut yes) = (0, 0);
    for case in cases(&actors).await {
        let row = row(&case, &actors);
        let place = row.place(&case);
        for actor in [
            "alice", "adam", "anna", "otto", "bert", "scribe", "baker", "robber",
        ] {
            if stopped.contains(actor) || row.others.contains(&actor) {
                continue;
            }
            let lets = golden.lets(row, place, actor);
            if lets && !reads(&case) {
                continue;
            }
            let answer = actors.world.send(&case.sent(&actors, actor)).await;
            if lets {
                let_through(&answer, row, actor, &case);
                yes += 1;
            } else {
                refused(&answer, row, place, actor, &case);
                no += 1;
            }
        }
        assert!(golden.lets(row, place, case.by), "{}", case.what());
        goes_on(&actors, &case).await;
        stopped.extend(stops(row));
    }
    // Most cells are a no, and not few a yes.
    assert!(no > 600 && yes > 100, "{no} refused, {yes} let through");
}

/// Goes through all calls, those that change something by this actor where the table lets
/// them.
async fn lets(actor: &'static str, steward: bool) {
    let (golden, mut actors) = (Golden::read(), Actors::new().await);
    let cases = cases(&actors).await;
    if steward {
        actors.enters(actor, json!([{"role": "steward"}])).await;
    }
    let mut done = 0;
    for case in cases {
        let row = row(&case, &actors);
        let place = row.place(&case);
        if !row.others.contains(&actor) {
            let answer = actors.world.send(&case.sent(&actors, actor)).await;
            if !golden.lets(row, place, actor) {
                refused(&answer, row, place, actor, &case);
            } else {
                let_through(&answer, row, actor, &case);
                done += 1;
                if answer.status.is_success() && !reads(&case) {
                    continue;
                }
            }
        }
        goes_on(&actors, &case).await;
    }
    assert!(done > 20, "{actor} did {done}");
}

#[tokio::test]
async fn a_steward_alone_gets_through_where_the_table_says_so() {
    lets("stew", true).await;
}

#[tokio::test]
async fn whoever_has_all_roles_gets_through_where_the_table_says_so() {
    lets("alice", false).await;
}

#[tokio::test]
async fn an_admin_gets_through_where_the_table_says_so() {
    lets("adam", false).await;
}

#[tokio::test]
async fn an_approver_gets_through_where_the_table_says_so() {
    lets("anna", false).await;
}

/// No row is left that nothing tests.
#[tokio::test]
async fn every_row_is_of_a_call() {
    let actors = Actors::new().await;
    let cases = cases(&actors).await;
    let used: BTreeSet<(&str, &str)> = cases
        .iter()
        .map(|case| row(case, &actors))
        .map(|row| (row.call, row.with))
        .collect();
    for row in ROWS {
        assert!(
            used.contains(&(row.call, row.with)),
            "{} {}",
            row.call,
            row.with
        );
    }
}
