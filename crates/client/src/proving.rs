//! The proof that a request carries (`protocol.md` §3.1): native profile, over
//! everything that the request says.

use crate::session::Session;
use crate::{ClientError, RequestSigner};
use procura_proof::RequestView;
use procura_proof::sign::{Draft, SignError, Signed};
use procura_types::{Entropy, Timestamp};

/// What proves a request.
pub(crate) enum Proof<'a> {
    /// Nothing.
    None,
    /// The device's key.
    Key(&'a dyn RequestSigner),
    /// The device's key, with this nonce, which the body refers to.
    KeyWith(&'a dyn RequestSigner, &'a str),
    /// A session, and the number of the request in it.
    Session(&'a Session, u64),
}

/// The headers that prove `request`, and the nonce in them.
pub(crate) fn prove(
    proof: &Proof<'_>,
    request: &RequestView<'_>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Option<Signed>, ClientError> {
    match proof {
        Proof::None => Ok(None),
        Proof::Key(signer) => {
            let draft =
                Draft::for_device(request, signer.public(), now, entropy).map_err(refused)?;
            let signature = signer.sign(draft.message())?;
            Ok(Some(draft.finish(&signature)))
        }
        Proof::KeyWith(signer, nonce) => {
            let nonce = (*nonce).to_owned();
            let draft =
                Draft::for_device_with(request, signer.public(), nonce, now).map_err(refused)?;
            let signature = signer.sign(draft.message())?;
            Ok(Some(draft.finish(&signature)))
        }
        Proof::Session(session, counter) => {
            let draft = Draft::for_session(request, &session.id, *counter, now).map_err(refused)?;
            let tag = session.mac_key.sign(&[draft.message()]);
            Ok(Some(draft.finish(&tag)))
        }
    }
}

pub(crate) fn refused(error: SignError) -> ClientError {
    match error {
        SignError::Entropy(error) => error.into(),
        other => ClientError::Signer(crate::SignerError(other.to_string())),
    }
}
