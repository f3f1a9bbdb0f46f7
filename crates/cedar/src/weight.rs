//! What a policy costs who decides by it, measured on what it parsed to: how deep it goes,
//! and how many steps it takes at the most.

use crate::shape::TOO_DEEP;
use serde_json::Value;

/// Expressions in expressions of one policy. Every level takes as much stack as a whole
/// call of what checks and evaluates it.
const DEEP: usize = 128;

/// Steps that deciding by all policies of a text may take, for one value. A step is about
/// what it takes to look at an attribute.
pub(crate) const STEPS: usize = 65_536;

/// Steps of one decision, for all values that are asked for. Who asks for more at once is
/// not permitted it, so that nobody is kept waiting by what somebody else wrote and asks.
const WORK: usize = 4 * STEPS;

/// Steps that a policy takes before its conditions.
const HEAD: usize = 8;

/// Characters that are compared in one step.
const COMPARED: usize = 64;

/// The longest string that steps are counted for; where one is longer in what is asked,
/// everything takes as many times the steps. Paths have 255 bytes at the most.
const EXPECTED: usize = 256;

/// What a policy, or several together, cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weight {
    /// Expressions in each other.
    pub(crate) deep: usize,
    /// Steps for one value.
    pub(crate) steps: usize,
    /// How often the names or paths of all values are looked at.
    sets: usize,
    /// Expressions in all.
    size: usize,
}

/// Why a policy is not weighed.
type Refused = &'static str;

/// What is said of patterns for anything but an attribute.
const ODD_LIKE: Refused = "`like` is asked of an attribute of principal, resource or context only";

impl Weight {
    const fn leaf(steps: usize) -> Self {
        Self {
            deep: 1,
            steps,
            sets: 0,
            size: 1,
        }
    }

    /// Of both, beside each other.
    pub(crate) fn beside(self, other: Self) -> Self {
        Self {
            deep: self.deep.max(other.deep),
            steps: self.steps.saturating_add(other.steps),
            sets: self.sets.saturating_add(other.sets),
            size: self.size.saturating_add(other.size),
        }
    }

    /// With so many levels above it.
    const fn below(self, levels: usize) -> Self {
        Self {
            deep: self.deep.saturating_add(levels),
            size: self.size.saturating_add(levels),
            steps: self.steps.saturating_add(levels),
            ..self
        }
    }

    const fn and_steps(self, steps: usize) -> Self {
        Self {
            steps: self.steps.saturating_add(steps),
            ..self
        }
    }

    /// All of it compared with something, or put into a set.
    const fn compared(self, times: usize) -> Self {
        let steps = self.size.saturating_mul(times);
        Self {
            sets: self.sets.saturating_mul(2),
            ..self.and_steps(steps)
        }
    }

    /// What a policy costs whose JSON this is, or why it must not be decided by.
    pub(crate) fn of_policy(policy: &Value) -> Result<Self, Refused> {
        let clauses = policy.get("conditions").and_then(Value::as_array);
        let clauses = clauses.ok_or("the policy cannot be measured")?;
        let mut whole = Self::default();
        for (place, clause) in clauses.iter().enumerate() {
            let body = clause.get("body").ok_or("the policy cannot be measured")?;
            // Each is below all before it, and one that begins with `unless` is turned round.
            let mut clause = of_expression(body)?.below(1);
            clause.deep = clause.deep.saturating_add(place);
            whole = whole.beside(clause);
        }
        if whole.deep > DEEP {
            return Err(TOO_DEEP);
        }
        Ok(whole.and_steps(HEAD))
    }

    /// Whether a decision about so many values is more work than one may be, with strings
    /// of the `longest` of what is asked, in so many evaluations.
    pub(crate) fn is_too_much(self, evaluations: usize, longest: usize, in_sets: usize) -> bool {
        let times = longest / EXPECTED + 1;
        // The sets are put together for each evaluation, and then looked at.
        let sets = in_sets.saturating_mul(self.sets.saturating_add(HEAD));
        let one = self.steps.saturating_mul(times).saturating_add(sets);
        one.saturating_mul(evaluations.max(1)) > WORK
    }
}

