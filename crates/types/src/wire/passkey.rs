use super::{AccessRequest, PublicJwk};
use crate::{ActorId, DisplayName, EnvName, Label, Secret, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// A passkey of an operator, as listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Passkey {
    /// RFC 7638 thumbprint of its key.
    pub id: Thumbprint,
    /// Whose it is.
    pub actor: ActorId,
    /// What its owner calls it.
    pub name: DisplayName,
    /// The public key.
    pub key: PublicJwk,
    /// The site that it answers for.
    pub relying_party: String,
    /// How a browser reaches it, by its own word: `internal`, `hybrid`, `usb` …
    pub transports: Vec<String>,
    /// Whether it may be copied, as passkeys are that a provider keeps.
    pub backup_eligible: bool,
    /// The device that vouches for it: it goes when that one is revoked.
    pub vouched_by: Thumbprint,
    /// When it was enrolled.
    pub created: Timestamp,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
    /// When it was removed; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// `GET /v1/operators/{name}/passkeys`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasskeyList {
    /// By the time at which they were enrolled, removed ones too.
    pub passkeys: Vec<Passkey>,
}

/// `POST /v1/operators/{name}/passkey-code`: a code with which a browser enrols one more
/// passkey, once.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasskeyCode {
    /// The code, shown once.
    pub code: String,
    /// Until when it can be used.
    pub expires: Timestamp,
    /// The page that takes it.
    pub page: String,
}

/// What a browser shows of a relying party (WebAuthn §5.4.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelyingPartyEntity {
    /// The id that passkeys are bound to.
    pub id: String,
    /// For people.
    pub name: String,
}

/// What a browser shows of the person (WebAuthn §5.4.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserEntity {
    /// The user handle: the bytes of the actor's id, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub id: Vec<u8>,
    /// The operator's name.
    pub name: Label,
    /// The same.
    #[serde(rename = "displayName")]
    pub display_name: Label,
}

/// A kind of key that may be made (WebAuthn §5.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialParameter {
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// -7 for ES256.
    pub alg: i32,
}

/// A passkey that is known (WebAuthn §5.8.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialDescriptor {
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its credential id, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub id: Vec<u8>,
    /// How a browser may reach it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<String>,
}

/// Which authenticators may make a passkey (WebAuthn §5.4.4).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorSelection {
    /// `preferred`: it can be found without a name, where the authenticator has room.
    pub resident_key: String,
    /// For browsers of Level 1.
    pub require_resident_key: bool,
    /// `required`.
    pub user_verification: String,
}

/// `PublicKeyCredentialCreationOptionsJSON` (WebAuthn §5.1.9): for
/// `PublicKeyCredential.parseCreationOptionsFromJSON`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions {
    /// The site.
    pub rp: RelyingPartyEntity,
    /// The person.
    pub user: UserEntity,
    /// 32 bytes, base64url.
    pub challenge: String,
    /// ES256 alone.
    pub pub_key_cred_params: Vec<CredentialParameter>,
    /// Milliseconds.
    pub timeout: u64,
    /// Those that the person has: no authenticator makes a second one.
    pub exclude_credentials: Vec<CredentialDescriptor>,
    /// What the authenticator has to do.
    pub authenticator_selection: AuthenticatorSelection,
    /// `none`.
    pub attestation: String,
}

/// `PublicKeyCredentialRequestOptionsJSON` (WebAuthn §5.1.10): for
/// `PublicKeyCredential.parseRequestOptionsFromJSON`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    /// 32 bytes, base64url.
    pub challenge: String,
    /// Milliseconds.
    pub timeout: u64,
    /// The site's id.
    pub rp_id: String,
    /// Which passkeys may answer; any that the browser finds when there are none here.
    pub allow_credentials: Vec<CredentialDescriptor>,
    /// `required`.
    pub user_verification: String,
}

/// What begins an enrolment in a browser.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyEnrolStart {
    /// The code.
    pub code: Secret<String>,
}

