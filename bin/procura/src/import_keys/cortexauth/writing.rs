//! What of an opened database is to be written, held against what is there, and written.

use super::super::plan::{Plan, State};
use super::super::server_home::ServerHome;
use super::opened::{Contents, Decoy, Opened};
use super::tree;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::secret_import::{MOST, Stands};
use procura_client::SessionClient;
use procura_types::wire::{
    Honey, HoneyItem, HoneyPlant, ImportItem, ImportState, ImportedSecret, InstallationImport,
    NamespaceImport, ProjectPut, SecretImport, SecretImported, ValueB64,
};
use procura_types::{EnvName, HoneyMode, Namespace, ProjectName, SecretPath, Tags};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that stand beside a value in the body of an import, path and all, at least.
const BESIDE: usize = 64;
/// Bytes of the body of an import.
const ROOM: usize = 12 * 1024 * 1024;
/// Bytes of a decoy that the server takes.
const DECOYS: std::ops::RangeInclusive<usize> = 1..=32 * 1024;

/// All that is to be written.
pub(super) struct Writing {
    parts: Vec<Part>,
    agents: Option<Plan>,
}

/// What goes into one namespace.
struct Part {
    namespace: Namespace,
    is_new: bool,
    import: SecretImport,
    /// What the server says would become of it.
    preview: SecretImported,
    decoys: Vec<(Decoy, State)>,
    projects: Vec<Mapping>,
}

/// Refuses more than the server takes at once, and says what to do.
fn fits(contents: &BTreeMap<Namespace, Contents>) -> Result<(), Failure> {
    let secrets = || contents.values().flat_map(|one| &one.secrets);
    let decoys = contents.values().flat_map(|one| &one.honey);
    let bytes = secrets()
        .map(|secret| secret.value_b64.len() + BESIDE)
        .chain(decoys.map(|decoy| decoy.value.expose().len() / 3 * 4 + BESIDE))
        .sum::<usize>();
    let count = secrets().count();
    if count <= MOST && bytes <= ROOM {
        return Ok(());
    }
    Err(
        Failure::usage("nothing was brought in: it is more than one import takes")
            .because(format_args!(
                "{count} secrets with {} KiB in base64, of {MOST} with {} KiB",
                bytes / 1024,
                ROOM / 1024
            ))
            .next("--only NAMESPACE brings in one of its namespaces at a time"),
    )
}

/// A project with what it maps afterwards.
struct Mapping {
    name: ProjectName,
    put: ProjectPut,
    state: State,
}

/// One thing of it.
#[derive(Serialize)]
struct Row {
    what: &'static str,
    namespace: String,
    name: String,
    state: String,
}

impl Writing {
    /// Asks what is there. Nothing is written.
    pub(super) async fn prepare(
        context: &Context,
        server: &SessionClient,
        opened: Opened,
        without_honey: bool,
    ) -> Result<Self, Failure> {
        let there: BTreeSet<Namespace> = server
            .namespaces()
            .await?
            .namespaces
            .into_iter()
            .map(|namespace| namespace.name)
            .collect();
        let mut writing = Self {
            parts: Vec::new(),
            agents: None,
        };
        let mut contents = opened.namespaces;
        if without_honey {
            for contents in contents.values_mut() {
                contents.honey.clear();
            }
        }
        let planted = if contents.values().all(|contents| contents.honey.is_empty()) {
            Vec::new()
        } else {
            server.honey().await?.honey
        };
        fits(&contents)?;
        for (namespace, contents) in contents {
            let is_new = !there.contains(&namespace);
            let part = Part::prepare(server, namespace, is_new, contents, &planted).await?;
            writing.parts.push(part);
        }
        if !opened.agents.is_empty() {
            let home = ServerHome::find(context)?;
            let plan = Plan::make(context, server, tree(opened.agents), home).await?;
            writing.agents = Some(plan);
        }
        Ok(writing)
    }

