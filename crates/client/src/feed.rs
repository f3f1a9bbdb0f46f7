//! What the gate of a service has to know, as the server says it (`protocol.md` §3.4).

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{Feed, FeedTerms, SignedFeed};
use procura_types::{
    Duration, GuardGeneration, InstallationId, InstanceId, Label, Namespace, encoding,
};

/// A question for news.
#[derive(Debug, Clone, Copy)]
pub struct FeedQuestion<'a> {
    /// The installation that was joined.
    pub installation: &'a InstallationId,
    /// Where the service is.
    pub namespace: &'a Namespace,
    /// The service.
    pub service: &'a Label,
    /// The gate's home.
    pub instance: &'a InstanceId,
    /// What is known: the sequence and the mark of the last feed.
    pub known: Option<(u64, &'a str)>,
    /// How long the server may wait for news, in whole seconds; it waits for ten at
    /// most.
    pub wait: Duration,
    /// The memory of used proofs that the gate shares: of one service several gates may
    /// follow that name the same one.
    pub guard: Option<GuardGeneration>,
}

impl SessionClient {
    /// The news since what is known, or all there is. The answer is signed by the
    /// server that was joined, for this very question.
    ///
    /// # Errors
    /// [`ClientError::Impostor`] for an answer that is not.
    pub async fn feed(&self, question: &FeedQuestion<'_>) -> Result<Feed, ClientError> {
        let inner = &self.client().inner;
        let mut nonce = [0; 16];
        inner.entropy.fill(&mut nonce)?;
        let mut query = Query::new()
            .with("instance", question.instance)
            .with("nonce", encoding::b64url(&nonce))
            .with("wait", question.wait.as_secs());
        if let Some((seq, mark)) = question.known {
            query = query.with("after", seq).with("mark", mark);
        }
        if let Some(guard) = question.guard {
            query = query.with("guard", guard);
        }
        let path = format!(
            "/v1/namespaces/{}/services/{}/feed",
            question.namespace, question.service
        );
        let signed: SignedFeed = self.call(Method::GET, &path, &query, None::<&()>).await?;
        let feed = signed.feed.decode()?;
        let terms = FeedTerms {
            installation: question.installation,
            namespace: question.namespace,
            service: question.service,
            instance: question.instance,
            nonce: &nonce,
        };
        let message = procura_types::SecretBytes::new(terms.message(feed.expose()));
        let is_signed = inner
            .pinned
            .as_ref()
            .is_some_and(|server| server.verify(message.expose(), &signed.signature));
        if !is_signed {
            return Err(inner
                .transport
                .impostor("the feed is not signed by the server's key for this question"));
        }
        // The place of a mistake, not its words: those may quote a key.
        serde_json::from_slice(feed.expose()).map_err(|error| {
            inner.transport.not_understood(&format!(
                "its feed does not fit at line {} column {}",
                error.line(),
                error.column()
            ))
        })
    }
}
