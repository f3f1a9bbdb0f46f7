//! `policy template`: policies for the common cases, as text.

use crate::failure::Failure;
use crate::output;
use clap::{Args, ValueEnum};
use procura_cedar::template;
use procura_types::{Cidr, Delivery};

/// The common cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// What agents need besides values: asking, and seeing what is their own
    Baseline,
    /// Agents whose label fits a pattern may have values whose paths fit another
    Paths,
    /// Running the gates of services that name them, and using transit keys
    Services,
    /// Nothing outside of these hours of the day
    Hours,
    /// Nothing from outside of this network
    Network,
    /// Values in this way only
    Delivery,
    /// Values so many times an hour and no more
    Rate,
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    /// Which
    #[arg(value_enum)]
    name: Kind,
    /// Labels of agents, with `*`
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    agents: String,
    /// Paths of secrets, with `*`
    #[arg(long, value_name = "PATTERN")]
    paths: Option<String>,
    /// From this time of the day on, in UTC
    #[arg(long, value_name = "HH:MM")]
    from: Option<String>,
    /// Until before this time of the day, in UTC
    #[arg(long, value_name = "HH:MM")]
    until: Option<String>,
    /// A network
    #[arg(long, value_name = "CIDR")]
    network: Option<Cidr>,
    /// A way of delivery
    #[arg(long, value_name = "WAY")]
    delivery: Option<String>,
    /// How often an hour
    #[arg(long, value_name = "N")]
    most: Option<u32>,
}

/// What an option has to say for a template.
fn said<T>(option: Option<T>, name: &str) -> Result<T, Failure> {
    option.ok_or_else(|| Failure::usage(format!("this template takes {name}")))
}

/// Minutes of the day.
fn minutes(text: &str) -> Result<u16, Failure> {
    let wrong = || Failure::usage("a time of the day is HH:MM, 00:00 to 24:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str| match digits.len() {
        2 => digits.parse::<u16>().map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    match hour * 60 + minute {
        all if hour <= 24 && minute < 60 && all <= 24 * 60 => Ok(all),
        _ => Err(wrong()),
    }
}

impl Template {
    pub(crate) fn print(self) -> Result<(), Failure> {
        let agents = self.agents;
        let template = match self.name {
            Kind::Baseline => template::Template::Baseline,
            Kind::Paths => template::Template::Paths {
                agents,
                paths: said(self.paths, "--paths")?,
            },
            Kind::Services => template::Template::Services { agents },
            Kind::Hours => template::Template::Hours {
                agents,
                from: minutes(&said(self.from, "--from")?)?,
                until: minutes(&said(self.until, "--until")?)?,
            },
            Kind::Network => template::Template::Network {
                agents,
                network: said(self.network, "--network")?,
            },
            Kind::Delivery => {
                let named = said(self.delivery, "--delivery")?;
                let mut all = Delivery::ALL.into_iter();
                let delivery = all
                    .find(|delivery| delivery.as_str() == named)
                    .ok_or_else(|| Failure::usage("--delivery is env, file, stdin or http"))?;
                template::Template::Delivery { agents, delivery }
            }
            Kind::Rate => template::Template::Rate {
                agents,
                most: said(self.most, "--most")?,
            },
        };
        let text = template.text().map_err(Failure::usage)?;
        output::bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_day() {
        for (text, expected) in [
            ("00:00", Some(0)),
            ("08:30", Some(510)),
            ("24:00", Some(1440)),
            ("24:01", None),
            ("8:30", None),
            ("08:60", None),
            ("99:99", None),
            ("-1:00", None),
            ("0830", None),
        ] {
            assert_eq!(minutes(text).ok(), expected, "{text}");
        }
    }
}
