//! What is to be written, step by step, each held against what is there already.

use super::project;
use super::server_home::{self, InPlace, ServerHome};
use super::tree::{AgentFile, KeyFile, Tree, key_file, list_file};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use procura_client::{Page, SessionClient};
use procura_types::wire::{
    Agent, AgentCreate, ForeignBind, ForeignIdentity, ProjectPut, SecretPut, ValueB64, VersionState,
};
use procura_types::{ActorId, ForeignId, Label, SecretBytes, SecretPath};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How a step stands to what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Nothing is there.
    New,
    /// It is there and becomes more.
    More,
    /// It is there already.
    Same,
    /// Something else is there.
    Different(String),
    /// Something else is there that is not ours to replace.
    Blocked(String),
}

impl State {
    pub(super) const fn is_same(&self) -> bool {
        matches!(self, Self::Same)
    }

    pub(super) const fn is_different(&self) -> bool {
        matches!(self, Self::Different(_))
    }

    pub(super) const fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked(_))
    }

    /// In words.
    pub(super) fn shown(&self, replaced: bool) -> String {
        match self {
            Self::New => "new".to_owned(),
            Self::More => "adds to what is there".to_owned(),
            Self::Same => "there already".to_owned(),
            Self::Different(there) if replaced => format!("replaces: {there}"),
            Self::Different(there) | Self::Blocked(there) => there.clone(),
        }
    }
}

/// One thing to write.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) name: String,
    pub(super) state: State,
    #[serde(skip)]
    deed: Deed,
}

/// How it is written.
enum Deed {
    Secret {
        path: SecretPath,
        value: SecretBytes,
        version: u64,
    },
    Agent(Label),
    Id(ForeignId, Label),
    Project(ProjectPut),
    File(PathBuf, Vec<u8>),
    /// Only shown.
    Nothing,
}

/// All steps, in the order in which they are written: what lets somebody in comes
/// after what they are let in to.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What is left for the person to do.
    pub(super) by_hand: Vec<String>,
}

/// What the tree has, without a word on what is there.
pub(super) fn of_tree(tree: &Tree) -> Vec<Step> {
    let step = |what, name: String| Step {
        what,
        name,
        state: State::New,
        deed: Deed::Nothing,
    };
    let keys = tree.keys.iter().map(|key| step("secret", mapped(key)));
    let agents = tree.agents.iter().map(|agent| step("id", bound(agent)));
    let list = tree.list.iter();
    keys.chain(agents)
        .chain(list.map(|_| step("allow-list", "allowed-clients.json".to_owned())))
        .collect()
}

fn mapped(key: &KeyFile) -> String {
    format!("{} as {}", key.path, key.env)
}

fn bound(agent: &AgentFile) -> String {
    format!("{} of the agent {}", agent.id, agent.label)
}

impl Plan {
    /// Holds the tree against what is there; writes nothing.
    pub(super) async fn make(
        context: &Context,
        server: &SessionClient,
        tree: Tree,
        home: Option<ServerHome>,
    ) -> Result<Self, Failure> {
        let mut plan = Self {
            steps: Vec::new(),
            by_hand: Vec::new(),
        };
        let project = project::extended(context, server, &tree).await?;
        plan.secrets(context, server, tree.keys).await?;
        plan.agents(context, server, &tree.agents).await?;
        let deed = Deed::Project(project.put);
        plan.push("project", project.name, project.state, deed);
        plan.files(home.as_ref(), tree.agents, tree.list)?;
        Ok(plan)
    }

    fn push(&mut self, what: &'static str, name: impl Into<String>, state: State, deed: Deed) {
        self.steps.push(Step {
            what,
            name: name.into(),
            state,
            deed,
        });
    }

    async fn secrets(
        &mut self,
        context: &Context,
        server: &SessionClient,
        keys: Vec<KeyFile>,
    ) -> Result<(), Failure> {
        for key in keys {
            let name = key.path.to_string();
            let (state, version) = in_vault(context, server, &key).await?;
            let deed = Deed::Secret {
                path: key.path,
                value: key.value,
                version,
            };
            self.push("secret", name, state, deed);
        }
        Ok(())
    }

    async fn agents(
        &mut self,
        context: &Context,
        server: &SessionClient,
        files: &[AgentFile],
    ) -> Result<(), Failure> {
        if files.is_empty() {
            return Ok(());
        }
        let list = server.agents(&context.namespace).await?;
        let active: BTreeMap<&Label, &Agent> = list
            .agents
            .iter()
            .filter(|agent| agent.revoked.is_none())
            .map(|agent| (&agent.label, agent))
            .collect();
        let granted = granted(context, server).await?;
        let ids = server.foreign_ids(&context.namespace).await?;
        let bound: BTreeMap<&ForeignId, &ForeignIdentity> =
            ids.ids.iter().map(|row| (&row.agent_id, row)).collect();
        for file in files {
            let agent = active.get(&file.label).copied();
            let state = if agent.is_some() {
                State::Same
            } else {
                State::New
            };
            self.push(
                "agent",
                file.label.as_str(),
                state,
                Deed::Agent(file.label.clone()),
            );
            let state = match (bound.get(&file.id), agent) {
                (Some(row), _) if row.device.is_some() => State::Blocked(
                    "was enrolled with a key of its own, beside which a file does not count"
                        .to_owned(),
                ),
                (Some(row), Some(agent)) if row.actor_id == agent.actor_id => State::Same,
                (Some(row), _) => State::Blocked(format!("is bound to the agent {}", row.agent)),
                (None, Some(agent)) if has_more(agent, &bound, &granted) => {
                    State::Different(format!(
                        "the agent {} has devices, ids or grants of its own",
                        file.label
                    ))
                }
                (None, _) => State::New,
            };
            let deed = Deed::Id(file.id.clone(), file.label.clone());
            self.push("id", self::bound(file), state, deed);
        }
        Ok(())
    }

