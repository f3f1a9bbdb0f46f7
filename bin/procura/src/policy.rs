//! `policy`: policies in Cedar, which narrow what roles and grants allow.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::policy_shown::{explained, listed, reported};
use clap::{Args, Subcommand};
use procura_cedar::{Flaw, MAX_TEXT, PolicySet, diff, run_cases, schema_text};
use procura_client::SystemClock;
use procura_types::wire::{
    PolicyCases, PolicyCircumstances, PolicyQuestion, PolicyState, PolicyVersion,
};
use procura_types::{Clock as _, Namespace, Timestamp};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The longest file of cases.
const MAX_CASES: usize = 4 * 1024 * 1024;

/// Write, try, observe and enforce policies, which narrow what roles and grants allow
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether a file of policies parses and type-checks, without any server
    #[command(after_help = "Example:\n  procura policy check shop.cedar")]
    Check {
        /// The policies
        file: PathBuf,
    },
    /// Answer the cases of a file by the policies of another, without any server
    #[command(after_help = "Example:\n  procura policy test shop.cedar shop.cases.json")]
    Test {
        /// The policies
        file: PathBuf,
        /// The cases, each with the answer that is expected
        cases: PathBuf,
    },
    /// Print policies for a common case, to begin with
    #[command(
        after_help = "Example:\n  procura policy template paths --agents 'ci-*' --paths 'shop/*' >> shop.cedar"
    )]
    Template(crate::policy_template::Template),
    /// Print what policies may speak of: the schema that they are checked against
    #[command(after_help = "Example:\n  procura policy schema")]
    Schema,
    /// Store another version, which counts for nothing yet
    #[command(after_help = "Example:\n  procura policy put shop.cedar")]
    Put {
        /// The policies
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// List the versions, and which of them counts
    #[command(after_help = "Example:\n  procura policy list")]
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Print the text of a version
    #[command(after_help = "Example:\n  procura policy show 3")]
    Show {
        /// Which
        version: u32,
        #[command(flatten)]
        of: Of,
    },
    /// Have a version computed beside what decides, and reported
    #[command(after_help = "Example:\n  procura policy observe 3")]
    Observe {
        /// Which
        version: u32,
        #[command(flatten)]
        of: Of,
    },
    /// Have a version decide
    #[command(after_help = "Example:\n  procura policy enforce 3")]
    Enforce {
        /// Which
        version: u32,
        #[command(flatten)]
        of: Of,
    },
    /// Have a version neither decide nor be observed
    #[command(after_help = "Example:\n  procura policy draft 3")]
    Draft {
        /// Which
        version: u32,
        #[command(flatten)]
        of: Of,
    },
    /// Store another version with the text of an old one
    #[command(after_help = "Example:\n  procura policy rollback 2 --enforce")]
    Rollback {
        /// Whose text
        version: u32,
        /// Have it decide at once
        #[arg(long)]
        enforce: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Say which policies differ between two versions, or a version and a file
    #[command(
        after_help = "Example:\n  procura policy diff 2 3\n  procura policy diff 3 shop.cedar"
    )]
    Diff {
        /// A version or a file
        before: String,
        /// A version or a file
        after: String,
        #[command(flatten)]
        of: Of,
    },
    /// Say what the policies that count would answer, and by which of them
    #[command(
        after_help = "Example:\n  procura policy explain agent/ci-1 run.deliver project/web --project web --item KEY=shop/key"
    )]
    Explain(Box<Explain>),
    /// Say what enforcing the version that is observed would change
    #[command(after_help = "Example:\n  procura policy report")]
    Report {
        #[command(flatten)]
        of: Of,
    },
}

/// Whose policies.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Of {
    /// Those of the installation, which count in every namespace
    #[arg(long)]
    installation: bool,
}

impl Of {
    fn namespace<'a>(&self, context: &'a Context) -> Option<&'a Namespace> {
        (!self.installation).then_some(&context.namespace)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Who: agent/LABEL or operator/NAME
    principal: String,
    /// What, as in the record
    action: String,
    /// On what, as in the record
    resource: String,
    /// When, RFC 3339; now without
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
    /// From which address
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// How the caller is proven
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// How often the agent did it in the last hour
    #[arg(long, value_name = "N")]
    uses: Option<u64>,
    /// For which project values are asked for
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// How they are delivered
    #[arg(long, value_name = "WAY")]
    delivery: Option<String>,
    /// A value that is asked for; as often as there are
    #[arg(long, value_name = "NAME=PATH")]
    item: Vec<String>,
    #[command(flatten)]
    of: Of,
}

