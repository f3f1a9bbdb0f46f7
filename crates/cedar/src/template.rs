//! Texts for the common cases, to begin with: printed, read by a person, and then stored
//! like any other. What is put into one is quoted, so that no name becomes a policy.

use procura_types::{Cidr, Delivery};

/// A template, with what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// What agents need besides values: to ask, to see their own requests and lists.
    Baseline,
    /// Agents whose label fits a pattern may have values whose paths fit another.
    Paths {
        /// Of labels, with `*`.
        agents: String,
        /// Of paths, with `*`.
        paths: String,
    },
    /// They may run gates of the services that name them, and use transit keys.
    Services {
        /// Of labels, with `*`.
        agents: String,
    },
    /// They may only between two hours of the day, in UTC.
    Hours {
        /// Of labels, with `*`.
        agents: String,
        /// From this minute of the day on.
        from: u16,
        /// Until before this one; it may be the smaller, over midnight.
        until: u16,
    },
    /// They may only from a network.
    Network {
        /// Of labels, with `*`.
        agents: String,
        /// In it.
        network: Cidr,
    },
    /// They may have values only in one way.
    Delivery {
        /// Of labels, with `*`.
        agents: String,
        /// Which.
        delivery: Delivery,
    },
    /// They may have values only so many times an hour.
    Rate {
        /// Of labels, with `*`.
        agents: String,
        /// How often.
        most: u32,
    },
}

/// A pattern of `like`: `*` stands for anything, all else for itself.
fn pattern(text: &str) -> Result<String, String> {
    let fits = (1..=200).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./@*".contains(&byte));
    match fits {
        true => Ok(format!("\"{text}\"")),
        false => Err(format!(
            "{text:?} is no pattern: 1 to 200 of letters, digits, '-', '_', '.', '/', '@' and '*'"
        )),
    }
}

/// A name for a policy, of what goes into it.
fn named(what: &str, of: &str) -> String {
    let of: String = of
        .chars()
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => letter,
            '*' => 'x',
            _ => '-',
        })
        .take(40)
        .collect();
    format!("@id(\"{what}.{of}\")")
}

/// What hands values over, in the words of a policy.
const VALUES: &str = "[Procura::Action::\"run.deliver\", Procura::Action::\"key.read\", Procura::Action::\"project_token.issue\", Procura::Action::\"project_token.use\", Procura::Action::\"project_token.rotate\"]";

impl Template {
    /// The text in Cedar.
    ///
    /// # Errors
    /// What of that which it is told fits into no policy.
    pub fn text(&self) -> Result<String, String> {
        Ok(match self {
            Self::Baseline => BASELINE.to_owned(),
            Self::Paths { agents, paths } => format!(
                "// Agents {agents} may have values whose paths fit {paths}, and ask for them.\n\
                 {}\npermit (\n  principal is Procura::Agent,\n  action in [Procura::Action::\"request.create\", {}],\n  resource\n)\nwhen {{ principal.name like {} && context.path like {} }};\n",
                named("paths", &format!("{agents}.{paths}")),
                VALUES.trim_start_matches('[').trim_end_matches(']'),
                pattern(agents)?,
                pattern(paths)?,
            ),
            Self::Services { agents } => format!(
                "// Agents {agents} may run the gates of services that name them, and use transit keys.\n\
                 {}\npermit (\n  principal is Procura::Agent,\n  action in [Procura::Action::\"service.follow\", Procura::Action::\"service.verify\", Procura::Action::\"transit.wrap\", Procura::Action::\"transit.unwrap\"],\n  resource\n)\nwhen {{ principal.name like {} }};\n",
                named("services", agents),
                pattern(agents)?,
            ),
            Self::Hours {
                agents,
                from,
                until,
            } => {
                let word = match from <= until {
                    true => "&&",
                    false => "||",
                };
                if *from >= 24 * 60 || *until > 24 * 60 {
                    return Err("an hour of the day is 00:00 to 24:00".to_owned());
                }
                format!(
                    "// Outside of these hours (UTC) agents {agents} may nothing.\n\
                     {}\nforbid (principal is Procura::Agent, action, resource)\nwhen {{ principal.name like {} }}\nunless {{ {from} <= context.minute_of_day {word} context.minute_of_day < {until} }};\n",
                    named("hours", agents),
                    pattern(agents)?,
                )
            }
            Self::Network { agents, network } => format!(
                "// From outside of {network}, or from nowhere that is known, agents {agents} may nothing.\n\
                 {}\nforbid (principal is Procura::Agent, action, resource)\nwhen {{ principal.name like {} }}\nunless {{ context has source && context.source.isInRange(ip(\"{network}\")) }};\n",
                named("network", agents),
                pattern(agents)?,
            ),
            Self::Delivery { agents, delivery } => format!(
                "// Agents {agents} get values by {} only.\n\
                 {}\nforbid (\n  principal is Procura::Agent,\n  action in {VALUES},\n  resource\n)\nwhen {{ principal.name like {} && context.delivery != \"{}\" }};\n",
                delivery.as_str(),
                named("delivery", agents),
                pattern(agents)?,
                delivery.as_str(),
            ),
            Self::Rate { agents, most } => format!(
                "// Each of agents {agents} does each of these {most} times in 3600 seconds at the most.\n\
                 {}\nforbid (\n  principal is Procura::Agent,\n  action in {VALUES},\n  resource\n)\nwhen {{ principal.name like {} && context.uses_last_hour >= {most} }};\n",
                named("rate", agents),
                pattern(agents)?,
            ),
        })
    }
}

