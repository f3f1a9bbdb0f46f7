//! A passkey does not outlive the device that vouches for it: whoever stole that one may have
//! let it in.

use crate::passkey_world::software;
use crate::passkeys::{joins, recorded, refusal};
use crate::world::{Actor, World, p256};
use procura_crypto::sha256;
use procura_crypto::webauthn::SoftwarePasskey;
use procura_identity::JoinRefusal;
use procura_identity::passkey::{Ceremony, PasskeyRefusal};
use procura_identity::web_login::NewWebLogin;
use procura_proof::Case;
use procura_types::Thumbprint;

/// One more device of bob's.
async fn device(world: &World, bob: &Actor) -> Actor {
    let code = world.link("bob", bob).await;
    let key = p256();
    world.join(&code, &key).await.unwrap();
    Actor { id: bob.id, key }
}

/// The SHA-256 of a code for one more passkey of bob's, made in a web login by another.
async fn invited_by(world: &World, login: &NewWebLogin, passkey: &mut SoftwarePasskey) -> [u8; 32] {
    let ceremony = Ceremony::Invite(world.mark(&login.cookie));
    let shown = world.answered(ceremony, passkey).unwrap();
    let code = world.invited(login, "bob", Some(shown)).await.unwrap();
    sha256(code.code.expose())
}

/// What becomes of a try to enrol one by this code.
async fn tried(world: &World, code: &[u8; 32]) -> Result<SoftwarePasskey, JoinRefusal> {
    let passkey = software();
    let enrolled = world.enrols(code, &passkey).await;
    enrolled.map(|_| passkey).map_err(joins)
}

fn id(passkey: &SoftwarePasskey) -> Thumbprint {
    passkey.key.public().thumbprint()
}

async fn signs_in(world: &World, passkey: &mut SoftwarePasskey) -> Result<(), PasskeyRefusal> {
    let proven = world.proven_by(passkey).await;
    proven.map(|_| ()).map_err(refusal)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_does_not_outlive_the_device_that_vouches_for_it() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let stolen = device(&world, &bob).await;
    // One by a code of the device, and one by a code of that passkey.
    let mut first = world.passkey(&stolen, "bob").await;
    let first_login = world.sign_in_by(&mut first).await;
    let code = invited_by(&world, &first_login, &mut first).await;
    let mut second = tried(&world, &code).await.unwrap();
    let second_login = world.sign_in_by(&mut second).await;
    let open = invited_by(&world, &second_login, &mut second).await;
    let mut own = world.passkey(&bob, "bob").await;
    let own_login = world.sign_in_by(&mut own).await;

    world.revoke_device(&bob, &stolen.device()).await.unwrap();
    for (passkey, login) in [(&mut first, &first_login), (&mut second, &second_login)] {
        assert!(
            world
                .snapshot()
                .passkey(&id(passkey))
                .unwrap()
                .removed
                .is_some()
        );
        assert!(!world.snapshot().passkey_may_act(&id(passkey)));
        let browser = world.browser(&login.cookie);
        assert_eq!(browser.err(), Some(Case::WebLoginUnknown));
        let refused = signs_in(&world, passkey).await;
        assert_eq!(refused, Err(PasskeyRefusal::Removed));
    }
    let late = tried(&world, &open).await;
    assert_eq!(late.err(), Some(JoinRefusal::UnknownCode));
    // What another device vouches for goes on.
    assert!(world.browser(&own_login.cookie).is_ok());
    assert_eq!(signs_in(&world, &mut own).await, Ok(()));
    // The entry names them, for those who verify receipts and for a restored home.
    let said = |entry: usize| {
        let entries = recorded(&world, "operator.device.revoke");
        entries[entry].resource.clone().unwrap()
    };
    let named = format!(
        "device/{} passkey/{} passkey/{}",
        stolen.device(),
        id(&first),
        id(&second)
    );
    assert_eq!(said(0), named);
    let when = world.snapshot().passkey(&id(&first)).unwrap().removed;
    world.pass(procura_types::Duration::from_secs(1));
    world.revoke_device(&bob, &stolen.device()).await.unwrap();
    assert_eq!(said(1), format!("device/{}", stolen.device()));
    assert_eq!(world.snapshot().passkey(&id(&first)).unwrap().removed, when);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_device_that_counts_and_not_the_passkey_in_between() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let (laptop, idle) = (device(&world, &bob).await, device(&world, &bob).await);
    let mut old = world.passkey(&laptop, "bob").await;
    let login = world.sign_in_by(&mut old).await;
    let code = invited_by(&world, &login, &mut old).await;
    let mut new = tried(&world, &code).await.unwrap();
    // Whoever replaces one passkey by another keeps the other.
    world.remove_passkey(&bob, &id(&old)).await.unwrap();
    assert_eq!(signs_in(&world, &mut new).await, Ok(()));
    // A device that let none in takes none along, and its entry names none.
    world.revoke_device(&bob, &idle.device()).await.unwrap();
    assert_eq!(signs_in(&world, &mut new).await, Ok(()));
    let entries = recorded(&world, "operator.device.revoke");
    let said = entries[0].resource.clone();
    assert_eq!(said, Some(format!("device/{}", idle.device())));
    world.revoke_device(&bob, &laptop.device()).await.unwrap();
    let refused = signs_in(&world, &mut new).await;
    assert_eq!(refused, Err(PasskeyRefusal::Removed));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_password_of_a_revoked_device_all_web_logins_end() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let stolen = device(&world, &bob).await;
    let app = world.account(&stolen, "bob").await;
    let by_password = world.sign_in("bob", &app).await;
    let mut passkey = world.passkey(&stolen, "bob").await;
    let by_passkey = world.sign_in_by(&mut passkey).await;
    let mut own = world.passkey(&bob, "bob").await;
    let by_own = world.sign_in_by(&mut own).await;
    world.revoke_device(&bob, &stolen.device()).await.unwrap();
    for login in [by_password, by_passkey, by_own] {
        let browser = world.browser(&login.cookie);
        assert_eq!(browser.err(), Some(Case::WebLoginUnknown));
    }
    // Their own passkey signs them in anew.
    assert_eq!(signs_in(&world, &mut own).await, Ok(()));
    assert_eq!(
        signs_in(&world, &mut passkey).await,
        Err(PasskeyRefusal::Removed)
    );
}
