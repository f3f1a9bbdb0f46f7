//! An identity that a provider vouched for shows who is there.

use super::flow::Way;
use super::{Again, Answered, OidcRefusal};
use crate::account;
use crate::error::IdentityError;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Resource};
use procura_proof::{Authenticated, Caller, Provided};
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::RoleAssignment;
use procura_types::{ActorId, Label, Timestamp};
use std::net::IpAddr;

/// Shows by an identity provider's word who is there. Made by [`OidcUse::check`].
pub struct OidcUse {
    name: Label,
    actor: ActorId,
    way: Way,
    provided: Provided,
}

impl Op for OidcUse {
    const ACTION: Action = Action::OperatorOidcUse;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

impl OidcUse {
    /// The operator whom the identity is linked to, with the roles that their groups lend
    /// them. What depends on others, whether the flow was used before among it, is checked
    /// when it runs.
    ///
    /// # Errors
    /// [`OidcRefusal::NotLinked`], [`OidcRefusal::OtherUser`].
    pub fn check(
        (store, directory): (&Store, &Snapshot),
        answered: Answered,
        lent: Vec<RoleAssignment>,
    ) -> Result<Self, IdentityError> {
        let Answered {
            way,
            proven,
            auth_time,
            client,
            ..
        } = answered;
        let identity = proven.id();
        let actor = account::linked_to(store, &identity)?.ok_or(OidcRefusal::NotLinked)?;
        let found = directory.actor(&actor).ok_or(OidcRefusal::NotLinked)?;
        if way.again.is_some_and(|again| again.actor != actor) {
            return Err(OidcRefusal::OtherUser.into());
        }
        Ok(Self {
            name: found.label().clone(),
            actor,
            way,
            provided: Provided {
                provider: proven.provider().clone(),
                client,
                identity,
                authenticated: auth_time,
                lent,
            },
        })
    }

    /// Who it is.
    #[must_use]
    pub const fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// Which web login takes the place of which, if it is to be proven anew.
    #[must_use]
    pub const fn again(&self) -> Option<&Again> {
        self.way.again.as_ref()
    }

    /// The person, as the caller of this and of nothing else.
    #[must_use]
    pub fn caller(&self, directory: &Snapshot, now: Timestamp, peer: Option<IpAddr>) -> Caller {
        Caller::signing_in(&self.authenticated(), directory, now, peer)
    }

    /// Uses the flow up, and gives the person who is there.
    ///
    /// # Errors
    /// [`OidcRefusal::FlowUsed`]; [`OidcRefusal::NotLinked`] when the identity was unlinked
    /// meanwhile.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityError> {
        let op = batch.op();
        let Provided {
            identity, provider, ..
        } = &op.provided;
        account::still_linked(batch, &op.actor, identity)?;
        op.way.consume(batch, now)?;
        batch.details().with = Some(format!("oidc/{provider} identity/{identity}"));
        Ok(op.authenticated())
    }

    fn authenticated(&self) -> Authenticated {
        Authenticated::by_provider(self.actor, self.provided.clone())
    }
}
