//! Names (`protocol.md` §1): parsed once at the edge, refused with the name of
//! the field before anything is looked up.

use crate::Malformed;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::openapi::text($rule)
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(Malformed::new($field, $rule))
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = Malformed;
            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

const LABEL_RULE: &str =
    "must be 1 to 32 of a-z, 0-9 and -, beginning and ending with a letter or digit";

name!(
    /// The name of an agent below its parent, or of an owner.
    Label, "label", is_label, LABEL_RULE
);
name!(
    /// The unit of isolation: names, keys, policies and roles do not cross it.
    Namespace, "namespace", is_label, LABEL_RULE
);
name!(
    /// A named consumer of secrets.
    ProjectName, "project", is_label, LABEL_RULE
);
name!(
    /// Where a secret lives in its namespace: segments joined by `/`.
    SecretPath, "path", is_path, "must be at most 255 bytes of segments of 1 to 64 A-Z, a-z, 0-9, _, . and -, joined by /, none of them . or .."
);
name!(
    /// The name of an environment variable.
    EnvName, "env", is_env_name, "must be 1 to 128 of A-Z, a-z, 0-9 and _, not beginning with a digit"
);
name!(
    /// The beginning of the paths of a service that a route is about; it matches on
    /// the borders of segments.
    RoutePrefix, "route", crate::dial::is_route_prefix, "must begin with / and be at most 255 bytes, without a / at the end, an empty segment, one that ends with . or a space, ;, \\, ?, #, what is not ASCII, or an escape of what needs none"
);

name!(
    /// The id of an agent in another system's words; which actor it is, if any, is
    /// for the installation to say.
    ForeignId, "agent_id", is_foreign_id, FOREIGN_ID_RULE
);

name!(
    /// A word by which people find secrets again.
    Tag, "tags", is_tag, "must each be 1 to 32 of a-z, 0-9, ., _ and -, beginning with a letter or digit"
);

name!(
    /// Who a secret belongs to, in words for people.
    SecretOwner, "owner", is_owner, "must be a line of 1 to 128 characters, none of them a control character"
);

name!(
    /// What an agent, a project or a namespace is called by people, beside its label,
    /// which never changes. Nothing is decided by it.
    DisplayName, "display_name", crate::display_name::is_display_name, "must be a line of 1 to 64 characters with a letter or digit among them, single spaces between words, and no control, format or invisible characters"
);

fn is_tag(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn is_owner(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

const FOREIGN_ID_RULE: &str = "must be 1 to 64 of A-Z, a-z, 0-9, ., _ and -, without ..";

fn is_foreign_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !text.contains("..")
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=32).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

fn is_path(text: &str) -> bool {
    let segment = |part: &str| {
        (1..=64).contains(&part.len())
            && part != "."
            && part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    (1..=255).contains(&text.len()) && text.split('/').all(segment)
}

fn is_env_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether the dynamic loader or the C library takes orders from this variable
/// (ld.so(8), and those that glibc drops in secure mode): a value under such a
/// name would make a program run other code, so none is ever delivered.
#[must_use]
pub fn is_loader_variable(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"GLIBC_TUNABLES",
        b"GCONV_PATH",
        b"GETCONF_DIR",
        b"HOSTALIASES",
        b"LOCALDOMAIN",
        b"LOCPATH",
        b"MALLOC_TRACE",
        b"NIS_PATH",
        b"NLSPATH",
        b"RESOLV_HOST_CONF",
        b"RES_OPTIONS",
    ];
    name.starts_with(b"LD_") || NAMES.contains(&name)
}

/// A name that no secret may have in an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is a variable of the loader and is never delivered; name the secret otherwise")]
pub struct LoaderVariable(pub EnvName);

impl EnvName {
    /// Refuses a variable of the loader: asked wherever a name becomes authority.
    /// Rows from before may hold one, so parsing does not ask.
    ///
    /// # Errors
    /// [`LoaderVariable`], with the name.
    pub fn deliverable(&self) -> Result<(), LoaderVariable> {
        if is_loader_variable(self.as_str().as_bytes()) {
            return Err(LoaderVariable(self.clone()));
        }
        Ok(())
    }
}

/// What a key or a token may be used for; nothing crosses from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataClass {
    /// Secrets of namespaces.
    Credentials,
    /// The ledger.
    Audit,
}

impl DataClass {
    /// The word that stands for the class in associated data.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Audit => "audit",
        }
    }
}