/// What agents need besides values.
const BASELINE: &str = "\
// What agents need besides values: to ask for authority, to see their own requests, keys,
// tokens and events, and to keep their tokens fresh. It hands over nothing.
@id(\"baseline\")
permit (
  principal is Procura::Agent,
  action in [
    Procura::Action::\"request.create\",
    Procura::Action::\"request.read\",
    Procura::Action::\"key.list\",
    Procura::Action::\"project_token.list\",
    Procura::Action::\"events.read\",
    Procura::Action::\"agent.token.refresh\"
  ],
  resource
);
";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::PolicySet;

    fn all() -> Vec<Template> {
        let agents = || "ci-*".to_owned();
        vec![
            Template::Baseline,
            Template::Paths {
                agents: agents(),
                paths: "shop/*".to_owned(),
            },
            Template::Services { agents: agents() },
            Template::Hours {
                agents: agents(),
                from: 8 * 60,
                until: 18 * 60,
            },
            Template::Network {
                agents: agents(),
                network: "10.0.0.0/8".parse().unwrap(),
            },
            Template::Delivery {
                agents: agents(),
                delivery: Delivery::Env,
            },
            Template::Rate {
                agents: agents(),
                most: 10,
            },
        ]
    }

    #[test]
    fn every_template_is_a_policy_and_all_go_together() {
        let texts: Vec<String> = all().iter().map(|one| one.text().unwrap()).collect();
        let set = PolicySet::parse("shop@1", &texts.concat());
        let set = set.map_err(|flaws| flaws[0].to_string()).unwrap();
        assert_eq!(set.count(), texts.len());
        assert!(set.warnings().is_empty(), "{:?}", set.warnings());
    }

    #[test]
    fn the_same_agents_may_have_several_paths_in_one_text() {
        let text = |paths: &str| {
            let agents = "ci-*".to_owned();
            let paths = paths.to_owned();
            Template::Paths { agents, paths }.text().unwrap()
        };
        let both = PolicySet::parse("shop@1", &(text("shop/*") + &text("bank/*")));
        let both = both.map_err(|flaws| flaws[0].to_string()).unwrap();
        assert_eq!(both.count(), 2);
    }

    #[test]
    fn no_name_becomes_a_policy() {
        for bad in [
            "",
            "a\"",
            "a\") ; permit(principal, action, resource",
            "a\\",
            "a\nb",
        ] {
            let paths = Template::Paths {
                agents: bad.to_owned(),
                paths: "*".to_owned(),
            };
            assert!(paths.text().is_err(), "{bad:?}");
            let rate = Template::Rate {
                agents: bad.to_owned(),
                most: 1,
            };
            assert!(rate.text().is_err(), "{bad:?}");
        }
    }
}
