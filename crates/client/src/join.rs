//! Joining: how a device becomes one of an actor's (`protocol.md` §2).

use crate::call::Ask;
use crate::{Client, ClientError, Query, RequestSigner};
use http::Method;
use procura_crypto::{PublicKey, sha256};
use procura_proof::join_message;
use procura_types::wire::{JoinAnswer, JoinRequest};
use procura_types::{ActorId, FieldTuple, LinkCodeText, Thumbprint};

impl Client {
    /// Joins `signer`'s key as a device of `actor` with a link code. The answer
    /// is checked to come from the server that the code names, so its
    /// `server_key` and `ledger_vkey` may be pinned.
    ///
    /// # Errors
    /// [`ClientError::Impostor`] when another server answers; the code is then
    /// not used up, for its bytes were never sent.
    pub async fn join(
        &self,
        code: &LinkCodeText,
        actor: &ActorId,
        signer: &dyn RequestSigner,
    ) -> Result<JoinAnswer, ClientError> {
        let transport = &self.inner.transport;
        let code_sha256 = sha256(code.code.expose());
        let device = signer.public().thumbprint();
        let signed = join_message(&code.server, &code_sha256, actor, &device);
        let request = JoinRequest {
            code_sha256: code_sha256.to_vec(),
            actor_id: *actor,
            device_key: signer.public().to_jwk(),
            signature: signer.sign(&signed)?,
        };
        let query = Query::new();
        let answer: JoinAnswer = self
            .open(Ask::new(Method::POST, "/v1/join", &query, Some(&request)))
            .await?;

        let server = PublicKey::from_jwk(&answer.server_key)
            .map_err(|_| transport.impostor("its key cannot be read"))?;
        if server.thumbprint() != code.server {
            return Err(transport.impostor("its key is not the one that the code names"));
        }
        let signed = answer_bytes(&code.server, &code_sha256, &answer);
        if !server.verify(&signed, &answer.server_signature) {
            return Err(transport.impostor("the answer is not signed by the server's key"));
        }
        if answer.actor != *actor || answer.device != device {
            return Err(transport.not_understood("it is about another device"));
        }
        Ok(answer)
    }
}

/// What the server signs when it lets a device in.
fn answer_bytes(server: &Thumbprint, code_sha256: &[u8; 32], answer: &JoinAnswer) -> Vec<u8> {
    FieldTuple::new("procura.join.answer.v1")
        .bytes(server.as_bytes())
        .bytes(code_sha256)
        .bytes(answer.actor.as_bytes())
        .bytes(answer.device.as_bytes())
        .text(&answer.ledger_vkey)
        .into_bytes()
}
