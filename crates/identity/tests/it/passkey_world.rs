//! Passkeys in a world: how a browser with a software authenticator enrols and uses them.

use crate::account_world::home;
use crate::world::{Actor, Failure, World, label, perform};
use procura_crypto::webauthn::{Answered, Made, RelyingParty, SoftwarePasskey};
use procura_crypto::{SystemEntropy, sha256};
use procura_identity::passkey::{
    Ceremony, IssuedChallenge, NewPasskey, PasskeyAnswer, PasskeyEnrol, PasskeyInvite,
    PasskeyRemove, PasskeyUse, ShownPasskey, issue,
};
use procura_identity::web_login::{FoundLogin, NewWebLogin, WebLoginStart, WebLoginTerms};
use procura_identity::{IdentityError, IssuedCode};
use procura_proof::{Authenticated, Caller, Case, SessionKeys, WebLoginCookie};
use procura_types::wire::{
    AssertedCredential, AssertionResponse, AttestationResponse, NewCredential, Passkey,
};
use procura_types::{Secret, Thumbprint};

pub(crate) const ORIGIN: &str = "https://procura.example";
pub(crate) const SITE: &str = "procura.example";

/// The session root of this epoch, and of no other.
pub(crate) struct Roots(pub(crate) u32);

impl SessionKeys for Roots {
    fn accepts(&self, epoch: u32) -> bool {
        epoch == self.0
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        let key = sha256(format!("{epoch} {audience}").as_bytes());
        self.accepts(epoch).then(|| Secret::new(key))
    }
    fn current(&self) -> Option<u32> {
        Some(self.0)
    }
}

pub(crate) const KEYS: Roots = Roots(1);

pub(crate) fn party() -> RelyingParty {
    RelyingParty::of_origin(ORIGIN).unwrap()
}

pub(crate) fn software() -> SoftwarePasskey {
    SoftwarePasskey::generate(ORIGIN, SITE, &SystemEntropy).unwrap()
}

/// What a browser sends of a new passkey.
pub(crate) fn new_credential(passkey: &SoftwarePasskey, made: Made) -> NewPasskey {
    NewPasskey {
        name: "Key ring".parse().unwrap(),
        credential: NewCredential {
            id: passkey.credential_id.clone(),
            kind: "public-key".to_owned(),
            response: AttestationResponse {
                client_data: made.client_data,
                attestation_object: made.attestation_object,
                transports: ["usb", "nfc", "<b>", "usb"].map(str::to_owned).to_vec(),
            },
        },
    }
}

/// What a browser sends of an assertion.
pub(crate) fn asserted(passkey: &SoftwarePasskey, answered: Answered) -> AssertedCredential {
    AssertedCredential {
        id: passkey.credential_id.clone(),
        kind: "public-key".to_owned(),
        response: AssertionResponse {
            client_data: answered.client_data,
            authenticator_data: answered.authenticator_data,
            signature: answered.signature,
            user_handle: None,
        },
    }
}

impl World {
    pub(crate) fn challenge(&self, ceremony: &Ceremony) -> IssuedChallenge {
        issue(&KEYS, ceremony, self.now(), &SystemEntropy).unwrap()
    }

    /// A code for a passkey, by a device.
    pub(crate) async fn passkey_code(&self, by: &Actor, name: &str) -> Result<IssuedCode, Failure> {
        let op = PasskeyInvite::resolve(&self.snapshot(), &label(name)).unwrap();
        self.act(by, op, |batch| {
            PasskeyInvite::run(batch, self.now(), &SystemEntropy)
        })
        .await
    }

    /// Enrols what a browser brought.
    pub(crate) async fn enrol(
        &self,
        code: &[u8; 32],
        state: &str,
        new: NewPasskey,
    ) -> Result<Passkey, IdentityError> {
        let snapshot = self.snapshot();
        let places = (self.recorder.store(), &*snapshot, &KEYS as &dyn SessionKeys);
        let op = PasskeyEnrol::check(places, &party(), code, (state, new), self.now())?;
        let caller = op.caller(&snapshot, self.now(), home());
        let enrolled = perform(&self.recorder, caller, op, |batch| {
            PasskeyEnrol::run(batch, self.now())
        });
        enrolled.await.map_err(Failure::domain)
    }

    /// A passkey of this operator's, from the code on.
    pub(crate) async fn passkey(&self, of: &Actor, name: &str) -> SoftwarePasskey {
        let code = self.passkey_code(of, name).await.unwrap();
        let passkey = software();
        let enrolled = self.enrols(&sha256(code.code.expose()), &passkey).await;
        enrolled.unwrap();
        passkey
    }

    /// Enrols this passkey by a code, of which this is the SHA-256.
    pub(crate) async fn enrols(
        &self,
        code: &[u8; 32],
        passkey: &SoftwarePasskey,
    ) -> Result<Passkey, IdentityError> {
        let issued = self.challenge(&Ceremony::Enrol(*code));
        let new = new_credential(passkey, passkey.make(&issued.challenge));
        self.enrol(code, &issued.state, new).await
    }

