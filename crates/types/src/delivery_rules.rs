//! In which ways a secret may be handed over.

use crate::{Delivery, Malformed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A way in which a value reaches who uses it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryWay {
    /// Environment variables of one process.
    Env,
    /// A file of one process.
    File,
    /// The standard input of one process.
    Stdin,
    /// The body of the answer to a request that the agent proved.
    Http,
    /// Not at all to the agent: a broker uses it in the agent's stead. Reserved: there
    /// is none yet, so nobody is handed such a secret.
    BrokerOnly,
}

impl DeliveryWay {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::Env,
        Self::File,
        Self::Stdin,
        Self::Http,
        Self::BrokerOnly,
    ];

    /// The way as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::Stdin => "stdin",
            Self::Http => "http",
            Self::BrokerOnly => "broker-only",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Env => 1,
            Self::File => 2,
            Self::Stdin => 4,
            Self::Http => 8,
            Self::BrokerOnly => 16,
        }
    }
}

impl From<Delivery> for DeliveryWay {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Env => Self::Env,
            Delivery::File => Self::File,
            Delivery::Stdin => Self::Stdin,
            Delivery::Http => Self::Http,
        }
    }
}

impl fmt::Display for DeliveryWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryWay {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|way| way.as_str() == text);
        found.ok_or(Malformed::new(
            "delivery",
            "must be env, file, stdin, http or broker-only",
        ))
    }
}

/// The ways in which a secret may be handed over; unless something else is said, all
/// but `broker-only`. Every read looks at it, so it is a number and not a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<DeliveryWay>", into = "Vec<DeliveryWay>")]
pub struct DeliveryRules(u8);

impl Default for DeliveryRules {
    fn default() -> Self {
        Self(
            DeliveryWay::Env.bit()
                | DeliveryWay::File.bit()
                | DeliveryWay::Stdin.bit()
                | DeliveryWay::Http.bit(),
        )
    }
}

impl DeliveryRules {
    /// Whether a value may be handed over in this way.
    #[must_use]
    pub fn allow(self, way: impl Into<DeliveryWay>) -> bool {
        self.0 & way.into().bit() != 0
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The ways, in the order of [`DeliveryWay::ALL`].
    pub fn ways(self) -> impl Iterator<Item = DeliveryWay> {
        DeliveryWay::ALL
            .into_iter()
            .filter(move |way| self.allow(*way))
    }
}

impl TryFrom<Vec<DeliveryWay>> for DeliveryRules {
    type Error = Malformed;
    fn try_from(ways: Vec<DeliveryWay>) -> Result<Self, Malformed> {
        let bits = ways.iter().fold(0, |bits, way| bits | way.bit());
        let broker = DeliveryWay::BrokerOnly.bit();
        if bits == 0 {
            return Err(Malformed::new("delivery", "must name one way at least"));
        }
        if bits & broker != 0 && bits != broker {
            return Err(Malformed::new(
                "delivery",
                "must have broker-only alone or not at all",
            ));
        }
        Ok(Self(bits))
    }
}

impl From<DeliveryRules> for Vec<DeliveryWay> {
    fn from(rules: DeliveryRules) -> Self {
        rules.ways().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DeliveryRules, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn rules_are_lists_in_json_and_say_what_they_allow() {
        let all = r#"["env","file","stdin","http"]"#;
        assert_eq!(read(all).unwrap(), DeliveryRules::default());
        assert_eq!(
            serde_json::to_string(&DeliveryRules::default()).unwrap(),
            all
        );
        let http = read(r#"["http","http"]"#).unwrap();
        assert!(http.allow(Delivery::Http) && !http.allow(Delivery::Env));
        assert_eq!(serde_json::to_string(&http).unwrap(), r#"["http"]"#);
        let broker = read(r#"["broker-only"]"#).unwrap();
        assert!(!broker.allow(Delivery::Http) && !broker.allow(Delivery::Env));
        assert!(!broker.is_default());
        assert!(!DeliveryRules::default().allow(DeliveryWay::BrokerOnly));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_field() {
        for bad in ["[]", r#"["broker-only","env"]"#] {
            assert!(read(bad).unwrap_err().starts_with("delivery: "), "{bad}");
        }
        for way in DeliveryWay::ALL {
            assert_eq!(way.as_str().parse(), Ok(way));
        }
        assert_eq!("mail".parse::<DeliveryWay>().unwrap_err().field, "delivery");
    }
}
