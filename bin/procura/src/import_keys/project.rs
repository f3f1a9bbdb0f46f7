//! The project through which agents ask for keys (`protocol.md` §3.6), with what a tree
//! adds to it.

use super::plan::State;
use super::tree::Tree;
use crate::context::Context;
use crate::failure::Failure;
use procura_client::SessionClient;
use procura_types::wire::{Project, ProjectPut};
use procura_types::{Label, Malformed, ProjectName};
use std::collections::BTreeSet;

const NAME: &str = "keys";
/// Most agents and most names of a project, and most bytes of its names and paths.
const MOST_AGENTS: usize = 256;
const MOST_NAMES: usize = 256;
const MOST_BYTES: usize = 20_000;

/// The project after the import.
pub(super) struct Extended {
    /// What it has then, in words.
    pub(super) name: String,
    pub(super) state: State,
    pub(super) put: ProjectPut,
}

/// Its name.
pub(super) fn name() -> Result<ProjectName, Malformed> {
    NAME.parse()
}

/// Holds the tree against the project that is there.
pub(super) async fn extended(
    context: &Context,
    server: &SessionClient,
    tree: &Tree,
) -> Result<Extended, Failure> {
    let before = match server.project(&context.namespace, &name()?).await {
        Ok(project) => Some(project),
        Err(error) if error.is_refusal("not_found") => None,
        Err(error) => return Err(error.into()),
    };
    let (put, remapped) = merged(before.as_ref(), tree);
    check(&put)?;
    let state = match &before {
        None => State::New,
        Some(_) if !remapped.is_empty() => State::Different(remapped.join(", ")),
        Some(before) if is_same(before, &put) => State::Same,
        Some(_) => State::More,
    };
    Ok(Extended {
        name: format!(
            "{NAME} with {} agents and {} keys",
            put.agents.len(),
            put.env.len()
        ),
        state,
        put,
    })
}

fn is_same(before: &Project, put: &ProjectPut) -> bool {
    let set = |agents: &[Label]| agents.iter().cloned().collect::<BTreeSet<_>>();
    before.env == put.env && set(&before.agents) == set(&put.agents)
}

/// The project with what the tree adds, and which names would mean another secret then.
fn merged(before: Option<&Project>, tree: &Tree) -> (ProjectPut, Vec<String>) {
    let (agents, mut env) = before.map_or_else(Default::default, |project| {
        (project.agents.clone(), project.env.clone())
    });
    let mut agents: BTreeSet<Label> = agents.into_iter().collect();
    agents.extend(tree.agents.iter().map(|agent| agent.label.clone()));
    let mut remapped = Vec::new();
    for key in &tree.keys {
        // Under whichever name: it is asked for by its path.
        if env.values().any(|path| *path == key.path) {
            continue;
        }
        if let Some(other) = env.insert(key.env.clone(), key.path.clone()) {
            remapped.push(format!("{} is {other}", key.env));
        }
    }
    let agents = agents.into_iter().collect();
    (ProjectPut { agents, env }, remapped)
}

fn check(put: &ProjectPut) -> Result<(), Failure> {
    let lengths = put
        .env
        .iter()
        .map(|(name, path)| name.as_str().len() + path.as_str().len());
    let bytes: usize = lengths.sum();
    let wrong = if put.agents.len() > MOST_AGENTS {
        format!("{} agents, and it takes {MOST_AGENTS}", put.agents.len())
    } else if put.env.len() > MOST_NAMES {
        format!("{} keys, and it takes {MOST_NAMES}", put.env.len())
    } else if bytes > MOST_BYTES {
        format!("names and paths of {bytes} bytes, and it takes {MOST_BYTES}")
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "nothing was brought in: the project {NAME} would have {wrong}"
    ))
    .next("bring in a part of the tree into each of several namespaces, with -n NS"))
}
