//! Web logins: who is let in by a cookie, and who is about to get one.

use crate::fixture::{AGENT, NOW, OWNER, PEER, World, owner};
use procura_directory::{Change, PasskeyRecord};
use procura_proof::{
    Authenticated, Caller, Case, KeptLogin, Profile, Provided, Refusal, WebLoginCookie,
};
use procura_types::wire::RoleAssignment;
use procura_types::{Amr, Duration, IdentityId, Role, Timestamp, WebLoginId};

const HOUR: Duration = Duration::from_secs(3600);

fn cookie(world: &World) -> WebLoginCookie {
    WebLoginCookie::generate(&world.entropy).unwrap()
}

fn kept(cookie: &WebLoginCookie) -> KeptLogin {
    KeptLogin {
        id: WebLoginId::from_bytes([9; 16]),
        digest: cookie.digest(),
        actor: OWNER,
        amr: Amr::Password,
        passkey: None,
        lent: Vec::new(),
        authenticated: NOW.minus(HOUR),
        idle_until: NOW.plus(HOUR),
        until: NOW.plus(HOUR),
    }
}

/// A passkey of the owner, removed or not.
fn passkey(world: &mut World, removed: Option<Timestamp>) -> procura_types::Thumbprint {
    let key = world.p256.public().clone();
    let id = key.thumbprint();
    world.apply([Change::Passkey(PasskeyRecord {
        id,
        actor: OWNER,
        name: "Key ring".parse().unwrap(),
        key,
        credential_id: vec![1; 16],
        relying_party: "procura.example".to_owned(),
        transports: Vec::new(),
        backup_eligible: false,
        // The owner's device, which has the same key here.
        vouched_by: id,
        created: NOW,
        removed,
    })]);
    id
}

fn see(
    world: &World,
    cookie: &WebLoginCookie,
    kept: Option<&KeptLogin>,
) -> Result<Caller, Refusal> {
    Caller::web_login(cookie, kept, &world.directory, NOW, Some(PEER))
}

/// Provokes a case of these rows.
pub(crate) fn provoke(case: Case) -> Vec<Refusal> {
    let world = World::new();
    let cookie = cookie(&world);
    let good = kept(&cookie);
    let refused = |kept| see(&world, &cookie, kept).expect_err("it was let in");
    match case {
        Case::WebLoginForm => {
            let text = cookie.text();
            let text = text.expose();
            let mut forms = vec![String::new(), format!("{text}="), text[1..].to_owned()];
            forms.push(format!("+{}", &text[1..]));
            // The last symbol of 32 bytes has two bits that stand for nothing.
            forms.push(format!("{}_", &text[..42]));
            let read = |form: String| WebLoginCookie::read(&form).err().expect("it was read");
            forms.into_iter().map(read).collect()
        }
        Case::WebLoginUnknown => vec![
            refused(None),
            refused(Some(&KeptLogin {
                digest: [0; 32],
                ..good.clone()
            })),
            // Agents have none, whatever is kept.
            refused(Some(&KeptLogin {
                actor: AGENT,
                ..good.clone()
            })),
        ],
        Case::WebLoginOver => vec![
            refused(Some(&KeptLogin {
                until: NOW,
                ..good.clone()
            })),
            // Both ends are over: the one that nothing puts off is told.
            refused(Some(&KeptLogin {
                until: NOW,
                idle_until: NOW,
                ..good.clone()
            })),
        ],
        Case::PasskeyRemoved => {
            let mut world = World::new();
            let id = passkey(&mut world, None);
            let made_with = KeptLogin {
                passkey: Some(id),
                ..good.clone()
            };
            assert!(see(&world, &cookie, Some(&made_with)).is_ok());
            passkey(&mut world, Some(NOW));
            // One that never was is none to sign in with either.
            let unknown = KeptLogin {
                passkey: Some(procura_types::Thumbprint::from_bytes([7; 32])),
                ..good.clone()
            };
            [made_with, unknown]
                .iter()
                .map(|kept| see(&world, &cookie, Some(kept)).expect_err("it was let in"))
                .collect()
        }
        _ => vec![refused(Some(&KeptLogin {
            idle_until: NOW,
            ..good.clone()
        }))],
    }
}