    /// Proves with what a passkey answered who is there.
    pub(crate) async fn prove(
        &self,
        ceremony: &Ceremony,
        state: &str,
        credential: AssertedCredential,
    ) -> Result<Authenticated, IdentityError> {
        let snapshot = self.snapshot();
        let answer = PasskeyAnswer::from(credential);
        let op = PasskeyUse::check(
            (&snapshot, &KEYS),
            &party(),
            ceremony,
            (state, &answer),
            self.now(),
        )?;
        let caller = op.caller(&snapshot, self.now(), home());
        let used = perform(&self.recorder, caller, op, |batch| {
            PasskeyUse::run(batch, self.now())
        });
        used.await.map_err(Failure::domain)
    }

    /// Who is there, by what this passkey answers for a sign-in.
    pub(crate) async fn proven_by(
        &self,
        passkey: &mut SoftwarePasskey,
    ) -> Result<Authenticated, IdentityError> {
        let issued = self.challenge(&Ceremony::SignIn);
        let answered = passkey.answer(&issued.challenge).unwrap();
        let credential = asserted(passkey, answered);
        self.prove(&Ceremony::SignIn, &issued.state, credential)
            .await
    }

    /// Signs in by a passkey.
    pub(crate) async fn sign_in_by(&self, passkey: &mut SoftwarePasskey) -> NewWebLogin {
        let person = self.proven_by(passkey).await.unwrap();
        let snapshot = self.snapshot();
        let op = WebLoginStart::vouched(&person, &snapshot, None).unwrap();
        let caller = Caller::signing_in(&person, &snapshot, self.now(), home());
        let made = perform(&self.recorder, caller, op, |batch| {
            let terms = WebLoginTerms::default();
            WebLoginStart::run(batch, &terms, self.now(), &SystemEntropy)
        });
        made.await.ok().unwrap()
    }

    /// Who a cookie makes, or why nobody.
    pub(crate) fn browser(&self, cookie: &WebLoginCookie) -> Result<Caller, Case> {
        let found = FoundLogin::of(self.recorder.store(), &cookie.digest()).unwrap();
        let kept = found.as_ref().map(FoundLogin::kept);
        Caller::web_login(cookie, kept.as_ref(), &self.snapshot(), self.now(), home())
            .map_err(|refusal| refusal.case)
    }

    /// The mark of a web login, which its ceremonies are bound to.
    pub(crate) fn mark(&self, cookie: &WebLoginCookie) -> [u8; 16] {
        *self.browser(cookie).unwrap().session().unwrap()
    }

    /// What this passkey answers in a browser for just this.
    pub(crate) fn answered(
        &self,
        ceremony: Ceremony,
        passkey: &mut SoftwarePasskey,
    ) -> Result<ShownPasskey, IdentityError> {
        let issued = self.challenge(&ceremony);
        let answered = passkey.answer(&issued.challenge).unwrap();
        let answer = PasskeyAnswer::from(asserted(passkey, answered));
        let brought = (issued.state.as_str(), answer);
        ShownPasskey::check(&KEYS, party(), ceremony, brought, self.now())
    }

    /// A code for one more passkey, in a web login and with what was shown for it.
    pub(crate) async fn invited(
        &self,
        login: &NewWebLogin,
        name: &str,
        shown: Option<ShownPasskey>,
    ) -> Result<IssuedCode, Failure> {
        let op = PasskeyInvite::resolve(&self.snapshot(), &label(name)).unwrap();
        let op = match shown {
            Some(shown) => op.showing(shown),
            None => op,
        };
        let caller = self.browser(&login.cookie).unwrap();
        perform(&self.recorder, caller, op, |batch| {
            PasskeyInvite::run(batch, self.now(), &SystemEntropy)
        })
        .await
    }

    /// Removes a passkey in a web login, with what was shown for it.
    pub(crate) async fn removed_by(
        &self,
        login: &NewWebLogin,
        id: &Thumbprint,
        shown: Option<ShownPasskey>,
    ) -> Result<(), Failure> {
        let op = PasskeyRemove::resolve(&self.snapshot(), id).unwrap();
        let op = match shown {
            Some(shown) => op.showing(shown),
            None => op,
        };
        let caller = self.browser(&login.cookie).unwrap();
        perform(&self.recorder, caller, op, |batch| {
            PasskeyRemove::run(batch, self.now())
        })
        .await
    }

    pub(crate) async fn remove_passkey(&self, by: &Actor, id: &Thumbprint) -> Result<(), Failure> {
        let op = PasskeyRemove::resolve(&self.snapshot(), id).unwrap();
        self.act(by, op, |batch| PasskeyRemove::run(batch, self.now()))
            .await
    }
}
