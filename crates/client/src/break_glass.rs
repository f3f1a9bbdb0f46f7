//! Accounts for emergencies.

use crate::call::{self, Ask};
use crate::proving::Proof;
use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{BreakGlass, BreakGlassCreate, BreakGlassList, BreakGlassUse};
use procura_types::{Label, ProposalId};

impl SessionClient {
    /// The break-glass accounts, those that are over too.
    pub async fn break_glass(&self) -> Result<BreakGlassList, ClientError> {
        self.call(Method::GET, "/v1/break-glass", &Query::new(), None::<&()>)
            .await
    }

    /// Makes one, sealed.
    pub async fn create_break_glass(
        &self,
        wanted: &BreakGlassCreate,
    ) -> Result<BreakGlass, ClientError> {
        self.by_key(Method::POST, "/v1/break-glass", wanted).await
    }

    /// Opens the one that this client's key is of. It has no session before that, so the
    /// server has not proven itself; whoever goes on starts one, which shows it.
    pub async fn use_break_glass(
        &self,
        name: &Label,
        proposal: Option<ProposalId>,
    ) -> Result<BreakGlass, ClientError> {
        let path = format!("/v1/break-glass/{name}/use");
        let (query, body) = (Query::new(), BreakGlassUse { proposal });
        let ask = Ask::new(Method::POST, &path, &query, Some(&body));
        let client = self.client();
        let (answer, _) = client.exchange(&ask, Proof::Key(self.signer())).await?;
        call::read(&client.inner.transport, &answer)
    }
}
