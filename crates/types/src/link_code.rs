//! Link codes as people copy them (`protocol.md` §2).
//!
//! `pcj1_` and the base64url form of
//! `u8 kind ‖ 16 code ‖ 32 server id ‖ 16 installation ‖ 32 actor ‖ URL`; kind 1
//! is a device of an agent, 2 a new operator (the actor is zero), 3 another
//! device of an operator. The code is secret until it is used or expires; the
//! rest tells the joining host whom to ask, and whom not to believe.

use crate::{ActorId, InstallationId, Malformed, Secret, Thumbprint, encoding};
use zeroize::Zeroize as _;

const FIELD: &str = "code";
const PREFIX: &str = "pcj1_";
/// kind, code, server id, installation, actor.
const HEAD: usize = 1 + 16 + 32 + 16 + 32;
/// The longest URL that a code carries, in bytes.
const URL_LIMIT: usize = 512;
const NO_ACTOR: [u8; 32] = [0; 32];

/// Who joins by a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// A device of this agent.
    Agent(ActorId),
    /// A person who is invited: their actor id derives from the key they bring.
    NewOperator,
    /// Another device of an operator who has joined before.
    Operator(ActorId),
}

/// A link code: one use, ten minutes, one actor.
pub struct LinkCodeText {
    /// 128 random bits. They are never sent, only their SHA-256 is.
    pub code: Secret<[u8; 16]>,
    /// RFC 7638 thumbprint of the server's key; the `server_id` of what is
    /// signed. Every other server is refused.
    pub server: Thumbprint,
    /// The installation that made the code.
    pub installation: InstallationId,
    /// Who joins.
    pub joins: Joins,
    /// Where the server answers: `http://…` or `https://…`, at most 512
    /// printable ASCII characters; [`LinkCodeText::parse`] takes no other.
    pub url: String,
}

impl LinkCodeText {
    /// Reads a code as typed or pasted; white space around it is ignored.
    ///
    /// # Errors
    /// Says what is wrong with the code, never any part of it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let encoded = text
            .trim_ascii()
            .strip_prefix(PREFIX)
            .ok_or(Malformed::new(
                FIELD,
                "is not a link code: those begin with pcj1_",
            ))?;
        let bytes = encoding::from_b64url(FIELD, encoded)
            .map(Secret::new)
            .map_err(|_| Malformed::new(FIELD, "is damaged; copy all of it again"))?;
        let mut rest = bytes.expose().as_slice();
        let [kind] = take::<1>(&mut rest)?;
        let code = Secret::new(take::<16>(&mut rest)?);
        let server = Thumbprint::from_bytes(take::<32>(&mut rest)?);
        let installation = InstallationId::from_bytes(take::<16>(&mut rest)?);
        let actor = take::<32>(&mut rest)?;
        let joins = match (kind, actor) {
            (1 | 3, NO_ACTOR) => return Err(Malformed::new(FIELD, "names no actor")),
            (1, actor) => Joins::Agent(ActorId::from_bytes(actor)),
            (2, NO_ACTOR) => Joins::NewOperator,
            (2, _) => {
                return Err(Malformed::new(
                    FIELD,
                    "invites an operator and names an actor",
                ));
            }
            (3, actor) => Joins::Operator(ActorId::from_bytes(actor)),
            _ => {
                return Err(Malformed::new(
                    FIELD,
                    "is of a kind that this version does not know",
                ));
            }
        };
        let url = std::str::from_utf8(rest)
            .map_err(|_| Malformed::new(FIELD, "carries a URL that is not UTF-8"))?;
        check_url(url)?;
        Ok(Self {
            code,
            server,
            installation,
            joins,
            url: url.to_owned(),
        })
    }

    /// The code as text, to be shown once.
    #[must_use]
    pub fn encode(&self) -> Secret<String> {
        let (kind, actor) = match &self.joins {
            Joins::Agent(actor) => (1u8, actor.as_bytes()),
            Joins::NewOperator => (2, &NO_ACTOR),
            Joins::Operator(actor) => (3, actor.as_bytes()),
        };
        // As large as it gets at once: growing would leave the code behind.
        let mut bytes = Vec::with_capacity(HEAD + self.url.len());
        bytes.push(kind);
        bytes.extend_from_slice(self.code.expose());
        bytes.extend_from_slice(self.server.as_bytes());
        bytes.extend_from_slice(self.installation.as_bytes());
        bytes.extend_from_slice(actor);
        bytes.extend_from_slice(self.url.as_bytes());
        let encoded = Secret::new(encoding::b64url(&bytes));
        bytes.zeroize();
        let mut text = String::with_capacity(PREFIX.len() + encoded.expose().len());
        text.push_str(PREFIX);
        text.push_str(encoded.expose());
        Secret::new(text)
    }
}

