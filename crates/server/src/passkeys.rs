//! Passkeys in a browser (ADR 36): what the script of a page asks an authenticator, and
//! what becomes of its answer. The pages call this, after they saw that it is one of them
//! who asks; what is refused stands in the record.

mod approving;
mod devices;
mod enrolling;
mod proposing;
mod removing;

pub(crate) use approving::{approval_options, approve};
pub(crate) use devices::{approve_device, device_options};
pub(crate) use enrolling::{enrol, enrol_options, invite, invite_options, issued};
pub(crate) use proposing::{proposal_options, sign_proposal};
pub(crate) use removing::{remove, remove_options};

use crate::app::App;
use crate::opening::session_keys;
use crate::problem::{Code, Failure};
use crate::serve::{Context, permitted};
use crate::web_login::{Started, start};
use procura_crypto::webauthn::RelyingParty;
use procura_directory::PasskeyRecord;
use procura_identity::IdentityError;
use procura_identity::passkey::{
    CHALLENGE_LIFE, Ceremony, IssuedChallenge, PasskeyAnswer, PasskeyUse, ShownPasskey, issue,
};
use procura_policy::{Action, Resource};
use procura_proof::{Caller, Profile};
use procura_record::{ChangeError, Refusal};
use procura_types::wire::{
    CredentialDescriptor, PasskeyAnswer as Answer, PasskeyRequest, RequestOptions,
};
use procura_types::{ActorId, Amr, encoding};

/// The kind of credential that passkeys are.
const PUBLIC_KEY: &str = "public-key";
/// What every authenticator has to do: make sure who touches it.
const REQUIRED: &str = "required";

/// The site that passkeys answer for.
///
/// # Errors
/// Where the pages have no name, passkeys cannot be.
pub(crate) fn relying_party(app: &App) -> Result<RelyingParty, Failure> {
    RelyingParty::of_origin(&app.web_origin()).map_err(|error| {
        Failure::new(
            Code::Conflict,
            "Passkeys are bound to a name, and the pages have none: say `origin` in the section [web], such as https://procura.example.",
        )
        .with_reason("no_relying_party")
        .because(error)
    })
}

/// A challenge for this ceremony.
fn challenge(context: &Context<'_>, ceremony: &Ceremony) -> Result<IssuedChallenge, Failure> {
    let keys = session_keys(&context.open.vault);
    let entropy = context.app.entropy.as_ref();
    Ok(issue(keys.as_ref(), ceremony, context.input.now, entropy)?)
}

/// For how long a browser asks, in milliseconds.
fn timeout() -> u64 {
    CHALLENGE_LIFE.as_secs().saturating_mul(1000)
}

/// What a passkey is asked with.
fn request_options(
    party: &RelyingParty,
    challenge: &[u8; 32],
    allowed: Vec<CredentialDescriptor>,
) -> RequestOptions {
    RequestOptions {
        challenge: encoding::b64url(challenge),
        timeout: timeout(),
        rp_id: party.id().to_owned(),
        allow_credentials: allowed,
        user_verification: REQUIRED.to_owned(),
    }
}

/// A passkey, for a browser that looks for it.
fn described(passkey: &PasskeyRecord) -> CredentialDescriptor {
    CredentialDescriptor {
        kind: PUBLIC_KEY.to_owned(),
        id: passkey.credential_id.clone(),
        transports: passkey.transports.clone(),
    }
}

/// The passkeys of a person that may act and answer for this site.
fn standing(
    context: &Context<'_>,
    party: &RelyingParty,
    of: &ActorId,
) -> Vec<CredentialDescriptor> {
    let directory = context.open.directory.snapshot();
    directory
        .passkeys_of(of)
        .filter(|found| found.relying_party == party.id() && directory.passkey_may_act(&found.id))
        .map(|found| described(found))
        .collect()
}

/// What a passkey is asked with when somebody signs in, whoever it is.
pub(crate) fn sign_in_options(context: &Context<'_>) -> Result<PasskeyRequest, Failure> {
    let party = relying_party(context.app)?;
    let issued = challenge(context, &Ceremony::SignIn)?;
    Ok(PasskeyRequest {
        public_key: request_options(&party, &issued.challenge, Vec::new()),
        state: issued.state,
    })
}

/// Signs in whoever's passkey answered.
pub(crate) async fn sign_in(context: &Context<'_>, answer: Answer) -> Result<Started, Failure> {
    proven(context, Ceremony::SignIn, answer, None).await
}

/// A ceremony of the caller's web login.
fn of_login(
    caller: &Caller,
    ceremony: impl FnOnce([u8; 16]) -> Ceremony,
) -> Result<Ceremony, Failure> {
    match (caller.profile(), caller.session()) {
        (Profile::WebLogin(_), Some(login)) => Ok(ceremony(*login)),
        _ => Err(Failure::new(
            Code::Unauthorized,
            "Only somebody who signed in in a browser shows a passkey there once more.",
        )),
    }
}

/// What a passkey of the caller's is asked with when they prove once more who they are.
pub(crate) fn reauthenticate_options(
    context: &Context<'_>,
    caller: &Caller,
) -> Result<PasskeyRequest, Failure> {
    own_options(context, caller, Ceremony::Again)
}

