//! How a browser enrols a passkey: by a code that was made in a strong moment.

use super::{
    Attempt, PUBLIC_KEY, REQUIRED, challenge, described, own_options, relying_party, shown, timeout,
};
use crate::app::App;
use crate::opening::session_keys;
use crate::problem::{Code, Failure};
use crate::serve::{Context, permitted};
use procura_identity::IssuedCode;
use procura_identity::passkey::{
    Ceremony, NewPasskey, PasskeyEnrol, PasskeyInvite, enrolling, parse_code, written_code,
};
use procura_policy::{Action, Resource};
use procura_proof::{Caller, Profile};
use procura_types::encoding;
use procura_types::wire::{
    AuthenticatorSelection, CreationOptions, CredentialParameter, Passkey, PasskeyAnswer,
    PasskeyCode, PasskeyCreation, PasskeyEnrol as Enrol, PasskeyEnrolStart, PasskeyRequest,
    RelyingPartyEntity, UserEntity,
};

/// What people see as the site's name.
const SITE: &str = "Procura";
/// ES256 (RFC 9053 §2.1).
const ES256: i32 = -7;
/// The page that takes the code.
pub(crate) const ENROL_PAGE: &str = "/passkey/enrol";

const ENROLLING: Attempt = Attempt {
    action: Action::OperatorPasskeyEnrol,
    profile: Profile::Join,
    of: None,
    about: None,
};

/// What a passkey of the caller's is asked with before a code for one more is made.
pub(crate) fn invite_options(
    context: &Context<'_>,
    caller: &Caller,
) -> Result<PasskeyRequest, Failure> {
    own_options(context, caller, Ceremony::Invite)
}

/// Makes a code for one more passkey of the caller, by what one of theirs answered.
pub(crate) async fn invite(
    context: &Context<'_>,
    caller: Caller,
    answer: Option<PasskeyAnswer>,
) -> Result<PasskeyCode, Failure> {
    let Context { app, open, input } = *context;
    relying_party(app)?;
    let snapshot = open.directory.snapshot();
    let name = snapshot.actor(caller.actor()).map(|actor| actor.label());
    let op = name
        .and_then(|name| PasskeyInvite::resolve(&snapshot, name))
        .ok_or_else(|| {
            Failure::new(Code::Unauthorized, "The operator is revoked.").with_reason("revoked")
        })?;
    let by = Attempt {
        action: Action::OperatorPasskeyInvite,
        profile: caller.profile(),
        of: Some(*caller.actor()),
        about: name.map(|name| Resource::Operator(name.clone())),
    };
    let op = match shown(context, (&caller, &by), Ceremony::Invite, answer)? {
        Some(shown) => op.showing(shown),
        None => op,
    };
    let permit = permitted(context, &snapshot, caller, op)?;
    let entropy = app.entropy.as_ref();
    let issued = context
        .change(permit, |batch| {
            PasskeyInvite::run(batch, input.now, entropy)
        })
        .await
        .map_err(|error| by.failed(context, error))?;
    Ok(self::issued(app, &issued))
}

/// A code that was just made, as it is shown once, and the page that takes it.
pub(crate) fn issued(app: &App, code: &IssuedCode) -> PasskeyCode {
    PasskeyCode {
        code: written_code(&code.code).expose().clone(),
        expires: code.expires,
        page: format!("{}{ENROL_PAGE}", app.web_origin()),
    }
}

/// What a browser makes a passkey by, for whoever the code is for.
pub(crate) fn enrol_options(
    context: &Context<'_>,
    ask: &PasskeyEnrolStart,
) -> Result<PasskeyCreation, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let directory = open.directory.snapshot();
    let store = open.vault.store();
    let found = parse_code(&ask.code)
        .and_then(|code| Ok((code, enrolling(store, &directory, &code, input.now)?)));
    let (code, operator) = found.map_err(|error| ENROLLING.refused(context, error))?;
    let issued = challenge(context, &Ceremony::Enrol(code))?;
    let own = directory.passkeys_of(&operator.id);
    let name = operator.label().clone();
    Ok(PasskeyCreation {
        public_key: CreationOptions {
            rp: RelyingPartyEntity {
                id: party.id().to_owned(),
                name: SITE.to_owned(),
            },
            user: UserEntity {
                id: operator.id.as_bytes().to_vec(),
                name: name.clone(),
                display_name: name.clone(),
            },
            challenge: encoding::b64url(&issued.challenge),
            pub_key_cred_params: vec![CredentialParameter {
                kind: PUBLIC_KEY.to_owned(),
                alg: ES256,
            }],
            timeout: timeout(),
            exclude_credentials: own
                .filter(|found| found.removed.is_none())
                .map(|found| described(found))
                .collect(),
            authenticator_selection: AuthenticatorSelection {
                resident_key: "preferred".to_owned(),
                require_resident_key: false,
                user_verification: REQUIRED.to_owned(),
            },
            attestation: "none".to_owned(),
        },
        state: issued.state,
        operator: name,
    })
}

/// Enrols the passkey that a browser made.
pub(crate) async fn enrol(context: &Context<'_>, answer: Enrol) -> Result<Passkey, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let snapshot = open.directory.snapshot();
    let keys = session_keys(&open.vault);
    let Enrol {
        code,
        name,
        state,
        credential,
    } = answer;
    let checked = parse_code(&code).and_then(|code| {
        PasskeyEnrol::check(
            (open.vault.store(), &snapshot, keys.as_ref()),
            &party,
            &code,
            (&state, NewPasskey { name, credential }),
            input.now,
        )
    });
    let op = checked.map_err(|error| ENROLLING.refused(context, error))?;
    let caller = op.caller(&snapshot, input.now, input.peer);
    let permit = permitted(context, &snapshot, caller, op)?;
    context
        .change(permit, |batch| PasskeyEnrol::run(batch, input.now))
        .await
        .map_err(|error| ENROLLING.failed(context, error))
}
