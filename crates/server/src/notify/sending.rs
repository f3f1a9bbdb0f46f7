//! The way out, one function for each kind of receiver. What comes back of a failure is a
//! sentence of ours: nothing of a URL but what lists show, nothing that a receiver said.

use super::message::{Message, Writer};
use super::rows::{CHANNELS, CREDENTIALS, ChannelRow, Place};
use super::signature::{CONTENT_TYPE, signed, signing_key};
use crate::reply::secret_json;
use http::{HeaderName, HeaderValue, header};
use procura_client::{Outward, OutwardAnswer, OutwardError, Target, authorities};
use procura_mail::{Login, MailAddress, MailError, Server};
use procura_store::Store;
use procura_types::wire::{ChannelKind, MailServer, MailTls};
use procura_types::{Clock, Duration, Entropy, Secret, SecretBytes, TraceId};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long one message may take.
const TIME: Duration = Duration::from_secs(10);
/// The same by mail: some servers let strangers wait for their greeting.
const MAIL_TIME: Duration = Duration::from_secs(20);
/// Where bots of Telegram are.
const TELEGRAM: &str = "https://api.telegram.org";

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// For people; never with anything secret.
    pub(crate) reason: String,
    /// Whether trying again cannot help as long as nobody changes anything.
    pub(crate) lasts: bool,
    /// How long the receiver asked to be left alone.
    pub(crate) asked: Option<Duration>,
}

impl Failed {
    fn lasting(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            lasts: true,
            asked: None,
        }
    }

    fn passing(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            lasts: false,
            asked: None,
        }
    }
}

impl From<OutwardError> for Failed {
    fn from(error: OutwardError) -> Self {
        Self {
            reason: error.to_string(),
            lasts: error.lasts(),
            asked: None,
        }
    }
}

impl From<MailError> for Failed {
    fn from(error: MailError) -> Self {
        Self {
            reason: error.to_string(),
            lasts: error.lasts(),
            asked: None,
        }
    }
}

/// What sends.
pub(crate) struct Sender {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) outward: Outward,
    /// Where bots of Telegram are instead.
    pub(super) telegram: Option<String>,
    /// Where the pages are, if there are any.
    pub(super) pages: Option<String>,
}

impl Sender {
    /// The channel, if it is there.
    pub(super) fn channel(&self, place: &Place) -> Result<Option<ChannelRow>, Failed> {
        let row = CHANNELS.get(&self.store, place);
        let row = row.map_err(|_| Failed::passing("the channel cannot be read now"))?;
        Ok(row.map(|row| row.value))
    }

