//! API keys: devices of an operator's automation that do a fixed part of what the operator
//! may do ([decision 45](../../../docs/adr/0045-second-persons.md)).
//!
//! What one opens is decided by its record in the directory; here is how it comes, is listed
//! and goes. It goes with its device, and with the one that it was made with, for good.

use crate::break_glass::is_new;
use crate::device;
use crate::error::IdentityError;
use crate::operator::of_operator;
use procura_crypto::PublicKey;
use procura_directory::{ApiKeyRecord, DeviceRecord, Snapshot, TokenHash};
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{ApiKey, ApiKeyCreate as Wanted, ApiKeyList, ApiKeyState};
use procura_types::{
    ActorId, Duration, InstallationId, Label, Malformed, Namespace, Thumbprint, Timestamp,
};

/// The shortest and the longest life of one.
const LIFE: (Duration, Duration) = (
    Duration::from_secs(60),
    Duration::from_secs(365 * 24 * 60 * 60),
);
/// Keys of one operator that count at a time.
const MOST: usize = 64;
/// Namespaces of one key.
const MOST_NAMESPACES: usize = 64;

/// What an API key may do: fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyScope {
    actions: Vec<String>,
    namespaces: Vec<Namespace>,
    installation: bool,
}

impl ApiKeyScope {
    /// A scope of actions that a key may be made for, and of somewhere.
    ///
    /// # Errors
    /// Which field does not fit.
    pub fn new(
        mut actions: Vec<String>,
        mut namespaces: Vec<Namespace>,
        installation: bool,
    ) -> Result<Self, Malformed> {
        actions.sort();
        actions.dedup();
        namespaces.sort();
        namespaces.dedup();
        let is_known = |named: &String| {
            let found = Action::ALL.iter().find(|action| action.as_str() == named);
            found.is_some_and(|action| action.takes_api_key())
        };
        if actions.is_empty() || !actions.iter().all(is_known) {
            return Err(Malformed::new(
                "actions",
                "has to name actions that an API key may be made for, as schema/permission-matrix.md does, and one at least",
            ));
        }
        if (namespaces.is_empty() && !installation) || namespaces.len() > MOST_NAMESPACES {
            return Err(Malformed::new(
                "namespaces",
                "has to name 1 to 64 namespaces, or none for a key of the installation alone",
            ));
        }
        Ok(Self {
            actions,
            namespaces,
            installation,
        })
    }

    /// The scope as the record names it.
    fn words(&self) -> String {
        let namespaces = self.namespaces.iter().map(|name| format!(" @{name}"));
        let installation = self.installation.then(|| " @installation".to_owned());
        let place: String = namespaces.chain(installation).collect();
        format!("{}{place}", self.actions.join(" "))
    }
}

of_operator! {
    /// Makes an API key of an operator.
    ApiKeyCreate { terms: NewApiKey } = ApiKeyCreate;
    /// Lists the API keys of an operator.
    ApiKeyListing = ApiKeyList;
}

/// What an API key is to be.
pub struct NewApiKey {
    /// What it is called.
    pub name: Label,
    /// The automation's key.
    pub key: PublicKey,
    /// By that key, over [`procura_types::wire::ApiKeyCreate::message`].
    pub signature: Vec<u8>,
    /// What it may do.
    pub scope: ApiKeyScope,
    /// For how long it counts.
    pub life: Duration,
}

impl ApiKeyCreate {
    /// Binds the key of the permit, in one commit with its device. `hash` is what is kept of
    /// its token.
    ///
    /// # Errors
    /// [`IdentityError::OtherCaller`], [`IdentityError::NoOperator`],
    /// [`IdentityError::BadApiKeyLife`],
    /// [`IdentityError::NoNamespace`], [`IdentityError::NotPossessed`],
    /// [`IdentityError::KeyTaken`], [`IdentityError::ApiKeyNameTaken`],
    /// [`IdentityError::TooManyApiKeys`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<ApiKey, IdentityError> {
        let made_with = batch.permit().caller().device().copied();
        let made_with = made_with.ok_or(IdentityError::OtherCaller)?;
        let ApiKeyCreate { name, actor, terms } = batch.op();
        let snapshot = batch.directory();
        // An account that ends in an hour leaves nothing behind.
        if !snapshot.is_active(actor) || snapshot.break_glass(actor).is_some() {
            return Err(IdentityError::NoOperator(name.clone()));
        }
        if terms.life < LIFE.0 || terms.life > LIFE.1 {
            return Err(IdentityError::BadApiKeyLife);
        }
        if let Some(gone) = terms
            .scope
            .namespaces
            .iter()
            .find(|name| snapshot.namespace(name).is_none())
        {
            return Err(IdentityError::NoNamespace(gone.clone()));
        }
        let device = terms.key.thumbprint();
        let message = Wanted::message(installation, actor, &terms.name, &device);
        if !terms.key.verify(&message, &terms.signature) {
            return Err(IdentityError::NotPossessed);
        }
        is_new(snapshot, &terms.key)?;
        let live: Vec<_> = snapshot
            .api_keys_of(actor)
            .filter(|key| state(snapshot, key, now) == ApiKeyState::Live)
            .collect();
        if live.iter().any(|key| key.name == terms.name) {
            return Err(IdentityError::ApiKeyNameTaken(terms.name.clone()));
        }
        if live.len() >= MOST {
            return Err(IdentityError::TooManyApiKeys);
        }
        let record = ApiKeyRecord {
            device,
            actor: *actor,
            made_with,
            name: terms.name.clone(),
            hash,
            actions: terms.scope.actions.clone(),
            namespaces: terms.scope.namespaces.clone(),
            installation: terms.scope.installation,
            created: now,
            until: now.plus(terms.life),
        };
        batch.put_device(&DeviceRecord {
            thumbprint: device,
            actor: *actor,
            key: terms.key.clone(),
            created: now,
            revoked: None,
        });
        batch.put_api_key(&record);
        batch.details().with = Some(format!(
            "device/{device} {} until:{} {}",
            terms.name,
            record.until,
            terms.scope.words()
        ));
        Ok(render(&record, ApiKeyState::Live))
    }
}

