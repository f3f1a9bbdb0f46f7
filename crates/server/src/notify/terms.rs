//! What somebody puts as a channel, looked at: what fits its kind, and nothing else.

use super::Limits;
use super::rows::ChannelRow;
use super::sending::port;
use super::template::Template;
use procura_client::Target;
use procura_mail::MailAddress;
use procura_types::wire::{ChannelKind, ChannelPut, MailServer};
use procura_types::{Cidr, Malformed, Secret, Timestamp, inward};
use std::net::IpAddr;

/// Messages a minute unless it is said.
const PER_MINUTE: u32 = 20;
/// The longest credential: a URL or a token.
const LONGEST_CREDENTIAL: usize = 2048;
/// The longest text of certificates.
const LONGEST_CA: usize = 16 * 1024;
/// Addresses that one channel writes to.
const MOST_RECIPIENTS: usize = 20;

const CREDENTIAL: &str = "credential_b64";

/// A channel that can be stored, with the credential that came with it.
pub(crate) struct Terms {
    pub(super) row: ChannelRow,
    pub(super) credential: Option<Secret<String>>,
    /// Whether it needs one at all.
    pub(super) needs_credential: bool,
}

/// Looks at what was put.
///
/// # Errors
/// The field that does not fit.
pub(crate) fn terms(put: ChannelPut, limits: &Limits, now: Timestamp) -> Result<Terms, Malformed> {
    let (allowed, telegram) = (limits.networks.as_slice(), limits.telegram.as_deref());
    let ChannelPut {
        kind,
        credential_b64,
        chat,
        mail,
        ca_pem,
        per_minute,
        templates,
    } = put;
    if chat.is_some() != (kind == ChannelKind::Telegram) {
        return Err(Malformed::new(
            "chat",
            "is of telegram, and of nothing else",
        ));
    }
    if mail.is_some() != (kind == ChannelKind::Mail) {
        return Err(Malformed::new("mail", "is of mail, and of nothing else"));
    }
    let credential = credential_b64.map(|text| text.decode()).transpose();
    let credential = credential
        .map_err(|error| Malformed::new(CREDENTIAL, error.problem))?
        .map(|bytes| text_of(bytes.expose()))
        .transpose()?;
    let needs_credential = mail.as_ref().is_none_or(|mail| mail.user.is_some());
    if credential.is_some() && !needs_credential {
        return Err(Malformed::new(CREDENTIAL, "is the password of mail.user"));
    }
    let receiver = match kind {
        ChannelKind::Slack | ChannelKind::Discord | ChannelKind::Webhook => credential
            .as_ref()
            .map(|url| receiver(url.expose(), allowed))
            .transpose()?,
        ChannelKind::Telegram => {
            telegram_fits(chat.as_deref(), credential.as_ref())?;
            Some(telegram.unwrap_or("https://api.telegram.org").to_owned())
        }
        ChannelKind::Mail => mail.as_ref().map(mail_fits).transpose()?,
    };
    let per_minute = per_minute.unwrap_or(PER_MINUTE);
    if !(1..=6000).contains(&per_minute) {
        return Err(Malformed::new("per_minute", "must be 1 to 6000"));
    }
    if let Some(pem) = &ca_pem {
        let fits =
            pem.len() <= LONGEST_CA && procura_client::authorities(Some(pem.as_bytes())).is_ok();
        if !fits {
            return Err(Malformed::new(
                "ca_pem",
                "must be certificates in PEM, of at most 16 KiB",
            ));
        }
    }
    for text in templates.values() {
        Template::parse(text)?;
    }
    Ok(Terms {
        row: ChannelRow {
            kind,
            // Without a credential it is that of the one that is kept.
            receiver: receiver.unwrap_or_default(),
            chat,
            mail,
            ca_pem,
            per_minute,
            templates,
            created: now,
            updated: now,
        },
        credential,
        needs_credential,
    })
}

fn text_of(bytes: &[u8]) -> Result<Secret<String>, Malformed> {
    let text = std::str::from_utf8(bytes).ok();
    let text = text.filter(|text| {
        (1..=LONGEST_CREDENTIAL).contains(&text.len()) && !text.chars().any(char::is_control)
    });
    text.map(|text| Secret::new(text.to_owned()))
        .ok_or(Malformed::new(
            CREDENTIAL,
            "must be base64url of 1 to 2048 bytes of text on one line",
        ))
}

/// Scheme, host and port of a URL that messages may be sent to.
fn receiver(url: &str, allowed: &[Cidr]) -> Result<String, Malformed> {
    let rule = Malformed::new(
        CREDENTIAL,
        "must be an https:// URL without a user or a fragment; http:// is for addresses that notify_networks names",
    );
    let target = Target::parse(url).map_err(|_| rule.clone())?;
    let authority: http::uri::Authority = target.authority().parse().map_err(|_| rule.clone())?;
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // A name is looked at when something is sent: what it leads to now says nothing.
    if let Ok(address) = bare.parse::<IpAddr>() {
        let named = allowed.iter().any(|network| network.contains(address));
        if !named && inward(address).is_some() {
            return Err(Malformed::new(
                CREDENTIAL,
                "leads to an address that is not of the public internet, and notify_networks does not name it",
            ));
        }
        if !named && target.scheme() == "http" {
            return Err(rule);
        }
    } else if target.scheme() == "http" && allowed.is_empty() {
        return Err(rule);
    }
    Ok(format!("{}://{}", target.scheme(), target.authority()))
}

fn telegram_fits(chat: Option<&str>, token: Option<&Secret<String>>) -> Result<(), Malformed> {
    let chat = chat.unwrap_or_default();
    let number = chat.strip_prefix('-').unwrap_or(chat);
    let is_number = (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let is_name = chat.strip_prefix('@').is_some_and(|name| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    if !is_number && !is_name {
        return Err(Malformed::new("chat", "must be a number, or @name"));
    }
    // It becomes part of a path.
    let fits = |token: &Secret<String>| {
        token.expose().split_once(':').is_some_and(|(id, key)| {
            let of = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            !id.is_empty()
                && id.bytes().all(|b| b.is_ascii_digit())
                && !key.is_empty()
                && key.bytes().all(of)
        })
    };
    if token.is_some_and(|token| !fits(token)) {
        return Err(Malformed::new(
            CREDENTIAL,
            "must be the token of a bot: NUMBER:LETTERS",
        ));
    }
    Ok(())
}

fn mail_fits(mail: &MailServer) -> Result<String, Malformed> {
    let MailServer {
        host,
        from,
        to,
        user,
        ..
    } = mail;
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // An address has no certificate that anybody would give out.
    if host.len() > 253 || !host.split('.').all(label) || host.parse::<IpAddr>().is_ok() {
        return Err(Malformed::new("mail", "host must be the name of a server"));
    }
    from.parse::<MailAddress>()?;
    if !(1..=MOST_RECIPIENTS).contains(&to.len()) {
        return Err(Malformed::new("mail", "to must be 1 to 20 addresses"));
    }
    for address in to {
        address.parse::<MailAddress>()?;
    }
    let shown =
        |user: &String| (1..=254).contains(&user.len()) && !user.chars().any(char::is_control);
    if !user.as_ref().is_none_or(shown) {
        return Err(Malformed::new(
            "mail",
            "user must be 1 to 254 characters on one line",
        ));
    }
    Ok(format!("smtp://{host}:{}", port(mail)))
}