    /// How messages of a channel are written.
    pub(super) fn writer<'a>(&'a self, place: &'a Place, channel: &'a ChannelRow) -> Writer<'a> {
        Writer {
            place,
            channel,
            pages: self.pages.as_deref(),
            now: self.clock.now(),
        }
    }

    /// Sends a message that says no more than that somebody wanted to see one.
    pub(crate) async fn test(&self, place: &Place, trace: TraceId) -> Result<(), Failed> {
        let channel = self
            .channel(place)?
            .ok_or_else(|| Failed::lasting("the channel is not there any more"))?;
        let message = self.writer(place, &channel).test(&format!("test.{trace}"));
        self.send(place, &channel, &message).await
    }

    /// Sends a message.
    pub(super) async fn send(
        &self,
        place: &Place,
        channel: &ChannelRow,
        message: &Message,
    ) -> Result<(), Failed> {
        let credential = self.credential(place)?;
        let need = || {
            credential
                .as_ref()
                .ok_or_else(|| Failed::lasting("the channel has no credential; put it again"))
        };
        match channel.kind {
            ChannelKind::Slack => {
                let body = json!({
                    "text": message.text,
                    "mrkdwn": false,
                    "parse": "none",
                    "link_names": false,
                    "unfurl_links": false,
                    "unfurl_media": false,
                });
                self.post_json(channel, &target(need()?.expose())?, &body)
                    .await
            }
            ChannelKind::Discord => {
                let body = json!({
                    "content": message.text,
                    "allowed_mentions": {"parse": []},
                    // Nothing is fetched that a link leads to.
                    "flags": 4,
                });
                self.post_json(channel, &target(need()?.expose())?, &body)
                    .await
            }
            ChannelKind::Telegram => {
                // Without a parse mode a text is a text.
                let body = json!({
                    "chat_id": channel.chat,
                    "text": message.text,
                    "link_preview_options": {"is_disabled": true},
                });
                let base = self.telegram.as_deref().unwrap_or(TELEGRAM);
                let base = base.trim_end_matches('/');
                let url = Secret::new(format!("{base}/bot{}/sendMessage", need()?.expose()));
                self.post_json(channel, &target(url.expose())?, &body).await
            }
            ChannelKind::Webhook => {
                let target = target(need()?.expose())?;
                self.post_signed(place, channel, &target, message).await
            }
            ChannelKind::Mail => self.mail(channel, credential.as_ref(), message).await,
        }
    }

    fn credential(&self, place: &Place) -> Result<Option<Secret<String>>, Failed> {
        let unreadable = || Failed::passing("the channel's credential cannot be read now");
        let row = CREDENTIALS
            .get(&self.store, place)
            .map_err(|_| unreadable())?;
        let Some(row) = row else {
            return Ok(None);
        };
        let text = String::from_utf8(row.value.as_bytes().to_vec()).map_err(|_| unreadable())?;
        Ok(Some(Secret::new(text)))
    }

    async fn post_json(
        &self,
        channel: &ChannelRow,
        target: &Target,
        body: &Value,
    ) -> Result<(), Failed> {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))];
        let body = serde_json::to_vec(body)
            .map_err(|_| Failed::lasting("the message cannot be written"))?;
        self.post(channel, target, &headers, SecretBytes::new(body))
            .await
    }

    async fn post_signed(
        &self,
        place: &Place,
        channel: &ChannelRow,
        target: &Target,
        message: &Message,
    ) -> Result<(), Failed> {
        let body = secret_json(&message.told)
            .map_err(|_| Failed::lasting("the message cannot be written"))?;
        let key = signing_key(&self.store, self.clock.as_ref(), self.entropy.as_ref()).await;
        let key = key.map_err(|_| Failed::passing("the key of webhooks cannot be used now"))?;
        let now = self.clock.now();
        let headers = signed(&key, target, &place.0, &message.id, body.expose(), now)
            .ok_or_else(|| Failed::passing("the message cannot be signed"))?;
        self.post(channel, target, &headers, body).await
    }

    async fn post(
        &self,
        channel: &ChannelRow,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: SecretBytes,
    ) -> Result<(), Failed> {
        let ca_pem = channel.ca_pem.as_deref().map(str::as_bytes);
        let answer = self.outward.post(target, headers, body, ca_pem, TIME).await;
        said(answer?)
    }

    async fn mail(
        &self,
        channel: &ChannelRow,
        password: Option<&Secret<String>>,
        message: &Message,
    ) -> Result<(), Failed> {
        let unfit = || Failed::lasting("the channel's mail server is not fit; put it again");
        let mail = channel.mail.as_ref().ok_or_else(unfit)?;
        let from: MailAddress = mail.from.parse().map_err(|_| unfit())?;
        let to: Result<Vec<MailAddress>, _> = mail.to.iter().map(|to| to.parse()).collect();
        let to = to.map_err(|_| unfit())?;
        let addresses = self.outward.resolve(&mail.host, port(mail)).await?;
        let login = match (&mail.user, password) {
            (Some(user), Some(password)) => Some(Login { user, password }),
            (None, _) => None,
            (Some(_), None) => return Err(unfit()),
        };
        let ca_pem = channel.ca_pem.as_deref().map(str::as_bytes);
        let authorities = authorities(ca_pem).map_err(|_| Failed::from(MailError::Authorities))?;
        let (_, hello) = mail.from.rsplit_once('@').ok_or_else(unfit)?;
        let server = Server {
            addresses: &addresses,
            host: &mail.host,
            tls: mail.tls,
            authorities,
            hello,
            login,
        };
        let sent = procura_mail::Message {
            from: &from,
            to: &to,
            subject: &message.subject,
            text: &message.text,
            id: &message.id,
            time: message.time,
        };
        Ok(procura_mail::send(&server, &sent, MAIL_TIME).await?)
    }
}

/// Where a mail server listens.
pub(super) fn port(mail: &MailServer) -> u16 {
    mail.port.unwrap_or(match mail.tls {
        MailTls::Starttls => 587,
        MailTls::Tls => 465,
    })
}

fn target(url: &str) -> Result<Target, Failed> {
    Target::parse(url).map_err(|_| Failed::lasting("the channel's URL is none; put it again"))
}

/// What an answer means.
fn said(answer: OutwardAnswer) -> Result<(), Failed> {
    let status = answer.status;
    match status {
        200..=299 => Ok(()),
        300..=399 => Err(Failed::lasting(format!(
            "the receiver leads elsewhere ({status}), which is not followed"
        ))),
        401 | 403 | 404 | 410 => Err(Failed::lasting(format!(
            "the receiver does not know the channel's credential ({status})"
        ))),
        408 | 425 | 429 | 500.. => Err(Failed {
            reason: format!("the receiver cannot take the message now ({status})"),
            lasts: false,
            asked: answer.retry_after.map(Duration::from_secs),
        }),
        _ => Err(Failed::lasting(format!(
            "the receiver refused the message ({status})"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        let answer = |status, retry_after| {
            said(OutwardAnswer {
                status,
                retry_after,
            })
        };
        assert_eq!(answer(200, None), Ok(()));
        assert_eq!(answer(204, None), Ok(()));
        for (status, lasts) in [
            (301, true),
            (307, true),
            (400, true),
            (401, true),
            (404, true),
            (408, false),
            (429, false),
            (500, false),
            (503, false),
            (100, true),
        ] {
            let failed = answer(status, Some(7)).unwrap_err();
            assert_eq!(failed.lasts, lasts, "{status}");
            assert!(failed.reason.contains(&status.to_string()), "{status}");
            let asked = (!lasts).then(|| Duration::from_secs(7));
            assert_eq!(failed.asked, asked, "{status}");
        }
    }
}