impl Explain {
    fn question(&self) -> Result<PolicyQuestion, Failure> {
        let mut items = BTreeMap::new();
        for item in &self.item {
            let (name, path) = item
                .split_once('=')
                .ok_or_else(|| Failure::usage("--item is NAME=PATH"))?;
            items.insert(name.to_owned(), path.to_owned());
        }
        Ok(PolicyQuestion {
            principal: self.principal.clone(),
            lineage: Vec::new(),
            action: self.action.clone(),
            resource: self.resource.clone(),
            context: PolicyCircumstances {
                time: self.time,
                source: self.source,
                profile: self.profile.clone(),
                uses_last_hour: self.uses,
                project: self.project.clone(),
                delivery: self.delivery.clone(),
                items,
            },
        })
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Check { file } => check(context, &file),
            Self::Test { file, cases } => test(context, &file, &cases),
            Self::Template(template) => template.print(),
            Self::Schema => output::bytes(schema_text().as_bytes()),
            Self::Put { file, of } => {
                let text = read(&file, MAX_TEXT)?;
                let server = context.operator().await?;
                let made = server.put_policies(of.namespace(context), text).await?;
                stored(context, &made)
            }
            Self::List { of } => {
                let server = context.operator().await?;
                let found = server.policies(of.namespace(context)).await?;
                listed(context, found)
            }
            Self::Show { version, of } => {
                let server = context.operator().await?;
                let found = server.policy_text(of.namespace(context), version).await?;
                match context.json {
                    true => output::json(&found),
                    // No text is stored that would deceive who reads it.
                    false => output::bytes(found.text.as_bytes()),
                }
            }
            Self::Observe { version, of } => seen(context, of, version, PolicyState::Observe).await,
            Self::Enforce { version, of } => seen(context, of, version, PolicyState::Enforce).await,
            Self::Draft { version, of } => set(context, of, version, PolicyState::Draft).await,
            Self::Rollback {
                version,
                enforce,
                of,
            } => {
                let server = context.operator().await?;
                let namespace = of.namespace(context);
                let made = server.roll_policies_back(namespace, version).await?;
                if !enforce {
                    return stored(context, &made);
                }
                set(context, of, made.version, PolicyState::Enforce).await
            }
            Self::Diff { before, after, of } => {
                let before = one_of(context, of, &before).await?;
                let after = one_of(context, of, &after).await?;
                let found = diff(&before, &after);
                if context.json {
                    return output::json(&serde_json::json!({ "diff": found }));
                }
                if found.is_empty() {
                    output::say("the policies are the same");
                }
                output::bytes(output::plain(&found).as_bytes())
            }
            Self::Explain(asked) => {
                let question = asked.question()?;
                let server = context.operator().await?;
                let namespace = asked.of.namespace(context);
                let told = server.explain_policies(namespace, &question).await?;
                explained(context, &told)
            }
            Self::Report { of } => {
                let server = context.operator().await?;
                let report = server.policy_report(of.namespace(context)).await?;
                reported(context, &report)
            }
        }
    }
}

/// A file, or standard input as `-`, not longer than `most`.
fn read(file: &Path, most: usize) -> Result<String, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::usage(format!("cannot read {}", file.display())).because(error)
    };
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    if file == Path::new("-") {
        let input = std::io::stdin().lock();
        input.take(bound).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(|error| failed(&error))?;
        opened.take(bound).read_to_string(&mut text)
    }
    .map_err(|error| failed(&error))?;
    if text.len() > most {
        let what = format!("{} is longer than {most} bytes", file.display());
        return Err(Failure::usage(what));
    }
    Ok(text)
}

fn lines(flaws: &[Flaw]) -> String {
    let all: Vec<String> = flaws.iter().map(ToString::to_string).collect();
    all.join("\n")
}