    /// Refuses all when any of it cannot or shall not be written.
    pub(super) fn refuse(&self, replace: bool) -> Result<(), Failure> {
        for part in &self.parts {
            let elsewhere = "--map and --path put them elsewhere";
            Stands::of(&part.preview).refuse(replace, &part.namespace, elsewhere)?;
        }
        let mut blocked = Vec::new();
        let mut different = Vec::new();
        let projects = self.parts.iter().flat_map(|part| {
            let states = part.projects.iter();
            states.map(|project| (format!("project {}", project.name), &project.state))
        });
        let decoys = self.parts.iter().flat_map(|part| {
            let decoys = part.decoys.iter();
            decoys.map(|(decoy, state)| (format!("honey {}", decoy.path), state))
        });
        let agents = self.agents.iter().flat_map(|plan| {
            let steps = plan.steps.iter();
            steps.map(|step| (format!("{} {}", step.what, step.name), &step.state))
        });
        for (what, state) in decoys.chain(projects).chain(agents) {
            let line = format!("{what}: {}", state.shown(false));
            if state.is_blocked() {
                blocked.push(line);
            } else if state.is_different() {
                different.push(line);
            }
        }
        let refused = |what: &str, lines: &[String]| {
            Failure::refused(format!("nothing was brought in, for {what}"))
                .because(format_args!("\n    {}", lines.join("\n    ")))
        };
        if !blocked.is_empty() {
            return Err(refused("these stand in the way", &blocked));
        }
        if !different.is_empty() && !replace {
            return Err(refused("these are there already and differ", &different)
                .next("--replace puts what is in the database in their place"));
        }
        Ok(())
    }

    /// How much there is to write.
    pub(super) fn count(&self) -> usize {
        let parts = self.parts.iter().map(|part| {
            let rows = part.preview.secrets.iter();
            let secrets = rows.filter(|row| row.state != ImportState::Same).count();
            let projects = part.projects.iter().filter(|one| !one.state.is_same());
            let decoys = part.decoys.iter().filter(|(_, state)| !state.is_same());
            secrets + decoys.count() + projects.count() + usize::from(part.is_new)
        });
        let steps = self.agents.iter().flat_map(|plan| &plan.steps);
        parts.sum::<usize>() + steps.filter(|step| !step.state.is_same()).count()
    }

    /// What is left for the person to do.
    pub(super) fn by_hand(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for part in &self.parts {
            for project in part.projects.iter().filter(|one| one.put.agents.is_empty()) {
                lines.push(format!(
                    "left to do: procura -n {} project set {} --agent LABEL, for nobody may ask for it yet",
                    part.namespace, project.name
                ));
            }
        }
        let plan = self.agents.iter();
        lines.extend(plan.flat_map(|plan| plan.by_hand.iter().cloned()));
        lines
    }

    /// Shows all of it by name, and how it stands.
    pub(super) fn show(&self, context: &Context, replace: bool) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for part in &self.parts {
            part.rows(replace, &mut rows);
        }
        for step in self.agents.iter().flat_map(|plan| &plan.steps) {
            rows.push(Row {
                what: step.what,
                namespace: context.namespace.to_string(),
                name: step.name.clone(),
                state: step.state.shown(replace),
            });
        }
        if context.json {
            return output::json(&rows);
        }
        let mut table = Table::new(["WHAT", "NAMESPACE", "NAME", ""]);
        for row in rows {
            table.row([row.what.to_owned(), row.namespace, row.name, row.state]);
        }
        table.print("nothing to write")
    }

    /// Writes all that is not there: namespaces, secrets, decoys and what maps them in one
    /// commit of the server, then who may ask.
    pub(super) async fn write(
        &mut self,
        context: &Context,
        server: &SessionClient,
    ) -> Result<(), Failure> {
        let parts = self.parts.iter_mut().filter_map(Part::take);
        let namespaces: Vec<NamespaceImport> = parts.collect();
        if !namespaces.is_empty() {
            let import = InstallationImport { namespaces };
            server.import(&import).await?;
        }
        match &mut self.agents {
            Some(plan) => plan.write(context, server).await.inspect_err(|_| {
                output::say(
                    "stopped at the agents; all before them was written, and the same command goes on from there",
                );
            }),
            None => Ok(()),
        }
    }
}

