//! The identity providers that operators sign in by, as the sections `[oidc.NAME]` say.

use procura_client::Target;
use procura_types::wire::RoleAssignment;
use procura_types::{Cidr, DisplayName, Namespace, Role};
use serde::Deserialize;
use std::path::PathBuf;

/// Without it an answer is none of OpenID Connect.
const OPENID: &str = "openid";
/// The longest text of any key.
const LONGEST: usize = 256;
/// Claims that say something else than groups.
const TAKEN: [&str; 11] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "exp",
    "iat",
    "iss",
    "nonce",
    "sub",
];

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct OidcProvider {
    /// What people call it; its name where nobody says.
    pub title: Option<DisplayName>,
    /// What it calls itself, exactly. https, or a loopback address of this machine.
    pub issuer: String,
    /// What it calls this server.
    pub client_id: String,
    /// The file with the secret of this server; none for a public client.
    pub client_secret_file: Option<PathBuf>,
    /// What it is asked for; `openid` is among it.
    pub scopes: Vec<String>,
    /// The claim in which it says the groups of a person.
    pub groups_claim: Option<String>,
    /// Which group lends which role.
    pub roles: Vec<GroupRole>,
    /// Networks that are not of the public internet, in which it may be.
    pub networks: Vec<Cidr>,
    /// The authorities to trust for it, PEM; without it the machine's own.
    pub ca_file: Option<PathBuf>,
}

/// A group lends a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRole {
    /// The group, as the provider writes it.
    pub group: String,
    /// What it lends.
    pub role: RoleAssignment,
}

impl OidcProvider {
    /// The roles that these groups lend.
    pub(crate) fn lent(&self, groups: &[String]) -> Vec<RoleAssignment> {
        let mapped = self.roles.iter();
        let mut roles: Vec<RoleAssignment> = mapped
            .filter(|mapped| groups.contains(&mapped.group))
            .map(|mapped| mapped.role.clone())
            .collect();
        roles.sort();
        roles.dedup();
        roles
    }

    /// Whether any group lends this role.
    pub(crate) fn lends(&self, role: &RoleAssignment) -> bool {
        self.roles.iter().any(|mapped| mapped.role == *role)
    }
}

/// As it is written in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: Option<DisplayName>,
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    #[serde(default)]
    scopes: Vec<String>,
    groups_claim: Option<String>,
    #[serde(default)]
    roles: Vec<WrittenRole>,
    #[serde(default)]
    networks: Vec<Cidr>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    danger_steward_by_group: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRole {
    group: String,
    role: Role,
    namespace: Option<Namespace>,
}

impl TryFrom<Written> for OidcProvider {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written {
            title,
            issuer,
            client_id,
            client_secret_file,
            mut scopes,
            groups_claim,
            roles,
            networks,
            ca_file,
            danger_steward_by_group,
        } = written;
        if !is_issuer(&issuer) {
            return Err(
                "issuer must be a URL as the provider writes it: https, or http with a loopback address, without a query",
            );
        }
        if !is_text(&client_id) {
            return Err("client_id must be 1 to 256 visible characters of ASCII");
        }
        if !scopes.iter().all(|scope| is_scope(scope)) {
            return Err("scopes are words without spaces (RFC 6749 §3.3)");
        }
        if !scopes.iter().any(|scope| scope == OPENID) {
            scopes.insert(0, OPENID.to_owned());
        }
        let claim = groups_claim.as_deref();
        if claim.is_some_and(|claim| !is_text(claim) || TAKEN.contains(&claim)) {
            return Err("groups_claim must be the name of a claim that says nothing else");
        }
        if claim.is_none() && !roles.is_empty() {
            return Err("roles say nothing without groups_claim");
        }
        if claim.is_some() && roles.is_empty() {
            return Err("groups_claim says nothing without roles");
        }
        let makes_stewards = roles.iter().any(|mapped| mapped.role == Role::Steward);
        if makes_stewards && !danger_steward_by_group {
            return Err(
                "a group that lends the role steward takes danger_steward_by_group = true: whoever manages groups at the provider then does what stewards do in a browser",
            );
        }
        if danger_steward_by_group && !makes_stewards {
            return Err("danger_steward_by_group says nothing without a role steward");
        }
        let roles = roles.into_iter().map(mapped).collect::<Result<_, _>>()?;
        Ok(Self {
            title,
            issuer,
            client_id,
            client_secret_file,
            scopes,
            groups_claim,
            roles,
            networks,
            ca_file,
        })
    }
}

fn mapped(written: WrittenRole) -> Result<GroupRole, &'static str> {
    let WrittenRole {
        group,
        role,
        namespace,
    } = written;
    if group.is_empty() || group.len() > LONGEST {
        return Err("a group has a name of at most 256 bytes");
    }
    if (role == Role::Steward) != namespace.is_none() {
        return Err("the role steward has no namespace, and every other role needs one");
    }
    Ok(GroupRole {
        group,
        role: RoleAssignment { role, namespace },
    })
}