/// How values reach the process that uses them. Part of what a grant fixes.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Environment variables of one process.
    #[default]
    Env,
    /// Files in memory of one process, whose variables name them.
    File,
    /// One value, as the standard input of one process.
    Stdin,
    /// The body of the answer to a request that the agent proved.
    Http,
}

impl Delivery {
    /// Every delivery.
    pub const ALL: [Self; 4] = [Self::Env, Self::File, Self::Stdin, Self::Http];

    /// Whether it reaches a process that is run, and so is asked for by a run.
    #[must_use]
    pub const fn is_of_a_run(self) -> bool {
        matches!(self, Self::Env | Self::File | Self::Stdin)
    }

    /// The word that stands for the delivery in grants and receipts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::Stdin => "stdin",
            Self::Http => "http",
        }
    }
}

impl FromStr for Delivery {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|way| way.as_str() == text);
        found.ok_or(Malformed::new(
            "delivery",
            "must be env, file, stdin or http",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "0", "a-b", "scribe-1", &"x".repeat(32)] {
            assert!(good.parse::<Label>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a b",
            "a/b",
            "é",
            &"x".repeat(33),
            "a\0",
        ] {
            let error = bad.parse::<Label>().unwrap_err();
            assert_eq!(error, Malformed::new("label", LABEL_RULE), "{bad}");
        }
    }

    #[test]
    fn paths() {
        let long = format!(
            "{}/{}/{}/{}",
            "a".repeat(64),
            "b".repeat(64),
            "c".repeat(64),
            "d".repeat(60)
        );
        assert_eq!(long.len(), 255);
        for good in ["a", "db/password", "A_b.c-d/1", "...", long.as_str()] {
            assert!(good.parse::<SecretPath>().is_ok(), "{good}");
        }
        let longer = format!("{long}d");
        let segment = "a".repeat(65);
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "a b",
            "a\\b",
            "ä",
            "a\n",
            longer.as_str(),
            segment.as_str(),
        ] {
            assert_eq!(
                bad.parse::<SecretPath>().unwrap_err().field,
                "path",
                "{bad}"
            );
        }
    }

    #[test]
    fn variables_of_the_loader_are_names_that_are_never_delivered() {
        for name in ["LD_PRELOAD", "LD_", "LD_X", "GLIBC_TUNABLES", "RES_OPTIONS"] {
            let name: EnvName = name.parse().unwrap();
            assert_eq!(name.deliverable(), Err(LoaderVariable(name.clone())));
        }
        for name in ["LD", "OLD_LD_X", "ld_preload", "GLIBC_TUNABLES_", "PATH"] {
            assert_eq!(
                name.parse::<EnvName>().unwrap().deliverable(),
                Ok(()),
                "{name}"
            );
        }
        assert!(!is_loader_variable(b"\xff"));
    }

    #[test]
    fn foreign_ids() {
        let (longest, thirty_four) = ("x".repeat(64), "Agent_".repeat(5) + ".v-1");
        assert_eq!(thirty_four.len(), 34);
        for good in ["a", "0", "-", ".", "A.b_c-9", &thirty_four, &longest] {
            assert_eq!(good.parse::<ForeignId>().unwrap().as_str(), good);
        }
        let longer = "x".repeat(65);
        for bad in [
            "", "..", "a..b", "a/b", "a b", "a\n", "a\0", "é", "a:b", "a%2e", &longer,
        ] {
            let error = bad.parse::<ForeignId>().unwrap_err();
            assert_eq!(error, Malformed::new("agent_id", FOREIGN_ID_RULE), "{bad}");
        }
    }

    #[test]
    fn tags_and_owners() {
        for good in ["a", "0", "pci-dss", "v1.2_x", &"x".repeat(32)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "_a",
            "A",
            "a b",
            "a,b",
            "é",
            &"x".repeat(33),
        ] {
            assert_eq!(bad.parse::<Tag>().unwrap_err().field, "tags", "{bad}");
        }
        for good in ["Ann Ö, payments <ann@example.org>", &"ü".repeat(128)] {
            assert!(good.parse::<SecretOwner>().is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{1b}[2J", "a\0", &"x".repeat(129)] {
            assert_eq!(bad.parse::<SecretOwner>().unwrap_err().field, "owner");
        }
    }

    #[test]
    fn env_names() {
        for good in ["A", "_", "a1", "API_KEY", &"X".repeat(128)] {
            assert!(good.parse::<EnvName>().is_ok(), "{good}");
        }
        for bad in ["", "1A", "A-B", "A=B", "A B", "Ä", &"X".repeat(129)] {
            assert_eq!(bad.parse::<EnvName>().unwrap_err().field, "env", "{bad}");
        }
    }
}