impl FromIterator<Weight> for Weight {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::beside)
    }
}

/// An expression, or the name of an attribute or a type, which costs nothing.
fn of_expression(expression: &Value) -> Result<Weight, Refused> {
    match expression {
        Value::Object(map) => {
            let mut whole = Weight::default();
            for (operator, operand) in map {
                whole = whole.beside(of_operation(operator, operand)?);
            }
            Ok(whole)
        }
        Value::Array(_) => of_parts(expression),
        _ => Ok(Weight::default()),
    }
}

/// All parts of an operation.
fn of_parts(operand: &Value) -> Result<Weight, Refused> {
    match operand {
        Value::Array(parts) => parts.iter().map(of_expression).collect(),
        Value::Object(parts) => parts.values().map(of_expression).collect(),
        _ => Ok(Weight::default()),
    }
}

/// The variable that is the left side of an operation, if it is one.
fn variable(operand: &Value) -> Option<&str> {
    operand.get("left")?.get("Var")?.as_str()
}

/// Whether this is an attribute of somebody or something, or of the circumstances: none of
/// these is as long as a text can make a string.
fn is_attribute(expression: Option<&Value>) -> bool {
    let attribute = expression.and_then(|expression| expression.get("."));
    let of = attribute.and_then(variable);
    matches!(of, Some("principal" | "resource" | "context"))
}

/// Steps that a pattern takes. What stands behind a `*` is looked for at every place.
fn of_pattern(pattern: &Value) -> usize {
    let elements = pattern.as_array().map_or(&[][..], Vec::as_slice);
    let bytes: usize = elements
        .iter()
        .filter_map(|element| element.get("Literal")?.as_str())
        .map(|literal| literal.len().max(1))
        .sum();
    let is_wild = |element: &Value| element.as_str() == Some("Wildcard");
    let first = elements.iter().position(is_wild);
    let searches = first.is_some_and(|first| {
        let mut behind = elements.iter().skip(first);
        behind.any(|element| !is_wild(element))
    });
    match searches {
        true => bytes.saturating_mul(EXPECTED / COMPARED),
        false => bytes / COMPARED + 1,
    }
}

