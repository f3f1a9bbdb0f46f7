//! Sessions (`protocol.md` §3.4): started with the device's key, checked to come
//! from the server that was joined, renewed before they end, and given up when
//! somebody else answers in them.

use crate::attestation::Attests;
use crate::call::{self, Ask};
use crate::client::Client;
use crate::proving::{Proof, refused};
use crate::transport::Answer;
use crate::{ClientError, Query, RequestSigner};
use http::Method;
use hyper::body::Incoming;
use procura_crypto::{MacKey, PublicKey};
use procura_proof::sign::fresh_nonce;
use procura_types::wire::{EVENT_STREAM, Recovery, RecoverySeen, SessionAnswer, SessionRequest};
use procura_types::{Duration, FieldTuple, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// The audience of sessions with the server itself.
const AUDIENCE: &str = "procura";

/// A session this close to its end is not used any more: clocks differ, and
/// requests take time.
const MARGIN: Duration = Duration::from_secs(60);

/// One session: an id to show and a key to prove it with.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) mac_key: MacKey,
    counter: AtomicU64,
    expires: Timestamp,
    number: u64,
    recoveries: Vec<Recovery>,
}

impl Session {
    /// The next counter, which is the nonce of the next request.
    fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

/// A device's way to the server: the calls that need a proof.
///
/// Calls go out under a session. One is started before the first call, and
/// again shortly before it ends or when the server no longer knows it. Sessions
/// themselves are asked for with the key.
#[derive(Clone)]
pub struct SessionClient {
    client: Client,
    signer: Arc<dyn RequestSigner>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    started: Arc<AtomicU64>,
    attests: Option<Arc<dyn Attests>>,
}

impl SessionClient {
    /// Calls `client`'s server as the device that `signer` signs for. Nothing
    /// is sent yet.
    #[must_use]
    pub fn new(client: Client, signer: Arc<dyn RequestSigner>) -> Self {
        Self {
            client,
            signer,
            session: Arc::new(Mutex::new(None)),
            started: Arc::new(AtomicU64::new(0)),
            attests: None,
        }
    }

    /// The same, whose sessions are started under what this process attested.
    #[must_use]
    pub fn attested_by(self, attests: Arc<dyn Attests>) -> Self {
        Self {
            attests: Some(attests),
            ..self
        }
    }

    /// The next call starts another session, as after something was attested.
    pub async fn begin_anew(&self) {
        *self.session.lock().await = None;
    }

    /// The server, for calls without proof.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The device's key.
    #[must_use]
    pub fn signer(&self) -> &dyn RequestSigner {
        self.signer.as_ref()
    }

    /// Starts a session if there is none to use now. Its number, counted from 1
    /// for each one that this client started: another number than before means
    /// that the server may be another copy than before.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn session_number(&self) -> Result<u64, ClientError> {
        Ok(self.session().await?.number)
    }

