//! The yes in a browser: by a passkey, over the exact grant (ADR 36).

use super::page::Visit;
use super::passkeys::Bound;
use procura_types::ActorId;

/// How whoever looks at a request can say yes to it.
pub(super) struct Offer {
    /// Whether they have a passkey that may act.
    pub(super) by_passkey: bool,
    pub(super) bound: Bound,
}

impl Offer {
    pub(super) fn of(visit: &Visit<'_>, actor: &ActorId) -> Self {
        let snapshot = &visit.snapshot;
        let bound = Bound::of(visit.context.app, &visit.site);
        let mut passkeys = snapshot.passkeys_of(actor);
        Self {
            by_passkey: bound.anywhere
                && passkeys.any(|passkey| snapshot.passkey_may_act(&passkey.id)),
            bound,
        }
    }
}
