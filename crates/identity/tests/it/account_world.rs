//! People who sign in, and what they sign in with.

use crate::world::{Actor, Failure, World, label, perform};
use procura_crypto::{PasswordHash, SystemEntropy, TotpSecret, totp_step};
use procura_identity::account::{
    Block, OperatorPassword, OperatorRecoveryCodes, OperatorTotp, OperatorTotpConfirm,
    RightPassword, SignInError, SignInPassed, SignInRefusal, SignInTry,
};
use procura_identity::web_login::{NewWebLogin, WebLoginStart, WebLoginTerms};
use procura_identity::{IssuedCode, OperatorLink};
use procura_proof::Caller;
use procura_types::{Duration, Secret};
use std::net::IpAddr;
use std::sync::OnceLock;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const OTHER: &str = "staple correct horse";
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// Hashes are slow: one for all tests.
pub(crate) fn hash() -> &'static PasswordHash {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    HASH.get_or_init(|| PasswordHash::new(PASSWORD, &SystemEntropy).unwrap())
}

fn nobodys() -> &'static PasswordHash {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    HASH.get_or_init(|| PasswordHash::of_nobody(&SystemEntropy).unwrap())
}

pub(crate) fn home() -> Option<IpAddr> {
    Some("192.0.2.1".parse().unwrap())
}

/// An authenticator app.
pub(crate) struct App(TotpSecret);

impl App {
    /// The code that it shows now.
    pub(crate) fn code(&self, world: &World) -> Secret<String> {
        self.0.code(totp_step(world.now()))
    }
}

impl World {
    pub(crate) async fn set_password(&self, who: &Actor, name: &str) -> Result<(), Failure> {
        let op = OperatorPassword::resolve(&self.snapshot(), &label(name)).unwrap();
        self.act(who, op, |batch| {
            OperatorPassword::run(batch, hash(), self.now())
        })
        .await
    }

    /// A code for another device of an operator, made by them.
    pub(crate) async fn link(&self, name: &str, who: &Actor) -> IssuedCode {
        let op = OperatorLink::resolve(&self.snapshot(), &label(name)).unwrap();
        let code = self.act(who, op, |batch| {
            OperatorLink::run(batch, self.now(), &SystemEntropy)
        });
        code.await.ok().unwrap()
    }

    pub(crate) async fn begin_app(&self, who: &Actor, name: &str) -> Result<App, Failure> {
        let op = OperatorTotp::resolve(&self.snapshot(), &label(name)).unwrap();
        let made = self
            .act(who, op, |batch| {
                OperatorTotp::run(batch, self.now(), &SystemEntropy)
            })
            .await?;
        let secret = TotpSecret::from_base32(made.secret.expose()).unwrap();
        assert_eq!(
            *made.uri.expose(),
            format!(
                "otpauth://totp/Procura:{name}?secret={}&issuer=Procura",
                made.secret.expose()
            )
        );
        Ok(App(secret))
    }

    pub(crate) async fn confirm_app(
        &self,
        who: &Actor,
        name: &str,
        code: &str,
    ) -> Result<(), Failure> {
        let op = OperatorTotpConfirm::resolve(&self.snapshot(), &label(name)).unwrap();
        self.act(who, op, |batch| {
            OperatorTotpConfirm::run(batch, code, self.now())
        })
        .await
    }

    pub(crate) async fn recovery_codes(&self, who: &Actor, name: &str) -> Vec<Secret<String>> {
        let op = OperatorRecoveryCodes::resolve(&self.snapshot(), &label(name)).unwrap();
        let made = self.act(who, op, |batch| {
            OperatorRecoveryCodes::run(batch, &SystemEntropy)
        });
        made.await.unwrap().codes
    }

    /// Password and app, and time goes on by a step, so that the app shows a code that is
    /// not used.
    pub(crate) async fn account(&self, who: &Actor, name: &str) -> App {
        self.set_password(who, name).await.unwrap();
        let app = self.begin_app(who, name).await.unwrap();
        let code = app.code(self);
        self.confirm_app(who, name, code.expose()).await.unwrap();
        self.pass(STEP);
        app
    }

    pub(crate) fn try_from(&self, name: &str, from: Option<IpAddr>) -> SignInTry {
        let store = self.recorder.store();
        let place = Block::of(from);
        SignInTry::of(store, &self.snapshot(), name, &place, self.now()).unwrap()
    }

    pub(crate) fn verify(
        &self,
        name: &str,
        password: &str,
        code: &str,
    ) -> Result<SignInPassed, SignInRefusal> {
        let tried = self.try_from(name, home());
        match tried.verify(name, (password, code), nobodys(), self.now()) {
            Ok(passed) => Ok(passed),
            Err(SignInError::Refused(refusal) | SignInError::HalfRight(refusal, _)) => Err(refusal),
            Err(SignInError::Failed(error)) => panic!("{error}"),
        }
    }

    /// Why a try is refused, and whose password was right all the same.
    pub(crate) fn half_right(
        &self,
        name: &str,
        password: &str,
        code: &str,
    ) -> (SignInRefusal, Option<RightPassword>) {
        let tried = self.try_from(name, home());
        match tried.verify(name, (password, code), nobodys(), self.now()) {
            Ok(_) => panic!("{name} is let in"),
            Err(SignInError::Refused(refusal)) => (refusal, None),
            Err(SignInError::HalfRight(refusal, right)) => (refusal, Some(right)),
            Err(SignInError::Failed(error)) => panic!("{error}"),
        }
    }

    /// Makes the web login of somebody who was verified.
    pub(crate) async fn begin(&self, passed: &SignInPassed) -> Result<NewWebLogin, Failure> {
        let op = WebLoginStart::by_password(passed, None);
        let snapshot = self.snapshot();
        let caller = Caller::signing_in(passed.person(), &snapshot, self.now(), home());
        perform(&self.recorder, caller, op, |batch| {
            let terms = WebLoginTerms::default();
            WebLoginStart::run(batch, &terms, self.now(), &SystemEntropy)
        })
        .await
    }

    pub(crate) async fn sign_in(&self, name: &str, app: &App) -> NewWebLogin {
        let code = app.code(self);
        let passed = self.verify(name, PASSWORD, code.expose()).ok().unwrap();
        self.begin(&passed).await.ok().unwrap()
    }
}
