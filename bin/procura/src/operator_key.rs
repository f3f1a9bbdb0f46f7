//! The operator's own key: P-256, made here, kept in a file under a
//! passphrase, and never anywhere else. It proves requests and signs approvals.

use crate::failure::Failure;
use crate::files;
use crate::home::Home;
use procura_crypto::{
    Argon2Params, Binding, Holder, OpenError, PublicKey, Purpose, SigningKey, XaesKey,
    derive_passphrase_key, owner_id,
};
use procura_types::wire::PublicJwk;
use procura_types::{ActorId, Alg, Entropy, Secret, encoding};
use serde::{Deserialize, Serialize};

/// `key.json`. The envelope is bound to the actor and key, so a file put
/// together from two does not open.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u8,
    public: PublicJwk,
    kdf: Argon2Params,
    #[serde(with = "encoding::serde_b64url")]
    sealed: Vec<u8>,
}

const VERSION: u8 = 1;
/// A key file has one key and no epochs.
const EPOCH: u32 = 0;

/// The id of the operator whom this key makes, unless it joined as another
/// device of an older one.
pub(crate) fn actor_of(key: &PublicKey) -> ActorId {
    owner_id(Alg::P256, key.as_bytes())
}

/// Makes a key and writes it, encrypted, before anybody hears of it. Refuses
/// when there is one.
pub(crate) fn create(
    home: &Home,
    passphrase: &Secret<String>,
    entropy: &dyn Entropy,
) -> Result<SigningKey, Failure> {
    let key = SigningKey::generate_p256(entropy)
        .map_err(|error| Failure::storage("cannot make a key", &error))?;
    files::private_dir(&home.operator_dir())?;
    files::create(&home.key_file(), &sealed(&key, passphrase, entropy)?)?;
    Ok(key)
}

/// The public half, when there is a key.
pub(crate) fn public(home: &Home) -> Result<Option<PublicKey>, Failure> {
    let Some(file) = read(home)? else {
        return Ok(None);
    };
    PublicKey::from_jwk(&file.public)
        .map(Some)
        .map_err(|error| damaged(home).because(error))
}

/// The key itself.
pub(crate) fn unlock(home: &Home, passphrase: &Secret<String>) -> Result<SigningKey, Failure> {
    let file = read(home)?.ok_or_else(|| missing(home))?;
    let public = PublicKey::from_jwk(&file.public).map_err(|error| damaged(home).because(error))?;
    let derived = derive_passphrase_key(passphrase.expose(), &file.kdf)
        .map_err(|error| damaged(home).because(error))?;
    let wrapping = XaesKey::new(derived)
        .map_err(|error| Failure::config("cannot hold the key").because(error))?;
    let actor = actor_of(&public);
    let opened = procura_crypto::open(|_| Some(&wrapping), &binding(&actor, &public), &file.sealed)
        .map_err(|error| match error {
            OpenError::Refused => {
                Failure::refused("the passphrase does not open the operator's key")
                    .because(home.key_file().display())
                    .next("the command again; nobody can recover a passphrase, but what opens the vault lets another key of yours join: procura operator recover NAME, on the server's machine")
            }
            other => damaged(home).because(other),
        })?;
    let key = SigningKey::from_secret_bytes(opened.expose())
        .map_err(|error| damaged(home).because(error))?;
    if *key.public() == public {
        Ok(key)
    } else {
        Err(damaged(home).because("the private key is not that of the public key"))
    }
}

/// Writes the key anew under another passphrase.
pub(crate) fn change_passphrase(
    home: &Home,
    key: &SigningKey,
    passphrase: &Secret<String>,
    entropy: &dyn Entropy,
) -> Result<(), Failure> {
    files::replace(&home.key_file(), &sealed(key, passphrase, entropy)?)
}

fn sealed(
    key: &SigningKey,
    passphrase: &Secret<String>,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Failure> {
    let cannot = "cannot encrypt the operator's key";
    let kdf = Argon2Params::generate(entropy)?;
    let derived = derive_passphrase_key(passphrase.expose(), &kdf)
        .map_err(|error| Failure::storage(cannot, &error))?;
    let wrapping = XaesKey::new(derived).map_err(|error| Failure::storage(cannot, &error))?;
    let public = key.public();
    let actor = actor_of(public);
    let sealed = procura_crypto::seal(
        &wrapping,
        EPOCH,
        &binding(&actor, public),
        entropy,
        key.to_secret_bytes().expose(),
    )
    .map_err(|error| Failure::storage(cannot, &error))?;
    let file = KeyFile {
        version: VERSION,
        public: public.to_jwk(),
        kdf,
        sealed,
    };
    serde_json::to_vec_pretty(&file).map_err(|error| Failure::storage(cannot, &error))
}

fn binding<'a>(actor: &'a ActorId, public: &'a PublicKey) -> Binding<'a> {
    Binding {
        holder: Holder::Owner(actor),
        class: "operator",
        path: public.as_bytes(),
        version: u64::from(VERSION),
        purpose: Purpose::OperatorKey,
    }
}

fn read(home: &Home) -> Result<Option<KeyFile>, Failure> {
    let Some(bytes) = files::read(&home.key_file())? else {
        return Ok(None);
    };
    let file: KeyFile =
        serde_json::from_slice(&bytes).map_err(|error| damaged(home).because(error))?;
    if file.version == VERSION {
        Ok(Some(file))
    } else {
        Err(damaged(home).because(format_args!("it is of version {}", file.version)))
    }
}

fn damaged(home: &Home) -> Failure {
    Failure::config(format!("cannot use {}", home.key_file().display()))
        .next("put it back from a backup, or join with another --home: procura operator join CODE")
}

fn missing(home: &Home) -> Failure {
    Failure::config(format!(
        "there is no operator's key in {}",
        home.dir().display()
    ))
    .next("procura init for a new installation, procura operator join for an existing one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_key_opens_with_its_passphrase_only_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(Some(dir.path().join("home"))).unwrap();
        let key = create(&home, &secret("one"), &SystemEntropy).unwrap();
        assert!(public(&home).unwrap().unwrap() == *key.public());

        let again = create(&home, &secret("one"), &SystemEntropy).err().unwrap();
        assert!(
            again
                .to_string()
                .contains("exists already and is left as it is")
        );

        let wrong = unlock(&home, &secret("two")).err().unwrap();
        assert_eq!(wrong.exit(), procura_types::exit::REFUSED);
        assert!(
            wrong
                .to_string()
                .contains("the passphrase does not open the operator's key")
        );

        let opened = unlock(&home, &secret("one")).unwrap();
        change_passphrase(&home, &opened, &secret("two"), &SystemEntropy).unwrap();
        assert!(unlock(&home, &secret("one")).is_err());
        assert!(unlock(&home, &secret("two")).unwrap().public() == key.public());
    }

    #[test]
    fn a_file_with_another_public_key_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(Some(dir.path().to_owned())).unwrap();
        create(&home, &secret("one"), &SystemEntropy).unwrap();
        let other = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let mut file = read(&home).unwrap().unwrap();
        file.public = other.public().to_jwk();
        files::replace(&home.key_file(), &serde_json::to_vec(&file).unwrap()).unwrap();
        let refused = unlock(&home, &secret("one")).err().unwrap();
        assert!(refused.to_string().contains("the passphrase does not open"));
    }
}