fn parsed(name: &str, text: &str) -> Result<PolicySet, Failure> {
    PolicySet::parse(name, text).map_err(|flaws| {
        Failure::refused("these policies cannot take effect").because(lines(&flaws))
    })
}

fn check(context: &Context, file: &Path) -> Result<(), Failure> {
    let set = parsed("file", &read(file, MAX_TEXT)?)?;
    let warnings: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
    if context.json {
        return output::json(&serde_json::json!({
            "policies": set.count(),
            "warnings": warnings,
        }));
    }
    for warning in warnings {
        output::say(output::plain(&format!("doubtful: {warning}")));
    }
    output::say(format!("{} policies, nothing wrong", set.count()));
    Ok(())
}

fn test(context: &Context, file: &Path, cases: &Path) -> Result<(), Failure> {
    let set = parsed("file", &read(file, MAX_TEXT)?)?;
    let cases: PolicyCases = serde_json::from_str(&read(cases, MAX_CASES)?)
        .map_err(|error| Failure::usage("the cases cannot be read").because(error))?;
    let results = run_cases(&set, &cases, SystemClock.now())
        .map_err(|error| Failure::usage("the cases cannot be read").because(error))?;
    let failed = results.iter().filter(|result| !result.passed).count();
    if context.json {
        output::json(&serde_json::json!({ "results": results, "failed": failed }))?;
    } else {
        let mut table = Table::new(["CASE", "", "ANSWER", "REASON", "BY"]);
        for result in &results {
            table.row([
                result.name.clone(),
                if result.passed { "ok" } else { "FAILED" }.to_owned(),
                result.found.as_str().to_owned(),
                result.reason.clone(),
                result.by.join(" "),
            ]);
        }
        table.print("no cases")?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::refused(format!(
            "{failed} of {} cases are not as expected",
            results.len()
        ))),
    }
}

/// A version of the server, by its number, or a file.
async fn one_of(context: &Context, of: Of, named: &str) -> Result<PolicySet, Failure> {
    let text = match named.parse::<u32>() {
        Ok(version) => {
            let server = context.operator().await?;
            let found = server.policy_text(of.namespace(context), version).await?;
            found.text
        }
        Err(_) => read(Path::new(named), MAX_TEXT)?,
    };
    parsed(named, &text)
}

fn stored(context: &Context, made: &PolicyVersion) -> Result<(), Failure> {
    for warning in &made.warnings {
        output::say(output::plain(&format!("doubtful: {warning}")));
    }
    let number = made.version;
    let words = format!(
        "version {number} is stored and counts for nothing yet; `procura policy observe {number}` shows what it would change"
    );
    output::done(context.json, made, words)
}

/// Sets the state once whoever sits there has seen what is skipped by it: what was not
/// observed may deny anything, and what is observed decides nothing.
async fn seen(context: &Context, of: Of, version: u32, state: PolicyState) -> Result<(), Failure> {
    let server = context.operator().await?;
    let found = server.policies(of.namespace(context)).await?;
    let mut versions = found.versions.iter();
    let was = versions.find(|found| found.version == version);
    match (was.map(|was| was.state), state) {
        (Some(PolicyState::Draft), PolicyState::Enforce) => context.agree(&format!(
            "Version {version} is not observed, so nobody has seen whom it would deny; procura policy observe {version} shows it. Have it decide all the same?"
        ))?,
        (Some(PolicyState::Enforce), PolicyState::Observe) => context.agree(&format!(
            "Version {version} decides. Observed, it decides nothing: roles and grants do alone. Observe it?"
        ))?,
        _ => {}
    }
    set(context, of, version, state).await
}

async fn set(context: &Context, of: Of, version: u32, state: PolicyState) -> Result<(), Failure> {
    let server = context.operator().await?;
    let namespace = of.namespace(context);
    let now = server.set_policy_state(namespace, version, state).await?;
    let words = match state {
        PolicyState::Draft => format!("version {version} counts for nothing"),
        PolicyState::Observe => format!(
            "version {version} is observed; `procura policy report` says what enforcing it would change"
        ),
        PolicyState::Enforce => format!("version {version} decides"),
    };
    output::done(context.json, &now, words)
}
