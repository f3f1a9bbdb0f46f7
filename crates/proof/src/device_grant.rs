//! The proofs of a device that asks for a device grant and of the one that collects it
//! (`protocol.md` §2.1). Both are of one key: who has the codes and not the key gets
//! nothing.

use crate::caller::Caller;
use crate::reason::{Case, Refusal};
use procura_crypto::{PublicKey, sha256};
use procura_directory::Snapshot;
use procura_types::wire::PublicJwk;
use procura_types::{ActorId, DisplayName, FieldTuple, Thumbprint, Timestamp, UserCode};
use std::net::IpAddr;

/// What a device sends that asks.
#[derive(Debug)]
pub struct DeviceAsk<'a> {
    /// Its key.
    pub key: &'a PublicJwk,
    /// What it says that its host is called.
    pub host: DisplayName,
    /// By its key, over [`ask_message`].
    pub signature: &'a [u8],
}

/// A device that asks and has proven to hold its key.
#[derive(Debug)]
pub struct AskingDevice {
    key: PublicKey,
    host: DisplayName,
}

impl AskingDevice {
    /// The device's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What it says that its host is called.
    #[must_use]
    pub const fn host(&self) -> &DisplayName {
        &self.host
    }
}

/// What a device signs that asks, for this server (the thumbprint of its key):
/// `T("procura.device-grant.ask.v1", server_id, device_thumbprint, host)`.
#[must_use]
pub fn ask_message(server: &Thumbprint, device: &Thumbprint, host: &DisplayName) -> Vec<u8> {
    FieldTuple::new("procura.device-grant.ask.v1")
        .bytes(server.as_bytes())
        .bytes(device.as_bytes())
        .text(host.as_str())
        .into_bytes()
}

/// What a device signs that collects:
/// `T("procura.device-grant.collect.v1", server_id, SHA-256(device_code), device_thumbprint)`.
#[must_use]
pub fn collect_message(
    server: &Thumbprint,
    code_sha256: &[u8; 32],
    device: &Thumbprint,
) -> Vec<u8> {
    FieldTuple::new("procura.device-grant.collect.v1")
        .bytes(server.as_bytes())
        .bytes(code_sha256)
        .bytes(device.as_bytes())
        .into_bytes()
}

/// What host and approver both see, in four groups of four: the first 80 bits of
/// `SHA-256(T("procura.device-grant.fingerprint.v1", server_id, device_thumbprint, user_code))`
/// in base32 (RFC 4648 §6). The code is made by the server after the key is there: whoever
/// stands between and wants both ends to show the same has one try for each code, and not
/// as many pairs of keys as there is time to make.
#[must_use]
pub fn fingerprint(server: &Thumbprint, device: &Thumbprint, code: &UserCode) -> String {
    const SYMBOLS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const GROUP: usize = 4;
    let of = FieldTuple::new("procura.device-grant.fingerprint.v1")
        .bytes(server.as_bytes())
        .bytes(device.as_bytes())
        .bytes(code.letters());
    let digest = sha256(of.as_bytes());
    let mut text = String::with_capacity(19);
    let (mut bits, mut pending, mut count) = (0u16, 0u32, 0usize);
    for byte in digest.iter().take(10) {
        bits = (bits << 8) | u16::from(*byte);
        pending += 8;
        while pending >= 5 {
            pending -= 5;
            let [_, low] = ((bits >> pending) & 31).to_be_bytes();
            if count > 0 && count.is_multiple_of(GROUP) {
                text.push('-');
            }
            text.extend(SYMBOLS.get(usize::from(low)).copied().map(char::from));
            count += 1;
        }
    }
    text
}

/// Checks that a device holds the key that it asks with. The caller is nobody yet: an id
/// of its own that no owner or agent can have,
/// `SHA-256(T("procura.actor.asking-device.v1", device_thumbprint))`.
///
/// # Errors
/// [`Case::JoinForm`] for what is no key, [`Case::JoinRefused`].
pub fn verify_ask(
    ask: DeviceAsk<'_>,
    server: &Thumbprint,
    directory: &Snapshot,
    now: Timestamp,
    peer: IpAddr,
) -> Result<(AskingDevice, Caller), Refusal> {
    let key = PublicKey::from_jwk(ask.key).map_err(|_| Case::JoinForm)?;
    let device = key.thumbprint();
    if !key.verify(&ask_message(server, &device, &ask.host), ask.signature) {
        return Err(Refusal {
            device: Some(device),
            ..Case::JoinRefused.into()
        });
    }
    let id = FieldTuple::new("procura.actor.asking-device.v1").bytes(device.as_bytes());
    let id = ActorId::from_bytes(sha256(id.as_bytes()));
    let caller = Caller::joining(id, device, directory, now, peer);
    let host = ask.host;
    Ok((AskingDevice { key, host }, caller))
}

/// The device that asked, proven once more with the code that it got.
#[derive(Debug)]
pub struct Collector {
    key: PublicKey,
}

/// Checks that whoever collects holds the key that asked.
///
/// # Errors
/// [`Case::JoinRefused`].
pub fn verify_collector(
    key: &PublicKey,
    code_sha256: &[u8; 32],
    signature: &[u8],
    server: &Thumbprint,
) -> Result<Collector, Refusal> {
    let device = key.thumbprint();
    if key.verify(&collect_message(server, code_sha256, &device), signature) {
        Ok(Collector { key: key.clone() })
    } else {
        Err(Refusal {
            device: Some(device),
            ..Case::JoinRefused.into()
        })
    }
}

impl Collector {
    /// The device's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The caller who is about to join, as one of this actor's.
    #[must_use]
    pub fn caller(
        &self,
        actor: ActorId,
        directory: &Snapshot,
        now: Timestamp,
        peer: IpAddr,
    ) -> Caller {
        Caller::joining(actor, self.key.thumbprint(), directory, now, peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_one_of_the_format() {
        let (server, device) = (
            Thumbprint::from_bytes([1; 32]),
            Thumbprint::from_bytes([2; 32]),
        );
        let code: UserCode = "WDJB-MJHT".parse().unwrap();
        let text = fingerprint(&server, &device, &code);
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(groups.len(), 4);
        assert!(groups.iter().all(|group| group.len() == 4), "{text}");
        let other: UserCode = "WDJB-MJHB".parse().unwrap();
        for (found, what) in [
            (fingerprint(&device, &device, &code), "server"),
            (fingerprint(&server, &server, &code), "device"),
            (fingerprint(&server, &device, &other), "code"),
        ] {
            assert_ne!(found, text, "{what}");
        }
    }
}
