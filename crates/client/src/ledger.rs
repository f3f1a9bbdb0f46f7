//! The record: checkpoints, tiles, entries and proofs, as the server gives
//! them. Nothing here is believed; `procura-ledger` checks it.

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::EntryId;
use procura_types::wire::{
    ConsistencyAnswer, EntryList, EntryQuery, HandoverList, ProofAnswer, Retention, RetentionSet,
};

impl SessionClient {
    /// The newest signed checkpoint (C2SP tlog-checkpoint).
    pub async fn checkpoint(&self) -> Result<Vec<u8>, ClientError> {
        self.fetch("/v1/ledger/checkpoint", &Query::new()).await
    }

    /// The same, without a proof of ours where the server tells it to anybody: it is
    /// signed, so that a proof adds nothing.
    pub async fn newest_checkpoint(&self) -> Result<Vec<u8>, ClientError> {
        match self.client().status().await?.checkpoint {
            Some(note) => Ok(note.into_bytes()),
            // Sealed, most likely; this call says so.
            None => self.checkpoint().await,
        }
    }

    /// The checkpoints that the key of the record turned with, oldest first: with them
    /// whoever knows an earlier key comes to the one of today.
    pub async fn handovers(&self) -> Result<Vec<String>, ClientError> {
        let path = "/v1/ledger/handovers";
        let list: HandoverList = self
            .call(Method::GET, path, &Query::new(), None::<&()>)
            .await?;
        Ok(list.handovers)
    }

    /// How long entries are kept, and the first one that is.
    pub async fn retention(&self) -> Result<Retention, ClientError> {
        let path = "/v1/ledger/retention";
        self.call(Method::GET, path, &Query::new(), None::<&()>)
            .await
    }

    /// Says how long entries are kept, with a proof by the device's own key.
    pub async fn set_retention(&self, set: &RetentionSet) -> Result<Retention, ClientError> {
        self.by_key(Method::PUT, "/v1/ledger/retention", set).await
    }

    /// What the entries leave behind that are not kept any more, as an export has it.
    pub async fn forgotten(&self) -> Result<Vec<u8>, ClientError> {
        self.fetch("/v1/ledger/forgotten", &Query::new()).await
    }

    /// A tile or entry bundle by its C2SP tlog-tiles path, such as
    /// `tile/0/x001/234` or `tile/entries/000.p/17`.
    pub async fn tile(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.fetch(&format!("/v1/ledger/{path}"), &Query::new())
            .await
    }

    /// Entries that pass the filters, newest first: of the namespace that they
    /// name, or of the whole installation.
    pub async fn entries(&self, filter: &EntryQuery) -> Result<EntryList, ClientError> {
        let query = Query::new()
            .with_some("namespace", filter.namespace.as_ref())
            .with_some("actor", filter.actor)
            .with_some("owner", filter.owner)
            .with_some("grant", filter.grant)
            .with_some("action", filter.action.as_ref())
            .with_some("since", filter.since)
            .with_some("until", filter.until)
            .with_some("before", filter.before)
            .with_some("limit", filter.limit);
        self.call(Method::GET, "/v1/ledger/entries", &query, None::<&()>)
            .await
    }

    /// An entry with its proof of inclusion.
    pub async fn inclusion(&self, id: EntryId) -> Result<ProofAnswer, ClientError> {
        let path = format!("/v1/ledger/proof/{id}");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// That the log of size `from` is a beginning of the log of size `to`.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<ConsistencyAnswer, ClientError> {
        let query = Query::new().with("from", from).with("to", to);
        self.call(Method::GET, "/v1/ledger/consistency", &query, None::<&()>)
            .await
    }
}
