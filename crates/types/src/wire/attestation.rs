use super::{PublicJwk, ValueB64};
use crate::{
    ActorId, AttestationId, BuildWord, ExeDigest, Grade, InstallationId, Label, Thumbprint,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// `POST /v1/attestations/challenge`: what a daemon is to put into its next statement.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationAsk {
    /// The chip of the host, when it is to sign as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmKeys>,
}

/// The public halves of two keys of a TPM 2.0, each a `TPMT_PUBLIC`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmKeys {
    /// The endorsement key, which is the chip's for good.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ek: Vec<u8>,
    /// The attestation key, which signs quotes and nothing else.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ak: Vec<u8>,
}

/// A challenge, good once and for five minutes. A device has one at a time.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttestationChallenge {
    /// 32 bytes, base64url.
    pub nonce: String,
    /// Until when it is good.
    pub expires: Timestamp,
    /// The registers that are to be quoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pcrs: Vec<u8>,
    /// What only the chip opens that holds both keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<TpmCredential>,
}

/// What `TPM2_ActivateCredential` takes.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TpmCredential {
    /// The contents of a `TPM2B_ID_OBJECT`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub blob: Vec<u8>,
    /// The contents of a `TPM2B_ENCRYPTED_SECRET`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub secret: Vec<u8>,
}

/// What a daemon says of its process, as both sides put it together to be signed
/// (`protocol.md` §3.7).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationStatement {
    /// The installation.
    pub installation: InstallationId,
    /// The agent whose device it is.
    pub agent: ActorId,
    /// The device that sends it.
    pub device: Thumbprint,
    /// The key of this process alone: Ed25519.
    pub key: PublicJwk,
    /// The SHA-256 of the program, as the process read it.
    pub exe_sha256: ExeDigest,
    /// Its version.
    pub version: BuildWord,
    /// What it is built for: `x86_64-linux`.
    pub target: BuildWord,
    /// The process.
    pub pid: u32,
    /// The boot of its machine.
    pub boot_id: BuildWord,
    /// When, by the clock of the host.
    pub time: Timestamp,
    /// From the challenge.
    pub nonce: String,
}

/// A quote of a TPM 2.0.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmQuote {
    /// The keys, as in the question for the challenge.
    pub keys: TpmKeys,
    /// What was signed: a `TPMS_ATTEST`, whose `extraData` is the SHA-256 of the statement.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub quoted: Vec<u8>,
    /// The attestation key's signature: a `TPMT_SIGNATURE`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
    /// What the credential of the challenge held, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated: Option<ValueB64>,
}

/// `POST /v1/attestations`, proven by the device's own key.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationPut {
    /// What is attested.
    pub statement: AttestationStatement,
    /// By the key of the process, over the statement.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
    /// By the chip of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<TpmQuote>,
}

/// The answer: from now on sessions may be started under it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttestationGiven {
    /// Its id: one for each process, however often it renews itself.
    pub id: AttestationId,
    /// How good it is.
    pub grade: Grade,
    /// When it ends, unless it is renewed.
    pub until: Timestamp,
    /// What a better grade takes, in one line; nothing at the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

/// Within `POST /v1/sessions`: that the process of this attestation asks.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionAttestation {
    /// Which attestation.
    pub id: AttestationId,
    /// By its key, over `T("procura.attestation.session.v1", id, nonce of the request,
    /// audience)`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
}

/// Where an attestation stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestationState {
    /// It counts.
    Live,
    /// It was not renewed in time.
    Over,
    /// It was revoked, or its device or agent was.
    Revoked,
    /// What it rests on is gone: its digest was withdrawn, the release key removed, or the
    /// baseline of its host changed.
    Withdrawn,
}

impl AttestationState {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Over => "over",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An attestation, as operators see it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attestation {
    /// Its id.
    pub id: AttestationId,
    /// Whether it counts.
    pub state: AttestationState,
    /// How good it is.
    pub grade: Grade,
    /// The agent.
    pub agent: Label,
    /// The device.
    pub device: Thumbprint,
    /// The SHA-256 of the program, in the words of the process.
    pub exe_sha256: ExeDigest,
    /// Its version, in its words.
    pub version: BuildWord,
    /// What it is built for, in its words.
    pub target: BuildWord,
    /// The process, in its words.
    pub pid: u32,
    /// The boot of its machine, in its words.
    pub boot_id: BuildWord,
    /// When it attested first.
    pub made: Timestamp,
    /// When it attested last.
    pub renewed: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// What a TPM said of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<QuoteSeen>,
}

/// What a TPM said of its host when an attestation was made or renewed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteSeen {
    /// The SHA-256 of the endorsement key's public area: the chip.
    pub ek_sha256: ExeDigest,
    /// The SHA-256 of the attestation key's public area.
    pub ak_sha256: ExeDigest,
    /// The registers of the SHA-256 bank that were quoted.
    pub pcrs: Vec<u8>,
    /// The SHA-256 over what was in them.
    pub pcr_digest: ExeDigest,
    /// Milliseconds that the chip had been on, by its clock.
    pub clock: u64,
    /// How often the machine had been started.
    pub reset_count: u32,
    /// How often it had been resumed or started again without a reset of the chip.
    pub restart_count: u32,
}

/// `GET …/attestations`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttestationList {
    /// Those that are remembered, the newest first.
    pub attestations: Vec<Attestation>,
    /// The baselines of the devices of the namespace, by device.
    pub baselines: Vec<Baseline>,
}

/// How a host has to have started for quotes of its device to count.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The device.
    pub device: Thumbprint,
    /// The chip.
    pub ek_sha256: ExeDigest,
    /// The key that signs its quotes.
    pub ak_sha256: ExeDigest,
    /// The registers.
    pub pcrs: Vec<u8>,
    /// What has to be in them.
    pub pcr_digest: ExeDigest,
    /// Since when.
    pub since: Timestamp,
    /// Who accepted it.
    pub by: ActorId,
}

/// `PUT …/devices/{thumbprint}/baseline`: accepts what a TPM said of the host of a device.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselinePut {
    /// The attestation in which it was said.
    pub attestation: AttestationId,
    /// The digest of the registers that is accepted, so that it is the one that was looked
    /// at and not one of a moment later.
    pub pcr_digest: ExeDigest,
}

/// A key that signs releases.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseKey {
    /// The verifier key (C2SP signed-note): `<name>+<id>+<key>`.
    pub vkey: String,
    /// When it was enrolled.
    pub added: Timestamp,
    /// Who enrolled it.
    pub by: ActorId,
    /// When it was removed; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// `GET /v1/release-keys`, and the answer to every change of them.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseKeyList {
    /// By name, removed ones too.
    pub keys: Vec<ReleaseKey>,
}

/// `POST /v1/release-keys`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseKeyAdd {
    /// The verifier key (C2SP signed-note): `<name>+<id>+<key>`.
    pub vkey: String,
}

/// A program that a release key vouches for.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Release {
    /// The SHA-256 of the program.
    pub sha256: ExeDigest,
    /// Its version.
    pub version: BuildWord,
    /// What it is built for.
    pub target: BuildWord,
    /// The name of the key that signed it.
    pub key: String,
    /// When it was added.
    pub added: Timestamp,
    /// When it was withdrawn; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
}

/// `GET /v1/releases`, and the answer to every change of them.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseList {
    /// By target, version and digest.
    pub releases: Vec<Release>,
}

/// `POST /v1/releases`: a signed list of programs.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAdd {
    /// The signed note (`spec/protocol.md` §3.7).
    pub note: String,
}
