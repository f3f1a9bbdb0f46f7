//! A device asks.

use super::row::{Answer, DUE, GRANTS, GrantRow, USER_CODES};
use super::{DEVICE_GRANT_LIFE, DeviceCodeTag, KEPT, user_tag};
use crate::error::IdentityError;
use procura_crypto::MacKey;
use procura_policy::{Action, Op, Resource};
use procura_proof::AskingDevice;
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, StoreError};
use procura_types::{Entropy, Secret, Thumbprint, Timestamp, UserCode, encoding};
use std::net::IpAddr;

/// Rows that are over and that one new device grant clears away: more than it adds, and few
/// enough for strangers to cause.
const SWEEP: usize = 8;

/// Asks for a device to be let in.
pub struct DeviceGrantAsk {
    device: AskingDevice,
    from: Option<IpAddr>,
}

/// What a device gets that asks.
pub struct NewDeviceGrant {
    /// What it collects with: 256 random bits, base64url.
    pub device_code: Secret<String>,
    /// What a person types.
    pub user_code: UserCode,
    /// The tag that the device code is found by.
    pub tag: DeviceCodeTag,
    /// Ten minutes from now.
    pub expires: Timestamp,
}

impl Op for DeviceGrantAsk {
    const ACTION: Action = Action::DeviceGrantAsk;
    fn resource(&self) -> Resource {
        Resource::Device(None, self.device.key().thumbprint())
    }
}

impl DeviceGrantAsk {
    /// By a device that has proven to hold its key.
    #[must_use]
    pub const fn new(device: AskingDevice, from: Option<IpAddr>) -> Self {
        Self { device, from }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Thumbprint {
        self.device.key().thumbprint()
    }

    /// Makes both codes and keeps their tags.
    ///
    /// # Errors
    /// No random bytes; the store's.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        key: &MacKey,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewDeviceGrant, IdentityError> {
        let op = batch.op();
        let asking = GrantRow {
            key: Some(op.device.key().clone()),
            host: op.device.host().clone(),
            from: op.from,
            asked: now,
            expires: now.plus(DEVICE_GRANT_LIFE),
            answer: Answer::Pending,
        };
        put(batch, key, asking, entropy)
    }
}

/// Makes both codes of who asks, and keeps their tags.
pub(super) fn put<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    key: &MacKey,
    row: GrantRow,
    entropy: &dyn Entropy,
) -> Result<NewDeviceGrant, IdentityError> {
    sweep(batch, row.asked)?;
    let mut bits = Secret::new([0u8; 32]);
    entropy.fill_secret(bits.expose_mut())?;
    let device_code = Secret::new(encoding::b64url(bits.expose()));
    let user_code = UserCode::generate(entropy)?;
    let tag = DeviceCodeTag::of(key, device_code.expose());
    let user = user_tag(key, &user_code);
    let expires = row.expires;
    // Of 34 bits two can be the same: then it is made anew.
    USER_CODES.expect(batch.rows(), &user, Expected::Absent);
    USER_CODES.put(batch.rows(), &user, &tag.0);
    GRANTS.expect(batch.rows(), &tag.0, Expected::Absent);
    GRANTS.put(batch.rows(), &tag.0, &row);
    DUE.put(batch.rows(), &(expires.as_millis(), tag.0), &user);
    Ok(NewDeviceGrant {
        device_code,
        user_code,
        tag,
        expires,
    })
}

/// What nobody collected would stay for ever; each new one clears some away.
fn sweep<O: Op>(batch: &mut RecordedBatch<'_, O>, now: Timestamp) -> Result<(), StoreError> {
    let due = DUE.scan(&batch.store().snapshot()?, &KeyPrefix::all(), None, SWEEP)?;
    let over = |expires: u64| Timestamp::from_millis(expires).plus(KEPT) <= now;
    for ((expires, tag), user) in due.iter().filter(|((expires, _), _)| over(*expires)) {
        DUE.delete(batch.rows(), &(*expires, *tag));
        GRANTS.delete(batch.rows(), tag);
        USER_CODES.delete(batch.rows(), &user.value);
    }
    Ok(())
}