fn of_operation(operator: &str, operand: &Value) -> Result<Weight, Refused> {
    Ok(match operator {
        "Value" => {
            let length = operand.to_string().len();
            Weight::leaf(1 + length / COMPARED)
        }
        "Var" => Weight {
            // The circumstances as a whole have both sets in them.
            sets: 2 * usize::from(operand.as_str() == Some("context")),
            ..Weight::leaf(1)
        },
        "." | "has" if variable(operand) == Some("context") => {
            let name = operand.get("attr").and_then(Value::as_str);
            Weight {
                sets: usize::from(matches!(name, Some("names" | "paths"))),
                ..Weight::leaf(1).below(1)
            }
        }
        "like" => {
            let left = operand.get("left");
            if !is_attribute(left) {
                return Err(ODD_LIKE);
            }
            let of = left.map_or_else(|| Ok(Weight::default()), of_expression)?;
            let pattern = operand.get("pattern").map_or(0, of_pattern);
            of.below(1).and_steps(pattern)
        }
        // Each of these is two expressions for Cedar, and the first of `is … in` is there
        // twice; what may stand before it is one variable.
        "!=" => of_parts(operand)?.compared(1).below(2),
        ">" | ">=" | "is" => of_parts(operand)?.below(3),
        "Set" | "Record" => of_parts(operand)?.below(1).compared(4),
        "==" | "in" | "contains" | "containsAll" | "containsAny" => {
            of_parts(operand)?.compared(1).below(1)
        }
        "!" | "neg" | "<" | "<=" | "&&" | "||" | "+" | "-" | "*" | "." | "has" | "isEmpty"
        | "if-then-else" => of_parts(operand)?.below(1),
        // Functions, as of addresses, which are read anew each time.
        _ => of_parts(operand)?.below(1).compared(4),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stack::apart;
    use cedar_policy::Policy;

    /// With as much stack as a text has that is checked.
    fn weight(clauses: &str) -> Result<Weight, Refused> {
        let text = format!("permit(principal, action, resource) {clauses};");
        let weighed = apart(|| {
            let policy: Policy = text.parse().unwrap();
            Weight::of_policy(&policy.to_json().unwrap())
        });
        weighed.unwrap()
    }

    fn steps(condition: &str) -> usize {
        weight(&format!("when {{ {condition} }}")).unwrap().steps
    }

    #[test]
    fn clauses_are_a_chain() {
        assert_eq!(weight("").unwrap().deep, 0);
        assert_eq!(weight("when { true }").unwrap().deep, 2);
        assert_eq!(weight("unless { true } when { true }").unwrap().deep, 3);
        let clauses = |count: usize| weight(&"when { true }".repeat(count));
        assert_eq!(clauses(DEEP - 1).unwrap().deep, DEEP);
        assert_eq!(clauses(DEEP), Err(TOO_DEEP));
    }

    #[test]
    fn every_way_to_depth_is_seen() {
        for (link, most) in [
            ("context.hour == 1 || ", DEEP - 2),
            ("context.hour == 1 && ", DEEP - 2),
            ("if context.hour == 1 then true else ", DEEP - 2),
        ] {
            let chain = |count: usize| weight(&format!("when {{ {}true }}", link.repeat(count)));
            assert_eq!(chain(DEEP), Err(TOO_DEEP), "{link}");
            assert!(chain(most - 4).is_ok(), "{link}");
        }
        let sum = |count: usize| weight(&format!("when {{ 1 == {}1 }}", "1 + ".repeat(count)));
        assert_eq!(sum(DEEP), Err(TOO_DEEP));
        assert!(sum(DEEP - 4).is_ok());
        for link in [".a", "[\"a\"]"] {
            let chain = |count: usize| weight(&format!("when {{ context{} }}", link.repeat(count)));
            assert_eq!(chain(DEEP), Err(TOO_DEEP), "{link}");
            assert!(chain(DEEP - 4).is_ok(), "{link}");
        }
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("!(", ")"), ("-(", ")")] {
            let nested = format!("when {{ {}1{} }}", open.repeat(20), close.repeat(20));
            assert!(weight(&nested).unwrap().deep > 20, "{open}");
        }
    }

    #[test]
    fn patterns_are_for_attributes() {
        for odd in [
            "\"aaa\" like \"*a\"",
            "(if context.hour == 1 then \"a\" else \"b\") like \"*a\"",
            "{a: \"aaa\"}.a like \"*a\"",
        ] {
            assert_eq!(weight(&format!("when {{ {odd} }}")), Err(ODD_LIKE), "{odd}");
        }
        for plain in ["principal.name", "resource[\"name\"]", "(context.path)"] {
            assert!(steps(&format!("{plain} like \"*a\"")) > 0, "{plain}");
        }
    }

    #[test]
    fn what_takes_longer_weighs_more() {
        let like = |pattern: &str| steps(&format!("principal.name like \"{pattern}\""));
        let letters = "a".repeat(1_000);
        assert!(like(&format!("{letters}*")) < 40);
        assert!(like(&format!("*{letters}")) > 3_000);
        // A star may be written in other ways.
        assert!(like(&format!("\\u{{2a}}{letters}")) > 3_000);
        let list = |count: usize| steps(&format!("[{}].contains(1)", "1,".repeat(count)));
        assert!(list(100) > 5 * 100);
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            steps(&format!("{open}{}{close} == 1", "1,".repeat(100)))
        };
        assert!(nested(9) > 4 * nested(1));
    }

    #[test]
    fn work_grows_with_all_that_is_asked() {
        let plain = weight("when { context.path like \"a/*\" }").unwrap();
        let most = WORK / plain.steps;
        assert!(!plain.is_too_much(most, 255, 0));
        assert!(plain.is_too_much(most + 1, 255, 0));
        assert!(plain.is_too_much(most / 2 + 1, 256, 0));
        let both = weight("when { context.paths.contains(context.path) }").unwrap();
        assert!(!both.is_too_much(64, 255, 64));
        assert!(both.is_too_much(1_000, 255, 1_000));
        assert!(!both.is_too_much(1, 255, 1_000));
    }
}