#[test]
fn there_is_one_cookie_of_the_name_or_none() {
    let world = World::new();
    let cookie = cookie(&world);
    let text = cookie.text();
    let own = format!("procura-login={}", text.expose());
    let find = |lines: &[String]| {
        let lines = lines.iter().map(String::as_bytes);
        let found = WebLoginCookie::find(lines, "procura-login");
        found
            .map(|found| found.map(|found| found.digest()))
            .map_err(|refusal| refusal.case)
    };
    let line = |text: &str| [text.replace("OWN", &own)];
    let one = Ok(Some(cookie.digest()));
    for good in [
        "OWN",
        "  OWN  ",
        "theme=dark; OWN;x=é",
        // What others set beside it, a longer and a shorter name among it.
        "xprocura-login=1; OWN; procura-login2=1",
        "__Host-procura-login=1; OWN; procura-login",
    ] {
        assert_eq!(find(&line(good)), one, "{good}");
    }
    assert_eq!(find(&["theme=dark".to_owned(), own.clone()]), one);
    for none in [
        "",
        ";;",
        "procura-login",
        "Procura-Login=x; procura-login =x",
    ] {
        assert_eq!(find(&line(none)), Ok(None), "{none}");
    }
    assert_eq!(find(&[]), Ok(None));
    for two in [
        "OWN; OWN",
        "OWN; procura-login=",
        "procura-login=; OWN",
        "OWN=",
    ] {
        assert_eq!(find(&line(two)), Err(Case::WebLoginForm), "{two}");
    }
    assert_eq!(find(&[own.clone(), own]), Err(Case::WebLoginForm));
    let not_text = [&b"procura-login=\xff"[..]];
    let found = WebLoginCookie::find(not_text, "procura-login");
    assert_eq!(
        found.err().map(|found| found.case),
        Some(Case::WebLoginForm)
    );
}

#[test]
fn a_cookie_makes_a_caller_without_a_device() {
    let world = World::new();
    let cookie = cookie(&world);
    let read = WebLoginCookie::read(cookie.text().expose()).unwrap();
    for amr in Amr::ALL {
        let kept = KeptLogin {
            amr,
            ..kept(&cookie)
        };
        let caller = see(&world, &read, Some(&kept)).unwrap();
        assert_eq!(caller.profile(), Profile::WebLogin(amr));
        assert_eq!((caller.actor(), caller.owner()), (&OWNER, &OWNER));
        assert_eq!(caller.device(), None);
        assert_eq!(caller.session(), Some(kept.id.as_bytes()));
        assert_eq!(caller.authenticated(), Some(kept.authenticated));
        assert_eq!(caller.peer(), Some(PEER));
    }
}

/// Groups say nothing of whoever signed in otherwise.
#[test]
fn roles_are_lent_by_an_identity_provider_alone() {
    let world = World::new();
    let cookie = cookie(&world);
    let lent = vec![RoleAssignment {
        role: Role::Approver,
        namespace: Some("shop".parse().unwrap()),
    }];
    for amr in Amr::ALL {
        let kept = KeptLogin {
            amr,
            lent: lent.clone(),
            ..kept(&cookie)
        };
        let caller = see(&world, &cookie, Some(&kept)).unwrap();
        let expected: &[RoleAssignment] = if amr == Amr::Oidc { &lent } else { &[] };
        assert_eq!(caller.lent(), expected, "{amr}");
    }
    let provided = Provided {
        provider: "work".parse().unwrap(),
        client: [5; 32],
        identity: IdentityId::from_bytes([3; 32]),
        authenticated: None,
        lent,
    };
    let person = Authenticated::by_provider(OWNER, provided.clone());
    assert_eq!((person.amr(), person.passkey()), (Amr::Oidc, None));
    assert_eq!(person.provided(), Some(&provided));
    // Who only signs in has none of them yet.
    let caller = Caller::signing_in(&person, &world.directory, NOW, None);
    assert!(caller.lent().is_empty());
}

#[test]
fn a_web_login_ends_with_its_operator() {
    let mut world = World::new();
    let cookie = cookie(&world);
    let kept = kept(&cookie);
    assert!(see(&world, &cookie, Some(&kept)).is_ok());
    let root_key = world.p256.public().clone();
    world.apply([owner(&root_key, Some(NOW))]);
    let refusal = see(&world, &cookie, Some(&kept)).unwrap_err();
    assert_eq!(refusal.case, Case::ActorRevoked);
    assert_eq!(refusal.actor, Some(OWNER));
}

#[test]
fn what_forms_bring_along_is_of_one_cookie_and_does_not_give_it_away() {
    let world = World::new();
    let (one, other) = (cookie(&world), cookie(&world));
    let token = one.form_token();
    assert_eq!(token.expose(), one.form_token().expose());
    assert_ne!(token.expose(), other.form_token().expose());
    assert_ne!(token.expose(), one.text().expose());
    assert_ne!(
        procura_types::encoding::b64url(&one.digest()),
        *token.expose()
    );
}

#[test]
fn whoever_signs_in_has_just_proven_it() {
    let world = World::new();
    let person = Authenticated::vouched(OWNER, Amr::Passkey);
    let later: Timestamp = NOW.plus(HOUR);
    let caller = Caller::signing_in(&person, &world.directory, later, None);
    assert_eq!(caller.profile(), Profile::SigningIn(Amr::Passkey));
    assert_eq!(caller.authenticated(), Some(later));
    assert_eq!((caller.device(), caller.session()), (None, None));
}