/// Whether a key counts. One whose operator's device is on hold waits, and is counted: it
/// goes on when that does.
fn state(snapshot: &Snapshot, key: &ApiKeyRecord, now: Timestamp) -> ApiKeyState {
    let stands = [&key.device, &key.made_with].into_iter().all(|device| {
        snapshot
            .device(device)
            .is_some_and(|device| device.revoked.is_none() && snapshot.is_active(&device.actor))
    });
    match stands {
        false => ApiKeyState::Revoked,
        true if now >= key.until => ApiKeyState::Expired,
        true => ApiKeyState::Live,
    }
}

fn render(key: &ApiKeyRecord, state: ApiKeyState) -> ApiKey {
    ApiKey {
        device: key.device,
        name: key.name.clone(),
        operator: key.actor,
        made_with: key.made_with,
        state,
        actions: key.actions.clone(),
        namespaces: key.namespaces.clone(),
        installation: key.installation,
        created: key.created,
        expires: key.until,
    }
}

impl ApiKeyListing {
    /// The keys of the operator of the permit, those that are over too.
    #[must_use]
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot, now: Timestamp) -> ApiKeyList {
        let mut keys: Vec<ApiKey> = snapshot
            .api_keys_of(&permit.op().actor)
            .map(|key| render(key, state(snapshot, key, now)))
            .collect();
        keys.sort_by(|one, other| {
            (&one.name, one.created, one.device).cmp(&(&other.name, other.created, other.device))
        });
        ApiKeyList { keys }
    }
}

/// Revokes an API key and its device. Made by [`ApiKeyRevoke::resolve`].
pub struct ApiKeyRevoke {
    device: Thumbprint,
    actor: ActorId,
}

impl Op for ApiKeyRevoke {
    const ACTION: Action = Action::ApiKeyRevoke;
    fn resource(&self) -> Resource {
        Resource::Device(None, self.device)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl ApiKeyRevoke {
    /// The operation for the key of this operator that is bound to this device; none when
    /// there is none.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, operator: &Label, device: &Thumbprint) -> Option<Self> {
        let key = snapshot.api_key(device)?;
        let actor = snapshot.actor(&key.actor)?;
        (actor.label() == operator && actor.namespace().is_none()).then_some(Self {
            device: *device,
            actor: key.actor,
        })
    }

    /// Revokes the key of the permit; doing it again changes nothing.
    ///
    /// # Errors
    /// None; as for all operations.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        let device = batch.op().device;
        device::revoke(batch, &device, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(actions: &[&str], namespaces: &[&str], installation: bool) -> Result<String, String> {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        let namespaces = namespaces
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        ApiKeyScope::new(actions, namespaces, installation)
            .map(|scope| scope.words())
            .map_err(|error| error.field.to_owned())
    }

    #[test]
    fn a_scope_is_of_known_actions_somewhere() {
        let given = scope(
            &["secret.read", "secret.list", "secret.list"],
            &["b", "a"],
            false,
        );
        assert_eq!(given.unwrap(), "secret.list secret.read @a @b");
        let given = scope(&["ledger.export"], &[], true);
        assert_eq!(given.unwrap(), "ledger.export @installation");
        let cases: [(&[&str], &[&str], bool, &str); 6] = [
            (&[], &["a"], true, "actions"),
            (&["secret.fetch"], &["a"], false, "actions"),
            (
                &["secret.list", "request.approve"],
                &["a"],
                false,
                "actions",
            ),
            (&["api_key.create"], &["a"], true, "actions"),
            (&["operator.invite"], &[], true, "actions"),
            (&["secret.list"], &[], false, "namespaces"),
        ];
        for (actions, namespaces, installation, field) in cases {
            let refused = scope(actions, namespaces, installation).unwrap_err();
            assert_eq!(refused, field, "{actions:?}");
        }
        let many: Vec<String> = (0..65).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            scope(&["secret.list"], &many, false).unwrap_err(),
            "namespaces"
        );
    }
}