/// Nobody on the way reads along, and there is one way to where the provider says what it
/// is (OpenID Connect Discovery §4.1).
fn is_issuer(text: &str) -> bool {
    let is_url =
        Target::parse(text).is_ok_and(|target| target.is_private() && target.query().is_none());
    is_url && text.len() <= LONGEST
}

fn is_text(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_scope(text: &str) -> bool {
    is_text(text) && !text.contains(['"', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "issuer = \"https://login.example\"\nclient_id = \"procura\"\n";

    fn read(more: &str) -> Result<OidcProvider, String> {
        toml::from_str(&format!("{LEAST}{more}")).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_least_is_an_issuer_and_a_client() {
        let provider = read("").unwrap();
        assert_eq!(provider.scopes, ["openid"]);
        assert!(provider.roles.is_empty() && provider.networks.is_empty());
        let provider = read("scopes = [\"profile\", \"openid\"]").unwrap();
        assert_eq!(provider.scopes, ["profile", "openid"]);
        for issuer in [
            "https://login.example/realms/one",
            "https://login.example/",
            "http://127.0.0.1:8080",
            "http://localhost:8080/realm",
        ] {
            let text = format!("issuer = \"{issuer}\"\nclient_id = \"procura\"");
            let provider: OidcProvider = toml::from_str(&text).unwrap();
            assert_eq!(provider.issuer, issuer);
        }
    }

    #[test]
    fn what_is_unsafe_or_says_nothing_is_refused() {
        for issuer in [
            "",
            "login.example",
            "http://login.example",
            "http://10.0.0.1",
            "https://login.example?x",
            "https://login.example/#x",
            "https://user@login.example",
            "ftp://login.example",
        ] {
            let text = format!("issuer = \"{issuer}\"\nclient_id = \"procura\"");
            let error = toml::from_str::<OidcProvider>(&text).unwrap_err();
            assert!(error.message().starts_with("issuer must be"), "{issuer}");
        }
        let role = "[[roles]]\ngroup = \"ops\"\nrole = \"approver\"\nnamespace = \"shop\"\n";
        let steward = "[[roles]]\ngroup = \"ops\"\nrole = \"steward\"\n";
        let claim = "groups_claim = \"groups\"\n";
        let danger = "danger_steward_by_group = true\n";
        for (more, why) in [
            ("scopes = [\"two words\"]".to_owned(), "scopes are words"),
            ("groups_claim = \"sub\"".to_owned(), "groups_claim must be"),
            (claim.to_owned(), "groups_claim says nothing"),
            (role.to_owned(), "roles say nothing"),
            (
                format!("{claim}{steward}"),
                "a group that lends the role steward",
            ),
            (
                format!("{claim}{danger}{role}"),
                "danger_steward_by_group says",
            ),
            (
                format!("{claim}{danger}{steward}namespace = \"shop\""),
                "the role steward has no namespace",
            ),
            (
                format!("{claim}[[roles]]\ngroup = \"ops\"\nrole = \"approver\""),
                "the role steward has no namespace",
            ),
            (
                format!("{claim}[[roles]]\ngroup = \"\"\nrole = \"approver\"\nnamespace = \"a\""),
                "a group has a name",
            ),
            (
                "client_secret = \"x\"".to_owned(),
                "unknown field `client_secret`",
            ),
        ] {
            let error = read(&more).unwrap_err();
            assert!(error.starts_with(why), "{more}: {error}");
        }
        let with = |more: String| read(&more).unwrap();
        assert_eq!(with(format!("{claim}{role}")).roles.len(), 1);
        assert_eq!(with(format!("{claim}{danger}{steward}")).roles.len(), 1);
    }

    #[test]
    fn groups_lend_what_is_mapped_and_nothing_else() {
        let text = "groups_claim = \"groups\"\n\
            [[roles]]\ngroup = \"ops\"\nrole = \"approver\"\nnamespace = \"shop\"\n\
            [[roles]]\ngroup = \"dev\"\nrole = \"approver\"\nnamespace = \"shop\"\n\
            [[roles]]\ngroup = \"dev\"\nrole = \"auditor\"\nnamespace = \"bank\"\n";
        let provider = read(text).unwrap();
        let lent = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            let lent = provider.lent(&groups);
            lent.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(lent(&[]).is_empty() && lent(&["Ops", "ops "]).is_empty());
        assert_eq!(lent(&["ops"]), ["approver@shop"]);
        assert_eq!(
            lent(&["ops", "dev", "x"]),
            ["approver@shop", "auditor@bank"]
        );
        for role in provider.lent(&["dev".to_owned()]) {
            assert!(provider.lends(&role));
        }
        let other = RoleAssignment {
            role: Role::Admin,
            namespace: Some("shop".parse().unwrap()),
        };
        assert!(!provider.lends(&other));
    }
}