/// What a passkey of the caller's is asked with for something of their web login.
fn own_options(
    context: &Context<'_>,
    caller: &Caller,
    ceremony: impl FnOnce([u8; 16]) -> Ceremony,
) -> Result<PasskeyRequest, Failure> {
    let party = relying_party(context.app)?;
    let issued = challenge(context, &of_login(caller, ceremony)?)?;
    let own = standing(context, &party, caller.actor());
    if own.is_empty() {
        return Err(no_passkey());
    }
    Ok(PasskeyRequest {
        public_key: request_options(&party, &issued.challenge, own),
        state: issued.state,
    })
}

/// Begins another web login in place of the caller's, by a passkey of theirs.
pub(crate) async fn reauthenticate(
    context: &Context<'_>,
    caller: Caller,
    answer: Answer,
) -> Result<Started, Failure> {
    let ceremony = of_login(&caller, Ceremony::Again)?;
    proven(context, ceremony, answer, Some(*caller.actor())).await
}

/// What a passkey of the caller's answered for something of their web login, as far as the
/// page brought an answer; without one what it is for is refused in its commit.
fn shown(
    context: &Context<'_>,
    (caller, by): (&Caller, &Attempt),
    ceremony: impl FnOnce([u8; 16]) -> Ceremony,
    answer: Option<Answer>,
) -> Result<Option<ShownPasskey>, Failure> {
    let Some(Answer { state, credential }) = answer else {
        return Ok(None);
    };
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let ceremony = of_login(caller, ceremony)?;
    let keys = session_keys(&open.vault);
    let brought = (state.as_str(), PasskeyAnswer::from(credential));
    let found = ShownPasskey::check(keys.as_ref(), party, ceremony, brought, input.now);
    found.map(Some).map_err(|error| by.refused(context, error))
}

fn no_passkey() -> Failure {
    Failure::new(
        Code::Conflict,
        "You have no passkey that answers for this site; `procura operator passkey invite NAME` makes a code for one.",
    )
    .with_reason("no_passkey")
}

/// Checks the answer to a challenge of ours, and begins the web login of whose passkey it
/// is.
async fn proven(
    context: &Context<'_>,
    ceremony: Ceremony,
    answer: Answer,
    only: Option<ActorId>,
) -> Result<Started, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let snapshot = open.directory.snapshot();
    let keys = session_keys(&open.vault);
    let brought = PasskeyAnswer::from(answer.credential);
    let by = Attempt {
        action: Action::OperatorPasskeyUse,
        profile: Profile::SigningIn(Amr::Passkey),
        of: only,
        about: None,
    };
    let op = PasskeyUse::check(
        (&snapshot, keys.as_ref()),
        &party,
        &ceremony,
        (&answer.state, &brought),
        input.now,
    )
    .and_then(|op| match only {
        Some(only) => op.only_of(&only),
        None => Ok(op),
    })
    .map_err(|error| by.refused(context, error))?;
    let caller = op.caller(&snapshot, input.now, input.peer);
    let permit = permitted(context, &snapshot, caller, op)?;
    let now = input.now;
    let person = context
        .change(permit, |batch| PasskeyUse::run(batch, now))
        .await
        .map_err(|error| by.failed(context, error))?;
    start(context, &person).await
}

/// What somebody tried with a passkey, for the record.
struct Attempt {
    action: Action,
    profile: Profile,
    /// Who, where it is known before the passkey says it.
    of: Option<ActorId>,
    /// On what, besides the passkey.
    about: Option<Resource>,
}

impl Attempt {
    /// Records why a passkey was not accepted, and gives it.
    fn refused(&self, context: &Context<'_>, error: IdentityError) -> Failure {
        let input = context.input;
        let (reason, of) = match &error {
            IdentityError::Passkey(refused) => (refused.refusal.as_str(), refused.of),
            IdentityError::Join(refusal) => (refusal.as_str(), None),
            _ => return error.into(),
        };
        let actor = self.of.or(of.map(|(_, actor)| actor));
        let about = self.about.as_ref().map(ToString::to_string);
        let passkey = of.map(|(passkey, _)| Resource::Passkey(passkey).to_string());
        let words: Vec<String> = about.into_iter().chain(passkey).collect();
        context.open.recorder.refuse(Refusal {
            actor,
            // Only owners have passkeys, and an owner is its own owner.
            owner: actor,
            namespace: self.about.as_ref().and_then(Resource::namespace).cloned(),
            resource: (!words.is_empty()).then(|| words.join(" ")),
            ip: input.peer,
            ..Refusal::of_nobody(
                self.action.as_str(),
                reason,
                input.now,
                self.profile.as_str(),
                input.trace,
            )
        });
        error.into()
    }

    /// The same of a change that was not made.
    fn failed(&self, context: &Context<'_>, error: ChangeError<IdentityError>) -> Failure {
        match error {
            ChangeError::Domain(error) => self.refused(context, error),
            ChangeError::Record(error) => error.into(),
        }
    }
}
