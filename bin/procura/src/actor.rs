//! Actors as people type and read them: by name, or by the beginning of an id.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use procura_client::SessionClient;
use procura_types::ActorId;
use std::str::FromStr;

/// So many characters of an id are printed in tables, which tell actors apart.
const SHORT: usize = 12;
/// So many characters of an id must be typed at least.
const LEAST: usize = 8;

/// An id as it stands in a table; `--json` has all of it.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

/// An actor as typed: a name, an id, or the beginning of one.
#[derive(Debug, Clone)]
pub(crate) enum ActorText {
    Id(ActorId),
    Word(String),
}

impl FromStr for ActorText {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let possible = (1..=43).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if possible {
            Ok(Self::Word(text.to_owned()))
        } else {
            Err("is no name, no id, and no beginning of an id")
        }
    }
}

/// An actor that the server tells this operator of.
struct Known {
    id: ActorId,
    /// An agent's label, or an operator's name.
    name: String,
    operator: bool,
    revoked: bool,
}

/// The ids of what was typed as `--actor` and as `--owner`.
pub(crate) async fn resolve(
    context: &Context,
    server: &SessionClient,
    actor: Option<ActorText>,
    owner: Option<ActorText>,
) -> Result<(Option<ActorId>, Option<ActorId>), Failure> {
    let word = |typed: &Option<ActorText>| matches!(typed, Some(ActorText::Word(_)));
    let known = if word(&actor) || word(&owner) {
        known(context, server).await?
    } else {
        Vec::new()
    };
    let find = |flag: &str, typed: Option<ActorText>, owners: bool| match typed {
        None => Ok(None),
        Some(ActorText::Id(id)) => Ok(Some(id)),
        Some(ActorText::Word(word)) => {
            let among: Vec<&Known> = known
                .iter()
                .filter(|known| known.operator || !owners)
                .collect();
            find(flag, &word, &among).map(Some)
        }
    };
    Ok((
        find("--actor", actor, false)?,
        find("--owner", owner, true)?,
    ))
}

/// Every actor that the server tells this operator of: the agents of the
/// namespace and their owners, the operator, and to stewards all operators.
async fn known(context: &Context, server: &SessionClient) -> Result<Vec<Known>, Failure> {
    let mut known: Vec<Known> = Vec::new();
    let me = context.known()?;
    let refused = |error: &procura_client::ClientError| {
        error.is_refusal("forbidden") || error.is_refusal("not_found")
    };
    match server.operators().await {
        Ok(list) => known.extend(list.operators.into_iter().map(|operator| Known {
            id: operator.actor_id,
            name: operator.name.to_string(),
            operator: true,
            revoked: operator.revoked.is_some(),
        })),
        Err(error) if refused(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let operator = |id, name: &str| Known {
        id,
        name: name.to_owned(),
        operator: true,
        revoked: false,
    };
    if known.iter().all(|other| other.id != me.actor) {
        known.push(operator(me.actor, me.name.as_str()));
    }
    match server.agents(&context.namespace).await {
        Ok(list) => {
            for agent in list.agents {
                let owner = agent.lineage.split("//").next().unwrap_or_default();
                if known.iter().all(|other| other.id != agent.owner) {
                    known.push(operator(agent.owner, owner));
                }
                known.push(Known {
                    id: agent.actor_id,
                    name: agent.label.to_string(),
                    operator: false,
                    revoked: agent.revoked.is_some(),
                });
            }
        }
        Err(error) if refused(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(known)
}

/// The one that is meant. A name means whoever has it now, else the one who
/// had it; an id's beginning means the only one that begins so.
fn find(flag: &str, word: &str, among: &[&Known]) -> Result<ActorId, Failure> {
    let named: Vec<&Known> = among
        .iter()
        .filter(|known| known.name == word)
        .copied()
        .collect();
    let active: Vec<&Known> = named
        .iter()
        .filter(|known| !known.revoked)
        .copied()
        .collect();
    let found = match (active.is_empty(), named.is_empty()) {
        (false, _) => active,
        (true, false) => named.clone(),
        (true, true) if word.len() >= LEAST => among
            .iter()
            .filter(|known| known.id.to_string().starts_with(word))
            .copied()
            .collect(),
        (true, true) => Vec::new(),
    };
    let ids = |of: &[&Known]| {
        let ids: Vec<String> = of.iter().map(|known| known.id.to_string()).collect();
        ids.join(", ")
    };
    match found.as_slice() {
        [one] => {
            let before: Vec<&Known> = named
                .iter()
                .filter(|known| known.id != one.id)
                .copied()
                .collect();
            if !before.is_empty() {
                output::say(format!("revoked ones had this name before: {}", ids(&before)));
            }
            Ok(one.id)
        }
        [] => Err(Failure::usage(format!("{flag}: nobody is known by this"))
            .because("it is no label of an agent in the namespace, no operator's name, and not the beginning, 8 characters or more, of an id of theirs")
            .next("procura agent list --revoked, with -n NS for another namespace; the whole id, as procura audit show has it, always works")),
        several => Err(Failure::usage(format!("{flag}: several are known by this"))
            .because(ids(several))
            .next(format!("{flag} with the whole id"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(byte: u8, name: &str, operator: bool, revoked: bool) -> Known {
        Known {
            id: ActorId::from_bytes([byte; 32]),
            name: name.to_owned(),
            operator,
            revoked,
        }
    }

    #[test]
    fn names_and_beginnings_mean_one_or_nobody() {
        let all = [
            known(1, "scribe", false, true),
            known(2, "scribe", false, false),
            known(3, "gone", false, true),
            known(4, "bob", true, false),
            known(5, "bob", false, false),
        ];
        let among: Vec<&Known> = all.iter().collect();
        let found = |word: &str| find("--actor", word, &among);
        assert_eq!(found("scribe").unwrap(), all[1].id);
        assert_eq!(found("gone").unwrap(), all[2].id);
        let start = short(&all[0].id.to_string());
        assert_eq!(found(&start).unwrap(), all[0].id);
        assert_eq!(found(&start[..8]).unwrap(), all[0].id);
        for (word, message) in [
            (&start[..7], "procura: --actor: nobody is known by this"),
            ("nobody", "procura: --actor: nobody is known by this"),
            ("bob", "procura: --actor: several are known by this: "),
        ] {
            let refused = found(word).unwrap_err().to_string();
            assert!(refused.starts_with(message), "{refused}");
        }
    }

    #[test]
    fn what_can_be_no_actor_is_no_word() {
        assert!(matches!("scribe".parse(), Ok(ActorText::Word(_))));
        let id = ActorId::from_bytes([7; 32]).to_string();
        assert!(matches!(id.parse(), Ok(ActorText::Id(_))));
        for text in ["", "a b", "a/b", "x".repeat(44).as_str()] {
            assert_eq!(
                text.parse::<ActorText>().map(drop),
                Err("is no name, no id, and no beginning of an id"),
            );
        }
    }
}