fn check_url(url: &str) -> Result<(), Malformed> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest)
            if !rest.is_empty()
                && url.len() <= URL_LIMIT
                && url.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(())
        }
        _ => Err(Malformed::new(
            FIELD,
            "carries no http:// or https:// URL of at most 512 printable ASCII characters",
        )),
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (taken, rest) = from
        .split_first_chunk::<N>()
        .ok_or(Malformed::new(FIELD, "is too short; copy all of it"))?;
    *from = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://keys.example:7310";

    fn bytes(kind: u8, actor: [u8; 32], url: &[u8]) -> Vec<u8> {
        [&[kind][..], &[7; 16], &[8; 32], &[9; 16], &actor, url].concat()
    }

    fn text(bytes: &[u8]) -> String {
        format!("pcj1_{}", encoding::b64url(bytes))
    }

    #[test]
    fn codes_have_the_layout_of_the_protocol_and_read_back() {
        for (joins, kind, actor) in [
            (Joins::Agent(ActorId::from_bytes([5; 32])), 1, [5; 32]),
            (Joins::NewOperator, 2, NO_ACTOR),
            (Joins::Operator(ActorId::from_bytes([5; 32])), 3, [5; 32]),
        ] {
            let shown = LinkCodeText {
                code: Secret::new([7; 16]),
                server: Thumbprint::from_bytes([8; 32]),
                installation: InstallationId::from_bytes([9; 16]),
                joins,
                url: URL.to_owned(),
            }
            .encode();
            assert!(*shown.expose() == text(&bytes(kind, actor, URL.as_bytes())));
            let read = LinkCodeText::parse(&format!(" {}\n", shown.expose())).unwrap();
            assert_eq!(read.joins, joins);
            assert!(read.code == Secret::new([7; 16]));
            assert_eq!(read.server, Thumbprint::from_bytes([8; 32]));
            assert_eq!(read.installation, InstallationId::from_bytes([9; 16]));
            assert_eq!(read.url, URL);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        let good = text(&bytes(1, [5; 32], URL.as_bytes()));
        let damaged = "is damaged; copy all of it again";
        let short = "is too short; copy all of it";
        let url = "carries no http:// or https:// URL of at most 512 printable ASCII characters";
        let long = format!("https://{}", "a".repeat(505));
        for (code, problem) in [
            (String::new(), "is not a link code: those begin with pcj1_"),
            (
                good.replace("pcj1_", "pcj2_"),
                "is not a link code: those begin with pcj1_",
            ),
            (
                good.replace("pcj1_", ""),
                "is not a link code: those begin with pcj1_",
            ),
            (format!("{good}="), damaged),
            (format!("{good} x"), damaged),
            ("pcj1_".to_owned(), short),
            (text(&bytes(1, [5; 32], b"")[..HEAD - 1]), short),
            (text(&bytes(1, [5; 32], b"")), url),
            (text(&bytes(1, [5; 32], b"https://")), url),
            (text(&bytes(1, [5; 32], b"ftp://keys.example")), url),
            (text(&bytes(1, [5; 32], b"https://keys.example/a b")), url),
            (text(&bytes(1, [5; 32], long.as_bytes())), url),
            (
                text(&bytes(1, [5; 32], b"https://\xff")),
                "carries a URL that is not UTF-8",
            ),
            (
                text(&bytes(0, [5; 32], URL.as_bytes())),
                "is of a kind that this version does not know",
            ),
            (
                text(&bytes(4, NO_ACTOR, URL.as_bytes())),
                "is of a kind that this version does not know",
            ),
            (text(&bytes(1, NO_ACTOR, URL.as_bytes())), "names no actor"),
            (text(&bytes(3, NO_ACTOR, URL.as_bytes())), "names no actor"),
            (
                text(&bytes(2, [5; 32], URL.as_bytes())),
                "invites an operator and names an actor",
            ),
        ] {
            let error = LinkCodeText::parse(&code).err().unwrap();
            assert_eq!(error, Malformed::new("code", problem), "{code}");
        }
    }
}
