//! Operators answer who asks.

use super::row::{Answer, Approved, Found, by_user_code};
use super::{DeviceGrantDraft, DeviceGrantRefusal, DeviceGrantYes};
use crate::error::IdentityError;
use procura_crypto::MacKey;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::DeviceGrant;
use procura_types::{Namespace, Thumbprint, Timestamp, UserCode};

/// Says whose device it is that asks.
pub struct DeviceGrantApprove {
    /// What the yes is to.
    pub draft: DeviceGrantDraft,
    /// By which key it is said.
    pub yes: DeviceGrantYes,
}

impl Op for DeviceGrantApprove {
    const ACTION: Action = Action::DeviceGrantApprove;
    fn resource(&self) -> Resource {
        self.draft.resource()
    }
}

impl DeviceGrantApprove {
    /// Lets the device of the permit's code become one of the permit's agent, for as long
    /// as the code is good.
    ///
    /// # Errors
    /// [`DeviceGrantRefusal`]: `Unknown`, `Expired`, `Answered`, `OtherDevice`;
    /// [`crate::JoinRefusal::DeviceBound`] for a key that is or was a device;
    /// [`IdentityError::NoAgent`]; [`DeviceGrantRefusal::LentRole`];
    /// [`DeviceGrantRefusal::NoOneId`] for a client of CortexAuth;
    /// [`IdentityError::OtherCaller`] for a caller without a device who is no person in a
    /// browser; [`IdentityError::Passkey`] for one who is, and whose passkey did not answer
    /// for just this.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        key: &MacKey,
        server: &Thumbprint,
        now: Timestamp,
    ) -> Result<DeviceGrant, IdentityError> {
        let Self { draft, yes } = batch.op();
        let by = *batch.permit().caller().actor();
        let to = draft.find(&by, (batch.store(), batch.directory()), key, now)?;
        let with = yes.signed(batch, &draft.challenge(server, &to), now)?;
        let answer = Answer::Approved(Approved {
            agent: to.agent,
            foreign: to.foreign,
            by,
            with,
        });
        let grant = put(batch, to.found, answer);
        if let DeviceGrantYes::Passkey { .. } = yes {
            let with = format!(" {}", Resource::Passkey(with));
            batch.details().with.get_or_insert_default().push_str(&with);
        }
        Ok(grant)
    }
}

/// Says no to a device that asks.
pub struct DeviceGrantDeny {
    /// Where the caller may let devices in.
    pub namespace: Namespace,
    /// What the host shows.
    pub code: UserCode,
}

impl Op for DeviceGrantDeny {
    const ACTION: Action = Action::DeviceGrantDeny;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl DeviceGrantDeny {
    /// Has the device of the permit's code hear no.
    ///
    /// # Errors
    /// [`DeviceGrantRefusal`]: `Unknown`, `Expired`, `Answered`.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        key: &MacKey,
        now: Timestamp,
    ) -> Result<DeviceGrant, IdentityError> {
        // A full disk must not keep anyone from saying no.
        batch.reserved();
        let found = pending(by_user_code(batch.store(), key, &batch.op().code, now)?)?;
        Ok(put(batch, found, Answer::Denied))
    }
}

/// One that nobody answered yet: the first answer is the one.
pub(super) fn pending(found: Found) -> Result<Found, IdentityError> {
    match found.row.value.answer {
        Answer::Pending => Ok(found),
        _ => Err(DeviceGrantRefusal::Answered.into()),
    }
}

/// Writes the answer, and says in the entry which device it is about.
fn put<O: Op>(batch: &mut RecordedBatch<'_, O>, found: Found, answer: Answer) -> DeviceGrant {
    let tag = found.tag;
    let answered = found.put(batch, answer);
    let kind = if answered.key.is_some() {
        ""
    } else {
        " legacy"
    };
    let device = answered.device(&tag);
    batch.details().with = Some(format!("device/{device}{kind}"));
    answered.shown(&tag, None)
}
