//! An identity provider that says whatever it is told to, and whom it signs in.

use crate::account_world::home;
use crate::world::{Actor, Failure, World, label, p256, perform};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_identity::IdentityError;
use procura_identity::account::{OidcLink, OidcListing, OidcUnlink};
use procura_identity::oidc::{
    Again, Answer, Answered, Flow, OidcClient, OidcRefusal, OidcUse, ProvenIdentity,
};
use procura_identity::web_login::{FoundLogin, NewWebLogin, WebLoginStart, WebLoginTerms};
use procura_policy::DenyReason;
use procura_proof::{Authenticated, Caller};
use procura_token::ProviderKeys;
use procura_types::encoding::b64url;
use procura_types::wire::{OperatorIdentity, RoleAssignment};
use procura_types::{Duration, IdentityId, Label, Secret, WebLoginId};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://login.example";
const CLIENT: &str = "procura";

/// A provider that says whatever it is told to.
pub(crate) struct Provider {
    key: SigningKey,
    name: Label,
}

impl Provider {
    pub(crate) fn new() -> Self {
        Self {
            key: p256(),
            name: label("work"),
        }
    }

    pub(crate) fn client(&self) -> OidcClient<'_> {
        OidcClient {
            provider: &self.name,
            issuer: ISSUER,
            client_id: CLIENT,
        }
    }

    pub(crate) fn begin(&self, world: &World, again: Option<Again>) -> Flow {
        Flow::begin(
            self.client(),
            again,
            "/requests",
            world.now(),
            &SystemEntropy,
        )
        .unwrap()
    }

    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| b64url(value.to_string().as_bytes());
        let header = json!({"alg": "ES256", "kid": "k1"});
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64url(&signature))
    }

    fn keys(&self) -> ProviderKeys {
        let mut jwk = serde_json::to_value(self.key.public().to_jwk()).unwrap();
        jwk["kid"] = json!("k1");
        ProviderKeys::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap()
    }

    /// What it says of `subject` in answer to a flow, with what is particular.
    pub(crate) fn answers(
        &self,
        world: &World,
        flow: Flow,
        subject: &str,
        more: Value,
    ) -> Result<Answered, OidcRefusal> {
        let now = world.now();
        let mut claims = json!({
            "iss": ISSUER, "sub": subject, "aud": CLIENT, "nonce": flow.nonce(),
            "iat": now.as_secs(), "exp": now.as_secs() + 60,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let access_token = Secret::new("access".to_owned());
        let answer = Answer {
            id_token: &self.token(&claims),
            access_token: &access_token,
            keys: &self.keys(),
            groups_claim: Some("groups"),
            max_age: Duration::from_secs(12 * 60 * 60),
        };
        flow.answered(&answer, now)
    }

    pub(crate) fn signs_in(&self, world: &World, subject: &str) -> Answered {
        let flow = self.begin(world, None);
        self.answers(world, flow, subject, json!({})).unwrap()
    }

    /// A subject as somebody else can be told of it.
    pub(crate) fn proven(&self, world: &World, subject: &str) -> ProvenIdentity {
        self.signs_in(world, subject).proven().clone()
    }
}

impl World {
    pub(crate) async fn link_identity(
        &self,
        by: &Actor,
        name: &str,
        proven: ProvenIdentity,
    ) -> Result<OperatorIdentity, Failure> {
        let op = OidcLink::resolve(&self.snapshot(), &label(name), proven).unwrap();
        self.act(by, op, |batch| OidcLink::run(batch, self.now()))
            .await
    }

    pub(crate) async fn unlink(
        &self,
        by: &Actor,
        name: &str,
        id: IdentityId,
    ) -> Result<(), Failure> {
        let op = OidcUnlink::resolve(&self.snapshot(), &label(name), id).unwrap();
        self.act(by, op, OidcUnlink::run).await
    }

    pub(crate) fn identities(
        &self,
        by: &Actor,
        name: &str,
    ) -> Result<Vec<OperatorIdentity>, DenyReason> {
        let op = OidcListing::resolve(&self.snapshot(), &label(name)).unwrap();
        let permit = self.permit(by, op)?;
        let list = OidcListing::run(&permit, self.recorder.store()).unwrap();
        Ok(list.identities)
    }

    pub(crate) async fn used(
        &self,
        answered: Answered,
        lent: &[RoleAssignment],
    ) -> Result<Authenticated, IdentityError> {
        let snapshot = self.snapshot();
        let store = self.recorder.store();
        let op = OidcUse::check((store, &snapshot), answered, lent.to_vec())?;
        let caller = op.caller(&snapshot, self.now(), home());
        let used = perform(&self.recorder, caller, op, |batch| {
            OidcUse::run(batch, self.now())
        });
        used.await.map_err(Failure::domain)
    }

    pub(crate) async fn start(
        &self,
        person: &Authenticated,
        replaces: Option<WebLoginId>,
    ) -> Result<NewWebLogin, Failure> {
        let snapshot = self.snapshot();
        let op = WebLoginStart::vouched(person, &snapshot, replaces).unwrap();
        let caller = Caller::signing_in(person, &snapshot, self.now(), home());
        perform(&self.recorder, caller, op, |batch| {
            let terms = WebLoginTerms::default();
            WebLoginStart::run(batch, &terms, self.now(), &SystemEntropy)
        })
        .await
    }

    pub(crate) fn found(&self, login: &NewWebLogin) -> Option<FoundLogin> {
        FoundLogin::of(self.recorder.store(), &login.cookie.digest()).unwrap()
    }
}

pub(crate) fn refusal<T>(found: Result<T, IdentityError>) -> OidcRefusal {
    match found {
        Ok(_) => panic!("it was accepted"),
        Err(IdentityError::Oidc(refusal)) => refusal,
        Err(other) => panic!("another error: {other}"),
    }
}

/// What differs from this in one thing: the name of the provider, its issuer, the client.
pub(crate) fn others<'a>(own: OidcClient<'a>, home: &'a Label) -> [OidcClient<'a>; 3] {
    [
        OidcClient {
            provider: home,
            ..own
        },
        OidcClient {
            issuer: "https://evil.example",
            ..own
        },
        OidcClient {
            client_id: "other",
            ..own
        },
    ]
}
