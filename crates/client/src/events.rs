//! What happens, as it happens (`protocol.md` §9).

use crate::call::Ask;
use crate::sse::{Message, Messages};
use crate::{Client, ClientError, Query, SessionClient};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use procura_types::Duration;
use procura_types::wire::{Event, EventKind, RESET};
use std::collections::VecDeque;

/// The server says something every fifteen seconds: one that has been silent for so
/// long is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// What a stream of events tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something happened.
    Event(EventKind, Box<Event>),
    /// What happened after the event that was asked for is not known any more: whoever
    /// keeps lists reads them anew. Events go on from here.
    Reset,
}

/// Events, as they come.
pub struct EventStream {
    client: Client,
    body: Incoming,
    messages: Messages,
    told: VecDeque<(Option<u64>, Option<Told>)>,
    last: Option<u64>,
    entry: Option<u64>,
}

impl SessionClient {
    /// Follows what happens after the entry `after`, or from now on; with `follow`
    /// false only what has happened already, all that the server keeps of it.
    ///
    /// The stream ends when the session does. Ask again then, after [`EventStream::last`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(
        &self,
        after: Option<u64>,
        follow: bool,
    ) -> Result<EventStream, ClientError> {
        let query = Query::new()
            .with_some("after", after)
            .with("follow", follow);
        let ask = Ask::new(Method::GET, "/v1/events", &query, None::<&()>);
        Ok(EventStream {
            client: self.client().clone(),
            body: self.open_stream(&ask).await?,
            messages: Messages::default(),
            told: VecDeque::new(),
            last: after,
            entry: None,
        })
    }
}

impl EventStream {
    /// The entry up to which everything was told.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// The entry that the event told last is of; none when more is told of that entry.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        self.entry
    }

    /// What is told next; none when the stream is over.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the connection breaks or is silent for a
    /// minute, [`ClientError::NotUnderstood`].
    pub async fn next(&mut self) -> Result<Option<Told>, ClientError> {
        loop {
            while let Some((id, told)) = self.told.pop_front() {
                self.last = id.or(self.last);
                self.entry = id;
                if told.is_some() {
                    return Ok(told);
                }
            }
            let transport = &self.client.inner.transport;
            let frame = tokio::time::timeout(SILENCE, self.body.frame())
                .await
                .map_err(|_| transport.unreachable("it has been silent for a minute"))?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| transport.broken(&error))?;
            let not_understood = || transport.not_understood("it is no stream of events");
            if let Some(bytes) = frame.data_ref() {
                let messages = self.messages.read(bytes).map_err(|_| not_understood())?;
                for message in messages {
                    let told = told(&message).ok_or_else(not_understood)?;
                    self.told.push_back(told);
                }
            }
        }
    }
}

/// The id and the meaning of a message; nothing when it is not one of ours.
fn told(message: &Message) -> Option<(Option<u64>, Option<Told>)> {
    let id = match &message.id {
        Some(id) => Some(id.parse().ok()?),
        None => None,
    };
    if message.event == RESET {
        return Some((id, Some(Told::Reset)));
    }
    let kind = EventKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == message.event);
    match kind {
        Some(kind) => {
            let event = serde_json::from_str(&message.data).ok()?;
            Some((id, Some(Told::Event(kind, event))))
        }
        // A later server may tell more.
        None => Some((id, None)),
    }
}