/// What the browser makes a passkey by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasskeyCreation {
    /// For `navigator.credentials.create`.
    #[serde(rename = "publicKey")]
    pub public_key: CreationOptions,
    /// To be sent back as it is.
    pub state: String,
    /// Who will have the passkey.
    pub operator: Label,
}

/// What the browser asks a passkey by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasskeyRequest {
    /// For `navigator.credentials.get`.
    #[serde(rename = "publicKey")]
    pub public_key: RequestOptions,
    /// To be sent back as it is.
    pub state: String,
}

/// `RegistrationResponseJSON` (WebAuthn §5.1): what `toJSON()` of a new credential gives.
/// Members that are not read may stand beside these.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewCredential {
    /// The credential id, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub id: Vec<u8>,
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the authenticator answered.
    pub response: AttestationResponse,
}

/// `AuthenticatorAttestationResponseJSON`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestationResponse {
    /// The client data, base64url.
    #[serde(rename = "clientDataJSON", with = "crate::encoding::serde_b64url")]
    pub client_data: Vec<u8>,
    /// The attestation object, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub attestation_object: Vec<u8>,
    /// How a browser reaches the authenticator.
    #[serde(default)]
    pub transports: Vec<String>,
}

/// `AuthenticationResponseJSON` (WebAuthn §5.1): what `toJSON()` of an assertion gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssertedCredential {
    /// The credential id, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub id: Vec<u8>,
    /// `public-key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the authenticator answered.
    pub response: AssertionResponse,
}

/// `AuthenticatorAssertionResponseJSON`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssertionResponse {
    /// The client data, base64url.
    #[serde(rename = "clientDataJSON", with = "crate::encoding::serde_b64url")]
    pub client_data: Vec<u8>,
    /// The authenticator data, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub authenticator_data: Vec<u8>,
    /// ECDSA with SHA-256 in DER, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    pub signature: Vec<u8>,
    /// The user handle of a passkey that was found without a name, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_handle: Option<String>,
}

/// What ends an enrolment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyEnrol {
    /// The code, which is used up.
    pub code: Secret<String>,
    /// What the person calls the passkey.
    pub name: DisplayName,
    /// From [`PasskeyCreation`].
    pub state: String,
    /// The new passkey.
    pub credential: NewCredential,
}

/// What ends a sign-in, or proves once more who is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyAnswer {
    /// From [`PasskeyRequest`].
    pub state: String,
    /// The assertion.
    pub credential: AssertedCredential,
}

/// What an approver would say yes to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalAsk {
    /// The names; all that were asked for when there are none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<EnvName>>,
    /// Until when; 30 days from now without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The terms of a grant that an approver fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalTerms {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Which names.
    pub names: Vec<EnvName>,
}

/// What the browser asks a passkey by that says yes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovalOptions {
    /// For `navigator.credentials.get`. Its challenge is `digest`.
    #[serde(rename = "publicKey")]
    pub public_key: RequestOptions,
    /// To be sent back as they are: it is these that are signed.
    pub terms: ApprovalTerms,
    /// SHA-256 of `T("procura.receipt.v1", grant bytes)`, base64url.
    pub digest: String,
    /// All that the approver has to know.
    pub summary: AccessRequest,
}

/// A yes by a passkey.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyApproval {
    /// What was signed.
    pub terms: ApprovalTerms,
    /// The assertion over it.
    pub credential: AssertedCredential,
}

/// What of a receipt is signed by a passkey besides its digest (WebAuthn §6.3.3).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptAssertion {
    /// The authenticator data, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub authenticator_data: Vec<u8>,
    /// The client data JSON, base64url. Its challenge is SHA-256 of
    /// `T("procura.receipt.v1", grant)`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub client_data: Vec<u8>,
}

/// `PUT /v1/passkeys/{id}/name`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyRename {
    /// What its owner calls it from now on.
    pub name: DisplayName,
}