    /// Unseals with shares that the operator was not told of before, as the session says
    /// that is in use; one is started if there is none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn recoveries(&self) -> Result<Vec<Recovery>, ClientError> {
        Ok(self.session().await?.recoveries.clone())
    }

    /// Says that the operator knows of the unseals with shares until a time.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn recoveries_seen(&self, until: Timestamp) -> Result<(), ClientError> {
        let body = RecoverySeen { until };
        self.call(
            Method::POST,
            "/v1/recoveries/seen",
            &Query::new(),
            Some(&body),
        )
        .await
    }

    /// Makes any call of the native API: the answer's JSON becomes an `Ans`, no
    /// content becomes `()`. `path` begins with `/` and needs no encoding, which
    /// holds for all names of `procura-types`.
    ///
    /// # Errors
    /// See [`ClientError`]. A refusal for a session that has ended is not
    /// returned: the call is made once more under a new one.
    pub async fn call<Req, Ans>(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: Option<&Req>,
    ) -> Result<Ans, ClientError>
    where
        Req: Serialize + ?Sized,
        Ans: DeserializeOwned,
    {
        let answer = self.send(Ask::new(method, path, query, body)).await?;
        call::read(&self.client.inner.transport, &answer)
    }

    /// As [`SessionClient::call`], of what is asked in another way.
    pub(crate) async fn ask<Req, Ans>(&self, ask: Ask<'_, Req>) -> Result<Ans, ClientError>
    where
        Req: Serialize + ?Sized,
        Ans: DeserializeOwned,
    {
        let answer = self.send(ask).await?;
        call::read(&self.client.inner.transport, &answer)
    }

    /// Like [`SessionClient::call`], for answers that are bytes and no JSON.
    pub async fn fetch(&self, path: &str, query: &Query) -> Result<Vec<u8>, ClientError> {
        let mut answer = self
            .send(Ask::new(Method::GET, path, query, None::<&()>))
            .await?;
        Ok(std::mem::take(answer.body.expose_mut()))
    }

    async fn send<Req>(&self, ask: Ask<'_, Req>) -> Result<Answer, ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let session = self.session().await?;
        match self.send_under(&session, &ask).await {
            Err(error) if ended(&error) => {
                let fresh = self.session().await?;
                self.send_under(&fresh, &ask).await
            }
            other => other,
        }
    }

    /// Makes a call whose answer is a stream of events.
    pub(crate) async fn open_stream<Req>(&self, ask: &Ask<'_, Req>) -> Result<Incoming, ClientError>
    where
        Req: Serialize + ?Sized,
    {
        self.open_stream_of(ask, EVENT_STREAM).await
    }

    /// Makes a call whose answer is a stream of this media type.
    pub(crate) async fn open_stream_of<Req>(
        &self,
        ask: &Ask<'_, Req>,
        media_type: &str,
    ) -> Result<Incoming, ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let session = self.session().await?;
        match self.open_under(&session, ask, media_type).await {
            Err(error) if ended(&error) => {
                let fresh = self.session().await?;
                self.open_under(&fresh, ask, media_type).await
            }
            other => other,
        }
    }

    async fn open_under<Req>(
        &self,
        session: &Arc<Session>,
        ask: &Ask<'_, Req>,
        media_type: &str,
    ) -> Result<Incoming, ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let proof = Proof::Session(session, session.next());
        let result = self.client.open_stream(ask, proof, media_type).await;
        self.learn(session, &result).await;
        result
    }

    async fn send_under<Req>(
        &self,
        session: &Arc<Session>,
        ask: &Ask<'_, Req>,
    ) -> Result<Answer, ClientError>
    where
        Req: Serialize + ?Sized,
    {
        let proof = Proof::Session(session, session.next());
        let result = self.client.exchange(ask, proof).await;
        self.learn(session, &result).await;
        result.map(|(answer, _)| answer)
    }

    /// Forgets a session that has ended. After an impostor too: who is there now has to
    /// sign a session first.
    async fn learn<T>(&self, session: &Arc<Session>, result: &Result<T, ClientError>) {
        if let Err(error) = result
            && (ended(error) || matches!(error, ClientError::Impostor { .. }))
        {
            self.forget(session).await;
        }
    }

    async fn forget(&self, ended: &Arc<Session>) {
        let mut held = self.session.lock().await;
        if held
            .as_ref()
            .is_some_and(|session| Arc::ptr_eq(session, ended))
        {
            *held = None;
        }
    }

    /// The session to use now.
    async fn session(&self) -> Result<Arc<Session>, ClientError> {
        // Held while a session is started: whoever comes meanwhile uses it too.
        let mut held = self.session.lock().await;
        let now = self.client.inner.clock.now();
        if let Some(session) = held.as_ref()
            && now.plus(MARGIN) < session.expires
        {
            return Ok(Arc::clone(session));
        }
        let renewed = match held.take() {
            Some(old) if now < old.expires => self.start(Some(old.id.clone())).await,
            _ => self.start(None).await,
        };
        let session = match renewed {
            // The server turned its session roots, or was put back.
            Err(error) if ended(&error) => self.start(None).await,
            other => other,
        }?;
        let session = Arc::new(session);
        *held = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Asks for a session, under what this process attested if that counts.
    async fn ask_for_one(
        &self,
        renew: Option<String>,
    ) -> Result<(Answer, Option<String>), ClientError> {
        let nonce = fresh_nonce(self.client.inner.entropy.as_ref()).map_err(refused)?;
        let attests = self.attests.as_ref();
        let mut request = SessionRequest {
            audience: AUDIENCE.to_owned(),
            renew,
            attestation: attests.and_then(|attests| attests.attest(&nonce, AUDIENCE)),
        };
        let query = Query::new();
        let ask = Ask::new(Method::POST, "/v1/sessions", &query, Some(&request));
        let proof = Proof::KeyWith(self.signer.as_ref(), &nonce);
        let error = match self.client.exchange(&ask, proof).await {
            Err(error) if request.attestation.is_some() => error,
            other => return other,
        };
        // What needs no attestation goes on without it.
        let Some(problem) = error
            .problem()
            .filter(|problem| problem.code == "attestation_refused")
        else {
            return Err(error);
        };
        if let Some(attests) = attests {
            attests.refused(problem.reason.as_deref().unwrap_or(&problem.code));
        }
        request.attestation = None;
        let ask = Ask::new(Method::POST, "/v1/sessions", &query, Some(&request));
        self.client
            .exchange(&ask, Proof::Key(self.signer.as_ref()))
            .await
    }

    /// Starts a session and checks that it comes from the server that we joined.
    async fn start(&self, renew: Option<String>) -> Result<Session, ClientError> {
        let transport = &self.client.inner.transport;
        let Some(pinned) = self.client.pinned_server_key() else {
            return Err(transport.impostor("its key is not known here; join it first"));
        };
        let (answer, nonce) = self.ask_for_one(renew).await?;
        let answer: SessionAnswer = call::read(transport, &answer)?;
        let mac_key = answer.mac_key.decode()?;
        let genuine = is_genuine(
            pinned,
            nonce.as_deref().unwrap_or(""),
            &answer,
            mac_key.expose(),
        );
        if !genuine {
            return Err(transport.impostor("the session is not signed by the server's key"));
        }
        if mac_key.expose().len() != 32 {
            return Err(transport.not_understood("the session's key is not of 32 bytes"));
        }
        Ok(Session {
            id: answer.session_id,
            mac_key: MacKey::from_bytes(mac_key.expose())?,
            counter: AtomicU64::new(1),
            expires: answer.expires_at,
            number: self
                .started
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1),
            recoveries: answer.recoveries,
        })
    }
}

/// Whether a fresh session is the remedy.
fn ended(error: &ClientError) -> bool {
    error.is_refusal("session_expired") || error.is_refusal("session_unknown")
}

/// Whether the server signed this answer to the request that bore `nonce`.
fn is_genuine(server: &PublicKey, nonce: &str, answer: &SessionAnswer, mac_key: &[u8]) -> bool {
    let signed = FieldTuple::new("procura.session.answer.v1")
        .text(nonce)
        .text(&answer.session_id)
        .bytes(mac_key)
        .u64(answer.expires_at.as_millis());
    server.verify(signed.as_bytes(), &answer.server_signature)
}