    fn files(
        &mut self,
        home: Option<&ServerHome>,
        agents: Vec<AgentFile>,
        list: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        let Some(home) = home else {
            let there = Path::new("HOME");
            if let Some(agent) = agents.first() {
                self.by_hand.push(format!(
                    "left to do: copy agents/*.pub into the home of the server, {} for example; until then these agents are unknown",
                    key_file(there, &agent.id).display()
                ));
            }
            if list.is_some() {
                self.by_hand.push(format!(
                    "left to do: copy allowed-clients.json to {} of the server",
                    list_file(there).display()
                ));
            }
            return Ok(());
        };
        let state = |in_place| match in_place {
            InPlace::Nothing => State::New,
            InPlace::Same => State::Same,
            InPlace::Other => State::Different("another file is there".to_owned()),
        };
        for agent in agents {
            let in_place = home.key(&agent.id, &agent.key)?;
            let path = home.key_file(&agent.id);
            let name = path.display().to_string();
            self.push(
                "key file",
                name,
                state(in_place),
                Deed::File(path, agent.text),
            );
        }
        if let Some(text) = list {
            let in_place = home.list(&text)?;
            let path = home.list_file();
            let name = path.display().to_string();
            self.push("allow-list", name, state(in_place), Deed::File(path, text));
        }
        Ok(())
    }

    /// Writes all that is not there, and says where it stopped if it has to. What was
    /// written stays: the same command goes on from there.
    pub(super) async fn write(
        &mut self,
        context: &Context,
        server: &SessionClient,
    ) -> Result<(), Failure> {
        let mut written = 0usize;
        for step in &self.steps {
            if step.state.is_same() {
                continue;
            }
            if let Err(failure) = step.write(context, server).await {
                output::say(format!(
                    "stopped at {} {}, after {written} were written; the same command goes on from there",
                    step.what, step.name
                ));
                return Err(failure);
            }
            written += 1;
        }
        Ok(())
    }
}

impl Step {
    async fn write(&self, context: &Context, server: &SessionClient) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match &self.deed {
            Deed::Secret {
                path,
                value,
                version,
            } => {
                let put = SecretPut {
                    expect_version: Some(*version),
                    ..SecretPut::new(ValueB64::encode(value.expose()))
                };
                server.put_secret(namespace, path, &put).await?;
            }
            Deed::Agent(label) => {
                let create = AgentCreate {
                    label: label.clone(),
                    parent: None,
                };
                server.create_agent(namespace, &create).await?;
            }
            Deed::Id(id, label) => {
                let agent = label.clone();
                let bind = ForeignBind { agent };
                server.bind_foreign_id(namespace, id, &bind).await?;
            }
            Deed::Project(put) => {
                let name = project::name()?;
                server.put_project(namespace, &name, put).await?;
            }
            Deed::File(path, text) => server_home::put(path, text)?,
            Deed::Nothing => {}
        }
        Ok(())
    }
}

/// Whether an agent is more than what an earlier import left of itself when it was
/// broken off: then whoever holds the key would become somebody who has a life already.
fn has_more(
    agent: &Agent,
    bound: &BTreeMap<&ForeignId, &ForeignIdentity>,
    granted: &BTreeSet<ActorId>,
) -> bool {
    let actor = &agent.actor_id;
    !agent.devices.is_empty()
        || granted.contains(actor)
        || bound.values().any(|row| row.actor_id == *actor)
}

/// The agents of the namespace that ever were granted anything.
async fn granted(context: &Context, server: &SessionClient) -> Result<BTreeSet<ActorId>, Failure> {
    let mut granted = BTreeSet::new();
    let mut page = Page::first();
    loop {
        let part = server.grants(&context.namespace, &page).await?;
        granted.extend(part.grants.into_iter().map(|grant| grant.agent));
        match part.next {
            Some(next) => page = Page::after(next),
            None => return Ok(granted),
        }
    }
}

/// How a key stands to the secret at its path, and the newest version there; 0 is none.
async fn in_vault(
    context: &Context,
    server: &SessionClient,
    key: &KeyFile,
) -> Result<(State, u64), Failure> {
    let namespace = &context.namespace;
    let history = match server.secret_history(namespace, &key.path, None).await {
        Ok(history) => history,
        Err(error) if error.is_refusal("not_found") => return Ok((State::New, 0)),
        Err(error) => return Err(error.into()),
    };
    let Some(newest) = history.versions.first() else {
        return Ok((State::New, 0));
    };
    let version = newest.version;
    if newest.state != VersionState::Live {
        // Somebody meant it to be gone.
        let state = State::Different(format!("version {version} was deleted"));
        return Ok((state, version));
    }
    let found = server
        .get_secret(namespace, &key.path, Some(version))
        .await?;
    let state = if found.value_b64.decode()? == key.value {
        State::Same
    } else {
        State::Different(format!("version {version} has another value"))
    };
    Ok((state, version))
}