impl Part {
    async fn prepare(
        server: &SessionClient,
        namespace: Namespace,
        is_new: bool,
        contents: Contents,
        planted: &[Honey],
    ) -> Result<Self, Failure> {
        let secrets = contents.secrets.into_iter().map(|secret| ImportItem {
            secret,
            expect_version: None,
        });
        let import = SecretImport {
            secrets: secrets.collect(),
            dry_run: true,
        };
        let preview = if is_new || import.secrets.is_empty() {
            SecretImported {
                secrets: import.secrets.iter().map(new).collect(),
                written: 0,
            }
        } else {
            server.import_secrets(&namespace, &import).await?
        };
        let decoys = contents.honey.into_iter().map(|decoy| {
            let here = |honey: &&Honey| honey.namespace == namespace && honey.path == decoy.path;
            let state = if planted.iter().any(|honey| here(&honey)) {
                State::Same
            } else if DECOYS.contains(&decoy.value.expose().len()) {
                State::New
            } else {
                let why = "a honey secret has 1 byte to 32 KiB; --without-honey leaves it";
                State::Blocked(why.to_owned())
            };
            (decoy, state)
        });
        let decoys = decoys.collect();
        let mut projects = Vec::new();
        for (name, env) in contents.projects {
            projects.push(mapping(server, &namespace, is_new, name, env).await?);
        }
        Ok(Self {
            namespace,
            is_new,
            import,
            preview,
            decoys,
            projects,
        })
    }

    fn rows(&self, replace: bool, rows: &mut Vec<Row>) {
        let mut row = |what, name: String, state: String| {
            rows.push(Row {
                what,
                namespace: self.namespace.to_string(),
                name,
                state,
            });
        };
        if self.is_new {
            row("namespace", self.namespace.to_string(), "new".to_owned());
        }
        for secret in &self.preview.secrets {
            let state = crate::secret_import::state(secret, replace);
            row("secret", secret.path.to_string(), state);
        }
        for (decoy, state) in &self.decoys {
            row("honey", decoy.path.to_string(), state.shown(replace));
        }
        for project in &self.projects {
            let name = format!("{} with {} names", project.name, project.put.env.len());
            row("project", name, project.state.shown(replace));
        }
    }

    /// What is not there yet, to be written; none when all is.
    fn take(&mut self) -> Option<NamespaceImport> {
        Stands::of(&self.preview).keep_what_is_to_be_written(&mut self.import);
        let honey = self.decoys.iter().filter(|(_, state)| !state.is_same());
        let honey = honey.map(|(decoy, _)| HoneyItem {
            path: decoy.path.clone(),
            plant: HoneyPlant {
                shape: None,
                value_b64: Some(ValueB64::encode(decoy.value.expose())),
                mode: HoneyMode::default(),
                env: None,
                description: decoy.description.clone(),
                kind: decoy.kind,
                tags: Tags::default(),
            },
        });
        let projects = self.projects.iter().filter(|one| !one.state.is_same());
        let projects = projects.map(|one| (one.name.clone(), one.put.env.clone()));
        let part = NamespaceImport {
            namespace: self.namespace.clone(),
            create: self.is_new,
            secrets: std::mem::take(&mut self.import.secrets),
            honey: honey.collect(),
            projects: projects.collect(),
        };
        let is_nothing = !part.create
            && part.secrets.is_empty()
            && part.honey.is_empty()
            && part.projects.is_empty();
        (!is_nothing).then_some(part)
    }
}

fn new(item: &ImportItem) -> ImportedSecret {
    ImportedSecret {
        path: item.secret.path.clone(),
        state: ImportState::New,
        latest: 0,
        reason: None,
    }
}

/// A project as it is, with what is added.
async fn mapping(
    server: &SessionClient,
    namespace: &Namespace,
    is_new: bool,
    name: ProjectName,
    env: BTreeMap<EnvName, SecretPath>,
) -> Result<Mapping, Failure> {
    let before = if is_new {
        None
    } else {
        match server.project(namespace, &name).await {
            Ok(project) => Some(project),
            Err(error) if error.is_refusal("not_found") => None,
            Err(error) => return Err(error.into()),
        }
    };
    let Some(before) = before else {
        let put = ProjectPut {
            agents: Vec::new(),
            env,
        };
        let state = State::New;
        return Ok(Mapping { name, put, state });
    };
    let mut all = before.env.clone();
    let mut remapped = Vec::new();
    for (name, path) in env {
        match all.insert(name.clone(), path.clone()) {
            Some(other) if other != path => remapped.push(format!("{name} is {other}")),
            _ => {}
        }
    }
    let state = if !remapped.is_empty() {
        State::Blocked(format!(
            "{}; procura project set leads a name elsewhere",
            remapped.join(", ")
        ))
    } else if all == before.env {
        State::Same
    } else {
        State::More
    };
    let put = ProjectPut {
        agents: before.agents,
        env: all,
    };
    Ok(Mapping { name, put, state })
}
